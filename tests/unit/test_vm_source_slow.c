/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libvirt that is slow, fails, or waits for a VM that hangs: the bulk call of
 * the real library stands behind one of this program, which takes its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_source_test.h"

#include <dlfcn.h>
#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define DEADLINE_S 0.1

static _Atomic double call_takes_s;
static atomic_bool call_fails;
static atomic_uint calls_under_way, most_at_once;

static void sleep_s(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};

    nanosleep(&time, NULL);
}

/* Takes the library's place: the loader finds the program's own first. */
__attribute__((visibility("default"))) int
virConnectGetAllDomainStats(virConnectPtr conn, unsigned int stats,
                            virDomainStatsRecordPtr **retStats, unsigned int flags)
{
    int (*real)(virConnectPtr, unsigned int, virDomainStatsRecordPtr **, unsigned int);
    void *symbol = dlsym(RTLD_NEXT, "virConnectGetAllDomainStats");
    unsigned now = atomic_fetch_add(&calls_under_way, 1) + 1;
    int count = -1;

    memcpy(&real, &symbol, sizeof(real));
    if (now > atomic_load(&most_at_once))
        atomic_store(&most_at_once, now);
    sleep_s(atomic_load(&call_takes_s));
    if (!atomic_load(&call_fails))
        count = real(conn, stats, retStats, flags);
    atomic_fetch_sub(&calls_under_way, 1);
    return count;
}

struct tally {
    unsigned complete, lost, returned, not_listed, null_vms;
};

/* Cycles at a pace of their deadline, as a sampler makes them. */
static struct tally run(struct vm_source *source, unsigned cycles)
{
    struct vm_set set = {.connected = false};
    struct tally tally = {0};

    for (unsigned i = 0; i < cycles; i++) {
        double begin_s = clock_monotonic_s();

        assert_int_equal(vm_source_sample(source, NULL, &set), 0);
        tally.complete += set.complete;
        tally.lost += count_events(&set, VM_EVENT_SOURCE_LOST);
        tally.returned += count_events(&set, VM_EVENT_SOURCE_RETURNED);
        tally.not_listed += !set.listed;
        if (!set.listed)
            assert_int_equal(set.count, 0);
        else
            assert_int_equal(set.count, 1);
        sleep_s(fmax(0, DEADLINE_S - (clock_monotonic_s() - begin_s)));
    }
    vm_set_release(&set);
    return tally;
}

static void start(double takes_s, bool fails)
{
    atomic_store(&call_takes_s, takes_s);
    atomic_store(&call_fails, fails);
    atomic_store(&most_at_once, 0);
}

static void a_slow_server_is_given_the_time_it_needs(void **state)
{
    struct vm_source *source = new_source("test:///default", DEADLINE_S);
    struct tally tally;

    (void)state;
    start(5 * DEADLINE_S, false);
    tally = run(source, 30); /* learns how long it takes */
    assert_true(tally.not_listed < 30);
    tally = run(source, 40);
    assert_in_range(tally.complete, 4, 40);
    assert_int_equal(tally.not_listed, 0);
    vm_source_free(source, PATIENT_S);
}

static void a_server_that_turns_slow_is_asked_on(void **state)
{
    struct vm_source *source = new_source("test:///default", DEADLINE_S);
    struct tally tally;

    (void)state;
    start(0, false);
    tally = run(source, 5);
    assert_in_range(tally.complete, 4, 5);
    start(4 * DEADLINE_S, false);
    run(source, 30);
    tally = run(source, 40);
    assert_in_range(tally.complete, 4, 40);
    assert_in_range(atomic_load(&most_at_once), 1, 5);
    start(0, false);
    run(source, 10);
    tally = run(source, 10);
    assert_int_equal(tally.complete, 10);
    vm_source_free(source, PATIENT_S);
}

static void a_refusal_keeps_the_connection_and_is_said_once(void **state)
{
    struct vm_source *source = new_source("test:///default", DEADLINE_S);
    struct tally tally;

    (void)state;
    start(0, false);
    run(source, 3);
    start(0, true);
    tally = run(source, 5);
    assert_int_equal(tally.complete, 0);
    assert_int_equal(tally.lost, 1);
    start(0, false);
    tally = run(source, 5);
    assert_int_equal(tally.complete, 5);
    assert_int_equal(tally.returned, 1);
    vm_source_free(source, PATIENT_S);
}

static void *cancel_soon(void *source)
{
    sleep_s(0.2);
    vm_source_cancel(source);
    return NULL;
}

static void a_cancelled_cycle_ends_at_once(void **state)
{
    struct vm_source *source = new_source("test:///default", 60);
    struct vm_set set = {.connected = false};
    double begin_s = clock_monotonic_s();
    pthread_t thread;

    (void)state;
    start(1.5, false);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, source), 0);
    assert_int_equal(vm_source_sample(source, NULL, &set), 0);
    assert_false(set.listed);
    /* Not a measurement: without the cancel it would be the call's own time. */
    assert_true(clock_monotonic_s() - begin_s < 1.4);
    pthread_join(thread, NULL);
    vm_set_release(&set);
    vm_source_free(source, PATIENT_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_server_is_given_the_time_it_needs),
        cmocka_unit_test(a_server_that_turns_slow_is_asked_on),
        cmocka_unit_test(a_refusal_keeps_the_connection_and_is_said_once),
        cmocka_unit_test(a_cancelled_cycle_ends_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
