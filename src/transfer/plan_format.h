/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where what lies in a plan file (docs/plan-format.md), and what encoder and
 * decoder both do. Private to transfer/.
 */
#ifndef SETMOV_TRANSFER_PLAN_FORMAT_H
#define SETMOV_TRANSFER_PLAN_FORMAT_H

#include "setmov/base_bytes.h"
#include "setmov/transfer_plan.h"

#define PLAN_MAGIC      "SETMOVPL"
#define PLAN_VERSION    1
#define PLAN_HEAD_BYTES 64

#define PLAN_AT_MAGIC    0
#define PLAN_AT_VERSION  8
#define PLAN_AT_FLAGS    12 /* 0 */
#define PLAN_AT_LENGTH   16 /* of the file */
#define PLAN_AT_BODY     24 /* length of the body, decompressed */
#define PLAN_AT_PACKED   32 /* the same, compressed */
#define PLAN_AT_HASHES   40 /* how many */
#define PLAN_AT_RESERVED 48 /* 0 */
#define PLAN_AT_CHECKSUM 56

#define PLAN_ID_BYTES 16 /* a donor */

/* All places and sizes in a plan are below this, so that sums fit easily. */
#define PLAN_PLACE_MAX (UINT64_C(1) << 60)

#define PLAN_NAME_MAX     1024
#define PLAN_PATH_MAX     4095
#define PLAN_FORMAT_MAX   15
#define PLAN_SETTINGS_MAX 255

/* Flags of an image. */
#define PLAN_IMAGE_SETTINGS  1
#define PLAN_IMAGE_BACKING   2
#define PLAN_IMAGE_MAY_EXIST 4
#define PLAN_IMAGE_FLAGS     7

/* The tag of an extent: two bits of the kind, then these, then blocks if 1 to 7. */
#define PLAN_TAG_KIND   3
#define PLAN_TAG_GAP    4  /* it does not begin where the one before ends */
#define PLAN_TAG_SOURCE 8  /* another source than the last one of the kind */
#define PLAN_TAG_FROM   16 /* not from where it is expected */
#define PLAN_TAG_BLOCKS 32 /* times the length in blocks; 0: it stands by itself */

enum plan_column { PLAN_TAGS, PLAN_GAPS, PLAN_LENGTHS, PLAN_SOURCES, PLAN_FROMS, PLAN_COLUMNS };

/*
 * Where the next extent is expected to come from: after the last one of its
 * kind from that source, as far in it as in the image (a copy of an image
 * mostly lies where the image lies); of a part, just behind the last one.
 */
struct plan_guess {
    uint64_t *shifts[4];    /* by kind, of each source: from - offset, modulo 2^64 */
    size_t shift_counts[4]; /* sources there can be */
    uint32_t sources[4];    /* the last one of each kind */
};

int plan_guess_init(struct plan_guess *guess, const struct transfer_plan *plan);
void plan_guess_release(struct plan_guess *guess);
/* An image begins. */
void plan_guess_restart(struct plan_guess *guess);
uint64_t plan_guess_from(const struct plan_guess *guess, const struct transfer_extent *extent);
void plan_guess_learn(struct plan_guess *guess, const struct transfer_extent *extent);

static inline uint64_t plan_zigzag(uint64_t difference)
{
    return difference << 1 ^ (uint64_t) - (int64_t)(difference >> 63);
}

static inline uint64_t plan_unzigzag(uint64_t value)
{
    return value >> 1 ^ (uint64_t) - (int64_t)(value & 1);
}

/* Everything that transfer_plan_encode() promises; -EINVAL, -EFBIG. */
int plan_check_head(const struct transfer_plan *plan, struct error *err); /* but for the arrays */
int plan_check(const struct transfer_plan *plan, struct error *err);

#endif
