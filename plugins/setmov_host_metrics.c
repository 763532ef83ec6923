/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dispatches the metrics of the host and of the plugin itself. */
#include "setmov_host_metrics.h"

#include <errno.h>
#include <math.h>

/* ---- CPU and memory --------------------------------------------------------- */

static const struct {
    struct label percent; /* type instance of `percent` */
    struct label ticks;   /* type instance of `cpu`, as collectd's cpu plugin names them */
    size_t usage_offset, times_offset;
} cpu_states[] = {
#define STATE(member, ticks_name)                                                                  \
    {                                                                                              \
        LABEL_INIT("cpu_" #member), LABEL_INIT(ticks_name), offsetof(struct cpu_usage, member),    \
            offsetof(struct cpu_times, member)                                                     \
    }
    STATE(user, "user"),       STATE(nice, "nice"),
    STATE(system, "system"),   STATE(idle, "idle"),
    STATE(iowait, "wait"),     STATE(irq, "interrupt"),
    STATE(softirq, "softirq"), STATE(steal, "steal"),
    STATE(guest, "guest"),     STATE(guest_nice, "guest_nice"),
#undef STATE
};

static void dispatch_cpu(const struct host_metrics *metrics, struct emitter *emitter,
                         const struct host_sample *after)
{
    const struct host_usage *usage = &metrics->usage;
    char buffer[DATA_MAX_NAME_LEN];

    emitter_meta(emitter, metrics->address_meta);
    emit_percent(emitter, LABEL("cpu"), usage->cpu.busy);
    emitter_meta(emitter, NULL);
    for (unsigned i = 0; i < ARRAY_LENGTH(cpu_states); i++) {
        const char *one_usage = (const char *)&usage->cpu + cpu_states[i].usage_offset;
        const char *one_times = (const char *)&after->cpu.all + cpu_states[i].times_offset;

        emit_percent(emitter, cpu_states[i].percent, *(const double *)one_usage);
        /* States that this kernel does not know are left out of the counters. */
        if (cpu_states[i].times_offset / sizeof(uint64_t) < after->cpu.all.fields)
            emit_counter(emitter, LABEL("cpu"), cpu_states[i].ticks, *(const uint64_t *)one_times);
    }
    for (size_t i = 0; metrics->config->per_cpu && i < usage->cpu_count; i++)
        emit_percent(emitter, label_number(buffer, LABEL("cpu"), usage->cpus[i].number),
                     usage->cpus[i].usage.busy);
}

static void dispatch_memory(struct emitter *emitter, double percent,
                            const struct host_memory *memory)
{
    uint64_t not_used = 0;
    const uint64_t free_pieces[] = {memory->free, memory->buffers, memory->cached,
                                    memory->slab_reclaimable};

    emit_percent(emitter, LABEL("memory"), percent);
    emit_memory(emitter, LABEL("total"), memory->total);
    emit_memory(emitter, LABEL("free"), memory->free);
    emit_memory(emitter, LABEL("available"), memory->available);
    emit_memory(emitter, LABEL("buffered"), memory->buffers);
    emit_memory(emitter, LABEL("cached"), memory->cached);
    emit_memory(emitter, LABEL("slab_recl"), memory->slab_reclaimable);
    emit_memory(emitter, LABEL("swap_total"), memory->swap_total);
    emit_memory(emitter, LABEL("swap_free"), memory->swap_free);
    /* As collectd's memory plugin: what none of the other pieces holds. */
    for (size_t i = 0; i < ARRAY_LENGTH(free_pieces); i++) {
        if (free_pieces[i] != UNKNOWN_U64 &&
            __builtin_add_overflow(not_used, free_pieces[i], &not_used))
            return;
    }
    if (memory->total != UNKNOWN_U64 && not_used <= memory->total)
        emit_memory(emitter, LABEL("used"), memory->total - not_used);
}

/* ---- disks and interfaces ------------------------------------------------------ */

static bool unknown(uint64_t value)
{
    return value == UNKNOWN_U64;
}

static void dispatch_disk(struct emitter *emitter, struct label name,
                          const struct disk_usage *usage, const struct disk_counters *counters)
{
    char buffer[DATA_MAX_NAME_LEN];
    uint64_t read_bytes, write_bytes;

    /* Bytes that do not fit cannot be told; the sectors are then hostile anyway. */
    if (unknown(counters->read_sectors) ||
        __builtin_mul_overflow(counters->read_sectors, SECTOR_BYTES, &read_bytes))
        read_bytes = UNKNOWN_U64;
    if (unknown(counters->write_sectors) ||
        __builtin_mul_overflow(counters->write_sectors, SECTOR_BYTES, &write_bytes))
        write_bytes = UNKNOWN_U64;
    emit_counters(emitter, LABEL("disk_octets"), name, read_bytes, write_bytes);
    emit_counters(emitter, LABEL("disk_ops"), name, counters->read_ops, counters->write_ops);
    emit_counters(emitter, LABEL("disk_merged"), name, counters->read_merged,
                  counters->write_merged);
    emit_counters(emitter, LABEL("disk_time"), name, counters->read_ms, counters->write_ms);
    emit_counters(emitter, LABEL("disk_io_time"), name, counters->io_ms, counters->weighted_ms);
    emit_gauges(emitter, LABEL("setmov_disk"), name, usage->read_bytes_per_s,
                usage->write_bytes_per_s);
    /* Old kernels count no times for partitions: then these series never are. */
    if (!unknown(counters->read_ms))
        emit_gauges(emitter, LABEL("setmov_latency"), name, usage->read_latency_s,
                    usage->write_latency_s);
    if (!unknown(counters->io_ms))
        emit_percent(emitter, label_join(buffer, LABEL("disk_busy-"), name), usage->busy_percent);
}

static void dispatch_disks(struct host_metrics *metrics, struct emitter *emitter,
                           const struct host_disks *disks)
{
    const struct host_usage *usage = &metrics->usage;

    for (size_t i = 0; i < disks->count && i < usage->disk_count; i++) {
        const struct device_query query = {disks->disks[i].name, &metrics->config->host_disks, NULL,
                                           false};
        const struct device *device = device_list_at(&metrics->disks, i, &query);

        if (device != NULL)
            dispatch_disk(emitter, device->label, &usage->disks[i], &disks->disks[i].counters);
    }
    emit_gauges(emitter, LABEL("setmov_disk"), LABEL("total"), usage->disk_read_bytes_per_s,
                usage->disk_write_bytes_per_s);
}

static void dispatch_interfaces(struct host_metrics *metrics, struct emitter *emitter,
                                const struct host_interfaces *interfaces)
{
    const struct host_usage *usage = &metrics->usage;

    for (size_t i = 0; i < interfaces->count && i < usage->interface_count; i++) {
        const struct host_interface *interface = &interfaces->interfaces[i];
        const struct net_counters *counters = &interface->counters;
        const struct packet_usage *rx = &usage->interfaces[i].rx, *tx = &usage->interfaces[i].tx;
        const struct device_query query = {interface->name, &metrics->config->host_interfaces, NULL,
                                           false};
        struct device *device = device_list_at(&metrics->interfaces, i, &query);

        if (device == NULL)
            continue;
        device_set_mac(device, interface->mac);
        emitter_meta(emitter, device->meta);
        emit_counters(emitter, LABEL("if_octets"), device->label, counters->rx_bytes,
                      counters->tx_bytes);
        emitter_meta(emitter, NULL);
        emit_counters(emitter, LABEL("if_packets"), device->label, counters->rx_packets,
                      counters->tx_packets);
        emit_counters(emitter, LABEL("if_errors"), device->label, counters->rx_errors,
                      counters->tx_errors);
        emit_counters(emitter, LABEL("if_dropped"), device->label, counters->rx_dropped,
                      counters->tx_dropped);
        emit_gauges(emitter, LABEL("setmov_packets"), device->label, rx->packets_per_s,
                    tx->packets_per_s);
        emit_gauges(emitter, LABEL("setmov_packet_size"), device->label, rx->packet_bits,
                    tx->packet_bits);
        emit_gauges(emitter, LABEL("setmov_bits"), device->label, rx->bits_per_s, tx->bits_per_s);
    }
}

/* ---- the contract ------------------------------------------------------------------ */

static void set_address(struct host_metrics *metrics, const char *address)
{
    if (strcmp(metrics->address, address) == 0)
        return;
    meta_data_destroy(metrics->address_meta);
    metrics->address_meta = NULL;
    string_copy(metrics->address, sizeof(metrics->address), address);
    if (address[0] == '\0')
        return;
    metrics->address_meta = meta_data_create();
    if (metrics->address_meta != NULL)
        meta_data_add_string(metrics->address_meta, "address", address);
}

int host_metrics_dispatch(struct host_metrics *metrics, struct emitter *emitter,
                          const struct host_sample *before, const struct host_sample *after)
{
    if (usage_host(before, after, metrics->config->packet_overhead_bits, &metrics->usage) < 0)
        return -ENOMEM;
    set_address(metrics, after->address);
    emitter_source(emitter, hostname_g, PLUGIN_INSTANCE_HOST);
    if (!isnan(after->cpu.time_s))
        dispatch_cpu(metrics, emitter, after);
    if (!isnan(after->memory.time_s))
        dispatch_memory(emitter, metrics->usage.memory_percent, &after->memory);
    if (!isnan(after->disks.time_s))
        dispatch_disks(metrics, emitter, &after->disks);
    if (!isnan(after->interfaces.time_s))
        dispatch_interfaces(metrics, emitter, &after->interfaces);
    return 0;
}

void host_metrics_dispatch_vm_counts(struct emitter *emitter, double vms, double running)
{
    emitter_source(emitter, hostname_g, PLUGIN_INSTANCE_HOST);
    emit_gauge(emitter, LABEL("count"), LABEL("vms"), vms);
    emit_gauge(emitter, LABEL("count"), LABEL("vms_running"), running);
}

void host_metrics_dispatch_self(struct emitter *emitter, const struct self_metrics *self)
{
    emitter_source(emitter, hostname_g, PLUGIN_INSTANCE_SELF);
    if (self->collects_vms) {
        emit_gauge(emitter, LABEL("gauge"), LABEL("up"), self->up ? 1 : 0);
        emit_gauge(emitter, LABEL("count"), LABEL("silent_vms"), (double)self->silent_vms);
        emit_gauge(emitter, LABEL("count"), LABEL("rpc"), self->rpc_count);
    }
    emit_gauge(emitter, LABEL("count"), LABEL("missed_cycles"), (double)self->missed_cycles);
    emit_gauge(emitter, LABEL("duration"), LABEL("cycle"), clock_monotonic_s() - self->started_s);
}

void host_metrics_release(struct host_metrics *metrics)
{
    host_usage_release(&metrics->usage);
    device_list_release(&metrics->disks);
    device_list_release(&metrics->interfaces);
    meta_data_destroy(metrics->address_meta);
    memset(metrics, 0, sizeof(*metrics));
}
