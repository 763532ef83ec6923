/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs one by one, for drivers whose bulk call is missing (Xen, LXC) or tells
 * only some groups (test). Effects: libvirt.
 */
#ifndef SETMOV_VM_FALLBACK_H
#define SETMOV_VM_FALLBACK_H

#include "vm/answer.h"

/* What was found out and spent. */
struct fallback {
    unsigned unsupported; /* VM_GROUP_ bits that the driver has no call for */
    unsigned rpc_count;
};

/* Fills the groups `missing` of one answer by calls for this VM alone. */
void fallback_fill(struct fallback *fallback, struct vm_answer *answer, unsigned missing);

/* The list of VMs with their states. 0 or negative errno; libvirt holds the error. */
int fallback_list(struct fallback *fallback, virConnectPtr connection, struct vm_answers *answers);

#endif
