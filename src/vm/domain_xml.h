/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few facts of a domain's XML that statistics do not tell. Pure: text in,
 * facts out; no network, no entities, no files. The text is hostile (a peer
 * or another administrator wrote it).
 */
#ifndef SETMOV_VM_DOMAIN_XML_H
#define SETMOV_VM_DOMAIN_XML_H

#include "setmov/vm.h"

struct domain_disk {
    char target[VM_DEVICE_NAME_BYTES]; /* vda */
    char source[VM_PATH_BYTES];        /* file, device or volume; "" where there is none */
};

struct domain_interface {
    char target[VM_DEVICE_NAME_BYTES]; /* vnet0; "" while the domain does not run */
    char mac[MAC_BYTES];
    char type[16]; /* network, bridge, direct, ethernet, user ... */
};

struct domain_devices {
    struct domain_disk *disks;
    size_t disk_count, disk_capacity;
    struct domain_interface *interfaces;
    size_t interface_count, interface_capacity;
    bool has_balloon; /* a memballoon other than model "none" */
};

/*
 * Replaces what is in `devices` (zeroed the first time). Values longer than
 * their room are left out. -EBADMSG when the text is no domain XML, is above
 * 16 MiB, or declares a document type; `devices` is then empty.
 */
int domain_devices_parse(struct text xml, struct domain_devices *devices, struct error *err);
void domain_devices_release(struct domain_devices *devices); /* leaves it zeroed */

#endif
