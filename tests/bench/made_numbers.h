/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benchmarks on made-up digests share: CPU time of this thread, and repeatable numbers. */
#ifndef SETMOV_BENCH_MADE_NUMBERS_H
#define SETMOV_BENCH_MADE_NUMBERS_H

#include <stdint.h>
#include <time.h>

static inline double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static inline uint64_t random_u64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

#endif
