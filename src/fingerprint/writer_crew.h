/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that take numbered units of work, and take turns where order matters. Private. */
#ifndef FINGERPRINT_WRITER_CREW_H
#define FINGERPRINT_WRITER_CREW_H

#include "setmov/base.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* Whom the work is for: both are called by the thread that called crew_run() only. Or NULL. */
struct crew_caller {
    bool (*stopped)(void *context);
    void (*progress)(void *context, double share); /* of the whole work, 0 to 1 */
    void *context;
};

struct crew {
    unsigned threads;
    struct crew_caller caller;
    double share, next_share; /* of the whole work: behind us, and when this run is done */
    atomic_size_t next;       /* unit */
    size_t units;
    atomic_int failed; /* the first failure */
    struct error failure;
    size_t turn; /* unit whose turn it is; under the lock */
    pthread_mutex_t lock;
    pthread_cond_t moved;
};

/* One thread's part: takes units until there are none. `member` counts from 0. */
typedef void crew_work(struct crew *crew, unsigned member, void *context);

void crew_init(struct crew *crew, unsigned threads, const struct crew_caller *caller);
void crew_destroy(struct crew *crew);

/* With the next run so much of the whole work is done. */
void crew_reach(struct crew *crew, double share);

/*
 * Threads made while it lasts get no signals but those of their own faults:
 * the others are for the caller's threads. `ret_before` is to be set again after.
 */
void crew_block_signals(sigset_t *ret_before);

/* Runs `work` with all threads, this one too; returns the first failure, or -ECANCELED. */
int crew_run(struct crew *crew, size_t units, crew_work *work, void *context, struct error *err);

/* The next unit; false: no more, or somebody failed, or it was stopped. */
bool crew_take(struct crew *crew, unsigned member, size_t *ret_unit);
/* Within a long unit: did somebody fail, or was it stopped? */
bool crew_is_over(struct crew *crew, unsigned member);
/* Waits for the unit's turn, which lasts until it is passed on. False: somebody failed. */
bool crew_wait_turn(struct crew *crew, size_t unit);
void crew_pass_turn(struct crew *crew);
/* The first failure stays; everybody stops. */
void crew_fail(struct crew *crew, int code, const struct error *err);

#endif
