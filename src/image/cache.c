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
#define MOST_CHUNKS      64
#define LOOKED_AT_SINGLY 64
/* Of a chunk, counted on its own; a multiple of the page, a divisor of the chunk. */
#define PART_BYTES ((uint64_t)2 << 20)
/* So much is read before the next dropping. */
#define SWEEP_BYTES       ((uint64_t)64 << 20)
#define WHOLE_SWEEP_BYTES ((uint64_t)256 << 20)
/* Above this, a kernel without cachestat would be asked for too long. */
#define MOST_WITHOUT_COUNT ((uint64_t)1 << 42)

/*
 * At the end, for readahead that is still under way: so long as it gets less, and so often while it
 * does not. Pages that somebody else reads or writes meanwhile may stay.
 */
#define LAST_TRIES   500
#define LAST_IN_VAIN 25
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
    bool wanted;       /* read, or about to be, since the last sweep */
    unsigned readers;  /* between `before` and `after`, however long they take */
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

static bool can_count(int fd)
{
    uint64_t resident;

    return count_resident(fd, 0, 1, &resident);
}

static uint64_t pages_of(const struct cache_guard *guard, uint64_t length)
{
    return (length + guard->page - 1) / guard->page;
}

static uint64_t chunk_length(const struct cache_guard *guard, const struct chunk *chunk)
{
    uint64_t rest = guard->size - chunk->offset;

    return rest < CHUNK_BYTES ? rest : CHUNK_BYTES;
}

/* A byte a page, by a mapping of the chunk that is made when it is first needed. */
static bool ask_pages(const struct cache_guard *guard, const struct chunk *chunk, uint64_t from,
                      uint64_t length, uint8_t **mapping, uint8_t *answer)
{
    if (*mapping == NULL)
        *mapping = mmap(NULL, chunk_length(guard, chunk), PROT_READ, MAP_SHARED, guard->fd,
                        (off_t)chunk->offset);
    return *mapping != MAP_FAILED && mincore(*mapping + from, length, answer) == 0;
}

/*
 * Fills in `answer` and counts. Asking of each page takes three times as long
 * as counting them, and parts that are there only in part are few.
 */
static bool look_at_parts(const struct cache_guard *guard, const struct chunk *chunk,
                          uint8_t *answer, uint64_t *ret_resident)
{
    uint64_t length = chunk_length(guard, chunk), sum = 0;
    uint8_t *mapping = NULL;
    bool told = true;

    for (uint64_t from = 0; told && from < length; from += PART_BYTES) {
        uint64_t part = length - from < PART_BYTES ? length - from : PART_BYTES, resident;
        uint64_t pages = pages_of(guard, part);
        uint8_t *bytes = answer + from / guard->page;

        if (count_resident(guard->fd, chunk->offset + from, part, &resident) &&
            (resident == 0 || resident >= pages))
            memset(bytes, resident > 0, pages);
        else
            told = ask_pages(guard, chunk, from, part, &mapping, bytes);
        for (uint64_t i = 0; told && i < pages; i++)
            sum += bytes[i] & 1;
    }
    if (mapping != NULL && mapping != MAP_FAILED)
        munmap(mapping, length);
    *ret_resident = sum;
    return told;
}

/* Where nothing can be found out, all is taken as resident: then nothing is dropped. */
static void take_snapshot(const struct cache_guard *guard, struct chunk *chunk)
{
    uint64_t pages = pages_of(guard, chunk_length(guard, chunk));
    uint8_t *answer = malloc(pages);

    chunk->residency = RESIDENT_ALL;
    if (answer != NULL && look_at_parts(guard, chunk, answer, &chunk->resident) &&
        chunk->resident < pages)
        chunk->residency = chunk->resident == 0 ? RESIDENT_NONE : RESIDENT_SOME;
    if (chunk->residency == RESIDENT_SOME)
        chunk->pages = answer;
    else
        free(answer);
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
    size_t pages = (size_t)pages_of(guard, length), end;

    if (chunk->residency == RESIDENT_NONE)
        drop(guard, chunk->offset, pages * guard->page);
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

static uint64_t count_chunk(const struct cache_guard *guard, const struct chunk *chunk)
{
    struct chunk now = {.offset = chunk->offset};
    uint64_t length = chunk_length(guard, chunk);

    if (!count_resident(guard->fd, chunk->offset, length, &now.resident)) {
        take_snapshot(guard, &now);
        forget(&now);
    }
    return now.resident;
}

/* How many pages more are there than were; a page under way cannot be dropped yet. */
static uint64_t excess_of(const struct cache_guard *guard, const struct chunk *chunk)
{
    uint64_t now = chunk->residency == RESIDENT_ALL ? 0 : count_chunk(guard, chunk);

    return now > chunk->resident ? now - chunk->resident : 0;
}

/*
 * What is forgotten while a page of it is on its way would be taken for one
 * that was always there, or stay; so it is kept in mind, but where `make_room`.
 */
static void sweep_chunks(struct cache_guard *guard, bool make_room)
{
    size_t kept = 0;

    for (size_t i = 0; i < guard->count; i++) {
        struct chunk *chunk = &guard->chunks[i];

        drop_chunk(guard, chunk);
        if (!chunk->wanted &&
            (make_room || (chunk->readers == 0 && excess_of(guard, chunk) == 0))) {
            forget(chunk);
            continue;
        }
        chunk->wanted = false;
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

static void sweep(struct cache_guard *guard, bool make_room)
{
    guard->unswept = 0;
    if (guard->whole)
        sweep_whole(guard);
    else
        sweep_chunks(guard, make_room);
}

/* ---- looking ahead ----------------------------------------------------------------------- */

/* Those of a whole file are in order, and may be many. */
static struct chunk *find_sorted(struct cache_guard *guard, uint64_t offset)
{
    size_t low = 0, high = guard->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (guard->chunks[middle].offset == offset)
            return &guard->chunks[middle];
        if (guard->chunks[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static struct chunk *find_chunk(struct cache_guard *guard, uint64_t offset)
{
    if (guard->whole)
        return find_sorted(guard, offset);
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

        while (chunk == NULL && guard->count >= MOST_CHUNKS) /* twice at most */
            sweep(guard, true);
        if (chunk == NULL && guard->count < MOST_CHUNKS)
            chunk = add_chunk(guard, at);
        if (chunk == NULL)
            break;
        chunk->wanted = true;
        if (at >= end)
            break;
        chunk->readers++;
    }
    pthread_mutex_unlock(&guard->lock);
}

static void end_reading(struct cache_guard *guard, uint64_t offset, uint64_t length)
{
    uint64_t end = length < guard->size - offset ? offset + length : guard->size;

    for (uint64_t at = offset / CHUNK_BYTES * CHUNK_BYTES; at < end; at += CHUNK_BYTES) {
        struct chunk *chunk = find_chunk(guard, at);

        /* It may have been forgotten to make room, and looked at again since. */
        if (chunk != NULL && chunk->readers > 0)
            chunk->readers--;
    }
}

void cache_guard_after(struct cache_guard *guard, uint64_t offset, uint64_t length)
{
    if (guard == NULL)
        return;
    pthread_mutex_lock(&guard->lock);
    if (!guard->whole && offset < guard->size)
        end_reading(guard, offset, length);
    guard->unswept += length;
    if (guard->unswept >= (guard->whole ? WHOLE_SWEEP_BYTES : SWEEP_BYTES))
        sweep(guard, false);
    pthread_mutex_unlock(&guard->lock);
}

/* Of a chunk: did it lack a page between these two offsets in it? */
static bool lacked(const struct cache_guard *guard, const struct chunk *chunk, uint64_t from,
                   uint64_t to)
{
    if (chunk->residency != RESIDENT_SOME)
        return chunk->residency == RESIDENT_NONE;
    for (uint64_t page = from / guard->page; page * guard->page < to; page++) {
        if ((chunk->pages[page] & 1) == 0)
            return true;
    }
    return false;
}

/* `chunk` may be NULL. What a guard of the whole file has not listed was not there. */
static bool chunk_lacked(const struct cache_guard *guard, const struct chunk *chunk, uint64_t from,
                         uint64_t to)
{
    return chunk != NULL ? lacked(guard, chunk, from, to) : guard->whole;
}

bool cache_guard_lacked(struct cache_guard *guard, uint64_t offset, uint64_t length)
{
    uint64_t end, at, next;
    bool found = false;

    if (guard == NULL || offset >= guard->size)
        return false;
    end = length < guard->size - offset ? offset + length : guard->size;
    pthread_mutex_lock(&guard->lock);
    for (at = offset; at < end && !found; at = next) {
        uint64_t start = at / CHUNK_BYTES * CHUNK_BYTES;
        const struct chunk *chunk = find_chunk(guard, start);

        next = end - start < CHUNK_BYTES ? end : start + CHUNK_BYTES;
        found = chunk_lacked(guard, chunk, at - start, next - start);
    }
    pthread_mutex_unlock(&guard->lock);
    return found;
}

/* ---- all of a file -------------------------------------------------------------------------- */

static void add_resident(struct cache_guard *guard, uint64_t offset)
{
    if (array_reserve(&guard->chunks, &guard->capacity, guard->count + 1, sizeof(struct chunk)) ==
        0)
        guard->chunks[guard->count++] = (struct chunk){.offset = offset, .residency = RESIDENT_ALL};
}

/*
 * The chunks that have pages resident. Counting passes over every page, so
 * ranges are halved only until they are short: most of a large file is cold.
 * One that is all there is not looked at again.
 */
static void look_at_range(struct cache_guard *guard, uint64_t offset, uint64_t chunks)
{
    uint64_t rest = guard->size - offset, length, resident;
    bool counted;

    if (__builtin_mul_overflow(chunks, CHUNK_BYTES, &length) || length > rest)
        length = rest;
    counted = count_resident(guard->fd, offset, length, &resident);
    if (counted && resident == 0)
        return;
    if (chunks > LOOKED_AT_SINGLY && !(counted && resident >= pages_of(guard, length))) {
        uint64_t half = chunks / 2;

        look_at_range(guard, offset, half);
        look_at_range(guard, offset + half * CHUNK_BYTES, chunks - half);
        return;
    }
    for (uint64_t i = 0; i < chunks; i++) {
        uint64_t at = offset + i * CHUNK_BYTES;
        struct chunk *chunk;

        if (counted && resident >= pages_of(guard, length)) {
            add_resident(guard, at);
            continue;
        }
        chunk = add_chunk(guard, at);
        if (chunk != NULL && chunk->residency == RESIDENT_NONE)
            guard->count--;
    }
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
    struct cache_guard *guard;

    if (size == 0 || (!can_count(fd) && size > MOST_WITHOUT_COUNT))
        return NULL;
    guard = guard_new(fd, size, true);
    if (guard != NULL)
        look_at_range(guard, 0, (size + CHUNK_BYTES - 1) / CHUNK_BYTES);
    return guard;
}

/* From `from` up to `to`, where nothing was. */
static uint64_t count_gap(const struct cache_guard *guard, uint64_t from, uint64_t to)
{
    uint64_t resident = 0;

    if (from < to)
        (void)count_resident(guard->fd, from, to - from, &resident);
    return resident;
}

/* What was all there has no excess and need not be counted. */
static uint64_t all_excess(const struct cache_guard *guard)
{
    uint64_t at = 0, excess = 0;

    if (guard->whole && !can_count(guard->fd))
        return 0;
    for (size_t i = 0; i < guard->count; i++) {
        const struct chunk *chunk = &guard->chunks[i];

        if (guard->whole)
            excess += count_gap(guard, at, chunk->offset);
        excess += excess_of(guard, chunk);
        at = chunk->offset + CHUNK_BYTES;
    }
    return guard->whole ? excess + count_gap(guard, at, guard->size) : excess;
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

static void drop_last(const struct cache_guard *guard)
{
    uint64_t least = UINT64_MAX;
    int in_vain = 0;

    drop_all(guard);
    for (int tries = 0; tries < LAST_TRIES && in_vain < LAST_IN_VAIN; tries++) {
        uint64_t excess = all_excess(guard);

        if (excess == 0)
            return;
        in_vain = excess < least ? 0 : in_vain + 1;
        least = excess < least ? excess : least;
        (void)poll(NULL, 0, LAST_WAIT_MS);
        drop_all(guard);
    }
}

void cache_guard_free(struct cache_guard *guard)
{
    if (guard == NULL)
        return;
    drop_last(guard);
    for (size_t i = 0; i < guard->count; i++)
        forget(&guard->chunks[i]);
    free(guard->chunks);
    pthread_mutex_destroy(&guard->lock);
    free(guard);
}
