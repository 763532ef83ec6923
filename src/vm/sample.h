/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Building blocks of VM samples shared inside the stage vm/. Pure. */
#ifndef SETMOV_VM_SAMPLE_H
#define SETMOV_VM_SAMPLE_H

#include "setmov/vm.h"

/* Everything unknown, time NaN, stale. */
void vm_memory_clear(struct vm_memory *memory);

/*
 * The item of that index, the list lengthened up to it with items whose
 * numbers are unknown and whose names are "". NULL: out of memory. The index
 * is the caller's to bound.
 */
struct vm_disk *vm_sample_disk(struct vm_sample *vm, unsigned index);
struct vm_interface *vm_sample_interface(struct vm_sample *vm, unsigned index);
struct vm_vcpu *vm_sample_vcpu(struct vm_sample *vm, unsigned number);

/* Did the VM's monitor tell of at least one disk? (Names come without it.) */
bool vm_sample_has_disk_counters(const struct vm_sample *vm);

#endif
