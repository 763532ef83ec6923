/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread that reads chunks of an image and makes entries of their blocks. */
#include "fingerprint/build.h"

#include <errno.h>

/*
 * Blocks that wait for being digested together: a group takes the same time
 * whether it is full or not, so what a chunk has left over waits for the next.
 */
struct batch {
    const void *blocks[BUILD_BATCH];
    uint64_t numbers[BUILD_BATCH];
    size_t count;
    size_t old; /* the first so many are of the chunk before */
};

struct desk {
    struct build *build;
    unsigned place; /* while it digests */
    struct scan_chunk chunk;
    struct build_zeroes *zeroes; /* of each wish */
    struct batch *batches;       /* of each wish */
    struct digest digests[BUILD_BATCH];
};

/* Makes entries of the first `count`; the others move up. */
static int put_batch(struct desk *desk, size_t which, size_t count, struct error *err)
{
    struct build_wish *wish = &desk->build->wishes[which];
    struct batch *batch = &desk->batches[which];
    struct fingerprint_entry *entries;
    int rc;

    if (count == 0)
        return 0;
    rc = fingerprint_writer_room(wish->writer, desk->place, count, &entries, err);
    if (rc < 0)
        return rc;
    digest_scattered(&wish->plan, batch->blocks, count, desk->digests);
    for (size_t i = 0; i < count; i++) {
        entries[i].digest = desk->digests[i];
        entries[i].place = fingerprint_place_make(batch->numbers[i], 1);
    }
    fingerprint_writer_commit(wish->writer, desk->place, count);
    batch->count -= count;
    batch->old -= count < batch->old ? count : batch->old;
    memmove(batch->blocks, batch->blocks + count, batch->count * sizeof(batch->blocks[0]));
    memmove(batch->numbers, batch->numbers + count, batch->count * sizeof(batch->numbers[0]));
    return 0;
}

/* Blocks `number` to `end`, which lie one behind the other from `at` on. */
static int put_blocks(struct desk *desk, size_t which, uint64_t number, uint64_t end,
                      const uint8_t *at, struct error *err)
{
    size_t block_size = desk->build->wishes[which].plan.block_size;
    struct build_zeroes *zeroes = &desk->zeroes[which];
    struct batch *batch = &desk->batches[which];

    for (; number < end; number++, at += block_size) {
        if (digest_is_zero(at, block_size)) {
            if (zeroes->count++ == 0)
                zeroes->first = number;
            continue;
        }
        batch->blocks[batch->count] = at;
        batch->numbers[batch->count] = number;
        if (++batch->count == BUILD_BATCH) {
            int rc = put_batch(desk, which, BUILD_BATCH, err);

            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* Each block of one size that data touches, once. */
static int put_chunk(struct desk *desk, size_t which, struct error *err)
{
    const struct scan_chunk *chunk = &desk->chunk;
    uint64_t block_size = desk->build->wishes[which].plan.block_size, next = 0;
    struct batch *batch = &desk->batches[which];
    const struct scan_range *read = chunk->reads;
    const uint8_t *at = chunk->buffer;
    size_t whole_groups;

    batch->old = batch->count;
    for (size_t i = 0; i < chunk->data_count; i++) {
        uint64_t number = chunk->data[i].offset / block_size;
        uint64_t end = (chunk->data[i].end + block_size - 1) / block_size;
        int rc;

        for (; chunk->data[i].offset >= read->end; read++)
            at += read->end - read->offset;
        if (number < next)
            number = next;
        rc = put_blocks(desk, which, number, end, at + (number * block_size - read->offset), err);
        if (rc < 0)
            return rc;
        next = end > next ? end : next;
    }
    /* The next chunk takes the place of the one before, whose blocks cannot wait any longer. */
    whole_groups = batch->count / DIGEST_GROUP_MAX * DIGEST_GROUP_MAX;
    return put_batch(desk, which, whole_groups < batch->old ? batch->count : whole_groups, err);
}

/* ---- the content as a whole ------------------------------------------------------ */

/* Holes, up to `end`. False: all shall stop. */
static bool add_zeroes(struct build *build, uint64_t end)
{
    static const uint8_t zeroes[DIGEST_BLOCK_MAX];

    while (build->content_end < end) {
        uint64_t left = end - build->content_end;
        size_t length = left < sizeof(zeroes) ? (size_t)left : sizeof(zeroes);

        if (atomic_load_explicit(&build->scan.halted, memory_order_relaxed))
            return false;
        digest_content_add(&build->content, zeroes, length);
        build->content_end += length;
    }
    return true;
}

static void add_content(struct build *build, const struct scan_chunk *chunk)
{
    const uint8_t *at = chunk->buffer;
    uint64_t size = build->scan.size;

    if (!scan_wait_turn(&build->scan, chunk))
        return;
    for (size_t i = 0; i < chunk->read_count; i++) {
        const struct scan_range *read = &chunk->reads[i];
        uint64_t end = read->end < size ? read->end : size;

        if (!add_zeroes(build, read->offset))
            return;
        digest_content_add(&build->content, at, (size_t)(end - read->offset));
        build->content_end = end;
        at += read->end - read->offset;
    }
    if (add_zeroes(build, chunk->end))
        scan_pass_turn(&build->scan);
}

/* ---- places ---------------------------------------------------------------------- */

void build_places_init(struct build_places *places, unsigned count)
{
    pthread_mutex_init(&places->lock, NULL);
    pthread_cond_init(&places->freed, NULL);
    places->count = count;
    for (unsigned i = 0; i < count; i++)
        places->free[i] = count - 1 - i;
}

void build_places_destroy(struct build_places *places)
{
    pthread_cond_destroy(&places->freed);
    pthread_mutex_destroy(&places->lock);
}

unsigned build_places_take(struct build_places *places)
{
    unsigned place;

    pthread_mutex_lock(&places->lock);
    while (places->count == 0)
        pthread_cond_wait(&places->freed, &places->lock);
    place = places->free[--places->count];
    pthread_mutex_unlock(&places->lock);
    return place;
}

void build_places_give(struct build_places *places, unsigned place)
{
    pthread_mutex_lock(&places->lock);
    places->free[places->count++] = place;
    pthread_cond_signal(&places->freed);
    pthread_mutex_unlock(&places->lock);
}

/* ---- the thread --------------------------------------------------------------------- */

/* The blocks of the chunk, and all that is left over where there is none. */
static int put_blocks_of(struct desk *desk, bool is_chunk, struct error *err)
{
    struct build *build = desk->build;
    int rc = 0;

    desk->place = build_places_take(&build->places);
    for (size_t i = 0; i < build->count && rc == 0; i++)
        rc = is_chunk ? put_chunk(desk, i, err) : put_batch(desk, i, desk->batches[i].count, err);
    build_places_give(&build->places, desk->place);
    return rc;
}

static int put_chunks(struct desk *desk, struct error *err)
{
    struct build *build = desk->build;

    while (scan_take(&build->scan, &desk->chunk, build->whole)) {
        int rc;

        if (!scan_read(&build->scan, &desk->chunk))
            return 0;
        rc = put_blocks_of(desk, true, err);
        if (rc < 0)
            return rc;
        /* Who waits for a turn here keeps nobody from digesting. */
        if (build->whole)
            add_content(build, &desk->chunk);
    }
    return put_blocks_of(desk, false, err);
}

static void add_up(struct build_zeroes *sum, const struct build_zeroes *zeroes)
{
    if (zeroes->count > 0 && (sum->count == 0 || zeroes->first < sum->first))
        sum->first = zeroes->first;
    sum->count += zeroes->count;
}

static int work(struct desk *desk, struct error *err)
{
    const struct build *build = desk->build;
    int rc = 0;

    desk->zeroes = calloc(build->count, sizeof(*desk->zeroes));
    desk->batches = calloc(build->count, sizeof(*desk->batches));
    if (desk->zeroes == NULL || desk->batches == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        rc = scan_chunk_init(&desk->chunk, &build->scan);
    return rc < 0 ? error_set(err, rc, "out of memory") : put_chunks(desk, err);
}

void *build_work(void *argument)
{
    const struct build_worker *worker = argument;
    struct build *build = worker->build;
    struct desk desk = {.build = build};
    struct error err = {0};
    int rc = work(&desk, &err);

    if (rc < 0)
        scan_fail(&build->scan, rc, &err);
    pthread_mutex_lock(&build->scan.lock);
    for (size_t i = 0; i < build->count && desk.zeroes != NULL; i++)
        add_up(&build->wishes[i].zeroes, &desk.zeroes[i]);
    build->scan.running--;
    pthread_cond_signal(&build->scan.ended);
    pthread_mutex_unlock(&build->scan.lock);
    scan_chunk_release(&desk.chunk);
    free(desk.zeroes);
    free(desk.batches);
    return NULL;
}
