/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One piece of an image: put together in memory, digested, written. */
#include "transfer/apply.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static uint8_t *place(const struct apply_worker *worker, const struct transfer_extent *extent)
{
    return worker->buffer + (extent->offset - worker->start);
}

/* ---- what does not hold --------------------------------------------------------------- */

static void refuse(struct apply_worker *worker, const struct transfer_extent *extent,
                   const struct error *why)
{
    struct apply *apply = worker->apply;

    worker->failed = true;
    atomic_store(&apply->broken, true);
    if (apply->refusal.text[0] == '\0')
        error_set(&apply->refusal, -ESTALE, "%.200s at byte %" PRIu64 ": %.250s",
                  apply_worker_plan(worker)->path, extent->offset, why->text);
}

int apply_extent_failed(struct apply_worker *worker, size_t number, const struct error *why,
                        struct error *err)
{
    struct apply *apply = worker->apply;
    struct transfer_failed *failed = &apply->result->failed;
    int rc;

    pthread_mutex_lock(&apply->mutex);
    rc = array_reserve(&failed->extents, &failed->capacity, failed->count + 1,
                       sizeof(*failed->extents));
    if (rc == 0) {
        failed->extents[failed->count++] =
            (struct transfer_failed_extent){(uint32_t)worker->image, (uint32_t)number};
        refuse(worker, &apply_worker_plan(worker)->extents[number], why);
    }
    pthread_mutex_unlock(&apply->mutex);
    return rc < 0 ? error_set(err, rc, "out of memory") : 0;
}

static int part_failed(struct apply_worker *worker, const struct transfer_extent *extent,
                       const struct error *why, struct error *err)
{
    struct apply *apply = worker->apply;
    struct transfer_failed *failed = &apply->result->failed;
    int rc = 0;

    pthread_mutex_lock(&apply->mutex);
    if (!apply->part_failed[extent->source])
        rc = array_reserve(&failed->parts, &failed->part_capacity, failed->part_count + 1,
                           sizeof(*failed->parts));
    if (rc == 0 && !apply->part_failed[extent->source])
        failed->parts[failed->part_count++] = extent->source;
    if (rc == 0) {
        apply->part_failed[extent->source] = true;
        refuse(worker, extent, why);
    }
    pthread_mutex_unlock(&apply->mutex);
    return rc < 0 ? error_set(err, rc, "out of memory") : 0;
}

/* ---- extents ----------------------------------------------------------------------------- */

static bool is_seen(struct apply *apply, uint32_t part)
{
    bool seen;

    pthread_mutex_lock(&apply->mutex);
    seen = apply->part_seen[part];
    apply->part_seen[part] = true;
    pthread_mutex_unlock(&apply->mutex);
    return seen;
}

static int put_sent(struct apply_worker *worker, const struct transfer_extent *extent,
                    struct error *err)
{
    struct apply *apply = worker->apply;
    bool seen = is_seen(apply, extent->source);
    struct error why = {""};
    int rc;

    /* Once the image cannot become whole, each part is only looked at. */
    if (seen && atomic_load(&apply->broken))
        return 0;
    rc = transfer_part_read(apply->parts, extent->source, extent->from, place(worker, extent),
                            extent->length, &why);
    if (rc == -ENOENT || rc == -EBADMSG)
        return part_failed(worker, extent, &why, err);
    return rc < 0 ? error_set(err, rc, "%s", why.text) : 0;
}

static int put_replicate(struct apply_worker *worker, const struct transfer_extent *extent,
                         struct error *err)
{
    struct apply *apply = worker->apply;
    const struct apply_image *source = &apply->images[extent->source];
    uint8_t *to = place(worker, extent);

    for (uint64_t done = 0; done < extent->length;) {
        uint64_t from = extent->from + done, left = extent->length - done;
        uint64_t here = TRANSFER_PIECE_BYTES - from % TRANSFER_PIECE_BYTES;
        size_t length = (size_t)(left < here ? left : here);
        int rc = 0;

        if (extent->source == worker->image && from >= worker->start) {
            memcpy(to + done, worker->buffer + (from - worker->start), length);
        } else if (source->existing != NULL) {
            rc = image_read(source->existing, from, length, to + done, err);
        } else {
            rc = apply_wait_for_piece(worker, extent->source, from);
            /* What it should be taken from may not have been written. */
            if (rc == 0 && atomic_load(&apply->broken))
                return 0;
            rc = rc < 0 ? error_set(err, rc, "stopped")
                        : image_write_read(source->write, from, length, to + done, err);
        }
        if (rc < 0)
            return rc;
        done += length;
    }
    return 0;
}

static int put(struct apply_worker *worker, size_t number, struct error *err)
{
    const struct transfer_extent *extent = &apply_worker_plan(worker)->extents[number];

    switch (extent->kind) {
    case TRANSFER_COPY:
        return apply_copy(worker, number, err);
    case TRANSFER_SENT:
        return put_sent(worker, extent, err);
    case TRANSFER_REPLICATE:
        return atomic_load(&worker->apply->broken) ? 0 : put_replicate(worker, extent, err);
    default:
        memset(place(worker, extent), 0, extent->length);
        return 0;
    }
}

/* ---- the piece ------------------------------------------------------------------------------ */

/* Where no extent is. */
static void clear_holes(const struct apply_worker *worker)
{
    const struct transfer_extent *extents = apply_worker_plan(worker)->extents;
    size_t at = 0;

    for (size_t i = worker->first; i < worker->end; i++) {
        size_t begin = (size_t)(extents[i].offset - worker->start);

        memset(worker->buffer + at, 0, begin - at);
        at = begin + extents[i].length;
    }
    memset(worker->buffer + at, 0, worker->length - at);
}

/* Neighbours of one sort at once. */
static int write_out(const struct apply_worker *worker, struct error *err)
{
    const struct transfer_extent *extents = apply_worker_plan(worker)->extents;
    struct image_write *write = worker->apply->images[worker->image].write;

    for (size_t i = worker->first, next; i < worker->end; i = next) {
        bool zero = extents[i].kind == TRANSFER_ZERO;
        uint64_t end = extents[i].offset + extents[i].length;
        int rc;

        for (next = i + 1; next < worker->end && extents[next].offset == end &&
                           (extents[next].kind == TRANSFER_ZERO) == zero;
             next++)
            end += extents[next].length;
        rc = zero ? image_write_zero(write, extents[i].offset, end - extents[i].offset, err)
                  : image_write_at(write, extents[i].offset, place(worker, &extents[i]),
                                   (size_t)(end - extents[i].offset), err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int apply_piece_build(struct apply_worker *worker, struct error *err)
{
    struct apply *apply = worker->apply;
    const struct transfer_extent *extents = apply_worker_plan(worker)->extents;
    bool data = false;
    int rc = 0;

    worker->fetched = worker->first;
    worker->failed = false;
    clear_holes(worker);
    for (size_t i = worker->first; i < worker->end && rc == 0; i++) {
        rc = put(worker, i, err);
        data = data || extents[i].kind != TRANSFER_ZERO;
        worker->bytes_of[extents[i].kind] += extents[i].length;
    }
    if (rc < 0 || worker->failed || atomic_load(&apply->broken))
        return rc;
    if (data)
        transfer_content_piece(&apply->images[worker->image].content,
                               (size_t)(worker->start / TRANSFER_PIECE_BYTES), worker->buffer,
                               worker->length);
    return write_out(worker, err);
}
