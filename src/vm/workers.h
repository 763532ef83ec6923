/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for calls that may never return. Whoever submits a job waits for it
 * as long as it likes and then takes it back or abandons it; an abandoned job
 * is freed by its thread when its call returns at last. Nothing here knows
 * libvirt.
 *
 * Thread safety: one thread submits, waits and abandons; run() is called in a
 * thread of the pool and touches only its job.
 */
#ifndef SETMOV_VM_WORKERS_H
#define SETMOV_VM_WORKERS_H

#include "setmov/base.h"

struct job {
    void (*run)(struct job *job);
    void (*free)(struct job *job); /* frees the job and what it holds */
    /* the pool's own: */
    bool done, abandoned;
    struct job *next;
};

struct workers;

int workers_new(struct workers **ret_workers);

/* Hands the job over. 0, or -EAGAIN/-ENOMEM: no thread to be had; the job is then still the caller's. */
int workers_submit(struct workers *workers, struct job *job);

/* Waits until the job is done or CLOCK_MONOTONIC is `until_s`. True: done, the caller's again. */
bool workers_wait(struct workers *workers, struct job *job, double until_s);

/*
 * Waits until more than `*finished` jobs have been finished, all told, or
 * CLOCK_MONOTONIC is `until_s`; `*finished` is how many were. Begins with 0.
 */
void workers_wait_any(struct workers *workers, uint64_t *finished, double until_s);

/* Makes every wait, now and later, end at once. Any thread. */
void workers_cancel(struct workers *workers);

/* Lets go of the job: freed now if it is done, else by its thread when it is. NULL is fine. */
void workers_abandon(struct workers *workers, struct job *job);

/* Abandoned jobs whose calls have not returned. */
unsigned workers_stuck(struct workers *workers);

/*
 * Waits for running jobs, `timeout_s` at most; threads that still hang free the
 * rest when they end. All others are gone to the last when this returns.
 */
void workers_free(struct workers *workers, double timeout_s);

/* Threads of this process, of any pool, that workers_free() did not wait for (and may be gone since). */
unsigned workers_left_behind(void);

#endif
