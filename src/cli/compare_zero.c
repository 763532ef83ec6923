/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shares without zero blocks: how many an image has depends on its format, so
 * only these compare across formats. Pure.
 */
#include "compare.h"

bool compare_has_zero(const struct compare_result *result, const struct compare_row *row, size_t b)
{
    for (size_t i = 0; i < result->count; i++) {
        if (i != row->a && (i == b || b == result->count) && result->files[i]->view.totals.zero > 0)
            return true;
    }
    return false;
}

static uint64_t without(uint64_t count, uint64_t part)
{
    return count > part ? count - part : 0;
}

static double percent(uint64_t part, uint64_t all)
{
    /* An estimate that took B to have a zero block counts too many. */
    return all == 0 ? 0 : 100 * (double)(part < all ? part : all) / (double)all;
}

struct compare_shares compare_shares_nonzero(const struct similarity_figures *figures,
                                             bool zero_in_b)
{
    uint64_t blocks = without(figures->total, figures->zero);
    bool shared = zero_in_b && figures->zero > 0;

    return (struct compare_shares){
        .distinct = percent(without(figures->identical_distinct, shared), blocks),
        .with_duplicates = percent(
            without(figures->identical_with_duplicates, shared ? figures->zero : 0), blocks),
    };
}
