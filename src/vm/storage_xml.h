/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the XML of domains, volumes and pools says of disk images. Pure: text
 * in, facts out. The text is hostile; values that are longer than their room
 * are taken as not there.
 */
#ifndef SETMOV_VM_STORAGE_XML_H
#define SETMOV_VM_STORAGE_XML_H

#include "setmov/base.h"

#define STORAGE_PATH_BYTES   4096
#define STORAGE_NAME_BYTES   256
#define STORAGE_FORMAT_BYTES 32

/* A disk with a medium: a file or a device at `path`, or a volume that has yet to be looked up. */
struct storage_disk {
    char path[STORAGE_PATH_BYTES]; /* absolute; "" of a volume */
    char pool[STORAGE_NAME_BYTES], volume[STORAGE_NAME_BYTES];
    char format[STORAGE_FORMAT_BYTES]; /* never "": QEMU is told "raw" where nothing is said */
};

struct storage_disks {
    struct storage_disk *disks;
    size_t count, capacity;
};

/* Adds the disks of a domain. -EBADMSG: no domain XML. */
int storage_domain_parse(struct text xml, struct storage_disks *disks, struct error *err);
void storage_disks_release(struct storage_disks *disks);

struct storage_volume {
    bool is_local;                     /* a file or a block device with an absolute path */
    char path[STORAGE_PATH_BYTES];     /* "" where it is not */
    char format[STORAGE_FORMAT_BYTES]; /* "": it does not say one of an image */
};

int storage_volume_parse(struct text xml, struct storage_volume *ret_volume, struct error *err);

struct storage_pool {
    char type[16];                      /* "dir" */
    bool is_remote;                     /* what it has lies behind a network protocol */
    char directory[STORAGE_PATH_BYTES]; /* of pools of files; else "" */
};

int storage_pool_parse(struct text xml, struct storage_pool *ret_pool, struct error *err);

#endif
