/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where each distinct block of an image can come from at the destination, so
 * that the plan becomes small. Private to transfer/. Pure.
 *
 * Blocks are ranked by where they lie first in the image. Donors, earlier
 * images and parts are joined one by one with the image's sorted digests, which
 * gives runs: neighbours here that are neighbours there. A run fills what has no
 * source yet; it takes the place of what was found before where that makes fewer
 * bytes of plan. 16 bytes a distinct block.
 */
#ifndef SETMOV_TRANSFER_ASSIGN_H
#define SETMOV_TRANSFER_ASSIGN_H

#include "setmov/fingerprint.h"

/* A source: kind << 60 | number << 40 | block there; 0: none. */
enum assign_kind { ASSIGN_NONE = 0, ASSIGN_DONOR = 1, ASSIGN_PART = 2, ASSIGN_EARLIER = 3 };

#define ASSIGN_NUMBERS (UINT64_C(1) << 20)

static inline uint64_t assign_source(enum assign_kind kind, uint64_t number, uint64_t block)
{
    return (uint64_t)kind << 60 | number << 40 | block;
}

static inline enum assign_kind assign_kind_of(uint64_t source)
{
    return (enum assign_kind)(source >> 60);
}

static inline uint32_t assign_number_of(uint64_t source)
{
    return (uint32_t)(source >> 40 & (ASSIGN_NUMBERS - 1));
}

static inline uint64_t assign_block_of(uint64_t source)
{
    return source & (FINGERPRINT_MAX_BLOCKS - 1);
}

/* Does one extent hold both, where the blocks are neighbours in the image? */
static inline bool assign_follows(uint64_t before, uint64_t source)
{
    if (before == 0 || source == 0)
        return before == source;
    return source == before + 1 && assign_block_of(source) != 0;
}

#define ASSIGN_PAGE_BLOCKS ((uint64_t)1 << 16)

/* Which blocks of 65536 are the first of their digest, and how many before each word are. */
struct assign_page {
    uint64_t base;
    uint64_t bits[ASSIGN_PAGE_BLOCKS / 64];
    uint16_t before[ASSIGN_PAGE_BLOCKS / 64];
};

struct assign {
    const struct fingerprint_view *own;
    size_t zero;                /* index of the zero block's digest; none: own->totals.distinct */
    size_t count;               /* ranks: distinct blocks but zero's */
    uint64_t *sources;          /* by rank */
    uint64_t *candidates;       /* by rank; zeroes between two joins */
    uint64_t *breaks;           /* bits by rank: the block before it is no neighbour */
    struct assign_page **pages; /* NULL: no first block there */
    size_t page_count;
    uint32_t *index; /* where digests with these first bits begin */
    unsigned index_bits;
};

/* `own`: digests and places, ascending. -ENOMEM, also for 2^32 digests or more. */
int assign_init(struct assign *assign, const struct fingerprint_view *own, struct error *err);
void assign_release(struct assign *assign);

/* Donors in their order, earlier images and parts before them. `limit`: only blocks below it. */
void assign_view(struct assign *assign, enum assign_kind kind, uint32_t number,
                 const struct fingerprint_view *view, uint64_t limit);
void assign_digests(struct assign *assign, uint32_t number, const struct digest *digests,
                    size_t count);

/* Index of a digest in own->digests; own->totals.distinct: it is not there. */
size_t assign_find(const struct assign *assign, const struct digest *digest);
/* Brings nearer what assign_find() will read. */
void assign_prefetch(const struct assign *assign, const struct digest *digest);

/* Of the i-th digest, which is not zero's: its source. */
uint64_t assign_source_of(const struct assign *assign, size_t i);

/*
 * Extents that come of it, but for those that later copies of a block split or
 * join; `replicated`: from earlier images, and what later copies are guessed to make.
 */
struct assign_extents {
    uint64_t sent, copied, reused, replicated;
};
struct assign_extents assign_count(const struct assign *assign);

/* Walks through the ranked blocks: assign_next() until it is false. */
struct assign_walk {
    const struct assign *assign;
    size_t page, word, rank; /* rank: of the next one */
    uint64_t bits;
};
static inline struct assign_walk assign_walk(const struct assign *assign)
{
    return (struct assign_walk){.assign = assign};
}
bool assign_next(struct assign_walk *walk, uint64_t *ret_block, uint64_t *ret_source);

#endif
