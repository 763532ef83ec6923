/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan of which some extents did not hold, made into one that sends them. Pure. */
#include "migrate/resend.h"

#include <errno.h>

static uint64_t send(struct transfer_extent *extent)
{
    if (extent->kind == TRANSFER_SENT && extent->source == UINT32_MAX)
        return 0;
    extent->kind = TRANSFER_SENT;
    extent->source = UINT32_MAX;
    extent->from = 0;
    extent->hash = 0;
    return extent->length;
}

static uint64_t send_of_part(struct transfer_plan *plan, uint32_t part)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < plan->image_count; i++) {
        for (size_t j = 0; j < plan->images[i].extent_count; j++) {
            struct transfer_extent *extent = &plan->images[i].extents[j];

            if (extent->kind == TRANSFER_SENT && extent->source == part)
                bytes += send(extent);
        }
    }
    return bytes;
}

/* Parts keep their order; extents get the new numbers. */
static int drop_unused(struct transfer_plan *plan, struct error *err)
{
    CLEANUP(cleanup_free) uint32_t *numbers = calloc(plan->part_count + 1, sizeof(*numbers));
    uint32_t count = 0;

    if (numbers == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < plan->image_count; i++) {
        for (size_t j = 0; j < plan->images[i].extent_count; j++) {
            const struct transfer_extent *extent = &plan->images[i].extents[j];

            if (extent->kind == TRANSFER_SENT && extent->source != UINT32_MAX)
                numbers[extent->source] = 1;
        }
    }
    for (size_t i = 0; i < plan->part_count; i++) {
        if (numbers[i] == 0)
            continue;
        numbers[i] = count;
        plan->parts[count++] = plan->parts[i];
    }
    plan->part_count = count;
    for (size_t i = 0; i < plan->image_count; i++) {
        for (size_t j = 0; j < plan->images[i].extent_count; j++) {
            struct transfer_extent *extent = &plan->images[i].extents[j];

            if (extent->kind == TRANSFER_SENT && extent->source != UINT32_MAX)
                extent->source = numbers[extent->source];
        }
    }
    return 0;
}

int migrate_resend(struct transfer_plan *plan, const struct transfer_failed *failed,
                   uint64_t *ret_bytes, struct error *err)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < failed->count; i++)
        bytes += send(&plan->images[failed->extents[i].image].extents[failed->extents[i].extent]);
    for (size_t i = 0; i < failed->part_count; i++)
        bytes += send_of_part(plan, failed->parts[i]);
    if (bytes == 0)
        return error_set(err, -ENODATA, "the list of what did not hold is empty");
    *ret_bytes = bytes;
    return drop_unused(plan, err);
}
