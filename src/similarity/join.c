/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The join of two sorted arrays of digests. One step of a merge waits for the
 * comparison before it, and a branch on it is guessed wrongly every second time;
 * so A is cut into four ranges that are merged in turn, without branches.
 */

#include "similarity/engines.h"

/* Where one side has so many times the other's digests, it is searched, not read through. */
#define UNEVEN 32
#define RANGES 4

typedef unsigned __int128 digest_number;

static inline digest_number number_of(const struct digest *digest)
{
    uint64_t words[2];

    memcpy(words, digest->bytes, sizeof(words));
    return (digest_number)be64toh(words[0]) << 64 | be64toh(words[1]);
}

/* The first of digests[from, count) that is not less; near `from` it is found at once. */
static size_t lower_bound(const struct digest *digests, size_t from, size_t count,
                          digest_number wanted)
{
    size_t step = 1, low = from, high = from;

    while (high < count && number_of(&digests[high]) < wanted) {
        low = high + 1;
        high = step < count - high ? high + step : count;
        step *= 2;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (number_of(&digests[middle]) < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct cursor {
    size_t a, a_end, b, b_end;
};

static inline bool is_open(const struct cursor *cursor)
{
    return cursor->a < cursor->a_end && cursor->b < cursor->b_end;
}

static inline void step(struct cursor *cursor, const struct digest *a, const struct digest *b,
                        uint64_t *bits)
{
    digest_number left = number_of(&a[cursor->a]), right = number_of(&b[cursor->b]);
    bool not_behind = left <= right, not_ahead = right <= left;

    bits[cursor->a / 64] |= (uint64_t)(not_behind & not_ahead) << (cursor->a % 64);
    cursor->a += not_behind;
    cursor->b += not_ahead;
}

static void join_even(const struct digest *a, size_t a_count, const struct digest *b,
                      size_t b_count, uint64_t *bits)
{
    /* Whole words of the bitmap each, so that no two ranges write to one. */
    size_t length = (a_count / RANGES + 63) / 64 * 64;
    struct cursor ranges[RANGES];

    for (size_t i = 0; i < RANGES; i++) {
        struct cursor *range = &ranges[i];

        range->a = i * length < a_count ? i * length : a_count;
        range->a_end = i + 1 < RANGES && (i + 1) * length < a_count ? (i + 1) * length : a_count;
        range->b =
            range->a < a_count ? lower_bound(b, 0, b_count, number_of(&a[range->a])) : b_count;
        range->b_end = b_count;
    }
    {
        struct cursor first = ranges[0], second = ranges[1], third = ranges[2], fourth = ranges[3];

        while (is_open(&first) && is_open(&second) && is_open(&third) && is_open(&fourth)) {
            step(&first, a, b, bits);
            step(&second, a, b, bits);
            step(&third, a, b, bits);
            step(&fourth, a, b, bits);
        }
        memcpy(ranges, (struct cursor[]){first, second, third, fourth}, sizeof(ranges));
    }
    for (size_t i = 0; i < RANGES; i++) {
        while (is_open(&ranges[i]))
            step(&ranges[i], a, b, bits);
    }
}

void similarity_join(const struct digest *a, size_t a_count, const struct digest *b, size_t b_count,
                     uint64_t *bits)
{
    if (a_count == 0 || b_count == 0)
        return;
    if (b_count / UNEVEN > a_count) {
        for (size_t i = 0, at = 0; i < a_count && at < b_count; i++) {
            at = lower_bound(b, at, b_count, number_of(&a[i]));
            if (at < b_count && number_of(&a[i]) == number_of(&b[at]))
                bitmap_set(bits, i);
        }
    } else if (a_count / UNEVEN > b_count) {
        for (size_t i = 0, at = 0; i < b_count && at < a_count; i++) {
            at = lower_bound(a, at, a_count, number_of(&b[i]));
            if (at < a_count && number_of(&a[at]) == number_of(&b[i]))
                bitmap_set(bits, at);
        }
    } else {
        join_even(a, a_count, b, b_count, bits);
    }
}
