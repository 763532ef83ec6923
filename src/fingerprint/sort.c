/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sorts entries by digest, those of one of the writer's buckets at a time, which
 * lie in the cache. They are dealt by their next bits into so many parts that a
 * part has one or two entries, and an insertion sort puts the last of them
 * right. Parts that are larger (digests chosen by somebody, or equal) are dealt
 * again by the bits behind: 128 bits are soon used up, so no input takes more
 * than linear time.
 */

#include "fingerprint/sort.h"

#define LEAF_BITS   12
#define SMALL_PART  24 /* entries that an insertion sort still takes */
#define DIGEST_BITS (DIGEST_BYTES * 8)

static inline uint64_t half(const struct digest *digest, size_t which)
{
    uint64_t value;

    memcpy(&value, digest->bytes + which * sizeof(value), sizeof(value));
    return be64toh(value);
}

/* `count` bits of the digest behind the first `skip`; as many as there are. count <= 12. */
static inline size_t bits_at(const struct digest *digest, unsigned int skip, unsigned int count)
{
    uint64_t first = half(digest, 0), second = half(digest, 1);

    if (skip >= 64)
        first = second << (skip - 64);
    else if (skip > 0)
        first = first << skip | second >> (64 - skip);
    return (size_t)(first >> (64 - count));
}

static inline bool is_less(const struct fingerprint_entry *left,
                           const struct fingerprint_entry *right)
{
    uint64_t a = half(&left->digest, 0), b = half(&right->digest, 0);

    if (a != b)
        return a < b;
    return half(&left->digest, 1) < half(&right->digest, 1);
}

/* Most entries are in order by now, which their first halves tell: these stay in registers. */
static void insertion_sort(struct fingerprint_entry *entries, size_t count)
{
    uint64_t highest = count > 0 ? half(&entries[0].digest, 0) : 0;

    for (size_t i = 1; i < count; i++) {
        uint64_t own = half(&entries[i].digest, 0);
        struct fingerprint_entry moving;
        size_t at = i;

        if (own > highest) {
            highest = own;
            continue;
        }
        if (!is_less(&entries[i], &entries[i - 1]))
            continue;
        moving = entries[i];
        do {
            entries[at] = entries[at - 1];
            at--;
        } while (at > 0 && is_less(&moving, &entries[at - 1]));
        entries[at] = moving;
    }
}

static bool all_equal(const struct fingerprint_entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (digest_compare(&entries[0].digest, &entries[i].digest) != 0)
            return false;
    }
    return true;
}

/* About one entry a part; a few bits at least, so that the number of rounds has a bound. */
static unsigned int bits_for(size_t count)
{
    unsigned int bits = 4;

    while (bits < LEAF_BITS && (size_t)1 << bits < count)
        bits++;
    return bits;
}

static void copy_entries(struct fingerprint_entry *to, const struct fingerprint_entry *from,
                         size_t count)
{
    memcpy(to, from, count * sizeof(*to));
}

void fingerprint_sort_into(struct fingerprint_entry *from, struct fingerprint_entry *to,
                           size_t count, unsigned int skip)
{
    uint32_t ends[(size_t)1 << LEAF_BITS];
    unsigned int bits = bits_for(count);
    size_t parts = (size_t)1 << bits;
    uint32_t largest = 0, sum = 0;

    if (count <= SMALL_PART || skip >= DIGEST_BITS) {
        copy_entries(to, from, count);
        if (skip < DIGEST_BITS)
            insertion_sort(to, count);
        return;
    }
    memset(ends, 0, parts * sizeof(ends[0]));
    for (size_t i = 0; i < count; i++)
        ends[bits_at(&from[i].digest, skip, bits)]++;
    for (size_t part = 0; part < parts; part++) {
        uint32_t size = ends[part];

        largest = size > largest ? size : largest;
        ends[part] = sum;
        sum += size;
    }
    if (largest == count && all_equal(from, count)) {
        copy_entries(to, from, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        to[ends[bits_at(&from[i].digest, skip, bits)]++] = from[i];
    if (largest > SMALL_PART) {
        for (size_t part = 0, begin = 0; part < parts; begin = ends[part++]) {
            size_t size = ends[part] - begin;

            if (size <= SMALL_PART)
                continue;
            copy_entries(from + begin, to + begin, size);
            fingerprint_sort_into(from + begin, to + begin, size, skip + bits);
        }
    }
    insertion_sort(to, count);
}
