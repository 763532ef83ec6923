/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What in a domain's XML keeps it from moving, in the user's words. Pure. */
#ifndef SETMOV_VM_MOVE_OBSTACLES_H
#define SETMOV_VM_MOVE_OBSTACLES_H

#include "vm/disk_xml.h"
#include "vm/xml.h"

/* Adds to vm->obstacles; vm->name and vm->active are there already. -ENOMEM. */
int move_obstacles_of_xml(const xmlNode *domain, struct vm_move *vm);
int move_obstacles_of_disks(const struct disk_list *disks, struct vm_move *vm);

#endif
