/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs one by one, for drivers whose bulk call is missing (Xen, LXC) or tells
 * only some groups (test). A group that a driver does not know at all is
 * asked once a connection.
 */
#include "vm/fallback.h"

#include "vm/domain_xml.h"
#include "vm/sample.h"

#include <errno.h>
#include <libvirt/virterror.h>

/* virDomainMemoryStats' tags, in KiB unless said. */
static void take_memory_stat(struct vm_memory *memory, const virDomainMemoryStatStruct *stat)
{
    uint64_t kib = stat->val <= UINT64_MAX / 1024 ? stat->val * 1024 : UNKNOWN_U64;

    switch (stat->tag) {
    case VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON:
        memory->current = kib;
        break;
    case VIR_DOMAIN_MEMORY_STAT_AVAILABLE:
        memory->available = kib;
        break;
    case VIR_DOMAIN_MEMORY_STAT_UNUSED:
        memory->unused = kib;
        break;
    case VIR_DOMAIN_MEMORY_STAT_USABLE:
        memory->usable = kib;
        break;
    case VIR_DOMAIN_MEMORY_STAT_DISK_CACHES:
        memory->disk_caches = kib;
        break;
    case VIR_DOMAIN_MEMORY_STAT_RSS:
        memory->rss = kib;
        break;
    case VIR_DOMAIN_MEMORY_STAT_SWAP_IN:
        memory->swap_in = kib;
        break;
    case VIR_DOMAIN_MEMORY_STAT_SWAP_OUT:
        memory->swap_out = kib;
        break;
    case VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT:
        memory->major_fault = stat->val;
        break;
    case VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT:
        memory->minor_fault = stat->val;
        break;
    case VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE:
        memory->last_update = stat->val;
        break;
    default:
        break;
    }
}

/* Remembers a group that the driver has no call for. */
static void note_failure(struct fallback *fallback, unsigned group)
{
    if (virGetLastErrorCode() == VIR_ERR_NO_SUPPORT)
        fallback->unsupported |= group;
}

static void fill_memory(struct fallback *fallback, struct vm_answer *answer)
{
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
    int count = virDomainMemoryStats(answer->domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0);

    fallback->rpc_count++;
    if (count < 0) {
        note_failure(fallback, VM_GROUP_BALLOON);
        return;
    }
    for (int i = 0; i < count; i++)
        take_memory_stat(&answer->vm.memory, &stats[i]);
    answer->vm.memory.time_s = clock_monotonic_s();
    answer->groups |= VM_GROUP_BALLOON;
}

/* State, CPU time and memory sizes come with one call. */
static void fill_info(struct fallback *fallback, struct vm_answer *answer, unsigned missing)
{
    struct vm_sample *vm = &answer->vm;
    virDomainInfo info;

    fallback->rpc_count++;
    if (virDomainGetInfo(answer->domain, &info) < 0)
        return;
    if (missing & VM_GROUP_STATE)
        vm->state = info.state <= VM_STATE_SUSPENDED ? (enum vm_state)info.state : VM_STATE_UNKNOWN;
    if (missing & VM_GROUP_CPU) {
        vm->cpu_ns = info.cpuTime;
        vm->cpu_time_s = clock_monotonic_s();
    }
    vm->vcpu_current = info.nrVirtCpu;
    if (!(answer->groups &
          VM_GROUP_BALLOON)) { /* all that a driver without memory statistics tells */
        vm->memory.maximum = (uint64_t)info.maxMem * 1024;
        vm->memory.current = (uint64_t)info.memory * 1024;
        vm->memory.time_s = clock_monotonic_s();
        answer->groups |= VM_GROUP_BALLOON;
    }
    answer->groups |= missing & (VM_GROUP_STATE | VM_GROUP_CPU);
}

static uint64_t counter(long long value)
{
    return value < 0 ? UNKNOWN_U64 : (uint64_t)value;
}

static void fill_disks(struct fallback *fallback, struct vm_answer *answer,
                       const struct domain_devices *devices)
{
    struct vm_sample *vm = &answer->vm;

    vm->disk_count = 0;
    for (size_t i = 0; i < devices->disk_count; i++) {
        const struct domain_disk *known = &devices->disks[i];
        virDomainBlockStatsStruct stats;
        struct vm_disk *disk = vm_sample_disk(vm, (unsigned)vm->disk_count);

        if (!disk)
            return;
        string_copy(disk->name, sizeof(disk->name), known->target);
        string_copy(disk->path, sizeof(disk->path), known->source);
        fallback->rpc_count++;
        if (virDomainBlockStats(answer->domain, known->target, &stats, sizeof(stats)) < 0) {
            note_failure(fallback, VM_GROUP_BLOCK);
            continue;
        }
        disk->read_ops = counter(stats.rd_req);
        disk->read_bytes = counter(stats.rd_bytes);
        disk->write_ops = counter(stats.wr_req);
        disk->write_bytes = counter(stats.wr_bytes);
        disk->errors = counter(stats.errs);
        vm->disk_time_s = clock_monotonic_s();
        answer->groups |= VM_GROUP_BLOCK;
    }
}

static void fill_interfaces(struct fallback *fallback, struct vm_answer *answer,
                            const struct domain_devices *devices)
{
    struct vm_sample *vm = &answer->vm;

    vm->interface_count = 0;
    for (size_t i = 0; i < devices->interface_count; i++) {
        const struct domain_interface *known = &devices->interfaces[i];
        const char *device = known->target[0] != '\0' ? known->target : known->mac;
        virDomainInterfaceStatsStruct stats;
        struct vm_interface *interface = vm_sample_interface(vm, (unsigned)vm->interface_count);

        if (!interface)
            return;
        string_copy(interface->name, sizeof(interface->name), device);
        string_copy(interface->mac, sizeof(interface->mac), known->mac);
        fallback->rpc_count++;
        if (virDomainInterfaceStats(answer->domain, device, &stats, sizeof(stats)) < 0) {
            note_failure(fallback, VM_GROUP_INTERFACE);
            continue;
        }
        interface->rx_bytes = counter(stats.rx_bytes);
        interface->rx_packets = counter(stats.rx_packets);
        interface->rx_errors = counter(stats.rx_errs);
        interface->rx_dropped = counter(stats.rx_drop);
        interface->tx_bytes = counter(stats.tx_bytes);
        interface->tx_packets = counter(stats.tx_packets);
        interface->tx_errors = counter(stats.tx_errs);
        interface->tx_dropped = counter(stats.tx_drop);
        vm->interface_time_s = clock_monotonic_s();
        answer->groups |= VM_GROUP_INTERFACE;
    }
}

static void fill_devices(struct fallback *fallback, struct vm_answer *answer, unsigned missing)
{
    struct domain_devices devices = {.disks = NULL};
    char *xml = virDomainGetXMLDesc(answer->domain, 0);

    fallback->rpc_count++;
    if (xml && domain_devices_parse(text_of(xml, strlen(xml)), &devices, NULL) == 0) {
        if (missing & VM_GROUP_BLOCK)
            fill_disks(fallback, answer, &devices);
        if (missing & VM_GROUP_INTERFACE)
            fill_interfaces(fallback, answer, &devices);
    }
    domain_devices_release(&devices);
    free(xml);
}

void fallback_fill(struct fallback *fallback, struct vm_answer *answer, unsigned missing)
{
    if (!answer->domain)
        return;
    if (missing & (VM_GROUP_STATE | VM_GROUP_CPU | VM_GROUP_BALLOON))
        fill_info(fallback, answer, missing);
    if (missing & VM_GROUP_BALLOON)
        fill_memory(fallback, answer);
    if (missing & (VM_GROUP_BLOCK | VM_GROUP_INTERFACE))
        fill_devices(fallback, answer, missing);
}

int fallback_list(struct fallback *fallback, virConnectPtr connection, struct vm_answers *answers)
{
    virDomainPtr *domains = NULL;
    int count, state, reason, r = 0;

    fallback->rpc_count++;
    count = virConnectListAllDomains(connection, &domains, 0);
    if (count < 0)
        return -EIO;
    for (int i = 0; i < count; i++) {
        struct vm_answer *answer = r == 0 ? vm_answers_append(answers, domains[i]) : NULL;

        if (!answer) {
            r = -ENOMEM;
        } else {
            fallback->rpc_count++;
            if (virDomainGetState(domains[i], &state, &reason, 0) == 0) {
                answer->vm.state = state >= 0 && state <= VM_STATE_SUSPENDED ? (enum vm_state)state
                                                                             : VM_STATE_UNKNOWN;
                answer->vm.reason = reason;
                answer->groups |= VM_GROUP_STATE;
            }
            vm_sample_finish(&answer->vm);
            answer->vm.active = answer->vm.incarnation != (unsigned)-1;
        }
        virDomainFree(domains[i]);
    }
    free(domains);
    return r;
}
