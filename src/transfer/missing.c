/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which blocks of an image no donor has, and in how many extents the image falls apart. */
#include "setmov/transfer.h"

#include <errno.h>

#define MOST_DIGESTS ((size_t)1 << 28)
#define SENT         UINT64_MAX

/* A distinct block, and where it comes from: donor << 40 | block there, or SENT. */
struct piece {
    uint64_t block, source;
};

/* Both ascend: one walk through each. A digest keeps the first donor that has it. */
static void mark(const struct fingerprint_view *image, const struct fingerprint_view *donor,
                 uint64_t number, struct piece *pieces)
{
    size_t count = (size_t)image->totals.distinct, others = (size_t)donor->totals.distinct;

    for (size_t i = 0, j = 0; i < count && j < others;) {
        int order = digest_compare(&image->digests[i], &donor->digests[j]);

        if (order == 0 && pieces[i].source == SENT)
            pieces[i].source = number << 40 | fingerprint_place_block(fingerprint_place(donor, j));
        i += order <= 0;
        j += order >= 0;
    }
}

static int by_block(const void *left, const void *right)
{
    const struct piece *l = left, *r = right;

    return (l->block > r->block) - (l->block < r->block);
}

/* Are these two neighbours parts of one extent? */
static bool continues(const struct piece *before, const struct piece *piece)
{
    if (piece->block != before->block + 1)
        return false;
    if (piece->source == SENT || before->source == SENT)
        return piece->source == before->source;
    return piece->source == before->source + 1;
}

static void count_extents(const struct piece *pieces, size_t count,
                          struct transfer_missing *missing)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].source == SENT)
            missing->blocks[missing->count++] = pieces[i].block;
        if (i > 0 && continues(&pieces[i - 1], &pieces[i]))
            continue;
        if (pieces[i].source == SENT)
            missing->sent_extents++;
        else
            missing->copied_extents++;
    }
}

/* Without the zero block, which is neither sent nor copied. */
static size_t drop_zero(const struct fingerprint_view *image, struct piece *pieces)
{
    size_t count = (size_t)image->totals.distinct;
    size_t zero = fingerprint_find(image->digests, count, &image->zero_digest);

    if (zero >= count)
        return count;
    memmove(&pieces[zero], &pieces[zero + 1], (count - zero - 1) * sizeof(*pieces));
    return count - 1;
}

int transfer_missing_find(const struct fingerprint_view *image,
                          const struct fingerprint_view *const *donors, size_t count,
                          struct transfer_missing *ret_missing, struct error *err)
{
    CLEANUP(cleanup_free) struct piece *pieces = NULL;
    struct transfer_missing missing = {0};
    size_t distinct = (size_t)image->totals.distinct, left;

    if (distinct <= MOST_DIGESTS)
        pieces = calloc(distinct + 1, sizeof(*pieces));
    if (pieces == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < distinct; i++)
        pieces[i] = (struct piece){fingerprint_place_block(fingerprint_place(image, i)), SENT};
    for (size_t i = 0; i < count && i < UINT64_C(1) << 23; i++)
        mark(image, donors[i], i, pieces);
    left = drop_zero(image, pieces);
    qsort(pieces, left, sizeof(*pieces), by_block);
    missing.blocks = calloc(left + 1, sizeof(*missing.blocks));
    if (missing.blocks == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    count_extents(pieces, left, &missing);
    *ret_missing = missing;
    return 0;
}

void transfer_missing_release(struct transfer_missing *missing)
{
    free(missing->blocks);
    *missing = (struct transfer_missing){0};
}

uint64_t transfer_plan_bytes(const struct transfer_missing *missing)
{
    return missing->sent_extents * TRANSFER_EXTENT_BYTES +
           missing->copied_extents * (TRANSFER_EXTENT_BYTES + TRANSFER_EXTENT_HASH_BYTES);
}
