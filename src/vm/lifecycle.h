/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why VMs stopped, from libvirt's lifecycle events: a transient VM is gone
 * from every list the moment it stops, so nothing else tells a crash from a
 * migration. Effects: libvirt's event loop, in one thread a process.
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

/* Listens on the connection: its callback id, or -1 where the driver has no events. */
int lifecycle_listen(struct lifecycle *lifecycle, virConnectPtr connection);

/* The last cause told for that VM, forgotten by asking. Fits vm_stop_cause_of. */
enum vm_stop_cause lifecycle_cause(const char *uuid, void *lifecycle);

#endif
