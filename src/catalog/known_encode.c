/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the file of known hosts: hosts by name, VMs by UUID, their disks, strings. */

#include "catalog/known.h"
#include "setmov/catalog_lines.h"
#include "setmov/config.h"

#include <errno.h>
#include <math.h>

/* A VM on its way into the file. */
struct entry {
    const struct catalog_manifest_vm *vm;
    uint32_t host;
};

struct encoder {
    const struct catalog_known_source **sources; /* by name */
    struct entry *entries;                       /* by UUID, then by host */
    size_t host_count, vm_count, disk_count;
    uint8_t *bytes;
    size_t length;
    char *strings; /* behind all else; they go to the end of `bytes` */
    size_t strings_at, strings_length;
    struct error *err;
};

/* ---- order -------------------------------------------------------------------------- */

static int by_name(const void *left, const void *right)
{
    const struct catalog_known_source *const *a = left, *const *b = right;

    return strcmp((*a)->host.name, (*b)->host.name);
}

static int by_uuid(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = memcmp(a->vm->uuid.bytes, b->vm->uuid.bytes, UUID_BYTES);

    return order != 0 ? order : (a->host > b->host) - (a->host < b->host);
}

static bool is_time(int64_t time_s)
{
    return time_s >= 0 && time_s <= LINES_TIME_MAX;
}

static int order_hosts(struct encoder *encoder, const struct catalog_known_source *sources)
{
    for (size_t i = 0; i < encoder->host_count; i++)
        encoder->sources[i] = &sources[i];
    for (size_t i = 0; i < encoder->host_count; i++) {
        const struct catalog_known_host *host = &sources[i].host;

        if (!config_is_name(host->name))
            return error_set(encoder->err, -EINVAL, "'%.100s' cannot be a host's name", host->name);
        if (!is_time(host->read_s) || !is_time(host->made_s))
            return error_set(encoder->err, -EINVAL, "host %s: no time when it was read, or made",
                             host->name);
    }
    qsort(encoder->sources, encoder->host_count, sizeof(*encoder->sources), by_name);
    for (size_t i = 1; i < encoder->host_count; i++) {
        if (by_name(&encoder->sources[i - 1], &encoder->sources[i]) == 0)
            return error_set(encoder->err, -EINVAL, "host %s is there twice",
                             encoder->sources[i]->host.name);
    }
    return 0;
}

static int order_vms(struct encoder *encoder)
{
    size_t at = 0;

    for (size_t i = 0; i < encoder->host_count; i++) {
        const struct catalog_manifest *manifest = encoder->sources[i]->manifest;

        for (size_t j = 0; manifest != NULL && j < manifest->vm_count; j++)
            encoder->entries[at++] = (struct entry){.vm = &manifest->vms[j], .host = (uint32_t)i};
    }
    qsort(encoder->entries, encoder->vm_count, sizeof(*encoder->entries), by_uuid);
    for (size_t i = 1; i < encoder->vm_count; i++) {
        if (by_uuid(&encoder->entries[i - 1], &encoder->entries[i]) == 0)
            return error_set(encoder->err, -EINVAL,
                             "two VMs of host %s, one of them '%.100s', have the same UUID",
                             encoder->sources[encoder->entries[i].host]->host.name,
                             encoder->entries[i].vm->name);
    }
    return 0;
}

/* ---- room --------------------------------------------------------------------------- */

static size_t room_for(const char *string)
{
    return string != NULL ? strlen(string) + 1 : 0;
}

static int measure_vms(struct encoder *encoder, const struct catalog_known_source *source)
{
    const struct catalog_manifest *manifest = source->manifest;

    for (size_t i = 0; i < manifest->vm_count; i++) {
        const struct catalog_manifest_vm *vm = &manifest->vms[i];

        if (vm->disk_count > CATALOG_MANIFEST_MAX_DISKS)
            return error_set(encoder->err, -EINVAL,
                             "VM '%.100s' on host %s has %zu disks; at most %d are kept", vm->name,
                             source->host.name, vm->disk_count, CATALOG_MANIFEST_MAX_DISKS);
        encoder->strings_length += room_for(vm->name);
        for (size_t j = 0; j < vm->disk_count; j++)
            encoder->strings_length += room_for(vm->disks[j].target) + room_for(vm->disks[j].path);
        encoder->disk_count += vm->disk_count;
    }
    encoder->vm_count += manifest->vm_count;
    return 0;
}

static int measure(struct encoder *encoder, const struct catalog_known_source *sources)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < encoder->host_count; i++) {
        const struct catalog_known_host *host = &sources[i].host;

        encoder->strings_length +=
            room_for(host->name) + room_for(host->directory) + room_for(host->problem);
        if (sources[i].manifest != NULL)
            rc = measure_vms(encoder, &sources[i]);
    }
    if (rc < 0)
        return rc;
    if (encoder->host_count > KNOWN_MAX_HOSTS)
        return error_set(encoder->err, -EINVAL, "%zu hosts; at most %d can be known",
                         encoder->host_count, KNOWN_MAX_HOSTS);
    if (encoder->vm_count >= UINT32_MAX || encoder->disk_count >= UINT32_MAX ||
        encoder->strings_length >= KNOWN_NO_STRING)
        return error_set(encoder->err, -EOVERFLOW,
                         "%zu VMs with %zu disks are more than can be known", encoder->vm_count,
                         encoder->disk_count);
    return 0;
}

/* ---- writing -------------------------------------------------------------------------- */

static void put_u16(uint8_t *bytes, uint16_t value)
{
    value = htole16(value);
    memcpy(bytes, &value, sizeof(value));
}

/* All of them were measured, so there is room. */
static void put_string(struct encoder *encoder, uint8_t *field, const char *string)
{
    size_t room = room_for(string);

    put_u32(field, room > 0 ? (uint32_t)encoder->strings_length : KNOWN_NO_STRING);
    if (room > 0)
        memcpy(encoder->bytes + encoder->strings_at + encoder->strings_length, string, room);
    encoder->strings_length += room;
}

static void put_host(struct encoder *encoder, uint8_t *line, const struct catalog_known_host *host)
{
    double percent =
        host->cpu_percent >= 0 && isfinite(host->cpu_percent) ? host->cpu_percent : NAN;
    uint64_t bits;

    memcpy(&bits, &percent, sizeof(bits));
    put_string(encoder, line + KNOWN_HOST_NAME, host->name);
    put_string(encoder, line + KNOWN_HOST_DIRECTORY, host->directory);
    put_string(encoder, line + KNOWN_HOST_PROBLEM, host->problem);
    put_u32(line + KNOWN_HOST_FLAGS, host->is_self ? KNOWN_HOST_IS_SELF : 0);
    put_u64(line + KNOWN_HOST_READ, (uint64_t)host->read_s);
    put_u64(line + KNOWN_HOST_MADE, (uint64_t)host->made_s);
    put_u64(line + KNOWN_HOST_CPU_PERCENT, bits);
    put_u64(line + KNOWN_HOST_CPUS, host->cpus);
    put_u64(line + KNOWN_HOST_MEMORY_FREE, host->memory_free_bytes);
    put_u64(line + KNOWN_HOST_MEMORY, host->memory_bytes);
    put_u64(line + KNOWN_HOST_POOL_FREE, host->pool_free_bytes);
}

static void put_image(uint8_t *field, const char *image)
{
    for (size_t i = 0; i < CATALOG_IMAGE_ID_BYTES - 1 && image[0] != '\0'; i++) {
        unsigned char c = (unsigned char)image[i];
        unsigned value = (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);

        field[i / 2] = (uint8_t)(field[i / 2] << 4 | (value & 15));
    }
}

static void put_disk(struct encoder *encoder, uint8_t *line,
                     const struct catalog_manifest_disk *disk)
{
    put_string(encoder, line + KNOWN_DISK_TARGET, disk->target);
    put_string(encoder, line + KNOWN_DISK_PATH, disk->path);
    put_u64(line + KNOWN_DISK_CAPACITY, disk->capacity_bytes);
    put_image(line + KNOWN_DISK_IMAGE, disk->image);
}

/* Names first, one beside the other: they are searched. */
static void put_vms(struct encoder *encoder, uint8_t *vms)
{
    uint8_t *disk_line = vms + encoder->vm_count * KNOWN_VM_BYTES;
    uint32_t disks = 0;

    for (size_t i = 0; i < encoder->vm_count; i++)
        put_string(encoder, vms + i * KNOWN_VM_BYTES + KNOWN_VM_NAME, encoder->entries[i].vm->name);
    for (size_t i = 0; i < encoder->vm_count; i++) {
        const struct catalog_manifest_vm *vm = encoder->entries[i].vm;
        uint8_t *line = vms + i * KNOWN_VM_BYTES;

        for (size_t j = 0; j < vm->disk_count; j++, disk_line += KNOWN_DISK_BYTES)
            put_disk(encoder, disk_line, &vm->disks[j]);
        disks += (uint32_t)vm->disk_count;
        memcpy(line + KNOWN_VM_UUID, vm->uuid.bytes, UUID_BYTES);
        put_u32(line + KNOWN_VM_DISKS_END, disks);
        put_u64(line + KNOWN_VM_MEMORY, vm->memory_bytes);
        put_u32(line + KNOWN_VM_VCPUS, vm->vcpus);
        put_u16(line + KNOWN_VM_HOST, (uint16_t)encoder->entries[i].host);
        put_u16(line + KNOWN_VM_FLAGS, vm->active ? KNOWN_VM_IS_ACTIVE : 0);
    }
}

static void put_all(struct encoder *encoder, int64_t made_s)
{
    uint8_t *bytes = encoder->bytes, *line = bytes + KNOWN_HEADER_BYTES;

    memcpy(bytes + KNOWN_AT_MAGIC, KNOWN_MAGIC, KNOWN_MAGIC_BYTES);
    put_u32(bytes + KNOWN_AT_VERSION, KNOWN_VERSION);
    put_u32(bytes + KNOWN_AT_HOSTS, (uint32_t)encoder->host_count);
    put_u32(bytes + KNOWN_AT_VMS, (uint32_t)encoder->vm_count);
    put_u32(bytes + KNOWN_AT_DISKS, (uint32_t)encoder->disk_count);
    put_u64(bytes + KNOWN_AT_STRINGS, encoder->strings_length);
    put_u64(bytes + KNOWN_AT_MADE, (uint64_t)made_s);
    encoder->strings_length = 0; /* counted again as they are put */
    for (size_t i = 0; i < encoder->host_count; i++, line += KNOWN_HOST_BYTES)
        put_host(encoder, line, &encoder->sources[i]->host);
    put_vms(encoder, line);
    put_u64(bytes + KNOWN_AT_CHECKSUM, known_checksum(bytes, encoder->length));
}

static int encode(struct encoder *encoder, const struct catalog_known_source *sources,
                  int64_t made_s)
{
    int rc = order_hosts(encoder, sources);

    if (rc == 0)
        rc = order_vms(encoder);
    if (rc == 0)
        put_all(encoder, made_s);
    return rc;
}

int catalog_known_encode(const struct catalog_known_source *sources, size_t count, int64_t made_s,
                         uint8_t **ret_bytes, size_t *ret_length, struct error *err)
{
    struct encoder encoder = {.host_count = count, .err = err};
    int rc;

    if (!is_time(made_s))
        return error_set(err, -EINVAL, "made at no time: %lld", (long long)made_s);
    rc = measure(&encoder, sources);
    if (rc < 0)
        return rc;
    encoder.strings_at = KNOWN_HEADER_BYTES + encoder.host_count * KNOWN_HOST_BYTES +
                         encoder.vm_count * KNOWN_VM_BYTES + encoder.disk_count * KNOWN_DISK_BYTES;
    encoder.length = encoder.strings_at + encoder.strings_length;
    encoder.sources = calloc(count + 1, sizeof(*encoder.sources));
    encoder.entries = calloc(encoder.vm_count + 1, sizeof(*encoder.entries));
    encoder.bytes = calloc(1, encoder.length);
    if (encoder.sources == NULL || encoder.entries == NULL || encoder.bytes == NULL)
        rc = error_set(err, -ENOMEM, "out of memory");
    else
        rc = encode(&encoder, sources, made_s);
    if (rc < 0) {
        free(encoder.bytes);
    } else {
        *ret_bytes = encoder.bytes;
        *ret_length = encoder.length;
    }
    free(encoder.sources);
    free(encoder.entries);
    return rc;
}
