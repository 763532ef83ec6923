/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool of threads for calls that may hang. A job here hangs until it is
 * told to end; every job counts how often it was run and freed. Nothing is
 * timed: waits are as long as they need to be, and "not done" is asked with a
 * time that has passed already.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "thread_count.h"
#include "vm/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#define LONG_S 60.0 /* for what is to happen at once: only a defect lets it pass */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* What became of a job; outlives it. Under `lock`. */
struct fate {
    bool hangs, told_to_end;
    unsigned begun, ended, freed;
};

struct test_job {
    struct job job;
    struct fate *fate;
};

static void run(struct job *base)
{
    struct fate *fate = ((struct test_job *)base)->fate;

    pthread_mutex_lock(&lock);
    fate->begun++;
    pthread_cond_broadcast(&changed);
    while (fate->hangs && !fate->told_to_end)
        pthread_cond_wait(&changed, &lock);
    fate->ended++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void free_job(struct job *base)
{
    struct fate *fate = ((struct test_job *)base)->fate;

    pthread_mutex_lock(&lock);
    fate->freed++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    free(base);
}

static struct job *new_job(struct fate *fate)
{
    struct test_job *job = calloc(1, sizeof(*job));

    assert_non_null(job);
    job->job.run = run;
    job->job.free = free_job;
    job->fate = fate;
    return &job->job;
}

static void end(struct fate *fate)
{
    pthread_mutex_lock(&lock);
    fate->told_to_end = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Waits until `*counter` of some fate is `value`; false after LONG_S. */
static bool reaches(const unsigned *counter, unsigned value)
{
    struct timespec until;
    bool reached;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)LONG_S;
    pthread_mutex_lock(&lock);
    while (*counter != value && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    reached = *counter == value;
    pthread_mutex_unlock(&lock);
    return reached;
}

static unsigned now_is(const unsigned *counter)
{
    unsigned value;

    pthread_mutex_lock(&lock);
    value = *counter;
    pthread_mutex_unlock(&lock);
    return value;
}

static unsigned threads_before;

#ifdef __SANITIZE_THREAD__
static void *no_work(void *argument)
{
    return argument;
}
#endif

static int note_threads(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    pthread_t thread; /* the sanitizer starts one of its own with the first */

    if (pthread_create(&thread, NULL, no_work, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return -1;
#endif
    threads_before = thread_count();
    return 0;
}

static int threads_are_gone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6000 && thread_count() > threads_before; i++)
        usleep(10000);
    return thread_count() > threads_before ? -1 : 0;
}

static void a_job_is_done_and_the_callers_again(void **state)
{
    struct fate fate = {.hangs = false};
    struct workers *workers;
    struct job *job = new_job(&fate);

    (void)state;
    assert_int_equal(workers_new(&workers), 0);
    for (unsigned i = 1; i <= 100; i++) { /* the same job over and over */
        assert_int_equal(workers_submit(workers, job), 0);
        assert_true(workers_wait(workers, job, clock_monotonic_s() + LONG_S));
        assert_true(workers_wait(workers, job, 0)); /* and stays so */
        assert_int_equal(fate.ended, i);
    }
    assert_int_equal(fate.freed, 0);
    workers_abandon(workers, job); /* done: freed at once */
    assert_int_equal(fate.freed, 1);
    assert_int_equal(workers_stuck(workers), 0);
    workers_free(workers, LONG_S);
}

static void a_hanging_job_is_not_waited_for(void **state)
{
    struct fate fate = {.hangs = true}, other = {.hangs = false};
    struct workers *workers;
    struct job *job = new_job(&fate), *second = new_job(&other);

    (void)state;
    assert_int_equal(workers_new(&workers), 0);
    assert_int_equal(workers_submit(workers, job), 0);
    assert_true(reaches(&fate.begun, 1));
    assert_false(workers_wait(workers, job, 0));
    assert_false(workers_wait(workers, job, -5));
    assert_false(workers_wait(workers, job, clock_monotonic_s() + 0.01));
    assert_int_equal(workers_submit(workers, second), 0); /* a thread more, so it gets done */
    assert_true(workers_wait(workers, second, clock_monotonic_s() + LONG_S));
    assert_false(workers_wait(workers, job, 0));
    end(&fate);
    assert_true(workers_wait(workers, job, clock_monotonic_s() + LONG_S));
    job->free(job);
    second->free(second);
    workers_free(workers, LONG_S);
    assert_int_equal(fate.freed, 1);
}

/* Jobs are done in whatever order; none that was is slept through. */
static void any_job_that_is_done_ends_the_wait(void **state)
{
    struct fate fates[2] = {{.hangs = true}, {.hangs = true}};
    struct workers *workers;
    struct job *jobs[2] = {new_job(&fates[0]), new_job(&fates[1])};
    uint64_t finished = 0, later = 0;

    (void)state;
    assert_int_equal(workers_new(&workers), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(workers_submit(workers, jobs[i]), 0);
    workers_wait_any(workers, &finished, clock_monotonic_s() + 0.01);
    assert_int_equal(finished, 0);
    end(&fates[1]);
    workers_wait_any(workers, &finished, 1e9);
    assert_int_equal(finished, 1);
    assert_true(workers_wait(workers, jobs[1], 0));
    workers_wait_any(workers, &finished, clock_monotonic_s() + 0.01); /* no other is done */
    assert_int_equal(finished, 1);
    end(&fates[0]);
    workers_wait_any(workers, &finished, 1e9);
    assert_int_equal(finished, 2);
    workers_wait_any(workers, &later, 0);
    assert_int_equal(later, 2);
    for (size_t i = 0; i < 2; i++)
        jobs[i]->free(jobs[i]);
    workers_free(workers, LONG_S);
}

static void an_abandoned_job_is_freed_once_when_it_ends(void **state)
{
    struct fate fate = {.hangs = true}, other = {.hangs = false};
    struct workers *workers;
    struct job *job = new_job(&fate);

    (void)state;
    assert_int_equal(workers_new(&workers), 0);
    workers_abandon(workers, NULL);
    assert_int_equal(workers_submit(workers, job), 0);
    workers_abandon(workers, job);
    assert_int_equal(workers_stuck(workers), 1);
    assert_true(reaches(&fate.begun, 1));
    assert_int_equal(now_is(&fate.freed), 0);
    end(&fate);
    assert_true(reaches(&fate.freed, 1));
    for (unsigned i = 0; i < 6000 && workers_stuck(workers) > 0; i++)
        usleep(10000);
    assert_int_equal(workers_stuck(workers), 0);
    job = new_job(&other); /* the thread is there for the next */
    assert_int_equal(workers_submit(workers, job), 0);
    assert_true(workers_wait(workers, job, clock_monotonic_s() + LONG_S));
    job->free(job);
    workers_free(workers, LONG_S);
    assert_int_equal(fate.freed, 1);
}

static void free_lets_go_of_what_hangs(void **state)
{
    enum { HANGING = 5 };
    struct fate fates[HANGING] = {
        {.hangs = true}, {.hangs = true}, {.hangs = true}, {.hangs = true}, {.hangs = true}};
    struct workers *workers;
    unsigned left_before = workers_left_behind();

    (void)state;
    assert_int_equal(workers_new(&workers), 0);
    for (unsigned i = 0; i < HANGING; i++) {
        struct job *job = new_job(&fates[i]);

        assert_int_equal(workers_submit(workers, job), 0);
        workers_abandon(workers, job);
    }
    assert_int_equal(workers_stuck(workers), HANGING);
    workers_free(workers, 0.05); /* returns though none has ended */
    for (unsigned i = 0; i < HANGING; i++) {
        assert_int_equal(now_is(&fates[i].freed), 0);
        end(&fates[i]);
        assert_true(reaches(&fates[i].freed, 1));
    }
    assert_int_equal(workers_left_behind(), left_before + HANGING);
}

static void free_runs_what_was_handed_over(void **state)
{
    struct fate fates[50] = {{.hangs = false}};
    struct workers *workers;

    (void)state;
    assert_int_equal(workers_new(&workers), 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(fates); i++) {
        struct job *job = new_job(&fates[i]);

        assert_int_equal(workers_submit(workers, job), 0);
        workers_abandon(workers, job);
    }
    workers_free(workers, LONG_S);
    for (unsigned i = 0; i < ARRAY_LENGTH(fates); i++) {
        assert_int_equal(now_is(&fates[i].ended), 1); /* such as the closing of a connection */
        assert_int_equal(now_is(&fates[i].freed), 1);
    }
}

static pthread_key_t key;
static atomic_bool thread_is_gone;

/* What a library does in a thread that ends, and some time before it comes to that. */
static void slow_destructor(void *unused)
{
    (void)unused;
    usleep(100000);
    atomic_store(&thread_is_gone, true);
}

static void run_and_keep(struct job *base)
{
    pthread_setspecific(key, base);
    run(base);
}

/* exit() may come right behind, and would free what such a destructor frees. */
static void free_waits_for_the_very_end_of_threads(void **state)
{
    struct fate fate = {.hangs = false};
    struct workers *workers;
    struct job *job = new_job(&fate);
    unsigned left_before = workers_left_behind();

    (void)state;
    assert_int_equal(pthread_key_create(&key, slow_destructor), 0);
    assert_int_equal(workers_new(&workers), 0);
    job->run = run_and_keep;
    assert_int_equal(workers_submit(workers, job), 0);
    assert_true(workers_wait(workers, job, clock_monotonic_s() + LONG_S));
    job->free(job);
    workers_free(workers, LONG_S);
    assert_true(atomic_load(&thread_is_gone));
    assert_int_equal(workers_left_behind(), left_before);
    assert_int_equal(pthread_key_delete(key), 0);
}

static void a_pool_without_jobs_is_freed(void **state)
{
    struct workers *workers;

    (void)state;
    assert_int_equal(workers_new(&workers), 0);
    assert_int_equal(thread_count(), threads_before); /* none is started before its time */
    workers_free(workers, 0);
    workers_free(NULL, 1);
    assert_int_equal(workers_new(&workers), 0);
    workers_free(workers, 1e300); /* a bound beyond any clock is none */
}

static void many_jobs_are_all_run_once(void **state)
{
    enum { JOBS = 200, ROUNDS = 20 };
    static struct fate fates[JOBS];
    struct job *jobs[JOBS];
    struct workers *workers;

    (void)state;
    memset(fates, 0, sizeof(fates));
    assert_int_equal(workers_new(&workers), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < JOBS; i++) {
            jobs[i] = new_job(&fates[i]);
            assert_int_equal(workers_submit(workers, jobs[i]), 0);
        }
        for (unsigned i = 0; i < JOBS; i++) {
            if (i % 3 == 0) { /* some while they run, some before, some after */
                workers_abandon(workers, jobs[i]);
                continue;
            }
            assert_true(workers_wait(workers, jobs[i], clock_monotonic_s() + LONG_S));
            jobs[i]->free(jobs[i]);
        }
    }
    workers_free(workers, LONG_S);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(now_is(&fates[i].ended), ROUNDS);
        assert_int_equal(now_is(&fates[i].freed), ROUNDS);
    }
}

/* One thread serves job after job: a cycle does not cost a thread each. */
static void threads_are_used_again(void **state)
{
    struct fate fate = {.hangs = false};
    struct workers *workers;
    struct job *job = new_job(&fate);

    (void)state;
    assert_int_equal(workers_new(&workers), 0);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(workers_submit(workers, job), 0);
        assert_true(workers_wait(workers, job, clock_monotonic_s() + LONG_S));
    }
    /* A thread that is not back from the job before may cost a second one, and so on, rarely. */
    assert_in_range(thread_count(), threads_before + 1, threads_before + 20);
    job->free(job);
    workers_free(workers, LONG_S);
}

/* Root is not held to RLIMIT_NPROC, so the memory for a thread's stack is what is short here. */
static void without_a_thread_the_job_stays_the_callers(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)state; /* sanitizers reserve more addresses than any limit leaves them */
    skip();
#else
    struct fate fate = {.hangs = false};
    struct workers *workers;
    struct job *job = new_job(&fate);
    struct rlimit before, none = {1 << 20, 0};
    int r;

    (void)state;
    assert_int_equal(workers_new(&workers), 0);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    /* Stacks of threads that ended may be used again; every one more needs new memory. */
    do {
        r = workers_submit(workers, job);
        if (r == 0)
            workers_wait(workers, job, 1e9);
    } while (r == 0 && now_is(&fate.begun) < 1);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    if (r == 0) {
        job->free(job);
        workers_free(workers, LONG_S);
        skip(); /* a stack was there to be used again */
    }
    assert_true(r == -EAGAIN || r == -ENOMEM);
    assert_int_equal(fate.begun, 0);
    assert_int_equal(workers_submit(workers, job), 0); /* and may be handed over later */
    assert_true(workers_wait(workers, job, clock_monotonic_s() + LONG_S));
    job->free(job);
    workers_free(workers, LONG_S);
    assert_int_equal(fate.freed, 1);
#endif
}

#define POOL_TEST(function)                                                                        \
    cmocka_unit_test_setup_teardown(function, note_threads, threads_are_gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(without_a_thread_the_job_stays_the_callers), /* first: no stack to use again */
        POOL_TEST(a_job_is_done_and_the_callers_again),
        POOL_TEST(a_hanging_job_is_not_waited_for),
        POOL_TEST(any_job_that_is_done_ends_the_wait),
        POOL_TEST(an_abandoned_job_is_freed_once_when_it_ends),
        POOL_TEST(free_lets_go_of_what_hangs),
        POOL_TEST(free_runs_what_was_handed_over),
        POOL_TEST(free_waits_for_the_very_end_of_threads),
        POOL_TEST(a_pool_without_jobs_is_freed),
        POOL_TEST(many_jobs_are_all_run_once),
        POOL_TEST(threads_are_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
