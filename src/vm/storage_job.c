/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks libvirt of storage pools, their volumes, and the disks of domains. */
#include "vm/storage_job.h"

#include "vm/storage_list.h"
#include "vm/storage_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <unistd.h>

/* One line on what is wrong with one pool, volume or domain. */
static int note_error(struct storage_job *job, const char *kind, const char *name,
                      struct error *error)
{
    error_prefix(error, -EIO, "%s %s", kind, name);
    text_make_one_line(error->text);
    return storage_list_add_problem(&job->storage, error->text);
}

/* The same, as libvirt has just told it. */
static int note_problem(struct storage_job *job, const char *kind, const char *name)
{
    const virError *last = virGetLastError();
    struct error problem;

    error_set(&problem, -EIO, "%s",
              last && last->message ? last->message : "unknown libvirt error");
    return note_error(job, kind, name, &problem);
}

static bool last_error_is(int code)
{
    const virError *last = virGetLastError();

    return last && last->code == code;
}

/* ---- pools ----------------------------------------------------------------------- */

/* A pool may list volumes that were removed behind its back. */
static bool is_there(virStorageVolPtr volume)
{
    CLEANUP(cleanup_free) char *path = virStorageVolGetPath(volume);

    return path && access(path, F_OK) == 0;
}

static int take_volume(struct storage_job *job, virStorageVolPtr volume, const char *pool,
                       bool *ret_whole)
{
    CLEANUP(cleanup_free) char *xml = NULL;
    struct storage_volume found;
    struct error error = {""};

    virResetLastError();
    xml = virStorageVolGetXMLDesc(volume, 0);
    if (!xml) {
        *ret_whole = false;
        if (last_error_is(VIR_ERR_NO_STORAGE_VOL) || !is_there(volume))
            return 0;
        return note_problem(job, "volume", virStorageVolGetName(volume));
    }
    if (storage_volume_parse(text_of(xml, strlen(xml)), &found, &error) < 0) {
        *ret_whole = false;
        return note_error(job, "volume", virStorageVolGetName(volume), &error);
    }
    if (!found.is_local)
        return 0;
    return storage_list_add_disk(&job->storage, found.path, found.format, "pool", pool);
}

static int take_volumes(struct storage_job *job, virStoragePoolPtr pool, bool *ret_whole)
{
    const char *name = virStoragePoolGetName(pool);
    virStorageVolPtr *volumes = NULL;
    int count = virStoragePoolListAllVolumes(pool, &volumes, 0), r = 0;

    if (count < 0) {
        *ret_whole = false;
        return note_problem(job, "pool", name);
    }
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = take_volume(job, volumes[i], name, ret_whole);
        virStorageVolFree(volumes[i]);
    }
    free(volumes);
    return r;
}

static int take_pool(struct storage_job *job, virStoragePoolPtr pool)
{
    CLEANUP(cleanup_free) char *xml = NULL;
    struct storage_pool found;
    struct error error = {""};
    bool whole = true;
    int r;

    xml = virStoragePoolGetXMLDesc(pool, 0);
    if (!xml)
        return last_error_is(VIR_ERR_NO_STORAGE_POOL)
                   ? 0
                   : note_problem(job, "pool", virStoragePoolGetName(pool));
    if (storage_pool_parse(text_of(xml, strlen(xml)), &found, &error) < 0)
        return note_error(job, "pool", virStoragePoolGetName(pool), &error);
    if (found.is_remote)
        return 0;
    r = take_volumes(job, pool, &whole);
    if (r == 0 && whole && found.directory[0] != '\0')
        r = storage_list_add_directory(&job->storage, found.directory);
    return r;
}

static int take_pools(struct storage_job *job)
{
    virStoragePoolPtr *pools = NULL;
    int count = virConnectListAllStoragePools(job->link->connection, &pools,
                                              VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
    int r = 0;

    if (count < 0) /* not every driver has pools */
        return last_error_is(VIR_ERR_NO_SUPPORT) ? 0 : note_problem(job, "storage", "pools");
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = take_pool(job, pools[i]);
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    return r;
}

/* ---- domains ------------------------------------------------------------------------ */

/* The path of a disk that is given as a volume; NULL: libvirt's error says why. */
static char *find_volume(virConnectPtr connection, const struct storage_disk *disk)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(connection, disk->pool);
    virStorageVolPtr volume = pool ? virStorageVolLookupByName(pool, disk->volume) : NULL;
    virStorageVolInfo info;
    char *path = NULL;

    if (volume && virStorageVolGetInfo(volume, &info) == 0 &&
        (info.type == VIR_STORAGE_VOL_FILE || info.type == VIR_STORAGE_VOL_BLOCK))
        path = virStorageVolGetPath(volume);
    if (volume)
        virStorageVolFree(volume);
    if (pool)
        virStoragePoolFree(pool);
    return path;
}

static int take_disk(struct storage_job *job, const struct storage_disk *disk, const char *domain)
{
    CLEANUP(cleanup_free) char *found = NULL;

    if (disk->path[0] != '\0')
        return storage_list_add_disk(&job->storage, disk->path, disk->format, "domain", domain);
    /* What cannot be found is not active, or on no disk of this host. */
    found = find_volume(job->link->connection, disk);
    if (!found || found[0] != '/')
        return 0;
    return storage_list_add_disk(&job->storage, found, disk->format, "domain", domain);
}

static int take_domain(struct storage_job *job, virDomainPtr domain)
{
    CLEANUP(storage_disks_release) struct storage_disks disks = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *xml = NULL;
    const char *name = virDomainGetName(domain);
    struct error error = {""};
    int r = 0;

    xml = virDomainGetXMLDesc(domain, 0);
    if (!xml)
        return last_error_is(VIR_ERR_NO_DOMAIN) ? 0 : note_problem(job, "domain", name);
    if (storage_domain_parse(text_of(xml, strlen(xml)), &disks, &error) < 0)
        return note_error(job, "domain", name, &error);
    for (size_t i = 0; i < disks.count && r == 0; i++)
        r = take_disk(job, &disks.disks[i], name);
    return r;
}

static int take_domains(struct storage_job *job)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(job->link->connection, &domains, 0), r = 0;

    if (count < 0)
        return link_error(&job->error, -EIO, "domains cannot be listed");
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = take_domain(job, domains[i]);
        virDomainFree(domains[i]);
    }
    free(domains);
    return r;
}

/* ---- the job -------------------------------------------------------------------------- */

static void storage_run(struct job *base)
{
    struct storage_job *job = (struct storage_job *)base;

    job->result = take_pools(job);
    if (job->result == 0)
        job->result = take_domains(job);
    if (job->result == -ENOMEM)
        error_set(&job->error, -ENOMEM, "out of memory");
    storage_list_finish(&job->storage);
}

static void storage_free(struct job *base)
{
    struct storage_job *job = (struct storage_job *)base;

    vm_storage_release(&job->storage);
    link_unref(job->link);
    free(job);
}

struct storage_job *storage_job_new(struct link *link)
{
    struct storage_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->job.run = storage_run;
    job->job.free = storage_free;
    job->link = link_ref(link);
    return job;
}
