/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `setmov choose VM`: an estimate of what would cross the line to a host whose
 * images are known exactly (transfer.h says how it is made up). A sample of the
 * blocks that are missing there is read from the VM's disks and compressed.
 */
#include "choose_vm.h"
#include "setmov/transfer.h"

#include <errno.h>

#define READ_BYTES ((size_t)1 << 20)

struct wire {
    const struct choose_vm *vm;
    struct transfer_missing *missing; /* a disk each */
    struct transfer_estimator *estimator;
    uint64_t total_bytes; /* of blocks that are missing, of all disks */
    uint64_t limit_bytes; /* so many of them are compressed */
    uint8_t *buffer;
};

static void wire_release(struct wire *wire)
{
    for (size_t d = 0; wire->missing != NULL && d < wire->vm->disk_count; d++)
        transfer_missing_release(&wire->missing[d]);
    free(wire->missing);
    transfer_estimator_free(wire->estimator);
    free(wire->buffer);
}

/* Neighbouring blocks, as one piece; what lies behind the image's end is zeroes. */
static int feed(struct wire *wire, struct image *image, uint64_t offset, size_t length,
                struct error *err)
{
    uint64_t size = image_size(image);
    size_t there = offset >= size ? 0 : size - offset < length ? (size_t)(size - offset) : length;
    int rc = there > 0 ? image_read(image, offset, there, wire->buffer, err) : 0;

    if (rc < 0)
        return rc;
    memset(wire->buffer + there, 0, length - there);
    return transfer_estimator_add(wire->estimator, wire->buffer, length, err);
}

static int feed_run(struct wire *wire, struct image *image, const uint64_t *blocks, uint64_t count,
                    uint32_t block_size, struct error *err)
{
    int rc = 0;

    for (uint64_t i = 0, length; i < count && rc == 0; i += length) {
        for (length = 1; i + length < count && blocks[i + length] == blocks[i] + length &&
                         (length + 1) * block_size <= READ_BYTES;)
            length++;
        rc = feed(wire, image, blocks[i] * block_size, (size_t)(length * block_size), err);
        if (rc == 0 && blocks_stopped(NULL))
            rc = -ECANCELED;
    }
    return rc;
}

/* A share of the sample that is the disk's share of what is missing. */
static int feed_disk(struct wire *wire, size_t d, struct error *err)
{
    const struct choose_vm_disk *disk = &wire->vm->disks[d];
    const struct transfer_missing *missing = &wire->missing[d];
    uint32_t block_size = disk->fingerprint->view.block_size;
    struct image_options options = choose_vm_image_options(wire->vm, disk);
    double share = (double)missing->count * block_size / (double)wire->total_bytes;
    struct transfer_sample sample = transfer_sample_of(
        missing->count, block_size, (uint64_t)(share * (double)wire->limit_bytes) + block_size);
    struct image *image = NULL;
    int rc;

    if (missing->count == 0)
        return 0;
    rc = image_open(disk->path, &options, &image, err);
    for (uint64_t i = 0; i < sample.runs && rc == 0; i++)
        rc = feed_run(wire, image, &missing->blocks[transfer_sample_start(&sample, i)],
                      sample.run_blocks, block_size, err);
    image_close(image);
    return rc;
}

static int prepare(struct wire *wire, const struct choose_vm_host *host,
                   const struct fingerprint_view *const *views, size_t count, struct error *err)
{
    const struct choose_vm *vm = wire->vm;
    int level = transfer_level(vm->config->migrate.level, host->config->bandwidth_bits_per_s);
    int rc = 0;

    wire->missing = calloc(vm->disk_count + 1, sizeof(*wire->missing));
    wire->buffer = malloc(READ_BYTES);
    wire->limit_bytes = transfer_sample_limit(level);
    if (wire->missing == NULL || wire->buffer == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t d = 0; d < vm->disk_count && rc == 0; d++) {
        const struct fingerprint_view *view = &vm->disks[d].fingerprint->view;

        rc = transfer_missing_find(view, views, count, &wire->missing[d], err);
        wire->total_bytes += wire->missing[d].count * view->block_size;
    }
    return rc == 0 ? transfer_estimator_new(level, &wire->estimator, err) : rc;
}

int choose_vm_wire(const struct choose_vm *vm, struct choose_vm_host *host,
                   const struct fingerprint_view *const *views, size_t count, struct error *err)
{
    CLEANUP(wire_release) struct wire wire = {.vm = vm};
    uint64_t bytes = 0;
    int rc;

    for (size_t d = 0; d < vm->disk_count; d++) {
        if (vm->disks[d].is_fingerprint) /* there is nothing to compress */
            return 0;
    }
    rc = prepare(&wire, host, views, count, err);
    for (size_t d = 0; d < vm->disk_count && rc == 0; d++)
        rc = feed_disk(&wire, d, err);
    if (rc == 0)
        rc = transfer_estimator_finish(wire.estimator, wire.total_bytes, &bytes, err);
    if (rc < 0)
        return rc;
    for (size_t d = 0; d < vm->disk_count; d++)
        bytes += transfer_plan_bytes(&wire.missing[d]);
    host->wire_bytes = bytes + host->catalog_bytes;
    return 0;
}
