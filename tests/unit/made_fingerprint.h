/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests: fingerprints of images that are given as a list of block contents. */
#ifndef MADE_FINGERPRINT_H
#define MADE_FINGERPRINT_H

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
    struct fingerprint_entry *entries, *scratch;
    struct fingerprint_frequent frequent;
    struct digest *digests;
    uint8_t *places, *bloom;
    uint64_t *multiplicity;
};

static inline void made_fingerprint_release(struct made_fingerprint *made)
{
    free(made->entries);
    free(made->scratch);
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
    fingerprint_split(made->entries, distinct, made->digests, made->places);
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
    made.scratch = made_memory(count * sizeof(*made.scratch));
    for (size_t i = 0; i < count; i++) {
        made.entries[i].digest = made_digest(contents[i]);
        made.entries[i].place = fingerprint_place_make(i, 1);
    }
    if (fingerprint_sort(made.entries, made.scratch, count, &made.frequent, &distinct) < 0)
        abort();
    made_fingerprint_finish(&made, distinct, count);
    return made;
}

#endif
