/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sample of `setmov stat` as one line of JSON. Unknown is null. */
#include "stat.h"
#include "utf8.h"

#include <errno.h>
#include <json.h>
#include <math.h>

/* Longest name, path or address that goes into JSON. */
#define JSON_TEXT_BYTES UTF8_VALID_BYTES(512)

/*
 * json-c's setters tolerate NULL objects (which print as null), so running
 * out of memory half-way is noticed once, where the line is made.
 */
static void add(json_object *object, const char *key, json_object *value)
{
    if (!object || json_object_object_add(object, key, value) < 0)
        json_object_put(value);
}

static void append(json_object *array, json_object *value)
{
    if (!array || json_object_array_add(array, value) < 0)
        json_object_put(value);
}

static void add_text(json_object *object, const char *key, const char *text)
{
    char valid[JSON_TEXT_BYTES];
    utf8_valid(text, valid, sizeof(valid));
    add(object, key, json_object_new_string(valid));
}

/* A text that may be unknown: "" is null. */
static void add_known_text(json_object *object, const char *key, const char *text)
{
    if (text[0] != '\0')
        add_text(object, key, text);
    else
        add(object, key, NULL);
}

/* `decimals` digits behind the point at most, one at least; NaN is null. */
static void add_number(json_object *object, const char *key, double value, int decimals)
{
    char text[352]; /* the largest double has 309 digits before the point */
    if (!isfinite(value) || !string_format(text, sizeof(text), "%.*f", decimals, value)) {
        add(object, key, NULL);
        return;
    }
    size_t length = strlen(text);
    while (length > 2 && text[length - 1] == '0' && text[length - 2] != '.')
        text[--length] = '\0';
    add(object, key, json_object_new_double_s(value, text));
}

static void add_percent(json_object *object, const char *key, double value)
{
    add_number(object, key, value, 3);
}

static void add_rate(json_object *object, const char *key, double value)
{
    add_number(object, key, value, 3);
}

static void add_bytes(json_object *object, const char *key, uint64_t bytes)
{
    add(object, key, bytes == UNKNOWN_U64 ? NULL : json_object_new_uint64(bytes));
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
        add(object, "number", json_object_new_uint64(usage->cpus[i].number));
        add_percent(object, "cpu_percent", usage->cpus[i].usage.busy);
        append(array, object);
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
    add_text(object, "name", disk->name);
    add_rate(object, "read_bytes_per_s", disk->read_bytes_per_s);
    add_rate(object, "write_bytes_per_s", disk->write_bytes_per_s);
    add_rate(object, "read_ops_per_s", disk->read_ops_per_s);
    add_rate(object, "write_ops_per_s", disk->write_ops_per_s);
    add_number(object, "read_latency_s", disk->read_latency_s, 9);
    add_number(object, "write_latency_s", disk->write_latency_s, 9);
    if (of_host) {
        add_percent(object, "busy_percent", disk->busy_percent);
        add_text(object, "kind", disk_kind_text(disk->kind));
    }
    return object;
}

static json_object *disks_json(const struct disk_usage *disks, size_t count, bool of_host)
{
    json_object *array = json_object_new_array();
    for (size_t i = 0; i < count; i++)
        append(array, disk_json(&disks[i], of_host));
    return array;
}

static json_object *interface_json(const struct interface_usage *interface)
{
    json_object *object = json_object_new_object();
    add_text(object, "name", interface->name);
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
        append(array, interface_json(&interfaces[i]));
    return array;
}

static json_object *host_memory_json(const struct host_memory *memory)
{
    json_object *object = json_object_new_object();
    bool known = !isnan(memory->time_s);
    add_bytes(object, "total_bytes", known ? memory->total : UNKNOWN_U64);
    add_bytes(object, "free_bytes", known ? memory->free : UNKNOWN_U64);
    add_bytes(object, "available_bytes", known ? memory->available : UNKNOWN_U64);
    add_bytes(object, "buffers_bytes", known ? memory->buffers : UNKNOWN_U64);
    add_bytes(object, "cached_bytes", known ? memory->cached : UNKNOWN_U64);
    add_bytes(object, "slab_reclaimable_bytes", known ? memory->slab_reclaimable : UNKNOWN_U64);
    add_bytes(object, "swap_total_bytes", known ? memory->swap_total : UNKNOWN_U64);
    add_bytes(object, "swap_free_bytes", known ? memory->swap_free : UNKNOWN_U64);
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
    add(object, "cpu", cpu_json(&usage->cpu));
    add(object, "cpus", cpus_json(usage));
    add_percent(object, "memory_percent", usage->memory_percent);
    add(object, "memory", host_memory_json(&report->host->memory));
    add_rate(object, "disk_read_bytes_per_s", usage->disk_read_bytes_per_s);
    add_rate(object, "disk_write_bytes_per_s", usage->disk_write_bytes_per_s);
    add(object, "disks", disks_json(usage->disks, usage->disk_count, true));
    add(object, "interfaces", interfaces_json(usage->interfaces, usage->interface_count));
    add(object, "vms", vms_known ? json_object_new_uint64(counts.all) : NULL);
    add(object, "vms_running", vms_known ? json_object_new_uint64(counts.running) : NULL);
    return object;
}

static json_object *vm_memory_json(const struct vm_memory *memory)
{
    json_object *object = json_object_new_object();
    bool known = !isnan(memory->time_s);
    bool fresh = known && !memory->stale;
    add_bytes(object, "current_bytes", known ? memory->current : UNKNOWN_U64);
    add_bytes(object, "maximum_bytes", known ? memory->maximum : UNKNOWN_U64);
    add_bytes(object, "available_bytes", fresh ? memory->available : UNKNOWN_U64);
    add_bytes(object, "unused_bytes", fresh ? memory->unused : UNKNOWN_U64);
    add_bytes(object, "usable_bytes", fresh ? memory->usable : UNKNOWN_U64);
    add_bytes(object, "disk_caches_bytes", fresh ? memory->disk_caches : UNKNOWN_U64);
    add_bytes(object, "rss_bytes", known ? memory->rss : UNKNOWN_U64);
    return object;
}

static json_object *vcpus_json(const struct vm_usage *usage)
{
    json_object *array = json_object_new_array();
    for (size_t i = 0; i < usage->vcpu_count; i++) {
        json_object *object = json_object_new_object();
        add(object, "number", json_object_new_uint64(usage->vcpus[i].number));
        add_percent(object, "busy_percent", usage->vcpus[i].busy_percent);
        add_percent(object, "wait_percent", usage->vcpus[i].wait_percent);
        add_percent(object, "steal_percent", usage->vcpus[i].steal_percent);
        append(array, object);
    }
    return array;
}

static json_object *vm_json(const struct vm_sample *vm, const struct vm_usage *usage)
{
    json_object *object = json_object_new_object();
    add_text(object, "name", vm->name);
    add_text(object, "uuid", vm->uuid);
    add_text(object, "state", vm_state_text(vm->state));
    add(object, "answering", json_object_new_boolean(vm->answering));
    add_percent(object, "cpu_percent", usage->cpu_percent);
    add_percent(object, "vcpu_percent", usage->vcpu_percent);
    add_percent(object, "steal_percent", usage->steal_percent);
    add_percent(object, "wait_percent", usage->wait_percent);
    add(object, "vcpus", vcpus_json(usage));
    add_percent(object, "memory_percent", usage->memory_percent);
    add(object, "memory", vm_memory_json(&vm->memory));
    add(object, "disks", disks_json(usage->disks, usage->disk_count, false));
    add(object, "interfaces", interfaces_json(usage->interfaces, usage->interface_count));
    return object;
}

static json_object *vms_json(const struct stat_report *report)
{
    json_object *array = json_object_new_array();
    for (size_t i = 0; report->set && i < report->set->count; i++)
        append(array, vm_json(&report->set->vms[i], &report->vm_usages[i]));
    return array;
}

/*
 * The JSON as a line of its own. json-c leaves characters as they are that a
 * terminal takes for orders (U+007F..9F) or that turn the line around. They
 * stand inside strings only, where \u00XX means the same.
 */
static int print_line(const char *json, char **ret_line)
{
    char *line = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&line, &size);
    if (!out)
        return -ENOMEM;
    while (*json != '\0') {
        uint32_t character = 0;
        size_t length = utf8_decode(json, &character);
        if (length == 0)
            length = 1;                    /* add_text() lets none in */
        else if (utf8_is_unfit(character)) /* none is above U+FFFF */
            fprintf(out, "\\u%04x", character);
        else
            fwrite_unlocked(json, 1, length, out);
        json += length;
    }
    fputc('\n', out);
    if (fclose(out) != 0) {
        free(line);
        return -ENOMEM;
    }
    *ret_line = line;
    return 0;
}

int stat_json(const struct stat_report *report, char **ret_line)
{
    json_object *root = json_object_new_object();
    add_number(root, "time", report->unix_time, 3);
    add_number(root, "interval_s", report->host_usage->elapsed_s, 6);
    add(root, "connected", json_object_new_boolean(report->set && report->set->connected));
    add(root, "complete", json_object_new_boolean(!report->set || report->set->complete));
    add(root, "host", host_json(report));
    add(root, "vms", vms_json(report));

    const char *text = root ? json_object_to_json_string_ext(
                                  root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                            : NULL;
    int result = text ? print_line(text, ret_line) : -ENOMEM;
    json_object_put(root);
    return result;
}
