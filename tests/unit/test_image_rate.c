/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rate limit of reading, by times that are given: when may who asks read? */

#include "image/backend.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_at(double seconds, double expected)
{
    assert_true(seconds > expected - 1e-6 && seconds < expected + 1e-6);
}

static void each_waits_for_those_before(void **state)
{
    struct image_rate rate;

    (void)state;
    image_rate_init(&rate, 1000);
    assert_true(image_rate_grant(&rate, 50, 500) <= 50); /* nobody before: at once */
    image_rate_grant(&rate, 50, 2000);
    assert_at(image_rate_grant(&rate, 50, 1), 52.4); /* 2.5 s less what may be caught up */
    assert_at(image_rate_grant(&rate, 51, 1), 52.401);
    image_rate_destroy(&rate);
}

static void only_a_little_is_caught_up(void **state)
{
    struct image_rate rate;

    (void)state;
    image_rate_init(&rate, 1000);
    image_rate_grant(&rate, 50, 1000);
    /* An hour of doing nothing is no leave to read an hour's worth at once. */
    assert_at(image_rate_grant(&rate, 3650, 1000), 3649.9);
    assert_at(image_rate_grant(&rate, 3650, 1000), 3650.9);
    image_rate_destroy(&rate);
}

static void the_sum_keeps_to_the_rate(void **state)
{
    struct image_rate rate;
    double now = 10, start = 0;

    (void)state;
    image_rate_init(&rate, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        start = image_rate_grant(&rate, now, 65536);
        now = start > now ? start : now;
    }
    assert_at(start, 10 - 0.1 + 999.0 / 16);
    image_rate_destroy(&rate);
}

static bool stop_at_third_look(void *context)
{
    return ++*(int *)context == 3;
}

/* What would take a quarter of an hour. */
static void a_stop_ends_the_wait(void **state)
{
    struct image_stop stop = {.stopped = NULL};
    struct image_rate rate;
    int looks = 0;

    (void)state;
    image_rate_init(&rate, 1);
    assert_int_equal(image_rate_wait(&rate, 1000, &stop), 0);
    stop.stopped = stop_at_third_look;
    stop.context = &looks;
    assert_int_equal(image_rate_wait(&rate, 1, &stop), -ECANCELED);
    stop.stopped = NULL;
    atomic_store(&stop.interrupted, true);
    assert_int_equal(image_rate_wait(&rate, 1, &stop), -ECANCELED);
    image_rate_destroy(&rate);
    image_rate_init(&rate, 0);
    assert_int_equal(image_rate_wait(&rate, 1, &stop), -ECANCELED);
    atomic_store(&stop.interrupted, false);
    assert_int_equal(image_rate_wait(&rate, 1, &stop), 0);
    image_rate_destroy(&rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_waits_for_those_before),
        cmocka_unit_test(only_a_little_is_caught_up),
        cmocka_unit_test(the_sum_keeps_to_the_rate),
        cmocka_unit_test(a_stop_ends_the_wait),
    };

    alarm(60); /* a wait that does not end */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
