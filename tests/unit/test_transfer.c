/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a move would send: missing blocks, extents, the sample and its compression. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/transfer.h"

#define BLOCK     4096
#define MOST      64
#define MIB       ((uint64_t)1 << 20)
#define ZERO_WORD 0 /* the digest of a block of zeroes begins so, here */

/* An image by what lies where: a number for each block, 0 a block of zeroes. */
struct picture {
    struct fingerprint_view view;
    struct digest digests[MOST];
    uint8_t places[MOST * 8];
};

static struct digest digest_of(uint8_t number)
{
    struct digest digest = {{0}};

    digest.bytes[0] = number;
    digest.bytes[7] = 0x5a;
    return digest;
}

static void make(struct picture *picture, const uint8_t *numbers, size_t count)
{
    *picture = (struct picture){.view = {.kind = DIGEST_SHA256, .block_size = BLOCK}};
    picture->view.zero_digest = digest_of(ZERO_WORD);
    picture->view.totals.blocks = count;
    for (unsigned number = 0; number < 256; number++) {
        uint64_t times = 0, first = 0, place;
        size_t at = picture->view.totals.distinct;

        for (size_t i = count; i-- > 0;) {
            if (numbers[i] == number) {
                times++;
                first = i;
            }
        }
        if (times == 0)
            continue;
        place = htole64(fingerprint_place_make(first, times));
        picture->digests[at] = digest_of((uint8_t)number);
        memcpy(&picture->places[at * 8], &place, sizeof(place));
        picture->view.totals.distinct++;
        picture->view.totals.zero += number == 0 ? times : 0;
    }
    picture->view.digests = picture->digests;
    picture->view.places = picture->places;
}

#define MAKE(picture, ...)                                                                         \
    make(&(picture), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct transfer_missing missing_of(const struct picture *image,
                                          const struct picture *const *donors, size_t count)
{
    const struct fingerprint_view *views[4] = {NULL};
    struct transfer_missing missing = {0};
    struct error err = {""};

    for (size_t i = 0; i < count; i++)
        views[i] = &donors[i]->view;
    assert_int_equal(transfer_missing_find(&image->view, views, count, &missing, &err), 0);
    return missing;
}

/* ---- what is missing ---- */

static void test_missing_blocks_come_in_the_order_of_the_image(void **unused)
{
    struct picture image, donor;
    struct transfer_missing missing;

    (void)unused;
    MAKE(image, 9, 7, 5, 0, 3, 3, 1);
    MAKE(donor, 7, 0, 3);
    missing = missing_of(&image, (const struct picture *const[]){&donor}, 1);
    assert_int_equal(missing.count, 3);
    assert_int_equal(missing.blocks[0], 0); /* 9 */
    assert_int_equal(missing.blocks[1], 2); /* 5 */
    assert_int_equal(missing.blocks[2], 6); /* 1 */
    assert_int_equal(missing.sent_extents, 3);
    assert_int_equal(missing.copied_extents, 2);
    assert_int_equal(transfer_plan_bytes(&missing), 3 * 2 + 2 * 34);
    transfer_missing_release(&missing);
    missing = missing_of(&image, NULL, 0);
    assert_int_equal(missing.count, 5);
    assert_int_equal(missing.sent_extents, 3); /* 9 7 5, 3, 1: zeroes and a later copy between */
    transfer_missing_release(&missing);
}

/* Neighbours that lie apart in the donor, or in two donors, are extents of their own. */
static void test_extents_are_neighbours_on_both_sides(void **unused)
{
    struct picture image, whole, apart, first, second;
    struct transfer_missing missing;

    (void)unused;
    MAKE(image, 1, 2, 3, 4);
    MAKE(whole, 9, 1, 2, 3, 4);
    MAKE(apart, 1, 2, 9, 3, 4);
    MAKE(first, 1, 2);
    MAKE(second, 1, 2, 3, 4);
    missing = missing_of(&image, (const struct picture *const[]){&whole}, 1);
    assert_int_equal(missing.copied_extents, 1);
    assert_int_equal(missing.count, 0);
    transfer_missing_release(&missing);
    missing = missing_of(&image, (const struct picture *const[]){&apart}, 1);
    assert_int_equal(missing.copied_extents, 2);
    transfer_missing_release(&missing);
    missing = missing_of(&image, (const struct picture *const[]){&first, &apart}, 2);
    assert_int_equal(missing.copied_extents, 2);
    assert_int_equal(missing.sent_extents, 0);
    transfer_missing_release(&missing);
    /* One that has all of it in a row takes the place of one that has a part. */
    missing = missing_of(&image, (const struct picture *const[]){&first, &second}, 2);
    assert_int_equal(missing.copied_extents, 1);
    assert_int_equal(missing.sent_extents, 0);
    transfer_missing_release(&missing);
}

static void test_an_image_without_blocks(void **unused)
{
    struct picture image, zeroes;
    struct transfer_missing missing;

    (void)unused;
    make(&image, NULL, 0);
    missing = missing_of(&image, NULL, 0);
    assert_int_equal(missing.count + missing.sent_extents + missing.copied_extents, 0);
    transfer_missing_release(&missing);
    MAKE(zeroes, 0, 0, 0);
    missing = missing_of(&zeroes, NULL, 0);
    assert_int_equal(missing.count + missing.sent_extents + missing.copied_extents, 0);
    transfer_missing_release(&missing);
}

/* ---- the sample ---- */

static void test_little_is_taken_whole(void **unused)
{
    struct transfer_sample sample = transfer_sample_of(1000, BLOCK, 64 * MIB);

    (void)unused;
    assert_int_equal(sample.runs, 1);
    assert_int_equal(sample.run_blocks, 1000);
    assert_int_equal(transfer_sample_start(&sample, 0), 0);
    sample = transfer_sample_of(0, BLOCK, 64 * MIB);
    assert_int_equal(sample.runs * sample.run_blocks, 0);
}

static void test_runs_are_spread_and_apart(void **unused)
{
    uint64_t totals[] = {64 * 256 + 1, 100000, 1000003, UINT64_C(1) << 40};

    (void)unused;
    for (size_t t = 0; t < ARRAY_LENGTH(totals); t++) {
        struct transfer_sample sample = transfer_sample_of(totals[t], BLOCK, 64 * MIB);
        uint64_t end = 0;

        assert_int_equal(sample.runs, 64);
        assert_int_equal(sample.run_blocks, 256);
        for (uint64_t i = 0; i < sample.runs; i++) {
            uint64_t start = transfer_sample_start(&sample, i);

            assert_true(start >= end);
            end = start + sample.run_blocks;
        }
        assert_true(end == totals[t]); /* from the first block to the last */
    }
}

/* A small disk beside a large one: its part of the limit is less than a run. */
static void test_a_small_limit_is_kept(void **unused)
{
    uint64_t limits[] = {0, 1, BLOCK - 1, BLOCK, 700 * 1024, MIB - 1, MIB, MIB + 1, 3 * MIB - 1};

    (void)unused;
    for (size_t l = 0; l < ARRAY_LENGTH(limits); l++) {
        struct transfer_sample sample = transfer_sample_of(1000003, BLOCK, limits[l]);
        uint64_t bytes = sample.runs * sample.run_blocks * BLOCK;

        assert_true(bytes > 0 && (bytes <= limits[l] || bytes == BLOCK));
        assert_true(transfer_sample_start(&sample, sample.runs - 1) + sample.run_blocks <= 1000003);
    }
}

/* ---- compressing ---- */

/* `expected` 0: the level itself for all of it. */
static uint64_t estimate_of(int level, const uint8_t *bytes, size_t length, size_t step,
                            uint64_t total, uint64_t expected)
{
    struct transfer_estimator *estimator = NULL;
    struct error err = {""};
    uint64_t result = 0;

    assert_int_equal(transfer_estimator_new(level, expected, &estimator, &err), 0);
    for (size_t at = 0; at < length; at += step)
        assert_int_equal(transfer_estimator_add(estimator, bytes + at,
                                                length - at < step ? length - at : step, &err),
                         0);
    assert_int_equal(transfer_estimator_finish(estimator, total, &result, &err), 0);
    transfer_estimator_free(estimator);
    return result;
}

static uint64_t estimate(int level, const uint8_t *bytes, size_t length, size_t step,
                         uint64_t total)
{
    return estimate_of(level, bytes, length, step, total, length);
}

static void test_noise_stays_and_what_repeats_goes(void **unused)
{
    size_t length = 4 * MIB;
    uint8_t *bytes = malloc(length);
    uint64_t state = 88172645463325252U, result;

    (void)unused;
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)state;
    }
    result = estimate(3, bytes, length, BLOCK, length);
    assert_in_range(result, length, length + length / 1000);
    result = estimate(3, bytes, length, BLOCK, 100 * (uint64_t)length); /* a sample of more */
    assert_in_range(result, 100 * (uint64_t)length, 101 * (uint64_t)length);
    /* The second half is the first: found over a distance of 2 MiB. */
    memcpy(bytes + length / 2, bytes, length / 2);
    result = estimate(3, bytes, length, BLOCK, length);
    assert_in_range(result, length / 2, length / 2 + length / 100);
    memset(bytes, 'x', length);
    assert_true(estimate(19, bytes, length, length, length) < 10000);
    free(bytes);
}

/* MiB by MiB something else, as on a disk: noise, digits, words of few letters. */
static void test_a_high_level_is_told_from_a_few_runs(void **unused)
{
    size_t length = 14 * MIB;
    uint8_t *bytes = malloc(length);
    uint64_t state = 88172645463325252U, truth, told;

    (void)unused;
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)state;
        if (i / MIB % 5 == 1 || i / MIB % 7 == 2)
            bytes[i] = (uint8_t)('0' + state % 10);
        if (i / MIB % 3 == 2)
            bytes[i] = state % 4 == 0 || i < 100 ? (uint8_t)('a' + state / 4 % 4)
                                                 : bytes[i - 1 - state / 16 % 64];
    }
    truth = estimate_of(9, bytes, length, MIB, length, 0);
    told = estimate_of(9, bytes, length, MIB, length, length);
    assert_in_range(told, truth - truth / 50, truth + truth / 50);
    assert_true(told < estimate(3, bytes, length, MIB, length));
    assert_int_equal(estimate_of(9, bytes, length, 4097, length, length), told);
    free(bytes);
}

static void test_nothing_to_compress(void **unused)
{
    (void)unused;
    assert_int_equal(estimate(3, NULL, 0, 1, 12345), 12345);
}

static void test_levels(void **unused)
{
    struct transfer_estimator *estimator = NULL;

    (void)unused;
    assert_int_equal(transfer_level(7, 1000), 7);
    assert_int_equal(transfer_level(0, 0), 3);
    assert_int_equal(transfer_level(0, 100000000), 16);
    assert_int_equal(transfer_level(0, 200000000), 16);
    assert_int_equal(transfer_level(0, 200000001), 3);
    assert_int_equal(transfer_level(0, 20000000), 19);
    assert_int_equal(transfer_level(99, 0), 22);
    assert_int_equal(transfer_level(0, 1000000000), 3);
    assert_int_equal(transfer_estimator_new(22, 64 * MIB, &estimator, NULL), 0);
    transfer_estimator_free(estimator);
    transfer_estimator_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_blocks_come_in_the_order_of_the_image),
        cmocka_unit_test(test_extents_are_neighbours_on_both_sides),
        cmocka_unit_test(test_an_image_without_blocks),
        cmocka_unit_test(test_little_is_taken_whole),
        cmocka_unit_test(test_runs_are_spread_and_apart),
        cmocka_unit_test(test_a_small_limit_is_kept),
        cmocka_unit_test(test_noise_stays_and_what_repeats_goes),
        cmocka_unit_test(test_a_high_level_is_told_from_a_few_runs),
        cmocka_unit_test(test_nothing_to_compress),
        cmocka_unit_test(test_levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
