/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that share out work: which signals they get, and what the caller is told. */
#include "fingerprint/writer_crew.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define THREADS 4
#define UNITS   100

struct seen {
    atomic_uint members, blocked, faults_blocked;
};

static void look_at_signals(struct crew *crew, unsigned member, void *context)
{
    struct seen *seen = context;
    sigset_t mask;

    (void)crew;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    atomic_fetch_add(&seen->members, 1);
    if (member > 0)
        atomic_fetch_add(&seen->blocked, sigismember(&mask, SIGINT) == 1 &&
                                             sigismember(&mask, SIGUSR1) == 1 &&
                                             sigismember(&mask, SIGCHLD) == 1);
    atomic_fetch_add(&seen->faults_blocked, sigismember(&mask, SIGBUS) == 1);
}

/* A library's user may have handlers that are not for our threads. */
static void signals_are_for_the_caller(void **state)
{
    const struct crew_caller caller = {.stopped = NULL};
    struct seen seen = {0};
    struct error err = {""};
    struct crew crew;
    sigset_t mask;

    (void)state;
    crew_init(&crew, THREADS, &caller);
    assert_int_equal(crew_run(&crew, UNITS, look_at_signals, &seen, &err), 0);
    assert_int_equal(seen.members, THREADS);
    assert_int_equal(seen.blocked, THREADS - 1);
    assert_int_equal(seen.faults_blocked, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGINT), 0);
    crew_destroy(&crew);
}

struct told {
    double last;
    size_t different;
};

static void note(void *context, double share)
{
    struct told *told = context;

    assert_true(share >= told->last && share <= 1);
    told->different += share > told->last;
    told->last = share;
}

static void take_all(struct crew *crew, unsigned member, void *context)
{
    size_t unit;

    (void)context;
    while (crew_take(crew, member, &unit))
        ;
}

/* Each run goes from one share of the whole to the next, never back. */
static void shares_only_grow(void **state)
{
    struct told told = {0};
    const struct crew_caller caller = {.progress = note, .context = &told};
    struct error err = {""};
    struct crew crew;

    (void)state;
    crew_init(&crew, 1, &caller);
    crew_reach(&crew, 0.25);
    assert_int_equal(crew_run(&crew, UNITS, take_all, NULL, &err), 0);
    assert_true(told.last == 0.25);
    assert_int_equal(told.different, UNITS);
    crew_reach(&crew, 1);
    assert_int_equal(crew_run(&crew, UNITS, take_all, NULL, &err), 0);
    assert_true(told.last == 1);
    assert_int_equal(told.different, 2 * UNITS);
    crew_destroy(&crew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_are_for_the_caller),
        cmocka_unit_test(shares_only_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
