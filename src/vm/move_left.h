/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a failed move leaves at the destination: libvirt makes the files of the
 * disks there before anything else, and forgets them. Effects: libvirt.
 */
#ifndef SETMOV_VM_MOVE_LEFT_H
#define SETMOV_VM_MOVE_LEFT_H

#include "vm/domain.h"

/*
 * Before the move: the paths among the VM's disks where the destination has no
 * file, in a pool that could tell. The others are never touched. -ENOMEM.
 */
int move_left_expect(struct vm_peer *to, const struct disk_list *disks,
                     struct vm_lines *ret_missing);

/*
 * After a move that failed: removes what came to be at those paths, unless a
 * domain there names it, or the destination cannot be asked for that. What
 * remains is put behind the message in `err`.
 */
void move_left_remove(struct vm_peer *to, const struct vm_lines *missing, struct error *err);

#endif
