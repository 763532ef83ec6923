/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XML of a domain that is about to arrive, as the qemu hook gets it. Pure,
 * without libvirt. The text is hostile: whoever may start a migration to here
 * wrote it.
 */
#ifndef SETMOV_VM_INCOMING_H
#define SETMOV_VM_INCOMING_H

#include "setmov/base_uuid.h"

#define VM_INCOMING_MAX_BYTES    ((size_t)4 << 20)
#define VM_INCOMING_MAX_DEPTH    64 /* of elements */
#define VM_INCOMING_MAX_DISKS    256
#define VM_INCOMING_SHA256_BYTES 32

/* A disk of the VM that is a file or a block device of the host; others are counted only. */
struct vm_incoming_disk {
    char *target; /* "vda" */
    char *path;   /* absolute, without "." and "..", no control characters */
    char *format; /* "raw" where nothing is said */
    bool is_block;
    bool read_only; /* or a CD-ROM, a floppy, shared: nothing is made or moved for it */
};

struct vm_incoming {
    struct uuid uuid;
    char *name;
    uint64_t memory_bytes;
    uint32_t vcpus;
    struct vm_incoming_disk *disks;
    size_t disk_count, disk_capacity;
    size_t other_disks; /* network, volumes ... */
    /*
     * <setmov:plan name="NAME" sha256="64 hexadecimal digits"/> in <metadata>: the plan by which
     * the disks are to be built (transfer_plan.h); NULL: none. The name may be anything that has no
     * control characters.
     */
    char *plan_name;
    uint8_t plan_sha256[VM_INCOMING_SHA256_BYTES];
    bool
        has_override; /* <setmov:override xmlns:setmov="https://setmov.org/xmlns/domain/1"/> in <metadata> */
};

#define VM_INCOMING_NAMESPACE "https://setmov.org/xmlns/domain/1"

/*
 * -EBADMSG with what is wrong and where: no XML, no <domain>, a document type
 * or an entity of its own, too deep, too long (text, attribute, list), no or a
 * wrong name or UUID, a path that is not absolute or leads upwards or has
 * control characters; more than one plan, or one without name and digest. -ENOMEM.
 */
int vm_incoming_parse(struct text xml, struct vm_incoming *ret_vm, struct error *err);
void vm_incoming_release(struct vm_incoming *vm);

#endif
