/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engines that look at every digest of A: the exact one, and Bloom filters. */

#include "similarity/engines.h"

#include <errno.h>
#include <math.h>

/* Few are so many that they have to be looked up. */
static inline uint64_t times_of(const struct fingerprint_view *a, size_t i)
{
    uint64_t told = fingerprint_place_multiplicity(fingerprint_place(a, i));

    return told < FINGERPRINT_SATURATED ? told : fingerprint_multiplicity(a, i);
}

/* What the bitmap says that B has of A. */
static struct similarity_figures count_bits(const struct fingerprint_view *a, const uint64_t *bits)
{
    struct similarity_figures figures = similarity_figures_of(a);
    size_t zero = fingerprint_find(a->digests, a->totals.distinct, &a->zero_digest);
    uint64_t missing = a->totals.distinct;

    for (size_t i = 0; i < a->totals.distinct; i += 64) {
        for (uint64_t word = bits[i / 64]; word != 0; word &= word - 1) {
            uint64_t times = times_of(a, i + (size_t)__builtin_ctzll(word));

            /* A file that lies about them does not get more than it has. */
            if (times > figures.total - figures.identical_with_duplicates)
                times = figures.total - figures.identical_with_duplicates;
            figures.identical_with_duplicates += times;
            figures.identical_distinct++;
        }
    }
    missing -= figures.identical_distinct;
    if (zero < a->totals.distinct && !bitmap_has(bits, zero))
        missing--;
    figures.bytes_to_send = missing * a->block_size;
    return figures;
}

static void find_exactly(const struct fingerprint_view *a, const struct fingerprint_view *b,
                         uint64_t *bits)
{
    similarity_join(a->digests, a->totals.distinct, b->digests, b->totals.distinct, bits);
}

/* Digests ascend, so the probes walk through the filter from its beginning to its end. */
static void find_by_filter(const struct fingerprint_view *a, const struct fingerprint_view *b,
                           uint64_t *bits)
{
    if (b->bloom == NULL)
        return;
    for (size_t i = 0; i < a->totals.distinct; i += 64) {
        size_t end = i + 64 < a->totals.distinct ? i + 64 : a->totals.distinct;
        uint64_t word = 0;

        for (size_t j = i; j < end; j++) {
            bool has = fingerprint_bloom_has(b->bloom, b->bloom_bytes, &a->digests[j]);

            word |= (uint64_t)has << (j % 64);
        }
        bits[i / 64] |= word;
    }
}

static struct similarity_estimate exact_estimate(const struct fingerprint_view *a,
                                                 const uint64_t *bits, double rate)
{
    struct similarity_figures figures = count_bits(a, bits);

    (void)rate;
    return (struct similarity_estimate){figures, figures, figures};
}

/* The filter counts too much, by its rate of false answers. */
static struct similarity_estimate filter_estimate(const struct fingerprint_view *a,
                                                  const uint64_t *bits, double rate)
{
    struct similarity_estimate estimate = exact_estimate(a, bits, rate);
    double likely, least, squares = 0;
    uint64_t fewer;

    for (size_t i = 0; i < a->totals.distinct; i++) {
        double times = (double)times_of(a, i);

        squares += times * times;
    }
    similarity_bloom_correct((double)estimate.best.identical_distinct, (double)a->totals.distinct,
                             (double)a->totals.distinct, rate, &likely, &least);
    estimate.low.identical_distinct =
        similarity_clamp(floor(least), estimate.best.identical_distinct);
    similarity_bloom_correct((double)estimate.best.identical_with_duplicates,
                             (double)a->totals.blocks, squares, rate, &likely, &least);
    estimate.low.identical_with_duplicates =
        similarity_clamp(floor(least), estimate.best.identical_with_duplicates);
    fewer = estimate.best.identical_distinct - estimate.low.identical_distinct;
    estimate.high.bytes_to_send += fewer * a->block_size;
    return estimate;
}

struct method {
    void (*find)(const struct fingerprint_view *a, const struct fingerprint_view *b,
                 uint64_t *bits);
    struct similarity_estimate (*estimate)(const struct fingerprint_view *a, const uint64_t *bits,
                                           double rate);
};

static int run(const struct method *method, const struct fingerprint_view *a,
               const struct fingerprint_view *const *others, size_t count,
               struct similarity_estimate *ret_each, struct similarity_estimate *ret_union,
               struct error *err)
{
    size_t words = bitmap_words(a->totals.distinct);
    CLEANUP(cleanup_free) uint64_t *bits = calloc(words, sizeof(*bits));
    CLEANUP(cleanup_free) uint64_t *all = calloc(words, sizeof(*all));
    double right = 1;

    if (bits == NULL || all == NULL)
        return error_set(err, -ENOMEM, "no memory for marks of %llu digests",
                         (unsigned long long)a->totals.distinct);
    for (size_t i = 0; i < count; i++) {
        double rate = method->find == find_by_filter ? similarity_bloom_false_rate(others[i]) : 0;

        memset(bits, 0, words * sizeof(*bits));
        method->find(a, others[i], bits);
        if (ret_each != NULL)
            ret_each[i] = method->estimate(a, bits, rate);
        for (size_t word = 0; word < words; word++)
            all[word] |= bits[word];
        right *= 1 - rate;
    }
    if (ret_union != NULL)
        *ret_union = method->estimate(a, all, 1 - right);
    return 0;
}

int similarity_run_exact(const struct fingerprint_view *a,
                         const struct fingerprint_view *const *others, size_t count,
                         struct similarity_estimate *ret_each,
                         struct similarity_estimate *ret_union, struct error *err)
{
    static const struct method method = {find_exactly, exact_estimate};

    return run(&method, a, others, count, ret_each, ret_union, err);
}

int similarity_run_bloom(const struct fingerprint_view *a,
                         const struct fingerprint_view *const *others, size_t count,
                         struct similarity_estimate *ret_each,
                         struct similarity_estimate *ret_union, struct error *err)
{
    static const struct method method = {find_by_filter, filter_estimate};

    for (size_t i = 0; i < count; i++) {
        if (others[i]->bloom == NULL && others[i]->totals.distinct > 0)
            return error_set(err, -ENODATA, "a fingerprint has no Bloom filter");
    }
    return run(&method, a, others, count, ret_each, ret_union, err);
}
