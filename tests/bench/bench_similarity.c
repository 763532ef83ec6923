/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures the engines of similarity/ on two made-up images of 6.5 million
 * distinct digests, of which a third is common; ns of CPU time a digest of A,
 * beside a plain merge, a search of each digest with bsearch, a hash table of
 * B's digests (made anew, half full), and the paper's way, each with each, on
 * a small part of them.
 */

#include "made_numbers.h"
#include "setmov/base_bytes.h"
#include "setmov/similarity.h"

#include <sys/mman.h>

#define DIGESTS ((size_t)6500000)
#define RUNS    5
#define EACH    ((size_t)20000)   /* digests that are compared each with each */
#define SLOTS   ((size_t)1 << 24) /* of the hash table */

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (memory == MAP_FAILED) {
        puts("there is no memory for 800 MB of digests");
        exit(77);
    }
    return memory;
}

static int compare_digests(const void *left, const void *right)
{
    return memcmp(left, right, DIGEST_BYTES);
}

/* Contents first, first + 1, ...: sorted, with a filter; nothing is given back until the end. */
static struct fingerprint_view make_view(uint64_t first)
{
    struct fingerprint_view view = {.kind = DIGEST_MD5, .block_size = 512};
    struct digest *digests = map(DIGESTS * sizeof(*digests));
    uint8_t *places = map(DIGESTS * sizeof(uint64_t)), *bloom;

    for (size_t i = 0; i < DIGESTS; i++) {
        uint64_t state = first + i;
        uint64_t words[2] = {random_u64(&state), random_u64(&state)};

        memcpy(digests[i].bytes, words, DIGEST_BYTES);
        put_u64(places + i * sizeof(uint64_t), fingerprint_place_make(i, 1));
    }
    qsort(digests, DIGESTS, sizeof(*digests), compare_digests);
    view.bloom_bytes = fingerprint_bloom_bytes(DIGESTS);
    bloom = map(view.bloom_bytes);
    for (size_t i = 0; i < DIGESTS; i++) {
        fingerprint_bloom_add(bloom, view.bloom_bytes, &digests[i]);
        view.sketch_count += digests[i].bytes[0] == 0;
    }
    view.totals = (struct fingerprint_totals){.blocks = DIGESTS, .distinct = DIGESTS};
    view.digests = digests;
    view.places = places;
    view.bloom = bloom;
    return view;
}

static size_t plain_merge(const struct fingerprint_view *a, const struct fingerprint_view *b)
{
    size_t found = 0;

    for (size_t i = 0, j = 0; i < a->totals.distinct && j < b->totals.distinct;) {
        int order = digest_compare(&a->digests[i], &b->digests[j]);

        found += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return found;
}

static size_t search_each(const struct fingerprint_view *a, const struct fingerprint_view *b)
{
    size_t found = 0;

    for (size_t i = 0; i < a->totals.distinct; i++)
        found += bsearch(&a->digests[i], b->digests, b->totals.distinct, DIGEST_BYTES,
                         compare_digests) != NULL;
    return found;
}

/* The first bytes of a digest are as good a hash as any. */
static size_t slot_of(const struct digest *digest)
{
    uint64_t first;

    memcpy(&first, digest->bytes, sizeof(first));
    return (size_t)(first % SLOTS);
}

static size_t hash_table(const struct fingerprint_view *a, const struct fingerprint_view *b)
{
    static const struct digest empty;
    struct digest *slots = map(SLOTS * sizeof(*slots));
    size_t found = 0;

    for (size_t i = 0; i < b->totals.distinct; i++) {
        size_t slot = slot_of(&b->digests[i]);

        while (digest_compare(&slots[slot], &empty) != 0)
            slot = (slot + 1) % SLOTS;
        slots[slot] = b->digests[i];
    }
    for (size_t i = 0; i < a->totals.distinct; i++) {
        size_t slot = slot_of(&a->digests[i]);

        while (digest_compare(&slots[slot], &empty) != 0 &&
               digest_compare(&slots[slot], &a->digests[i]) != 0)
            slot = (slot + 1) % SLOTS;
        found += digest_compare(&slots[slot], &a->digests[i]) == 0;
    }
    munmap(slots, SLOTS * sizeof(*slots));
    return found;
}

static size_t each_with_each(const struct fingerprint_view *a, const struct fingerprint_view *b)
{
    size_t found = 0;

    for (size_t i = 0; i < EACH; i++) {
        for (size_t j = 0; j < EACH; j++)
            found += digest_compare(&a->digests[i], &b->digests[j]) == 0;
    }
    return found;
}

static void print_row(const char *name, double seconds, uint64_t low, uint64_t best, uint64_t high)
{
    printf("  %-16s %8.2f ns a digest  identical %llu (%llu to %llu)\n", name,
           1e9 * seconds / (double)DIGESTS, (unsigned long long)best, (unsigned long long)low,
           (unsigned long long)high);
}

int main(void)
{
    struct fingerprint_view a = make_view(1), b = make_view(1 + DIGESTS / 3 * 2);
    const struct fingerprint_view *other = &b;
    double started;
    size_t found;

    printf("%zu digests against as many, a third common\n", DIGESTS);
    started = cpu_seconds();
    found = search_each(&a, &b);
    print_row("bsearch", cpu_seconds() - started, found, found, found);
    started = cpu_seconds();
    found = hash_table(&a, &b);
    print_row("hash table", cpu_seconds() - started, found, found, found);
    started = cpu_seconds();
    found = each_with_each(&a, &b);
    printf("  %-16s %8.0f ns a digest, of %zu against as many (%zu identical); of all, %.0f times "
           "that\n",
           "each with each", 1e9 * (cpu_seconds() - started) / (double)EACH, EACH, found,
           (double)DIGESTS / (double)EACH);
    started = cpu_seconds();
    found = plain_merge(&a, &b);
    print_row("plain merge", cpu_seconds() - started, found, found, found);
    for (enum similarity_engine engine = SIMILARITY_EXACT; engine <= SIMILARITY_SKETCH; engine++) {
        struct similarity_estimate estimate = {0};
        double best = 1e9;

        for (int run = 0; run < RUNS; run++) {
            double took;

            started = cpu_seconds();
            if (similarity_compare(engine, &a, &other, 1, &estimate, NULL, NULL) < 0)
                return 1;
            took = cpu_seconds() - started;
            best = took < best ? took : best;
        }
        print_row(similarity_engine_name(engine), best, estimate.low.identical_distinct,
                  estimate.best.identical_distinct, estimate.high.identical_distinct);
    }
    return 0;
}
