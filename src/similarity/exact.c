/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engines that look at every digest of A: the exact one, and Bloom filters. */

#include "similarity/engines.h"

#include <errno.h>
#include <math.h>

/* Digests that nobody has, whose answers tell how often filters lie. */
#define PROBES_LEAST 4096
#define PROBES_MOST  65536

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

static void find_exactly(const struct fingerprint_view *b, const struct digest *digests,
                         size_t count, uint64_t *bits)
{
    similarity_join(digests, count, b->digests, b->totals.distinct, bits);
}

/* Digests ascend, so they walk through the filter from its beginning to its end. */
static void find_by_filter(const struct fingerprint_view *b, const struct digest *digests,
                           size_t count, uint64_t *bits)
{
    if (b->bloom == NULL)
        return;
    for (size_t i = 0; i < count; i += 64) {
        size_t end = i + 64 < count ? i + 64 : count;
        uint64_t word = 0;

        for (size_t j = i; j < end; j++) {
            bool has = fingerprint_bloom_has(b->bloom, b->bloom_bytes, &digests[j]);

            word |= (uint64_t)has << (j % 64);
        }
        bits[i / 64] |= word;
    }
}

static struct similarity_estimate exact_estimate(const struct fingerprint_view *a,
                                                 const uint64_t *bits)
{
    struct similarity_figures figures = count_bits(a, bits);

    return (struct similarity_estimate){figures, figures, figures, figures};
}

/* ---- what filters say wrongly ---- */

/*
 * A union's filters say yes to the same wrong digests where its images are
 * alike, and to different ones where they are not: how often together is seen,
 * not computed.
 */
struct probes {
    struct digest *digests; /* ascending; of no block */
    size_t count;
};

/* The n-th of a sequence without a pattern. */
static uint64_t mix(uint64_t n)
{
    uint64_t value = n * UINT64_C(0x9e3779b97f4a7c15);

    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

/* As many as A has digests, within bounds, evenly over all that there could be. */
static int probes_make(uint64_t distinct, struct probes *probes)
{
    unsigned bits = 0;

    while (UINT64_C(1) << bits < PROBES_LEAST ||
           (UINT64_C(1) << bits < distinct && UINT64_C(1) << bits < PROBES_MOST))
        bits++;
    probes->count = (size_t)1 << bits;
    probes->digests = malloc(probes->count * sizeof(*probes->digests));
    if (probes->digests == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < probes->count; i++) {
        uint64_t first = htobe64((uint64_t)i << (64 - bits) | mix(2 * i + 1) >> bits);
        uint64_t second = mix(2 * i + 2);

        memcpy(probes->digests[i].bytes, &first, sizeof(first));
        memcpy(probes->digests[i].bytes + sizeof(first), &second, sizeof(second));
    }
    return 0;
}

static double rate_of(const struct probes *probes, const uint64_t *bits)
{
    size_t yes = 0;

    for (size_t i = 0; i < probes->count; i++)
        yes += bitmap_has(bits, i);
    return (double)yes / (double)probes->count;
}

/* Of a number that a filter counted: what is likely behind it, and what is least. */
static void correct(uint64_t counted, double asked, double squares, double rate, size_t probes,
                    uint64_t *ret_likely, uint64_t *ret_least)
{
    double likely, least;

    /* The rate is a guess as well: its error weighs as all that was asked does. */
    squares += asked * asked / (double)probes;
    similarity_bloom_correct((double)counted, asked, squares, rate, &likely, &least);
    *ret_least = similarity_clamp(floor(least), counted);
    *ret_likely = similarity_clamp(likely, counted);
    if (rate >= 1) /* that says yes to everything tells nothing */
        *ret_likely = 0;
}

/* Bytes when `fewer` digests are there than were counted; zero's is never sent. */
static uint64_t bytes_with_fewer(const struct fingerprint_view *a, uint64_t bytes, uint64_t fewer)
{
    uint64_t most = (a->totals.distinct - (a->totals.zero > 0)) * a->block_size;

    bytes += fewer * a->block_size;
    return bytes < most ? bytes : most;
}

static struct similarity_estimate filter_estimate(const struct fingerprint_view *a,
                                                  const uint64_t *bits, double rate, size_t probes)
{
    struct similarity_estimate estimate = exact_estimate(a, bits);
    const struct similarity_figures *counted = &estimate.best;
    double squares = 0;

    for (size_t i = 0; i < a->totals.distinct; i++) {
        double times = (double)times_of(a, i);

        squares += times * times;
    }
    correct(counted->identical_distinct, (double)a->totals.distinct, (double)a->totals.distinct,
            rate, probes, &estimate.likely.identical_distinct, &estimate.low.identical_distinct);
    correct(counted->identical_with_duplicates, (double)a->totals.blocks, squares, rate, probes,
            &estimate.likely.identical_with_duplicates, &estimate.low.identical_with_duplicates);
    estimate.likely.bytes_to_send =
        bytes_with_fewer(a, counted->bytes_to_send,
                         counted->identical_distinct - estimate.likely.identical_distinct);
    estimate.high.bytes_to_send = bytes_with_fewer(
        a, counted->bytes_to_send, counted->identical_distinct - estimate.low.identical_distinct);
    return estimate;
}

/* ---- the two ways ---- */

typedef void finder(const struct fingerprint_view *b, const struct digest *digests, size_t count,
                    uint64_t *bits);

/* Digests that are looked up, and those of them that one, and any, of the others has. */
struct marks {
    uint64_t *one, *any;
    size_t words;
};

static void marks_release(struct marks *marks)
{
    free(marks->one);
    free(marks->any);
}

static int marks_init(struct marks *marks, size_t count)
{
    marks->words = bitmap_words(count);
    marks->one = calloc(marks->words, sizeof(*marks->one));
    marks->any = calloc(marks->words, sizeof(*marks->any));
    return marks->one != NULL && marks->any != NULL ? 0 : -ENOMEM;
}

static void look_up(struct marks *marks, finder *find, const struct fingerprint_view *b,
                    const struct digest *digests, size_t count)
{
    memset(marks->one, 0, marks->words * sizeof(*marks->one));
    find(b, digests, count, marks->one);
    for (size_t word = 0; word < marks->words; word++)
        marks->any[word] |= marks->one[word];
}

static int no_memory(const struct fingerprint_view *a, struct error *err)
{
    return error_set(err, -ENOMEM, "no memory for marks of %llu digests",
                     (unsigned long long)a->totals.distinct);
}

int similarity_run_exact(const struct fingerprint_view *a,
                         const struct fingerprint_view *const *others, size_t count,
                         struct similarity_estimate *ret_each,
                         struct similarity_estimate *ret_union, struct error *err)
{
    CLEANUP(marks_release) struct marks marks = {0};

    if (marks_init(&marks, a->totals.distinct) < 0)
        return no_memory(a, err);
    for (size_t i = 0; i < count; i++) {
        look_up(&marks, find_exactly, others[i], a->digests, a->totals.distinct);
        if (ret_each != NULL)
            ret_each[i] = exact_estimate(a, marks.one);
    }
    if (ret_union != NULL)
        *ret_union = exact_estimate(a, marks.any);
    return 0;
}

static void probes_release(struct probes *probes)
{
    free(probes->digests);
}

int similarity_run_bloom(const struct fingerprint_view *a,
                         const struct fingerprint_view *const *others, size_t count,
                         struct similarity_estimate *ret_each,
                         struct similarity_estimate *ret_union, struct error *err)
{
    CLEANUP(marks_release) struct marks marks = {0};
    CLEANUP(marks_release) struct marks wrong = {0};
    CLEANUP(probes_release) struct probes probes = {0};

    for (size_t i = 0; i < count; i++) {
        if (others[i]->bloom == NULL && others[i]->totals.distinct > 0)
            return error_set(err, -ENODATA, "a fingerprint has no Bloom filter");
    }
    if (probes_make(a->totals.distinct, &probes) < 0 ||
        marks_init(&marks, a->totals.distinct) < 0 || marks_init(&wrong, probes.count) < 0)
        return no_memory(a, err);
    for (size_t i = 0; i < count; i++) {
        look_up(&marks, find_by_filter, others[i], a->digests, a->totals.distinct);
        look_up(&wrong, find_by_filter, others[i], probes.digests, probes.count);
        if (ret_each != NULL)
            ret_each[i] = filter_estimate(a, marks.one, rate_of(&probes, wrong.one), probes.count);
    }
    if (ret_union != NULL)
        *ret_union = filter_estimate(a, marks.any, rate_of(&probes, wrong.any), probes.count);
    return 0;
}
