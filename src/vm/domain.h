/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks libvirt of single domains and their disks, for those in src/vm that do. Effects: libvirt. */
#ifndef SETMOV_VM_DOMAIN_H
#define SETMOV_VM_DOMAIN_H

#include "vm/disk_xml.h"
#include "vm/peer.h"

/* For CLEANUP(). */
void cleanup_domain(virDomainPtr *domain);

/*
 * As peer_error(): "'NAME': WHAT: libvirt's words"; `what` may be NULL. The name cannot be
 * an argument of that one: asking for it makes libvirt forget its error.
 */
int domain_error(struct error *err, virDomainPtr domain, const char *what);

/* Of a list that libvirt gave, with what is in it. */
struct domain_array {
    virDomainPtr *domains;
    int count;
};
void cleanup_domain_array(struct domain_array *array);

/* All that are active or defined. -EIO and so on. */
int domain_array_read(struct vm_peer *peer, struct domain_array *ret_array, struct error *err);

int domain_uuid(virDomainPtr domain, struct uuid *ret_uuid);

/* The path of a volume, as memory of the caller's. Its pool may not have seen it yet. */
int volume_path(struct vm_peer *peer, const char *pool, const char *volume, char **ret_path,
                struct error *err);

/*
 * The file of that path as the pool of its directory sees it now. False: nobody
 * can tell. `ret_volume` is NULL where there is none.
 */
bool volume_look(struct vm_peer *peer, const char *path, virStorageVolPtr *ret_volume);

/*
 * What lies below an image that is a volume of some pool, as long as its pool
 * knows; adds paths. Nothing where it is no volume. -ENOMEM.
 */
int volume_layers(struct vm_peer *peer, const char *path, struct vm_lines *layers);

/*
 * Virtual size, and bytes that the top layer takes, of a disk whose path is
 * known; both unknown where libvirt does not say, or must not be asked: false, and why.
 */
bool disk_size(struct vm_peer *peer, virDomainPtr domain, const struct disk_facts *disk,
               uint64_t *ret_capacity, uint64_t *ret_allocated, const char **ret_problem);

/* Bytes that a file takes; UNKNOWN_U64 where neither a pool nor this host's file system says. */
uint64_t file_allocated(struct vm_peer *peer, const char *path);

/* Is the connection one to this very host, so that paths mean files of this program's? */
bool peer_is_local(struct vm_peer *peer);

#endif
