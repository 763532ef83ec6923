/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests: fingerprints of images that are given as a list of block contents. */
#ifndef MADE_FINGERPRINT_H
#define MADE_FINGERPRINT_H

#include "setmov/base_bytes.h"
#include "setmov/fingerprint.h"

#define MADE_BLOCK_SIZE 512
#define MADE_ZERO       UINT64_C(0xffffffffffff0000) /* the content that stands for zeroes */

/* splitmix64: the same numbers in every run. */
static inline uint64_t made_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Stands for the digest of a block: uniform bits that follow from its content. */
static inline struct digest made_digest(uint64_t content)
{
    uint64_t words[2];
    struct digest digest;

    words[0] = made_random(&content);
    words[1] = made_random(&content);
    memcpy(digest.bytes, words, DIGEST_BYTES);
    return digest;
}

struct made_fingerprint {
    struct fingerprint_view view;
    struct fingerprint_entry *entries;
    struct fingerprint_frequent frequent;
    struct digest *digests;
    uint8_t *places, *bloom;
    uint64_t *multiplicity;
};

static inline void made_fingerprint_release(struct made_fingerprint *made)
{
    free(made->entries);
    fingerprint_frequent_release(&made->frequent);
    free(made->digests);
    free(made->places);
    free(made->bloom);
    free(made->multiplicity);
    *made = (struct made_fingerprint){0};
}

static inline void *made_memory(size_t bytes)
{
    void *memory = calloc(1, bytes + 1);

    if (memory == NULL)
        abort();
    return memory;
}

static inline int made_order(const void *left, const void *right)
{
    const struct fingerprint_entry *a = left, *b = right;
    int order = digest_compare(&a->digest, &b->digest);
    uint64_t x = fingerprint_place_block(a->place), y = fingerprint_place_block(b->place);

    return order != 0 ? order : (x > y) - (x < y);
}

/* Sorts single blocks; equal ones become one, with their number and the lowest block. */
static inline size_t made_merge(struct fingerprint_entry *entries, size_t count,
                                struct fingerprint_frequent *frequent)
{
    size_t merged = 0;

    qsort(entries, count, sizeof(*entries), made_order);
    for (size_t i = 0, next; i < count; i = next) {
        const struct digest digest = entries[i].digest;
        uint64_t block = fingerprint_place_block(entries[i].place);

        for (next = i + 1; next < count && digest_compare(&digest, &entries[next].digest) == 0;
             next++)
            ;
        if (next - i >= FINGERPRINT_FREQUENT &&
            fingerprint_frequent_append(frequent, &digest, next - i) < 0)
            abort();
        entries[merged++] =
            (struct fingerprint_entry){digest, fingerprint_place_make(block, next - i)};
    }
    return merged;
}

/* Everything of the view but the layers; where entries and frequent are sorted already. */
static inline void made_fingerprint_finish(struct made_fingerprint *made, size_t distinct,
                                           uint64_t blocks)
{
    struct fingerprint_view *view = &made->view;

    made->digests = made_memory(distinct * sizeof(*made->digests));
    made->places = made_memory(distinct * sizeof(uint64_t));
    made->multiplicity = made_memory(made->frequent.count * sizeof(uint64_t));
    view->bloom_bytes = fingerprint_bloom_bytes(distinct);
    made->bloom = made_memory(view->bloom_bytes);
    for (size_t i = 0; i < distinct; i++) {
        made->digests[i] = made->entries[i].digest;
        put_u64(made->places + i * sizeof(uint64_t), made->entries[i].place);
    }
    for (size_t i = 0; i < made->frequent.count; i++)
        made->multiplicity[i] = htole64(made->frequent.multiplicity[i]);
    view->kind = DIGEST_MD5;
    view->block_size = MADE_BLOCK_SIZE;
    view->zero_digest = made_digest(MADE_ZERO);
    view->identity.virtual_size = blocks * MADE_BLOCK_SIZE;
    view->identity.made_s = 1790000000;
    view->totals.blocks = blocks;
    view->totals.distinct = distinct;
    view->digests = made->digests;
    view->places = made->places;
    view->frequent = made->frequent.digests;
    view->frequent_multiplicity = made->multiplicity;
    view->frequent_count = made->frequent.count;
    view->bloom = made->bloom;
    for (size_t i = 0; i < distinct; i++) {
        fingerprint_bloom_add(made->bloom, view->bloom_bytes, &made->digests[i]);
        view->sketch_count += made->digests[i].bytes[0] == 0;
        if (digest_compare(&made->digests[i], &view->zero_digest) == 0)
            view->totals.zero = fingerprint_multiplicity(view, i);
    }
}

/* An image whose i-th block holds contents[i]. */
static inline struct made_fingerprint made_fingerprint(const uint64_t *contents, size_t count)
{
    struct made_fingerprint made = {0};
    size_t distinct;

    made.entries = made_memory(count * sizeof(*made.entries));
    for (size_t i = 0; i < count; i++) {
        made.entries[i].digest = made_digest(contents[i]);
        made.entries[i].place = fingerprint_place_make(i, 1);
    }
    distinct = made_merge(made.entries, count, &made.frequent);
    made_fingerprint_finish(&made, distinct, count);
    return made;
}

#endif
