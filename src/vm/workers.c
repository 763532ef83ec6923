/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pool that grows by a thread whenever all others hang in a call. */
#include "vm/workers.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct worker {
    struct workers *workers;
    pthread_t thread; /* for the owner alone */
    bool ended;       /* but for what its libraries do in a thread that ends */
    struct worker *next;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t submitted, finished; /* on CLOCK_MONOTONIC */
    struct job *first, *last;           /* waiting for a thread */
    struct worker *members;             /* all that were started */
    unsigned threads, idle, queued, stuck;
    uint64_t finished_count;
    bool closing, cancelled;
    bool owner_gone; /* the last thread frees the pool */
};

/* Threads of this process that nobody waits for any more. */
static atomic_uint left_behind;

static void pool_destroy(struct workers *workers)
{
    while (workers->members) {
        struct worker *member = workers->members;

        workers->members = member->next;
        free(member);
    }
    pthread_cond_destroy(&workers->submitted);
    pthread_cond_destroy(&workers->finished);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

static struct job *take_job(struct workers *workers)
{
    struct job *job;

    workers->idle++;
    while (!workers->first && !workers->closing)
        pthread_cond_wait(&workers->submitted, &workers->lock);
    workers->idle--;
    job = workers->first;
    if (job) {
        workers->first = job->next;
        workers->queued--;
        if (!workers->first)
            workers->last = NULL;
    }
    return job;
}

static void *thread_main(void *argument)
{
    struct worker *self = argument;
    struct workers *workers = self->workers;
    struct job *job;
    bool last_one;

    pthread_mutex_lock(&workers->lock);
    while ((job = take_job(workers))) {
        pthread_mutex_unlock(&workers->lock);
        job->run(job);
        pthread_mutex_lock(&workers->lock);
        job->done = true;
        workers->finished_count++;
        if (job->abandoned) {
            pthread_mutex_unlock(&workers->lock);
            job->free(job);
            pthread_mutex_lock(&workers->lock);
            workers->stuck--;
        }
        pthread_cond_broadcast(&workers->finished);
    }
    self->ended = true;
    workers->threads--;
    pthread_cond_broadcast(&workers->finished);
    last_one = workers->owner_gone && workers->threads == 0;
    pthread_mutex_unlock(&workers->lock);
    if (last_one)
        pool_destroy(workers);
    return NULL;
}

int workers_new(struct workers **ret_workers)
{
    struct workers *workers = calloc(1, sizeof(*workers));
    pthread_condattr_t attributes;

    if (!workers)
        return -ENOMEM;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->submitted, &attributes);
    pthread_cond_init(&workers->finished, &attributes);
    pthread_condattr_destroy(&attributes);
    *ret_workers = workers;
    return 0;
}

/* A thread takes no signals: they are the host program's. */
static int start_thread(struct workers *workers)
{
    struct worker *member = calloc(1, sizeof(*member));
    sigset_t all, before;
    int r;

    if (!member)
        return -ENOMEM;
    member->workers = workers;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&member->thread, NULL, thread_main, member);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        free(member);
        return -r;
    }
    member->next = workers->members;
    workers->members = member;
    workers->threads++;
    return 0;
}

int workers_submit(struct workers *workers, struct job *job)
{
    int r = 0;

    pthread_mutex_lock(&workers->lock);
    job->done = job->abandoned = false;
    job->next = NULL;
    if (workers->idle <= workers->queued)
        r = start_thread(workers);
    if (r == 0) {
        if (workers->last)
            workers->last->next = job;
        else
            workers->first = job;
        workers->last = job;
        workers->queued++;
        pthread_cond_signal(&workers->submitted);
    }
    pthread_mutex_unlock(&workers->lock);
    return r;
}

static struct timespec timespec_of(double seconds)
{
    /* NaN and what no clock reaches would be no timespec. */
    double bounded = fmin(fmax(seconds, 0), 1e9), whole = floor(bounded);

    return (struct timespec){(time_t)whole, (long)((bounded - whole) * 1e9)};
}

bool workers_wait(struct workers *workers, struct job *job, double until_s)
{
    struct timespec until = timespec_of(until_s);
    bool done;

    pthread_mutex_lock(&workers->lock);
    while (!job->done && !workers->cancelled &&
           pthread_cond_timedwait(&workers->finished, &workers->lock, &until) != ETIMEDOUT)
        ;
    done = job->done;
    pthread_mutex_unlock(&workers->lock);
    return done;
}

void workers_wait_any(struct workers *workers, uint64_t *finished, double until_s)
{
    struct timespec until = timespec_of(until_s);

    pthread_mutex_lock(&workers->lock);
    while (workers->finished_count == *finished && !workers->cancelled &&
           pthread_cond_timedwait(&workers->finished, &workers->lock, &until) != ETIMEDOUT)
        ;
    *finished = workers->finished_count;
    pthread_mutex_unlock(&workers->lock);
}

void workers_cancel(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->cancelled = true;
    pthread_cond_broadcast(&workers->finished);
    pthread_mutex_unlock(&workers->lock);
}

void workers_abandon(struct workers *workers, struct job *job)
{
    bool done;

    if (!job)
        return;
    pthread_mutex_lock(&workers->lock);
    done = job->done;
    if (!done) {
        job->abandoned = true;
        workers->stuck++;
    }
    pthread_mutex_unlock(&workers->lock);
    if (done)
        job->free(job);
}

unsigned workers_stuck(struct workers *workers)
{
    unsigned stuck;

    pthread_mutex_lock(&workers->lock);
    stuck = workers->stuck;
    pthread_mutex_unlock(&workers->lock);
    return stuck;
}

/* Takes those that have ended out of the pool, and lets go of the others. */
static struct worker *take_ended(struct workers *workers)
{
    struct worker *ended = NULL;

    for (struct worker **link = &workers->members; *link;) {
        struct worker *member = *link;

        if (member->ended) {
            *link = member->next;
            member->next = ended;
            ended = member;
        } else {
            pthread_detach(member->thread);
            atomic_fetch_add(&left_behind, 1);
            link = &member->next;
        }
    }
    return ended;
}

/*
 * A thread's last act is its libraries': OpenSSL, libxml2 and libvirt free what
 * they keep for each. The process must not exit meanwhile: exit() has them free
 * that too.
 */
static void join_all(struct worker *ended)
{
    while (ended) {
        struct worker *next = ended->next;

        pthread_join(ended->thread, NULL);
        free(ended);
        ended = next;
    }
}

void workers_free(struct workers *workers, double timeout_s)
{
    struct worker *ended;
    struct timespec until;
    bool last_one;

    if (!workers)
        return;
    until = timespec_of(clock_monotonic_s() + timeout_s);
    pthread_mutex_lock(&workers->lock);
    workers->closing = true;
    pthread_cond_broadcast(&workers->submitted);
    while (workers->threads > 0 &&
           pthread_cond_timedwait(&workers->finished, &workers->lock, &until) != ETIMEDOUT)
        ;
    workers->owner_gone = true;
    last_one = workers->threads == 0;
    ended = take_ended(workers);
    pthread_mutex_unlock(&workers->lock);
    join_all(ended);
    if (last_one)
        pool_destroy(workers);
}

unsigned workers_left_behind(void)
{
    return atomic_load(&left_behind);
}
