/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Usage of the host: the formulas over two whole host samples (1, 3, 4, 5 to 7). */
#include "interfaces.h"
#include "match.h"
#include "rate.h"

#include <errno.h>
#include <math.h>

/* ---- CPUs ------------------------------------------------------------------------ */

/* CPUs are listed in ascending order, so one pass over both lists matches them. */
static int fill_cpus(const struct host_cpu *before, const struct host_cpu *after,
                     struct host_usage *usage)
{
    static const struct cpu_times unknown = {0};
    size_t cursor = 0;

    if (array_reserve(&usage->cpus, &usage->cpu_capacity, after->cpu_count, sizeof(*usage->cpus)) <
        0)
        return -ENOMEM;
    for (size_t i = 0; i < after->cpu_count; i++) {
        const struct host_cpu_one *cpu = &after->cpus[i];
        const struct cpu_times *times_before = &unknown;
        while (cursor < before->cpu_count && before->cpus[cursor].number < cpu->number)
            cursor++;
        if (cursor < before->cpu_count && before->cpus[cursor].number == cpu->number)
            times_before = &before->cpus[cursor].times;
        usage->cpus[i] = (struct cpu_one_usage){cpu->number, usage_cpu(times_before, &cpu->times)};
    }
    usage->cpu_count = after->cpu_count;
    return 0;
}

/* ---- disks ------------------------------------------------------------------------ */

static struct disk_usage disk_unknown(const struct host_disk *disk)
{
    return (struct disk_usage){disk->name, disk->kind, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
}

static struct disk_usage disk_between(const struct host_disk *disk_before,
                                      const struct host_disk *disk, double elapsed_s)
{
    const struct disk_counters *before = &disk_before->counters;
    const struct disk_counters *after = &disk->counters;
    double read_s = counter_difference(before->read_ms, after->read_ms) / 1000.0;
    double write_s = counter_difference(before->write_ms, after->write_ms) / 1000.0;
    double io_s = counter_difference(before->io_ms, after->io_ms) / 1000.0;
    double reads = counter_difference(before->read_ops, after->read_ops);
    double writes = counter_difference(before->write_ops, after->write_ops);
    double busy_percent = percentage(io_s, elapsed_s);
    bool known = !isnan(elapsed_s);

    return (struct disk_usage){
        .name = disk->name,
        .kind = disk->kind,
        .read_bytes_per_s =
            SECTOR_BYTES * usage_rate(before->read_sectors, after->read_sectors, elapsed_s),
        .write_bytes_per_s =
            SECTOR_BYTES * usage_rate(before->write_sectors, after->write_sectors, elapsed_s),
        .read_ops_per_s = usage_rate(before->read_ops, after->read_ops, elapsed_s),
        .write_ops_per_s = usage_rate(before->write_ops, after->write_ops, elapsed_s),
        .read_latency_s = known ? mean_latency(reads, read_s) : NAN,
        .write_latency_s = known ? mean_latency(writes, write_s) : NAN,
        /* The kernel counts in ticks, so an interval can seem to hold a tick too many. */
        .busy_percent = busy_percent > 100.0 ? 100.0 : busy_percent,
    };
}

/*
 * The total of the whole disks. Those that are new, or whose counters began
 * anew, are left out for this interval; when no disk that is there is known,
 * neither is the total.
 */
struct disk_total {
    double read, write;
    size_t disks, known_read, known_write;
};

static void add_to_total(struct disk_total *total, const struct disk_usage *disk)
{
    if (disk->kind != DISK_WHOLE)
        return;
    total->disks++;
    if (!isnan(disk->read_bytes_per_s)) {
        total->read += disk->read_bytes_per_s;
        total->known_read++;
    }
    if (!isnan(disk->write_bytes_per_s)) {
        total->write += disk->write_bytes_per_s;
        total->known_write++;
    }
}

/* The same disk a sample earlier; a name that now means another device is a new disk. */
static int find_disk(struct name_matcher *matcher, const struct host_disks *before,
                     const struct host_disk *disk, const struct host_disk **ret_before)
{
    size_t index = SIZE_MAX;
    if (name_matcher_find(matcher, disk->name, &index) < 0)
        return -ENOMEM;
    *ret_before = NULL;
    if (index < before->count && before->disks[index].major == disk->major &&
        before->disks[index].minor == disk->minor)
        *ret_before = &before->disks[index];
    return 0;
}

static int fill_disks(const struct host_disks *before, const struct host_disks *after,
                      struct host_usage *usage)
{
    double elapsed_s = elapsed_between(before->time_s, after->time_s);
    CLEANUP(name_matcher_release)
    struct name_matcher matcher = NAME_MATCHER(before->disks, before->count);
    struct disk_total total = {0};

    if (array_reserve(&usage->disks, &usage->disk_capacity, after->count, sizeof(*usage->disks)) <
        0)
        return -ENOMEM;
    for (size_t i = 0; i < after->count; i++) {
        const struct host_disk *disk = &after->disks[i];
        const struct host_disk *disk_before = NULL;
        if (find_disk(&matcher, before, disk, &disk_before) < 0)
            return -ENOMEM;
        usage->disks[i] =
            disk_before ? disk_between(disk_before, disk, elapsed_s) : disk_unknown(disk);
        add_to_total(&total, &usage->disks[i]);
    }
    usage->disk_count = after->count;

    bool none = total.disks == 0 && !isnan(elapsed_s); /* a host without disks moves 0 bytes */
    usage->disk_read_bytes_per_s = total.known_read > 0 || none ? total.read : NAN;
    usage->disk_write_bytes_per_s = total.known_write > 0 || none ? total.write : NAN;
    return 0;
}

/* ---- interfaces ---------------------------------------------------------------------- */

static struct interface_counters counters_at(const void *interfaces, size_t index)
{
    const struct host_interface *interface = (const struct host_interface *)interfaces + index;
    const struct net_counters *c = &interface->counters;

    return (struct interface_counters){
        interface->name, interface->mac, c->rx_bytes,   c->rx_packets, c->rx_errors,
        c->rx_dropped,   c->tx_bytes,    c->tx_packets, c->tx_errors,  c->tx_dropped,
    };
}

static int fill_host_interfaces(const struct host_interfaces *before,
                                const struct host_interfaces *after, double overhead_bits,
                                struct host_usage *usage)
{
    CLEANUP(name_matcher_release)
    struct name_matcher matcher = NAME_MATCHER(before->interfaces, before->count);
    const struct interface_list then = {before->interfaces, before->count, before->time_s,
                                        counters_at},
                                now = {after->interfaces, after->count, after->time_s, counters_at};

    if (fill_interfaces(&then, &now, &matcher, overhead_bits, &usage->interfaces,
                        &usage->interface_capacity) < 0)
        return -ENOMEM;
    usage->interface_count = after->count;
    return 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

/* What comes before the first sample. */
static const struct host_sample nothing = {
    .cpu.time_s = NAN,
    .memory.time_s = NAN,
    .disks.time_s = NAN,
    .interfaces.time_s = NAN,
};

int usage_host(const struct host_sample *before, const struct host_sample *after,
               double overhead_bits, struct host_usage *usage)
{
    if (!before)
        before = &nothing;
    /* Zeroed, or its CPUs could not be read: a time, if any, of nothing. */
    const struct host_cpu *cpu_before = before->cpu.all.fields > 0 ? &before->cpu : &nothing.cpu;

    usage->elapsed_s = elapsed_between(cpu_before->time_s, after->cpu.time_s);
    usage->cpu = usage_cpu(&cpu_before->all, &after->cpu.all);
    usage->memory_percent =
        isnan(after->memory.time_s) ? NAN : usage_memory(after->memory.total, after->memory.free);
    if (fill_cpus(cpu_before, &after->cpu, usage) < 0 ||
        fill_disks(&before->disks, &after->disks, usage) < 0 ||
        fill_host_interfaces(&before->interfaces, &after->interfaces, overhead_bits, usage) < 0)
        return -ENOMEM;
    return 0;
}

void usage_host_keep(struct host_sample *before, struct host_sample *after)
{
    if (isnan(after->cpu.time_s))
        SWAP(before->cpu, after->cpu);
    if (isnan(after->disks.time_s))
        SWAP(before->disks, after->disks);
    if (isnan(after->interfaces.time_s))
        SWAP(before->interfaces, after->interfaces);
}

void host_usage_release(struct host_usage *usage)
{
    if (!usage)
        return;
    free(usage->cpus);
    free(usage->disks);
    free(usage->interfaces);
    *usage = (struct host_usage){0};
}
