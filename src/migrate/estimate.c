/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What would be sent: a sample of the missing blocks is read and compressed. */
#include "setmov/migrate_estimate.h"

#include <errno.h>

#define READ_BYTES ((size_t)1 << 20)

struct work {
    const struct migrate_estimate_image *images;
    size_t count;
    struct transfer_missing *missing; /* an image each */
    struct transfer_estimator *estimator;
    uint64_t total_bytes; /* of blocks that are missing, of all images */
    uint64_t limit_bytes; /* so many of them are compressed */
    uint8_t *buffer;
    bool (*stopped)(void *context);
    void *context;
};

static void work_release(struct work *work)
{
    for (size_t i = 0; work->missing != NULL && i < work->count; i++)
        transfer_missing_release(&work->missing[i]);
    free(work->missing);
    transfer_estimator_free(work->estimator);
    free(work->buffer);
}

/* Neighbouring blocks, as one piece; what lies behind the image's end is zeroes. */
static int feed(struct work *work, struct image *image, uint64_t offset, size_t length,
                struct error *err)
{
    uint64_t size = image_size(image);
    size_t there = offset >= size ? 0 : size - offset < length ? (size_t)(size - offset) : length;
    int rc = there > 0 ? image_read(image, offset, there, work->buffer, err) : 0;

    if (rc < 0)
        return rc;
    memset(work->buffer + there, 0, length - there);
    return transfer_estimator_add(work->estimator, work->buffer, length, err);
}

static int feed_run(struct work *work, const struct migrate_estimate_image *image,
                    const uint64_t *blocks, uint64_t count, struct error *err)
{
    uint32_t block_size = image->view->block_size;
    int rc = 0;

    for (uint64_t i = 0, length; i < count && rc == 0; i += length) {
        for (length = 1; i + length < count && blocks[i + length] == blocks[i] + length &&
                         (length + 1) * block_size <= READ_BYTES;)
            length++;
        rc = feed(work, image->image, blocks[i] * block_size, (size_t)(length * block_size), err);
        if (rc == 0 && work->stopped != NULL && work->stopped(work->context))
            rc = error_set(err, -ECANCELED, "stopped");
    }
    return rc;
}

/* A share of the sample that is the image's share of what is missing. */
static int feed_image(struct work *work, size_t i, struct error *err)
{
    const struct migrate_estimate_image *image = &work->images[i];
    const struct transfer_missing *missing = &work->missing[i];
    uint32_t block_size = image->view->block_size;
    struct transfer_sample sample;
    double share;
    int rc = 0;

    if (missing->count == 0)
        return 0;
    share = (double)missing->count * block_size / (double)work->total_bytes;
    sample = transfer_sample_of(missing->count, block_size,
                                (uint64_t)(share * (double)work->limit_bytes) + block_size);
    for (uint64_t run = 0; run < sample.runs && rc == 0; run++)
        rc = feed_run(work, image, &missing->blocks[transfer_sample_start(&sample, run)],
                      sample.run_blocks, err);
    return rc;
}

static int prepare(struct work *work, const struct fingerprint_view *const *donors,
                   size_t donor_count, int level, struct error *err)
{
    int rc = 0;

    work->missing = calloc(work->count + 1, sizeof(*work->missing));
    work->buffer = malloc(READ_BYTES);
    work->limit_bytes = transfer_sample_limit();
    if (work->missing == NULL || work->buffer == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < work->count && rc == 0; i++) {
        const struct fingerprint_view *view = work->images[i].view;

        rc = transfer_missing_find(view, donors, donor_count, &work->missing[i], err);
        work->total_bytes += work->missing[i].count * view->block_size;
    }
    if (rc < 0)
        return rc;
    return transfer_estimator_new(
        level, work->total_bytes < work->limit_bytes ? work->total_bytes : work->limit_bytes,
        &work->estimator, err);
}

int migrate_estimate(const struct migrate_estimate_image *images, size_t count,
                     const struct fingerprint_view *const *donors, size_t donor_count, int level,
                     bool (*stopped)(void *context), void *context,
                     struct migrate_estimate *ret_estimate, struct error *err)
{
    CLEANUP(work_release)
    struct work work = {.images = images, .count = count, .stopped = stopped, .context = context};
    struct migrate_estimate estimate = {0, 0};
    int rc = prepare(&work, donors, donor_count, level, err);

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = feed_image(&work, i, err);
    if (rc == 0)
        rc = transfer_estimator_finish(work.estimator, work.total_bytes, &estimate.packed_bytes,
                                       err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count; i++)
        estimate.plan_bytes += transfer_plan_bytes(&work.missing[i]);
    *ret_estimate = estimate;
    return 0;
}
