/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which bytes of which image lie where in which part. Pure. */
#include "transfer/pack.h"

#include <errno.h>

#define TO_BE_SENT       UINT32_MAX /* the source of extents that have no part yet */
#define PART_BYTES       ((uint64_t)64 << 20)
#define PART_BYTES_LEAST ((uint64_t)32 << 20)

static bool is_to_be_sent(const struct transfer_extent *extent)
{
    return extent->kind == TRANSFER_SENT && extent->source == TO_BE_SENT;
}

static bool is_whole_blocks(const struct transfer_plan *plan, uint64_t offset, uint32_t length)
{
    return plan->block_size > 0 && offset % plan->block_size == 0 && length % plan->block_size == 0;
}

/* ---- pieces ------------------------------------------------------------------------- */

static int add_piece(struct pack_layout *layout, uint32_t image,
                     const struct transfer_extent *extent, struct error *err)
{
    int rc = array_reserve(&layout->pieces, &layout->capacity, layout->count + 1,
                           sizeof(*layout->pieces));

    if (rc < 0)
        return error_set(err, rc, "out of memory");
    layout->pieces[layout->count++] =
        (struct pack_piece){.offset = extent->offset, .image = image, .length = extent->length};
    layout->raw_bytes += extent->length;
    return 0;
}

/* In the order of the images, first the whole blocks of all of them. */
static int collect(const struct transfer_plan *plan, struct pack_layout *layout, bool whole,
                   struct error *err)
{
    for (size_t i = 0; i < plan->image_count; i++) {
        const struct transfer_image *image = &plan->images[i];

        for (size_t e = 0; e < image->extent_count; e++) {
            const struct transfer_extent *extent = &image->extents[e];
            int rc;

            if (!is_to_be_sent(extent) ||
                is_whole_blocks(plan, extent->offset, extent->length) != whole)
                continue;
            if (extent->length == 0 || extent->offset > UINT64_MAX - extent->length)
                return error_set(err, -EINVAL, "the plan has an extent of no length, or no end");
            rc = add_piece(layout, (uint32_t)i, extent, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* ---- parts ---------------------------------------------------------------------------- */

static struct pack_part *open_part(struct pack_layout *layout, size_t first, bool whole,
                                   struct error *err)
{
    struct pack_part *part;

    if (layout->part_count >= TRANSFER_PLAN_MAX_PARTS) {
        error_set(err, -EFBIG, "more parts than %d are needed", TRANSFER_PLAN_MAX_PARTS);
        return NULL;
    }
    if (array_reserve(&layout->parts, &layout->part_capacity, layout->part_count + 1,
                      sizeof(*layout->parts)) < 0) {
        error_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    part = &layout->parts[layout->part_count++];
    *part = (struct pack_part){.first = first, .whole_blocks = whole};
    return part;
}

/* What of a piece still fits; 0: a new part is needed. */
static uint32_t fitting(const struct pack_part *part, uint64_t part_bytes, uint32_t length,
                        uint32_t grain)
{
    uint64_t room = part_bytes - part->raw_length;

    if (length <= room)
        return length;
    return (uint32_t)(room - room % grain);
}

/* Pieces are cut where a part ends, those of whole blocks between two blocks. */
static int cut(const struct transfer_plan *plan, const struct pack_layout *uncut,
               uint64_t part_bytes, struct pack_layout *layout, struct error *err)
{
    struct pack_part *part = NULL;

    for (size_t i = 0; i < uncut->count; i++) {
        struct pack_piece piece = uncut->pieces[i];
        bool whole = is_whole_blocks(plan, piece.offset, piece.length);
        uint32_t grain = whole ? plan->block_size : 1, left = piece.length;

        while (left > 0) {
            if (part == NULL || part->whole_blocks != whole ||
                fitting(part, part_bytes, left, grain) == 0)
                part = open_part(layout, layout->count, whole, err);
            if (part == NULL)
                return layout->part_count >= TRANSFER_PLAN_MAX_PARTS ? -EFBIG : -ENOMEM;
            if (array_reserve(&layout->pieces, &layout->capacity, layout->count + 1,
                              sizeof(*layout->pieces)) < 0)
                return error_set(err, -ENOMEM, "out of memory");
            piece.length = fitting(part, part_bytes, left, grain);
            piece.part = (uint32_t)(layout->part_count - 1);
            piece.from = part->raw_length;
            layout->pieces[layout->count++] = piece;
            part->count++;
            part->raw_length += piece.length;
            layout->raw_bytes += piece.length;
            piece.offset += piece.length;
            left -= piece.length;
        }
    }
    return 0;
}

uint64_t pack_part_bytes(uint64_t raw_bytes, unsigned threads)
{
    uint64_t parts = (raw_bytes + (PART_BYTES - 1)) / PART_BYTES, bytes;

    if (threads == 0 || parts == 0)
        return PART_BYTES;
    parts = (parts + (threads - 1)) / threads * threads;
    bytes = (raw_bytes + (parts - 1)) / parts;
    bytes = (bytes + (DIGEST_BLOCK_MAX - 1)) / DIGEST_BLOCK_MAX * DIGEST_BLOCK_MAX;
    return bytes > PART_BYTES_LEAST ? bytes : PART_BYTES_LEAST;
}

int pack_layout_make(const struct transfer_plan *plan, uint64_t part_bytes, unsigned threads,
                     struct pack_layout *ret_layout, struct error *err)
{
    CLEANUP(pack_layout_release) struct pack_layout uncut = {0}, layout = {0};
    int rc;

    if (plan->block_size == 0 || plan->block_size > DIGEST_BLOCK_MAX)
        return error_set(err, -EINVAL, "the plan has no valid block size");
    rc = collect(plan, &uncut, true, err);
    if (rc == 0)
        rc = collect(plan, &uncut, false, err);
    if (part_bytes == 0)
        part_bytes = pack_part_bytes(uncut.raw_bytes, threads);
    if (part_bytes > TRANSFER_PART_MAX_RAW)
        part_bytes = TRANSFER_PART_MAX_RAW;
    if (part_bytes < plan->block_size)
        part_bytes = plan->block_size;
    if (rc == 0)
        rc = cut(plan, &uncut, part_bytes, &layout, err);
    if (rc < 0)
        return rc;
    *ret_layout = layout;
    layout = (struct pack_layout){0};
    return 0;
}

void pack_layout_release(struct pack_layout *layout)
{
    free(layout->pieces);
    free(layout->parts);
    *layout = (struct pack_layout){0};
}

/* ---- into the plan ---------------------------------------------------------------------- */

static int by_place(const void *left, const void *right)
{
    const struct pack_piece *l = left, *r = right;

    if (l->image != r->image)
        return l->image < r->image ? -1 : 1;
    return (l->offset > r->offset) - (l->offset < r->offset);
}

static size_t pieces_of(const struct pack_layout *layout, size_t first, size_t image)
{
    size_t count = 0;

    while (first + count < layout->count && layout->pieces[first + count].image == image)
        count++;
    return count;
}

/* The pieces (of one image, in its order) in place of the extents that they are of. */
static size_t merge(const struct transfer_image *image, const struct pack_piece *piece,
                    const uint32_t *numbers, struct transfer_extent *extents)
{
    size_t count = 0;

    for (size_t e = 0; e < image->extent_count; e++) {
        const struct transfer_extent *extent = &image->extents[e];
        uint64_t end = extent->offset + extent->length;

        if (!is_to_be_sent(extent)) {
            extents[count++] = *extent;
            continue;
        }
        for (uint64_t at = extent->offset; at < end; at += piece++->length)
            extents[count++] = (struct transfer_extent){.offset = at,
                                                        .length = piece->length,
                                                        .source = numbers[piece->part],
                                                        .from = piece->from,
                                                        .kind = TRANSFER_SENT};
    }
    return count;
}

static size_t to_be_sent(const struct transfer_image *image)
{
    size_t count = 0;

    for (size_t e = 0; e < image->extent_count; e++)
        count += is_to_be_sent(&image->extents[e]);
    return count;
}

int pack_layout_apply(struct pack_layout *layout, const uint32_t *numbers,
                      struct transfer_plan *plan, struct error *err)
{
    struct transfer_extent **extents =
        calloc(plan->image_count + 1, sizeof(struct transfer_extent *));
    size_t first = 0, image;

    if (extents == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (layout->count > 1)
        qsort(layout->pieces, layout->count, sizeof(*layout->pieces), by_place);
    for (image = 0; image < plan->image_count; image++) {
        size_t count = plan->images[image].extent_count - to_be_sent(&plan->images[image]) +
                       pieces_of(layout, first, image);

        first += pieces_of(layout, first, image);
        extents[image] = calloc(count + 1, sizeof(struct transfer_extent));
        if (extents[image] == NULL)
            break;
    }
    if (image < plan->image_count) {
        while (image-- > 0)
            free(extents[image]);
        free(extents);
        return error_set(err, -ENOMEM, "out of memory");
    }
    first = 0;
    for (image = 0; image < plan->image_count; image++) {
        struct transfer_image *into = &plan->images[image];

        size_t count = merge(into, &layout->pieces[first], numbers, extents[image]);

        first += pieces_of(layout, first, image);
        free(into->extents);
        into->extents = extents[image];
        into->extent_count = into->extent_capacity = count;
    }
    free(extents);
    return 0;
}
