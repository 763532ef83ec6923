/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of a manifest, in the order that its readers want. */

#include "catalog/manifest.h"
#include "setmov/catalog_lines.h"

#include <errno.h>

static int by_name(const void *left, const void *right)
{
    const struct catalog_manifest_fingerprint *const *a = left, *const *b = right;

    return strcmp((*a)->name, (*b)->name);
}

static int by_uuid(const void *left, const void *right)
{
    const struct catalog_manifest_vm *const *a = left, *const *b = right;

    return memcmp((*a)->uuid.bytes, (*b)->uuid.bytes, UUID_BYTES);
}

/* Pointers to all items, in order; the caller frees. NULL: no memory. */
static const void **sorted(const void *items, size_t count, size_t item_size,
                           int (*compare)(const void *, const void *))
{
    const void **list = calloc(count + 1, sizeof(*list));

    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        list[i] = (const uint8_t *)items + i * item_size;
    qsort(list, count, sizeof(*list), compare);
    return list;
}

static void write_fingerprints(struct lines_writer *writer, const struct catalog_manifest *manifest)
{
    CLEANUP(cleanup_free)
    const void **list = sorted(manifest->fingerprints, manifest->fingerprint_count,
                               sizeof(*manifest->fingerprints), by_name);

    if (list == NULL) {
        lines_write_fail(writer, -ENOMEM, "out of memory");
        return;
    }
    if (manifest->fingerprint_count > CATALOG_MANIFEST_MAX_FINGERPRINTS)
        lines_write_fail(writer, -EINVAL, "%zu fingerprints; a manifest has at most %d",
                         manifest->fingerprint_count, CATALOG_MANIFEST_MAX_FINGERPRINTS);
    for (size_t i = 0; writer->rc == 0 && i < manifest->fingerprint_count; i++) {
        const struct catalog_manifest_fingerprint *fingerprint = list[i];

        if (!manifest_is_fingerprint_name(fingerprint->name))
            lines_write_fail(writer, -EINVAL, "'%.100s' cannot be the name of a fingerprint",
                             fingerprint->name);
        if (i > 0 && by_name(&list[i - 1], &list[i]) == 0)
            lines_write_fail(writer, -EINVAL, "fingerprint '%.100s' is there twice",
                             fingerprint->name);
        if (fingerprint->length == UNKNOWN_U64)
            lines_write_fail(writer, -EINVAL, "fingerprint '%.100s' has no length",
                             fingerprint->name);
        lines_write_key(writer, "fingerprint");
        lines_write_string(writer, "the fingerprint's name", fingerprint->name, LINES_NAME_MAX);
        lines_write_u64(writer, fingerprint->length);
        lines_write_checksum(writer, fingerprint->checksum);
    }
}

static void write_disk(struct lines_writer *writer, const struct catalog_manifest_disk *disk)
{
    bool has_image = disk->image[0] != '\0';

    if (has_image && !manifest_is_image(disk->image))
        lines_write_fail(writer, -EINVAL, "the disk's image is not %d hexadecimal digits",
                         CATALOG_IMAGE_ID_BYTES - 1);
    lines_write_key(writer, "disk");
    lines_write_string(writer, "the disk's target", disk->target, LINES_NAME_MAX);
    lines_write_string(writer, "the disk's path", disk->path, LINES_PATH_MAX);
    lines_write_word(writer, has_image ? disk->image : "-");
    lines_write_u64(writer, disk->capacity_bytes);
}

static void write_vm(struct lines_writer *writer, const struct catalog_manifest_vm *vm)
{
    bool was_good = writer->rc == 0;

    if (vm->disk_count > CATALOG_MANIFEST_MAX_DISKS)
        lines_write_fail(writer, -EINVAL, "%zu disks; a manifest takes at most %d of one VM",
                         vm->disk_count, CATALOG_MANIFEST_MAX_DISKS);
    lines_write_key(writer, "vm");
    lines_write_uuid(writer, &vm->uuid);
    lines_write_string(writer, "the VM's name", vm->name, LINES_NAME_MAX);
    lines_write_word(writer, vm->active ? "active" : "inactive");
    lines_write_u64(writer, vm->memory_bytes);
    lines_write_u64(writer, vm->vcpus);
    for (size_t i = 0; writer->rc == 0 && i < vm->disk_count; i++)
        write_disk(writer, &vm->disks[i]);
    if (was_good && writer->rc < 0)
        error_prefix(writer->err, writer->rc, "VM '%.100s'", vm->name != NULL ? vm->name : "");
}

static void write_vms(struct lines_writer *writer, const struct catalog_manifest *manifest)
{
    CLEANUP(cleanup_free)
    const void **list = sorted(manifest->vms, manifest->vm_count, sizeof(*manifest->vms), by_uuid);
    size_t disks = 0;

    if (list == NULL) {
        lines_write_fail(writer, -ENOMEM, "out of memory");
        return;
    }
    if (manifest->vm_count > CATALOG_MANIFEST_MAX_VMS)
        lines_write_fail(writer, -EINVAL, "%zu VMs; a manifest has at most %d", manifest->vm_count,
                         CATALOG_MANIFEST_MAX_VMS);
    for (size_t i = 0; writer->rc == 0 && i < manifest->vm_count; i++) {
        const struct catalog_manifest_vm *vm = list[i];

        if (i > 0 && by_uuid(&list[i - 1], &list[i]) == 0)
            lines_write_fail(writer, -EINVAL, "two VMs, one of them '%.100s', have the same UUID",
                             vm->name);
        write_vm(writer, vm);
        disks += vm->disk_count;
        if (disks > CATALOG_MANIFEST_MAX_ALL_DISKS)
            lines_write_fail(writer, -EINVAL, "more disks than the %d that a manifest takes",
                             CATALOG_MANIFEST_MAX_ALL_DISKS);
    }
}

int catalog_manifest_encode(const struct catalog_manifest *manifest, char **ret_text,
                            size_t *ret_length, struct error *err)
{
    struct lines_writer writer;

    lines_write_head(&writer, MANIFEST_NOUN, MANIFEST_VERSION, err);
    lines_write_key(&writer, "host");
    lines_write_host(&writer, "the host", manifest->host);
    lines_write_key(&writer, "made");
    lines_write_time(&writer, "when it was made", manifest->made_s);
    write_fingerprints(&writer, manifest);
    write_vms(&writer, manifest);
    return lines_write_end(&writer, CATALOG_MANIFEST_MAX_BYTES, ret_text, ret_length);
}
