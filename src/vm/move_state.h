/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a domain is doing, and what it keeps, that is in the way of a move. Effects: libvirt. */
#ifndef SETMOV_VM_MOVE_STATE_H
#define SETMOV_VM_MOVE_STATE_H

#include "vm/domain.h"

/* Snapshots, saved state, jobs of the domain and of its disks; adds to vm->obstacles. */
int move_state_read(virDomainPtr domain, const struct disk_list *disks, struct vm_move *vm,
                    struct error *err);

/*
 * Disks that are shared but only this host has, and disks that would go along
 * but lie where hosts share them. Nothing where the peer is not
 * this host. -ENOMEM.
 */
int move_state_files(struct vm_peer *peer, const struct disk_list *disks, struct vm_move *vm);

#endif
