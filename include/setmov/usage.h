/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage usage/: the seven formulas of the SETMOV paper (2015, section 3.3) and
 * the rates beside them. Pure: two samples in, figures out.
 *
 * Every figure is NaN when it is unknown: a counter went backwards or is
 * absent, a device or VM is new or restarted, no time passed. Time is what
 * really passed between the two samples (CLOCK_MONOTONIC), never the
 * configured interval. docs/formulas.md has the reasons.
 */
#ifndef SETMOV_USAGE_H
#define SETMOV_USAGE_H

#include "setmov/host.h"
#include "setmov/vm.h"

#define SECTOR_BYTES 512

/* Added to every packet (formula 6): the paper's figure, and a real wire's. */
#define PACKET_OVERHEAD_PAPER_BITS 20
#define PACKET_OVERHEAD_WIRE_BITS  160

/* ---- the formulas one by one ------------------------------------------------ */

/* Counter difference a second; NaN on UNKNOWN_U64, a decrease or elapsed_s <= 0. */
double usage_rate(uint64_t before, uint64_t after, double elapsed_s);

/* Percentages of the time that passed in a CPU or in all of them, 0..100. */
struct cpu_usage {
    double busy; /* formula 1: 100 - idle; iowait counts as busy */
    double user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice;
    /* user and nice here are without guest and guest_nice: all ten sum to 100 */
};

/*
 * Formula 1. total = all states, guest and guest_nice once (they are inside
 * user and nice). A single state that ran backwards (idle, iowait) counts as
 * 0; when user or system time or the total did, the CPU restarted: all NaN.
 */
struct cpu_usage usage_cpu(const struct cpu_times *before, const struct cpu_times *after);

/* Formula 2: % of the host, 0..100 * small jitter; `cores`: CPUs of the host. */
double usage_vm_cpu(uint64_t before_ns, uint64_t after_ns, double elapsed_s, unsigned cores);

/* Formula 3: % of total; NaN where one is UNKNOWN_U64, total is 0 or free > total. */
double usage_memory(uint64_t total, uint64_t free);

/* Formulas 5 to 7 for one direction. */
struct packet_usage {
    double packets_per_s; /* 5 */
    double packet_bits;   /* 6, mean; NaN without a packet */
    double bits_per_s;    /* 7; 0 without a packet */
};

struct packet_usage usage_packets(uint64_t packets_before, uint64_t packets_after,
                                  uint64_t bytes_before, uint64_t bytes_after, double elapsed_s,
                                  double overhead_bits);

/* ---- whole samples ----------------------------------------------------------- */

struct disk_usage {
    const char *name; /* points into the later sample */
    enum disk_kind kind;
    double read_bytes_per_s, write_bytes_per_s; /* 4 */
    double read_ops_per_s, write_ops_per_s;
    double read_latency_s, write_latency_s; /* mean of the operations of the interval; NaN: none */
    double busy_percent;                    /* share of time with I/O in flight; hosts only */
};

struct interface_usage {
    const char *name, *mac; /* point into the later sample */
    struct packet_usage rx, tx;
    double rx_errors_per_s, tx_errors_per_s, rx_dropped_per_s, tx_dropped_per_s;
};

struct cpu_one_usage {
    unsigned number;
    struct cpu_usage usage;
};

/* Arrays are owned and used again; everything named points into `after`. */
struct host_usage {
    double elapsed_s; /* between the two readings of /proc/stat */
    struct cpu_usage cpu;
    struct cpu_one_usage *cpus;
    size_t cpu_count, cpu_capacity;
    double memory_percent;
    double disk_read_bytes_per_s, disk_write_bytes_per_s; /* whole disks, once */
    struct disk_usage *disks;
    size_t disk_count, disk_capacity;
    struct interface_usage *interfaces;
    size_t interface_count, interface_capacity;
};

/*
 * `before` may be NULL or zeroed (first sample): then rates are NaN, memory is
 * known. The host's disk total leaves out disks that are new. Returns 0 or
 * -ENOMEM.
 */
int usage_host(const struct host_sample *before, const struct host_sample *after,
               double overhead_bits, struct host_usage *usage);
void host_usage_release(struct host_usage *usage);

/*
 * Before `after` becomes the `before` of the next interval: the groups of
 * counters that it lacks (time NaN) are taken from `before`, so that a reading
 * that was missed costs one sample and not two. The two swap memory, as in
 * usage_vm_keep().
 */
void usage_host_keep(struct host_sample *before, struct host_sample *after);

struct vcpu_usage {
    unsigned number;
    double busy_percent, wait_percent, steal_percent; /* of one CPU's time */
};

struct vm_usage {
    double cpu_percent;    /* 2: of the host */
    double vcpu_percent;   /* of the VM's own vCPUs: 100 = all of them busy */
    double steal_percent;  /* mean over vCPUs */
    double wait_percent;   /* mean over vCPUs */
    double memory_percent; /* 3: balloon's available and unused; NaN where stale */
    struct vcpu_usage *vcpus;
    size_t vcpu_count, vcpu_capacity;
    struct disk_usage *disks; /* kind DISK_WHOLE, busy_percent NaN */
    size_t disk_count, disk_capacity;
    struct interface_usage *interfaces;
    size_t interface_count, interface_capacity;
};

/*
 * `before` is the same VM (same UUID) a sample earlier, or NULL. Across
 * incarnations every rate is NaN. Returns 0 or -ENOMEM.
 */
int usage_vm(const struct vm_sample *before, const struct vm_sample *after, unsigned host_cpus,
             double overhead_bits, struct vm_usage *usage);
void vm_usage_release(struct vm_usage *usage);

/*
 * Before `after` becomes the `before` of the next interval: the groups of
 * counters that it lacks (time NaN) are taken from `before`, when that is the
 * same run of the VM, so that a reading that was missed costs one sample and
 * not two. The two swap memory, so figures that point into `after` are spent
 * before, and `before` has no further use but to be sampled into or released.
 */
void usage_vm_keep(struct vm_sample *before, struct vm_sample *after);

/* The VM of `set` with that UUID, or NULL. `hint` (may be NULL) remembers where to look first. */
const struct vm_sample *vm_set_find(const struct vm_set *set, const char *uuid, size_t *hint);

#endif
