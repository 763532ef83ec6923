/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The graphs there are, as a table. Colours are those of Okabe and Ito, made
 * to be told apart with every kind of colour vision, and shades of them.
 */
#include "setmov/history.h"

#define BLUE       "0072B2"
#define SKY        "56B4E9"
#define GREEN      "009E73"
#define ORANGE     "E69F00"
#define VERMILLION "D55E00"
#define PURPLE     "CC79A7"
#define YELLOW     "F0E442"
#define BLACK      "000000"
#define DARK_GREY  "5A5A5A"
#define GREY       "B4B4B4"
#define LIGHT_GREY "E4E4E4"
#define PALE_GREEN "8FD6BF"

/* What guests use lies lowest, waiting on top: it is busy only by the paper's reckoning. */
static const struct graph_row host_cpu[] = {
    {"percent-cpu_guest", "guest", GREEN, GRAPH_AREA, NULL},
    {"percent-cpu_guest_nice", "guest nice", PALE_GREEN, GRAPH_STACK, NULL},
    {"percent-cpu_user", "user", BLUE, GRAPH_STACK, NULL},
    {"percent-cpu_nice", "nice", SKY, GRAPH_STACK, NULL},
    {"percent-cpu_system", "system", VERMILLION, GRAPH_STACK, NULL},
    {"percent-cpu_irq", "irq", YELLOW, GRAPH_STACK, NULL},
    {"percent-cpu_softirq", "softirq", PURPLE, GRAPH_STACK, NULL},
    {"percent-cpu_steal", "steal", DARK_GREY, GRAPH_STACK, NULL},
    {"percent-cpu_iowait", "iowait", GREY, GRAPH_STACK, NULL},
    {"percent-cpu", "busy (100 - idle)", BLACK, GRAPH_LINE, NULL},
};

static const struct graph_row host_memory[] = {
    {"memory-used", "used", BLUE, GRAPH_AREA, NULL},
    {"memory-slab_recl", "reclaimable slab", PURPLE, GRAPH_STACK, NULL},
    {"memory-buffered", "buffers", ORANGE, GRAPH_STACK, NULL},
    {"memory-cached", "page cache", SKY, GRAPH_STACK, NULL},
    {"memory-free", "free", LIGHT_GREY, GRAPH_STACK, NULL},
    {"memory-available", "available", GREEN, GRAPH_LINE, NULL},
    {"memory-total", "total", BLACK, GRAPH_LINE, NULL},
    {"percent-memory", "not free, of total", BLACK, GRAPH_NUMBER, "%%"},
};

static const struct graph_row host_vms[] = {
    {"count-vms_running", "running", GREEN, GRAPH_AREA, NULL},
    {"count-vms", "defined", BLACK, GRAPH_LINE, NULL},
};

static const struct graph_row vm_cpu[] = {
    {"setmov_percent-vcpu", "of its own vCPUs", SKY, GRAPH_AREA, NULL},
    {"setmov_percent-cpu", "of the host", BLUE, GRAPH_LINE, NULL},
    {"setmov_percent-steal", "steal (ready, not run)", VERMILLION, GRAPH_LINE, NULL},
    {"setmov_percent-wait", "waiting", DARK_GREY, GRAPH_LINE, NULL},
};

static const struct graph_row vm_memory[] = {
    {"memory-available", "seen by the guest", LIGHT_GREY, GRAPH_AREA, NULL},
    {"memory-actual_balloon", "balloon (current)", GREEN, GRAPH_LINE, NULL},
    {"memory-max", "maximum", BLACK, GRAPH_LINE, NULL},
    {"memory-rss", "resident on the host", BLUE, GRAPH_LINE, NULL},
    {"memory-usable", "usable in the guest", SKY, GRAPH_LINE, NULL},
    {"memory-unused", "unused in the guest", ORANGE, GRAPH_LINE, NULL},
    {"memory-disk_caches", "guest's disk caches", PURPLE, GRAPH_LINE, NULL},
    {"percent-memory", "not free, of available", BLACK, GRAPH_NUMBER, "%%"},
};

#define ROWS(array) .rows = (array), .row_count = ARRAY_LENGTH(array)

/* Above zero what comes to the host or VM, below zero what goes out of it. */
static const struct graph_pair disk = {"setmov_disk-", "read", "write", "disks", "total"};
static const struct graph_pair latency = {"setmov_latency-", "read", "write", "disks", NULL};
static const struct graph_pair network = {"setmov_bits-", "rx", "tx", "interfaces", NULL};
static const struct graph_pair packets = {"setmov_packets-", "rx", "tx", "interfaces", NULL};

#define DISK                                                                                       \
    .suffix = "disk", .title = "disk throughput",                                                  \
    .vertical_label = "◀ write    bytes/s    read ▶", .unit = "B/s", .base = 1000, .pair = &disk
#define LATENCY                                                                                    \
    .suffix = "latency", .title = "disk latency, mean of an operation",                            \
    .vertical_label = "◀ write    seconds    read ▶", .unit = "s", .base = 1000, .pair = &latency
#define NETWORK                                                                                    \
    .suffix = "network", .title = "network traffic", .vertical_label = "◀ tx    bit/s    rx ▶",    \
    .unit = "bit/s", .base = 1000, .pair = &network
#define PACKETS                                                                                    \
    .suffix = "packets", .title = "network packets",                                               \
    .vertical_label = "◀ tx    packets/s    rx ▶", .unit = "pkt/s", .base = 1000, .pair = &packets

/*
 * A VM's devices are beside each other, so their sum means something. A host's
 * lie on top of each other (partition, disk, dm; tap, bridge, bond, port).
 */
static const struct graph_kind kinds[] = {
    {.subject = HISTORY_HOST,
     .suffix = "cpu",
     .title = "CPU",
     .vertical_label = "% of all CPUs",
     .unit = "%%",
     .base = 1000,
     .axis_format = "%.0lf %%",
     .upper_limit = 100,
     .rigid = true,
     ROWS(host_cpu)},
    {.subject = HISTORY_HOST,
     .suffix = "memory",
     .title = "memory",
     .vertical_label = "bytes (1 G = 1024 M)",
     .unit = "iB",
     .base = 1024,
     ROWS(host_memory)},
    {.subject = HISTORY_HOST, DISK},
    {.subject = HISTORY_HOST, LATENCY},
    {.subject = HISTORY_HOST, NETWORK},
    {.subject = HISTORY_HOST, PACKETS},
    {.subject = HISTORY_HOST,
     .suffix = "vms",
     .title = "virtual machines",
     .vertical_label = "VMs",
     .unit = "",
     .axis_format = "%.0lf",
     .base = 1000,
     .upper_limit = 5,
     ROWS(host_vms)},
    {.subject = HISTORY_VM,
     .suffix = "cpu",
     .title = "CPU",
     .vertical_label = "%",
     .unit = "%%",
     .base = 1000,
     .axis_format = "%.0lf %%",
     .upper_limit = 100,
     ROWS(vm_cpu)},
    {.subject = HISTORY_VM,
     .suffix = "memory",
     .title = "memory",
     .vertical_label = "bytes (1 G = 1024 M)",
     .unit = "iB",
     .base = 1024,
     ROWS(vm_memory)},
    {.subject = HISTORY_VM, .additive = true, DISK},
    {.subject = HISTORY_VM, LATENCY},
    {.subject = HISTORY_VM, .additive = true, NETWORK},
    {.subject = HISTORY_VM, .additive = true, PACKETS},
};

const struct graph_kind *graph_kinds(size_t *ret_count)
{
    *ret_count = ARRAY_LENGTH(kinds);
    return kinds;
}
