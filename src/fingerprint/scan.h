/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walking through an image: what holds data is dealt out in order, in chunks
 * that several threads take and read. Private to fingerprint/.
 *
 * A chunk is a bufferful of data, from however far apart it comes: images may
 * be mostly holes. What is read is whole blocks of the largest size wanted
 * (the grain), so no block of any size lies in two chunks.
 */
#ifndef SETMOV_FINGERPRINT_SCAN_H
#define SETMOV_FINGERPRINT_SCAN_H

#include "setmov/digest.h"
#include "setmov/image.h"

#include <pthread.h>
#include <stdatomic.h>

/* Where data lies, outward to whole sectors: no block is smaller. */
#define SCAN_SECTOR ((uint64_t)DIGEST_BLOCK_MIN)

struct scan_range {
    uint64_t offset, end;
};

struct scan_chunk {
    uint64_t number;          /* in the order of the image */
    uint64_t data_bytes;      /* exactly */
    uint64_t end;             /* behind it, and behind holes that follow when it is the last */
    struct scan_range *data;  /* ascending, none touch */
    struct scan_range *reads; /* the same, outward to whole grains; they lie packed in the buffer */
    size_t data_count, read_count;
    uint8_t *buffer; /* one of the two in turn: the chunk before stays where it is */
    uint8_t *buffers[2];
    size_t piece; /* what is asked for at once: less where reading is slow */
};

struct scan {
    struct image *image;
    uint64_t size; /* of the image */
    size_t grain, chunk_bytes;

    /* Whoever walks on through the image holds it, as long as the image takes to answer. */
    pthread_mutex_t walk;
    struct image_extent extent;   /* under `walk` */
    uint64_t chunks;              /* dealt out; under `walk` */
    _Atomic uint64_t position;    /* up to here everything was looked at; moved under `walk` */
    _Atomic uint64_t bytes_known; /* data found */
    _Atomic uint64_t bytes_done;  /* data that was worked on */

    pthread_mutex_t lock; /* of all that follows; nobody waits for anything else with it */
    pthread_cond_t ended; /* a thread ended; on CLOCK_MONOTONIC */
    pthread_cond_t moved; /* `turn` moved on, or there was a failure */
    uint64_t turn;        /* chunks whose content was taken, in order */
    unsigned running;     /* threads */
    int failed;           /* the first failure */
    struct error failure;
    atomic_bool halted; /* there was one; may be looked at without the lock */
};

/* `grain`: a power of two from 512 to 65536; `chunk_bytes`: a multiple of it. */
void scan_init(struct scan *scan, struct image *image, size_t grain, size_t chunk_bytes);
/* One that is all zeroes is fine. */
void scan_destroy(struct scan *scan);

/* The first failure stays; everybody stops, and the image is interrupted. */
void scan_fail(struct scan *scan, int code, const struct error *err);

/* Room for the largest chunk, twice. */
int scan_chunk_init(struct scan_chunk *chunk, const struct scan *scan);
void scan_chunk_release(struct scan_chunk *chunk);

/*
 * The next chunk; what `chunk` was before counts as done. False: there is none,
 * or somebody failed. With `whole`, the chunks together cover the image: the
 * last one may have no data.
 */
bool scan_take(struct scan *scan, struct scan_chunk *chunk, bool whole);

/*
 * Reads it, with zeroes behind the image's end. The chunk that was read before
 * is still there, the one before that is not. False: somebody failed.
 */
bool scan_read(struct scan *scan, struct scan_chunk *chunk);

/* Waits until everything before the chunk was passed on; false: somebody failed. */
bool scan_wait_turn(struct scan *scan, const struct scan_chunk *chunk);
void scan_pass_turn(struct scan *scan);

#endif
