/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The images of the plan, and what this host's index knows of them already. */
#include "migrate/run.h"
#include "setmov/base_bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* ---- what would be lost ------------------------------------------------------------------ */

#define QCOW2_MAGIC        0x514649fbu /* "QFI\xfb", as the file has it, big-endian */
#define QCOW2_ENCRYPTION   32
#define QCOW2_SNAPSHOTS    60
#define QCOW2_INCOMPATIBLE 72
#define QCOW2_DATA_FILE    (UINT64_C(1) << 2)
#define QCOW2_HEAD         80

static uint32_t big_u32(const uint8_t *bytes)
{
    return __builtin_bswap32(get_u32(bytes));
}

/*
 * What a new image would not have, and nobody would miss before the old one is gone:
 * libvirt knows none of it where somebody made it with other tools.
 */
static int check_whole(const char *path, const char *format, struct error *err)
{
    CLEANUP(cleanup_close) int fd = -1;
    uint8_t head[QCOW2_HEAD] = {0};
    uint32_t snapshots;

    if (strcmp(format, "qcow2") != 0)
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
        big_u32(head) != QCOW2_MAGIC)
        return error_set(err, -EINVAL, "%s: it has no header of qcow2", path);
    snapshots = big_u32(head + QCOW2_SNAPSHOTS);
    if (snapshots > 0)
        return error_set(
            err, -ENOTSUP,
            "%s has %u internal snapshot%s, which would be lost (qemu-img snapshot -l)", path,
            snapshots, snapshots == 1 ? "" : "s");
    if (big_u32(head + QCOW2_ENCRYPTION) != 0)
        return error_set(err, -ENOTSUP, "%s is encrypted", path);
    if (big_u32(head + 4) >= 3 &&
        (__builtin_bswap64(get_u64(head + QCOW2_INCOMPATIBLE)) & QCOW2_DATA_FILE) != 0)
        return error_set(err, -ENOTSUP, "%s has its data in another file (data_file)", path);
    return 0;
}

/* ---- the list ------------------------------------------------------------------------------ */

static bool is_listed(const struct migration *migration, const char *path)
{
    for (size_t i = 0; i < migration->image_count; i++) {
        if (strcmp(migration->images[i].path, path) == 0)
            return true;
    }
    return false;
}

static int add_image(struct migration *migration, const struct vm_chain *chain, size_t layer,
                     struct error *err)
{
    const struct vm_layer *from = &chain->layers[layer];
    const struct vm_layer *below = layer + 1 < chain->count ? &chain->layers[layer + 1] : NULL;
    struct migrate_image *image;

    if (array_reserve(&migration->images, &migration->image_capacity, migration->image_count + 1,
                      sizeof(*migration->images)) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    image = &migration->images[migration->image_count++];
    *image = (struct migrate_image){
        .path = strdup(from->path),
        .format = strdup(from->format),
        .backing = below != NULL ? strdup(below->path) : NULL,
        .backing_format = below != NULL ? strdup(below->format) : NULL,
        .is_shared = layer > 0,
    };
    if (image->path == NULL || image->format == NULL ||
        (below != NULL && (image->backing == NULL || image->backing_format == NULL)))
        return error_set(err, -ENOMEM, "out of memory");
    return check_whole(image->path, image->format, err);
}

/* Of two disks with one image below both it is in the plan once. */
int migration_list_images(struct migration *migration, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < migration->chains.count && rc == 0; i++) {
        const struct vm_chain *chain = &migration->chains.chains[i];

        for (size_t j = chain->count; j-- > 0 && rc == 0;) {
            if (!is_listed(migration, chain->layers[j].path))
                rc = add_image(migration, chain, j, err);
            else if (j == 0)
                rc = error_set(err, -ENOTSUP, "%s is an image of more than one disk",
                               chain->layers[j].path);
        }
    }
    return rc;
}

static void close_prints(struct migrate_image *image)
{
    for (size_t i = 0; i < ARRAY_LENGTH(image->prints); i++) {
        fingerprint_file_close(image->prints[i]);
        image->prints[i] = NULL;
    }
}

void migration_image_release(struct migrate_image *image)
{
    close_prints(image);
    image_close(image->image);
    free(image->path);
    free(image->format);
    free(image->backing);
    free(image->backing_format);
    free(image->settings);
}

/* ---- what the index knows ------------------------------------------------------------------ */

static bool counts(const struct fingerprint_identity *identity, const struct image_layer *layers,
                   size_t count, bool also_old)
{
    if (catalog_identity_holds(identity, layers, count))
        return true;
    /* Of a disk that runs none is ever true: the last one serves where only figures are wanted. */
    return also_old && identity->provisional && identity->layer_count == count &&
           strcmp(identity->layers[0].path, layers[0].path) == 0;
}

static int open_print(const struct migration *migration, const char *hash, size_t i,
                      struct fingerprint_file **ret_print)
{
    struct catalog_kind kind = migration_kind(migration, i);
    CLEANUP(cleanup_free) char *path = NULL;
    char name[CATALOG_NAME_BYTES];

    catalog_name_make(hash, &kind, name);
    if (asprintf(&path, "%s/%s", migration->config->setmov.index, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    return fingerprint_file_open(path, FINGERPRINT_PART_DIGESTS, false, ret_print, NULL);
}

/* All kinds or none: one that has to be read is read for all of them. */
static int take_image(struct migration *migration, struct migrate_image *image, bool also_old,
                      struct error *err)
{
    const struct image_options options = {.format = image->format, .follow_backing_outside = true};
    struct image_layer *layers = NULL;
    char hash[CATALOG_HASH_BYTES];
    size_t count = 0;
    bool is_whole = true;
    int rc = image_look(image->path, &options, &layers, &count, err);

    if (rc < 0)
        return rc;
    catalog_hash(layers[0].path, hash);
    for (size_t i = 0; i < migration->block_size_count && is_whole; i++) {
        is_whole = open_print(migration, hash, i, &image->prints[i]) == 0 &&
                   counts(&image->prints[i]->view.identity, layers, count, also_old);
    }
    image_layers_free(layers, count);
    if (!is_whole)
        close_prints(image);
    return 0;
}

int migration_take_indexed(struct migration *migration, bool also_old, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < migration->image_count && rc == 0; i++) {
        close_prints(&migration->images[i]);
        /* The index has what a guest sees, not what a layer holds by itself. */
        if (migration->images[i].backing == NULL)
            rc = take_image(migration, &migration->images[i], also_old, err);
    }
    return rc;
}
