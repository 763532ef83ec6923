/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan of which some extents did not hold, made into one that sends them. Pure. */
#include "migrate/resend.h"

#include <errno.h>

struct resend {
    struct transfer_plan *plan;
    const struct transfer_known_part *known;
    size_t known_count;
    struct transfer_figures figures;
};

/* By an earlier try, so that digests alone say what lies in it. */
static bool is_known(const struct resend *resend, uint32_t part)
{
    for (size_t i = 0; i < resend->known_count; i++) {
        if (memcmp(resend->known[i].part.sha256, resend->plan->parts[part].sha256,
                   TRANSFER_HASH_BYTES) == 0)
            return true;
    }
    return false;
}

static void send(struct resend *resend, struct transfer_extent *extent)
{
    struct transfer_figures *figures = &resend->figures;

    if (extent->kind == TRANSFER_COPY)
        figures->local += extent->length;
    else if (extent->kind == TRANSFER_REPLICATE)
        figures->replicated += extent->length;
    else if (extent->kind == TRANSFER_SENT && is_known(resend, extent->source))
        figures->reused += extent->length;
    figures->sent += extent->length;
    extent->kind = TRANSFER_SENT;
    extent->source = UINT32_MAX;
    extent->from = 0;
    extent->hash = 0;
}

static void send_extent(struct resend *resend, struct transfer_extent *extent)
{
    if (extent->kind != TRANSFER_SENT ||
        (extent->source != UINT32_MAX && is_known(resend, extent->source)))
        send(resend, extent);
}

static void send_of_part(struct resend *resend, uint32_t part)
{
    for (size_t i = 0; i < resend->plan->image_count; i++) {
        struct transfer_image *image = &resend->plan->images[i];

        for (size_t j = 0; j < image->extent_count; j++) {
            if (image->extents[j].kind == TRANSFER_SENT && image->extents[j].source == part)
                send(resend, &image->extents[j]);
        }
    }
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

int migrate_resend(struct transfer_plan *plan, const struct transfer_known_part *known,
                   size_t known_count, const struct transfer_failed *failed,
                   struct transfer_figures *ret_figures, struct error *err)
{
    struct resend resend = {.plan = plan, .known = known, .known_count = known_count};
    int rc;

    for (size_t i = 0; i < failed->count; i++) {
        const struct transfer_failed_extent *extent = &failed->extents[i];

        send_extent(&resend, &plan->images[extent->image].extents[extent->extent]);
    }
    for (size_t i = 0; i < failed->part_count; i++)
        send_of_part(&resend, failed->parts[i]);
    if (resend.figures.sent == 0)
        return error_set(err, -ENODATA, "%s",
                         failed->count > 0 ? "all that may not hold was sent already"
                                           : "the list of what did not hold is empty");
    rc = drop_unused(plan, err);
    if (rc == 0)
        *ret_figures = resend.figures;
    return rc;
}
