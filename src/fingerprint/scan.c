/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Deals out an image's data in chunks, and reads them. */
#include "fingerprint/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

/* A read that takes longer keeps too long from seeing that all shall stop. */
#define SLOW_READ_S  0.1
#define FAST_READ_S  0.02
#define PIECE_LEAST  ((size_t)16 << 10)
#define PIECE_FIRST  ((size_t)256 << 10)
#define PAGE_ALIGNED 4096

void scan_init(struct scan *scan, struct image *image, size_t grain, size_t chunk_bytes)
{
    pthread_condattr_t monotonic;

    *scan = (struct scan){
        .image = image, .size = image_size(image), .grain = grain, .chunk_bytes = chunk_bytes};
    pthread_mutex_init(&scan->walk, NULL);
    pthread_mutex_init(&scan->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&scan->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&scan->moved, NULL);
}

void scan_destroy(struct scan *scan)
{
    if (scan->image == NULL)
        return;
    pthread_cond_destroy(&scan->moved);
    pthread_cond_destroy(&scan->ended);
    pthread_mutex_destroy(&scan->lock);
    pthread_mutex_destroy(&scan->walk);
}

void scan_fail(struct scan *scan, int code, const struct error *err)
{
    pthread_mutex_lock(&scan->lock);
    if (scan->failed == 0) {
        scan->failed = code;
        scan->failure = *err;
        atomic_store(&scan->halted, true);
    }
    pthread_cond_broadcast(&scan->moved);
    pthread_mutex_unlock(&scan->lock);
    image_interrupt(scan->image);
}

/* ---- chunks ------------------------------------------------------------------- */

int scan_chunk_init(struct scan_chunk *chunk, const struct scan *scan)
{
    size_t most = scan->chunk_bytes / SCAN_SECTOR;

    *chunk = (struct scan_chunk){.piece = PIECE_FIRST};
    chunk->data = malloc(most * sizeof(*chunk->data));
    chunk->reads = malloc(most * sizeof(*chunk->reads));
    chunk->buffers[0] = aligned_alloc(PAGE_ALIGNED, scan->chunk_bytes);
    chunk->buffers[1] = aligned_alloc(PAGE_ALIGNED, scan->chunk_bytes);
    if (chunk->data != NULL && chunk->reads != NULL && chunk->buffers[0] != NULL &&
        chunk->buffers[1] != NULL)
        return 0;
    scan_chunk_release(chunk);
    return -ENOMEM;
}

void scan_chunk_release(struct scan_chunk *chunk)
{
    free(chunk->data);
    free(chunk->reads);
    free(chunk->buffers[0]);
    free(chunk->buffers[1]);
    *chunk = (struct scan_chunk){0};
}

static uint64_t round_down(uint64_t value, uint64_t unit)
{
    return value & ~(unit - 1);
}

/* Sizes of images are far below 2^63. */
static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return round_down(value + unit - 1, unit);
}

/* Puts [offset, end) behind the last range, or on to it where they touch. */
static void append(struct scan_range *ranges, size_t *count, uint64_t offset, uint64_t end)
{
    struct scan_range *last = *count > 0 ? &ranges[*count - 1] : NULL;

    if (last != NULL && offset <= last->end)
        last->end = end > last->end ? end : last->end;
    else
        ranges[(*count)++] = (struct scan_range){offset, end};
}

/*
 * Adds what fits of the data in [offset, end), and says how far that goes:
 * `offset` where the chunk is full. `room` is what is left of the buffer.
 */
static uint64_t add_data(const struct scan *scan, struct scan_chunk *chunk, uint64_t offset,
                         uint64_t end, uint64_t *room)
{
    uint64_t start = round_down(offset, scan->grain), stop;

    /* The last read may hold the block that this begins in. */
    if (chunk->read_count > 0 && start < chunk->reads[chunk->read_count - 1].end)
        start = chunk->reads[chunk->read_count - 1].end;
    stop = start + *room < end ? start + *room : end;
    if (stop <= offset)
        return offset;
    if (stop > start) {
        append(chunk->reads, &chunk->read_count, start, round_up(stop, scan->grain));
        *room -= round_up(stop, scan->grain) - start;
    }
    append(chunk->data, &chunk->data_count, round_down(offset, SCAN_SECTOR),
           round_up(stop, SCAN_SECTOR));
    chunk->data_bytes += stop - offset;
    return stop;
}

static int look_on(struct scan *scan, struct error *err)
{
    struct image_extent extent;
    int rc = image_next_extent(scan->image, scan->position, &extent, err);

    if (rc < 0)
        return rc;
    if (extent.offset != scan->position || extent.length == 0 ||
        extent.length > scan->size - extent.offset)
        return error_set(err, -EPROTO, "its allocation at byte %" PRIu64 " is nonsense",
                         scan->position);
    scan->extent = extent;
    if (extent.kind == IMAGE_DATA)
        scan->bytes_known += extent.length;
    return 0;
}

/* Goes on from `position` until the chunk is full or the image at its end. */
static int fill_chunk(struct scan *scan, struct scan_chunk *chunk, struct error *err)
{
    uint64_t room = scan->chunk_bytes;

    while (scan->position < scan->size && !atomic_load(&scan->halted)) {
        uint64_t end = scan->extent.offset + scan->extent.length, next;

        if (scan->position >= end) {
            int rc = look_on(scan, err);

            if (rc < 0)
                return rc;
        } else if (scan->extent.kind != IMAGE_DATA) {
            scan->position = end;
        } else {
            next = add_data(scan, chunk, scan->position, end, &room);
            if (next == scan->position)
                return 0;
            scan->position = next;
        }
    }
    return 0;
}

bool scan_take(struct scan *scan, struct scan_chunk *chunk, bool whole)
{
    struct error err = {0};
    bool taken = false;
    int rc = 0;

    scan->bytes_done += chunk->data_bytes;
    chunk->data_bytes = 0;
    chunk->data_count = chunk->read_count = 0;
    pthread_mutex_lock(&scan->walk);
    if (!atomic_load(&scan->halted) && scan->position < scan->size) {
        rc = fill_chunk(scan, chunk, &err);
        chunk->number = scan->chunks;
        /* The next one's first read begins at the block that holds the position. */
        chunk->end =
            scan->position < scan->size ? round_down(scan->position, scan->grain) : scan->position;
        taken = rc == 0 && !atomic_load(&scan->halted) && (whole || chunk->data_count > 0);
        scan->chunks += taken;
    }
    pthread_mutex_unlock(&scan->walk);
    if (rc < 0)
        scan_fail(scan, rc, &err);
    return taken;
}

/* ---- reading ------------------------------------------------------------------- */

/* In pieces that become smaller where reading is slow. */
static int read_range(struct scan *scan, uint64_t offset, size_t length, uint8_t *buffer,
                      size_t *piece, struct error *err)
{
    while (length > 0 && !atomic_load(&scan->halted)) {
        size_t now = length < *piece ? length : *piece;
        double begin_s = clock_monotonic_s(), took_s;
        int rc = image_read(scan->image, offset, now, buffer, err);

        if (rc < 0)
            return rc;
        took_s = clock_monotonic_s() - begin_s;
        if (took_s > SLOW_READ_S && *piece > PIECE_LEAST)
            *piece /= 2;
        else if (took_s < FAST_READ_S && *piece < scan->chunk_bytes)
            *piece *= 2;
        offset += now;
        buffer += now;
        length -= now;
    }
    return 0;
}

bool scan_read(struct scan *scan, struct scan_chunk *chunk)
{
    uint8_t *at = chunk->buffer == chunk->buffers[0] ? chunk->buffers[1] : chunk->buffers[0];
    struct error err = {0};

    chunk->buffer = at;
    for (size_t i = 0; i < chunk->read_count; i++) {
        uint64_t offset = chunk->reads[i].offset, end = chunk->reads[i].end;
        size_t length = (size_t)((end < scan->size ? end : scan->size) - offset);
        int rc = read_range(scan, offset, length, at, &chunk->piece, &err);

        if (rc < 0)
            scan_fail(scan, rc, &err);
        memset(at + length, 0, (size_t)(end - offset) - length);
        at += end - offset;
    }
    return !atomic_load(&scan->halted);
}

/* ---- in order ------------------------------------------------------------------ */

bool scan_wait_turn(struct scan *scan, const struct scan_chunk *chunk)
{
    bool mine;

    pthread_mutex_lock(&scan->lock);
    while (scan->failed == 0 && scan->turn != chunk->number)
        pthread_cond_wait(&scan->moved, &scan->lock);
    mine = scan->failed == 0;
    pthread_mutex_unlock(&scan->lock);
    return mine;
}

void scan_pass_turn(struct scan *scan)
{
    pthread_mutex_lock(&scan->lock);
    scan->turn++;
    pthread_cond_broadcast(&scan->moved);
    pthread_mutex_unlock(&scan->lock);
}
