/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists every file that a domain of a host names, so that nobody removes one. */
#include "vm/domain.h"
#include "vm/files_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>

static int add_xml(const char *xml, const char *what, const char *root, struct vm_files *files,
                   struct error *err)
{
    return files_xml_add(text_of(xml, strlen(xml)), what, root, files, err);
}

/* The layers below an image that its pool knows of: none of what the guest writes to as it is. */
static int add_layers(struct vm_peer *peer, const struct disk_facts *disk, struct vm_files *files)
{
    CLEANUP(vm_lines_release) struct vm_lines layers = {NULL, 0, 0};

    if (strcmp(disk->format, "raw") == 0)
        return 0;
    if (volume_layers(peer, disk->path, &layers) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < layers.count; i++)
        if (files_add(files, layers.lines[i], VM_FILE_PLAIN, NULL) < 0)
            return -ENOMEM;
    return 0;
}

/* Volumes are named by pool and name; and the layers below an image not at all. */
static int add_disks(struct vm_peer *peer, const char *xml, struct vm_files *files,
                     struct error *err)
{
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    int r = disk_list_parse(text_of(xml, strlen(xml)), &disks, err);

    for (size_t i = 0; i < disks.count && r == 0; i++) {
        struct disk_facts *disk = &disks.disks[i];

        if (!disk->path && disk->pool && disk->volume) {
            r = volume_path(peer, disk->pool, disk->volume, &disk->path, err);
            if (r == -ENOENT)
                r = 0; /* no pool of that name: it names no file */
        }
        if (r < 0 || !disk->path)
            continue;
        if (files_add(files, disk->path, VM_FILE_IMAGE, disk->format) < 0 ||
            add_layers(peer, disk, files) < 0)
            r = error_set(err, -ENOMEM, "out of memory");
    }
    return r;
}

static int add_domain_xml(struct vm_peer *peer, virDomainPtr domain, char *xml,
                          struct vm_files *files, struct error *err)
{
    CLEANUP(cleanup_free) char *owned = xml;
    int r;

    if (!owned)
        return domain_error(err, domain, "it cannot be asked");
    r = add_xml(owned, "domain XML", "domain", files, err);
    if (r == 0)
        r = add_disks(peer, owned, files, err);
    return r < 0 ? error_prefix(err, r, "VM '%.200s'", virDomainGetName(domain)) : 0;
}

static int add_snapshot(virDomainPtr domain, virDomainSnapshotPtr snapshot, struct vm_files *files,
                        struct error *err)
{
    CLEANUP(cleanup_free) char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);

    if (!xml)
        return domain_error(err, domain, "a snapshot of it");
    return add_xml(xml, "snapshot XML", "domainsnapshot", files, err);
}

/* Disks as they were, and the files that came after. */
static int add_snapshots(virDomainPtr domain, struct vm_files *files, struct error *err)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(domain, &snapshots, 0), r = 0;

    if (count < 0 && virGetLastErrorCode() == VIR_ERR_NO_SUPPORT)
        return 0;
    if (count < 0)
        return domain_error(err, domain, "its snapshots");
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = add_snapshot(domain, snapshots[i], files, err);
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
    return r;
}

static int add_saved(struct vm_peer *peer, virDomainPtr domain, struct vm_files *files,
                     struct error *err)
{
    int saved = virDomainHasManagedSaveImage(domain, 0);

    if (saved < 0 && virGetLastErrorCode() != VIR_ERR_NO_SUPPORT)
        return domain_error(err, domain, "it cannot be asked");
    if (saved <= 0)
        return 0;
    return add_domain_xml(peer, domain, virDomainManagedSaveGetXMLDesc(domain, 0), files, err);
}

static int add_domain(struct vm_peer *peer, virDomainPtr domain, struct vm_files *files,
                      struct error *err)
{
    int r = add_domain_xml(peer, domain, virDomainGetXMLDesc(domain, 0), files, err);

    if (r == 0)
        r = add_domain_xml(peer, domain, virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE),
                           files, err);
    if (r == 0)
        r = add_saved(peer, domain, files, err);
    if (r == 0)
        r = add_snapshots(domain, files, err);
    return r;
}

/* One that was listed and has gone meanwhile, as VMs that move do, names nothing any more. */
static bool has_gone(struct vm_peer *peer, virDomainPtr domain)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    virDomainPtr found;

    if (virDomainGetUUID(domain, uuid) < 0)
        return false;
    found = virDomainLookupByUUID(peer->connection, uuid);
    if (found)
        virDomainFree(found);
    return !found && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
}

int vm_files_in_use(struct vm_peer *peer, struct vm_files *ret_files, struct error *err)
{
    CLEANUP(cleanup_domain_array) struct domain_array array = {NULL, 0};
    CLEANUP(vm_files_release) struct vm_files files = {NULL, 0, 0};
    int r = domain_array_read(peer, &array, err);

    for (int i = 0; i < array.count && r == 0; i++) {
        r = add_domain(peer, array.domains[i], &files, err);
        if (r < 0 && r != -ENOMEM && has_gone(peer, array.domains[i]))
            r = 0;
    }
    if (r == -ENOMEM)
        return r;
    if (r < 0) /* what cannot be asked is in use, whatever the reason */
        return -EIO;
    *ret_files = files;
    files = (struct vm_files){NULL, 0, 0};
    return 0;
}
