/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that share out numbered units of work. */

#include "fingerprint/writer_crew.h"

#include <errno.h>

struct member {
    struct crew *crew;
    crew_work *work;
    void *context;
    unsigned number;
    pthread_t thread;
};

void crew_init(struct crew *crew, unsigned threads, const struct crew_caller *caller)
{
    *crew = (struct crew){.threads = threads, .caller = *caller};
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->moved, NULL);
}

void crew_destroy(struct crew *crew)
{
    pthread_mutex_destroy(&crew->lock);
    pthread_cond_destroy(&crew->moved);
}

void crew_fail(struct crew *crew, int code, const struct error *err)
{
    pthread_mutex_lock(&crew->lock);
    if (atomic_load(&crew->failed) == 0) {
        if (err != NULL)
            crew->failure = *err;
        atomic_store(&crew->failed, code);
    }
    pthread_cond_broadcast(&crew->moved);
    pthread_mutex_unlock(&crew->lock);
}

void crew_reach(struct crew *crew, double share)
{
    crew->next_share = share;
}

void crew_block_signals(sigset_t *ret_before)
{
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_BLOCK, &all, ret_before);
}

/* Units that were taken count as done: they are many, or quick. */
static void tell_progress(struct crew *crew)
{
    size_t taken = atomic_load(&crew->next);
    double part = 1;

    if (crew->caller.progress == NULL)
        return;
    if (taken < crew->units)
        part = (double)taken / (double)crew->units;
    crew->caller.progress(crew->caller.context,
                          crew->share + part * (crew->next_share - crew->share));
}

bool crew_is_over(struct crew *crew, unsigned member)
{
    const struct crew_caller *caller = &crew->caller;

    if (member == 0)
        tell_progress(crew);
    if (member == 0 && caller->stopped != NULL && atomic_load(&crew->failed) == 0 &&
        caller->stopped(caller->context)) {
        struct error err;

        crew_fail(crew, error_set(&err, -ECANCELED, "stopped"), &err);
    }
    return atomic_load(&crew->failed) != 0;
}

bool crew_take(struct crew *crew, unsigned member, size_t *ret_unit)
{
    size_t unit;

    if (crew_is_over(crew, member))
        return false;
    unit = atomic_fetch_add(&crew->next, 1);
    if (unit >= crew->units)
        return false;
    *ret_unit = unit;
    return true;
}

bool crew_wait_turn(struct crew *crew, size_t unit)
{
    bool ours;

    pthread_mutex_lock(&crew->lock);
    while (crew->turn != unit && atomic_load(&crew->failed) == 0)
        pthread_cond_wait(&crew->moved, &crew->lock);
    ours = atomic_load(&crew->failed) == 0;
    pthread_mutex_unlock(&crew->lock);
    return ours;
}

void crew_pass_turn(struct crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->turn++;
    pthread_cond_broadcast(&crew->moved);
    pthread_mutex_unlock(&crew->lock);
}

static void *start(void *argument)
{
    struct member *member = argument;

    member->work(member->crew, member->number, member->context);
    return NULL;
}

int crew_run(struct crew *crew, size_t units, crew_work *work, void *context, struct error *err)
{
    size_t wanted = crew->threads < units ? crew->threads : units, running = 0;
    CLEANUP(cleanup_free) struct member *members = calloc(wanted + 1, sizeof(*members));
    sigset_t before;
    int rc;

    atomic_store(&crew->next, 0);
    crew->units = units;
    crew->turn = 0;
    crew_block_signals(&before);
    /* With fewer threads than wanted it only takes longer. */
    for (unsigned i = 1; members != NULL && i < wanted; i++) {
        members[running] = (struct member){crew, work, context, i, 0};
        if (pthread_create(&members[running].thread, NULL, start, &members[running]) != 0)
            break;
        running++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    work(crew, 0, context);
    for (size_t i = 0; i < running; i++)
        pthread_join(members[i].thread, NULL);
    crew->share = crew->next_share;
    rc = atomic_load(&crew->failed);
    if (rc < 0 && err != NULL)
        *err = crew->failure;
    return rc;
}
