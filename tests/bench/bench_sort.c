/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures how entries of a fingerprint are sorted, beside qsort, and two sums
 * of memory: the checksum of sections and the Bloom filter. ns of CPU time.
 */

#include "made_numbers.h"
#include "setmov/fingerprint.h"

#include <sys/mman.h>

#define ENTRIES ((size_t)6500000) /* a 3.2 GB image at 512 bytes */
#define RUNS    5

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

/* ns a key; the best of RUNS. */
static double sort_ns(bool by_qsort, const struct fingerprint_entry *given,
                      struct fingerprint_entry *entries, struct fingerprint_entry *scratch)
{
    double best = 1e9;

    for (int run = 0; run < (by_qsort ? 1 : RUNS); run++) {
        struct fingerprint_frequent frequent = {0};
        size_t distinct = 0;
        double started, took;

        memcpy(entries, given, ENTRIES * sizeof(*entries));
        started = cpu_seconds();
        if (by_qsort)
            qsort(entries, ENTRIES, sizeof(*entries), compare_entries);
        else if (fingerprint_sort(entries, scratch, ENTRIES, &frequent, &distinct) < 0)
            return -1;
        took = cpu_seconds() - started;
        best = took < best ? took : best;
        fingerprint_frequent_release(&frequent);
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
    size_t bytes = ENTRIES * sizeof(struct fingerprint_entry);
    struct fingerprint_entry *given = map(bytes), *entries = map(bytes), *scratch = map(bytes);
    double own, libc;

    if (given == NULL || entries == NULL || scratch == NULL) {
        puts("there is no memory for three times 156 MB of entries");
        return 77;
    }
    fill(given, ENTRIES);
    own = sort_ns(false, given, entries, scratch);
    libc = sort_ns(true, given, entries, scratch);
    printf("sort and merge %zu entries: %.1f ns each, qsort alone %.1f: %.1f times\n", ENTRIES, own,
           libc, libc / own);
    bench_memory(given);
    return 0;
}
