/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks libvirt what a domain is doing, and what it keeps, that is in the way of a move. */
#include "vm/move_state.h"

#include "vm/move_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <sys/vfs.h>

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* A driver that does not know of something has none of it. */
static bool is_unsupported(void)
{
    return virGetLastErrorCode() == VIR_ERR_NO_SUPPORT;
}

/* ---- snapshots, saved state --------------------------------------------------------------- */

static int check_snapshots(virDomainPtr domain, const char *handle, struct vm_move *vm,
                           struct error *err)
{
    static const struct {
        unsigned flag;
        const char *one, *many, *why;
    } kinds[] = {
        {VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL, "internal snapshot", "internal snapshots", ""},
        {VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL, "external snapshot", "external snapshots",
         " that libvirt keeps a record of"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        int count = virDomainSnapshotNum(domain, kinds[i].flag);

        if (count < 0 && !is_unsupported())
            return peer_error(err, "the snapshots of '%s' cannot be listed", vm->name);
        if (count > 0 &&
            vm_lines_add(&vm->obstacles, "it has %d %s%s (virsh snapshot-list %s)", count,
                         count == 1 ? kinds[i].one : kinds[i].many, kinds[i].why, handle) < 0)
            return no_memory(err);
    }
    return 0;
}

static int check_saved(virDomainPtr domain, const char *handle, struct vm_move *vm,
                       struct error *err)
{
    int saved = vm->active ? 0 : virDomainHasManagedSaveImage(domain, 0);

    if (saved < 0 && !is_unsupported())
        return peer_error(err, "whether '%s' is saved cannot be told", vm->name);
    if (saved > 0 && vm_lines_add(&vm->obstacles,
                                  "it is saved, and what it was doing would stay here (virsh start "
                                  "%s, or virsh managedsave-remove %s)",
                                  handle, handle) < 0)
        return no_memory(err);
    return 0;
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static const char *name_of_operation(int operation)
{
    static const struct {
        int operation;
        const char *name;
    } names[] = {
        {VIR_DOMAIN_JOB_OPERATION_START, "it is being started"},
        {VIR_DOMAIN_JOB_OPERATION_SAVE, "it is being saved"},
        {VIR_DOMAIN_JOB_OPERATION_RESTORE, "it is being restored"},
        {VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN, "it is on its way to here"},
        {VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, "it is being moved already"},
        {VIR_DOMAIN_JOB_OPERATION_SNAPSHOT, "a snapshot of it is being made"},
        {VIR_DOMAIN_JOB_OPERATION_DUMP, "its memory is being dumped"},
        {VIR_DOMAIN_JOB_OPERATION_BACKUP, "a backup of it is being made"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (names[i].operation == operation)
            return names[i].name;
    return "a job of it runs";
}

static int check_job(virDomainPtr domain, const char *handle, struct vm_move *vm, struct error *err)
{
    virTypedParameterPtr parameters = NULL;
    int type = VIR_DOMAIN_JOB_NONE, count = 0, operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

    if (!vm->active)
        return 0;
    if (virDomainGetJobStats(domain, &type, &parameters, &count, 0) < 0)
        return is_unsupported()
                   ? 0
                   : peer_error(err, "whether a job of '%s' runs cannot be told", vm->name);
    virTypedParamsGetInt(parameters, count, VIR_DOMAIN_JOB_OPERATION, &operation);
    virTypedParamsFree(parameters, count);
    if (type != VIR_DOMAIN_JOB_BOUNDED && type != VIR_DOMAIN_JOB_UNBOUNDED)
        return 0;
    if (vm_lines_add(&vm->obstacles, "%s (virsh domjobinfo %s)", name_of_operation(operation),
                     handle) < 0)
        return no_memory(err);
    vm->passing++;
    return 0;
}

/* Where libvirt cannot be asked of block jobs, the XML still shows the mirrors. */
static int check_block_jobs(virDomainPtr domain, const struct disk_list *disks, const char *handle,
                            struct vm_move *vm, struct error *err)
{
    for (size_t i = 0; i < disks->count && vm->active; i++) {
        const struct disk_facts *disk = &disks->disks[i];
        virDomainBlockJobInfo info;
        bool runs = disk->has_job;

        if (!runs && !disk->is_empty)
            runs = virDomainGetBlockJobInfo(domain, disk->target, &info, 0) == 1;
        if (!runs)
            continue;
        if (vm_lines_add(&vm->obstacles, "a block job of disk '%s' runs (virsh blockjob %s %s)",
                         disk->target, handle, disk->target) < 0)
            return no_memory(err);
        vm->passing++;
    }
    return 0;
}

int move_state_read(virDomainPtr domain, const struct disk_list *disks, struct vm_move *vm,
                    struct error *err)
{
    char uuid_text[UUID_TEXT_BYTES];
    const char *handle = move_handle(vm, uuid_text);
    int r = check_snapshots(domain, handle, vm, err);

    if (r == 0)
        r = check_saved(domain, handle, vm, err);
    if (r == 0)
        r = check_job(domain, handle, vm, err);
    if (r == 0)
        r = check_block_jobs(domain, disks, handle, vm, err);
    return r;
}

/* ---- files that are shared, or ought to be --------------------------------------------------- */

/* As libvirt decides it, which refuses a move, or makes it, by the same. */
static bool is_on_shared_file_system(const char *path)
{
    static const long shared[] = {
        0x6969 /* NFS */,      0x01161970 /* GFS2 */,   0x7461636f /* OCFS2 */,
        0x5346414f /* AFS */,  0x517b /* SMB */,        0xff534d42 /* CIFS */,
        0xfe534d42 /* SMB2 */, 0x00c36400 /* Ceph */,   0x47504653 /* GPFS */,
        0x65735546 /* FUSE */, 0x0bd00bd0 /* Lustre */,
    };
    struct statfs about;

    if (statfs(path, &about) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(shared); i++)
        if ((unsigned long)about.f_type == (unsigned long)shared[i])
            return true;
    return false;
}

/* libvirt takes a shared disk for one that the other host has too, and refuses where it cannot be. */
static int check_file(const struct disk_facts *disk, struct vm_move *vm)
{
    bool shared = is_on_shared_file_system(disk->path);

    if (shared && disk_goes_along(disk))
        return vm_lines_add(&vm->obstacles,
                            "disk '%s' lies on a file system that hosts share, so nothing of it "
                            "needs to be sent (%.300s)",
                            disk->target, disk->path);
    if (shared || !disk->shareable)
        return 0;
    return vm_lines_add(
        &vm->obstacles,
        "disk '%s' is shared with other VMs, but only this host has its file %.300s", disk->target,
        disk->path);
}

int move_state_files(struct vm_peer *peer, const struct disk_list *disks, struct vm_move *vm)
{
    int r = 0;

    if (!peer_is_local(peer))
        return 0;
    for (size_t i = 0; i < disks->count && r == 0; i++) {
        const struct disk_facts *disk = &disks->disks[i];

        if (disk->path && !disk->is_empty && strcmp(disk->type, "block") != 0)
            r = check_file(disk, vm);
    }
    return r;
}
