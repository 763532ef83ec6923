/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libvirt's events tell and no list does: why a VM stopped (a transient
 * one is gone from every list the moment it stops), and that devices were
 * plugged in or out. Effects: libvirt's event loop, in one thread a process.
 */
#ifndef SETMOV_VM_LIFECYCLE_H
#define SETMOV_VM_LIFECYCLE_H

#include "vm/changes.h"

#include <libvirt/libvirt.h>

struct lifecycle;

/*
 * Starts libvirt's event loop where this process has none yet, and silences
 * libvirt's own messages on stderr (every error comes back from its call).
 * Must come before the first connection is opened; may come again.
 */
void lifecycle_start_event_loop(void);

/* Reference counted: the connection's callback holds one. */
int lifecycle_new(struct lifecycle **ret_lifecycle);
struct lifecycle *lifecycle_ref(struct lifecycle *lifecycle);
void lifecycle_unref(struct lifecycle *lifecycle);

#define LIFECYCLE_CALLBACKS 3

/*
 * Listens on the connection. The ids go to virConnectDomainEventDeregisterAny;
 * -1 where the driver lacks that event. True: plugged devices will be told.
 */
bool lifecycle_listen(struct lifecycle *lifecycle, virConnectPtr connection,
                      int ret_ids[LIFECYCLE_CALLBACKS]);

/* The last cause told for that VM, forgotten by asking. `context` is the lifecycle: fits vm_stop_cause_of. */
enum vm_stop_cause lifecycle_cause(const char *uuid, void *context);

/*
 * Takes the UUID of a VM whose devices changed, one a call; false when there
 * is none. When there were too many to keep, `ret_all` is set instead.
 */
bool lifecycle_next_changed(struct lifecycle *lifecycle, char ret_uuid[VM_UUID_TEXT_BYTES],
                            bool *ret_all);

#endif
