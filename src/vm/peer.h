/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of a vm_peer, for those in src/vm who ask it for something. Effects: libvirt. */
#ifndef SETMOV_VM_PEER_INSIDE_H
#define SETMOV_VM_PEER_INSIDE_H

#include "setmov/vm_peer.h"

#include <libvirt/libvirt.h>

struct vm_peer {
    virConnectPtr connection;
};

/*
 * libvirt's last error of this thread, behind "WHAT: ". Returns what it comes
 * to: -ENOENT (no such pool, volume, domain), -EACCES (the identity lacks the
 * right, or there is none), -EIO.
 */
int peer_error(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* libvirt's message alone. */
const char *peer_last_message(void);

/* Those of now are none that vm_peer_leave() ends. */
void peer_remember_children(void);

/* For CLEANUP(). */
void cleanup_pool(virStoragePoolPtr *pool);
void cleanup_volume(virStorageVolPtr *volume);

#endif
