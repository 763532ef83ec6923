/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cycles fall on whole multiples of the interval, also when the clock is stepped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../plugins/setmov_ticks.h"

#define S UINT64_C(1000000000)

static uint64_t tick;

static void test_wait_ends_at_the_next_multiple(void **state)
{
    const struct ticks ticks = {.interval_ns = 10 * S};

    (void)state;
    assert_int_equal(ticks_wait_ns(&ticks, 1000 * S + 3), 10 * S - 3);
    assert_int_equal(ticks_wait_ns(&ticks, 1009 * S), S);
    assert_int_equal(ticks_wait_ns(&ticks, 1000 * S), 10 * S);
}

static void test_ticks_are_aligned_and_taken_once(void **state)
{
    struct ticks ticks = {.interval_ns = S};

    (void)state;
    assert_int_equal(ticks_take(&ticks, 100 * S + 5, 1.0, &tick), TICK_DUE);
    assert_int_equal(tick, 100 * S);
    assert_int_equal(ticks_take(&ticks, 101 * S - 1, 2.0, &tick), TICK_EARLY);
    assert_int_equal(ticks_take(&ticks, 101 * S + 7, 2.0, &tick), TICK_DUE);
    assert_int_equal(tick, 101 * S);
    assert_int_equal(ticks.missed, 0);
}

static void test_tenths_stay_on_whole_seconds(void **state)
{
    struct ticks ticks = {.interval_ns = S / 10};

    (void)state;
    assert_int_equal(ticks_take(&ticks, UINT64_C(1795230969) * S + 1, 1.0, &tick), TICK_DUE);
    assert_int_equal(tick, UINT64_C(1795230969) * S);
}

static void test_slow_cycles_are_counted_as_missed(void **state)
{
    struct ticks ticks = {.interval_ns = S};

    (void)state;
    ticks_take(&ticks, 100 * S, 1.0, &tick);
    assert_int_equal(ticks_take(&ticks, 103 * S + 5, 4.0, &tick), TICK_DUE);
    assert_int_equal(tick, 103 * S);
    assert_int_equal(ticks.missed, 2);
}

static void test_step_forward_misses_nothing(void **state)
{
    struct ticks ticks = {.interval_ns = S};

    (void)state;
    ticks_take(&ticks, 100 * S, 1.0, &tick);
    assert_int_equal(ticks_take(&ticks, 3700 * S, 2.0, &tick), TICK_DUE);
    assert_int_equal(tick, 3700 * S);
    assert_int_equal(ticks.missed, 0);
}

static void test_step_back_holds_values_until_the_clock_caught_up(void **state)
{
    struct ticks ticks = {.interval_ns = S};

    (void)state;
    ticks_take(&ticks, 100 * S, 1.0, &tick);
    assert_int_equal(ticks_take(&ticks, 98 * S, 2.0, &tick), TICK_BEHIND);
    assert_int_equal(ticks_take(&ticks, 98 * S + 2, 2.1, &tick), TICK_EARLY);
    assert_int_equal(ticks_take(&ticks, 99 * S, 3.0, &tick), TICK_BEHIND);
    assert_int_equal(ticks_take(&ticks, 100 * S, 4.0, &tick), TICK_BEHIND);
    assert_int_equal(ticks_take(&ticks, 101 * S, 5.0, &tick), TICK_DUE);
    assert_int_equal(ticks.missed, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_ends_at_the_next_multiple),
        cmocka_unit_test(test_ticks_are_aligned_and_taken_once),
        cmocka_unit_test(test_tenths_stay_on_whole_seconds),
        cmocka_unit_test(test_slow_cycles_are_counted_as_missed),
        cmocka_unit_test(test_step_forward_misses_nothing),
        cmocka_unit_test(test_step_back_holds_values_until_the_clock_caught_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
