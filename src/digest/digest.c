/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cuts any number of blocks into the groups that the chosen implementation takes. */

#include "digest/choose.h"

/* Where blocks lie: at `list`, or one behind the other from `first` on. */
struct blocks {
    const uint8_t *first;
    const void *const *list;
    size_t block_size;
    size_t count;
};

/*
 * Pointers to `group` blocks from `start` on. Behind the last block it stands
 * for those that a whole group lacks: its digest is then made more than once.
 */
static void fill_group(const struct blocks *blocks, size_t start, size_t group,
                       const uint8_t **ret_group)
{
    for (size_t i = 0; i < group; i++) {
        size_t index = start + i < blocks->count ? start + i : blocks->count - 1;

        ret_group[i] = blocks->list != NULL ? (const uint8_t *)blocks->list[index]
                                            : blocks->first + index * blocks->block_size;
    }
}

static void run_groups(const struct digest_plan *plan, const struct blocks *blocks,
                       struct digest *ret_digests)
{
    const struct digest_implementation *chosen = digest_implementation_chosen();
    const struct digest_lanes *lanes = plan->kind == DIGEST_MD5 ? &chosen->md5 : &chosen->sha256;
    struct digest last[DIGEST_GROUP_MAX];
    const uint8_t *groups[2][DIGEST_GROUP_MAX];
    size_t done = 0, turn = 0;

    if (blocks->count == 0)
        return;
    fill_group(blocks, 0, lanes->group, groups[0]);
    for (; blocks->count - done >= lanes->group; done += lanes->group, turn = !turn) {
        fill_group(blocks, done + lanes->group, lanes->group, groups[!turn]);
        lanes->run(plan, groups[turn], groups[!turn], ret_digests + done);
    }
    if (done < blocks->count) {
        lanes->run(plan, groups[turn], groups[turn], last);
        memcpy(ret_digests + done, last, (blocks->count - done) * sizeof(last[0]));
    }
}

void digest_blocks(const struct digest_plan *plan, const void *blocks, size_t count,
                   struct digest *ret_digests)
{
    const struct blocks all = {blocks, NULL, plan->block_size, count};

    run_groups(plan, &all, ret_digests);
}

void digest_scattered(const struct digest_plan *plan, const void *const *blocks, size_t count,
                      struct digest *ret_digests)
{
    const struct blocks all = {NULL, blocks, plan->block_size, count};

    run_groups(plan, &all, ret_digests);
}
