/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which blocks of an image no donor has, and in how many extents the image falls apart. */
#include "setmov/transfer.h"
#include "transfer/assign.h"

#include <errno.h>

int transfer_missing_find(const struct fingerprint_view *image,
                          const struct fingerprint_view *const *donors, size_t count,
                          struct transfer_missing *ret_missing, struct error *err)
{
    struct transfer_missing missing = {0};
    struct assign_extents extents;
    struct assign_walk walk;
    struct assign assign;
    uint64_t block, source;
    int rc = assign_init(&assign, image, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count && i < ASSIGN_NUMBERS; i++)
        assign_view(&assign, ASSIGN_DONOR, (uint32_t)i, donors[i], FINGERPRINT_MAX_BLOCKS);
    extents = assign_count(&assign);
    missing.blocks = calloc(assign.count + 1, sizeof(*missing.blocks));
    walk = assign_walk(&assign);
    while (missing.blocks != NULL && assign_next(&walk, &block, &source)) {
        if (source == 0)
            missing.blocks[missing.count++] = block;
    }
    assign_release(&assign);
    if (missing.blocks == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    missing.sent_extents = extents.sent;
    missing.copied_extents = extents.copied;
    missing.replicated_extents = extents.replicated;
    *ret_missing = missing;
    return 0;
}

void transfer_missing_release(struct transfer_missing *missing)
{
    free(missing->blocks);
    *missing = (struct transfer_missing){0};
}

uint64_t transfer_plan_bytes(const struct transfer_missing *missing)
{
    return (missing->sent_extents + missing->copied_extents + missing->replicated_extents) *
               TRANSFER_EXTENT_BYTES +
           missing->copied_extents * TRANSFER_EXTENT_HASH_BYTES;
}
