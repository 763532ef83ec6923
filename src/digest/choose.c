/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of implementations, and the one that is used. */

#include <errno.h>
#include <stdatomic.h>

#include "digest/choose.h"
#include "digest/lanes.h"

static bool always(void)
{
    return true;
}

#ifdef __x86_64__
#include <cpuid.h>

/* __builtin_cpu_supports() asks the CPU and whether the kernel keeps the registers. */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

/* Of registers that SSE2 has too; clang 14 has no name for the feature. */
static bool has_avx2_and_sha(void)
{
    unsigned int a, b, c, d;

    return has_avx2() && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}
#endif

/* From the one that always works to the fastest. */
static const struct digest_implementation implementations[] = {
    {"portable", always, {2, digest_md5_portable}, {1, digest_sha256_portable}},
#ifdef __x86_64__
    {"sse2", always, {16, digest_md5_sse2}, {1, digest_sha256_portable}},
    {"avx2", has_avx2, {32, digest_md5_avx2}, {8, digest_sha256_avx2}},
    {"avx2+sha",
     has_avx2_and_sha,
     {32, digest_md5_avx2},
     {DIGEST_GROUP_SHANI, digest_sha256_shani}},
    {"avx512", has_avx512, {64, digest_md5_avx512}, {32, digest_sha256_avx512}},
#endif
#if defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    {"neon", always, {16, digest_md5_neon}, {8, digest_sha256_neon}},
#endif
    {0},
};

/*
 * NULL until somebody asks. Threads that ask at once find the same row, so the
 * order of their stores does not matter.
 */
static _Atomic(const struct digest_implementation *) chosen;

static const struct digest_implementation *best(void)
{
    const struct digest_implementation *found = implementations;

    for (const struct digest_implementation *row = implementations; row->name != NULL; row++) {
        if (row->supported())
            found = row;
    }
    return found;
}

const struct digest_implementation *digest_implementations(void)
{
    return implementations;
}

const struct digest_implementation *digest_implementation_chosen(void)
{
    const struct digest_implementation *row = atomic_load_explicit(&chosen, memory_order_relaxed);

    if (row == NULL) {
        row = best();
        atomic_store_explicit(&chosen, row, memory_order_relaxed);
    }
    return row;
}

int digest_choose(const char *name)
{
    const struct digest_implementation *row = implementations;

    if (name == NULL) {
        row = best();
    } else {
        while (row->name != NULL && strcmp(row->name, name) != 0)
            row++;
        if (row->name == NULL)
            return -ENOENT;
        if (!row->supported())
            return -ENOTSUP;
    }
    atomic_store_explicit(&chosen, row, memory_order_relaxed);
    return 0;
}

const char *digest_chosen(void)
{
    return digest_implementation_chosen()->name;
}
