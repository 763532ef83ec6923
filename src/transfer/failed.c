/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of what did not hold, from the host that builds to the one that sends. */
#include "setmov/base_bytes.h"
#include "setmov/fingerprint.h"
#include "setmov/transfer_plan.h"

#include <errno.h>
#include <inttypes.h>

#define MAGIC       "SETMOVFL"
#define VERSION     1
#define AT_VERSION  8
#define AT_PARTS    12
#define AT_EXTENTS  16
#define AT_CHECKSUM 24
#define HEAD_BYTES  32

void transfer_failed_release(struct transfer_failed *failed)
{
    free(failed->extents);
    free(failed->parts);
    *failed = (struct transfer_failed){0};
}

/* ---- writing ---- */

static int by_place(const void *left, const void *right)
{
    const struct transfer_failed_extent *l = left, *r = right;

    if (l->image != r->image)
        return l->image < r->image ? -1 : 1;
    return (l->extent > r->extent) - (l->extent < r->extent);
}

static int by_number(const void *left, const void *right)
{
    const uint32_t *l = left, *r = right;

    return (*l > *r) - (*l < *r);
}

/* Sorted, and each once. */
static size_t put_extents(const struct transfer_failed *failed,
                          struct transfer_failed_extent *sorted, uint8_t *at)
{
    size_t count = 0;

    if (failed->count > 0)
        memcpy(sorted, failed->extents, failed->count * sizeof(*sorted));
    qsort(sorted, failed->count, sizeof(*sorted), by_place);
    for (size_t i = 0; i < failed->count; i++) {
        if (i > 0 && by_place(&sorted[i - 1], &sorted[i]) == 0)
            continue;
        put_u32(at + 8 * count, sorted[i].image);
        put_u32(at + 8 * count + 4, sorted[i].extent);
        count++;
    }
    return count;
}

static size_t put_parts(const struct transfer_failed *failed, uint32_t *sorted, uint8_t *at)
{
    size_t count = 0;

    if (failed->part_count > 0)
        memcpy(sorted, failed->parts, failed->part_count * sizeof(*sorted));
    qsort(sorted, failed->part_count, sizeof(*sorted), by_number);
    for (size_t i = 0; i < failed->part_count; i++) {
        if (i > 0 && sorted[i - 1] == sorted[i])
            continue;
        put_u32(at + 4 * count, sorted[i]);
        count++;
    }
    return count;
}

static uint64_t checksum(const uint8_t *bytes, size_t length)
{
    struct fingerprint_checksum sum;

    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, AT_CHECKSUM);
    fingerprint_checksum_add(&sum, bytes + HEAD_BYTES, length - HEAD_BYTES);
    return fingerprint_checksum_value(&sum);
}

int transfer_failed_encode(const struct transfer_failed *failed, uint8_t **ret_bytes,
                           size_t *ret_length, struct error *err)
{
    CLEANUP(cleanup_free) struct transfer_failed_extent *extents = NULL;
    CLEANUP(cleanup_free) uint32_t *parts = NULL;
    size_t count, part_count;
    uint8_t *bytes;

    if (failed->count > TRANSFER_PLAN_MAX_EXTENTS || failed->part_count > TRANSFER_PLAN_MAX_PARTS)
        return error_set(err, -EFBIG, "more failed than a plan has");
    extents = calloc(failed->count + 1, sizeof(*extents));
    parts = calloc(failed->part_count + 1, sizeof(*parts));
    bytes = calloc(1, HEAD_BYTES + 8 * failed->count + 4 * failed->part_count);
    if (extents == NULL || parts == NULL || bytes == NULL) {
        free(bytes);
        return error_set(err, -ENOMEM, "out of memory");
    }
    count = put_extents(failed, extents, bytes + HEAD_BYTES);
    part_count = put_parts(failed, parts, bytes + HEAD_BYTES + 8 * count);
    memcpy(bytes, MAGIC, AT_VERSION);
    put_u32(bytes + AT_VERSION, VERSION);
    put_u32(bytes + AT_PARTS, (uint32_t)part_count);
    put_u64(bytes + AT_EXTENTS, count);
    *ret_length = HEAD_BYTES + 8 * count + 4 * part_count;
    put_u64(bytes + AT_CHECKSUM, checksum(bytes, *ret_length));
    *ret_bytes = bytes;
    return 0;
}

/* ---- reading ---- */

static int check_head(const uint8_t *bytes, size_t length, struct error *err)
{
    uint64_t count, parts;

    if (length < HEAD_BYTES || memcmp(bytes, MAGIC, strlen(MAGIC)) != 0)
        return error_set(err, -EINVAL, "is no list of failed extents");
    if (get_u32(bytes + AT_VERSION) != VERSION)
        return error_set(err, -EINVAL, "is a list of failed extents of version %" PRIu32,
                         get_u32(bytes + AT_VERSION));
    count = get_u64(bytes + AT_EXTENTS);
    parts = get_u32(bytes + AT_PARTS);
    if (count > TRANSFER_PLAN_MAX_EXTENTS || length != HEAD_BYTES + 8 * count + 4 * parts)
        return error_set(err, -EINVAL, "the list of failed extents is cut short, or too long");
    if (get_u64(bytes + AT_CHECKSUM) != checksum(bytes, length))
        return error_set(err, -EINVAL, "the list of failed extents is damaged");
    return 0;
}

/* Ascending, so that none is there twice. */
static int take_extents(const uint8_t *at, const struct transfer_plan *plan,
                        struct transfer_failed *failed, struct error *err)
{
    for (size_t i = 0; i < failed->count; i++, at += 8) {
        struct transfer_failed_extent *extent = &failed->extents[i];

        *extent = (struct transfer_failed_extent){get_u32(at), get_u32(at + 4)};
        if (extent->image >= plan->image_count ||
            extent->extent >= plan->images[extent->image].extent_count)
            return error_set(err, -EINVAL,
                             "failed extents: the plan has no extent %" PRIu32 " of image %" PRIu32,
                             extent->extent, extent->image);
        if (i > 0 && by_place(extent - 1, extent) >= 0)
            return error_set(err, -EINVAL, "failed extents: they do not ascend");
    }
    return 0;
}

static int take_parts(const uint8_t *at, const struct transfer_plan *plan,
                      struct transfer_failed *failed, struct error *err)
{
    for (size_t i = 0; i < failed->part_count; i++, at += 4) {
        failed->parts[i] = get_u32(at);
        if (failed->parts[i] >= plan->part_count)
            return error_set(err, -EINVAL, "failed extents: the plan has no part %" PRIu32,
                             failed->parts[i]);
        if (i > 0 && failed->parts[i - 1] >= failed->parts[i])
            return error_set(err, -EINVAL, "failed extents: the parts do not ascend");
    }
    return 0;
}

int transfer_failed_decode(const void *bytes, size_t length, const struct transfer_plan *plan,
                           struct transfer_failed *ret_failed, struct error *err)
{
    struct transfer_failed failed = {0};
    const uint8_t *at = bytes;
    int rc = check_head(at, length, err);

    if (rc < 0)
        return rc;
    failed.count = (size_t)get_u64(at + AT_EXTENTS);
    failed.part_count = get_u32(at + AT_PARTS);
    failed.extents = calloc(failed.count + 1, sizeof(*failed.extents));
    failed.parts = calloc(failed.part_count + 1, sizeof(*failed.parts));
    failed.capacity = failed.count + 1;
    failed.part_capacity = failed.part_count + 1;
    if (failed.extents == NULL || failed.parts == NULL) {
        transfer_failed_release(&failed);
        return error_set(err, -ENOMEM, "out of memory");
    }
    rc = take_extents(at + HEAD_BYTES, plan, &failed, err);
    if (rc == 0)
        rc = take_parts(at + HEAD_BYTES + 8 * failed.count, plan, &failed, err);
    if (rc < 0) {
        transfer_failed_release(&failed);
        return rc;
    }
    *ret_failed = failed;
    return 0;
}
