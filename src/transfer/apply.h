/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of transfer_apply() share: one run of it, its images, its donors
 * and the threads that build.
 *
 * Pieces are taken in the plan's order. So a piece that replicates waits only for
 * pieces that were taken before it, and the first one that is not finished waits
 * for none. Once an extent does not hold, nothing is written any more: all that
 * is left to do is to find the others that do not.
 */
#ifndef SETMOV_TRANSFER_APPLY_INTERNAL_H
#define SETMOV_TRANSFER_APPLY_INTERNAL_H

#include "setmov/image.h"
#include "setmov/image_write.h"
#include "setmov/transfer_apply.h"
#include "setmov/transfer_pack.h"

#include <pthread.h>
#include <stdatomic.h>

#define APPLY_MAX_THREADS 64
/* So many donors are open at a time; more than there are threads. */
#define APPLY_OPEN_DONORS 96

struct apply_image {
    const struct transfer_image *plan;
    const char *root; /* of options->directories, that it lies below */
    const char *name; /* without its directory; points into plan->path */
    int directory;    /* held: no link on the way below the root; -1: none */
    int lock;         /* -1: none */
    int file;         /* of one that is there, and locked against removal; -1: none */
    struct image *existing;
    struct image_write *write;
    struct transfer_content content;
    uint64_t device, inode;
    bool is_wrong; /* it was built, and is not what the plan says */
    bool leased, published;
};

enum apply_donor_state {
    APPLY_DONOR_CLOSED,
    APPLY_DONOR_WANTED, /* the thread that called opens it */
    APPLY_DONOR_OPEN,
    APPLY_DONOR_FAILED, /* for good */
};

struct apply_donor {
    enum apply_donor_state state;
    struct image *image;
    unsigned users;
    uint64_t last_used;
};

struct apply_donors {
    struct apply_donor *all; /* as many as the plan has */
    const char **allowed;    /* options->directories, NULL at the end */
    uint32_t open[APPLY_OPEN_DONORS];
    size_t open_count;
    uint32_t wanted[APPLY_MAX_THREADS]; /* a thread wants one at a time */
    size_t wanted_count;
    uint64_t uses;
};

struct apply;

/* A thread, and the piece that it has in hand. */
struct apply_worker {
    struct apply *apply;
    pthread_t thread;
    bool busy; /* with the piece below; under the mutex */
    size_t image;
    uint64_t start; /* of the piece, in the image */
    size_t length;
    size_t first, end;    /* extents of the piece */
    uint8_t *buffer;      /* the piece */
    uint8_t *aside;       /* what was read of a donor that does not lie there as it does here */
    size_t fetched;       /* extents before this one that are copies are in the buffer */
    uint64_t bytes_of[4]; /* by enum transfer_kind */
    bool failed;          /* something of this piece did not hold */
};

struct apply {
    const struct transfer_plan *plan;
    const struct transfer_apply_options *options;
    struct transfer_apply_result *result;
    struct apply_image *images; /* as the plan's */
    int incoming;               /* -1: none */
    struct transfer_part_reader *parts;
    bool *part_seen;   /* it was read, or it failed; under the mutex */
    bool *part_failed; /* it is listed; under the mutex */
    bool listed;       /* it fails with a list of what does not hold */
    uint64_t total;    /* bytes of extents to be built */
    double ticked_s;
    uint64_t moves_told;
    atomic_uint_fast64_t moves; /* steps that were done, of whatever sort */
    atomic_bool halted;         /* all threads end as soon as they can */
    atomic_bool broken;         /* an extent or a part did not hold */

    pthread_mutex_t mutex;  /* of all below */
    pthread_cond_t changed; /* a piece is finished, a donor is open, halted */
    pthread_cond_t wanted;  /* for the thread that called */
    struct apply_donors donors;
    struct apply_worker *workers;
    unsigned worker_count, running;
    size_t next_image, next_extent; /* to be taken */
    uint64_t next_piece;            /* the same, of images that are read */
    uint64_t done;                  /* bytes of extents */
    struct error refusal;           /* the first extent or part that did not hold */
    int rc;                         /* the first failure that ends all */
    struct error err;
};

/* ---- apply.c ---- */

/* Tells the caller how far it is and asks it, at most ten times a second. False: it shall stop. */
bool apply_tick(struct apply *apply);
/* It got a step further: the next tick tells. Any thread. */
void apply_moved(struct apply *apply);
/* Sleeps for so long, then apply_tick(). -ECANCELED. */
int apply_wait(struct apply *apply, struct error *err);

/* ---- apply_place.c: where images shall lie ---- */

/* Fills in root, name and directory. */
int apply_place_find(struct apply *apply, struct apply_image *image, struct error *err);
/* Looks for a name that is taken; opens what may serve. */
int apply_place_look(struct apply *apply, struct apply_image *image, struct error *err);
/* Is there room for what shall be built? */
int apply_space_check(const struct apply *apply, struct error *err);
/* A directory with what is above it. */
int apply_directory_make(const char *path, struct error *err);

/* ---- apply_lock.c: one run at a time for a path ---- */

/* Of all images, in the order of their locks' names. */
int apply_lock_all(struct apply *apply, struct error *err);
void apply_unlock_all(struct apply *apply);
/* Others who wait see that this run gets on. */
void apply_lock_touch(struct apply *apply);

/* ---- apply_donor.c ---- */

/* -ESTALE: it cannot be had. -ECANCELED. Any thread. */
int apply_donor_acquire(struct apply *apply, uint32_t number, struct image **ret_image);
void apply_donor_release(struct apply *apply, uint32_t number);
/* Opens one that is wanted: only by the thread that called, which has the mutex. False: none is. */
bool apply_donor_serve(struct apply *apply);
void apply_donor_interrupt_all(struct apply *apply);
void apply_donor_close_all(struct apply *apply);

/* ---- apply_threads.c ---- */

/*
 * Has `work` done for every piece by threads, while this one serves them.
 * `take`, with the mutex, puts the next piece into the worker's hand; false: none is left.
 */
int apply_threads_run(struct apply *apply, bool (*take)(struct apply_worker *worker),
                      int (*work)(struct apply_worker *worker, struct error *err),
                      struct error *err);
void apply_halt(struct apply *apply);
/* Until nobody has that piece in hand. -ECANCELED. */
int apply_wait_for_piece(struct apply_worker *worker, size_t image, uint64_t offset);

/* ---- apply_piece.c: one piece, built ---- */

int apply_piece_build(struct apply_worker *worker, struct error *err);
/* ---- apply_copy.c ---- */
int apply_copy(struct apply_worker *worker, size_t number, struct error *err);
/* The extent, or the part, does not hold. `why` is kept of the first. */
int apply_extent_failed(struct apply_worker *worker, size_t number, const struct error *why,
                        struct error *err);

/* ---- apply_existing.c ---- */

/* Are the images that are there what the plan says? */
int apply_existing_check(struct apply *apply, struct error *err);

/* ---- apply_lease.c ---- */

/* Of an image that is finished. */
int apply_lease_write(const struct apply *apply, struct apply_image *image, struct error *err);
void apply_lease_drop(const struct apply *apply, struct apply_image *image);
/* Of one that was there: if it has one. */
int apply_lease_prolong(const struct apply *apply, const struct apply_image *image,
                        struct error *err);

/* ---- apply_publish.c ---- */

int apply_publish(struct apply *apply, struct error *err);

static inline struct image_write_options apply_write_options(const struct transfer_image *image)
{
    return (struct image_write_options){.format = image->format,
                                        .virtual_size = image->virtual_size,
                                        .backing = image->backing,
                                        .backing_format = image->backing_format,
                                        .settings = image->settings};
}

static inline const struct transfer_image *apply_worker_plan(const struct apply_worker *worker)
{
    return &worker->apply->plan->images[worker->image];
}

#endif
