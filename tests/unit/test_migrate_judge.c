/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a VM is, from what both sides say: never a way by which it would run twice, or lose what it synced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/end.h"

static enum migrate_verdict judged(enum vm_place here, enum vm_place there, bool stands_still)
{
    const struct migrate_places places = {
        .has_here = true, .has_there = true, .here = {.place = here}, .there = {.place = there}};

    return migrate_judge(&places, true, true, stands_still);
}

/* vm_migrate.h says when which of these is seen. */
static void test_one_that_stands_still_there(void **state)
{
    (void)state;
    assert_int_equal(judged(VM_RUNNING, VM_PAUSED, true), MIGRATE_IS_HERE);
    assert_int_equal(judged(VM_PAUSED, VM_PAUSED, true), MIGRATE_IS_HERE);
    assert_int_equal(judged(VM_OUTGOING, VM_PAUSED, true), MIGRATE_IS_HERE);
    assert_int_equal(judged(VM_OUTGOING, VM_OFF, true), MIGRATE_IS_HERE);
    assert_int_equal(judged(VM_OFF, VM_PAUSED, true), MIGRATE_IS_HERE);
    assert_int_equal(judged(VM_ABSENT, VM_PAUSED, true), MIGRATE_IS_THERE);
    assert_int_equal(judged(VM_ABSENT, VM_OFF, true), MIGRATE_IS_THERE);
    assert_int_equal(judged(VM_OTHER, VM_PAUSED, true), MIGRATE_IS_UNKNOWN);
    assert_int_equal(judged(VM_INCOMING, VM_PAUSED, true), MIGRATE_IS_UNKNOWN);
}

static void test_one_that_may_have_run_there(void **state)
{
    (void)state;
    for (int stands_still = 0; stands_still <= 1; stands_still++) {
        assert_int_equal(judged(VM_RUNNING, VM_RUNNING, stands_still), MIGRATE_IS_UNKNOWN);
        assert_int_equal(judged(VM_OUTGOING, VM_RUNNING, stands_still), MIGRATE_IS_THERE);
        assert_int_equal(judged(VM_ABSENT, VM_RUNNING, stands_still), MIGRATE_IS_THERE);
        assert_int_equal(judged(VM_RUNNING, VM_ABSENT, stands_still), MIGRATE_IS_HERE);
        assert_int_equal(judged(VM_OUTGOING, VM_ABSENT, stands_still), MIGRATE_IS_HERE);
        assert_int_equal(judged(VM_OFF, VM_ABSENT, stands_still), MIGRATE_IS_HERE);
        assert_int_equal(judged(VM_ABSENT, VM_ABSENT, stands_still), MIGRATE_IS_UNKNOWN);
        assert_int_equal(judged(VM_RUNNING, VM_INCOMING, stands_still), MIGRATE_IS_UNDERWAY);
        assert_int_equal(judged(VM_OUTGOING, VM_INCOMING, stands_still), MIGRATE_IS_UNDERWAY);
        assert_int_equal(judged(VM_RUNNING, VM_OTHER, stands_still), MIGRATE_IS_UNKNOWN);
    }
    assert_int_equal(judged(VM_RUNNING, VM_PAUSED, false), MIGRATE_IS_UNKNOWN);
    assert_int_equal(judged(VM_OUTGOING, VM_OFF, false), MIGRATE_IS_UNKNOWN);
    assert_int_equal(judged(VM_RUNNING, VM_OFF, false), MIGRATE_IS_UNKNOWN);
}

/* Transient, it leaves nothing there when it was shut down there. */
static void test_a_transient_one(void **state)
{
    const struct migrate_places places = {.has_here = true,
                                          .has_there = true,
                                          .here = {.place = VM_OUTGOING},
                                          .there = {.place = VM_ABSENT}};

    (void)state;
    assert_int_equal(migrate_judge(&places, true, false, false), MIGRATE_IS_UNKNOWN);
    assert_int_equal(migrate_judge(&places, true, false, true), MIGRATE_IS_HERE);
    assert_int_equal(migrate_judge(&places, true, true, false), MIGRATE_IS_HERE);
}

static void test_a_side_that_cannot_be_asked(void **state)
{
    struct migrate_places places = {.has_here = true, .here = {.place = VM_RUNNING}};

    (void)state;
    assert_int_equal(migrate_judge(&places, true, true, true), MIGRATE_IS_UNKNOWN);
    places = (struct migrate_places){.has_there = true, .there = {.place = VM_RUNNING}};
    assert_int_equal(migrate_judge(&places, true, true, true), MIGRATE_IS_UNKNOWN);
}

static void test_a_job_that_goes_on(void **state)
{
    const struct migrate_places places = {.has_here = true,
                                          .has_there = true,
                                          .here = {.place = VM_OUTGOING, .has_job = true},
                                          .there = {.place = VM_PAUSED}};

    (void)state;
    assert_int_equal(migrate_judge(&places, true, true, true), MIGRATE_IS_UNDERWAY);
    assert_int_equal(migrate_judge(&places, false, true, true), MIGRATE_IS_UNDERWAY);
}

static void test_one_that_runs_twice(void **state)
{
    struct migrate_places places = {.has_here = true,
                                    .has_there = true,
                                    .here = {.place = VM_RUNNING},
                                    .there = {.place = VM_RUNNING}};

    (void)state;
    assert_true(migrate_runs_twice(&places));
    assert_int_equal(migrate_judge(&places, true, true, false), MIGRATE_IS_UNKNOWN);
    places.here.has_job = true;
    assert_false(migrate_runs_twice(&places));
    places.here.has_job = false;
    places.there.place = VM_PAUSED;
    assert_false(migrate_runs_twice(&places));
    places.there.place = VM_RUNNING;
    places.has_there = false;
    assert_false(migrate_runs_twice(&places));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_stands_still_there),
        cmocka_unit_test(test_one_that_may_have_run_there),
        cmocka_unit_test(test_a_transient_one),
        cmocka_unit_test(test_a_side_that_cannot_be_asked),
        cmocka_unit_test(test_a_job_that_goes_on),
        cmocka_unit_test(test_one_that_runs_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
