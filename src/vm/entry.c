/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Per-VM memory of a source, and how a sample is completed from it. */
#include "vm/entry.h"

#include "vm/sample.h"

#include <errno.h>
#include <math.h>

/* A process that is not found (not ours to read, another driver) is not looked for for ever. */
#define KERNEL_TRIES 3
/* Seen in uninterruptible sleep this often in a row, a process counts as stopped. */
#define BLOCKED_CYCLES 3

bool entries_any_stopped(const struct vm_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        if (entries->list[i].kernel_stopped)
            return true;
    return false;
}

struct vm_entry *entries_find(struct vm_entries *entries, const char *uuid)
{
    /* Answers come in much the same order every time. */
    for (size_t i = 0; i < entries->count; i++) {
        size_t at = (entries->hint + i) % entries->count;

        if (strcmp(entries->list[at].uuid, uuid) == 0) {
            entries->hint = at + 1;
            return &entries->list[at];
        }
    }
    return NULL;
}

/* Forgets what belonged to the run before; name, UUID and domain stay. */
static void entry_restart(struct vm_entry *entry)
{
    kernel_vm_release(&entry->kernel);
    entry->kernel_fresh = entry->kernel_stopped = false;
    entry->kernel_tries = entry->blocked_cycles = 0;
    entry->kernel_start = 0;
    entry->devices_retry_s = 0;
    entry->devices_known = false;
    entry->balloon = (struct balloon_schedule){0};
    entry->period_set = false;
    entry->silent_cycles = 0;
    vm_memory_clear(&entry->memory);
}

static void entry_release(struct vm_entry *entry)
{
    if (entry->domain)
        virDomainFree(entry->domain);
    kernel_vm_release(&entry->kernel);
    vm_sample_release(&entry->reading);
    domain_devices_release(&entry->devices);
}

struct vm_entry *entries_update(struct vm_entries *entries, const struct vm_answer *answer)
{
    struct vm_entry *entry = entries_find(entries, answer->vm.uuid);

    if (!entry) {
        if (array_reserve(&entries->list, &entries->capacity, entries->count + 1,
                          sizeof(*entries->list)) < 0)
            return NULL;
        entry = &entries->list[entries->count++];
        memset(entry, 0, sizeof(*entry));
        string_copy(entry->uuid, sizeof(entry->uuid), answer->vm.uuid);
        vm_sample_clear(&entry->reading);
        entry_restart(entry);
        entry->incarnation = answer->vm.incarnation;
        entries->unsorted = true;
    }
    if (entry->incarnation != answer->vm.incarnation || entry->active != answer->vm.active)
        entry_restart(entry);
    string_copy(entry->name, sizeof(entry->name), answer->vm.name);
    entry->incarnation = answer->vm.incarnation;
    entry->state = answer->vm.state;
    entry->reason = answer->vm.reason;
    entry->active = answer->vm.active;
    entry->seen = true;
    if (entry->domain)
        virDomainFree(entry->domain);
    entry->domain = answer->domain && virDomainRef(answer->domain) == 0 ? answer->domain : NULL;
    return entry;
}

static int compare_entries(const void *a, const void *b)
{
    const struct vm_entry *one = a, *other = b;
    int order = strcmp(one->name, other->name);

    return order != 0 ? order : strcmp(one->uuid, other->uuid);
}

void entries_sweep(struct vm_entries *entries)
{
    size_t kept = 0;

    for (size_t i = 0; i < entries->count; i++) {
        if (!entries->list[i].seen) {
            entry_release(&entries->list[i]);
            continue;
        }
        if (kept != i)
            entries->list[kept] = entries->list[i];
        entries->list[kept++].seen = false;
    }
    entries->count = kept;
    entries->hint = 0;
    if (entries->unsorted && kept > 1)
        qsort(entries->list, kept, sizeof(*entries->list), compare_entries);
    entries->unsorted = false;
}

void entries_drop_domains(struct vm_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->list[i].domain)
            virDomainFree(entries->list[i].domain);
        entries->list[i].domain = NULL;
    }
}

void entries_release(struct vm_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        entry_release(&entries->list[i]);
    free(entries->list);
    memset(entries, 0, sizeof(*entries));
}

/* ---- the kernel's figures ---------------------------------------------------------- */

static void read_known(struct vm_entry *entry, const struct kernel_paths *paths)
{
    char state = '\0';

    vm_sample_clear(&entry->reading);
    entry->kernel_fresh = kernel_vm_read(paths, &entry->kernel, &entry->reading, &state) == 0;
    /* Waiting for a disk for a moment is usual; for several cycles the storage is gone. */
    entry->blocked_cycles = entry->kernel_fresh && state == 'D' ? entry->blocked_cycles + 1 : 0;
    entry->kernel_stopped = entry->kernel_fresh && (state == 'T' || state == 't' ||
                                                    entry->blocked_cycles >= BLOCKED_CYCLES);
}

void entries_read_kernel(struct vm_entries *entries, const struct kernel_paths *paths)
{
    for (size_t i = 0; i < entries->count; i++) {
        entries->list[i].kernel_fresh = false;
        if (entries->list[i].kernel.pid != 0)
            read_known(&entries->list[i], paths);
    }
}

void entry_read_kernel(struct vm_entry *entry, const struct kernel_paths *paths)
{
    if (entry->kernel_fresh || !entry->active || entry->kernel_tries >= KERNEL_TRIES)
        return;
    if (entry->kernel.pid == 0 &&
        kernel_vm_find(paths, entry->name, entry->uuid, &entry->kernel) < 0) {
        entry->kernel_tries++;
        return;
    }
    /* A new process under the id of the old one: libvirtd was restarted in between, too. */
    if (entry->kernel_start != 0 && entry->kernel_start != entry->kernel.start_ticks)
        entry->runs++;
    entry->kernel_start = entry->kernel.start_ticks;
    read_known(entry, paths);
}

/* ---- completing a sample -------------------------------------------------------------- */

static const struct domain_interface *device_of(const struct vm_entry *entry, const char *target)
{
    for (size_t i = 0; i < entry->devices.interface_count; i++)
        if (strcmp(entry->devices.interfaces[i].target, target) == 0)
            return &entry->devices.interfaces[i];
    return NULL;
}

/*
 * The host's counters as the guest's: a tap transmits what the guest receives.
 * A macvtap ("direct") is the guest's own port and keeps its sides.
 */
static void take_tap(const struct net_counters *host, bool swapped, struct vm_interface *interface)
{
    interface->rx_bytes = swapped ? host->tx_bytes : host->rx_bytes;
    interface->rx_packets = swapped ? host->tx_packets : host->rx_packets;
    interface->rx_errors = swapped ? host->tx_errors : host->rx_errors;
    interface->rx_dropped = swapped ? host->tx_dropped : host->rx_dropped;
    interface->tx_bytes = swapped ? host->rx_bytes : host->tx_bytes;
    interface->tx_packets = swapped ? host->rx_packets : host->tx_packets;
    interface->tx_errors = swapped ? host->rx_errors : host->tx_errors;
    interface->tx_dropped = swapped ? host->rx_dropped : host->tx_dropped;
}

/* All interfaces of the VM from the kernel, or none: they share one time. */
static void complete_interfaces(struct vm_entry *entry, const struct host_interfaces *interfaces,
                                struct vm_sample *vm)
{
    const struct host_interface *taps[64];
    size_t hint = entry->tap_hint; /* a thousand VMs must not each search all taps */

    for (size_t i = 0; i < vm->interface_count; i++) {
        const struct domain_interface *device = device_of(entry, vm->interfaces[i].name);

        if (device)
            string_copy(vm->interfaces[i].mac, sizeof(vm->interfaces[i].mac), device->mac);
    }
    entry->taps_fresh = false;
    if (!interfaces || !entry->kernel_fresh || !entry->devices_known || isnan(interfaces->time_s) ||
        vm->interface_count > ARRAY_LENGTH(taps))
        return;
    for (size_t i = 0; i < vm->interface_count; i++) {
        const struct domain_interface *device = device_of(entry, vm->interfaces[i].name);

        if (!device || (strcmp(device->type, "network") != 0 &&
                        strcmp(device->type, "bridge") != 0 && strcmp(device->type, "direct") != 0))
            return;
        taps[i] = host_find_interface(interfaces, vm->interfaces[i].name, &hint);
        if (!taps[i])
            return;
        if (i == 0)
            entry->tap_hint = hint - 1;
    }
    for (size_t i = 0; i < vm->interface_count; i++)
        take_tap(&taps[i]->counters,
                 strcmp(device_of(entry, vm->interfaces[i].name)->type, "direct") != 0,
                 &vm->interfaces[i]);
    vm->interface_time_s = interfaces->time_s;
    entry->taps_fresh = true;
}

static void complete_cpu(struct vm_entry *entry, struct vm_sample *vm)
{
    struct vm_sample *reading = &entry->reading;

    if (!entry->kernel_fresh)
        return;
    if (!isnan(reading->cpu_time_s)) {
        vm->cpu_ns = reading->cpu_ns;
        vm->cpu_time_s = reading->cpu_time_s;
    }
    if (!isnan(reading->vcpu_time_s)) {
        /* The lists change places, so that neither is copied. */
        struct vm_vcpu *vcpus = vm->vcpus;
        size_t capacity = vm->vcpu_capacity;

        vm->vcpus = reading->vcpus;
        vm->vcpu_count = reading->vcpu_count;
        vm->vcpu_capacity = reading->vcpu_capacity;
        vm->vcpu_time_s = reading->vcpu_time_s;
        vm->vcpu_current = reading->vcpu_current;
        reading->vcpus = vcpus;
        reading->vcpu_count = 0;
        reading->vcpu_capacity = capacity;
    }
}

int entry_recall_interfaces(const struct vm_entry *entry, struct vm_sample *vm)
{
    if (!entry->devices_known)
        return 0;
    for (size_t i = 0; i < entry->devices.interface_count; i++) {
        const char *target = entry->devices.interfaces[i].target;
        struct vm_interface *interface;

        if (target[0] == '\0') /* user mode: the host has no device of it */
            continue;
        interface = vm_sample_interface(vm, (unsigned)vm->interface_count);
        if (!interface)
            return -ENOMEM;
        string_copy(interface->name, sizeof(interface->name), target);
    }
    return 0;
}

void entry_complete_late(struct vm_entry *entry, const struct host_interfaces *interfaces,
                         struct vm_sample *vm)
{
    if (vm->interface_count == 0 && entry_recall_interfaces(entry, vm) < 0)
        vm->interface_count = 0;
    complete_interfaces(entry, interfaces, vm);
    vm->memory = entry->memory;
    if (entry->kernel_fresh && entry->reading.memory.rss != UNKNOWN_U64)
        vm->memory.rss = entry->reading.memory.rss;
    vm->memory.stale = balloon_stale(&entry->balloon, clock_monotonic_s());
}

void entry_complete(struct vm_entry *entry, const struct host_interfaces *interfaces,
                    struct vm_sample *vm)
{
    vm->incarnation += (uint64_t)entry->runs << 32;
    complete_cpu(entry, vm);
    entry_complete_late(entry, interfaces, vm);
}

int entry_recall(const struct vm_entry *entry, struct vm_sample *vm)
{
    vm_sample_clear(vm);
    string_copy(vm->name, sizeof(vm->name), entry->name);
    string_copy(vm->uuid, sizeof(vm->uuid), entry->uuid);
    vm->incarnation = entry->incarnation;
    vm->state = entry->state;
    vm->reason = entry->reason;
    vm->active = entry->active;
    return entry->active ? entry_recall_interfaces(entry, vm) : 0;
}

bool entry_kernel_tells_cpu(const struct vm_entry *entry)
{
    return entry->kernel_fresh && !isnan(entry->reading.cpu_time_s) &&
           !isnan(entry->reading.vcpu_time_s);
}

bool entry_needs_devices(const struct vm_entry *entry, const struct vm_sample *vm)
{
    if (!entry->devices_known)
        return true;
    for (size_t i = 0; i < vm->interface_count; i++)
        if (!device_of(entry, vm->interfaces[i].name))
            return true;
    return false;
}
