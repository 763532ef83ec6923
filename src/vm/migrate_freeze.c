/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Freezes the disks of a VM that runs, and thaws them again.
 *
 * Frozen, a disk has a new qcow2 layer on top, which takes what the guest writes.
 * Thawing is QEMU's active commit: what is in the overlay is copied into the layer
 * below while the guest goes on; when both are the same, the disk changes over.
 * libvirt makes the persistent definition follow both times, as far as that named
 * the same file as the live one.
 *
 * A commit that is given up has changed the layer below: for the guest all is as
 * before, since the overlay still has what was copied, but the layer is no longer
 * what it was when it was frozen.
 */
#include "vm/migrate_inside.h"
#include "vm/migrate_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <time.h>

#define POLL_NS 50000000L

/* ---- freezing ---------------------------------------------------------------------------- */

static int check_overlays(const struct vm_freeze_disk *disks, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (disks[i].overlay[0] != '/')
            return error_set(err, -EINVAL, "the overlay '%.200s' is no absolute path",
                             disks[i].overlay);
    return count > 0 ? 0 : error_set(err, -EINVAL, "no disk is to be frozen");
}

int vm_freeze(struct vm_peer *peer, const struct uuid *uuid, const struct vm_freeze_disk *disks,
              size_t count, bool quiesce, struct error *err)
{
    const unsigned flags = VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY |
                           VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
                           VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC;
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    CLEANUP(cleanup_free) char *domain_xml = NULL, *xml = NULL;
    virDomainSnapshotPtr snapshot;
    int r = check_overlays(disks, count, err);

    if (r == 0)
        r = migrate_domain(peer, uuid, &domain, err);
    if (r == 0)
        r = migrate_read_xml(domain, 0, &domain_xml, err);
    if (r == 0)
        r = migrate_snapshot_xml(text_of(domain_xml, strlen(domain_xml)), disks, count, &xml, err);
    if (r < 0)
        return r;
    /* Of a VM that is off, libvirt would make the overlay with qemu-img, and nothing would be frozen. */
    if (virDomainIsActive(domain) != 1)
        return error_set(err, -ENOTSUP, "'%.200s' is off: there is nothing to freeze",
                         virDomainGetName(domain));
    snapshot = virDomainSnapshotCreateXML(
        domain, xml, flags | (quiesce ? VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE : 0));
    if (!snapshot)
        return domain_error(err, domain, "its disks cannot be frozen");
    virDomainSnapshotFree(snapshot);
    return 0;
}

/* ---- thawing ------------------------------------------------------------------------------ */

struct thaw {
    struct vm_peer *peer;
    const struct uuid *uuid;
    const struct vm_freeze_disk *disk;
    bool (*stopped)(void *context);
    void *context;
    virDomainPtr domain;
    char *base;   /* the layer below the overlay */
    bool is_over; /* the disk does not have the overlay */
};

static int thaw_error(const struct thaw *thaw, struct error *err)
{
    char what[128];

    string_format(what, sizeof(what), "its disk '%.64s' cannot be thawed", thaw->disk->target);
    return domain_error(err, thaw->domain, what);
}

/*
 * Looks at the disk as it is now: over, or what is to be committed where. A libvirtd that
 * died between the two may have left the definition behind.
 */
static int look(struct thaw *thaw, struct error *err)
{
    CLEANUP(vm_chains_release) struct vm_chains chains = {NULL, 0, 0};
    const struct vm_freeze_disk *disk = thaw->disk;
    const struct vm_chain *chain;
    size_t at = 0;
    int r = vm_chains_read(thaw->peer, thaw->uuid, &chains, err);

    if (r < 0)
        return r;
    chain = migrate_chain_of(&chains, disk->target);
    /* Whoever unplugged it may have done so with the overlay, which then has what was written. */
    if (!chain)
        return migrate_no_disk(disk, err);
    while (at < chain->count && strcmp(chain->layers[at].path, disk->overlay) != 0)
        at++;
    thaw->is_over = at == chain->count;
    if (thaw->is_over)
        return migrate_define_disk(thaw->peer, thaw->domain, disk, chain->layers, chain->count,
                                   err);
    if (at > 0)
        return error_set(err, -EBUSY,
                         "disk '%s': a layer lies on %.300s by now; once it is merged (virsh "
                         "blockcommit --shallow --active --pivot) this works",
                         disk->target, disk->overlay);
    if (chain->count < 2)
        return error_set(err, -EIO, "disk '%s': %.300s lies on nothing", disk->target,
                         disk->overlay);
    free(thaw->base);
    thaw->base = strdup(chain->layers[1].path);
    return thaw->base ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* 1: a commit of this disk is under way; 0: nothing is. */
static int job_of(const struct thaw *thaw, virDomainBlockJobInfo *ret_info, struct error *err)
{
    int found = virDomainGetBlockJobInfo(thaw->domain, thaw->disk->target, ret_info, 0);

    if (found < 0)
        return thaw_error(thaw, err);
    if (found == 0)
        return 0;
    if (ret_info->type == VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT)
        return 1;
    return error_set(err, -EBUSY, "disk '%s': another block job is under way", thaw->disk->target);
}

static int start_commit(const struct thaw *thaw, struct error *err)
{
    virDomainBlockJobInfo info;
    int r = job_of(thaw, &info, err);

    if (r != 0)
        return r < 0 ? r : 0;
    return virDomainBlockCommit(thaw->domain, thaw->disk->target, thaw->base, thaw->disk->overlay,
                                0, VIR_DOMAIN_BLOCK_COMMIT_ACTIVE) < 0
               ? thaw_error(thaw, err)
               : 0;
}

/* Has it copied all there is? It then mirrors what comes, and waits to be told. */
static bool looks_ready(const virDomainBlockJobInfo *info)
{
    return info->end > 0 && info->cur == info->end;
}

/* 0: go on waiting. 1: it has been told to change over, which takes until it is seen. */
static int pivot(const struct thaw *thaw, struct error *err)
{
    if (virDomainBlockJobAbort(thaw->domain, thaw->disk->target,
                               VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) == 0)
        return 1;
    return virGetLastErrorCode() == VIR_ERR_BLOCK_COPY_ACTIVE ? 0 : thaw_error(thaw, err);
}

static int give_up(const struct thaw *thaw, struct error *err)
{
    if (virDomainBlockJobAbort(thaw->domain, thaw->disk->target, 0) < 0)
        return thaw_error(thaw, err);
    return error_set(err, -ECANCELED, "stopped");
}

static int wait_and_pivot(struct thaw *thaw, struct error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};

    for (;;) {
        virDomainBlockJobInfo info;
        int r = job_of(thaw, &info, err);

        if (r < 0)
            return r;
        if (r == 1 && looks_ready(&info)) {
            r = pivot(thaw, err);
            if (r != 0)
                return r < 0 ? r : 0;
        } else if (r == 0) {
            r = look(thaw, err);
            if (r < 0 || thaw->is_over)
                return r;
            return error_set(err, -EIO, "disk '%s': the commit of %.300s ended before its time",
                             thaw->disk->target, thaw->disk->overlay);
        }
        if (thaw->stopped && thaw->stopped(thaw->context))
            return give_up(thaw, err);
        nanosleep(&pause, NULL);
    }
}

static int thaw_disk(struct thaw *thaw, struct error *err)
{
    int r = migrate_domain(thaw->peer, thaw->uuid, &thaw->domain, err);

    if (r < 0)
        return r;
    if (virDomainIsActive(thaw->domain) != 1)
        return error_set(err, -ENOTSUP, "'%.200s' is off", virDomainGetName(thaw->domain));
    r = look(thaw, err);
    if (r < 0 || thaw->is_over)
        return r;
    r = start_commit(thaw, err);
    if (r == 0)
        r = wait_and_pivot(thaw, err);
    if (r < 0 || thaw->is_over)
        return r;
    r = look(thaw, err);
    if (r == 0 && !thaw->is_over)
        r = error_set(err, -EIO, "disk '%s' still has %.300s", thaw->disk->target,
                      thaw->disk->overlay);
    return r;
}

int vm_thaw(struct vm_peer *peer, const struct uuid *uuid, const struct vm_freeze_disk *disk,
            bool (*stopped)(void *context), void *context, struct error *err)
{
    struct thaw thaw = {
        .peer = peer, .uuid = uuid, .disk = disk, .stopped = stopped, .context = context};
    int r = thaw_disk(&thaw, err);

    /* Its QEMU may have gone at any moment. */
    if (r < 0 && r != -ENOTSUP && thaw.domain && virDomainIsActive(thaw.domain) == 0)
        r = error_set(err, -ENOTSUP, "'%.200s' is off", virDomainGetName(thaw.domain));
    cleanup_domain(&thaw.domain);
    free(thaw.base);
    return r;
}
