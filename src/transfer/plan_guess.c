/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the next extent of a plan is expected to be: only what differs is written. */
#include "transfer/plan_format.h"

#include <errno.h>

int plan_guess_init(struct plan_guess *guess, const struct transfer_plan *plan)
{
    *guess = (struct plan_guess){
        .shift_counts = {[TRANSFER_COPY] = plan->donor_count,
                         [TRANSFER_REPLICATE] = plan->image_count,
                         [TRANSFER_SENT] = plan->part_count},
    };
    for (size_t kind = 0; kind < ARRAY_LENGTH(guess->shifts); kind++) {
        guess->shifts[kind] = calloc(guess->shift_counts[kind] + 1, sizeof(uint64_t));
        if (guess->shifts[kind] == NULL) {
            plan_guess_release(guess);
            return -ENOMEM;
        }
    }
    return 0;
}

void plan_guess_release(struct plan_guess *guess)
{
    for (size_t kind = 0; kind < ARRAY_LENGTH(guess->shifts); kind++)
        free(guess->shifts[kind]);
    *guess = (struct plan_guess){0};
}

void plan_guess_restart(struct plan_guess *guess)
{
    memset(guess->sources, 0, sizeof(guess->sources));
    memset(guess->shifts[TRANSFER_COPY], 0, guess->shift_counts[TRANSFER_COPY] * sizeof(uint64_t));
    memset(guess->shifts[TRANSFER_REPLICATE], 0,
           guess->shift_counts[TRANSFER_REPLICATE] * sizeof(uint64_t));
    /* Parts go on from image to image. */
}

uint64_t plan_guess_from(const struct plan_guess *guess, const struct transfer_extent *extent)
{
    uint64_t shift = guess->shifts[extent->kind][extent->source];

    if (extent->kind == TRANSFER_ZERO)
        return 0;
    return extent->kind == TRANSFER_SENT ? shift : extent->offset + shift;
}

void plan_guess_learn(struct plan_guess *guess, const struct transfer_extent *extent)
{
    uint64_t *shift = &guess->shifts[extent->kind][extent->source];

    guess->sources[extent->kind] = extent->source;
    *shift = extent->kind == TRANSFER_SENT ? extent->from + extent->length
                                           : extent->from - extent->offset;
}
