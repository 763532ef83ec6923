/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorting of entries, held against qsort, on random, equal and adversarial digests. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/fingerprint.h"

#include <errno.h>

static uint64_t state = 1;

static uint64_t random_u64(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static struct digest digest_of(uint64_t first, uint64_t second)
{
    struct digest digest;
    uint64_t words[2] = {htobe64(first), htobe64(second)};

    memcpy(digest.bytes, words, DIGEST_BYTES);
    return digest;
}

static int by_digest_and_block(const void *left, const void *right)
{
    const struct fingerprint_entry *a = left, *b = right;
    int order = digest_compare(&a->digest, &b->digest);
    uint64_t x = fingerprint_place_block(a->place), y = fingerprint_place_block(b->place);

    return order != 0 ? order : (x > y) - (x < y);
}

/* What the sort should make of `entries`, by qsort. */
static size_t reference(struct fingerprint_entry *entries, size_t count, uint64_t *ret_times)
{
    size_t merged = 0;

    qsort(entries, count, sizeof(*entries), by_digest_and_block);
    for (size_t i = 0; i < count; i++) {
        uint64_t times = fingerprint_place_multiplicity(entries[i].place);

        if (merged > 0 && digest_compare(&entries[merged - 1].digest, &entries[i].digest) == 0) {
            ret_times[merged - 1] += times;
        } else {
            ret_times[merged] = times;
            entries[merged++] = entries[i];
        }
    }
    return merged;
}

/* Sorts a copy, with room for it that begins `shift` bytes off a cache line. */
static void check_sort_at(const struct fingerprint_entry *given, size_t count, size_t shift)
{
    struct fingerprint_entry *expected = malloc((count + 1) * sizeof(*expected));
    uint64_t *times = malloc((count + 1) * sizeof(*times));
    void *memory = malloc((count + 1) * sizeof(*given)),
         *room = malloc((count + 1) * sizeof(*given) + 128);
    struct fingerprint_entry *entries = memory, *scratch;
    struct fingerprint_frequent frequent = {0};
    size_t wanted, got = SIZE_MAX, at = 0;

    assert_true(expected != NULL && times != NULL && memory != NULL && room != NULL);
    scratch = (void *)(((uintptr_t)room + 63) / 64 * 64 + shift);
    if (count > 0) {
        memcpy(expected, given, count * sizeof(*given));
        memcpy(entries, given, count * sizeof(*given));
    }
    wanted = reference(expected, count, times);
    assert_int_equal(fingerprint_sort(entries, scratch, count, &frequent, &got), 0);
    assert_int_equal(got, wanted);
    for (size_t i = 0; i < wanted; i++) {
        assert_memory_equal(&entries[i].digest, &expected[i].digest, DIGEST_BYTES);
        assert_int_equal(
            entries[i].place,
            fingerprint_place_make(fingerprint_place_block(expected[i].place), times[i]));
        if (times[i] < FINGERPRINT_FREQUENT)
            continue;
        assert_in_range(at, 0, frequent.count - 1);
        assert_memory_equal(&frequent.digests[at], &entries[i].digest, DIGEST_BYTES);
        assert_int_equal(frequent.multiplicity[at++], times[i]);
    }
    assert_int_equal(at, frequent.count);
    fingerprint_frequent_release(&frequent);
    free(expected);
    free(times);
    free(memory);
    free(room);
}

static void check_sort(const struct fingerprint_entry *given, size_t count)
{
    check_sort_at(given, count, 0);
}

static struct fingerprint_entry *make(size_t count)
{
    struct fingerprint_entry *entries = calloc(count + 1, sizeof(*entries));

    assert_non_null(entries);
    for (size_t i = 0; i < count; i++)
        entries[i].place = fingerprint_place_make((i * 7919) % count, 1);
    return entries;
}

static const size_t sizes[] = {0,   1,   2,    3,    23,    24,    25,    26,
                               100, 999, 2047, 4096, 32767, 32768, 32769, 200003};

static void test_random_digests_as_qsort(void **unused)
{
    (void)unused;
    for (size_t s = 0; s < ARRAY_LENGTH(sizes); s++) {
        struct fingerprint_entry *entries = make(sizes[s]);

        for (size_t i = 0; i < sizes[s]; i++)
            entries[i].digest = digest_of(random_u64(), random_u64());
        check_sort(entries, sizes[s]);
        check_sort_at(entries, sizes[s], 8);
        check_sort_at(entries, sizes[s], 48);
        free(entries);
    }
}

static void test_duplicates_merge_with_sum_and_lowest_block(void **unused)
{
    (void)unused;
    for (size_t s = 0; s < ARRAY_LENGTH(sizes); s++) {
        struct fingerprint_entry *entries = make(sizes[s]);

        for (size_t i = 0; i < sizes[s]; i++) {
            uint64_t content = random_u64() % (sizes[s] / 3 + 1);

            content %= random_u64() % 2 == 0 ? 5 : UINT64_MAX;
            entries[i].digest =
                digest_of(content * 0x9e3779b97f4a7c15, content * 0xbf58476d1ce4e5b9);
            entries[i].place =
                fingerprint_place_make(random_u64() % FINGERPRINT_MAX_BLOCKS, 1 + random_u64() % 9);
        }
        check_sort(entries, sizes[s]);
        free(entries);
    }
}

static void test_equal_digests(void **unused)
{
    struct fingerprint_entry *entries = make(100000);

    (void)unused;
    check_sort(entries, 100000);
    check_sort(entries, 1000);
    for (size_t i = 0; i < 100000; i++)
        entries[i].digest = digest_of(UINT64_MAX, UINT64_MAX - (i == 99999));
    check_sort(entries, 100000);
    check_sort(entries, 1000);
    free(entries);
}

/* Digests that differ only behind a common prefix of each length, as only somebody can choose them. */
static void test_common_prefixes(void **unused)
{
    const size_t count = 40000;
    struct fingerprint_entry *entries = make(count);

    (void)unused;
    for (unsigned int prefix = 0; prefix < 128; prefix += 7) {
        for (size_t i = 0; i < count; i++) {
            uint64_t first = random_u64(), second = random_u64();

            if (prefix >= 64) {
                first = 0x123456789abcdef0;
                second = prefix == 64 ? second : second >> (prefix - 64);
            } else if (prefix > 0) {
                first >>= prefix;
            }
            entries[i].digest = digest_of(first, second);
        }
        check_sort(entries, count);
    }
    free(entries);
}

/* One bucket gets nearly all, in descending order. */
static void test_descending_in_one_bucket(void **unused)
{
    const size_t count = 300000;
    struct fingerprint_entry *entries = make(count);

    (void)unused;
    for (size_t i = 0; i < count; i++)
        entries[i].digest = digest_of(UINT64_C(0xabc) << 52, (count - i) << (i % 3));
    entries[5].digest = digest_of(0, 0);
    entries[6].digest = digest_of(UINT64_MAX, 0);
    check_sort(entries, count);
    free(entries);
}

static void test_sums_beyond_a_place_are_kept(void **unused)
{
    const uint64_t most = FINGERPRINT_SATURATED - 1;
    struct fingerprint_entry entries[3] = {{.place = fingerprint_place_make(9, most)},
                                           {.place = fingerprint_place_make(4, most)},
                                           {.place = fingerprint_place_make(5, 1)}},
                             scratch[3];
    struct fingerprint_frequent frequent = {0};
    size_t count;

    (void)unused;
    assert_int_equal(fingerprint_sort(entries, scratch, 3, &frequent, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(fingerprint_place_block(entries[0].place), 4);
    assert_int_equal(fingerprint_place_multiplicity(entries[0].place), FINGERPRINT_SATURATED);
    assert_int_equal(frequent.count, 1);
    assert_int_equal(frequent.multiplicity[0], 2 * most + 1);
    fingerprint_frequent_release(&frequent);
    count = 77;
    assert_int_equal(fingerprint_sort(entries, scratch, (size_t)UINT32_MAX + 1, NULL, &count),
                     -EOVERFLOW);
    assert_int_equal(count, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_digests_as_qsort),
        cmocka_unit_test(test_duplicates_merge_with_sum_and_lowest_block),
        cmocka_unit_test(test_equal_digests),
        cmocka_unit_test(test_common_prefixes),
        cmocka_unit_test(test_descending_in_one_bucket),
        cmocka_unit_test(test_sums_beyond_a_place_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
