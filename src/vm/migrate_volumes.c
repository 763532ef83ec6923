/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a migration has in the pools of a host: lists it, and removes it. */
#include "vm/files_xml.h"
#include "vm/migrate_inside.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <limits.h>
#include <time.h>

/* So long it is tried to see a pool anew to which somebody writes. */
#define BUSY_S 10.0

void vm_volumes_release(struct vm_volumes *volumes)
{
    if (!volumes)
        return;
    for (size_t i = 0; i < volumes->count; i++)
        free(volumes->volumes[i].name);
    free(volumes->volumes);
    *volumes = (struct vm_volumes){NULL, 0, 0};
}

/*
 * What came and went behind libvirt's back it sees only so. It refuses while somebody else
 * writes a volume of the pool, and that may last; all that was made by libvirt it knows anyway.
 */
static int refresh(virStoragePoolPtr pool)
{
    double begun_s = clock_monotonic_s();

    while (virStoragePoolRefresh(pool, 0) < 0) {
        if (virGetLastErrorCode() != VIR_ERR_INTERNAL_ERROR ||
            virConnectIsAlive(virStoragePoolGetConnect(pool)) != 1)
            return -1;
        if (clock_monotonic_s() - begun_s > BUSY_S)
            return 0;
        nanosleep(&(struct timespec){0, 50000000}, NULL);
    }
    return 0;
}

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

static int find_pool(struct vm_peer *peer, const char *name, virStoragePoolPtr *ret_pool,
                     struct error *err)
{
    *ret_pool = virStoragePoolLookupByName(peer->connection, name);
    if (!*ret_pool)
        return peer_error(err, "pool \"%s\"", name);
    return refresh(*ret_pool) < 0 ? peer_error(err, "refreshing pool \"%s\"", name) : 0;
}

/* ---- listing ------------------------------------------------------------------------------ */

/* One that goes meanwhile is none. */
static int take_volume(virStorageVolPtr volume, const char *prefix, struct vm_volumes *volumes)
{
    const char *name = virStorageVolGetName(volume);
    virStorageVolInfo info;
    struct vm_volume *into;

    if (!name || strncmp(name, prefix, strlen(prefix)) != 0)
        return 0;
    /* The capacity of what looks like an image is what that says; the physical size is the file's. */
    if (virStorageVolGetInfoFlags(volume, &info, VIR_STORAGE_VOL_GET_PHYSICAL) < 0)
        return 0;
    if (array_reserve(&volumes->volumes, &volumes->capacity, volumes->count + 1,
                      sizeof(*volumes->volumes)) < 0)
        return -ENOMEM;
    into = &volumes->volumes[volumes->count];
    *into = (struct vm_volume){.name = strdup(name), .bytes = info.allocation};
    if (!into->name)
        return -ENOMEM;
    volumes->count++;
    return 0;
}

int vm_volumes_list(struct vm_peer *peer, const char *pool_name, const char *prefix,
                    struct vm_volumes *ret_volumes, struct error *err)
{
    CLEANUP(vm_volumes_release) struct vm_volumes volumes = {NULL, 0, 0};
    CLEANUP(cleanup_pool) virStoragePoolPtr pool = NULL;
    virStorageVolPtr *found = NULL;
    int r = find_pool(peer, pool_name, &pool, err), count = 0;

    if (r == 0)
        count = virStoragePoolListAllVolumes(pool, &found, 0);
    if (count < 0)
        r = peer_error(err, "the volumes of pool \"%s\"", pool_name);
    for (int i = 0; i < count; i++) {
        if (r == 0 && take_volume(found[i], prefix, &volumes) < 0)
            r = no_memory(err);
        virStorageVolFree(found[i]);
    }
    free(found);
    if (r < 0)
        return r;
    *ret_volumes = volumes;
    volumes = (struct vm_volumes){NULL, 0, 0};
    return 0;
}

/* ---- removing ------------------------------------------------------------------------------ */

static bool is_gone(void)
{
    int code = virGetLastErrorCode();

    return code == VIR_ERR_NO_STORAGE_VOL || code == VIR_ERR_NO_STORAGE_POOL;
}

/* A file that its pool still lists though it is gone makes the removal fail, and a refresh good. */
static int remove_from(virStoragePoolPtr pool, const char *name, const char *what,
                       struct error *err)
{
    CLEANUP(cleanup_volume) virStorageVolPtr volume = virStorageVolLookupByName(pool, name);

    if (volume ? virStorageVolDelete(volume, 0) == 0 : is_gone())
        return 0;
    return peer_error(err, "removing %s", what);
}

int vm_volume_delete(struct vm_peer *peer, const char *pool_name, const char *volume_name,
                     struct error *err)
{
    CLEANUP(cleanup_pool) virStoragePoolPtr pool = NULL;
    char what[512];
    int r = find_pool(peer, pool_name, &pool, err);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    string_format(what, sizeof(what), "volume \"%s\" of pool \"%s\"", volume_name, pool_name);
    return remove_from(pool, volume_name, what, err);
}

static int check_unused(struct vm_peer *peer, const char *path, struct error *err)
{
    CLEANUP(vm_files_release) struct vm_files files = {NULL, 0, 0};
    int r = vm_files_in_use(peer, &files, err);

    if (r == 0 && files_have(&files, path))
        r = error_set(err, -EBUSY, "%.300s belongs to a VM there", path);
    return r;
}

int vm_file_delete(struct vm_peer *peer, const char *path, struct error *err)
{
    CLEANUP(cleanup_pool) virStoragePoolPtr pool = NULL;
    char directory[PATH_MAX];
    char *slash = string_copy(directory, sizeof(directory), path) ? strrchr(directory, '/') : NULL;
    int r;

    if (!slash || slash == directory || slash[1] == '\0' || path[0] != '/')
        return error_set(err, -EINVAL, "'%.300s' is no path of a file in a directory", path);
    *slash = '\0';
    pool = virStoragePoolLookupByTargetPath(peer->connection, directory);
    if (!pool)
        return is_gone() ? 0 : peer_error(err, "the pool of %.300s", directory);
    if (refresh(pool) < 0)
        return peer_error(err, "refreshing the pool of %.300s", directory);
    r = check_unused(peer, path, err);
    return r < 0 ? r : remove_from(pool, slash + 1, path, err);
}
