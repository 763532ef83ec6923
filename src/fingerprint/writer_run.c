/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entries of one worker in memory. They come in no order and have to be
 * sorted in the end; the first round of that is done as they come, while they
 * are in the cache: each goes to one of up to 1024 buckets by its digest's first
 * bits. To write to so many places at once would cost a cache line fetched and
 * a page walked for each, so a bucket's entries gather in a small buffer, eight
 * of them, and go out past the cache, whole lines at a time. A bucket's memory
 * is a chain of chunks, so nothing need be known of how many come. Neighbouring
 * buckets share slabs of chunks: in the end, buckets go out in order, and the
 * memory of those that are done serves for the file that is written.
 */

#include "fingerprint/writer_run.h"

#include "fingerprint/writer.h"

#include <errno.h>
#include <sys/mman.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define GROUP         8  /* entries that go out at once: 192 bytes, three cache lines */
#define CHUNK_ENTRIES 64 /* of one bucket, one behind the other */
#define CHUNK_BYTES   (CHUNK_ENTRIES * sizeof(struct fingerprint_entry))
#define LINE          64
#define HUGE_PAGE     ((size_t)2 << 20)
#define NO_CHUNK      UINT32_MAX
#define SLAB_CHUNKS   ((size_t)4096)
#define SLAB_BYTES    (SLAB_CHUNKS * CHUNK_BYTES) /* three huge pages */
#define ZONES_MOST    ((size_t)8)
/* A zone has begun a huge page; so small a part of the memory may be lost by that. */
#define ZONES_SHARE  16
#define ZONE_BUCKETS ((size_t)128) /* at least: fewer have too little */

struct zone {
    uint32_t next, end; /* chunks of the slab that it has begun */
};

struct run {
    unsigned bits, threads;
    size_t bytes;       /* that it may take, as run_new() was told */
    uint8_t *chunks;    /* pages */
    uint32_t *previous; /* of each chunk: the bucket's chunk before */
    size_t chunk_count, chunk_capacity;
    unsigned zone_shift; /* bucket >> zone_shift is its zone */
    size_t zones;        /* buckets that share slabs */
    struct zone zone[ZONES_MOST];
    uint8_t *owner; /* the zone of each slab */
    size_t slab_count, slab_capacity;
    size_t count, largest;             /* entries; entries in the largest bucket, about */
    uint32_t *counts, *tail;           /* of each bucket: entries, last chunk */
    struct fingerprint_entry *waiting; /* of each bucket: GROUP, aligned to lines */
    struct fingerprint_entry *room;
    size_t room_capacity;
};

/* ---- memory ---- */

static size_t page_multiple(size_t bytes)
{
    size_t page = bytes >= HUGE_PAGE ? HUGE_PAGE : 4096;

    return (bytes + page - 1) / page * page;
}

void *pages_new(size_t bytes)
{
    size_t whole = page_multiple(bytes);
    void *pages = mmap(NULL, whole, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (pages == MAP_FAILED)
        return NULL;
    if (whole >= HUGE_PAGE)
        madvise(pages, whole, MADV_HUGEPAGE);
    return pages;
}

void pages_free(void *pages, size_t bytes)
{
    if (pages != NULL)
        munmap(pages, page_multiple(bytes));
}

int run_pair_reserve(struct run_pair *pair, size_t count)
{
    struct run_pair fresh = {.capacity = count + count / 8};

    if (count <= pair->capacity)
        return 0;
    run_pair_release(pair);
    fresh.bytes = fresh.capacity * 2 * sizeof(struct fingerprint_entry);
    fresh.from = pages_new(fresh.bytes);
    if (fresh.from == NULL)
        return -ENOMEM;
    fresh.to = fresh.from + fresh.capacity;
    *pair = fresh;
    return 0;
}

void run_pair_release(struct run_pair *pair)
{
    pages_free(pair->from, pair->bytes);
    *pair = (struct run_pair){0};
}

/* Buckets of one zone are neighbours. */
static void choose_zones(struct run *run)
{
    size_t most = run->bytes / ZONES_SHARE / HUGE_PAGE;

    run->zone_shift = run->bits;
    run->zones = 1;
    while (run->zones < ZONES_MOST && 2 * run->zones <= most &&
           (size_t)1 << run->bits >= 2 * run->zones * ZONE_BUCKETS) {
        run->zones *= 2;
        run->zone_shift--;
    }
}

int run_new(size_t bytes, unsigned bits, unsigned threads, struct run **ret_run)
{
    size_t buckets = (size_t)1 << bits;
    struct run *run = calloc(1, sizeof(*run));

    if (run == NULL)
        return -ENOMEM;
    run->bits = bits;
    run->threads = threads;
    run->bytes = bytes;
    choose_zones(run);
    /* Every bucket may have begun a chunk, and one batch has to fit whatever `bytes` says. */
    run->chunk_capacity =
        bytes / CHUNK_BYTES + 2 * buckets + FINGERPRINT_WRITER_BATCH / CHUNK_ENTRIES + 1;
    if (run->chunk_capacity >= NO_CHUNK)
        run->chunk_capacity = NO_CHUNK - 1;
    run->slab_capacity = run->chunk_capacity / SLAB_CHUNKS + run->zones + 1;
    if (run->slab_capacity > NO_CHUNK / SLAB_CHUNKS)
        run->slab_capacity = NO_CHUNK / SLAB_CHUNKS;
    if (run->zones > 1) /* else the last slab need not be whole */
        run->chunk_capacity = run->slab_capacity * SLAB_CHUNKS;
    run->chunks = pages_new(run->chunk_capacity * CHUNK_BYTES);
    run->previous = pages_new(run->chunk_capacity * sizeof(*run->previous));
    run->owner = calloc(run->slab_capacity, sizeof(*run->owner));
    run->counts = calloc(buckets, sizeof(*run->counts));
    run->tail = calloc(buckets, sizeof(*run->tail));
    run->waiting = aligned_alloc(LINE, buckets * GROUP * sizeof(*run->waiting));
    if (run->chunks == NULL || run->previous == NULL || run->owner == NULL || run->counts == NULL ||
        run->tail == NULL || run->waiting == NULL) {
        run_free(run);
        return -ENOMEM;
    }
    run_clear(run);
    *ret_run = run;
    return 0;
}

void run_free(struct run *run)
{
    if (run == NULL)
        return;
    pages_free(run->chunks, run->chunk_capacity * CHUNK_BYTES);
    pages_free(run->previous, run->chunk_capacity * sizeof(*run->previous));
    free(run->owner);
    free(run->counts);
    free(run->tail);
    free(run->waiting);
    free(run->room);
    free(run);
}

void run_clear(struct run *run)
{
    size_t buckets = (size_t)1 << run->bits;

    run->chunk_count = run->slab_count = run->count = run->largest = 0;
    memset(run->zone, 0, sizeof(run->zone));
    memset(run->counts, 0, buckets * sizeof(*run->counts));
    for (size_t bucket = 0; bucket < buckets; bucket++)
        run->tail[bucket] = NO_CHUNK;
}

/* ---- coming in ---- */

struct fingerprint_entry *run_room(struct run *run, size_t count)
{
    if (array_reserve(&run->room, &run->room_capacity, count, sizeof(*run->room)) < 0)
        return NULL;
    return run->room;
}

bool run_is_full(const struct run *run, size_t count)
{
    size_t buckets = (size_t)1 << run->bits;
    size_t chunks = run->chunk_count + count / CHUNK_ENTRIES + (count < buckets ? count : buckets);
    size_t pairs = (size_t)2 * run->threads * (run->largest + CHUNK_ENTRIES);

    if (run->count == 0)
        return false;
    /* Each zone may need another slab, whatever is left in those of the others. */
    return chunks >= run->chunk_capacity ||
           run->slab_count + run->zones + (chunks - run->chunk_count) / SLAB_CHUNKS >
               run->slab_capacity ||
           run->count + count > UINT32_MAX / 2 ||
           chunks * (CHUNK_BYTES + sizeof(*run->previous)) + (run->zones - 1) * HUGE_PAGE +
                   pairs * sizeof(struct fingerprint_entry) +
                   (run->count + count) * sizeof(uint64_t) >
               run->bytes; /* places wait in memory too, in the end */
}

static inline size_t bucket_of(const struct run *run, const struct digest *digest)
{
    uint64_t first;

    memcpy(&first, digest->bytes, sizeof(first));
    return (size_t)(be64toh(first) >> 1 >> (63 - run->bits));
}

static inline struct fingerprint_entry *chunk_at(const struct run *run, uint32_t chunk)
{
    return (struct fingerprint_entry *)(run->chunks + chunk * CHUNK_BYTES);
}

static uint32_t new_chunk(struct run *run, size_t bucket)
{
    size_t number = bucket >> run->zone_shift;
    struct zone *zone = &run->zone[number];

    if (zone->next == zone->end) {
        run->owner[run->slab_count] = (uint8_t)number;
        zone->next = (uint32_t)(run->slab_count++ * SLAB_CHUNKS);
        zone->end = zone->next + (uint32_t)SLAB_CHUNKS;
    }
    run->chunk_count++;
    return zone->next++;
}

/* The bucket's group is full; `at` is the number of its last entry. */
static void write_group(struct run *run, size_t bucket, size_t at)
{
    const struct fingerprint_entry *group = &run->waiting[bucket * GROUP];
    struct fingerprint_entry *to;

    if (at % CHUNK_ENTRIES == GROUP - 1) {
        uint32_t chunk = new_chunk(run, bucket);

        run->previous[chunk] = run->tail[bucket];
        run->tail[bucket] = chunk;
        if (at > run->largest)
            run->largest = at;
    }
    to = chunk_at(run, run->tail[bucket]) + at % CHUNK_ENTRIES - (GROUP - 1);
#ifdef __SSE2__
    for (size_t i = 0; i < GROUP * sizeof(*to) / sizeof(__m128i); i++)
        _mm_stream_si128((__m128i *)to + i, _mm_load_si128((const __m128i *)group + i));
#else
    memcpy(to, group, GROUP * sizeof(*to));
#endif
}

uint64_t run_add(struct run *run, size_t count)
{
    const struct fingerprint_entry *entries = run->room;
    uint64_t blocks = 0;

    for (size_t i = 0; i < count; i++) {
        size_t bucket = bucket_of(run, &entries[i].digest);
        size_t at = run->counts[bucket]++;

        run->waiting[bucket * GROUP + at % GROUP] = entries[i];
        blocks += fingerprint_place_multiplicity(entries[i].place);
        if (at % GROUP == GROUP - 1)
            write_group(run, bucket, at);
    }
    run->count += count;
#ifdef __SSE2__
    _mm_sfence(); /* another thread may gather them */
#endif
    return blocks;
}

/* ---- going out ---- */

size_t run_count(const struct run *run)
{
    return run->count;
}

size_t run_bucket_count(const struct run *run, size_t bucket)
{
    return run->counts[bucket];
}

void run_gather(const struct run *run, size_t bucket, struct fingerprint_entry *to)
{
    size_t count = run->counts[bucket], waiting = count % GROUP, chunked = count - waiting;
    uint32_t chunk = run->tail[bucket];

    memcpy(to, &run->waiting[bucket * GROUP], waiting * sizeof(*to));
    to += waiting;
    while (chunked > 0) {
        size_t here = (chunked - 1) % CHUNK_ENTRIES + 1;
        uint32_t before = run->previous[chunk];

        /* Chunks lie far from each other: no prefetcher of the CPU finds the next. */
        if (before != NO_CHUNK) {
            for (size_t line = 0; line < CHUNK_BYTES; line += LINE)
                __builtin_prefetch((const uint8_t *)chunk_at(run, before) + line);
        }
        memcpy(to, chunk_at(run, chunk), here * sizeof(*to));
        to += here;
        chunked -= here;
        chunk = before;
    }
}

void run_release(const struct run *run, size_t begin, size_t end)
{
    for (size_t slab = 0; run->zones > 1 && slab < run->slab_count; slab++) {
        size_t zone_end = ((size_t)run->owner[slab] + 1) << run->zone_shift;

        if (zone_end > begin && zone_end <= end)
            madvise(run->chunks + slab * SLAB_BYTES, SLAB_BYTES, MADV_DONTNEED);
    }
}

size_t run_merge_equal(struct fingerprint_entry *entries, size_t count)
{
    size_t merged = 0;

    for (size_t i = 0; i < count; i++) {
        struct fingerprint_entry *last = merged > 0 ? &entries[merged - 1] : NULL;

        if (last != NULL && digest_compare(&last->digest, &entries[i].digest) == 0) {
            uint64_t times = fingerprint_place_multiplicity(last->place) +
                             fingerprint_place_multiplicity(entries[i].place);
            uint64_t one = fingerprint_place_block(last->place);
            uint64_t other = fingerprint_place_block(entries[i].place);

            if (times < FINGERPRINT_SATURATED) {
                last->place = fingerprint_place_make(one < other ? one : other, times);
                continue;
            }
        }
        entries[merged++] = entries[i];
    }
    return merged;
}
