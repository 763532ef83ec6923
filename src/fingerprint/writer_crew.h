/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that take numbered units of work, and take turns where order matters. Private. */
#ifndef FINGERPRINT_WRITER_CREW_H
#define FINGERPRINT_WRITER_CREW_H

#include "setmov/base.h"

#include <pthread.h>
#include <stdatomic.h>

struct crew {
    unsigned threads;
    bool (*stopped)(void *context); /* asked by the thread that called crew_work() only */
    void *stopped_context;
    atomic_size_t next; /* unit */
    size_t units;
    atomic_int failed; /* the first failure */
    struct error failure;
    size_t turn; /* unit whose turn it is; under the lock */
    pthread_mutex_t lock;
    pthread_cond_t moved;
};

/* One thread's part: takes units until there are none. `member` counts from 0. */
typedef void crew_work(struct crew *crew, unsigned member, void *context);

void crew_init(struct crew *crew, unsigned threads, bool (*stopped)(void *), void *context);
void crew_destroy(struct crew *crew);

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
