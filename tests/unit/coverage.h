/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests, which have included cmocka: do intervals hold the truth as often as they should? */
#ifndef COVERAGE_H
#define COVERAGE_H

#include "setmov/similarity.h"

/* How often intervals were given, and held the truth, of the three figures. */
struct coverage {
    size_t given, distinct, blocks, bytes;
};

static inline void assert_covered(const char *what, const struct coverage *coverage)
{
    if (coverage->distinct * 100 < coverage->given * 94 ||
        coverage->blocks * 100 < coverage->given * 94 ||
        coverage->bytes * 100 < coverage->given * 94)
        fail_msg("%s: of %zu intervals %zu, %zu and %zu hold the truth", what, coverage->given,
                 coverage->distinct, coverage->blocks, coverage->bytes);
}

static inline bool within(uint64_t low, uint64_t value, uint64_t high)
{
    return low <= value && value <= high;
}

static inline void coverage_add(const struct similarity_estimate *estimate, uint64_t distinct,
                                uint64_t blocks, uint64_t bytes, struct coverage *coverage)
{
    const struct similarity_figures *low = &estimate->low, *high = &estimate->high;

    coverage->given++;
    coverage->distinct += within(low->identical_distinct, distinct, high->identical_distinct);
    coverage->blocks +=
        within(low->identical_with_duplicates, blocks, high->identical_with_duplicates);
    coverage->bytes += within(low->bytes_to_send, bytes, high->bytes_to_send);
}

#endif
