/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manifest of an index directory, from text that a peer wrote. */

#include "catalog/manifest.h"
#include "setmov/catalog.h"
#include "setmov/catalog_lines.h"

#include <errno.h>

bool manifest_is_fingerprint_name(const char *name)
{
    size_t length = strlen(name), suffix = strlen(CATALOG_SUFFIX);

    return length > suffix && length <= MANIFEST_FINGERPRINT_NAME_MAX && name[0] != '.' &&
           strchr(name, '/') == NULL && strcmp(name + length - suffix, CATALOG_SUFFIX) == 0;
}

bool manifest_is_image(const char *image)
{
    return strspn(image, "0123456789abcdef") == CATALOG_IMAGE_ID_BYTES - 1 &&
           image[CATALOG_IMAGE_ID_BYTES - 1] == '\0';
}

/* ---- release ------------------------------------------------------------------- */

static void release_vm(struct catalog_manifest_vm *vm)
{
    for (size_t i = 0; i < vm->disk_count; i++) {
        free(vm->disks[i].target);
        free(vm->disks[i].path);
    }
    free(vm->disks);
    free(vm->name);
}

void catalog_manifest_release(struct catalog_manifest *manifest)
{
    if (manifest == NULL)
        return;
    for (size_t i = 0; i < manifest->fingerprint_count; i++)
        free(manifest->fingerprints[i].name);
    for (size_t i = 0; i < manifest->vm_count; i++)
        release_vm(&manifest->vms[i]);
    free(manifest->fingerprints);
    free(manifest->vms);
    free(manifest->host);
    *manifest = (struct catalog_manifest){0};
}

/* ---- lines --------------------------------------------------------------------- */

struct parser {
    struct lines_reader reader;
    size_t disk_count; /* of all VMs */
    struct catalog_manifest manifest;
};

/* One more item, zeroed, that the manifest owns from now on; NULL after an error. */
static void *add(struct lines_reader *reader, void *array, size_t *count, size_t *capacity,
                 size_t most, size_t item_size, const char *items)
{
    uint8_t *memory;

    if (*count >= most) {
        lines_read_fail(reader, -EINVAL, "more than %zu %s", most, items);
        return NULL;
    }
    if (array_reserve(array, capacity, *count + 1, item_size) < 0) {
        lines_read_fail(reader, -ENOMEM, "out of memory");
        return NULL;
    }
    memcpy(&memory, array, sizeof(memory));
    memory += *count * item_size;
    memset(memory, 0, item_size);
    ++*count;
    return memory;
}

static void parse_fingerprint(struct parser *parser)
{
    struct lines_reader *reader = &parser->reader;
    struct catalog_manifest *manifest = &parser->manifest;
    struct catalog_manifest_fingerprint *fingerprint =
        add(reader, &manifest->fingerprints, &manifest->fingerprint_count,
            &manifest->fingerprint_capacity, CATALOG_MANIFEST_MAX_FINGERPRINTS,
            sizeof(*fingerprint), "fingerprints");

    if (fingerprint == NULL)
        return;
    lines_read_string(reader, "the fingerprint's name", LINES_NAME_MAX, &fingerprint->name);
    lines_read_u64(reader, "the fingerprint's length", &fingerprint->length);
    lines_read_checksum(reader, "the fingerprint's checksum", &fingerprint->checksum);
    if (lines_read_line_end(reader) < 0)
        return;
    if (!manifest_is_fingerprint_name(fingerprint->name))
        lines_read_fail(reader, -EINVAL, "'%.100s' cannot be the name of a fingerprint",
                        fingerprint->name);
    else if (manifest->vm_count > 0)
        lines_read_fail(reader, -EINVAL, "a fingerprint behind the first VM");
    else if (manifest->fingerprint_count > 1 &&
             strcmp(fingerprint[-1].name, fingerprint->name) >= 0)
        lines_read_fail(reader, -EINVAL, "'%.100s' is there twice, or not in its place",
                        fingerprint->name);
}

static void parse_state(struct lines_reader *reader, bool *ret_active)
{
    struct text word = {NULL, NULL};

    lines_read_word(reader, "the VM's state", &word);
    if (reader->rc == 0 && !text_equals(word, "active") && !text_equals(word, "inactive"))
        lines_read_fail(reader, -EINVAL, "the VM's state is neither 'active' nor 'inactive'");
    else if (reader->rc == 0)
        *ret_active = text_equals(word, "active");
}

static void parse_vm(struct parser *parser)
{
    struct lines_reader *reader = &parser->reader;
    struct catalog_manifest *manifest = &parser->manifest;
    struct catalog_manifest_vm *vm =
        add(reader, &manifest->vms, &manifest->vm_count, &manifest->vm_capacity,
            CATALOG_MANIFEST_MAX_VMS, sizeof(*vm), "VMs");
    uint64_t vcpus = 0;

    if (vm == NULL)
        return;
    lines_read_uuid(reader, &vm->uuid);
    lines_read_string(reader, "the VM's name", LINES_NAME_MAX, &vm->name);
    parse_state(reader, &vm->active);
    lines_read_u64_or_unknown(reader, "the VM's memory", &vm->memory_bytes);
    lines_read_u64(reader, "the VM's number of vCPUs", &vcpus);
    if (lines_read_line_end(reader) < 0)
        return;
    vm->vcpus = (uint32_t)vcpus;
    if (vcpus > UINT32_MAX)
        lines_read_fail(reader, -EINVAL, "so many vCPUs there are not");
    else if (manifest->vm_count > 1 && memcmp(vm[-1].uuid.bytes, vm->uuid.bytes, UUID_BYTES) >= 0)
        lines_read_fail(reader, -EINVAL, "VM '%.100s' is there twice, or not in its place",
                        vm->name);
}

static void parse_image(struct lines_reader *reader, char ret_image[CATALOG_IMAGE_ID_BYTES])
{
    char image[CATALOG_IMAGE_ID_BYTES];
    struct text word = {NULL, NULL};

    lines_read_word(reader, "the disk's image", &word);
    if (reader->rc < 0 || text_equals(word, "-"))
        return;
    if (!text_copy(word, image, sizeof(image)) || !manifest_is_image(image))
        lines_read_fail(reader, -EINVAL, "the disk's image is not %d hexadecimal digits",
                        CATALOG_IMAGE_ID_BYTES - 1);
    else
        memcpy(ret_image, image, sizeof(image));
}

static void parse_disk(struct parser *parser)
{
    struct lines_reader *reader = &parser->reader;
    struct catalog_manifest *manifest = &parser->manifest;
    struct catalog_manifest_vm *vm;
    struct catalog_manifest_disk *disk;

    if (manifest->vm_count == 0) {
        lines_read_fail(reader, -EINVAL, "a disk without a VM");
        return;
    }
    if (++parser->disk_count > CATALOG_MANIFEST_MAX_ALL_DISKS) {
        lines_read_fail(reader, -EINVAL, "more than %d disks", CATALOG_MANIFEST_MAX_ALL_DISKS);
        return;
    }
    vm = &manifest->vms[manifest->vm_count - 1];
    disk = add(reader, &vm->disks, &vm->disk_count, &vm->disk_capacity, CATALOG_MANIFEST_MAX_DISKS,
               sizeof(*disk), "disks of one VM");
    if (disk == NULL)
        return;
    lines_read_string(reader, "the disk's target", LINES_NAME_MAX, &disk->target);
    lines_read_string(reader, "the disk's path", LINES_PATH_MAX, &disk->path);
    parse_image(reader, disk->image);
    lines_read_u64_or_unknown(reader, "the disk's size", &disk->capacity_bytes);
    lines_read_line_end(reader);
}

static const struct {
    const char *key;
    void (*parse)(struct parser *parser);
} lines[] = {
    {"fingerprint", parse_fingerprint},
    {"vm", parse_vm},
    {"disk", parse_disk},
};

static void parse_line(struct parser *parser, struct text key)
{
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        if (text_equals(key, lines[i].key)) {
            lines[i].parse(parser);
            return;
        }
    }
    lines_read_fail(&parser->reader, -EINVAL, "neither a fingerprint, a VM nor a disk");
}

int catalog_manifest_parse(struct text text, const char *what,
                           struct catalog_manifest *ret_manifest, struct error *err)
{
    struct parser parser = {.manifest = {0}};
    struct lines_reader *reader = &parser.reader;
    struct text key;

    if (lines_read_head(reader, text, what, MANIFEST_NOUN, MANIFEST_VERSION,
                        CATALOG_MANIFEST_MAX_BYTES, err) < 0)
        return reader->rc;
    lines_read_key(reader, "host");
    lines_read_host(reader, "the host", &parser.manifest.host);
    lines_read_line_end(reader);
    lines_read_key(reader, "made");
    lines_read_time(reader, "when it was made", &parser.manifest.made_s);
    lines_read_line_end(reader);
    while (lines_read_next(reader, &key))
        parse_line(&parser, key);
    if (reader->rc < 0)
        catalog_manifest_release(&parser.manifest);
    else
        *ret_manifest = parser.manifest;
    return reader->rc;
}

const struct catalog_manifest_fingerprint *
catalog_manifest_find(const struct catalog_manifest *manifest, const char *name)
{
    size_t first = 0, end = manifest->fingerprint_count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;
        int order = strcmp(manifest->fingerprints[middle].name, name);

        if (order == 0)
            return &manifest->fingerprints[middle];
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return NULL;
}
