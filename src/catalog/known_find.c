/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs in the file of known hosts, by UUID or by name. What is followed is
 * checked as it is followed: where a VM's disks begin and end, its host, and
 * that each host comes once, in order, so that no file has more answers than
 * hosts, or gives disks to one VM that are another's as well.
 */

#include "catalog/known.h"

#include <errno.h>

struct found {
    const struct catalog_known *known;
    struct catalog_known_vm *vms;
    size_t count, capacity;
    struct error *err;
};

static int damaged(const struct catalog_known *known, struct error *err, const char *what)
{
    return error_set(err, -EINVAL, "%s is damaged: %s", known->what, what);
}

static const uint8_t *vm_at(const struct catalog_known *known, size_t i)
{
    return known->vms + i * KNOWN_VM_BYTES;
}

static const char *string_at(const struct catalog_known *known, const uint8_t *field)
{
    uint32_t at = get_u32(field);

    return at < known->strings_length ? (const char *)known->strings + at : NULL;
}

/* ---- one VM ---------------------------------------------------------------------- */

static void read_image(const uint8_t *bytes, char ret_image[CATALOG_IMAGE_ID_BYTES])
{
    static const uint8_t none[KNOWN_IMAGE_BYTES];

    ret_image[0] = '\0';
    if (memcmp(bytes, none, sizeof(none)) == 0)
        return;
    for (size_t i = 0; i < KNOWN_IMAGE_BYTES; i++) {
        ret_image[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        ret_image[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    ret_image[CATALOG_IMAGE_ID_BYTES - 1] = '\0';
}

static int read_disks(const struct catalog_known *known, size_t first, size_t count,
                      struct catalog_known_disk **ret_disks, struct error *err)
{
    CLEANUP(cleanup_free) struct catalog_known_disk *disks = calloc(count + 1, sizeof(*disks));

    if (disks == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const uint8_t *line = known->disks + (first + i) * KNOWN_DISK_BYTES;

        disks[i].target = string_at(known, line + KNOWN_DISK_TARGET);
        disks[i].path = string_at(known, line + KNOWN_DISK_PATH);
        disks[i].capacity_bytes = get_u64(line + KNOWN_DISK_CAPACITY);
        read_image(line + KNOWN_DISK_IMAGE, disks[i].image);
        if (disks[i].target == NULL || disks[i].path == NULL)
            return damaged(known, err, "a disk");
    }
    *ret_disks = disks;
    disks = NULL;
    return 0;
}

/* Where the disks of the i-th VM lie: they begin where those of the one before end. */
static bool disks_of(const struct catalog_known *known, size_t i, size_t *ret_first,
                     size_t *ret_count)
{
    size_t first = i > 0 ? get_u32(vm_at(known, i - 1) + KNOWN_VM_DISKS_END) : 0;
    size_t end = get_u32(vm_at(known, i) + KNOWN_VM_DISKS_END);

    *ret_first = first;
    *ret_count = end - first;
    return first <= end && end <= known->disk_count && end - first <= CATALOG_MANIFEST_MAX_DISKS;
}

static int add(struct found *found, size_t i)
{
    const struct catalog_known *known = found->known;
    const uint8_t *line = vm_at(known, i);
    struct catalog_known_vm *vm;
    size_t first, count;
    int rc;

    if (array_reserve(&found->vms, &found->capacity, found->count + 1, sizeof(*found->vms)) < 0)
        return error_set(found->err, -ENOMEM, "out of memory");
    vm = &found->vms[found->count];
    *vm = (struct catalog_known_vm){
        .name = string_at(known, line + KNOWN_VM_NAME),
        .host = get_u16(line + KNOWN_VM_HOST),
        .active = (get_u16(line + KNOWN_VM_FLAGS) & KNOWN_VM_IS_ACTIVE) != 0,
        .memory_bytes = get_u64(line + KNOWN_VM_MEMORY),
        .vcpus = get_u32(line + KNOWN_VM_VCPUS),
    };
    memcpy(vm->uuid.bytes, line + KNOWN_VM_UUID, UUID_BYTES);
    if (vm->name == NULL || vm->host >= known->host_count ||
        (get_u16(line + KNOWN_VM_FLAGS) & ~(unsigned)KNOWN_VM_IS_ACTIVE) != 0)
        return damaged(known, found->err, "a VM");
    if (!disks_of(known, i, &first, &count))
        return damaged(known, found->err, "the disks of a VM");
    rc = read_disks(known, first, count, &vm->disks, found->err);
    if (rc < 0)
        return rc;
    vm->disk_count = count;
    found->count++;
    return 0;
}

/* ---- finding ------------------------------------------------------------------------ */

static int by_uuid(const uint8_t *line, const struct uuid *uuid)
{
    return memcmp(line + KNOWN_VM_UUID, uuid->bytes, UUID_BYTES);
}

/* The first VM whose UUID is not less. */
static size_t lower_bound(const struct catalog_known *known, const struct uuid *uuid)
{
    size_t first = 0, end = known->vm_count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;

        if (by_uuid(vm_at(known, middle), uuid) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static int add_uuid(struct found *found, const struct uuid *uuid)
{
    const struct catalog_known *known = found->known;
    int rc = 0;

    for (size_t i = lower_bound(known, uuid);
         rc == 0 && i < known->vm_count && by_uuid(vm_at(known, i), uuid) == 0; i++) {
        rc = add(found, i);
        if (rc == 0 && found->count > 1 &&
            found->vms[found->count - 2].host >= found->vms[found->count - 1].host)
            rc = damaged(known, found->err, "the order of VMs");
    }
    return rc;
}

static int add_name(struct found *found, const char *name)
{
    const struct catalog_known *known = found->known;
    size_t room = strlen(name) + 1, first, count;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < known->vm_count; i++) {
        const uint8_t *line = vm_at(known, i);
        uint32_t at = get_u32(line + KNOWN_VM_NAME);

        if (!disks_of(known, i, &first, &count))
            rc = damaged(known, found->err, "the disks of a VM");
        else if (at < known->strings_length && room <= known->strings_length - at &&
                 memcmp(known->strings + at, name, room) == 0)
            rc = add(found, i);
    }
    return rc;
}

/* ---- the answer ----------------------------------------------------------------------- */

static int by_use(const void *left, const void *right, void *context)
{
    const struct catalog_known *known = context;
    const struct catalog_known_vm *a = left, *b = right;
    int64_t made_a = known->hosts[a->host].made_s, made_b = known->hosts[b->host].made_s;

    if (a->active != b->active)
        return a->active ? -1 : 1;
    if (made_a != made_b)
        return made_a > made_b ? -1 : 1;
    if (a->host != b->host)
        return a->host < b->host ? -1 : 1;
    return memcmp(a->uuid.bytes, b->uuid.bytes, UUID_BYTES);
}

static int finish(struct found *found, int rc, struct catalog_known_vm **ret_vms, size_t *ret_count)
{
    const struct catalog_known *known = found->known;

    if (known->is_lost != NULL && known->is_lost(known->guard))
        rc = error_set(found->err, -EIO, "%s was cut short while it was read", known->what);
    if (rc < 0) {
        catalog_known_vms_free(found->vms, found->count);
        return rc;
    }
    if (found->count > 1)
        qsort_r(found->vms, found->count, sizeof(*found->vms), by_use, (void *)known);
    *ret_vms = found->vms;
    *ret_count = found->count;
    return 0;
}

int catalog_known_find(const struct catalog_known *known, const struct uuid *uuid,
                       struct catalog_known_vm **ret_vms, size_t *ret_count, struct error *err)
{
    struct found found = {.known = known, .err = err};

    return finish(&found, add_uuid(&found, uuid), ret_vms, ret_count);
}

int catalog_known_find_text(const struct catalog_known *known, const char *name_or_uuid,
                            struct catalog_known_vm **ret_vms, size_t *ret_count, struct error *err)
{
    struct found found = {.known = known, .err = err};
    struct uuid uuid;
    int rc = 0;

    if (uuid_parse(name_or_uuid, &uuid) == 0)
        rc = add_uuid(&found, &uuid);
    if (rc == 0 && found.count == 0)
        rc = add_name(&found, name_or_uuid);
    return finish(&found, rc, ret_vms, ret_count);
}

void catalog_known_vms_free(struct catalog_known_vm *vms, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(vms[i].disks);
    free(vms);
}
