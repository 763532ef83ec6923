/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that take piece after piece, and the one that serves them meanwhile. */
#include "transfer/apply.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#define DEFAULT_THREADS 8
#define TICK_NS         100000000

struct crew {
    bool (*take)(struct apply_worker *worker);
    int (*work)(struct apply_worker *worker, struct error *err);
    struct apply_worker *worker;
};

/* With the mutex. */
static void halt(struct apply *apply)
{
    atomic_store(&apply->halted, true);
    apply_donor_interrupt_all(apply);
    for (size_t i = 0; i < apply->plan->image_count; i++) {
        if (apply->images[i].existing != NULL)
            image_interrupt(apply->images[i].existing);
    }
    pthread_cond_broadcast(&apply->changed);
    pthread_cond_signal(&apply->wanted);
}

void apply_halt(struct apply *apply)
{
    pthread_mutex_lock(&apply->mutex);
    halt(apply);
    pthread_mutex_unlock(&apply->mutex);
}

static void fail(struct apply *apply, int rc, const struct error *err)
{
    if (apply->rc == 0) {
        apply->rc = rc;
        apply->err = *err;
    }
    halt(apply);
}

/* ---- a thread that builds ------------------------------------------------------------- */

static void *run_worker(void *argument)
{
    const struct crew *crew = argument;
    struct apply_worker *worker = crew->worker;
    struct apply *apply = worker->apply;

    pthread_mutex_lock(&apply->mutex);
    while (!atomic_load(&apply->halted) && crew->take(worker)) {
        struct error err = {""};
        int rc;

        worker->busy = true;
        pthread_mutex_unlock(&apply->mutex);
        rc = crew->work(worker, &err);
        pthread_mutex_lock(&apply->mutex);
        worker->busy = false;
        apply_moved(apply);
        if (rc < 0)
            fail(apply, rc, &err);
        for (size_t i = worker->first; i < worker->end; i++)
            apply->done += apply->plan->images[worker->image].extents[i].length;
        pthread_cond_broadcast(&apply->changed);
    }
    apply->running--;
    pthread_cond_signal(&apply->wanted);
    pthread_mutex_unlock(&apply->mutex);
    return NULL;
}

/* Pieces are taken in order, so none that lies before will be taken again. */
int apply_wait_for_piece(struct apply_worker *worker, size_t image, uint64_t offset)
{
    struct apply *apply = worker->apply;
    bool wait;

    pthread_mutex_lock(&apply->mutex);
    do {
        wait = false;
        for (unsigned i = 0; i < apply->worker_count && !wait; i++) {
            const struct apply_worker *other = &apply->workers[i];

            wait = other != worker && other->busy && other->image == image &&
                   offset - other->start < other->length;
        }
        if (wait && !atomic_load(&apply->halted))
            pthread_cond_wait(&apply->changed, &apply->mutex);
    } while (wait && !atomic_load(&apply->halted));
    pthread_mutex_unlock(&apply->mutex);
    return atomic_load(&apply->halted) ? -ECANCELED : 0;
}

/* ---- the thread that serves them ---------------------------------------------------------- */

static void serve(struct apply *apply)
{
    pthread_mutex_lock(&apply->mutex);
    while (apply->running > 0) {
        struct timespec until;

        if (!atomic_load(&apply->halted) && apply_donor_serve(apply))
            continue;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&apply->wanted, &apply->mutex, &until);
        pthread_mutex_unlock(&apply->mutex);
        if (!apply_tick(apply))
            apply_halt(apply);
        pthread_mutex_lock(&apply->mutex);
    }
    pthread_mutex_unlock(&apply->mutex);
}

static unsigned thread_count(const struct apply *apply)
{
    unsigned count = apply->options->threads;
    cpu_set_t set;

    if (count == 0) {
        count = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
        count = count < DEFAULT_THREADS ? count : DEFAULT_THREADS;
    }
    return count < APPLY_MAX_THREADS ? count : APPLY_MAX_THREADS;
}

static int prepare(struct apply *apply, unsigned count, struct error *err)
{
    apply->workers = calloc(count, sizeof(*apply->workers));
    if (apply->workers == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    apply->worker_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct apply_worker *worker = &apply->workers[i];

        worker->apply = apply;
        worker->buffer = aligned_alloc(4096, TRANSFER_PIECE_BYTES);
        worker->aside = aligned_alloc(4096, TRANSFER_PIECE_BYTES);
        if (worker->buffer == NULL || worker->aside == NULL)
            return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

static void dismiss(struct apply *apply)
{
    for (unsigned i = 0; i < apply->worker_count; i++) {
        const struct apply_worker *worker = &apply->workers[i];

        apply->result->bytes_local += worker->bytes_of[TRANSFER_COPY];
        apply->result->bytes_replicated += worker->bytes_of[TRANSFER_REPLICATE];
        apply->result->bytes_sent += worker->bytes_of[TRANSFER_SENT];
        free(worker->buffer);
        free(worker->aside);
    }
    free(apply->workers);
    apply->workers = NULL;
    apply->worker_count = 0;
}

int apply_threads_run(struct apply *apply, bool (*take)(struct apply_worker *worker),
                      int (*work)(struct apply_worker *worker, struct error *err),
                      struct error *err)
{
    struct crew crews[APPLY_MAX_THREADS];
    unsigned count = thread_count(apply), started = 0;
    int rc = prepare(apply, count, err);

    while (rc == 0 && started < count) {
        struct apply_worker *worker = &apply->workers[started];
        int failed;

        crews[started] = (struct crew){take, work, worker};
        pthread_mutex_lock(&apply->mutex);
        apply->running++;
        pthread_mutex_unlock(&apply->mutex);
        failed = pthread_create(&worker->thread, NULL, run_worker, &crews[started]);
        if (failed != 0) {
            pthread_mutex_lock(&apply->mutex);
            apply->running--;
            pthread_mutex_unlock(&apply->mutex);
        }
        if (failed != 0 && started == 0)
            rc = error_set(err, -failed, "cannot make a thread: %s", strerror(failed));
        if (failed != 0)
            break;
        started++;
    }
    if (started > 0)
        serve(apply);
    for (unsigned i = 0; i < started; i++)
        pthread_join(apply->workers[i].thread, NULL);
    dismiss(apply);
    if (rc == 0 && apply->rc < 0) {
        *err = apply->err;
        rc = apply->rc;
    }
    if (rc == 0 && atomic_load(&apply->halted))
        rc = error_set(err, -ECANCELED, "stopped");
    return rc;
}
