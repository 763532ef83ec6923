/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images that are there and may serve: they do if they have the plan's content. */
#include "transfer/apply.h"

#include <errno.h>
#include <string.h>

/* The next piece of images that are there. */
static bool take(struct apply_worker *worker)
{
    struct apply *apply = worker->apply;

    for (; apply->next_image < apply->plan->image_count; apply->next_image++) {
        uint64_t size = apply->plan->images[apply->next_image].virtual_size;
        uint64_t start = apply->next_piece * TRANSFER_PIECE_BYTES;

        if (apply->images[apply->next_image].existing != NULL && start < size) {
            worker->image = apply->next_image;
            worker->start = start;
            worker->length =
                size - start < TRANSFER_PIECE_BYTES ? (size_t)(size - start) : TRANSFER_PIECE_BYTES;
            worker->first = 0;
            worker->end = 0;
            apply->next_piece++;
            return true;
        }
        apply->next_piece = 0;
    }
    return false;
}

/*
 * Has the plan extents for all of [offset, offset + length), or for nothing of
 * it? Where an image lies on another one, that is what hides the other one.
 */
static bool is_covered_alike(const struct transfer_image *plan, uint64_t offset, uint64_t length,
                             bool covered)
{
    size_t low = 0, high = plan->extent_count;
    uint64_t end = offset + length;

    while (low < high) { /* the first extent that ends behind `offset` */
        size_t middle = low + (high - low) / 2;

        if (plan->extents[middle].offset + plan->extents[middle].length <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (!covered)
        return low == plan->extent_count || plan->extents[low].offset >= end;
    for (; offset < end && low < plan->extent_count && plan->extents[low].offset <= offset; low++)
        offset = plan->extents[low].offset + plan->extents[low].length;
    return offset >= end;
}

static int other_content(const struct transfer_image *plan, struct error *err)
{
    return error_set(err, -EEXIST, "%s is there with other content", plan->path);
}

/* It was cut short; -ESTALE is for what the source can send anew. */
static int not_stale(int rc)
{
    return rc == -ESTALE ? -EEXIST : rc;
}

static int read_piece(struct apply_worker *worker, struct error *err)
{
    struct apply_image *image = &worker->apply->images[worker->image];
    const struct transfer_image *plan = image->plan;
    uint64_t offset = worker->start, end = worker->start + worker->length;
    bool data = false;

    while (offset < end) {
        struct image_extent extent;
        uint8_t *to = worker->buffer + (offset - worker->start);
        size_t length;
        int rc = image_next_extent(image->existing, offset, &extent, err);

        if (rc < 0)
            return not_stale(rc);
        length = extent.length < end - offset ? (size_t)extent.length : (size_t)(end - offset);
        if (plan->backing != NULL &&
            !is_covered_alike(plan, offset, length, extent.kind != IMAGE_HOLE))
            return other_content(plan, err);
        if (extent.kind == IMAGE_DATA)
            rc = image_read(image->existing, offset, length, to, err);
        else
            memset(to, 0, length);
        if (rc < 0)
            return not_stale(rc);
        data = data || extent.kind == IMAGE_DATA;
        offset += length;
    }
    if (data)
        transfer_content_piece(&image->content, (size_t)(worker->start / TRANSFER_PIECE_BYTES),
                               worker->buffer, worker->length);
    return 0;
}

int apply_existing_check(struct apply *apply, struct error *err)
{
    uint8_t value[TRANSFER_HASH_BYTES];
    int rc;

    apply->next_image = 0;
    apply->next_piece = 0;
    rc = apply_threads_run(apply, take, read_piece, err);
    for (size_t i = 0; rc == 0 && i < apply->plan->image_count; i++) {
        const struct apply_image *image = &apply->images[i];

        if (image->existing == NULL)
            continue;
        transfer_content_value(&image->content, value);
        if (memcmp(value, image->plan->content, sizeof(value)) != 0)
            rc = other_content(image->plan, err);
        else if (image_check_content(image->existing, err) < 0)
            rc = -EEXIST;
    }
    return rc;
}
