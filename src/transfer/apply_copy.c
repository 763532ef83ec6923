/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extents that are copied from donors. What lies near in the donor is read at
 * once; each extent is then verified where it will be written from.
 */
#include "transfer/apply.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* So much of a donor that nobody wants is read rather than asked for around it. */
#define GAP_BYTES ((uint64_t)64 << 10)

/* Copies [first, end) from one donor, and what of it they want. */
struct group {
    size_t end;
    uint64_t from, length;
    bool straight; /* they lie there as here, without gaps */
};

static uint8_t *place(const struct apply_worker *worker, const struct transfer_extent *extent)
{
    return worker->buffer + (extent->offset - worker->start);
}

static struct group find_group(const struct apply_worker *worker, size_t first)
{
    const struct transfer_extent *extents = apply_worker_plan(worker)->extents;
    struct group group = {first + 1, extents[first].from, extents[first].length, true};

    for (size_t i = first + 1; i < worker->end; i++) {
        const struct transfer_extent *extent = &extents[i];
        uint64_t end = group.from + group.length;

        if (extent->kind != TRANSFER_COPY)
            continue;
        if (extent->source != extents[first].source || extent->from < end ||
            extent->from - end > GAP_BYTES ||
            extent->from - group.from + extent->length > TRANSFER_PIECE_BYTES)
            break;
        if (extent->from != end ||
            extent->offset - extents[first].offset != extent->from - group.from)
            group.straight = false;
        group.length = extent->from - group.from + extent->length;
        group.end = i + 1;
    }
    return group;
}

/* Behind the donor's end are zeroes. */
static int read_donor(struct image *donor, uint64_t from, size_t length, uint8_t *to,
                      struct error *err)
{
    uint64_t size = image_size(donor);
    size_t there = from >= size ? 0 : length;

    if (there > 0 && size - from < length)
        there = (size_t)(size - from);
    memset(to + there, 0, length - there);
    return there == 0 ? 0 : image_read(donor, from, there, to, err);
}

static int read_group(struct apply_worker *worker, struct image *donor, size_t first,
                      const struct group *group, struct error *err)
{
    const struct transfer_extent *extents = apply_worker_plan(worker)->extents;
    uint8_t *to = group->straight ? place(worker, &extents[first]) : worker->aside;
    int rc = read_donor(donor, group->from, (size_t)group->length, to, err);

    for (size_t i = first; rc == 0 && !group->straight && i < group->end; i++) {
        if (extents[i].kind == TRANSFER_COPY)
            memcpy(place(worker, &extents[i]), to + (extents[i].from - group->from),
                   extents[i].length);
    }
    return rc;
}

/* Brings this copy, and others that are near it, into the buffer. */
static int fetch(struct apply_worker *worker, size_t first, struct error *err)
{
    const struct transfer_extent *extent = &apply_worker_plan(worker)->extents[first];
    struct group group = find_group(worker, first);
    struct image *donor;
    int rc = apply_donor_acquire(worker->apply, extent->source, &donor);

    if (rc < 0)
        return error_set(err, rc, "donor %s cannot be read",
                         worker->apply->plan->donors[extent->source].id);
    rc = read_group(worker, donor, first, &group, err);
    /* Something near it cannot be read; that need not be its fault. */
    if (rc < 0 && rc != -ECANCELED && group.length > extent->length) {
        group.end = first + 1;
        rc = read_donor(donor, extent->from, extent->length, place(worker, extent), err);
    }
    apply_donor_release(worker->apply, extent->source);
    if (rc == 0)
        worker->fetched = group.end;
    return rc;
}

static int verify(const struct apply_worker *worker, const struct transfer_extent *extent,
                  struct error *err)
{
    const struct transfer_plan *plan = worker->apply->plan;
    struct digest_content content;
    uint8_t value[TRANSFER_HASH_BYTES];

    digest_content_init(&content);
    digest_content_add(&content, place(worker, extent), extent->length);
    digest_content_value(&content, value);
    if (memcmp(value, plan->hashes[extent->hash], sizeof(value)) == 0)
        return 0;
    return error_set(err, -ESTALE, "donor %s has something else at byte %" PRIu64,
                     plan->donors[extent->source].id, extent->from);
}

int apply_copy(struct apply_worker *worker, size_t number, struct error *err)
{
    const struct transfer_extent *extent = &apply_worker_plan(worker)->extents[number];
    struct error why = {""};
    int rc = number >= worker->fetched ? fetch(worker, number, &why) : 0;

    if (rc == 0)
        rc = verify(worker, extent, &why);
    if (rc == 0)
        return 0;
    if (atomic_load(&worker->apply->halted))
        return error_set(err, -ECANCELED, "stopped");
    return apply_extent_failed(worker, number, &why, err);
}
