/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorting of entries, held against qsort, on random, equal and adversarial digests. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fingerprint/sort.h"

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

static int by_digest_and_place(const void *left, const void *right)
{
    const struct fingerprint_entry *a = left, *b = right;
    int order = digest_compare(&a->digest, &b->digest);

    return order != 0 ? order : (a->place > b->place) - (a->place < b->place);
}

/* Sorts a copy; the digests are equal in their first `skip` bits. */
static void check_sort_behind(const struct fingerprint_entry *given, size_t count, unsigned skip)
{
    size_t bytes = count * sizeof(*given);
    struct fingerprint_entry *expected = malloc(bytes + 1), *from = malloc(bytes + 1),
                             *to = malloc(bytes + 1);

    assert_true(expected != NULL && from != NULL && to != NULL);
    memcpy(expected, given, bytes);
    memcpy(from, given, bytes);
    qsort(expected, count, sizeof(*expected), by_digest_and_place);
    fingerprint_sort_into(from, to, count, skip);
    for (size_t i = 0; i < count; i++)
        assert_memory_equal(&to[i].digest, &expected[i].digest, DIGEST_BYTES);
    /* Among equal ones any order is right, but each is there once. */
    qsort(to, count, sizeof(*to), by_digest_and_place);
    assert_memory_equal(to, expected, bytes);
    free(expected);
    free(from);
    free(to);
}

static void check_sort(const struct fingerprint_entry *given, size_t count)
{
    check_sort_behind(given, count, 0);
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
        free(entries);
    }
}

static void test_duplicates_stay_neighbours(void **unused)
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
        check_sort_behind(entries, count, prefix);
        check_sort_behind(entries, 1000, prefix);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_digests_as_qsort),
        cmocka_unit_test(test_duplicates_stay_neighbours),
        cmocka_unit_test(test_equal_digests),
        cmocka_unit_test(test_common_prefixes),
        cmocka_unit_test(test_descending_in_one_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
