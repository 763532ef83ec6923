/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the threads that make an image's part of a plan share. Private to transfer/. */
#ifndef SETMOV_TRANSFER_MAKE_PRIVATE_H
#define SETMOV_TRANSFER_MAKE_PRIVATE_H

#include "setmov/transfer_make.h"
#include "transfer/assign.h"

#include <pthread.h>
#include <stdatomic.h>

#define MAKE_BLOCKS (TRANSFER_PIECE_BYTES / DIGEST_BLOCK_MIN) /* most in a piece */

/* In a piece: bytes of data, or (of a layer that lies on another) zeroes. */
struct make_range {
    uint32_t start, end;
    bool zero;
};

struct make_piece {
    uint64_t number;
    uint8_t *bytes; /* TRANSFER_PIECE_BYTES; zeroes where it holds no data */
    uint32_t length;
    struct make_range *ranges; /* ascending, apart from one another where both are data */
    size_t range_count, range_capacity;
};

/* What is the same for all pieces. */
struct make_facts {
    const struct assign *assign;
    const struct digest_plan *digest;
    uint32_t image; /* this one's number in the plan */
    /* Before anything was added: to ask the CPU for each extent again takes longer than to copy. */
    struct digest_content empty;
    bool is_layer; /* it lies on a backing image, which zeroes hide */
};

/*
 * What one thread found. Sources of extents are numbers of the sources it was
 * given: a donor, a known part or, of what is to be sent, UINT32_MAX.
 */
struct make_record {
    uint64_t piece;
    size_t first, count; /* extents */
};

struct make_draft {
    struct transfer_extent *extents;
    size_t extent_count, extent_capacity;
    uint8_t (*hashes)[TRANSFER_HASH_BYTES];
    size_t hash_count, hash_capacity;
    struct make_record *records;
    size_t record_count, record_capacity;
    struct transfer_figures figures;
    /* The same block over and over, up to now: its digest, from where, to where. */
    size_t run_found;
    uint64_t run_start, run_end;
    /* Of the piece at hand, by block: index of its digest, or one of these. */
    size_t found[MAKE_BLOCKS];
    const void *waiting[MAKE_BLOCKS];
    uint32_t waiting_blocks[MAKE_BLOCKS];
    struct digest digests[MAKE_BLOCKS];
};

void make_draft_release(struct make_draft *draft);

/* -ESTALE: a block that the fingerprint does not know; -ENOMEM. */
int make_draft_piece(struct make_draft *draft, const struct make_facts *facts,
                     const struct make_piece *piece, struct error *err);

/* Everything that can be the source of a block, for an image that will be the next of the plan. */
int make_assign(struct assign *assign, const struct fingerprint_view *own,
                const struct transfer_sources *sources, struct error *err);

/* What an image with so many extents makes a plan longer, about. */
uint64_t make_plan_bytes(uint64_t extents, uint64_t copied);

/* ---- threads ---- */

struct make_work {
    struct image *image;
    struct make_facts facts;
    struct transfer_content *content;
    uint64_t size;

    pthread_mutex_t walk; /* of who walks on through the image */
    struct image_extent extent;
    uint64_t position; /* up to here everything was dealt out */

    pthread_mutex_t lock;
    pthread_cond_t ended; /* on CLOCK_MONOTONIC */
    unsigned running;
    int failed; /* the first failure */
    struct error failure;
    atomic_bool halted;
    _Atomic uint64_t done; /* bytes of data */
};

struct make_worker {
    struct make_work *work;
    pthread_t thread;
    struct make_draft draft;
};

void make_fail(struct make_work *work, int code, const struct error *err);
/* A thread's start routine; `argument` is its struct make_worker. */
void *make_run(void *argument);

#endif
