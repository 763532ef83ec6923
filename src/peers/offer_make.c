/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this host says of itself to its peers: a manifest of fingerprints and domains. Pure. */
#include "peers/internal.h"
#include "setmov/vm_move.h"

#include <errno.h>
#include <limits.h>

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const struct catalog_manifest_fingerprint *)left)->name,
                  ((const struct catalog_manifest_fingerprint *)right)->name);
}

static int take_fingerprints(const struct peers_cached_list *list,
                             struct catalog_manifest *manifest)
{
    manifest->fingerprints = calloc(list->count + 1, sizeof(*manifest->fingerprints));
    if (manifest->fingerprints == NULL)
        return -ENOMEM;
    manifest->fingerprint_capacity = list->count + 1;
    for (size_t i = 0; i < list->count; i++) {
        struct catalog_manifest_fingerprint *one = &manifest->fingerprints[i];

        one->name = strdup(list->items[i].name);
        if (one->name == NULL)
            return -ENOMEM;
        one->length = list->items[i].length;
        one->checksum = list->items[i].checksum;
        manifest->fingerprint_count++;
    }
    qsort(manifest->fingerprints, manifest->fingerprint_count, sizeof(*manifest->fingerprints),
          compare_names);
    return 0;
}

/* Is there a fingerprint whose name begins with that hash? The names are in order. */
static bool is_indexed(const struct catalog_manifest *manifest, const char *hash)
{
    size_t low = 0, high = manifest->fingerprint_count, length = strlen(hash);

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strncmp(manifest->fingerprints[middle].name, hash, length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < manifest->fingerprint_count &&
           strncmp(manifest->fingerprints[low].name, hash, length) == 0;
}

static int take_disk(const struct vm_domain_disk *from, const char *resolved,
                     const struct catalog_manifest *manifest, struct catalog_manifest_vm *vm)
{
    struct catalog_manifest_disk *disk = &vm->disks[vm->disk_count];
    char hash[CATALOG_HASH_BYTES];

    disk->target = strdup(from->target);
    disk->path = strdup(from->path);
    disk->capacity_bytes = from->capacity_bytes;
    vm->disk_count++;
    if (disk->target == NULL || disk->path == NULL)
        return -ENOMEM;
    if (resolved == NULL)
        return 0;
    catalog_hash(resolved, hash);
    if (is_indexed(manifest, hash))
        string_copy(disk->image, sizeof(disk->image), hash);
    return 0;
}

/* A manifest has no place for what is longer; the kernel has no use for it either. */
static bool fits(const struct vm_domain_disk *disk)
{
    return disk->target[0] != '\0' && strlen(disk->target) <= NAME_MAX && disk->path[0] != '\0' &&
           strlen(disk->path) < PATH_MAX;
}

static int take_domain(const struct vm_domain *domain, char *const *resolved,
                       struct catalog_manifest *manifest)
{
    struct catalog_manifest_vm *vm = &manifest->vms[manifest->vm_count];
    size_t count = domain->disk_count;
    int rc = 0;

    if (count > CATALOG_MANIFEST_MAX_DISKS)
        count = CATALOG_MANIFEST_MAX_DISKS;
    *vm = (struct catalog_manifest_vm){
        .uuid = domain->uuid,
        .name = strdup(domain->name),
        .active = domain->active,
        .memory_bytes = domain->memory_bytes,
        .vcpus = domain->vcpus,
        .disks = calloc(count + 1, sizeof(*vm->disks)),
        .disk_capacity = count + 1,
    };
    manifest->vm_count++;
    if (vm->name == NULL || vm->disks == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (fits(&domain->disks[i]))
            rc = take_disk(&domain->disks[i], resolved[i], manifest, vm);
    }
    return rc;
}

static int compare_vms(const void *left, const void *right)
{
    return memcmp(((const struct catalog_manifest_vm *)left)->uuid.bytes,
                  ((const struct catalog_manifest_vm *)right)->uuid.bytes, UUID_BYTES);
}

static int take_domains(const struct vm_domains *domains, char *const *resolved,
                        struct catalog_manifest *manifest)
{
    size_t count = domains->count, at = 0;
    int rc = 0;

    if (count > CATALOG_MANIFEST_MAX_VMS)
        count = CATALOG_MANIFEST_MAX_VMS;
    manifest->vms = calloc(count + 1, sizeof(*manifest->vms));
    if (manifest->vms == NULL)
        return -ENOMEM;
    manifest->vm_capacity = count + 1;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = take_domain(&domains->domains[i], resolved + at, manifest);
        at += domains->domains[i].disk_count;
    }
    if (rc == 0)
        qsort(manifest->vms, manifest->vm_count, sizeof(*manifest->vms), compare_vms);
    return rc;
}

int peers_manifest_make(const char *host, int64_t made_s, const struct peers_cached_list *list,
                        const struct vm_domains *domains, char *const *resolved,
                        struct catalog_manifest *ret_manifest)
{
    struct catalog_manifest manifest = {.host = strdup(host), .made_s = made_s};
    int rc = manifest.host != NULL ? take_fingerprints(list, &manifest) : -ENOMEM;

    if (rc == 0)
        rc = take_domains(domains, resolved, &manifest);
    if (rc < 0) {
        catalog_manifest_release(&manifest);
        return rc;
    }
    *ret_manifest = manifest;
    return 0;
}

/* ---- comparing -------------------------------------------------------------------- */

static bool same_fingerprints(const struct catalog_manifest *left,
                              const struct catalog_manifest *right)
{
    if (left->fingerprint_count != right->fingerprint_count)
        return false;
    for (size_t i = 0; i < left->fingerprint_count; i++) {
        const struct catalog_manifest_fingerprint *a = &left->fingerprints[i];
        const struct catalog_manifest_fingerprint *b = &right->fingerprints[i];

        if (strcmp(a->name, b->name) != 0 || a->length != b->length || a->checksum != b->checksum)
            return false;
    }
    return true;
}

static bool same_disks(const struct catalog_manifest_vm *left,
                       const struct catalog_manifest_vm *right)
{
    if (left->disk_count != right->disk_count)
        return false;
    for (size_t i = 0; i < left->disk_count; i++) {
        const struct catalog_manifest_disk *a = &left->disks[i], *b = &right->disks[i];

        if (strcmp(a->target, b->target) != 0 || strcmp(a->path, b->path) != 0 ||
            strcmp(a->image, b->image) != 0 || a->capacity_bytes != b->capacity_bytes)
            return false;
    }
    return true;
}

static bool same_vm(const struct catalog_manifest_vm *left, const struct catalog_manifest_vm *right)
{
    return memcmp(left->uuid.bytes, right->uuid.bytes, UUID_BYTES) == 0 &&
           strcmp(left->name, right->name) == 0 && left->active == right->active &&
           left->memory_bytes == right->memory_bytes && left->vcpus == right->vcpus &&
           same_disks(left, right);
}

bool peers_manifest_same(const struct catalog_manifest *left, const struct catalog_manifest *right)
{
    if (strcmp(left->host, right->host) != 0 || !same_fingerprints(left, right) ||
        left->vm_count != right->vm_count)
        return false;
    for (size_t i = 0; i < left->vm_count; i++) {
        if (!same_vm(&left->vms[i], &right->vms[i]))
            return false;
    }
    return true;
}
