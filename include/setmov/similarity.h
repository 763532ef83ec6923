/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage similarity/: how much of one image is in others, and what a move would
 * send. Pure: fingerprints in memory in, figures out. Definitions, from the 2010
 * paper: blocks counted with repetition ("duplicates included") and by digest
 * ("duplicates removed"), shares over all blocks of A; the zero block's digest
 * counts like any other, but never in what is sent.
 *
 * Three engines:
 *  - exact: joins the sorted digests;
 *  - bloom: probes B's filters with A's digests; reads a twentieth of B, never
 *    counts too little, and sees how often the filters are wrong;
 *  - sketch: joins one of 256 digests and all that occur often; reads the
 *    sketches, the frequent digests and, where it has one, B's filter, of both
 *    sides, and gives intervals of 95 % confidence.
 *
 * Thread safety: no state; views are only read.
 */
#ifndef SETMOV_SIMILARITY_H
#define SETMOV_SIMILARITY_H

#include "setmov/fingerprint.h"

enum similarity_engine { SIMILARITY_EXACT, SIMILARITY_BLOOM, SIMILARITY_SKETCH };

struct similarity_figures {
    uint64_t total;               /* blocks of A */
    uint64_t zero;                /* of them, zero blocks */
    uint64_t distinct;            /* digests of A */
    uint64_t internal_duplicates; /* total - distinct */
    uint64_t identical_with_duplicates, identical_distinct;
    uint64_t bytes_to_send; /* distinct digests but zero's that B lacks, times the block size */
};

/*
 * Field by field low <= best <= high: what is 95 % sure. The same where exact;
 * of a Bloom filter best and high are what it counted, which is never too
 * little. `likely` is what hosts are ranked by, best where nothing is more so:
 * of filters, what is left without their wrong answers, which add up over the
 * images of a union.
 */
struct similarity_estimate {
    struct similarity_figures best, low, high, likely;
};

/* "exact", "bloom", "sketch"; -EINVAL: none of them. NULL: no such engine. */
int similarity_engine_parse(const char *name, enum similarity_engine *ret_engine);
const char *similarity_engine_name(enum similarity_engine engine);

/*
 * Can figures be made of the two: the same digest, block size and key?
 * -EINVAL with what differs.
 */
int similarity_comparable(const struct fingerprint_view *a, const struct fingerprint_view *b,
                          struct error *err);

/*
 * A against each of `count` others, and against all of them as one. Either
 * result may be NULL. Views need to hold what the engine reads (above), with
 * digests in ascending order; where they are not, figures are wrong, no more.
 * -EINVAL: not comparable. -ENODATA: the engine needs a Bloom filter that is
 * not there. -ENOMEM (an exact engine takes two bits for each digest of A).
 */
int similarity_compare(enum similarity_engine engine, const struct fingerprint_view *a,
                       const struct fingerprint_view *const *others, size_t count,
                       struct similarity_estimate *ret_each, struct similarity_estimate *ret_union,
                       struct error *err);

/* ---- the sketch engine's figures from counts ---------------------------------- */

/* For who finds B's digests in another way: sums over digests of A, or over their blocks. */
struct similarity_sums {
    double rest;                          /* what the sample stands for, itself included */
    double seen, seen_squares;            /* of the sample; of digests all weights are 1 */
    double seen_hits;                     /* of the sample: B has it */
    double present, unknown;              /* of the frequent ones: B has it; nothing is known */
    double asked, asked_squares, claimed; /* of the frequent ones: B's filter tells, says yes */
};

struct similarity_tally {
    struct similarity_sums digests, blocks;
    double sampled; /* digests of the sample */
};

/* Blocks of the i-th digest of A's sketch; 0 of a frequent one and of zero's: no sample. */
static inline uint64_t similarity_sample_times(const struct fingerprint_view *a, size_t i)
{
    uint64_t times = fingerprint_place_multiplicity(fingerprint_place(a, i));

    return times < FINGERPRINT_FREQUENT && digest_compare(&a->digests[i], &a->zero_digest) != 0
               ? times
               : 0;
}

/* What A alone tells, before any B was looked at: no hits, nothing of the frequent ones. */
struct similarity_tally similarity_tally_of(const struct fingerprint_view *a);

/*
 * The estimate of a tally to which B's hits and what is known of A's frequent
 * digests (zero's left out) were added. `zero`: B has zero blocks; `rate`: of
 * wrong answers of the filter that was asked.
 */
struct similarity_estimate similarity_tally_estimate(const struct fingerprint_view *a,
                                                     const struct similarity_tally *tally,
                                                     bool zero, double rate);

/* ---- shares and intervals ----------------------------------------------------- */

/* Shares in percent over all blocks of A; 0 of an image without blocks. */
double similarity_share_distinct(const struct similarity_figures *figures);
double similarity_share_with_duplicates(const struct similarity_figures *figures);

struct similarity_interval {
    double low, high;
};

/*
 * 95 % confidence interval of a probability of which `hits` of `trials` were
 * seen (fractions may stand for weighted samples): Wilson's where both hits and
 * misses are many, else Clopper and Pearson's, which never covers too little.
 */
struct similarity_interval similarity_interval(double hits, double trials);

#endif
