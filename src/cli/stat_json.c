/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sample of `setmov stat` as one line of JSON. Unknown is null. */
#include "report_json.h"
#include "stat.h"

#include <math.h>

/* A text that may be unknown: "" is null. */
static void add_known_text(json_object *object, const char *key, const char *text)
{
    report_json_add(object, key, report_json_text(text[0] != '\0' ? text : NULL));
}

static void add_number(json_object *object, const char *key, double value, int decimals)
{
    report_json_add(object, key, report_json_number(value, decimals));
}

static void add_percent(json_object *object, const char *key, double value)
{
    add_number(object, key, value, 3);
}

static void add_rate(json_object *object, const char *key, double value)
{
    add_number(object, key, value, 3);
}

static json_object *cpu_json(const struct cpu_usage *cpu)
{
    json_object *object = json_object_new_object();
    add_percent(object, "user", cpu->user);
    add_percent(object, "nice", cpu->nice);
    add_percent(object, "system", cpu->system);
    add_percent(object, "idle", cpu->idle);
    add_percent(object, "iowait", cpu->iowait);
    add_percent(object, "irq", cpu->irq);
    add_percent(object, "softirq", cpu->softirq);
    add_percent(object, "steal", cpu->steal);
    add_percent(object, "guest", cpu->guest);
    add_percent(object, "guest_nice", cpu->guest_nice);
    return object;
}

static json_object *cpus_json(const struct host_usage *usage)
{
    json_object *array = json_object_new_array();
    for (size_t i = 0; i < usage->cpu_count; i++) {
        json_object *object = json_object_new_object();
        report_json_add_u64(object, "number", usage->cpus[i].number);
        add_percent(object, "cpu_percent", usage->cpus[i].usage.busy);
        report_json_append(array, object);
    }
    return array;
}

static const char *disk_kind_text(enum disk_kind kind)
{
    switch (kind) {
    case DISK_WHOLE:
        return "whole";
    case DISK_PARTITION:
        return "partition";
    case DISK_STACKED:
        return "stacked";
    case DISK_MEMORY:
        return "memory";
    }
    return "unknown";
}

static json_object *disk_json(const struct disk_usage *disk, bool of_host)
{
    json_object *object = json_object_new_object();
    report_json_add(object, "name", report_json_text(disk->name));
    add_rate(object, "read_bytes_per_s", disk->read_bytes_per_s);
    add_rate(object, "write_bytes_per_s", disk->write_bytes_per_s);
    add_rate(object, "read_ops_per_s", disk->read_ops_per_s);
    add_rate(object, "write_ops_per_s", disk->write_ops_per_s);
    add_number(object, "read_latency_s", disk->read_latency_s, 9);
    add_number(object, "write_latency_s", disk->write_latency_s, 9);
    if (of_host) {
        add_percent(object, "busy_percent", disk->busy_percent);
        report_json_add(object, "kind", report_json_text(disk_kind_text(disk->kind)));
    }
    return object;
}

static json_object *disks_json(const struct disk_usage *disks, size_t count, bool of_host)
{
    json_object *array = json_object_new_array();
    for (size_t i = 0; i < count; i++)
        report_json_append(array, disk_json(&disks[i], of_host));
    return array;
}

static json_object *interface_json(const struct interface_usage *interface)
{
    json_object *object = json_object_new_object();
    report_json_add(object, "name", report_json_text(interface->name));
    add_known_text(object, "mac", interface->mac);
    add_rate(object, "rx_packets_per_s", interface->rx.packets_per_s);
    add_rate(object, "tx_packets_per_s", interface->tx.packets_per_s);
    add_rate(object, "rx_packet_bits", interface->rx.packet_bits);
    add_rate(object, "tx_packet_bits", interface->tx.packet_bits);
    add_rate(object, "rx_bits_per_s", interface->rx.bits_per_s);
    add_rate(object, "tx_bits_per_s", interface->tx.bits_per_s);
    add_rate(object, "rx_errors_per_s", interface->rx_errors_per_s);
    add_rate(object, "tx_errors_per_s", interface->tx_errors_per_s);
    add_rate(object, "rx_dropped_per_s", interface->rx_dropped_per_s);
    add_rate(object, "tx_dropped_per_s", interface->tx_dropped_per_s);
    return object;
}

static json_object *interfaces_json(const struct interface_usage *interfaces, size_t count)
{
    json_object *array = json_object_new_array();
    for (size_t i = 0; i < count; i++)
        report_json_append(array, interface_json(&interfaces[i]));
    return array;
}

static json_object *host_memory_json(const struct host_memory *memory)
{
    json_object *object = json_object_new_object();
    bool known = !isnan(memory->time_s);
    report_json_add_u64(object, "total_bytes", known ? memory->total : UNKNOWN_U64);
    report_json_add_u64(object, "free_bytes", known ? memory->free : UNKNOWN_U64);
    report_json_add_u64(object, "available_bytes", known ? memory->available : UNKNOWN_U64);
    report_json_add_u64(object, "buffers_bytes", known ? memory->buffers : UNKNOWN_U64);
    report_json_add_u64(object, "cached_bytes", known ? memory->cached : UNKNOWN_U64);
    report_json_add_u64(object, "slab_reclaimable_bytes",
                        known ? memory->slab_reclaimable : UNKNOWN_U64);
    report_json_add_u64(object, "swap_total_bytes", known ? memory->swap_total : UNKNOWN_U64);
    report_json_add_u64(object, "swap_free_bytes", known ? memory->swap_free : UNKNOWN_U64);
    return object;
}

static json_object *host_json(const struct stat_report *report)
{
    const struct host_usage *usage = report->host_usage;
    bool vms_known = stat_vms_known(report->set);
    struct vm_counts counts = stat_count_vms(report->set);
    json_object *object = json_object_new_object();

    add_known_text(object, "name", report->host->host_name);
    add_known_text(object, "address", report->host->address);
    add_percent(object, "cpu_percent", usage->cpu.busy);
    report_json_add(object, "cpu", cpu_json(&usage->cpu));
    report_json_add(object, "cpus", cpus_json(usage));
    add_percent(object, "memory_percent", usage->memory_percent);
    report_json_add(object, "memory", host_memory_json(&report->host->memory));
    add_rate(object, "disk_read_bytes_per_s", usage->disk_read_bytes_per_s);
    add_rate(object, "disk_write_bytes_per_s", usage->disk_write_bytes_per_s);
    report_json_add(object, "disks", disks_json(usage->disks, usage->disk_count, true));
    report_json_add(object, "interfaces",
                    interfaces_json(usage->interfaces, usage->interface_count));
    report_json_add(object, "vms", vms_known ? json_object_new_uint64(counts.all) : NULL);
    report_json_add(object, "vms_running",
                    vms_known ? json_object_new_uint64(counts.running) : NULL);
    return object;
}

static json_object *vm_memory_json(const struct vm_memory *memory)
{
    json_object *object = json_object_new_object();
    bool known = !isnan(memory->time_s);
    bool fresh = known && !memory->stale;
    report_json_add_u64(object, "current_bytes", known ? memory->current : UNKNOWN_U64);
    report_json_add_u64(object, "maximum_bytes", known ? memory->maximum : UNKNOWN_U64);
    report_json_add_u64(object, "available_bytes", fresh ? memory->available : UNKNOWN_U64);
    report_json_add_u64(object, "unused_bytes", fresh ? memory->unused : UNKNOWN_U64);
    report_json_add_u64(object, "usable_bytes", fresh ? memory->usable : UNKNOWN_U64);
    report_json_add_u64(object, "disk_caches_bytes", fresh ? memory->disk_caches : UNKNOWN_U64);
    report_json_add_u64(object, "rss_bytes", known ? memory->rss : UNKNOWN_U64);
    return object;
}

static json_object *vcpus_json(const struct vm_usage *usage)
{
    json_object *array = json_object_new_array();
    for (size_t i = 0; i < usage->vcpu_count; i++) {
        json_object *object = json_object_new_object();
        report_json_add_u64(object, "number", usage->vcpus[i].number);
        add_percent(object, "busy_percent", usage->vcpus[i].busy_percent);
        add_percent(object, "wait_percent", usage->vcpus[i].wait_percent);
        add_percent(object, "steal_percent", usage->vcpus[i].steal_percent);
        report_json_append(array, object);
    }
    return array;
}

static json_object *vm_json(const struct vm_sample *vm, const struct vm_usage *usage)
{
    json_object *object = json_object_new_object();
    report_json_add(object, "name", report_json_text(vm->name));
    report_json_add(object, "uuid", report_json_text(vm->uuid));
    report_json_add(object, "state", report_json_text(vm_state_text(vm->state)));
    report_json_add(object, "answering", json_object_new_boolean(vm->answering));
    add_percent(object, "cpu_percent", usage->cpu_percent);
    add_percent(object, "vcpu_percent", usage->vcpu_percent);
    add_percent(object, "steal_percent", usage->steal_percent);
    add_percent(object, "wait_percent", usage->wait_percent);
    report_json_add(object, "vcpus", vcpus_json(usage));
    add_percent(object, "memory_percent", usage->memory_percent);
    report_json_add(object, "memory", vm_memory_json(&vm->memory));
    report_json_add(object, "disks", disks_json(usage->disks, usage->disk_count, false));
    report_json_add(object, "interfaces",
                    interfaces_json(usage->interfaces, usage->interface_count));
    return object;
}

static json_object *vms_json(const struct stat_report *report)
{
    json_object *array = json_object_new_array();
    for (size_t i = 0; report->set && i < report->set->count; i++)
        report_json_append(array, vm_json(&report->set->vms[i], &report->vm_usages[i]));
    return array;
}

int stat_json(const struct stat_report *report, char **ret_line)
{
    json_object *root = json_object_new_object();
    add_number(root, "time", report->unix_time, 3);
    add_number(root, "interval_s", report->host_usage->elapsed_s, 6);
    report_json_add(root, "connected",
                    json_object_new_boolean(report->set && report->set->connected));
    report_json_add(root, "complete",
                    json_object_new_boolean(!report->set || report->set->complete));
    report_json_add(root, "host", host_json(report));
    report_json_add(root, "vms", vms_json(report));
    return report_json_line(root, ret_line);
}
