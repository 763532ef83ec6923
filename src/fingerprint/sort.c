/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sorts entries by digest and merges equal ones.
 *
 * Many entries are first dealt into 4096 buckets by their first 12 bits. To
 * write to so many places at once costs a cache line fetched and a page walked
 * for each, so a bucket's entries gather in a small buffer and go out past the
 * cache, whole lines at a time. Each bucket then lies in the cache, where it is
 * dealt once more, into so many parts that a part has one or two entries, and
 * an insertion sort puts the last of them right. Parts that are larger (digests
 * chosen by somebody, or equal) are dealt again by their next bits: 128 bits are
 * soon used up, so no input takes more than linear time.
 */

#include "fingerprint/sort.h"

#include <errno.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define TOP_BITS    12
#define TOP_BUCKETS ((size_t)1 << TOP_BITS)
/* From here on the buckets do not fit the cache together. */
#define TOP_FROM    ((size_t)1 << 15)
#define GROUP       8 /* entries that go out at once: 192 bytes, three cache lines */
#define LINE        64
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

/* ---- the first round, for many entries ---- */

struct top {
    uint32_t begin[TOP_BUCKETS + 1];
    uint32_t end[TOP_BUCKETS]; /* of what has come, waiting entries included */
    struct fingerprint_entry waiting[TOP_BUCKETS][GROUP] __attribute__((aligned(LINE)));
};

static inline void write_group(struct fingerprint_entry *to, const struct fingerprint_entry *group)
{
#ifdef __SSE2__
    for (size_t i = 0; i < GROUP * sizeof(*to) / sizeof(__m128i); i++)
        _mm_stream_si128((__m128i *)to + i, _mm_load_si128((const __m128i *)group + i));
#else
    copy_entries(to, group, GROUP);
#endif
}

/* A group that a bucket fills only in part, as others have the rest of it. */
static void write_part(struct fingerprint_entry *to, const struct top *top, size_t bucket,
                       size_t end)
{
    size_t begin = (end - 1) / GROUP * GROUP;

    if (begin < top->begin[bucket])
        begin = top->begin[bucket];
    copy_entries(to + begin, &top->waiting[bucket][begin % GROUP], end - begin);
}

static void count_buckets(struct top *top, const struct fingerprint_entry *entries, size_t count)
{
    uint32_t sum = 0;

    memset(top->end, 0, sizeof(top->end));
    for (size_t i = 0; i < count; i++)
        top->end[bits_at(&entries[i].digest, 0, TOP_BITS)]++;
    for (size_t bucket = 0; bucket < TOP_BUCKETS; bucket++) {
        top->begin[bucket] = sum;
        sum += top->end[bucket];
        top->end[bucket] = top->begin[bucket];
    }
    top->begin[TOP_BUCKETS] = sum;
}

/* Deals `from` into buckets in `to`, which is aligned to 16 bytes. */
static void deal(struct top *top, const struct fingerprint_entry *from,
                 struct fingerprint_entry *to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t bucket = bits_at(&from[i].digest, 0, TOP_BITS);
        size_t at = top->end[bucket]++;

        top->waiting[bucket][at % GROUP] = from[i];
        if (at % GROUP < GROUP - 1)
            continue;
        if (at - (GROUP - 1) >= top->begin[bucket])
            write_group(to + at - (GROUP - 1), top->waiting[bucket]);
        else
            write_part(to, top, bucket, at + 1);
    }
    for (size_t bucket = 0; bucket < TOP_BUCKETS; bucket++) {
        size_t end = top->end[bucket];

        if (end % GROUP != 0 && end > top->begin[bucket])
            write_part(to, top, bucket, end);
    }
#ifdef __SSE2__
    _mm_sfence();
#endif
}

/* ---- merging ---- */

/* Merges equal neighbours of sorted `from` to the end of `to`; they may overlap, `to` not behind. */
static int merge(const struct fingerprint_entry *from, size_t count, struct fingerprint_entry *to,
                 struct fingerprint_frequent *frequent, size_t *merged)
{
    for (size_t i = 0, next; i < count; i = next) {
        struct fingerprint_entry one = from[i];
        uint64_t block = fingerprint_place_block(one.place);
        uint64_t times = fingerprint_place_multiplicity(one.place);

        for (next = i + 1;
             next < count && memcmp(&from[next].digest, &one.digest, DIGEST_BYTES) == 0; next++) {
            uint64_t other = fingerprint_place_block(from[next].place);

            block = other < block ? other : block;
            times += fingerprint_place_multiplicity(from[next].place);
        }
        if (times >= FINGERPRINT_FREQUENT && frequent != NULL) {
            int rc = fingerprint_frequent_append(frequent, &one.digest, times);

            if (rc < 0)
                return rc;
        }
        one.place = fingerprint_place_make(block, times);
        to[(*merged)++] = one;
    }
    return 0;
}

static int sort_many(struct fingerprint_entry *entries, struct fingerprint_entry *scratch,
                     size_t count, struct fingerprint_frequent *frequent, size_t *merged)
{
    CLEANUP(cleanup_free) void *memory = malloc(sizeof(struct top) + LINE);
    struct top *top;
    int rc = 0;

    if (memory == NULL)
        return -ENOMEM;
    top = (struct top *)(((uintptr_t)memory + LINE - 1) / LINE * LINE);
    count_buckets(top, entries, count);
    deal(top, entries, scratch, count);
    for (size_t bucket = 0; bucket < TOP_BUCKETS && rc == 0; bucket++) {
        size_t begin = top->begin[bucket], size = top->begin[bucket + 1] - begin;

        fingerprint_sort_into(scratch + begin, entries + begin, size, TOP_BITS);
        rc = merge(entries + begin, size, entries, frequent, merged);
    }
    return rc;
}

int fingerprint_sort(struct fingerprint_entry *entries, struct fingerprint_entry *scratch,
                     size_t count, struct fingerprint_frequent *frequent, size_t *ret_count)
{
    size_t merged = 0;
    int rc;

    if (count > UINT32_MAX)
        return -EOVERFLOW;
    if (count >= TOP_FROM && (uintptr_t)scratch % 16 == 0) {
        rc = sort_many(entries, scratch, count, frequent, &merged);
    } else {
        fingerprint_sort_into(entries, scratch, count, 0);
        rc = merge(scratch, count, entries, frequent, &merged);
    }
    if (rc == 0)
        *ret_count = merged;
    return rc;
}

void fingerprint_split(const struct fingerprint_entry *entries, size_t count,
                       struct digest *ret_digests, uint8_t *ret_places)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t place = htole64(entries[i].place);

        ret_digests[i] = entries[i].digest;
        memcpy(ret_places + i * sizeof(place), &place, sizeof(place));
    }
}
