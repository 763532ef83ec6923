/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sample of `setmov stat` as a table for a person: a block for the host and
 * one row for each VM, in 80 columns.
 */
#include "human.h"
#include "stat.h"
#include "utf8.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>

/* Devices of a kind that are shown unless all are asked for: the busiest. */
#define DEVICES_SHOWN 4

/* Columns of names; the bytes hold characters of four bytes each. */
#define NAME_COLUMNS    17
#define NAME_BUFFER     (4 * VM_NAME_BYTES)
#define VM_STATE_COLUMN 13

struct table {
    FILE *out;
    const struct stat_table_options *options;
    unsigned rows_used;
};

static unsigned rows_left(const struct table *table)
{
    if (table->options->rows == 0)
        return UINT32_MAX;
    /* The cursor ends in a row of its own. */
    unsigned usable = table->options->rows - 1;
    return table->rows_used < usable ? usable - table->rows_used : 0;
}

static void print_line(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);

static void print_line(struct table *table, const char *format, ...)
{
    va_list arguments;
    if (rows_left(table) == 0)
        return;
    va_start(arguments, format);
    vfprintf(table->out, format, arguments);
    va_end(arguments);
    /* On a screen, what an earlier drawing left to the right is wiped out. */
    fputs(table->options->screen ? "\033[K\n" : "\n", table->out);
    table->rows_used++;
}

/* ---- choosing what is busiest ------------------------------------------------------------ */

struct choice {
    double activity;
    size_t index;
};

static int compare_activity(const void *a, const void *b)
{
    const struct choice *left = a, *right = b;
    if (left->activity != right->activity)
        return left->activity > right->activity ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static int compare_index(const void *a, const void *b)
{
    const struct choice *left = a, *right = b;
    return left->index < right->index ? -1 : 1;
}

/* Keeps the `limit` most active, in their own order. Returns how many there are. */
static size_t keep_busiest(struct choice *choices, size_t count, size_t limit)
{
    if (count <= limit)
        return count;
    qsort(choices, count, sizeof(*choices), compare_activity);
    qsort(choices, limit, sizeof(*choices), compare_index);
    return limit;
}

static double known_or_zero(double value)
{
    return isnan(value) ? 0 : value;
}

/* ---- the host ------------------------------------------------------------------------------ */

static void print_heading(struct table *table, const struct stat_report *report)
{
    char when[32] = "";
    char name[NAME_BUFFER];
    char vms[96] = "";
    time_t seconds = (time_t)report->unix_time;
    struct tm local;

    if (localtime_r(&seconds, &local))
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &local);
    if (stat_vms_known(report->set)) {
        struct vm_counts counts = stat_count_vms(report->set);
        char silent[40] = "";
        if (counts.silent > 0)
            string_format(silent, sizeof(silent), ", %zu not answering", counts.silent);
        string_format(vms, sizeof(vms), "  %zu VM%s, %zu running%s", counts.all,
                      counts.all == 1 ? "" : "s", counts.running, silent);
    } else if (report->set) {
        string_copy(vms, sizeof(vms), "  VMs unknown");
    }
    size_t length = strlen(report->host->host_name);
    utf8_column(report->host->host_name, length < 20 ? (unsigned)length : 20, name, sizeof(name));
    print_line(table, "%s  %s%s%s%s", when, name, report->host->address[0] ? " " : "",
               report->host->address, vms);
}

static void print_cpu(struct table *table, const struct cpu_usage *cpu)
{
    print_line(table, "%-8s%6s%6s%6s%6s%7s%6s%6s%6s%6s%6s%6s", "CPU %", "busy", "user", "nice",
               "sys", "iowait", "irq", "sirq", "steal", "guest", "gnice", "idle");
    print_line(table, "%-8s%6s%6s%6s%6s%7s%6s%6s%6s%6s%6s%6s", "", human_percent(cpu->busy).text,
               human_percent(cpu->user).text, human_percent(cpu->nice).text,
               human_percent(cpu->system).text, human_percent(cpu->iowait).text,
               human_percent(cpu->irq).text, human_percent(cpu->softirq).text,
               human_percent(cpu->steal).text, human_percent(cpu->guest).text,
               human_percent(cpu->guest_nice).text, human_percent(cpu->idle).text);
}

static void print_memory(struct table *table, const struct host_memory *memory, double percent)
{
    struct host_memory shown = *memory;
    if (isnan(memory->time_s))
        shown.total = shown.free = shown.available = shown.buffers = shown.cached =
            shown.slab_reclaimable = shown.swap_total = shown.swap_free = UNKNOWN_U64;
    print_line(table, "%-8s%6s%7s%7s%7s%7s%7s%7s%8s%8s", "memory", "%used", "total", "free",
               "avail", "buffer", "cache", "slab", "swap", "swpfree");
    print_line(table, "%-8s%6s%7s%7s%7s%7s%7s%7s%8s%8s", "", human_percent(percent).text,
               human_memory(shown.total).text, human_memory(shown.free).text,
               human_memory(shown.available).text, human_memory(shown.buffers).text,
               human_memory(shown.cached).text, human_memory(shown.slab_reclaimable).text,
               human_memory(shown.swap_total).text, human_memory(shown.swap_free).text);
}

static void print_more(struct table *table, size_t hidden, const char *what)
{
    if (hidden > 0 && !table->options->screen)
        print_line(table, "  and %zu more %s (--all shows them)", hidden, what);
}

static void print_disk(struct table *table, const struct disk_usage *disk)
{
    char name[NAME_BUFFER];
    utf8_column(disk->name, NAME_COLUMNS, name, sizeof(name));
    print_line(table, "%s%9s%9s%9s%9s%9s%9s%7s", name, human_rate(disk->read_bytes_per_s).text,
               human_rate(disk->write_bytes_per_s).text, human_rate(disk->read_ops_per_s).text,
               human_rate(disk->write_ops_per_s).text, human_latency(disk->read_latency_s).text,
               human_latency(disk->write_latency_s).text, human_percent(disk->busy_percent).text);
}

static int print_disks(struct table *table, const struct host_usage *usage)
{
    CLEANUP(cleanup_free) struct choice *choices = calloc(usage->disk_count + 1, sizeof(*choices));
    size_t count = 0;
    if (!choices)
        return -ENOMEM;
    for (size_t i = 0; i < usage->disk_count; i++) {
        const struct disk_usage *disk = &usage->disks[i];
        if (table->options->all || disk->kind == DISK_WHOLE)
            choices[count++] = (struct choice){known_or_zero(disk->busy_percent) +
                                                   known_or_zero(disk->read_bytes_per_s) +
                                                   known_or_zero(disk->write_bytes_per_s),
                                               i};
    }
    size_t shown = keep_busiest(choices, count, table->options->all ? count : DEVICES_SHOWN);
    print_line(table, "%-17s%9s%9s%9s%9s%9s%9s%7s", "disk", "read B/s", "write", "reads/s",
               "writes/s", "rd wait", "wr wait", "%busy");
    if (count != 1)
        print_line(table, "%-17s%9s%9s", "all whole disks",
                   human_rate(usage->disk_read_bytes_per_s).text,
                   human_rate(usage->disk_write_bytes_per_s).text);
    for (size_t i = 0; i < shown; i++)
        print_disk(table, &usage->disks[choices[i].index]);
    print_more(table, count - shown, "disks");
    return 0;
}

static void print_interface(struct table *table, const struct interface_usage *interface)
{
    char name[NAME_BUFFER];
    utf8_column(interface->name, NAME_COLUMNS, name, sizeof(name));
    print_line(table, "%s%9s%9s%9s%9s%9s%9s", name, human_rate(interface->rx.bits_per_s).text,
               human_rate(interface->tx.bits_per_s).text,
               human_rate(interface->rx.packets_per_s).text,
               human_rate(interface->tx.packets_per_s).text,
               human_rate(interface->rx_errors_per_s + interface->tx_errors_per_s).text,
               human_rate(interface->rx_dropped_per_s + interface->tx_dropped_per_s).text);
}

static int print_interfaces(struct table *table, const struct host_usage *usage)
{
    CLEANUP(cleanup_free)
    struct choice *choices = calloc(usage->interface_count + 1, sizeof(*choices));
    if (!choices)
        return -ENOMEM;
    for (size_t i = 0; i < usage->interface_count; i++)
        choices[i] = (struct choice){known_or_zero(usage->interfaces[i].rx.bits_per_s) +
                                         known_or_zero(usage->interfaces[i].tx.bits_per_s),
                                     i};
    size_t count = usage->interface_count;
    size_t shown = keep_busiest(choices, count, table->options->all ? count : DEVICES_SHOWN);
    print_line(table, "%-17s%9s%9s%9s%9s%9s%9s", "network", "rx bit/s", "tx", "rx pkt/s", "tx",
               "errors/s", "drops/s");
    for (size_t i = 0; i < shown; i++)
        print_interface(table, &usage->interfaces[choices[i].index]);
    print_more(table, count - shown, "interfaces");
    return 0;
}

/* ---- VMs ---------------------------------------------------------------------------------- */

/* Sum of what is known of a VM's devices; NaN when nothing is. */
struct sums {
    double read, write, rx, tx;
};

static void add_known(double *sum, double value)
{
    if (!isnan(value))
        *sum = known_or_zero(*sum) + value;
}

static struct sums sum_devices(const struct vm_usage *usage)
{
    struct sums sums = {NAN, NAN, NAN, NAN};
    for (size_t i = 0; i < usage->disk_count; i++) {
        add_known(&sums.read, usage->disks[i].read_bytes_per_s);
        add_known(&sums.write, usage->disks[i].write_bytes_per_s);
    }
    for (size_t i = 0; i < usage->interface_count; i++) {
        add_known(&sums.rx, usage->interfaces[i].rx.bits_per_s);
        add_known(&sums.tx, usage->interfaces[i].tx.bits_per_s);
    }
    return sums;
}

static void print_vm(struct table *table, const struct vm_sample *vm, const struct vm_usage *usage)
{
    char name[NAME_BUFFER];
    struct sums sums = sum_devices(usage);
    const char *state = vm->active && !vm->answering ? "not answering" : vm_state_text(vm->state);

    utf8_column(vm->name, NAME_COLUMNS, name, sizeof(name));
    print_line(table, "%s %-*.*s%6s%6s%6s%6s%6s%6s%6s%6s", name, VM_STATE_COLUMN, VM_STATE_COLUMN,
               state, human_percent(usage->cpu_percent).text,
               human_percent(usage->vcpu_percent).text, human_percent(usage->steal_percent).text,
               human_percent(usage->memory_percent).text, human_rate(sums.read).text,
               human_rate(sums.write).text, human_rate(sums.rx).text, human_rate(sums.tx).text);
}

static int print_vms(struct table *table, const struct stat_report *report)
{
    const struct vm_set *set = report->set;
    if (!stat_vms_known(set))
        return 0;
    CLEANUP(cleanup_free) struct choice *choices = calloc(set->count + 1, sizeof(*choices));
    size_t count = 0;
    if (!choices)
        return -ENOMEM;
    for (size_t i = 0; i < set->count; i++)
        if (table->options->all || set->vms[i].active)
            choices[count++] = (struct choice){known_or_zero(report->vm_usages[i].cpu_percent), i};

    print_line(table, "%-*s %-*s%6s%6s%6s%6s%6s%6s%6s%6s", NAME_COLUMNS, "VM", VM_STATE_COLUMN,
               "state", "%CPU", "%vCPU", "%stl", "%mem", "rdB/s", "wrB/s", "rxb/s", "txb/s");
    size_t shown = keep_busiest(choices, count, rows_left(table));
    for (size_t i = 0; i < shown; i++)
        print_vm(table, &set->vms[choices[i].index], &report->vm_usages[choices[i].index]);
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int print_report(struct table *table, const struct stat_report *report)
{
    print_heading(table, report);
    print_cpu(table, &report->host_usage->cpu);
    print_memory(table, &report->host->memory, report->host_usage->memory_percent);
    if (print_disks(table, report->host_usage) < 0 ||
        print_interfaces(table, report->host_usage) < 0 || print_vms(table, report) < 0)
        return -ENOMEM;
    return 0;
}

int stat_table(const struct stat_report *report, const struct stat_table_options *options,
               char **ret_text)
{
    char *text = NULL;
    size_t length = 0;
    struct table table = {.out = open_memstream(&text, &length), .options = options};
    if (!table.out)
        return -ENOMEM;
    /* Home, no wrapping of long lines; at the end wipe out what is below. */
    if (options->screen)
        fputs("\033[H\033[?7l", table.out);
    int result = print_report(&table, report);
    fputs(options->screen ? "\033[J\033[?7h" : "\n", table.out);
    if (fclose(table.out) != 0)
        result = -ENOMEM;
    if (result < 0) {
        free(text);
        return result;
    }
    *ret_text = text;
    return 0;
}
