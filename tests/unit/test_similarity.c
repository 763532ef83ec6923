/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engines of similarity/, held against the paper's example and a brute-force reference. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coverage.h"
#include "made_fingerprint.h"
#include "setmov/similarity.h"

#include <errno.h>
#include <math.h>

#define PAIRS     10000
#define MOST_IDS  4000 /* different contents of a random image */
#define MOST_EACH 3    /* images on B's side */

static uint64_t state = 1;

/* ---- the reference ---- */

/* An image as a list of contents; what stands for a content depends on the salt. */
struct image {
    uint64_t contents[3 * MOST_IDS];
    size_t count;
};

static void add_block(struct image *image, uint64_t content)
{
    if (image->count < ARRAY_LENGTH(image->contents))
        image->contents[image->count++] = content;
}

/* Contents are below MOST_IDS, but for MADE_ZERO, which has the last mark. */
static size_t mark_of(uint64_t content)
{
    return content == MADE_ZERO ? MOST_IDS : content;
}

static struct similarity_figures brute_force(const struct image *a, const struct image *others,
                                             size_t count)
{
    static bool in_b[MOST_IDS + 1], seen[MOST_IDS + 1];
    struct similarity_figures figures = {.total = a->count};

    memset(in_b, 0, sizeof(in_b));
    memset(seen, 0, sizeof(seen));
    for (size_t b = 0; b < count; b++) {
        for (size_t i = 0; i < others[b].count; i++)
            in_b[mark_of(others[b].contents[i])] = true;
    }
    for (size_t i = 0; i < a->count; i++) {
        size_t mark = mark_of(a->contents[i]);
        bool first = !seen[mark];

        seen[mark] = true;
        figures.zero += mark == MOST_IDS;
        figures.distinct += first;
        figures.identical_with_duplicates += in_b[mark];
        figures.identical_distinct += first && in_b[mark];
        if (first && !in_b[mark] && mark != MOST_IDS)
            figures.bytes_to_send += MADE_BLOCK_SIZE;
    }
    figures.internal_duplicates = figures.total - figures.distinct;
    return figures;
}

static struct made_fingerprint fingerprint_of(const struct image *image, uint64_t salt)
{
    static uint64_t contents[3 * MOST_IDS];

    for (size_t i = 0; i < image->count; i++)
        contents[i] =
            image->contents[i] == MADE_ZERO ? MADE_ZERO : image->contents[i] + (salt << 20);
    return made_fingerprint(contents, image->count);
}

static void assert_figures(const struct similarity_figures *got,
                           const struct similarity_figures *wanted)
{
    assert_int_equal(got->total, wanted->total);
    assert_int_equal(got->zero, wanted->zero);
    assert_int_equal(got->distinct, wanted->distinct);
    assert_int_equal(got->internal_duplicates, wanted->internal_duplicates);
    assert_int_equal(got->identical_with_duplicates, wanted->identical_with_duplicates);
    assert_int_equal(got->identical_distinct, wanted->identical_distinct);
    assert_int_equal(got->bytes_to_send, wanted->bytes_to_send);
}

/* ---- the paper ---- */

static void test_table_1_of_the_paper(void **unused)
{
    static const uint64_t a_blocks[] = {0, 1, 2, 1, 0, 4, 4, 4, 3, 5};
    static const uint64_t b_blocks[] = {7, 1, 3, 2, 9, 4, 4, 8};
    const struct similarity_figures wanted = {10, 0, 6, 4, 7, 4, 2 * MADE_BLOCK_SIZE};
    struct made_fingerprint a = made_fingerprint(a_blocks, ARRAY_LENGTH(a_blocks));
    struct made_fingerprint b = made_fingerprint(b_blocks, ARRAY_LENGTH(b_blocks));
    const struct fingerprint_view *others[] = {&b.view};
    struct similarity_estimate each, all;
    struct error err;

    (void)unused;
    assert_int_equal(similarity_compare(SIMILARITY_EXACT, &a.view, others, 1, &each, &all, &err),
                     0);
    assert_figures(&each.best, &wanted);
    assert_figures(&each.low, &wanted);
    assert_figures(&each.high, &wanted);
    assert_figures(&all.best, &wanted);
    assert_true(similarity_share_with_duplicates(&each.best) == 70.0);
    assert_true(similarity_share_distinct(&each.best) == 40.0);
    made_fingerprint_release(&a);
    made_fingerprint_release(&b);
}

static void test_zero_blocks_count_but_are_never_sent(void **unused)
{
    static const uint64_t a_blocks[] = {MADE_ZERO, 1, MADE_ZERO, 2, 2};
    static const uint64_t with[] = {2, MADE_ZERO}, without[] = {1};
    struct made_fingerprint a = made_fingerprint(a_blocks, 5);
    struct made_fingerprint b[] = {made_fingerprint(with, 2), made_fingerprint(without, 1)};
    const struct fingerprint_view *others[] = {&b[0].view, &b[1].view};
    struct similarity_estimate each[2], all;
    struct error err;

    (void)unused;
    for (enum similarity_engine engine = SIMILARITY_EXACT; engine <= SIMILARITY_SKETCH; engine++) {
        assert_int_equal(similarity_compare(engine, &a.view, others, 2, each, &all, &err), 0);
        assert_int_equal(all.best.zero, 2);
        if (engine == SIMILARITY_SKETCH)
            continue;
        assert_figures(&each[0].best, &(struct similarity_figures){5, 2, 3, 2, 4, 2, 512});
        assert_figures(&each[1].best, &(struct similarity_figures){5, 2, 3, 2, 1, 1, 512});
        assert_figures(&all.best, &(struct similarity_figures){5, 2, 3, 2, 5, 3, 0});
    }
    made_fingerprint_release(&a);
    made_fingerprint_release(&b[0]);
    made_fingerprint_release(&b[1]);
}

/* ---- random pairs ---- */

static size_t below(size_t limit)
{
    return made_random(&state) % limit;
}

/* Some share of the contents, from none to all, each once or a few times, and a few often. */
static void fill_image(struct image *image, size_t ids, unsigned int permille)
{
    size_t zeroes = below(3) == 0 ? below(50) : 0;
    bool repeats = below(2) == 0;

    image->count = 0;
    for (size_t id = 0; id < ids; id++) {
        size_t times = 1 + (repeats ? below(3) : 0);

        if (below(1000) >= permille)
            continue;
        if (repeats && below(200) == 0)
            times = FINGERPRINT_FREQUENT + below(30);
        while (times-- > 0)
            add_block(image, id);
    }
    while (zeroes-- > 0)
        add_block(image, MADE_ZERO);
}

static void check_bounds(const struct similarity_estimate *estimate)
{
    const struct similarity_figures *low = &estimate->low, *best = &estimate->best,
                                    *high = &estimate->high;

    assert_true(
        within(low->identical_distinct, best->identical_distinct, high->identical_distinct));
    assert_true(within(low->identical_with_duplicates, best->identical_with_duplicates,
                       high->identical_with_duplicates));
    assert_true(within(low->bytes_to_send, best->bytes_to_send, high->bytes_to_send));
    assert_true(within(low->identical_distinct, estimate->likely.identical_distinct,
                       high->identical_distinct));
    assert_true(within(low->bytes_to_send, estimate->likely.bytes_to_send, high->bytes_to_send));
    assert_true(high->identical_distinct <= high->distinct);
    assert_true(high->identical_with_duplicates <= high->total);
}

static void count_coverage(const struct similarity_estimate *estimate,
                           const struct similarity_figures *truth, struct coverage *coverage)
{
    check_bounds(estimate);
    coverage_add(estimate, truth->identical_distinct, truth->identical_with_duplicates,
                 truth->bytes_to_send, coverage);
}

static void check_bloom(const struct similarity_estimate *estimate,
                        const struct similarity_figures *truth, size_t filters)
{
    check_bounds(estimate);
    /* Never too little, and too much by its false answers only. */
    assert_true(estimate->best.identical_distinct >= truth->identical_distinct);
    assert_true(estimate->best.identical_with_duplicates >= truth->identical_with_duplicates);
    assert_true(estimate->best.bytes_to_send <= truth->bytes_to_send);
    assert_in_range(estimate->best.identical_distinct - truth->identical_distinct, 0,
                    filters * (12 + truth->distinct * 3 / 100));
}

struct pair_figures {
    struct similarity_figures each[MOST_EACH], all;
};

static void check_engines(const struct fingerprint_view *a,
                          const struct fingerprint_view *const *others, size_t count,
                          const struct pair_figures *truth, struct coverage *single,
                          struct coverage *united, struct coverage *filtered)
{
    struct similarity_estimate each[MOST_EACH], all;
    struct error err;

    assert_int_equal(similarity_compare(SIMILARITY_EXACT, a, others, count, each, &all, &err), 0);
    for (size_t i = 0; i < count; i++)
        assert_figures(&each[i].best, &truth->each[i]);
    assert_figures(&all.best, &truth->all);
    assert_int_equal(similarity_compare(SIMILARITY_BLOOM, a, others, count, each, &all, &err), 0);
    for (size_t i = 0; i < count; i++) {
        check_bloom(&each[i], &truth->each[i], 1);
        count_coverage(&each[i], &truth->each[i], filtered);
    }
    check_bloom(&all, &truth->all, count);
    count_coverage(&all, &truth->all, filtered);
    assert_int_equal(similarity_compare(SIMILARITY_SKETCH, a, others, count, each, &all, &err), 0);
    for (size_t i = 0; i < count; i++)
        count_coverage(&each[i], &truth->each[i], single);
    count_coverage(&all, &truth->all, united);
}

static void test_random_pairs_as_brute_force(void **unused)
{
    /* Near none and all, as between. */
    static const unsigned int shares[] = {0, 3, 20, 100, 500, 900, 980, 997, 1000};
    static struct image a, others[MOST_EACH];
    struct coverage single = {0}, united = {0}, filtered = {0};
    size_t pairs = 0;

    (void)unused;
    for (uint64_t round = 1; pairs < PAIRS; round++) {
        size_t ids = below(8) == 0 ? below(40) : below(MOST_IDS), count = 1 + below(MOST_EACH);
        const struct fingerprint_view *views[MOST_EACH];
        struct made_fingerprint of_a, of_others[MOST_EACH];
        struct pair_figures truth;

        fill_image(&a, ids, 1000 - (unsigned int)below(2) * 500);
        of_a = fingerprint_of(&a, round);
        for (size_t i = 0; i < count; i++) {
            fill_image(&others[i], ids, shares[below(ARRAY_LENGTH(shares))]);
            of_others[i] = fingerprint_of(&others[i], round);
            views[i] = &of_others[i].view;
            truth.each[i] = brute_force(&a, &others[i], 1);
        }
        truth.all = brute_force(&a, others, count);
        check_engines(&of_a.view, views, count, &truth, &single, &united, &filtered);
        pairs += count;
        made_fingerprint_release(&of_a);
        for (size_t i = 0; i < count; i++)
            made_fingerprint_release(&of_others[i]);
    }
    assert_covered("sketch of one", &single);
    assert_covered("sketch of a union", &united);
    assert_covered("Bloom filters", &filtered);
}

static void fill_run(struct image *image, uint64_t first, size_t count)
{
    image->count = 0;
    for (size_t i = 0; i < count; i++)
        add_block(image, first + i);
}

/*
 * The filters' wrong answers add up over many images, and do not where the
 * images are alike: neither makes a host what it is not.
 */
static void test_unions_of_many_filters(void **unused)
{
    enum { IMAGES = 100, BLOCKS = 3000 };
    static struct image a, other;
    static struct made_fingerprint made[IMAGES];
    const struct fingerprint_view *views[IMAGES];
    struct made_fingerprint of_a;
    struct similarity_estimate all;
    struct error err;

    (void)unused;
    fill_run(&a, 0, BLOCKS);
    of_a = fingerprint_of(&a, 0);
    for (size_t alike = 0; alike < 2; alike++) {
        uint64_t truth = alike ? BLOCKS / 2 : 0;

        for (size_t i = 0; i < IMAGES; i++) {
            /* Half of A and as much else, again and again; or what nobody else has. */
            fill_run(&other, alike ? BLOCKS / 2 : (i + 1) * BLOCKS, BLOCKS);
            made[i] = fingerprint_of(&other, 0);
            views[i] = &made[i].view;
        }
        assert_int_equal(
            similarity_compare(SIMILARITY_BLOOM, &of_a.view, views, IMAGES, NULL, &all, &err), 0);
        check_bounds(&all);
        assert_true(all.best.identical_distinct >= truth);
        assert_true(within(all.low.identical_distinct, truth, all.high.identical_distinct));
        assert_in_range(all.likely.identical_distinct + BLOCKS / 10, truth,
                        truth + 2 * BLOCKS / 10);
        assert_in_range(all.likely.bytes_to_send, (BLOCKS - truth - BLOCKS / 10) * MADE_BLOCK_SIZE,
                        (BLOCKS - truth + BLOCKS / 10) * MADE_BLOCK_SIZE);
        if (!alike) /* what was counted is far from it */
            assert_true(all.best.identical_distinct > BLOCKS / 2);
        for (size_t i = 0; i < IMAGES; i++)
            made_fingerprint_release(&made[i]);
    }
    made_fingerprint_release(&of_a);
}

/* One that says yes to everything tells nothing. */
static void test_a_full_filter_makes_nobody_likely(void **unused)
{
    static struct image image;
    struct made_fingerprint a, b;
    const struct fingerprint_view *view = &b.view;
    struct similarity_estimate all;
    struct error err;

    (void)unused;
    fill_run(&image, 0, 1000);
    a = fingerprint_of(&image, 0);
    b = fingerprint_of(&image, 1);
    memset((uint8_t *)(uintptr_t)b.view.bloom, 0xff, b.view.bloom_bytes);
    assert_int_equal(similarity_compare(SIMILARITY_BLOOM, &a.view, &view, 1, NULL, &all, &err), 0);
    check_bounds(&all);
    assert_int_equal(all.best.identical_distinct, 1000);
    assert_int_equal(all.likely.identical_distinct, 0);
    assert_int_equal(all.likely.bytes_to_send, 1000 * MADE_BLOCK_SIZE);
    made_fingerprint_release(&a);
    made_fingerprint_release(&b);
}

/* Blocks whose digests occur often are not left to the sample: it would tell next to nothing. */
static void test_frequent_digests_are_kept_exactly(void **unused)
{
    static uint64_t blocks[110000], half[60000];
    size_t count = 0, other = 0;
    struct made_fingerprint a, b;
    const struct fingerprint_view *view;
    struct similarity_estimate exact, sketch;
    struct error err;

    (void)unused;
    for (uint64_t id = 0; id < 50000; id++) {
        for (int times = id % 167 == 0 ? 200 : 1; times > 0; times--)
            blocks[count++] = id;
        if (id / 167 % 2 == 0)
            half[other++] = id;
    }
    a = made_fingerprint(blocks, count);
    b = made_fingerprint(half, other);
    view = &b.view;
    assert_int_equal(similarity_compare(SIMILARITY_EXACT, &a.view, &view, 1, &exact, NULL, &err),
                     0);
    assert_int_equal(similarity_compare(SIMILARITY_SKETCH, &a.view, &view, 1, &sketch, NULL, &err),
                     0);
    assert_true(fabs(similarity_share_with_duplicates(&exact.best) -
                     similarity_share_with_duplicates(&sketch.best)) < 4);
    assert_true(similarity_share_with_duplicates(&sketch.high) -
                    similarity_share_with_duplicates(&sketch.low) <
                16);
    made_fingerprint_release(&a);
    made_fingerprint_release(&b);
}

/* Sizes that are far apart are searched, not merged: 1 among 4000, and the other way round. */
static void test_uneven_sizes(void **unused)
{
    static struct image small, large;
    struct made_fingerprint of_small, of_large;
    const struct fingerprint_view *view;
    struct similarity_estimate each;
    struct similarity_figures truth;
    struct error err;

    (void)unused;
    fill_image(&large, MOST_IDS, 990);
    of_large = fingerprint_of(&large, 1);
    for (size_t count = 1; count < 200; count += 13) {
        small.count = 0;
        for (size_t i = 0; i < count; i++)
            add_block(&small, below(MOST_IDS));
        of_small = fingerprint_of(&small, 1);
        view = &of_large.view;
        assert_int_equal(
            similarity_compare(SIMILARITY_EXACT, &of_small.view, &view, 1, &each, NULL, &err), 0);
        truth = brute_force(&small, &large, 1);
        assert_figures(&each.best, &truth);
        view = &of_small.view;
        assert_int_equal(
            similarity_compare(SIMILARITY_EXACT, &of_large.view, &view, 1, NULL, &each, &err), 0);
        truth = brute_force(&large, &small, 1);
        assert_figures(&each.best, &truth);
        made_fingerprint_release(&of_small);
    }
    made_fingerprint_release(&of_large);
}

/* ---- what does not compare ---- */

static void test_different_ones_do_not_compare(void **unused)
{
    static const uint64_t blocks[] = {1, 2, 3};
    struct made_fingerprint a = made_fingerprint(blocks, 3), b = made_fingerprint(blocks, 3);
    const struct fingerprint_view *others[] = {&a.view, &b.view};
    struct similarity_estimate each[2];
    enum similarity_engine engine;
    struct error err;

    (void)unused;
    b.view.kind = DIGEST_SHA256;
    assert_int_equal(similarity_compare(SIMILARITY_EXACT, &a.view, others, 2, each, NULL, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "sha256"));
    b.view.kind = DIGEST_MD5;
    b.view.block_size = 4096;
    assert_int_equal(similarity_compare(SIMILARITY_SKETCH, &a.view, others, 2, each, NULL, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "4096"));
    b.view.block_size = 512;
    b.view.key_id[7] = 1;
    assert_int_equal(similarity_compare(SIMILARITY_BLOOM, &a.view, others, 2, each, NULL, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "keys"));
    b.view.key_id[7] = 0;
    b.view.bloom = NULL;
    assert_int_equal(similarity_compare(SIMILARITY_BLOOM, &a.view, others, 2, each, NULL, &err),
                     -ENODATA);
    assert_int_equal(similarity_compare(SIMILARITY_SKETCH, &a.view, others, 2, each, NULL, &err),
                     0);
    assert_int_equal(similarity_engine_parse("bloom", &engine), 0);
    assert_int_equal(engine, SIMILARITY_BLOOM);
    assert_int_equal(similarity_engine_parse("Bloom", &engine), -EINVAL);
    assert_string_equal(similarity_engine_name(SIMILARITY_SKETCH), "sketch");
    assert_null(similarity_engine_name((enum similarity_engine)3));
    made_fingerprint_release(&a);
    made_fingerprint_release(&b);
}

/* ---- intervals ---- */

static void assert_interval(double hits, double trials, double low, double high)
{
    struct similarity_interval interval = similarity_interval(hits, trials);

    if (interval.low < low - 5e-5 || interval.low > low + 5e-5 || interval.high < high - 5e-5 ||
        interval.high > high + 5e-5)
        fail_msg("%g of %g: %.5f to %.5f, not %.5f to %.5f", hits, trials, interval.low,
                 interval.high, low, high);
}

static void test_intervals_of_tables(void **unused)
{
    (void)unused;
    /* Clopper and Pearson. */
    assert_interval(0, 10, 0, 0.30850);
    assert_interval(1, 10, 0.00253, 0.44502);
    assert_interval(5, 10, 0.18709, 0.81291);
    assert_interval(10, 10, 0.69150, 1);
    assert_interval(0, 1, 0, 0.97500);
    assert_interval(999, 1000, 0.99444, 0.99997);
    /* Wilson. */
    assert_interval(50, 100, 0.40383, 0.59617);
    assert_interval(300, 1000, 0.27240, 0.32914);
    assert_interval(0, 0, 0, 1);
}

/* Exactly how often an interval holds the truth: the sum over all outcomes. */
static void test_intervals_cover_94_of_100_everywhere(void **unused)
{
    static const int trials[] = {1, 5, 20, 60, 200, 1000};

    (void)unused;
    for (size_t t = 0; t < ARRAY_LENGTH(trials); t++) {
        struct similarity_interval intervals[1001];
        int n = trials[t];

        for (int hits = 0; hits <= n; hits++)
            intervals[hits] = similarity_interval(hits, n);
        for (int permyriad = 3; permyriad < 6000; permyriad += permyriad < 500 ? 3 : 131) {
            double p = 1e-4 * permyriad, term = 1, covered = 0, all = 0;

            /* Terms of the binomial, from hits = 0, scaled so that they add up to 1. */
            for (int hits = 0; hits <= n; hits++) {
                if (intervals[hits].low <= p && p <= intervals[hits].high)
                    covered += term;
                all += term;
                term *= (double)(n - hits) / (hits + 1) * p / (1 - p);
                if (all > 1e200) {
                    all *= 1e-200;
                    covered *= 1e-200;
                    term *= 1e-200;
                }
            }
            if (covered < 0.94 * all)
                fail_msg("n = %d, p = %g: %g", n, p, covered / all);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_1_of_the_paper),
        cmocka_unit_test(test_zero_blocks_count_but_are_never_sent),
        cmocka_unit_test(test_random_pairs_as_brute_force),
        cmocka_unit_test(test_unions_of_many_filters),
        cmocka_unit_test(test_a_full_filter_makes_nobody_likely),
        cmocka_unit_test(test_frequent_digests_are_kept_exactly),
        cmocka_unit_test(test_uneven_sizes),
        cmocka_unit_test(test_different_ones_do_not_compare),
        cmocka_unit_test(test_intervals_of_tables),
        cmocka_unit_test(test_intervals_cover_94_of_100_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
