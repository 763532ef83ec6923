/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does a plan hold what its header promises? For plans that are written, and for hostile ones. */
#include "transfer/plan_format.h"

#include <errno.h>
#include <inttypes.h>

/* ---- texts ---- */

static bool is_one_line(const char *text, size_t most)
{
    size_t length = strnlen(text, most + 1);

    if (length == 0 || length > most)
        return false;
    while (*text != '\0') {
        uint32_t character;
        size_t bytes = utf8_decode(text, &character);

        if (bytes > 0 && utf8_is_control(character))
            return false;
        text += bytes > 0 ? bytes : 1;
    }
    return true;
}

/* Absolute, without "//", "." and "..", and not a directory's by its form. */
static bool is_path(const char *path)
{
    if (!is_one_line(path, PLAN_PATH_MAX) || path[0] != '/')
        return false;
    for (const char *at = path; *at != '\0';) {
        size_t length = strcspn(++at, "/");

        if (length == 0 || (length <= 2 && strspn(at, ".") >= length))
            return false;
        at += length;
    }
    return true;
}

static bool is_format(const char *format)
{
    size_t length = strnlen(format, PLAN_FORMAT_MAX + 1);

    return length > 0 && length <= PLAN_FORMAT_MAX &&
           strspn(format, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

/* ---- what stands before the extents ---- */

int plan_check_head(const struct transfer_plan *plan, struct error *err)
{
    uint32_t size = plan->block_size;

    if (plan->vm_name == NULL || !is_one_line(plan->vm_name, PLAN_NAME_MAX))
        return error_set(err, -EINVAL, "the VM has no name, or one that is no line of text");
    if (plan->kind != DIGEST_MD5 && plan->kind != DIGEST_SHA256 &&
        plan->kind != DIGEST_KEYED_SHA256)
        return error_set(err, -EINVAL, "there is no digest %d", (int)plan->kind);
    if (size < DIGEST_BLOCK_MIN || size > DIGEST_BLOCK_MAX || (size & (size - 1)) != 0)
        return error_set(err, -EINVAL, "there are no blocks of %" PRIu32 " bytes", size);
    if (plan->image_count > TRANSFER_PLAN_MAX_IMAGES)
        return error_set(err, -EFBIG, "%zu images are too many", plan->image_count);
    if (plan->donor_count > TRANSFER_PLAN_MAX_DONORS)
        return error_set(err, -EFBIG, "%zu donors are too many", plan->donor_count);
    if (plan->part_count > TRANSFER_PLAN_MAX_PARTS)
        return error_set(err, -EFBIG, "%zu parts are too many", plan->part_count);
    return 0;
}

static int check_donors(const struct transfer_plan *plan, struct error *err)
{
    for (size_t i = 0; i < plan->donor_count; i++) {
        const char *id = plan->donors[i].id;

        if (strnlen(id, sizeof(plan->donors[i].id)) != sizeof(plan->donors[i].id) - 1 ||
            strspn(id, "0123456789abcdef") != sizeof(plan->donors[i].id) - 1)
            return error_set(err, -EINVAL, "donor %zu has no id of 32 hexadecimal digits", i);
    }
    return 0;
}

static int check_parts(const struct transfer_plan *plan, struct error *err)
{
    for (size_t i = 0; i < plan->part_count; i++) {
        const struct transfer_part *part = &plan->parts[i];

        if (part->length == 0 || part->length >= PLAN_PLACE_MAX || part->raw_length == 0 ||
            part->raw_length >= PLAN_PLACE_MAX)
            return error_set(err, -EINVAL, "part %zu has %" PRIu64 " bytes that make %" PRIu64, i,
                             part->length, part->raw_length);
    }
    return 0;
}

/* A backing image is one that is built before. */
static int check_backing(const struct transfer_plan *plan, size_t number, struct error *err)
{
    const struct transfer_image *image = &plan->images[number];

    if (image->backing == NULL && image->backing_format == NULL)
        return 0;
    if (image->backing == NULL || image->backing_format == NULL)
        return error_set(err, -EINVAL, "%s: a backing image without its format, or the reverse",
                         image->path);
    if (strcmp(image->format, "raw") == 0)
        return error_set(err, -EINVAL, "%s: a raw image has no backing image", image->path);
    for (size_t i = 0; i < number; i++) {
        if (strcmp(plan->images[i].path, image->backing) != 0)
            continue;
        if (strcmp(plan->images[i].format, image->backing_format) == 0)
            return 0;
        return error_set(err, -EINVAL, "%s: the format of its backing image is another",
                         image->path);
    }
    return error_set(err, -EINVAL, "%s: its backing image is none of those before it", image->path);
}

static int check_image(const struct transfer_plan *plan, size_t number, struct error *err)
{
    const struct transfer_image *image = &plan->images[number];

    if (image->path == NULL || !is_path(image->path))
        return error_set(err, -EINVAL, "image %zu has no absolute path without . and ..", number);
    for (size_t i = 0; i < number; i++) {
        if (strcmp(plan->images[i].path, image->path) == 0)
            return error_set(err, -EINVAL, "%s: two images have this path", image->path);
    }
    if (image->format == NULL || !is_format(image->format))
        return error_set(err, -EINVAL, "%s: has no format", image->path);
    if (image->settings != NULL && !is_one_line(image->settings, PLAN_SETTINGS_MAX))
        return error_set(err, -EINVAL, "%s: its settings are no line of text", image->path);
    if (image->virtual_size >= PLAN_PLACE_MAX)
        return error_set(err, -EINVAL, "%s: there are no images of %" PRIu64 " bytes", image->path,
                         image->virtual_size);
    return check_backing(plan, number, err);
}

/* ---- extents ---- */

/* What is wrong with where it comes from; NULL: nothing. */
static const char *wrong_source(const struct transfer_plan *plan, size_t number,
                                const struct transfer_extent *extent)
{
    uint64_t end;

    if ((unsigned)extent->kind > TRANSFER_SENT)
        return "is of no kind";
    if (extent->hash != 0 && extent->kind != TRANSFER_COPY)
        return "has a hash, but is not copied";
    if (extent->from >= PLAN_PLACE_MAX)
        return "comes from behind any end";
    end = extent->from + extent->length;
    switch (extent->kind) {
    case TRANSFER_ZERO:
        return extent->source != 0 || extent->from != 0 ? "is zeroes, but has a source" : NULL;
    case TRANSFER_COPY:
        if (extent->source >= plan->donor_count)
            return "has no donor";
        if (extent->length > TRANSFER_COPY_MAX)
            return "is too long to be copied";
        return extent->hash >= plan->hash_count ? "has no hash" : NULL;
    case TRANSFER_REPLICATE:
        if (extent->source > number)
            return "comes from an image that is not built yet";
        if (end >
            (extent->source == number ? extent->offset : plan->images[extent->source].virtual_size))
            return "comes from what is not built yet, or from behind the end of an image";
        return NULL;
    case TRANSFER_SENT:
        if (extent->source >= plan->part_count)
            return "has no part";
        return end > plan->parts[extent->source].raw_length ? "ends behind its part" : NULL;
    }
    return "is of no kind";
}

static const char *wrong_place(const struct transfer_image *image,
                               const struct transfer_extent *extent, uint64_t end_before)
{
    if (extent->length == 0)
        return "is empty";
    if (extent->offset < end_before)
        return "begins before the end of the one before it";
    if (extent->offset >= image->virtual_size ||
        extent->length > image->virtual_size - extent->offset)
        return "ends behind the image";
    if (extent->offset / TRANSFER_PIECE_BYTES !=
        (extent->offset + extent->length - 1) / TRANSFER_PIECE_BYTES)
        return "reaches over the end of a piece";
    return NULL;
}

static int check_extents(const struct transfer_plan *plan, size_t number, struct error *err)
{
    const struct transfer_image *image = &plan->images[number];
    uint64_t end = 0;

    for (size_t i = 0; i < image->extent_count; i++) {
        const struct transfer_extent *extent = &image->extents[i];
        const char *wrong = wrong_place(image, extent, end);

        if (wrong == NULL)
            wrong = wrong_source(plan, number, extent);
        if (wrong != NULL)
            return error_set(err, -EINVAL, "%s: extent %zu, at byte %" PRIu64 ", %s", image->path,
                             i, extent->offset, wrong);
        end = extent->offset + extent->length;
    }
    return 0;
}

int plan_check(const struct transfer_plan *plan, struct error *err)
{
    uint64_t extents = 0;
    int rc = plan_check_head(plan, err);

    if (rc == 0)
        rc = check_donors(plan, err);
    if (rc == 0)
        rc = check_parts(plan, err);
    for (size_t i = 0; i < plan->image_count && rc == 0; i++) {
        extents += plan->images[i].extent_count;
        if (extents > TRANSFER_PLAN_MAX_EXTENTS)
            return error_set(err, -EFBIG, "more than %" PRIu64 " extents",
                             TRANSFER_PLAN_MAX_EXTENTS);
        rc = check_image(plan, i, err);
        if (rc == 0)
            rc = check_extents(plan, i, err);
    }
    return rc;
}
