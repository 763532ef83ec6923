/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A move by whoever knows how, in a thread, while this one looks what comes in. */
#include "peers/requests.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define LOOK_EVERY_NS 100000000

struct moving {
    const struct peers_requests_options *options;
    const struct requests_move *move;
    char *text;
    size_t size;
    atomic_bool stop, done;
    int result;
    struct error error;
};

static bool is_stopped(void *context)
{
    const struct moving *moving = context;

    return atomic_load(&moving->stop);
}

static void *run(void *context)
{
    struct moving *moving = context;

    moving->result =
        moving->options->move(moving->options->context, moving->move->vm, moving->move->host,
                              is_stopped, moving, moving->text, moving->size, &moving->error);
    atomic_store(&moving->done, true);
    return NULL;
}

int requests_move(const struct peers_requests_options *options, const struct requests_move *move,
                  bool (*stopped)(void *context), void *context, char *ret_text, size_t size,
                  struct error *err)
{
    struct moving moving = {.options = options, .move = move, .text = ret_text, .size = size};
    double began_s = clock_monotonic_s();
    bool late = false;
    pthread_t thread;
    int code;

    atomic_init(&moving.stop, false);
    atomic_init(&moving.done, false);
    ret_text[0] = '\0';
    code = pthread_create(&thread, NULL, run, &moving);
    if (code != 0)
        return error_set(err, -code, "cannot start a thread: %s", strerror(code));
    /* It is not left alone when it is to stop: what it has begun it undoes first. */
    while (!atomic_load(&moving.done)) {
        if (stopped(context)) {
            late = false;
            atomic_store(&moving.stop, true);
        } else if (!atomic_load(&moving.stop) && clock_monotonic_s() - began_s > move->timeout_s) {
            late = true;
            atomic_store(&moving.stop, true);
        }
        nanosleep(&(struct timespec){0, LOOK_EVERY_NS}, NULL);
    }
    pthread_join(thread, NULL);
    if (late && moving.result == -ECANCELED)
        return error_set(err, -ETIMEDOUT, "it did not end within %g s", move->timeout_s);
    return moving.result < 0 ? error_set(err, moving.result, "%s", moving.error.text) : 0;
}
