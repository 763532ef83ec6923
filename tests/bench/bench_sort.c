/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures how entries of a fingerprint are sorted once the writer has dealt
 * them into buckets, beside qsort, and two sums of memory: the checksum of
 * sections and the Bloom filter. ns of CPU time.
 */

#include "fingerprint/sort.h"
#include "made_numbers.h"
#include "setmov/fingerprint.h"

#include <sys/mman.h>

#define ENTRIES ((size_t)6500000) /* a 3.2 GB image at 512 bytes */
#define RUNS    5
#define BITS    10 /* as the writer has for so many entries (choose_bits() in writer.c) */
#define BUCKETS ((size_t)1 << BITS)

/* A quarter of the entries repeat others, as in the image of the bench. */
static void fill(struct fingerprint_entry *entries, size_t count)
{
    uint64_t state = 1;

    for (size_t i = 0; i < count; i++) {
        uint64_t words[2] = {random_u64(&state), random_u64(&state)};

        memcpy(entries[i].digest.bytes, words, DIGEST_BYTES);
        if (i % 4 == 3)
            entries[i].digest = entries[words[0] % i].digest;
        entries[i].place = fingerprint_place_make(i, 1);
    }
}

static int compare_entries(const void *left, const void *right)
{
    return memcmp(left, right, DIGEST_BYTES);
}

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static size_t bucket_of(const struct fingerprint_entry *entry)
{
    return ((size_t)entry->digest.bytes[0] << 8 | entry->digest.bytes[1]) >> (16 - BITS);
}

/* Deals entries into buckets that lie one behind the other; `ends` of each. */
static void deal(const struct fingerprint_entry *given, struct fingerprint_entry *dealt,
                 size_t ends[BUCKETS])
{
    size_t begin = 0;

    memset(ends, 0, BUCKETS * sizeof(*ends));
    for (size_t i = 0; i < ENTRIES; i++)
        ends[bucket_of(&given[i])]++;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        size_t count = ends[bucket];

        ends[bucket] = begin;
        begin += count;
    }
    for (size_t i = 0; i < ENTRIES; i++)
        dealt[ends[bucket_of(&given[i])]++] = given[i];
}

/* ns a key; the best of RUNS. */
static double sort_ns(bool by_qsort, const struct fingerprint_entry *dealt, const size_t *ends,
                      struct fingerprint_entry *entries, struct fingerprint_entry *sorted)
{
    double best = 1e9;

    for (int run = 0; run < (by_qsort ? 1 : RUNS); run++) {
        double started, took;

        memcpy(entries, dealt, ENTRIES * sizeof(*entries));
        started = cpu_seconds();
        for (size_t bucket = 0, begin = 0; bucket < BUCKETS; begin = ends[bucket++]) {
            if (by_qsort)
                qsort(entries + begin, ends[bucket] - begin, sizeof(*entries), compare_entries);
            else
                fingerprint_sort_into(entries + begin, sorted + begin, ends[bucket] - begin, BITS);
        }
        took = cpu_seconds() - started;
        best = took < best ? took : best;
    }
    return 1e9 * best / (double)ENTRIES;
}

static void bench_memory(const struct fingerprint_entry *entries)
{
    size_t bytes = ENTRIES * sizeof(*entries), bloom_bytes = fingerprint_bloom_bytes(ENTRIES);
    uint8_t *bloom = map(bloom_bytes);
    double started = cpu_seconds(), added, probed;
    uint64_t sum = fingerprint_checksum(entries, bytes);
    double checksum = cpu_seconds() - started;
    size_t found = 0;

    if (bloom == NULL)
        return;
    started = cpu_seconds();
    for (size_t i = 0; i < ENTRIES; i++)
        fingerprint_bloom_add(bloom, bloom_bytes, &entries[i].digest);
    added = cpu_seconds() - started;
    started = cpu_seconds();
    for (size_t i = 0; i < ENTRIES; i++)
        found += fingerprint_bloom_has(bloom, bloom_bytes, &entries[i].digest);
    probed = cpu_seconds() - started;
    printf("checksum %.1f GB/s (%016llx); Bloom filter, unsorted keys: add %.1f ns, probe %.1f ns "
           "(%zu found)\n",
           1e-9 * (double)bytes / checksum, (unsigned long long)sum, 1e9 * added / (double)ENTRIES,
           1e9 * probed / (double)ENTRIES, found);
    munmap(bloom, bloom_bytes);
}

int main(void)
{
    static size_t ends[BUCKETS];
    size_t bytes = ENTRIES * sizeof(struct fingerprint_entry);
    struct fingerprint_entry *given = map(bytes), *dealt = map(bytes), *entries = map(bytes),
                             *sorted = map(bytes);
    double own, libc;

    if (given == NULL || dealt == NULL || entries == NULL || sorted == NULL) {
        puts("there is no memory for four times 156 MB of entries");
        return 77;
    }
    fill(given, ENTRIES);
    deal(given, dealt, ends);
    own = sort_ns(false, dealt, ends, entries, sorted);
    libc = sort_ns(true, dealt, ends, entries, sorted);
    printf("sort %zu entries in %zu buckets: %.1f ns each, with qsort %.1f: %.1f times\n", ENTRIES,
           BUCKETS, own, libc, libc / own);
    bench_memory(given);
    return 0;
}
