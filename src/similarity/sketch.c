/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine that estimates from sketches. A's blocks fall into three kinds:
 *  - zero blocks: exact, from B's totals;
 *  - digests that occur often: each weighs much, so none may be missed. Each is
 *    looked up among B's frequent ones, in B's sketch where it belongs there,
 *    and else in B's filter (B may hold it once only);
 *  - the rest: digests below the threshold stand for them, and B's sketch says
 *    of each whether B has it.
 */

#include "similarity/engines.h"

#include <errno.h>
#include <math.h>

/* What is known of one frequent digest; of several Bs, the largest counts. */
enum known {
    ABSENT,  /* B's sketch would have it */
    DENIED,  /* B's filter does not have it */
    UNKNOWN, /* B has no filter */
    CLAIMED, /* B's filter has it, perhaps wrongly */
    PRESENT,
};

struct found {
    uint64_t *sample;  /* bitmap over A's sketch */
    uint8_t *frequent; /* enum known of each of A's frequent digests */
    bool zero;
    double right; /* probability that no filter answers wrongly with yes */
};

static void found_release(struct found *found)
{
    free(found->sample);
    free(found->frequent);
}

static int found_init(struct found *found, const struct fingerprint_view *a, struct error *err)
{
    *found = (struct found){
        .sample = calloc(bitmap_words(a->sketch_count), sizeof(uint64_t)),
        .frequent = calloc(a->frequent_count + 1, 1),
        .right = 1,
    };
    if (found->sample != NULL && found->frequent != NULL)
        return 0;
    error_set(err, -ENOMEM, "no memory for marks of a sketch");
    return -ENOMEM;
}

static enum known look_up(const struct fingerprint_view *b, const struct digest *digest)
{
    if (fingerprint_find(b->frequent, b->frequent_count, digest) < b->frequent_count)
        return PRESENT;
    if (digest->bytes[0] == 0)
        return fingerprint_find(b->digests, b->sketch_count, digest) < b->sketch_count ? PRESENT
                                                                                       : ABSENT;
    if (b->totals.distinct == 0)
        return ABSENT;
    if (b->bloom == NULL)
        return UNKNOWN;
    return fingerprint_bloom_has(b->bloom, b->bloom_bytes, digest) ? CLAIMED : DENIED;
}

static void find(const struct fingerprint_view *a, const struct fingerprint_view *b,
                 struct found *found)
{
    similarity_join(a->digests, a->sketch_count, b->digests, b->sketch_count, found->sample);
    for (size_t i = 0; i < a->frequent_count; i++)
        found->frequent[i] = (uint8_t)look_up(b, &a->frequent[i]);
    found->zero = b->totals.zero > 0;
    found->right = a->frequent_count > 0 ? 1 - similarity_bloom_false_rate(b) : 1;
}

static void unite(const struct fingerprint_view *a, struct found *all, const struct found *one)
{
    for (size_t word = 0; word < bitmap_words(a->sketch_count); word++)
        all->sample[word] |= one->sample[word];
    for (size_t i = 0; i < a->frequent_count; i++) {
        if (one->frequent[i] > all->frequent[i])
            all->frequent[i] = one->frequent[i];
    }
    all->zero |= one->zero;
    all->right *= one->right;
}

/* ---- from what was found to figures ---- */

/* Low, best and high of one figure, of digests or of blocks. */
struct guess {
    double low, best, high;
};

struct similarity_tally similarity_tally_of(const struct fingerprint_view *a)
{
    struct similarity_tally tally = {.digests.rest =
                                         (double)a->totals.distinct - (a->totals.zero > 0),
                                     .blocks.rest = (double)(a->totals.blocks - a->totals.zero)};

    for (size_t i = 0; i < a->sketch_count; i++) {
        double times = (double)similarity_sample_times(a, i);

        tally.sampled += times > 0;
        tally.blocks.seen += times;
        tally.blocks.seen_squares += times * times;
    }
    tally.digests.seen = tally.digests.seen_squares = tally.sampled;
    for (size_t i = 0; i < a->frequent_count; i++) {
        if (digest_compare(&a->frequent[i], &a->zero_digest) == 0)
            continue;
        tally.digests.rest--;
        tally.blocks.rest -= (double)le64toh(a->frequent_multiplicity[i]);
    }
    tally.digests.rest = fmax(tally.digests.rest, tally.sampled);
    tally.blocks.rest = fmax(tally.blocks.rest, tally.blocks.seen);
    return tally;
}

static void add_frequent(struct similarity_sums *sums, enum known known, double weight)
{
    if (known == PRESENT)
        sums->present += weight;
    else if (known == UNKNOWN)
        sums->unknown += weight;
    else if (known != ABSENT) {
        sums->asked += weight;
        sums->asked_squares += weight * weight;
        sums->claimed += known == CLAIMED ? weight : 0;
    }
}

static void add_found(const struct fingerprint_view *a, const struct found *found,
                      struct similarity_tally *tally)
{
    for (size_t i = 0; i < a->sketch_count; i++) {
        double times = bitmap_has(found->sample, i) ? (double)similarity_sample_times(a, i) : 0;

        tally->digests.seen_hits += times > 0;
        tally->blocks.seen_hits += times;
    }
    for (size_t i = 0; i < a->frequent_count; i++) {
        if (digest_compare(&a->frequent[i], &a->zero_digest) == 0)
            continue;
        add_frequent(&tally->digests, found->frequent[i], 1);
        add_frequent(&tally->blocks, found->frequent[i],
                     (double)le64toh(a->frequent_multiplicity[i]));
    }
}

/*
 * Interval of the share of a weighted sample. Digests of different weight tell
 * less than as many of one weight, and a few that hit never tell more than so
 * many hits.
 */
static struct similarity_interval interval_of(const struct similarity_sums *sums,
                                              const struct similarity_tally *tally)
{
    double trials, share, hits;

    if (sums->seen <= 0)
        return (struct similarity_interval){0, 1};
    share = sums->seen_hits / sums->seen;
    trials = sums->seen * sums->seen / sums->seen_squares;
    if (share > 0 && share <= 0.5)
        trials = fmin(trials, tally->digests.seen_hits / share);
    else if (share > 0.5 && share < 1)
        trials = fmin(trials, (tally->sampled - tally->digests.seen_hits) / (1 - share));
    hits = share * trials;
    return similarity_interval(hits, trials);
}

static struct guess guess_of(const struct similarity_sums *sums,
                             const struct similarity_tally *tally, double rate)
{
    struct similarity_interval interval = interval_of(sums, tally);
    double share = sums->seen > 0 ? sums->seen_hits / sums->seen : 0;
    double likely, least;
    struct guess guess;

    similarity_bloom_correct(sums->claimed, sums->asked, sums->asked_squares, rate, &likely,
                             &least);
    guess.best = sums->present + likely + share * (sums->unknown + sums->rest);
    /* What was seen of the rest is no guess. */
    guess.low = sums->present + least + fmax(interval.low * sums->rest, sums->seen_hits);
    guess.high = sums->present + sums->claimed + sums->unknown +
                 fmin(interval.high * sums->rest, sums->rest - (sums->seen - sums->seen_hits));
    guess.best = fmin(fmax(guess.best, guess.low), guess.high);
    return guess;
}

static struct similarity_figures figures_from(const struct fingerprint_view *a, bool zero,
                                              double digests, double blocks)
{
    struct similarity_figures figures = similarity_figures_of(a);
    uint64_t has_zero = figures.zero > 0;
    uint64_t found = similarity_clamp(digests, figures.distinct - has_zero);

    figures.identical_distinct = found + (zero ? has_zero : 0);
    figures.identical_with_duplicates =
        similarity_clamp(blocks, figures.total - figures.zero) + (zero ? figures.zero : 0);
    figures.bytes_to_send = (figures.distinct - has_zero - found) * a->block_size;
    return figures;
}

struct similarity_estimate similarity_tally_estimate(const struct fingerprint_view *a,
                                                     const struct similarity_tally *tally,
                                                     bool zero, double rate)
{
    struct guess digests = guess_of(&tally->digests, tally, rate);
    struct guess blocks = guess_of(&tally->blocks, tally, rate);
    struct similarity_estimate estimate = {
        .best = figures_from(a, zero, digests.best, blocks.best),
        .low = figures_from(a, zero, floor(digests.low + 1e-9), floor(blocks.low + 1e-9)),
        .high = figures_from(a, zero, ceil(digests.high - 1e-9), ceil(blocks.high - 1e-9)),
    };
    uint64_t most = estimate.low.bytes_to_send;

    /* Who has least sends most. */
    estimate.low.bytes_to_send = estimate.high.bytes_to_send;
    estimate.high.bytes_to_send = most;
    estimate.likely = estimate.best;
    return estimate;
}

static struct similarity_estimate estimate(const struct fingerprint_view *a,
                                           const struct similarity_tally *of_a,
                                           const struct found *found)
{
    struct similarity_tally tally = *of_a;

    add_found(a, found, &tally);
    return similarity_tally_estimate(a, &tally, found->zero, 1 - found->right);
}

int similarity_run_sketch(const struct fingerprint_view *a,
                          const struct fingerprint_view *const *others, size_t count,
                          struct similarity_estimate *ret_each,
                          struct similarity_estimate *ret_union, struct error *err)
{
    CLEANUP(found_release) struct found one = {0};
    CLEANUP(found_release) struct found all = {0};
    struct similarity_tally tally;
    int rc = found_init(&one, a, err);

    if (rc == 0)
        rc = found_init(&all, a, err);
    if (rc < 0)
        return rc;
    tally = similarity_tally_of(a);
    for (size_t i = 0; i < count; i++) {
        memset(one.sample, 0, bitmap_words(a->sketch_count) * sizeof(uint64_t));
        find(a, others[i], &one);
        if (ret_each != NULL)
            ret_each[i] = estimate(a, &tally, &one);
        unite(a, &all, &one);
    }
    if (ret_union != NULL)
        *ret_union = estimate(a, &tally, &all);
    return 0;
}
