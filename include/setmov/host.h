/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage host/: what the kernel says of this machine, as counters with the
 * time at which each group was read. No percentages here: see usage.h.
 *
 * The parsers take text and are pure. host_reader does the I/O: it is not
 * thread safe, one reader belongs to one thread.
 *
 * Source of the fields: SETMOV paper (2015), section 3.3; proc(5);
 * Documentation/admin-guide/iostats.rst of the kernel.
 */
#ifndef SETMOV_HOST_H
#define SETMOV_HOST_H

#include "setmov/base.h"

#define HOST_NAME_MAX_BYTES  256
#define DISK_NAME_BYTES      64
#define INTERFACE_NAME_BYTES 32
#define MAC_BYTES            64 /* text; InfiniBand addresses have 59 characters */

/* ---- CPU: /proc/stat ------------------------------------------------------ */

/*
 * Ticks since boot (USER_HZ) in each state, as the kernel prints them: user
 * holds guest, nice holds guest_nice. `fields` says how many of them the
 * kernel printed, in this order (4 on 2.4, 8 with steal, 9 with guest, 10
 * with guest_nice); the others are 0.
 */
struct cpu_times {
    uint64_t user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice;
    unsigned fields;
};

struct host_cpu_one {
    unsigned number; /* N of cpuN; there can be gaps (offline CPUs) */
    struct cpu_times times;
};

struct host_cpu {
    double time_s; /* CLOCK_MONOTONIC when it was read */
    struct cpu_times all;
    struct host_cpu_one *cpus; /* ascending as printed; owned */
    size_t cpu_count;
    size_t cpu_capacity;
};

/* Parses /proc/stat. -EBADMSG where the "cpu" line is missing or cut short. */
int host_parse_stat(struct text text, struct host_cpu *cpu, struct error *err);

/* ---- memory: /proc/meminfo ------------------------------------------------ */

/* Bytes; UNKNOWN_U64 where the kernel does not print the line. */
struct host_memory {
    double time_s;
    uint64_t total, free, available, buffers, cached, slab_reclaimable, swap_total, swap_free;
};

/* Parses /proc/meminfo. -EBADMSG without MemTotal or MemFree. */
int host_parse_meminfo(struct text text, struct host_memory *ret_memory, struct error *err);

/* ---- disks: /proc/diskstats, names in /proc/partitions --------------------- */

/* Sectors are of 512 bytes whatever the disk; times in ms. UNKNOWN_U64 where absent. */
struct disk_counters {
    uint64_t read_ops, read_merged, read_sectors, read_ms;
    uint64_t write_ops, write_merged, write_sectors, write_ms;
    uint64_t in_flight, io_ms, weighted_ms;
    uint64_t discard_ops, discard_merged, discard_sectors, discard_ms;
    uint64_t flush_ops, flush_ms;
};

enum disk_kind {
    DISK_WHOLE,     /* a disk of its own: counts in the host's total */
    DISK_PARTITION, /* a part of a disk */
    DISK_STACKED,   /* dm, md, bcache, drbd, zd, nvme path: on top of disks that are counted */
    DISK_MEMORY,    /* loop, ram, zram: no disk of its own at all */
};

struct host_disk {
    char name[DISK_NAME_BYTES];
    unsigned major, minor;
    enum disk_kind kind;
    struct disk_counters counters;
};

struct host_disks {
    double time_s;
    struct host_disk *disks; /* as printed; owned */
    size_t count, capacity;
};

/*
 * Parses /proc/diskstats: lines of 7 (2.6 partitions), 14, 18, 20 and more
 * fields. Lines cut short are left out. `kind` is set from names alone
 * (see host_classify_disks); -EBADMSG when no line of a non-empty text parses.
 */
int host_parse_diskstats(struct text text, struct host_disks *disks, struct error *err);

/*
 * Sets each disk's kind from its name and from the other names there: a
 * partition is one only when the disk that its name extends is listed too
 * (xvda1 alone is a disk). Pure; host_reader refines it from /sys.
 */
void host_classify_disks(struct host_disks *disks);

/*
 * Keeps only the disks that /proc/partitions names (it leaves out devices
 * without media; the paper takes the names from there). An empty text keeps
 * all.
 */
void host_keep_partitions(struct host_disks *disks, struct text proc_partitions);

/* ---- interfaces: /proc/net/dev, MAC from /sys/class/net -------------------- */

struct net_counters {
    uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
    uint64_t rx_fifo, rx_frame, rx_compressed, rx_multicast;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
    uint64_t tx_fifo, tx_collisions, tx_carrier, tx_compressed;
};

struct host_interface {
    char name[INTERFACE_NAME_BYTES]; /* may hold colons (aliases) */
    char mac[MAC_BYTES];             /* "" when unknown */
    struct net_counters counters;
};

struct host_interfaces {
    double time_s;
    struct host_interface *interfaces; /* as printed; owned */
    size_t count, capacity;
};

/*
 * Parses /proc/net/dev: the name ends at the last colon that is followed by
 * counters, with or without a blank. Lines cut short are left out. -EBADMSG
 * without the two header lines. MACs are "".
 */
int host_parse_net_dev(struct text text, struct host_interfaces *interfaces, struct error *err);

/* The interface of that name, or NULL. `hint` (may be NULL) remembers where to look first. */
const struct host_interface *host_find_interface(const struct host_interfaces *interfaces,
                                                 const char *name, size_t *hint);

/* ---- the whole sample ------------------------------------------------------ */

/*
 * A group that could not be read has time_s NaN and is empty; the rest of
 * the sample is still good.
 */
struct host_sample {
    char host_name[HOST_NAME_MAX_BYTES];
    char address[64]; /* IP address of the interface with the default route, else "" */
    struct host_cpu cpu;
    struct host_memory memory;
    struct host_disks disks;
    struct host_interfaces interfaces;
};

void host_sample_release(struct host_sample *sample); /* leaves it zeroed */

struct host_reader;

/*
 * `proc_root` and `sys_root` (NULL: "/proc", "/sys") may be the host's trees
 * mounted in a container, or recorded ones. -ENOENT etc. when <proc_root>/stat
 * cannot be opened.
 */
int host_reader_new(const char *proc_root, const char *sys_root, struct host_reader **ret_reader,
                    struct error *err);
void host_reader_free(struct host_reader *reader);

/*
 * Fills `sample` (zeroed the first time; its memory is used again). MACs,
 * disk kinds, host name and address are cached and looked up again every
 * minute and for names not seen before. Returns 0 when at least one group
 * could be read; `err` names what failed even when it returns 0, else it is "".
 */
int host_reader_read(struct host_reader *reader, struct host_sample *sample, struct error *err);

#endif
