/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists every file that a domain of a host names, so that nobody removes one. */
#include "vm/domain.h"
#include "vm/files_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>

static int add_xml(const char *xml, const char *what, const char *root, struct vm_lines *paths,
                   struct error *err)
{
    return files_xml_add(text_of(xml, strlen(xml)), what, root, paths, err);
}

/* Volumes are named by pool and name; and the layers below an image not at all. */
static int add_disks(struct vm_peer *peer, const char *xml, struct vm_lines *paths,
                     struct error *err)
{
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    int r = disk_list_parse(text_of(xml, strlen(xml)), &disks, err);

    for (size_t i = 0; i < disks.count && r == 0; i++) {
        CLEANUP(vm_lines_release) struct vm_lines layers = {NULL, 0, 0};
        struct disk_facts *disk = &disks.disks[i];

        if (!disk->path && disk->pool && disk->volume) {
            r = volume_path(peer, disk->pool, disk->volume, &disk->path, err);
            if (r == -ENOENT)
                r = 0; /* no pool of that name: it names no file */
        }
        if (r < 0 || !disk->path)
            continue;
        if (lines_add_once(paths, disk->path) < 0 || volume_layers(peer, disk->path, &layers) < 0)
            r = error_set(err, -ENOMEM, "out of memory");
        for (size_t j = 0; j < layers.count && r == 0; j++)
            if (lines_add_once(paths, layers.lines[j]) < 0)
                r = error_set(err, -ENOMEM, "out of memory");
    }
    return r;
}

static int add_domain_xml(struct vm_peer *peer, virDomainPtr domain, char *xml,
                          struct vm_lines *paths, struct error *err)
{
    CLEANUP(cleanup_free) char *owned = xml;
    int r;

    if (!owned)
        return peer_error(err, "VM '%.200s' cannot be asked", virDomainGetName(domain));
    r = add_xml(owned, "domain XML", "domain", paths, err);
    if (r == 0)
        r = add_disks(peer, owned, paths, err);
    return r < 0 ? error_prefix(err, r, "VM '%.200s'", virDomainGetName(domain)) : 0;
}

static int add_snapshot(virDomainPtr domain, virDomainSnapshotPtr snapshot, struct vm_lines *paths,
                        struct error *err)
{
    CLEANUP(cleanup_free) char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);

    if (!xml)
        return peer_error(err, "a snapshot of VM '%.200s'", virDomainGetName(domain));
    return add_xml(xml, "snapshot XML", "domainsnapshot", paths, err);
}

/* Disks as they were, and the files that came after. */
static int add_snapshots(virDomainPtr domain, struct vm_lines *paths, struct error *err)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(domain, &snapshots, 0), r = 0;

    if (count < 0 && virGetLastErrorCode() == VIR_ERR_NO_SUPPORT)
        return 0;
    if (count < 0)
        return peer_error(err, "the snapshots of VM '%.200s'", virDomainGetName(domain));
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = add_snapshot(domain, snapshots[i], paths, err);
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
    return r;
}

static int add_saved(struct vm_peer *peer, virDomainPtr domain, struct vm_lines *paths,
                     struct error *err)
{
    int saved = virDomainHasManagedSaveImage(domain, 0);

    if (saved < 0 && virGetLastErrorCode() != VIR_ERR_NO_SUPPORT)
        return peer_error(err, "VM '%.200s' cannot be asked", virDomainGetName(domain));
    if (saved <= 0)
        return 0;
    return add_domain_xml(peer, domain, virDomainManagedSaveGetXMLDesc(domain, 0), paths, err);
}

static int add_domain(struct vm_peer *peer, virDomainPtr domain, struct vm_lines *paths,
                      struct error *err)
{
    int r = add_domain_xml(peer, domain, virDomainGetXMLDesc(domain, 0), paths, err);

    if (r == 0)
        r = add_domain_xml(peer, domain, virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE),
                           paths, err);
    if (r == 0)
        r = add_saved(peer, domain, paths, err);
    if (r == 0)
        r = add_snapshots(domain, paths, err);
    return r;
}

int vm_files_in_use(struct vm_peer *peer, struct vm_lines *ret_paths, struct error *err)
{
    CLEANUP(cleanup_domain_array) struct domain_array array = {NULL, 0};
    CLEANUP(vm_lines_release) struct vm_lines paths = {NULL, 0, 0};
    int r = domain_array_read(peer, &array, err);

    for (int i = 0; i < array.count && r == 0; i++)
        r = add_domain(peer, array.domains[i], &paths, err);
    if (r == -ENOMEM)
        return r;
    if (r < 0) /* what cannot be asked is in use, whatever the reason */
        return -EIO;
    *ret_paths = paths;
    paths = (struct vm_lines){NULL, 0, 0};
    return 0;
}
