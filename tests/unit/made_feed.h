/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests: entries as a reader of an image feeds them to a writer, of many shapes. */
#ifndef MADE_FEED_H
#define MADE_FEED_H

#include "setmov/fingerprint.h"

struct feed {
    struct fingerprint_entry *entries;
    size_t count;
};

static inline uint64_t next_number(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

enum shape {
    RANDOM,   /* all distinct but by accident */
    REPEATED, /* one of a few thousand digests each */
    EQUAL,    /* all the same */
    SKEWED,   /* all begin with the same 40 bits, as a guest may choose them */
    TAIL,     /* they differ in their last bits only, and many are equal */
    TWO_ENDS, /* half of them begin with 0x00, half with 0xff */
};

static inline struct digest made_digest(enum shape shape, uint64_t *state)
{
    uint64_t words[2] = {next_number(state), next_number(state)};
    struct digest digest;

    if (shape == REPEATED) {
        uint64_t which = words[0] % 3000;

        words[0] = next_number(&which);
        words[1] = next_number(&which);
    }
    memcpy(digest.bytes, words, sizeof(words));
    if (shape == EQUAL)
        memset(digest.bytes, 0x5a, DIGEST_BYTES);
    if (shape == SKEWED)
        memcpy(digest.bytes, "\x7f\xff\xff\xff\x01", 5);
    if (shape == TAIL) {
        memset(digest.bytes, 0, DIGEST_BYTES - 2);
        digest.bytes[DIGEST_BYTES - 2] &= 3;
    }
    if (shape == TWO_ENDS)
        memset(digest.bytes, (digest.bytes[15] & 1) != 0 ? 0xff : 0, 3);
    return digest;
}

static inline struct feed made_feed(enum shape shape, size_t count, uint64_t most_times)
{
    struct feed feed = {malloc((count + 1) * sizeof(*feed.entries)), count};
    uint64_t state = 7 + shape;

    if (feed.entries == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        uint64_t block = next_number(&state) >> 30;

        feed.entries[i].digest = made_digest(shape, &state);
        feed.entries[i].place = fingerprint_place_make(block, 1 + next_number(&state) % most_times);
    }
    return feed;
}

#endif
