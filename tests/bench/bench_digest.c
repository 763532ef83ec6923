/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures digests of blocks, each implementation beside OpenSSL's, from the
 * cache and from memory, in GB/s (10^9 bytes) of this thread's CPU time.
 */
#include <openssl/evp.h>
#include <sys/mman.h>

#include "setmov/digest.h"

#define CACHE_BYTES  ((size_t)256 << 10)
#define MEMORY_BYTES ((size_t)512 << 20)
#define MOST_RUNS    9
/* A slow one is not run as often, but twice at least. */
#define MOST_SECONDS 2.0

/* What is measured: `with` says by which function, the rest what it gets. */
struct work {
    void (*run)(const struct work *work);
    const struct digest_plan *plan;
    const EVP_MD *openssl;
    const uint8_t *data;
    size_t bytes;
    struct digest *digests;
};

struct speed {
    double best, median; /* GB/s */
};

static volatile unsigned int sink;

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void run_lanes(const struct work *work)
{
    digest_blocks(work->plan, work->data, work->bytes / work->plan->block_size, work->digests);
}

static void run_digest_per_block(const struct work *work)
{
    uint8_t whole[EVP_MAX_MD_SIZE];

    for (size_t at = 0, i = 0; at < work->bytes; at += work->plan->block_size, i++) {
        EVP_Digest(work->data + at, work->plan->block_size, whole, NULL, work->openssl, NULL);
        memcpy(work->digests[i].bytes, whole, DIGEST_BYTES);
    }
}

static void run_reused_context(const struct work *work)
{
    uint8_t whole[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    EVP_DigestInit_ex(context, work->openssl, NULL);
    for (size_t at = 0, i = 0; at < work->bytes; at += work->plan->block_size, i++) {
        EVP_DigestInit_ex(context, NULL, NULL);
        EVP_DigestUpdate(context, work->data + at, work->plan->block_size);
        EVP_DigestFinal_ex(context, whole, NULL);
        memcpy(work->digests[i].bytes, whole, DIGEST_BYTES);
    }
    EVP_MD_CTX_free(context);
}

/* The zero test, with nothing but zeroes: it has to read every byte. */
static void run_zero_test(const struct work *work)
{
    unsigned int zeroes = 0;

    for (size_t at = 0; at < work->bytes; at += work->plan->block_size)
        zeroes += digest_is_zero(work->data + at, work->plan->block_size);
    sink += zeroes;
}

/* Reads one word of every cache line: what no digest can beat. */
static void run_touch(const struct work *work)
{
    unsigned int sum = 0;

    for (size_t at = 0; at < work->bytes; at += 64)
        sum += work->data[at];
    sink += sum;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

/* One warm-up, then runs of at least half a millisecond each. */
static struct speed measure(const struct work *work)
{
    double seconds[MOST_RUNS], started, all = 0;
    size_t runs = 0, repeats;

    started = cpu_seconds();
    work->run(work);
    repeats = 1 + (size_t)(0.0005 / (cpu_seconds() - started + 1e-9));
    while (runs < 2 || (runs < MOST_RUNS && all < MOST_SECONDS)) {
        started = cpu_seconds();
        for (size_t i = 0; i < repeats; i++)
            work->run(work);
        seconds[runs] = cpu_seconds() - started;
        all += seconds[runs++];
    }
    qsort(seconds, runs, sizeof(seconds[0]), compare_doubles);
    return (struct speed){1e-9 * (double)(work->bytes * repeats) / seconds[0],
                          1e-9 * (double)(work->bytes * repeats) / seconds[runs / 2]};
}

/* From the cache and from memory. */
static void measure_both(struct work work, struct speed ret_speeds[2])
{
    work.bytes = CACHE_BYTES;
    ret_speeds[0] = measure(&work);
    work.bytes = MEMORY_BYTES;
    ret_speeds[1] = measure(&work);
}

static void print_row(const char *name, const struct speed speeds[2], const struct speed *each,
                      const struct speed *reused)
{
    printf("  %-22s %7.2f %7.2f   %7.2f %7.2f", name, speeds[0].best, speeds[0].median,
           speeds[1].best, speeds[1].median);
    if (each != NULL)
        printf("   %6.1f %6.1f", speeds[1].median / each[1].median,
               speeds[1].median / reused[1].median);
    putchar('\n');
}

static void bench_kind(enum digest_kind kind, uint32_t block_size, struct work work)
{
    struct speed each[2], reused[2], speeds[2];
    struct digest_plan plan;

    if (digest_plan_init(&plan, kind, block_size, NULL, NULL) < 0)
        return;
    work.plan = &plan;
    work.openssl = kind == DIGEST_MD5 ? EVP_md5() : EVP_sha256();
    printf(
        "%s, blocks of %u      cache: best, median   memory: best, median   x per block, reused\n",
        kind == DIGEST_MD5 ? "MD5" : "SHA-256", block_size);
    work.run = run_digest_per_block;
    measure_both(work, each);
    print_row("EVP_Digest per block", each, NULL, NULL);
    work.run = run_reused_context;
    measure_both(work, reused);
    print_row("EVP, context reused", reused, each, reused);
    work.run = run_lanes;
    for (const struct digest_implementation *row = digest_implementations(); row->name; row++) {
        if (digest_choose(row->name) < 0)
            continue;
        measure_both(work, speeds);
        print_row(row->name, speeds, each, reused);
    }
    digest_choose(NULL);
}

static void bench_reading(struct work work)
{
    struct digest_plan plan;
    struct speed speeds[2];

    digest_plan_init(&plan, DIGEST_MD5, 512, NULL, NULL);
    work.plan = &plan;
    printf("reading                      cache: best, median   memory: best, median\n");
    work.run = run_touch;
    measure_both(work, speeds);
    print_row("a byte of each line", speeds, NULL, NULL);
    work.run = run_zero_test;
    measure_both(work, speeds);
    print_row("zero test of zeroes", speeds, NULL, NULL);
}

int main(void)
{
    struct work work = {0};
    uint8_t *data =
        mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    work.digests = calloc(MEMORY_BYTES / DIGEST_BLOCK_MIN, sizeof(work.digests[0]));
    if (data == MAP_FAILED || work.digests == NULL) {
        puts("there is no memory for 512 MiB of blocks");
        return 77;
    }
    /* Small pages, as the page cache has them. */
    madvise(data, MEMORY_BYTES, MADV_NOHUGEPAGE);
    memset(data, 0, MEMORY_BYTES);
    memset(work.digests, 0xff, MEMORY_BYTES / DIGEST_BLOCK_MIN * sizeof(work.digests[0]));
    work.data = data;
    printf("GB/s of CPU time, 256 KiB and 512 MiB; chosen here: %s\n", digest_chosen());
    bench_reading(work);
    for (size_t i = 0; i < MEMORY_BYTES; i++)
        data[i] = (uint8_t)((i * 0x9e3779b97f4a7c15) >> 56);
    bench_kind(DIGEST_MD5, 512, work);
    bench_kind(DIGEST_MD5, 4096, work);
    bench_kind(DIGEST_SHA256, 512, work);
    bench_kind(DIGEST_SHA256, 4096, work);
    free(work.digests);
    munmap(data, MEMORY_BYTES);
    return 0;
}
