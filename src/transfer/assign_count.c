/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many extents come of the sources that were found. */
#include "setmov/transfer.h"
#include "setmov/transfer_plan.h"
#include "transfer/assign.h"

static void count_one(struct assign_extents *extents, uint64_t source)
{
    switch (assign_kind_of(source)) {
    case ASSIGN_NONE:
        extents->sent++;
        return;
    case ASSIGN_DONOR:
        extents->copied++;
        return;
    case ASSIGN_PART:
        extents->reused++;
        return;
    case ASSIGN_EARLIER:
        extents->replicated++;
        return;
    }
}

/* Blocks that have what an earlier one has, zeroes apart. */
static uint64_t later_copies(const struct assign *assign)
{
    const struct fingerprint_view *own = assign->own;
    uint64_t first = own->totals.distinct - (assign->zero < own->totals.distinct);
    uint64_t blocks =
        own->totals.blocks > own->totals.zero ? own->totals.blocks - own->totals.zero : 0;

    return blocks > first ? blocks - first : 0;
}

struct assign_extents assign_count(const struct assign *assign)
{
    uint64_t in_piece = TRANSFER_PIECE_BYTES / assign->own->block_size;
    uint64_t in_copy = TRANSFER_COPY_MAX / assign->own->block_size;
    uint64_t block, source, next = UINT64_MAX, before = 0, length = 0;
    struct assign_walk walk = assign_walk(assign);
    struct assign_extents extents = {0};

    while (assign_next(&walk, &block, &source)) {
        if (block != next || block % in_piece == 0 || !assign_follows(before, source) ||
            (assign_kind_of(source) == ASSIGN_DONOR && length == in_copy)) {
            count_one(&extents, source);
            length = 0;
        }
        length++;
        before = source;
        next = block + 1;
    }
    extents.replicated += later_copies(assign) / TRANSFER_REPLICATED_BLOCKS;
    return extents;
}
