/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways to read an image, as a table of functions; and the rate limit. */
#ifndef SETMOV_IMAGE_BACKEND_H
#define SETMOV_IMAGE_BACKEND_H

#include "image/chain.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- stop.c: looked at by everything that waits -------------------------------------------- */

struct image_stop {
    atomic_bool interrupted;
    bool (*stopped)(void *context); /* while the image opens, else NULL */
    void *context;
};

bool image_stop_is_set(struct image_stop *stop); /* NULL is fine */
/* How much of what is left to wait may go by until that is looked at again. */
double image_stop_slice_s(double left_s);
/* Until that time of CLOCK_MONOTONIC. -ECANCELED: stopped, also where there is nothing to wait for. */
int image_stop_sleep_until(struct image_stop *stop, double until_s);

/* ---- the ways --------------------------------------------------------------------------- */

/* Thread safety as in setmov/image.h; offset and length are within the size. */
struct image_backend {
    const char *name;
    /*
     * `chain` outlives the state. On failure nothing is left. -EOPNOTSUPP: not this way; then
     * `err` is as before.
     */
    int (*open)(const struct image_chain *chain, const struct image_options *options,
                void **ret_state, uint64_t *ret_size, struct error *err);
    void (*close)(void *state);
    bool (*is_direct)(const void *state); /* no other process is waited for */
    int (*next_extent)(void *state, uint64_t offset, struct image_extent *ret_extent,
                       struct error *err);
    int (*read)(void *state, uint64_t offset, size_t length, void *buffer, struct error *err);
};

extern const struct image_backend image_backend_raw;    /* raw.c */
extern const struct image_backend image_backend_placed; /* placed.c */
extern const struct image_backend image_backend_nbd;    /* nbd.c */

/* ---- rate.c: no more than so many bytes a second, for all threads together ------------- */

struct image_rate {
    pthread_mutex_t lock;
    uint64_t bytes_per_s; /* 0: no limit */
    double next_s;        /* CLOCK_MONOTONIC at which what was granted is used up */
};

void image_rate_init(struct image_rate *rate, uint64_t bytes_per_s);
void image_rate_destroy(struct image_rate *rate);
/* When a reader who asks now may read so many bytes (with a limit); a time that is past: at once. */
double image_rate_grant(struct image_rate *rate, double now_s, size_t bytes);
/* Waits until that many bytes may be read. -ECANCELED: stopped. */
int image_rate_wait(struct image_rate *rate, size_t bytes, struct image_stop *stop);

#endif
