/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sources of an image's blocks, and what a plan would be made of, from fingerprints alone. */
#include "transfer/make.h"

#include <errno.h>
#include <inttypes.h>

#include "setmov/transfer.h"

/* ---- do they fit together? ---- */

static int check_view(const struct fingerprint_view *own, const struct fingerprint_view *view,
                      const char *what, size_t number, struct error *err)
{
    if (view->kind != own->kind || view->block_size != own->block_size ||
        memcmp(view->key_id, own->key_id, sizeof(own->key_id)) != 0)
        return error_set(err, -EINVAL, "%s %zu has a fingerprint of another kind", what, number);
    return 0;
}

static int check_part(const struct fingerprint_view *own, const struct transfer_known_part *part,
                      size_t number, struct error *err)
{
    if (part->count > part->part.raw_length / own->block_size)
        return error_set(err, -EINVAL, "part %zu has %zu blocks in %" PRIu64 " bytes", number,
                         part->count, part->part.raw_length);
    return 0;
}

static int check_sources(const struct fingerprint_view *own, const struct transfer_sources *sources,
                         struct error *err)
{
    int rc = 0;

    if (sources->donor_count > TRANSFER_PLAN_MAX_DONORS || sources->part_count >= ASSIGN_NUMBERS ||
        sources->earlier_count > TRANSFER_PLAN_MAX_IMAGES)
        return error_set(err, -EFBIG, "%zu donors and %zu parts are too many", sources->donor_count,
                         sources->part_count);
    for (size_t i = 0; i < sources->donor_count && rc == 0; i++)
        rc = check_view(own, sources->donors[i], "donor", i, err);
    for (size_t i = 0; i < sources->earlier_count && rc == 0; i++)
        rc = check_view(own, sources->earlier[i], "earlier image", i, err);
    for (size_t i = 0; i < sources->part_count && rc == 0; i++)
        rc = check_part(own, &sources->parts[i], i, err);
    return rc;
}

int make_assign(struct assign *assign, const struct fingerprint_view *own,
                const struct transfer_sources *sources, struct error *err)
{
    int rc = check_sources(own, sources, err);

    if (rc == 0)
        rc = assign_init(assign, own, err);
    if (rc < 0)
        return rc;
    /* What needs no hash first. */
    for (size_t i = 0; i < sources->earlier_count; i++) {
        const struct fingerprint_view *view = sources->earlier[i];

        /* Nothing is replicated from behind an image's end. */
        assign_view(assign, ASSIGN_EARLIER, (uint32_t)i, view,
                    view->identity.virtual_size / own->block_size);
    }
    for (size_t i = 0; i < sources->part_count; i++)
        assign_digests(assign, (uint32_t)i, sources->parts[i].digests, sources->parts[i].count);
    for (size_t i = 0; i < sources->donor_count; i++)
        assign_view(assign, ASSIGN_DONOR, (uint32_t)i, sources->donors[i], FINGERPRINT_MAX_BLOCKS);
    return 0;
}

/* ---- figures ---- */

static void count_digest(const struct assign *assign, const struct fingerprint_view *own, size_t i,
                         struct transfer_figures *figures)
{
    uint64_t block_size = own->block_size;
    uint64_t times = fingerprint_multiplicity(own, i);

    if (times == 0)
        times = 1; /* a fingerprint that lies */
    figures->data += times * block_size;
    if (i == assign->zero) {
        figures->zero += times * block_size;
        return;
    }
    figures->replicated += (times - 1) * block_size;
    switch (assign_kind_of(assign_source_of(assign, i))) {
    case ASSIGN_DONOR:
        figures->local += block_size;
        return;
    case ASSIGN_EARLIER:
        figures->replicated += block_size;
        return;
    case ASSIGN_PART:
        figures->reused += block_size;
        return;
    case ASSIGN_NONE:
        figures->sent += block_size;
        return;
    }
}

uint64_t make_plan_bytes(uint64_t extents, uint64_t copied)
{
    return TRANSFER_HASH_BYTES + extents * TRANSFER_EXTENT_BYTES +
           copied * TRANSFER_EXTENT_HASH_BYTES;
}

int transfer_foresee(const struct fingerprint_view *own, const struct transfer_sources *sources,
                     struct transfer_figures *ret_figures, struct error *err)
{
    struct transfer_figures figures = {0};
    struct assign_extents extents;
    struct assign assign = {0};
    int rc = make_assign(&assign, own, sources, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < own->totals.distinct; i++)
        count_digest(&assign, own, i, &figures);
    extents = assign_count(&assign);
    figures.plan_bytes = make_plan_bytes(
        extents.sent + extents.copied + extents.reused + extents.replicated, extents.copied);
    assign_release(&assign);
    *ret_figures = figures;
    return 0;
}
