/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread that takes pieces of an image, reads them and drafts their extents. */
#include "transfer/make.h"

#include <errno.h>
#include <inttypes.h>

/* Reads are of so much at most: who shall stop does so soon. */
#define READ_BYTES ((uint32_t)256 << 10)

void make_fail(struct make_work *work, int code, const struct error *err)
{
    pthread_mutex_lock(&work->lock);
    if (work->failed == 0) {
        work->failed = code;
        work->failure = *err;
        atomic_store(&work->halted, true);
    }
    pthread_mutex_unlock(&work->lock);
    image_interrupt(work->image);
}

/* ---- dealing out ---- */

static int look_on(struct make_work *work, struct error *err)
{
    struct image_extent extent;
    int rc = image_next_extent(work->image, work->position, &extent, err);

    if (rc < 0)
        return rc;
    if (extent.offset != work->position || extent.length == 0 ||
        extent.length > work->size - extent.offset)
        return error_set(err, -EPROTO, "its allocation at byte %" PRIu64 " is nonsense",
                         work->position);
    work->extent = extent;
    return 0;
}

/* Data, outward to whole blocks where nothing lies below; neighbours become one. */
static int add_range(const struct make_work *work, struct make_piece *piece, uint64_t offset,
                     uint64_t end, bool zero)
{
    uint64_t base = piece->number * TRANSFER_PIECE_BYTES;
    uint32_t block_size = work->facts.digest->block_size;
    struct make_range range = {(uint32_t)(offset - base), (uint32_t)(end - base), zero};
    struct make_range *last =
        piece->range_count > 0 ? &piece->ranges[piece->range_count - 1] : NULL;
    int rc;

    if (!work->facts.is_layer) {
        range.start &= ~(block_size - 1);
        range.end = (range.end + block_size - 1) & ~(block_size - 1);
        range.end = range.end < piece->length ? range.end : piece->length;
    }
    if (last != NULL && last->zero == zero && range.start <= last->end) {
        last->end = range.end > last->end ? range.end : last->end;
        return 0;
    }
    rc = array_reserve(&piece->ranges, &piece->range_capacity, piece->range_count + 1,
                       sizeof(*piece->ranges));
    if (rc == 0)
        piece->ranges[piece->range_count++] = range;
    return rc;
}

/* The part of the extent that lies in the piece; the next piece begins where it ends. */
static int add_extent(struct make_work *work, struct make_piece *piece)
{
    uint64_t end = work->extent.offset + work->extent.length;
    uint64_t piece_end = (piece->number + 1) * TRANSFER_PIECE_BYTES;
    bool zero = work->extent.kind == IMAGE_ZERO;
    int rc = 0;

    if (end > piece_end)
        end = piece_end;
    if (work->extent.kind == IMAGE_DATA || (zero && work->facts.is_layer))
        rc = add_range(work, piece, work->position, end, zero);
    work->position = end;
    return rc;
}

static bool is_passed_over(const struct make_work *work)
{
    return work->extent.kind == IMAGE_HOLE ||
           (work->extent.kind == IMAGE_ZERO && !work->facts.is_layer);
}

static void begin_piece(const struct make_work *work, struct make_piece *piece)
{
    uint64_t left;

    piece->number = work->position / TRANSFER_PIECE_BYTES;
    left = work->size - piece->number * TRANSFER_PIECE_BYTES;
    piece->length = left < TRANSFER_PIECE_BYTES ? (uint32_t)left : TRANSFER_PIECE_BYTES;
    piece->range_count = 0;
}

/* The ranges of the next piece that has any. */
static int next_piece(struct make_work *work, struct make_piece *piece, struct error *err)
{
    int rc = 0;

    begin_piece(work, piece);
    while (work->position < work->size && rc == 0 && !atomic_load(&work->halted)) {
        if (work->position / TRANSFER_PIECE_BYTES != piece->number) {
            if (piece->range_count > 0)
                return 0;
            begin_piece(work, piece);
        }
        if (work->position >= work->extent.offset + work->extent.length) {
            rc = look_on(work, err);
        } else if (is_passed_over(work)) {
            work->position = work->extent.offset + work->extent.length;
        } else {
            rc = add_extent(work, piece);
            if (rc < 0)
                return error_set(err, -ENOMEM, "out of memory");
        }
    }
    return rc;
}

static bool take_piece(struct make_work *work, struct make_piece *piece)
{
    struct error err = {0};
    int rc;

    pthread_mutex_lock(&work->walk);
    rc = next_piece(work, piece, &err);
    pthread_mutex_unlock(&work->walk);
    if (rc < 0)
        make_fail(work, rc, &err);
    return rc == 0 && piece->range_count > 0 && !atomic_load(&work->halted);
}

/* ---- reading ---- */

static int read_piece(struct make_work *work, struct make_piece *piece, struct error *err)
{
    uint64_t base = piece->number * TRANSFER_PIECE_BYTES;
    uint32_t filled = 0;

    for (size_t r = 0; r < piece->range_count; r++) {
        const struct make_range *range = &piece->ranges[r];

        if (range->zero)
            continue;
        memset(piece->bytes + filled, 0, range->start - filled);
        for (uint32_t at = range->start, now; at < range->end; at += now) {
            int rc;

            now = range->end - at < READ_BYTES ? range->end - at : READ_BYTES;
            if (atomic_load(&work->halted))
                return 0;
            rc = image_read(work->image, base + at, now, piece->bytes + at, err);
            if (rc < 0)
                return rc;
        }
        filled = range->end;
        work->done += range->end - range->start;
    }
    memset(piece->bytes + filled, 0, TRANSFER_PIECE_BYTES - filled);
    return 0;
}

static int run(struct make_worker *worker, struct make_piece *piece, struct error *err)
{
    struct make_work *work = worker->work;

    piece->bytes = aligned_alloc(4096, TRANSFER_PIECE_BYTES);
    if (piece->bytes == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    while (take_piece(work, piece)) {
        int rc = read_piece(work, piece, err);

        if (rc == 0 && !atomic_load(&work->halted))
            rc = make_draft_piece(&worker->draft, &work->facts, piece, err);
        if (rc < 0)
            return rc;
        if (!atomic_load(&work->halted))
            transfer_content_piece(work->content, (size_t)piece->number, piece->bytes,
                                   piece->length);
    }
    return 0;
}

void *make_run(void *argument)
{
    struct make_worker *worker = argument;
    struct make_work *work = worker->work;
    struct make_piece piece = {0};
    struct error err = {0};
    int rc = run(worker, &piece, &err);

    free(piece.bytes);
    free(piece.ranges);
    if (rc < 0)
        make_fail(work, rc, &err);
    pthread_mutex_lock(&work->lock);
    work->running--;
    pthread_cond_signal(&work->ended);
    pthread_mutex_unlock(&work->lock);
    return NULL;
}
