/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often guests are asked for their memory statistics, and when their last report is stale. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/balloon.h"

#include <math.h>

#define WALL_S 1795231253.0

struct run {
    struct balloon_schedule schedule;
    unsigned questions, stale_ticks;
};

/*
 * Ticks a second from `begin` up to, not with, `end` (monotonic) over a guest
 * that reports every `period_s` (0: never since `last_report_s`), by a clock
 * that is `skew_s` ahead of ours.
 */
static void tick(struct run *run, unsigned begin, unsigned end, unsigned period_s, double skew_s)
{
    run->questions = run->stale_ticks = 0;
    for (unsigned now = begin; now < end; now++) {
        unsigned reported = period_s != 0 ? now - now % period_s : begin;

        if (balloon_due(&run->schedule, now)) {
            balloon_answered(&run->schedule, now, WALL_S + now,
                             (uint64_t)(WALL_S + skew_s + reported));
            run->questions++;
        }
        run->stale_ticks += balloon_stale(&run->schedule, now);
    }
}

static void a_new_vm_is_due_and_stale(void **state)
{
    struct balloon_schedule schedule = {0};

    (void)state;
    assert_true(balloon_due(&schedule, 0));
    assert_true(balloon_due(&schedule, 1e9));
    assert_true(balloon_stale(&schedule, 5));
}

static void a_guest_that_reports_each_second_is_asked_each_second(void **state)
{
    struct run run = {{0}, 0, 0};

    (void)state;
    tick(&run, 1000, 1100, 1, 0);
    assert_int_equal(run.questions, 100);
    assert_int_equal(run.stale_ticks, 0);
}

/* Also where ticks come a little early, as ticks do. */
static void an_early_tick_is_a_tick(void **state)
{
    struct balloon_schedule schedule = {0};
    unsigned questions = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        double now = 1000 + i + (i % 2 ? -0.05 : 0.05);

        if (balloon_due(&schedule, now)) {
            balloon_answered(&schedule, now, WALL_S + i, (uint64_t)WALL_S + i);
            questions++;
        }
    }
    assert_int_equal(questions, 100);
}

static void a_guest_that_reports_rarely_is_asked_rarely_and_not_stale(void **state)
{
    struct run run = {{0}, 0, 0};

    (void)state;
    tick(&run, 1000, 1200, 10, 0);
    assert_in_range(run.questions, 15, 60);
    assert_int_equal(run.stale_ticks, 0);
    /* Three of its own periods may pass, when those are long. */
    run = (struct run){{0}, 0, 0};
    tick(&run, 1200, 2400, 60, 0);
    assert_in_range(run.questions, 100, 400);
    assert_in_range(run.stale_ticks, 0, 60); /* until the period is known */
    tick(&run, 2400, 3600, 60, 0);
    assert_int_equal(run.stale_ticks, 0);
}

static void a_guest_that_never_reported_is_stale_and_asked_rarely(void **state)
{
    struct balloon_schedule schedule = {0};
    unsigned questions = 0;

    (void)state;
    for (unsigned now = 0; now < 1000; now++) {
        if (balloon_due(&schedule, now)) {
            balloon_answered(&schedule, now, WALL_S + now, 0);
            questions++;
        }
        assert_true(balloon_stale(&schedule, now));
    }
    assert_in_range(questions, 1000 / 30, 1000 / 30 + 6);
}

static void a_guest_that_stops_reporting_turns_stale_and_comes_back(void **state)
{
    struct run run = {{0}, 0, 0};

    (void)state;
    tick(&run, 1000, 1100, 1, 0);
    tick(&run, 1099, 1199, 0, 0); /* its last report was at 1099 */
    assert_in_range(run.stale_ticks, 100 - 30 - 2, 100 - 30);
    assert_in_range(run.questions, 10, 20);
    tick(&run, 1199, 1300, 1, 0); /* seen at the next question, which is 10 s away at most */
    assert_in_range(run.stale_ticks, 0, 10);
    assert_false(balloon_stale(&run.schedule, 1300));
    tick(&run, 1300, 1400, 1, 0); /* and asked each second again */
    assert_int_equal(run.questions, 100);
}

static void a_first_report_of_long_ago_is_stale(void **state)
{
    struct balloon_schedule schedule = {0};

    (void)state;
    balloon_answered(&schedule, 100, WALL_S, (uint64_t)WALL_S - 31);
    assert_true(balloon_stale(&schedule, 100));
    schedule = (struct balloon_schedule){0};
    balloon_answered(&schedule, 100, WALL_S, (uint64_t)WALL_S - 5);
    assert_false(balloon_stale(&schedule, 100));
    assert_false(balloon_stale(&schedule, 124.9));
    assert_true(balloon_stale(&schedule, 125.1));
}

/* The clock of another host may be hours off: only the first report may be misjudged. */
static void a_skewed_clock_matters_once(void **state)
{
    struct run ahead = {{0}, 0, 0}, behind = {{0}, 0, 0};

    (void)state;
    tick(&ahead, 1000, 1100, 1, 7200);
    assert_int_equal(ahead.stale_ticks, 0);
    tick(&behind, 1000, 1100, 1, -7200);
    assert_in_range(behind.stale_ticks, 1, 2);
    /* A date ahead of ours does not keep a silent guest fresh. */
    tick(&ahead, 1100, 1200, 0, 7200);
    assert_in_range(ahead.stale_ticks, 60, 70);
    /* The clock is set back: the report is new all the same. */
    tick(&ahead, 1200, 1250, 1, -7200);
    assert_false(balloon_stale(&ahead.schedule, 1250));
}

static void a_report_dated_back_is_a_report(void **state)
{
    struct balloon_schedule schedule = {0};

    (void)state;
    balloon_answered(&schedule, 100, WALL_S, (uint64_t)WALL_S);
    balloon_answered(&schedule, 140, WALL_S + 40, (uint64_t)WALL_S - 3600);
    assert_false(balloon_stale(&schedule, 140));
    assert_false(balloon_stale(&schedule, 169));
    assert_true(balloon_stale(&schedule, 171));
}

static void a_driver_without_dates_is_believed(void **state)
{
    struct balloon_schedule schedule = {0};

    (void)state;
    for (unsigned now = 0; now < 100; now++) {
        if (balloon_due(&schedule, now))
            balloon_answered(&schedule, now, WALL_S, UNKNOWN_U64);
        assert_false(balloon_stale(&schedule, now));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_vm_is_due_and_stale),
        cmocka_unit_test(a_guest_that_reports_each_second_is_asked_each_second),
        cmocka_unit_test(an_early_tick_is_a_tick),
        cmocka_unit_test(a_guest_that_reports_rarely_is_asked_rarely_and_not_stale),
        cmocka_unit_test(a_guest_that_never_reported_is_stale_and_asked_rarely),
        cmocka_unit_test(a_guest_that_stops_reporting_turns_stale_and_comes_back),
        cmocka_unit_test(a_first_report_of_long_ago_is_stale),
        cmocka_unit_test(a_skewed_clock_matters_once),
        cmocka_unit_test(a_report_dated_back_is_a_report),
        cmocka_unit_test(a_driver_without_dates_is_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
