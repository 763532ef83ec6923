/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Usage of a VM: the formulas over two samples of it (2, 3, 4, 5 to 7). */
#include "interfaces.h"
#include "match.h"
#include "rate.h"

#include <errno.h>
#include <math.h>

/* ---- CPU ------------------------------------------------------------------------------ */

/* % of the time of one CPU */
static double share_of_time(uint64_t before_ns, uint64_t after_ns, double elapsed_s)
{
    return usage_vm_cpu(before_ns, after_ns, elapsed_s, 1);
}

/* vCPUs are listed in ascending order, so one pass over both lists matches them. */
static int fill_vcpus(const struct vm_sample *before, const struct vm_sample *after,
                      struct vm_usage *usage)
{
    double elapsed_s = elapsed_between(before->vcpu_time_s, after->vcpu_time_s);
    size_t cursor = 0;

    if (array_reserve(&usage->vcpus, &usage->vcpu_capacity, after->vcpu_count,
                      sizeof(*usage->vcpus)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < after->vcpu_count; i++) {
        const struct vm_vcpu *vcpu = &after->vcpus[i];
        struct vcpu_usage *result = &usage->vcpus[i];
        *result = (struct vcpu_usage){vcpu->number, NAN, NAN, NAN};
        while (cursor < before->vcpu_count && before->vcpus[cursor].number < vcpu->number)
            cursor++;
        if (cursor == before->vcpu_count || before->vcpus[cursor].number != vcpu->number)
            continue;
        const struct vm_vcpu *old = &before->vcpus[cursor];
        result->busy_percent = share_of_time(old->time_ns, vcpu->time_ns, elapsed_s);
        result->wait_percent = share_of_time(old->wait_ns, vcpu->wait_ns, elapsed_s);
        result->steal_percent = share_of_time(old->delay_ns, vcpu->delay_ns, elapsed_s);
    }
    usage->vcpu_count = after->vcpu_count;
    return 0;
}

static void fill_cpu(const struct vm_sample *before, const struct vm_sample *after,
                     unsigned host_cpus, struct vm_usage *usage)
{
    double elapsed_s = elapsed_between(before->cpu_time_s, after->cpu_time_s);
    struct known_mean busy = {0};
    struct known_mean steal = {0};
    struct known_mean wait = {0};

    for (size_t i = 0; i < usage->vcpu_count; i++) {
        known_mean_add(&busy, usage->vcpus[i].busy_percent);
        known_mean_add(&steal, usage->vcpus[i].steal_percent);
        known_mean_add(&wait, usage->vcpus[i].wait_percent);
    }
    usage->cpu_percent = usage_vm_cpu(before->cpu_ns, after->cpu_ns, elapsed_s, host_cpus);
    usage->steal_percent = known_mean_value(&steal);
    usage->wait_percent = known_mean_value(&wait);
    /* The process does more than run vCPUs, so their own times are the better source. */
    usage->vcpu_percent = busy.count > 0 ? known_mean_value(&busy)
                                         : usage_vm_cpu(before->cpu_ns, after->cpu_ns, elapsed_s,
                                                        after->vcpu_current);
}

static double memory_percent(const struct vm_memory *memory)
{
    if (isnan(memory->time_s) || memory->stale)
        return NAN;
    return usage_memory(memory->available, memory->unused);
}

/* ---- disks ------------------------------------------------------------------------------ */

static struct disk_usage disk_between(const struct vm_disk *before, const struct vm_disk *after,
                                      double elapsed_s)
{
    double reads = counter_difference(before->read_ops, after->read_ops);
    double writes = counter_difference(before->write_ops, after->write_ops);
    double read_s = counter_difference(before->read_ns, after->read_ns) / 1e9;
    double write_s = counter_difference(before->write_ns, after->write_ns) / 1e9;
    bool known = !isnan(elapsed_s);

    return (struct disk_usage){
        .name = after->name,
        .kind = DISK_WHOLE,
        .read_bytes_per_s = usage_rate(before->read_bytes, after->read_bytes, elapsed_s),
        .write_bytes_per_s = usage_rate(before->write_bytes, after->write_bytes, elapsed_s),
        .read_ops_per_s = usage_rate(before->read_ops, after->read_ops, elapsed_s),
        .write_ops_per_s = usage_rate(before->write_ops, after->write_ops, elapsed_s),
        .read_latency_s = known ? mean_latency(reads, read_s) : NAN,
        .write_latency_s = known ? mean_latency(writes, write_s) : NAN,
        .busy_percent = NAN,
    };
}

static int fill_disks(const struct vm_sample *before, const struct vm_sample *after,
                      struct vm_usage *usage)
{
    double elapsed_s = elapsed_between(before->disk_time_s, after->disk_time_s);
    CLEANUP(name_matcher_release)
    struct name_matcher matcher = NAME_MATCHER(before->disks, before->disk_count);

    if (array_reserve(&usage->disks, &usage->disk_capacity, after->disk_count,
                      sizeof(*usage->disks)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < after->disk_count; i++) {
        const struct vm_disk *disk = &after->disks[i];
        size_t index = SIZE_MAX;
        if (name_matcher_find(&matcher, disk->name, &index) < 0)
            return -ENOMEM;
        /* Against itself over an unknown time: everything about a new device is unknown. */
        usage->disks[i] = index < before->disk_count
                              ? disk_between(&before->disks[index], disk, elapsed_s)
                              : disk_between(disk, disk, NAN);
    }
    usage->disk_count = after->disk_count;
    return 0;
}

/* ---- interfaces ---------------------------------------------------------------------------- */

static struct interface_counters counters_at(const void *interfaces, size_t index)
{
    const struct vm_interface *i = (const struct vm_interface *)interfaces + index;

    return (struct interface_counters){
        i->name,       i->mac,      i->rx_bytes,   i->rx_packets, i->rx_errors,
        i->rx_dropped, i->tx_bytes, i->tx_packets, i->tx_errors,  i->tx_dropped,
    };
}

static int fill_vm_interfaces(const struct vm_sample *before, const struct vm_sample *after,
                              double overhead_bits, struct vm_usage *usage)
{
    CLEANUP(name_matcher_release)
    struct name_matcher matcher = NAME_MATCHER(before->interfaces, before->interface_count);
    const struct interface_list then = {before->interfaces, before->interface_count,
                                        before->interface_time_s, counters_at},
                                now = {after->interfaces, after->interface_count,
                                       after->interface_time_s, counters_at};

    if (fill_interfaces(&then, &now, &matcher, overhead_bits, &usage->interfaces,
                        &usage->interface_capacity) < 0)
        return -ENOMEM;
    usage->interface_count = after->interface_count;
    return 0;
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* What comes before the first sample. */
static const struct vm_sample nothing = {
    .cpu_time_s = NAN,
    .cpu_ns = UNKNOWN_U64,
    .vcpu_time_s = NAN,
    .disk_time_s = NAN,
    .interface_time_s = NAN,
};

int usage_vm(const struct vm_sample *before, const struct vm_sample *after, unsigned host_cpus,
             double overhead_bits, struct vm_usage *usage)
{
    if (!before || before->incarnation != after->incarnation)
        before = &nothing;
    if (fill_vcpus(before, after, usage) < 0 || fill_disks(before, after, usage) < 0 ||
        fill_vm_interfaces(before, after, overhead_bits, usage) < 0)
        return -ENOMEM;
    fill_cpu(before, after, host_cpus, usage);
    usage->memory_percent = memory_percent(&after->memory);
    return 0;
}

void usage_vm_keep(struct vm_sample *before, struct vm_sample *after)
{
    if (before->incarnation != after->incarnation)
        return;
    if (isnan(after->cpu_time_s)) {
        SWAP(before->cpu_time_s, after->cpu_time_s);
        SWAP(before->cpu_ns, after->cpu_ns);
    }
    if (isnan(after->vcpu_time_s)) {
        SWAP(before->vcpu_time_s, after->vcpu_time_s);
        SWAP(before->vcpus, after->vcpus);
        SWAP(before->vcpu_count, after->vcpu_count);
        SWAP(before->vcpu_capacity, after->vcpu_capacity);
    }
    if (isnan(after->disk_time_s)) {
        SWAP(before->disk_time_s, after->disk_time_s);
        SWAP(before->disks, after->disks);
        SWAP(before->disk_count, after->disk_count);
        SWAP(before->disk_capacity, after->disk_capacity);
    }
    if (isnan(after->interface_time_s)) {
        SWAP(before->interface_time_s, after->interface_time_s);
        SWAP(before->interfaces, after->interfaces);
        SWAP(before->interface_count, after->interface_count);
        SWAP(before->interface_capacity, after->interface_capacity);
    }
}

void vm_usage_release(struct vm_usage *usage)
{
    if (!usage)
        return;
    free(usage->vcpus);
    free(usage->disks);
    free(usage->interfaces);
    *usage = (struct vm_usage){0};
}

const struct vm_sample *vm_set_find(const struct vm_set *set, const char *uuid, size_t *hint)
{
    size_t start = hint && *hint < set->count ? *hint : 0;
    for (size_t i = 0; i < set->count; i++) {
        size_t at = start + i < set->count ? start + i : start + i - set->count;
        if (strcmp(set->vms[at].uuid, uuid) == 0) {
            if (hint)
                *hint = at + 1;
            return &set->vms[at];
        }
    }
    return NULL;
}
