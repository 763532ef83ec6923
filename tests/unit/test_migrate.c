/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a VM is, from what both sides say; and a plan of which something did not hold. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/end.h"
#include "migrate/resend.h"

#include <errno.h>

/* ---- judging --------------------------------------------------------------------------- */

static enum migrate_verdict judged(bool was_active, enum vm_place here, enum vm_place there)
{
    const struct migrate_places places = {
        .has_here = true, .has_there = true, .here = {.place = here}, .there = {.place = there}};

    return migrate_judge(&places, was_active, true, false);
}

/* Of one that ran: rows are what this host says, columns what the other one does. */
static void test_each_pair_of_places_has_its_verdict(void **state)
{
    enum {
        U = MIGRATE_IS_UNKNOWN,
        H = MIGRATE_IS_HERE,
        T = MIGRATE_IS_THERE,
        W = MIGRATE_IS_UNDERWAY
    };
    static const int verdicts[7][7] = {
        /* there: absent, off, running, paused, incoming, outgoing, other */
        [VM_ABSENT] = {U, T, T, T, W, U, U},   [VM_OFF] = {H, U, T, T, W, U, U},
        [VM_RUNNING] = {H, U, U, U, W, U, U},  [VM_PAUSED] = {H, U, U, U, W, U, U},
        [VM_INCOMING] = {U, U, T, T, W, U, U}, [VM_OUTGOING] = {H, U, T, T, W, U, U},
        [VM_OTHER] = {U, U, U, U, W, U, U},
    };

    (void)state;
    for (int here = 0; here < 7; here++) {
        for (int there = 0; there < 7; there++) {
            int verdict = judged(true, (enum vm_place)here, (enum vm_place)there);

            if (verdict != verdicts[here][there])
                fail_msg("here %d, there %d: %d, not %d", here, there, verdict,
                         verdicts[here][there]);
        }
    }
}

static void test_one_that_was_off_is_where_it_is_defined(void **state)
{
    (void)state;
    assert_int_equal(judged(false, VM_OFF, VM_ABSENT), MIGRATE_IS_HERE);
    assert_int_equal(judged(false, VM_RUNNING, VM_ABSENT), MIGRATE_IS_HERE);
    assert_int_equal(judged(false, VM_ABSENT, VM_OFF), MIGRATE_IS_THERE);
    assert_int_equal(judged(false, VM_ABSENT, VM_RUNNING), MIGRATE_IS_THERE);
    assert_int_equal(judged(false, VM_OFF, VM_OFF), MIGRATE_IS_UNKNOWN);
    assert_int_equal(judged(false, VM_RUNNING, VM_OFF), MIGRATE_IS_HERE);
    assert_int_equal(judged(false, VM_ABSENT, VM_ABSENT), MIGRATE_IS_UNKNOWN);
    assert_int_equal(judged(false, VM_OFF, VM_INCOMING), MIGRATE_IS_UNDERWAY);
}

static void test_a_job_or_a_side_that_is_silent_decides_nothing(void **state)
{
    struct migrate_places places = {.has_here = true,
                                    .has_there = true,
                                    .here = {.place = VM_RUNNING, .has_job = true},
                                    .there = {.place = VM_ABSENT}};

    (void)state;
    assert_int_equal(migrate_judge(&places, true, true, false), MIGRATE_IS_UNDERWAY);
    places.here.has_job = false;
    assert_int_equal(migrate_judge(&places, true, true, false), MIGRATE_IS_HERE);
    places.has_there = false;
    assert_int_equal(migrate_judge(&places, true, true, false), MIGRATE_IS_UNKNOWN);
    places.has_there = true;
    places.has_here = false;
    assert_int_equal(migrate_judge(&places, true, true, false), MIGRATE_IS_UNKNOWN);
}

static void test_phases_have_names(void **state)
{
    (void)state;
    for (int phase = 0; phase < MIGRATE_PHASES; phase++)
        assert_true(migrate_phase_name((enum migrate_phase)phase)[0] != '\0');
    assert_string_equal(migrate_phase_name(MIGRATE_PHASES), "");
}

/* ---- sending what did not hold ------------------------------------------------------------- */

static struct transfer_extent extents[2][4];
static struct transfer_part parts[3];
static struct transfer_image images[2];

static struct transfer_plan a_plan(void)
{
    static const struct transfer_extent first[4] = {
        {.offset = 0, .length = 4096, .source = 1, .from = 7, .hash = 0, .kind = TRANSFER_COPY},
        {.offset = 4096, .length = 4096, .source = 0, .kind = TRANSFER_SENT},
        {.offset = 8192, .length = 4096, .source = 1, .kind = TRANSFER_SENT},
        {.offset = 12288, .length = 4096, .kind = TRANSFER_ZERO},
    };
    static const struct transfer_extent second[2] = {
        {.offset = 0, .length = 8192, .source = 2, .kind = TRANSFER_SENT},
        {.offset = 8192, .length = 512, .source = 0, .from = 1, .hash = 1, .kind = TRANSFER_COPY},
    };

    memcpy(extents[0], first, sizeof(first));
    memcpy(extents[1], second, sizeof(second));
    for (size_t i = 0; i < 3; i++)
        parts[i] = (struct transfer_part){.sha256 = {(uint8_t)(i + 1)}, .length = 10};
    images[0] = (struct transfer_image){.extents = extents[0], .extent_count = 4};
    images[1] = (struct transfer_image){.extents = extents[1], .extent_count = 2};
    return (struct transfer_plan){
        .parts = parts, .part_count = 3, .images = images, .image_count = 2};
}

static void is_to_be_sent(const struct transfer_extent *extent)
{
    assert_int_equal(extent->kind, TRANSFER_SENT);
    assert_int_equal(extent->source, UINT32_MAX);
    assert_int_equal(extent->from, 0);
    assert_int_equal(extent->hash, 0);
}

static void test_a_failed_copy_is_sent_and_the_rest_stays(void **state)
{
    struct transfer_plan plan = a_plan();
    struct transfer_failed_extent list[] = {{.image = 1, .extent = 1}};
    const struct transfer_failed failed = {.extents = list, .count = 1};
    struct transfer_figures again = {0};

    (void)state;
    assert_int_equal(migrate_resend(&plan, NULL, 0, &failed, &again, NULL), 0);
    assert_int_equal(again.sent, 512);
    assert_int_equal(again.local, 512);
    is_to_be_sent(&extents[1][1]);
    assert_int_equal(extents[0][0].kind, TRANSFER_COPY);
    assert_int_equal(extents[0][2].source, 1);
    assert_int_equal(plan.part_count, 3);
}

static void test_of_a_failed_part_all_is_sent_and_it_goes(void **state)
{
    struct transfer_plan plan = a_plan();
    uint32_t list[] = {1};
    const struct transfer_failed failed = {.parts = list, .part_count = 1};
    struct transfer_figures again = {0};

    (void)state;
    assert_int_equal(migrate_resend(&plan, NULL, 0, &failed, &again, NULL), 0);
    assert_int_equal(again.sent, 4096);
    assert_int_equal(again.local + again.reused, 0);
    is_to_be_sent(&extents[0][2]);
    assert_int_equal(plan.part_count, 2);
    assert_int_equal(plan.parts[1].sha256[0], 3);
    assert_int_equal(extents[0][1].source, 0);
    assert_int_equal(extents[1][0].source, 1);
}

/* What was found there by digests alone is sent; what was read of the image itself is not, again. */
static void test_of_doubtful_extents_those_found_by_digests_are_sent(void **state)
{
    struct transfer_plan plan = a_plan();
    struct transfer_failed_extent list[] = {{0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 1}};
    const struct transfer_failed failed = {.extents = list, .count = ARRAY_LENGTH(list)};
    struct transfer_known_part known[2] = {{.count = 0}, {.part = {.sha256 = {2}}}};
    struct transfer_figures again = {0};

    (void)state;
    extents[1][1].kind = TRANSFER_REPLICATE;
    assert_int_equal(migrate_resend(&plan, known, 2, &failed, &again, NULL), 0);
    assert_int_equal(again.sent, 4096 + 512);
    assert_int_equal(again.replicated, 512);
    assert_int_equal(again.reused, 4096);
    is_to_be_sent(&extents[0][2]);
    is_to_be_sent(&extents[1][1]);
    assert_int_equal(plan.part_count, 2);
    assert_int_equal(extents[0][1].source, 0);
    assert_int_equal(extents[1][0].source, 1);
    /* And then there is nothing that would help. */
    assert_int_equal(migrate_resend(&plan, NULL, 0, &failed, &again, NULL), -ENODATA);
}

static void test_an_empty_list_is_no_list(void **state)
{
    struct transfer_plan plan = a_plan();
    const struct transfer_failed failed = {.count = 0};
    struct transfer_figures again = {0};

    (void)state;
    assert_int_equal(migrate_resend(&plan, NULL, 0, &failed, &again, NULL), -ENODATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_pair_of_places_has_its_verdict),
        cmocka_unit_test(test_one_that_was_off_is_where_it_is_defined),
        cmocka_unit_test(test_a_job_or_a_side_that_is_silent_decides_nothing),
        cmocka_unit_test(test_phases_have_names),
        cmocka_unit_test(test_a_failed_copy_is_sent_and_the_rest_stays),
        cmocka_unit_test(test_of_a_failed_part_all_is_sent_and_it_goes),
        cmocka_unit_test(test_of_doubtful_extents_those_found_by_digests_are_sent),
        cmocka_unit_test(test_an_empty_list_is_no_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
