/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `setmov choose VM`: an estimate of what would cross the line to a host whose
 * images are known exactly.
 */
#include "choose_vm.h"
#include "setmov/migrate_estimate.h"

#include <errno.h>

static void close_images(struct migrate_estimate_image *images, size_t count)
{
    for (size_t i = 0; images != NULL && i < count; i++)
        image_close(images[i].image);
    free(images);
}

static int open_images(const struct choose_vm *vm, struct migrate_estimate_image *images,
                       struct error *err)
{
    int rc = 0;

    for (size_t d = 0; d < vm->disk_count && rc == 0; d++) {
        struct image_options options = choose_vm_image_options(vm, &vm->disks[d]);

        images[d].view = &vm->disks[d].fingerprint->view;
        rc = image_open(vm->disks[d].path, &options, &images[d].image, err);
    }
    return rc;
}

/* As `setmov migrate` without options sees it. */
static uint64_t line_bandwidth(const struct choose_vm *vm, const struct choose_vm_host *host)
{
    uint64_t limit = vm->config->migrate.bandwidth_bits_per_s;
    uint64_t line = host->config->bandwidth_bits_per_s;

    return limit != 0 && (line == 0 || limit < line) ? limit : line;
}

int choose_vm_wire(const struct choose_vm *vm, struct choose_vm_host *host,
                   const struct fingerprint_view *const *views, size_t count, struct error *err)
{
    int level = transfer_level(vm->config->migrate.level, line_bandwidth(vm, host));
    struct migrate_estimate_image *images;
    struct migrate_estimate estimate;
    int rc;

    for (size_t d = 0; d < vm->disk_count; d++) {
        if (vm->disks[d].is_fingerprint) /* there is nothing to compress */
            return 0;
    }
    images = calloc(vm->disk_count + 1, sizeof(*images));
    if (images == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = open_images(vm, images, err);
    if (rc == 0)
        rc = migrate_estimate(images, vm->disk_count, views, count, level, blocks_stopped, NULL,
                              &estimate, err);
    if (rc == 0)
        host->wire_bytes = estimate.packed_bytes + estimate.plan_bytes + host->catalog_bytes;
    close_images(images, vm->disk_count);
    return rc;
}
