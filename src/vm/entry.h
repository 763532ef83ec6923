/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a source remembers of each VM from cycle to cycle. Effects: kernel
 * reads; libvirt objects are only held.
 */
#ifndef SETMOV_VM_ENTRY_H
#define SETMOV_VM_ENTRY_H

#include "setmov/vm.h"
#include "vm/answer.h"
#include "vm/balloon.h"
#include "vm/domain_xml.h"
#include "vm/kernel.h"

struct vm_entry {
    char name[VM_NAME_BYTES];
    char uuid[VM_UUID_TEXT_BYTES];
    uint64_t incarnation;
    enum vm_state state;
    int reason;
    bool active, seen;   /* seen: in this cycle's answer */
    virDomainPtr domain; /* a reference of the current connection, NULL without */

    struct kernel_vm kernel;
    bool kernel_fresh;        /* `reading` is of this cycle */
    bool kernel_stopped;      /* its process is stopped: its monitor must not be asked */
    unsigned blocked_cycles;  /* in uninterruptible sleep, in a row */
    uint64_t kernel_start;    /* start time of the process found last; 0: none yet */
    unsigned runs;            /* processes that began under the same libvirt id */
    unsigned kernel_tries;    /* failed look-ups of the process */
    struct vm_sample reading; /* what the kernel told */

    bool devices_known;
    double devices_retry_s; /* monotonic; not asked for before */
    struct domain_devices devices;
    size_t tap_hint; /* where the first tap was in the list of interfaces */
    bool taps_fresh; /* the kernel told of every interface in this cycle */

    struct balloon_schedule balloon;
    bool period_set;
    struct vm_memory memory; /* the last answer */

    unsigned silent_cycles; /* its monitor told nothing, so often in a row */
};

struct vm_entries {
    struct vm_entry *list;
    size_t count, capacity;
    size_t hint;
    bool unsorted; /* one was added since the last sweep */
};

/* Is some VM's process stopped? */
bool entries_any_stopped(const struct vm_entries *entries);

struct vm_entry *entries_find(struct vm_entries *entries, const char *uuid);

/*
 * The entry of an answer's VM, made where it is new; a VM that was restarted
 * since begins anew. Takes a reference of the domain. NULL: out of memory.
 */
struct vm_entry *entries_update(struct vm_entries *entries, const struct vm_answer *answer);

/* Drops entries that were not seen, and every `seen` mark; sorts them as sets are sorted. */
void entries_sweep(struct vm_entries *entries);

/* The connection is gone: its domain objects too. */
void entries_drop_domains(struct vm_entries *entries);

void entries_release(struct vm_entries *entries);

/* Did the kernel tell in this cycle all that libvirt's CPU groups tell? */
bool entry_kernel_tells_cpu(const struct vm_entry *entry);

/* Reads the kernel's figures of every VM whose process is known. */
void entries_read_kernel(struct vm_entries *entries, const struct kernel_paths *paths);

/* The same for one VM, looking for its process where it is not known. */
void entry_read_kernel(struct vm_entry *entry, const struct kernel_paths *paths);

/*
 * Completes a VM's sample by what the entry knows: the kernel's figures, tap
 * counters of `interfaces` (may be NULL), MACs, the last balloon answer.
 * `vm` is consistent with the entry's incarnation.
 */
void entry_complete(struct vm_entry *entry, const struct host_interfaces *interfaces,
                    struct vm_sample *vm);

/* The part of entry_complete for what came in later in the cycle: devices, balloon. */
void entry_complete_late(struct vm_entry *entry, const struct host_interfaces *interfaces,
                         struct vm_sample *vm);

/* The interfaces as the XML lists them, for an answer that was asked for none. 0 or -ENOMEM. */
int entry_recall_interfaces(const struct vm_entry *entry, struct vm_sample *vm);

/* A sample without libvirt: name, state and interfaces as they were last. 0 or -ENOMEM. */
int entry_recall(const struct vm_entry *entry, struct vm_sample *vm);

/* Do the devices of the sample (names) differ from those of the XML that is known? */
bool entry_needs_devices(const struct vm_entry *entry, const struct vm_sample *vm);

#endif
