/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures of a host's images of which some were compared exactly and others by their sketches. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/choose_vm.h"

#define BLOCK    4096
#define DISTINCT 1000
#define IMAGE    ((uint64_t)DISTINCT * BLOCK)

static struct similarity_figures figures_of(uint64_t identical)
{
    return (struct similarity_figures){
        .total = 2 * DISTINCT,
        .distinct = DISTINCT,
        .internal_duplicates = DISTINCT,
        .identical_distinct = identical,
        .identical_with_duplicates = 2 * identical,
        .bytes_to_send = (DISTINCT - identical) * BLOCK,
    };
}

static struct similarity_estimate estimate_of(uint64_t low, uint64_t likely, uint64_t high)
{
    struct similarity_estimate estimate = {figures_of(likely), figures_of(low), figures_of(high),
                                           figures_of(likely)};

    estimate.low.bytes_to_send = figures_of(high).bytes_to_send;
    estimate.high.bytes_to_send = figures_of(low).bytes_to_send;
    return estimate;
}

static struct choose_vm_parts parts_of(uint64_t exact, struct similarity_estimate rest,
                                       struct similarity_estimate all)
{
    return (struct choose_vm_parts){estimate_of(exact, exact, exact), rest, all, IMAGE};
}

static void assert_within(const struct similarity_estimate *joined)
{
    assert_true(joined->low.bytes_to_send <= joined->likely.bytes_to_send);
    assert_true(joined->likely.bytes_to_send <= joined->high.bytes_to_send);
    assert_true(joined->low.identical_distinct <= joined->likely.identical_distinct);
    assert_true(joined->likely.identical_distinct <= joined->high.identical_distinct);
    assert_true(joined->low.identical_with_duplicates <= joined->likely.identical_with_duplicates);
    assert_true(joined->likely.identical_with_duplicates <= joined->high.identical_with_duplicates);
    assert_true(joined->high.identical_distinct <= DISTINCT);
    assert_true(joined->high.identical_with_duplicates <= (uint64_t)2 * DISTINCT);
}

/* What others may have in addition lowers what is sent at least; what is likely stays. */
static void test_images_without_hits_widen_one_bound_only(void **unused)
{
    struct choose_vm_parts parts = parts_of(600, estimate_of(0, 0, 30), estimate_of(550, 610, 650));
    struct similarity_estimate joined = choose_vm_join(&parts);

    (void)unused;
    assert_within(&joined);
    assert_int_equal(joined.likely.bytes_to_send, 400 * BLOCK);
    assert_int_equal(joined.high.bytes_to_send, 400 * BLOCK);
    assert_int_equal(joined.low.bytes_to_send, 370 * BLOCK);
    assert_int_equal(joined.likely.identical_distinct, 600);
    assert_int_equal(joined.high.identical_distinct, 630);
    assert_int_equal(joined.low.identical_distinct, 600);
}

/* Some that have hits could not be read: what the sketch of all says is likely counts then. */
static void test_what_was_seen_is_never_in_doubt(void **unused)
{
    struct choose_vm_parts parts =
        parts_of(600, estimate_of(100, 200, 300), estimate_of(500, 700, 800));
    struct similarity_estimate joined = choose_vm_join(&parts);

    (void)unused;
    assert_within(&joined);
    assert_int_equal(joined.likely.identical_distinct, 700);
    assert_int_equal(joined.likely.bytes_to_send, 300 * BLOCK);
    assert_int_equal(joined.high.bytes_to_send, 400 * BLOCK);
    assert_int_equal(joined.low.bytes_to_send, 100 * BLOCK);
    /* The sketch saw less than there is. */
    parts = parts_of(600, estimate_of(5, 10, 30), estimate_of(400, 500, 550));
    joined = choose_vm_join(&parts);
    assert_within(&joined);
    assert_int_equal(joined.likely.identical_distinct, 600);
    assert_int_equal(joined.likely.bytes_to_send, 400 * BLOCK);
    /* It saw more than the others can have in addition. */
    parts = parts_of(600, estimate_of(5, 10, 30), estimate_of(800, 900, 950));
    joined = choose_vm_join(&parts);
    assert_true(joined.likely.bytes_to_send >= joined.low.bytes_to_send);
}

static void test_bounds_end_with_the_image(void **unused)
{
    struct choose_vm_parts parts =
        parts_of(900, estimate_of(800, 900, 1000), estimate_of(900, 950, 1000));
    struct similarity_estimate joined = choose_vm_join(&parts);

    (void)unused;
    assert_within(&joined);
    assert_int_equal(joined.high.identical_distinct, DISTINCT);
    assert_int_equal(joined.low.bytes_to_send, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images_without_hits_widen_one_bound_only),
        cmocka_unit_test(test_what_was_seen_is_never_in_doubt),
        cmocka_unit_test(test_bounds_end_with_the_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
