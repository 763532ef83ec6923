/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page cache, chunk by chunk: a snapshot of the pages that are resident,
 * by cachestat(2), which counts quickly, and where it says "some", by
 * mincore(2) on a mapping that is never touched (a file cut short does no harm).
 */
#include "image/cache.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Larger than the largest readahead and a multiple of the largest page. */
#define CHUNK_BYTES ((uint64_t)64 << 20)
/* Chunks under way at once, when the reading jumps about. */
#define MOST_CHUNKS 64
/* So much is read before the next dropping. */
#define SWEEP_BYTES       ((uint64_t)64 << 20)
#define WHOLE_SWEEP_BYTES ((uint64_t)256 << 20)
/* Above this, a kernel without cachestat would be asked for too long. */
#define MOST_WITHOUT_COUNT ((uint64_t)1 << 42)

/* At the end: for reads that nobody waits for. Pages that somebody has written meanwhile stay. */
#define LAST_TRIES   25
#define LAST_WAIT_MS 2

#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif

struct cache_range {
    uint64_t offset, length;
};

struct cache_count {
    uint64_t resident, dirty, writeback, evicted, recently_evicted;
};

enum residency { RESIDENT_NONE, RESIDENT_SOME, RESIDENT_ALL };

struct chunk {
    uint64_t offset;
    enum residency residency;
    uint8_t *pages;    /* RESIDENT_SOME: mincore's answer, a byte a page */
    uint64_t resident; /* how many there were */
    bool touched;      /* since the last sweep */
};

struct cache_guard {
    pthread_mutex_t lock;
    int fd;
    bool whole;
    uint64_t size, page, unswept;
    struct chunk *chunks; /* whole: sorted, and what is not listed is RESIDENT_NONE */
    size_t count, capacity;
};

static bool count_resident(int fd, uint64_t offset, uint64_t length, uint64_t *ret_pages)
{
    struct cache_range range = {offset, length};
    struct cache_count count;

    if (syscall(__NR_cachestat, fd, &range, &count, 0) != 0)
        return false;
    *ret_pages = count.resident;
    return true;
}

/* Where nothing can be found out, all is taken as resident: then nothing is dropped. */
static void look_closely(const struct cache_guard *guard, struct chunk *chunk, uint64_t length)
{
    size_t pages = (size_t)((length + guard->page - 1) / guard->page);
    uint8_t *answer = malloc(pages);
    void *mapping = mmap(NULL, length, PROT_READ, MAP_SHARED, guard->fd, (off_t)chunk->offset);
    bool told = answer != NULL && mapping != MAP_FAILED && mincore(mapping, length, answer) == 0;

    if (mapping != MAP_FAILED)
        munmap(mapping, length);
    chunk->residency = RESIDENT_ALL;
    if (told) {
        for (size_t i = 0; i < pages; i++)
            chunk->resident += answer[i] & 1;
        if (chunk->resident < pages)
            chunk->residency = chunk->resident == 0 ? RESIDENT_NONE : RESIDENT_SOME;
    }
    if (chunk->residency == RESIDENT_SOME)
        chunk->pages = answer;
    else
        free(answer);
}

static uint64_t chunk_length(const struct cache_guard *guard, const struct chunk *chunk)
{
    uint64_t rest = guard->size - chunk->offset;

    return rest < CHUNK_BYTES ? rest : CHUNK_BYTES;
}

static void take_snapshot(const struct cache_guard *guard, struct chunk *chunk)
{
    uint64_t length = chunk_length(guard, chunk), resident = 0;
    bool counted = count_resident(guard->fd, chunk->offset, length, &resident);

    if (counted && resident == 0)
        chunk->residency = RESIDENT_NONE;
    else if (counted && resident >= (length + guard->page - 1) / guard->page)
        chunk->residency = RESIDENT_ALL;
    else
        look_closely(guard, chunk, length);
}

/* ---- dropping -------------------------------------------------------------------------- */

/* Pages that are mapped, dirty or in use stay in any case; the kernel sees to that. */
static void drop(const struct cache_guard *guard, uint64_t offset, uint64_t length)
{
    if (length > 0)
        (void)posix_fadvise(guard->fd, (off_t)offset, (off_t)length, POSIX_FADV_DONTNEED);
}

static void drop_chunk(const struct cache_guard *guard, const struct chunk *chunk)
{
    uint64_t length = chunk_length(guard, chunk);
    size_t pages = (size_t)((length + guard->page - 1) / guard->page), end;

    if (chunk->residency == RESIDENT_NONE)
        drop(guard, chunk->offset, (length + guard->page - 1) / guard->page * guard->page);
    if (chunk->residency != RESIDENT_SOME)
        return;
    for (size_t i = 0; i < pages; i = end + 1) {
        for (end = i; end < pages && (chunk->pages[end] & 1) == 0; end++)
            ;
        drop(guard, chunk->offset + i * guard->page, (end - i) * guard->page);
    }
}

static void forget(struct chunk *chunk)
{
    free(chunk->pages);
    chunk->pages = NULL;
}

static void sweep_chunks(struct cache_guard *guard)
{
    size_t kept = 0;

    for (size_t i = 0; i < guard->count; i++) {
        struct chunk *chunk = &guard->chunks[i];

        drop_chunk(guard, chunk);
        if (!chunk->touched) {
            forget(chunk);
            continue;
        }
        chunk->touched = false;
        guard->chunks[kept++] = *chunk;
    }
    guard->count = kept;
}

static void sweep_whole(const struct cache_guard *guard)
{
    uint64_t at = 0;

    for (size_t i = 0; i < guard->count; i++) {
        drop(guard, at, guard->chunks[i].offset - at);
        drop_chunk(guard, &guard->chunks[i]);
        at = guard->chunks[i].offset + CHUNK_BYTES;
    }
    if (at < guard->size)
        drop(guard, at, guard->size - at + guard->page);
}

static void sweep(struct cache_guard *guard)
{
    guard->unswept = 0;
    if (guard->whole)
        sweep_whole(guard);
    else
        sweep_chunks(guard);
}

/* ---- looking ahead ----------------------------------------------------------------------- */

static struct chunk *find_chunk(struct cache_guard *guard, uint64_t offset)
{
    for (size_t i = 0; i < guard->count; i++) {
        if (guard->chunks[i].offset == offset)
            return &guard->chunks[i];
    }
    return NULL;
}

static struct chunk *add_chunk(struct cache_guard *guard, uint64_t offset)
{
    struct chunk *chunk;

    if (array_reserve(&guard->chunks, &guard->capacity, guard->count + 1, sizeof(*chunk)) < 0)
        return NULL;
    chunk = &guard->chunks[guard->count++];
    *chunk = (struct chunk){.offset = offset};
    take_snapshot(guard, chunk);
    return chunk;
}

void cache_guard_before(struct cache_guard *guard, uint64_t offset, uint64_t length)
{
    uint64_t end, at;

    if (guard == NULL || guard->whole || offset >= guard->size)
        return;
    end = length < guard->size - offset ? offset + length : guard->size;
    pthread_mutex_lock(&guard->lock);
    /* One chunk more than is read. */
    for (at = offset / CHUNK_BYTES * CHUNK_BYTES; at < guard->size; at += CHUNK_BYTES) {
        struct chunk *chunk = find_chunk(guard, at);

        if (chunk == NULL && guard->count >= MOST_CHUNKS)
            sweep(guard);
        if (chunk == NULL && guard->count < MOST_CHUNKS)
            chunk = add_chunk(guard, at);
        if (chunk == NULL || at >= end)
            break;
        chunk->touched = true;
    }
    pthread_mutex_unlock(&guard->lock);
}

void cache_guard_after(struct cache_guard *guard, uint64_t length)
{
    if (guard == NULL)
        return;
    pthread_mutex_lock(&guard->lock);
    guard->unswept += length;
    if (guard->unswept >= (guard->whole ? WHOLE_SWEEP_BYTES : SWEEP_BYTES))
        sweep(guard);
    pthread_mutex_unlock(&guard->lock);
}

bool cache_guard_is_cold(struct cache_guard *guard, uint64_t offset)
{
    struct chunk *chunk;
    bool cold;

    if (guard == NULL || guard->whole)
        return false;
    pthread_mutex_lock(&guard->lock);
    chunk = find_chunk(guard, offset / CHUNK_BYTES * CHUNK_BYTES);
    cold = chunk != NULL && chunk->residency != RESIDENT_ALL;
    pthread_mutex_unlock(&guard->lock);
    return cold;
}

/* ---- all of a file -------------------------------------------------------------------------- */

/* Chunks between that have pages resident; halves the range, since most files are all or nothing. */
static void look_at_range(struct cache_guard *guard, uint64_t offset, uint64_t chunks)
{
    uint64_t rest = guard->size - offset, length, resident;
    struct chunk *chunk;

    if (__builtin_mul_overflow(chunks, CHUNK_BYTES, &length) || length > rest)
        length = rest;
    if (count_resident(guard->fd, offset, length, &resident) && resident == 0)
        return;
    if (chunks > 1) {
        uint64_t half = chunks / 2;

        look_at_range(guard, offset, half);
        look_at_range(guard, offset + half * CHUNK_BYTES, chunks - half);
        return;
    }
    chunk = add_chunk(guard, offset);
    if (chunk != NULL && chunk->residency == RESIDENT_NONE)
        guard->count--;
}

static struct cache_guard *guard_new(int fd, uint64_t size, bool whole)
{
    struct cache_guard *guard = calloc(1, sizeof(*guard));

    if (guard == NULL)
        return NULL;
    pthread_mutex_init(&guard->lock, NULL);
    guard->fd = fd;
    guard->whole = whole;
    guard->size = size;
    guard->page = (uint64_t)sysconf(_SC_PAGESIZE);
    return guard;
}

struct cache_guard *cache_guard_new(int fd, uint64_t size)
{
    return guard_new(fd, size, false);
}

struct cache_guard *cache_guard_new_whole(int fd, uint64_t size)
{
    uint64_t resident;
    struct cache_guard *guard;

    if (size == 0 || (!count_resident(fd, 0, size, &resident) && size > MOST_WITHOUT_COUNT))
        return NULL;
    guard = guard_new(fd, size, true);
    if (guard != NULL)
        look_at_range(guard, 0, (size + CHUNK_BYTES - 1) / CHUNK_BYTES);
    return guard;
}

/* Is more resident than was? Readahead that is still under way cannot be dropped. */
static bool has_excess(const struct cache_guard *guard)
{
    uint64_t before = 0, now;

    for (size_t i = 0; i < guard->count; i++) {
        const struct chunk *chunk = &guard->chunks[i];

        if (!guard->whole && chunk->residency != RESIDENT_ALL &&
            count_resident(guard->fd, chunk->offset, chunk_length(guard, chunk), &now) &&
            now > chunk->resident)
            return true;
        before += chunk->residency == RESIDENT_ALL
                      ? (chunk_length(guard, chunk) + guard->page - 1) / guard->page
                      : chunk->resident;
    }
    return guard->whole && count_resident(guard->fd, 0, guard->size, &now) && now > before;
}

static void drop_all(const struct cache_guard *guard)
{
    if (guard->whole) {
        sweep_whole(guard);
        return;
    }
    for (size_t i = 0; i < guard->count; i++)
        drop_chunk(guard, &guard->chunks[i]);
}

void cache_guard_free(struct cache_guard *guard)
{
    if (guard == NULL)
        return;
    drop_all(guard);
    for (int tries = 0; tries < LAST_TRIES && has_excess(guard); tries++) {
        (void)poll(NULL, 0, LAST_WAIT_MS);
        drop_all(guard);
    }
    for (size_t i = 0; i < guard->count; i++)
        forget(&guard->chunks[i]);
    free(guard->chunks);
    pthread_mutex_destroy(&guard->lock);
    free(guard);
}
