/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happened to VMs between two cycles, in words. Pure. */
#ifndef SETMOV_VM_CHANGES_H
#define SETMOV_VM_CHANGES_H

#include "setmov/vm.h"

/* Why a VM that is gone from libvirt's list had stopped (virDomainEventType STOPPED's details). */
enum vm_stop_cause { VM_STOP_UNKNOWN, VM_STOP_SHUTDOWN, VM_STOP_CRASHED, VM_STOP_MIGRATED };

/* The last cause that libvirt's events told for that VM. May be NULL. */
typedef enum vm_stop_cause (*vm_stop_cause_of)(const char *uuid, void *context);

/*
 * Appends to `set` the events that lead from the VMs `before` to those of
 * `set` (both in order of name, then UUID). 0 or -ENOMEM.
 */
int vm_changes(const struct vm_sample *before, size_t before_count, vm_stop_cause_of cause_of,
               void *context, struct vm_set *set);

/* Appends one event; `vm` may be NULL. 0 or -ENOMEM. */
int vm_set_add_event(struct vm_set *set, enum vm_event_kind kind, const struct vm_sample *vm,
                     const char *format, ...) PRINTF_LIKE(4, 5);

/* The order of a set. */
int vm_sample_compare(const struct vm_sample *a, const struct vm_sample *b);

#endif
