/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dispatches the metrics of all VMs: see setmov_vm_metrics.h. */
#include "setmov_vm_metrics.h"

#include <errno.h>
#include <math.h>

/* Figures of a VM as a whole that were known once. */
enum known_figure {
    KNOWN_CPU = 1 << 0,
    KNOWN_VCPU = 1 << 1,
    KNOWN_STEAL = 1 << 2,
    KNOWN_WAIT = 1 << 3,
    KNOWN_MEMORY = 1 << 4,
};

struct vm_record {
    char name[VM_NAME_BYTES];
    char uuid[VM_UUID_TEXT_BYTES];
    bool selected;
    unsigned known; /* enum known_figure */
    struct identity identity;
    struct device_list disks, interfaces;
    meta_data_t *uuid_meta; /* owned */
};

/* ---- records ------------------------------------------------------------------- */

static void record_free(struct vm_record *record)
{
    if (record == NULL)
        return;
    device_list_release(&record->disks);
    device_list_release(&record->interfaces);
    meta_data_destroy(record->uuid_meta);
    free(record);
}

static bool identity_is_taken(struct vm_record *const *records, size_t count,
                              const struct identity *identity)
{
    static const char *const own[] = {PLUGIN_INSTANCE_HOST, PLUGIN_INSTANCE_SELF};

    for (size_t i = 0; i < ARRAY_LENGTH(own); i++) {
        if (strcmp(identity->host, hostname_g) == 0 &&
            strcmp(identity->plugin_instance, own[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (records[i]->selected && identity_equals(&records[i]->identity, identity))
            return true;
    }
    return false;
}

static void warn_of_new_name(const struct vm_record *record)
{
    const struct identity *identity = &record->identity;
    char name[VM_NAME_BYTES];

    string_copy(name, sizeof(name), record->name);
    text_make_one_line(name);
    WARNING(PLUGIN_NAME " plugin: the name of VM `%s' is in use; it is called `%s/%s%s%s'", name,
            identity->host, PLUGIN_NAME, identity->plugin_instance[0] != '\0' ? "-" : "",
            identity->plugin_instance);
}

/* Two sources of values under one name would spoil each other's series. */
static void make_identity(struct vm_record *record, struct vm_record *const *others, size_t count,
                          const struct setmov_config *config)
{
    static const size_t suffixes[] = {8, VM_UUID_TEXT_BYTES - 1};
    struct identity plain;

    identity_of_vm(config, hostname_g, record->name, record->uuid, &plain);
    record->identity = plain;
    for (size_t i = 0; i < ARRAY_LENGTH(suffixes) && record->selected; i++) {
        if (!identity_is_taken(others, count, &record->identity))
            break;
        record->identity = plain;
        identity_distinguish(&record->identity, record->uuid, suffixes[i]);
    }
    if (!identity_equals(&plain, &record->identity))
        warn_of_new_name(record);
}

static struct vm_record *record_new(const struct vm_sample *vm, struct vm_record *const *others,
                                    size_t count, const struct setmov_config *config)
{
    struct vm_record *record = calloc(1, sizeof(*record));

    if (record == NULL)
        return NULL;
    string_copy(record->name, sizeof(record->name), vm->name);
    string_copy(record->uuid, sizeof(record->uuid), vm->uuid);
    record->selected = filter_selects(&config->domains, vm->name);
    make_identity(record, others, count, config);
    record->uuid_meta = meta_data_create();
    if (record->uuid_meta != NULL)
        meta_data_add_string(record->uuid_meta, "uuid", vm->uuid);
    return record;
}

/* Takes the VM's record out of the array, or returns NULL. Looks at the hint first. */
static struct vm_record *take_record(struct vm_record **records, size_t count,
                                     const struct vm_sample *vm, size_t *hint)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = *hint + i < count ? *hint + i : *hint + i - count;
        struct vm_record *record = records[at];

        if (record == NULL || strcmp(record->uuid, vm->uuid) != 0)
            continue;
        *hint = at + 1 < count ? at + 1 : 0;
        if (strcmp(record->name, vm->name) != 0)
            return NULL; /* renamed: a new record */
        records[at] = NULL;
        return record;
    }
    return NULL;
}

static void count_vms(struct vm_metrics *metrics, const struct vm_set *set)
{
    /* Connected is not enough: before libvirt's first answer nobody knows how many there are. */
    metrics->vms = set->connected && set->listed ? 0 : NAN;
    metrics->vms_running = metrics->vms;
    for (size_t i = 0; i < set->count; i++) {
        const struct vm_sample *vm = &set->vms[i];

        if (!metrics->records[i]->selected)
            continue;
        metrics->vms++;
        if (vm->active && (vm->state == VM_STATE_RUNNING || vm->state == VM_STATE_BLOCKED))
            metrics->vms_running++;
    }
}

int vm_metrics_update(struct vm_metrics *metrics, const struct vm_set *set)
{
    struct vm_record **old = metrics->records;
    size_t old_count = metrics->record_count, old_capacity = metrics->record_capacity;
    size_t count = 0, hint = 0;
    int status = array_reserve(&metrics->spare, &metrics->spare_capacity, set->count,
                               sizeof(*metrics->spare));

    for (; status == 0 && count < set->count; count++) {
        struct vm_record *record = take_record(old, old_count, &set->vms[count], &hint);

        if (record == NULL)
            record = record_new(&set->vms[count], metrics->spare, count, metrics->config);
        if (record == NULL) {
            status = -ENOMEM;
            break;
        }
        metrics->spare[count] = record;
    }
    for (size_t i = 0; i < old_count; i++)
        record_free(old[i]);
    metrics->records = metrics->spare;
    metrics->record_capacity = metrics->spare_capacity;
    metrics->record_count = count;
    metrics->spare = old;
    metrics->spare_capacity = old_capacity;
    if (status == 0)
        count_vms(metrics, set);
    return status;
}

bool vm_metrics_identity(const struct vm_metrics *metrics, const char *name, const char *uuid,
                         struct identity *ret_identity)
{
    for (size_t i = 0; i < metrics->record_count; i++) {
        if (strcmp(metrics->records[i]->uuid, uuid) == 0) {
            *ret_identity = metrics->records[i]->identity;
            return metrics->records[i]->selected;
        }
    }
    identity_of_vm(metrics->config, hostname_g, name, uuid, ret_identity);
    return filter_selects(&metrics->config->domains, name);
}

/* ---- values ---------------------------------------------------------------------- */

/* True when the figure is known or was known before in this run of the VM. */
static bool has_series(struct vm_record *record, enum known_figure figure, double value)
{
    if (!isnan(value))
        record->known |= figure;
    return (record->known & figure) != 0;
}

static void dispatch_vcpus(struct emitter *emitter, const struct vm_sample *vm,
                           const struct vm_usage *usage)
{
    char buffer[DATA_MAX_NAME_LEN];

    for (size_t i = 0; i < vm->vcpu_count && i < usage->vcpu_count; i++) {
        unsigned number = vm->vcpus[i].number;

        emit_counter(emitter, LABEL("virt_vcpu"), label_number(buffer, LABEL(""), number),
                     vm->vcpus[i].time_ns);
        if (vm->vcpus[i].time_ns != UNKNOWN_U64)
            emit_gauge(emitter, LABEL("setmov_percent"),
                       label_number(buffer, LABEL("vcpu"), number), usage->vcpus[i].busy_percent);
    }
}

static void dispatch_cpu(struct emitter *emitter, const struct vm_sample *vm,
                         const struct vm_usage *usage, struct vm_record *record, bool per_cpu)
{
    const struct label type = LABEL("setmov_percent");

    if (has_series(record, KNOWN_CPU, usage->cpu_percent))
        emit_gauge(emitter, type, LABEL("cpu"), usage->cpu_percent);
    if (has_series(record, KNOWN_VCPU, usage->vcpu_percent))
        emit_gauge(emitter, type, LABEL("vcpu"), usage->vcpu_percent);
    if (has_series(record, KNOWN_STEAL, usage->steal_percent))
        emit_gauge(emitter, type, LABEL("steal"), usage->steal_percent);
    if (has_series(record, KNOWN_WAIT, usage->wait_percent))
        emit_gauge(emitter, type, LABEL("wait"), usage->wait_percent);
    if (!isnan(vm->cpu_time_s))
        emit_counter(emitter, LABEL("virt_cpu_total"), LABEL(""), vm->cpu_ns);
    if (per_cpu && !isnan(vm->vcpu_time_s))
        dispatch_vcpus(emitter, vm, usage);
}

static void dispatch_memory(struct emitter *emitter, const struct vm_memory *memory, double percent,
                            struct vm_record *record)
{
    if (has_series(record, KNOWN_MEMORY, percent))
        emit_percent(emitter, LABEL("memory"), percent);
    if (isnan(memory->time_s))
        return;
    emit_memory(emitter, LABEL("actual_balloon"), memory->current);
    emit_memory(emitter, LABEL("max"), memory->maximum);
    emit_memory(emitter, LABEL("rss"), memory->rss);
    if (memory->stale)
        return; /* the rest is what the guest once said */
    emit_memory(emitter, LABEL("available"), memory->available);
    emit_memory(emitter, LABEL("unused"), memory->unused);
    emit_memory(emitter, LABEL("usable"), memory->usable);
    emit_memory(emitter, LABEL("disk_caches"), memory->disk_caches);
}

static void dispatch_disk(struct emitter *emitter, struct label name, const struct vm_disk *disk,
                          const struct disk_usage *usage)
{
    emit_counters(emitter, LABEL("disk_octets"), name, disk->read_bytes, disk->write_bytes);
    emit_counters(emitter, LABEL("disk_ops"), name, disk->read_ops, disk->write_ops);
    emit_counters(emitter, LABEL("disk_time"), name, disk->read_ns, disk->write_ns);
    if (disk->read_bytes != UNKNOWN_U64 || disk->write_bytes != UNKNOWN_U64)
        emit_gauges(emitter, LABEL("setmov_disk"), name, usage->read_bytes_per_s,
                    usage->write_bytes_per_s);
    if (disk->read_ns != UNKNOWN_U64 || disk->write_ns != UNKNOWN_U64)
        emit_gauges(emitter, LABEL("setmov_latency"), name, usage->read_latency_s,
                    usage->write_latency_s);
    emit_bytes(emitter, LABEL("disk_allocation"), name, disk->allocation);
    emit_bytes(emitter, LABEL("disk_capacity"), name, disk->capacity);
    emit_bytes(emitter, LABEL("disk_physical"), name, disk->physical);
}

static void dispatch_disks(const struct vm_metrics *metrics, struct emitter *emitter,
                           const struct vm_sample *vm, struct vm_record *record)
{
    const struct setmov_config *config = metrics->config;

    for (size_t i = 0; i < vm->disk_count && i < metrics->usage.disk_count; i++) {
        const struct vm_disk *disk = &vm->disks[i];
        bool by_source =
            config->block_device_format == BLOCK_DEVICE_SOURCE && disk->path[0] != '\0';
        const struct device_query query = {by_source ? disk->path : disk->name,
                                           &config->block_devices, vm->name,
                                           by_source && config->block_device_basename};
        const struct device *device = device_list_at(&record->disks, i, &query);

        if (device != NULL)
            dispatch_disk(emitter, device->label, disk, &metrics->usage.disks[i]);
    }
}

static void dispatch_interface(struct emitter *emitter, struct label name,
                               const struct vm_interface *interface,
                               const struct interface_usage *usage)
{
    emit_counters(emitter, LABEL("if_octets"), name, interface->rx_bytes, interface->tx_bytes);
    emit_counters(emitter, LABEL("if_packets"), name, interface->rx_packets, interface->tx_packets);
    emit_counters(emitter, LABEL("if_errors"), name, interface->rx_errors, interface->tx_errors);
    emit_counters(emitter, LABEL("if_dropped"), name, interface->rx_dropped, interface->tx_dropped);
    if (interface->rx_packets == UNKNOWN_U64 && interface->tx_packets == UNKNOWN_U64)
        return;
    emit_gauges(emitter, LABEL("setmov_packets"), name, usage->rx.packets_per_s,
                usage->tx.packets_per_s);
    emit_gauges(emitter, LABEL("setmov_packet_size"), name, usage->rx.packet_bits,
                usage->tx.packet_bits);
    emit_gauges(emitter, LABEL("setmov_bits"), name, usage->rx.bits_per_s, usage->tx.bits_per_s);
}

static void dispatch_interfaces(const struct vm_metrics *metrics, struct emitter *emitter,
                                const struct vm_sample *vm, struct vm_record *record)
{
    const struct setmov_config *config = metrics->config;

    for (size_t i = 0; i < vm->interface_count && i < metrics->usage.interface_count; i++) {
        const struct vm_interface *interface = &vm->interfaces[i];
        /* Not by its name meanwhile, where the address is to come: that would be a series more. */
        const struct device_query query = {
            config->interface_format == INTERFACE_ADDRESS ? interface->mac : interface->name,
            &config->interface_devices, vm->name, false};
        struct device *device = device_list_at(&record->interfaces, i, &query);

        if (device != NULL)
            dispatch_interface(emitter, device->label, interface, &metrics->usage.interfaces[i]);
    }
}

static void dispatch_vm(const struct vm_metrics *metrics, struct emitter *emitter,
                        const struct vm_sample *vm, struct vm_record *record)
{
    emitter_source(emitter, record->identity.host, record->identity.plugin_instance);
    emitter_meta(emitter, record->uuid_meta);
    emit_gauges(emitter, LABEL("domain_state"), LABEL(""), vm->state, vm->reason);
    emitter_meta(emitter, NULL);
    if (!vm->active) {
        record->known = 0;
        return;
    }
    dispatch_cpu(emitter, vm, &metrics->usage, record, metrics->config->per_cpu);
    dispatch_memory(emitter, &vm->memory, metrics->usage.memory_percent, record);
    if (metrics->config->report_block_devices && !isnan(vm->disk_time_s))
        dispatch_disks(metrics, emitter, vm, record);
    if (metrics->config->report_network_interfaces && !isnan(vm->interface_time_s))
        dispatch_interfaces(metrics, emitter, vm, record);
}

int vm_metrics_dispatch(struct vm_metrics *metrics, struct emitter *emitter, struct vm_set *before,
                        struct vm_set *after)
{
    size_t hint = 0;

    for (size_t i = 0; i < after->count && i < metrics->record_count; i++) {
        struct vm_sample *vm = &after->vms[i];
        const struct vm_sample *old = vm_set_find(before, vm->uuid, &hint);
        int status;

        if (!metrics->records[i]->selected)
            continue;
        status = usage_vm(old, vm, after->host_cpus, metrics->config->packet_overhead_bits,
                          &metrics->usage);
        if (status < 0)
            return status;
        dispatch_vm(metrics, emitter, vm, metrics->records[i]);
        if (old != NULL)
            usage_vm_keep(&before->vms[old - before->vms], vm);
    }
    return 0;
}

void vm_metrics_release(struct vm_metrics *metrics)
{
    for (size_t i = 0; i < metrics->record_count; i++)
        record_free(metrics->records[i]);
    free(metrics->records);
    free(metrics->spare);
    vm_usage_release(&metrics->usage);
    memset(metrics, 0, sizeof(*metrics));
}
