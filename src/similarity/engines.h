/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engines of similarity/ share. */
#ifndef SIMILARITY_ENGINES_H
#define SIMILARITY_ENGINES_H

#include "setmov/similarity.h"

/* Bitmaps: bit i % 64 of word i / 64 stands for the i-th digest of A. */
static inline size_t bitmap_words(size_t count)
{
    return count / 64 + 1;
}

static inline void bitmap_set(uint64_t *bits, size_t i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline bool bitmap_has(const uint64_t *bits, size_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

/* Sets the bits of those of `a` that are among `b`; both ascending. */
void similarity_join(const struct digest *a, size_t a_count, const struct digest *b, size_t b_count,
                     uint64_t *bits);

/* Probability that a filter says yes to a digest that it does not hold. */
double similarity_bloom_false_rate(const struct fingerprint_view *b);

/*
 * What is true behind a filter's answers: of keys that weigh `asked` together
 * (and `squares` as the sum of their squares), those that it said yes to weigh
 * `yes`, while it says yes wrongly at `rate`. Sets what is likely and what is
 * least.
 */
void similarity_bloom_correct(double yes, double asked, double squares, double rate,
                              double *ret_likely, double *ret_least);

/* Total, zero, distinct and internal duplicates of A. */
struct similarity_figures similarity_figures_of(const struct fingerprint_view *a);

/* A number of blocks or digests from what was computed: rounded, within 0 and `most`. */
uint64_t similarity_clamp(double value, uint64_t most);

/* One engine's way through similarity_compare(); everything is checked already. */
typedef int similarity_run(const struct fingerprint_view *a,
                           const struct fingerprint_view *const *others, size_t count,
                           struct similarity_estimate *ret_each,
                           struct similarity_estimate *ret_union, struct error *err);
similarity_run similarity_run_exact, similarity_run_bloom, similarity_run_sketch;

#endif
