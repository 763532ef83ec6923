/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What disks a libvirt host has: the volumes of its active storage pools and
 * the disks of its domains. Stage vm/, owner of libvirt. Effects throughout.
 */
#ifndef SETMOV_VM_STORAGE_H
#define SETMOV_VM_STORAGE_H

#include "setmov/base.h"

/* One disk image on this host. */
struct vm_image {
    char *path;   /* absolute */
    char *format; /* as libvirt has it: "raw", "qcow2" ... ; NULL: it does not say */
    char *owner;  /* "domain NAME" or "pool NAME", for messages */
};

struct vm_storage {
    struct vm_image *disks; /* each path once: what a domain says of its format wins over a pool */
    size_t count, capacity;
    char **directories; /* of the active directory pools that were listed whole */
    size_t directory_count, directory_capacity;
    char **problems; /* one line each: a pool or a domain that could not be asked */
    size_t problem_count, problem_capacity;
};

/*
 * Asks libvirt at `uri` (NULL: its default), read-only, and waits at most
 * `timeout_s` for all of it. Volumes of network, rbd, iscsi and other pools
 * that are no local file or block device are passed over; pools are refreshed
 * only by libvirt itself. One pool or domain that fails is a problem, not an
 * error. -ETIMEDOUT; -EIO with libvirt's message.
 */
int vm_storage_list(const char *uri, double timeout_s, struct vm_storage *ret_storage,
                    struct error *err);
void vm_storage_release(struct vm_storage *storage);

#endif
