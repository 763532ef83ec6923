/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage vm/: what libvirt (and, for VMs of this host, the kernel) says of the
 * virtual machines of one connection, as counters with the time at which each
 * group was read. No percentages here: see usage.h.
 *
 * Source of the fields: virConnectGetAllDomainStats() of libvirt.
 */
#ifndef SETMOV_VM_H
#define SETMOV_VM_H

#include "setmov/base.h"
#include "setmov/host.h"

#define VM_UUID_TEXT_BYTES   37
#define VM_NAME_BYTES        256
#define VM_DEVICE_NAME_BYTES 64
#define VM_PATH_BYTES        256

/* virDomainState, same numbers; anything newer is VM_STATE_UNKNOWN. */
enum vm_state {
    VM_STATE_UNKNOWN = 0,
    VM_STATE_RUNNING = 1,
    VM_STATE_BLOCKED = 2,
    VM_STATE_PAUSED = 3,
    VM_STATE_SHUTDOWN = 4, /* is being shut down */
    VM_STATE_SHUTOFF = 5,
    VM_STATE_CRASHED = 6,
    VM_STATE_SUSPENDED = 7, /* by the guest's power management */
};

/* "running", "paused" ...; never NULL. "not answering" is vm_sample.answering, not a state. */
const char *vm_state_text(enum vm_state state);

/* Bytes unless said; UNKNOWN_U64 where not told. */
struct vm_memory {
    double time_s;              /* CLOCK_MONOTONIC of the answer; NaN: never asked with success */
    uint64_t current;           /* balloon: what the guest has now */
    uint64_t maximum;           /* what it may have */
    uint64_t available;         /* what the guest sees as its total */
    uint64_t unused;            /* what the guest leaves wholly unused */
    uint64_t usable;            /* what it could use without swapping */
    uint64_t disk_caches;       /* guest's page cache that can be given back */
    uint64_t rss;               /* resident set of the VM's process on the host */
    uint64_t swap_in, swap_out; /* counters, bytes */
    uint64_t major_fault, minor_fault; /* counters, faults */
    /* The guest's last report, s since 1970; 0: never; unknown: the driver dates none. */
    uint64_t last_update;
    bool stale; /* available/unused are from a guest that stopped reporting, or never did */
};

struct vm_vcpu {
    unsigned number;
    uint64_t time_ns;  /* ran */
    uint64_t wait_ns;  /* libvirt's vcpu.wait: the scheduler's wait_sum, where it keeps one */
    uint64_t delay_ns; /* was ready, but the host's scheduler ran others: the guest's steal */
};

struct vm_disk {
    char name[VM_DEVICE_NAME_BYTES]; /* target: vda */
    char path[VM_PATH_BYTES];        /* source file or device; "" unknown */
    uint64_t read_ops, read_bytes, read_ns;
    uint64_t write_ops, write_bytes, write_ns;
    uint64_t flush_ops, flush_ns;
    uint64_t errors;
    uint64_t allocation, capacity, physical; /* bytes, gauges */
};

/* Counters are the guest's view: rx is what the guest received. */
struct vm_interface {
    char name[VM_DEVICE_NAME_BYTES]; /* host side: vnet0 */
    char mac[MAC_BYTES];             /* "" unknown */
    uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

/*
 * One VM at one time. Each group carries the CLOCK_MONOTONIC time of its
 * reading; NaN where the group could not be read in this cycle (its values
 * are then meaningless; usage_vm_keep() bridges the gap). Stopped VMs have
 * only name, UUID and state.
 */
struct vm_sample {
    char name[VM_NAME_BYTES];
    char uuid[VM_UUID_TEXT_BYTES];
    uint64_t incarnation; /* differs from run to run of the same VM: never subtract across it */
    enum vm_state state;
    int reason;     /* virDomain*Reason of that state */
    bool active;    /* has a process / an id */
    bool answering; /* false: its monitor did not answer within the deadline */

    double cpu_time_s;
    uint64_t cpu_ns;       /* all of the VM's process or cgroup, as libvirt's cpu.time */
    unsigned vcpu_current; /* 0 unknown */
    double vcpu_time_s;
    struct vm_vcpu *vcpus;
    size_t vcpu_count, vcpu_capacity;

    struct vm_memory memory;

    double disk_time_s;
    struct vm_disk *disks;
    size_t disk_count, disk_capacity;

    double interface_time_s;
    struct vm_interface *interfaces;
    size_t interface_count, interface_capacity;
};

void vm_sample_release(struct vm_sample *vm); /* leaves it zeroed */

/* ---- pure: one field of a bulk answer --------------------------------------- */

enum vm_value_kind {
    VM_VALUE_UNSIGNED,
    VM_VALUE_SIGNED,
    VM_VALUE_DOUBLE,
    VM_VALUE_BOOLEAN,
    VM_VALUE_STRING
};

struct vm_value {
    enum vm_value_kind kind;
    union {
        uint64_t u;
        int64_t s;
        double d;
        bool b;
        const char *string;
    };
};

/* The groups of fields that an answer held (bits). */
enum vm_group {
    VM_GROUP_STATE = 1 << 0,
    VM_GROUP_CPU = 1 << 1,
    VM_GROUP_BALLOON = 1 << 2,
    VM_GROUP_VCPU = 1 << 3,
    VM_GROUP_INTERFACE = 1 << 4,
    VM_GROUP_BLOCK = 1 << 5,
};

/* Makes the sample ready for a new answer: groups empty, times NaN, memory kept. */
void vm_sample_clear(struct vm_sample *vm);

/*
 * Takes one field of virConnectGetAllDomainStats ("block.0.rd.bytes", value).
 * Unknown fields are passed over; absurd ones (an index above 4096, a type
 * that does not fit) too. Lists need not be dense: entries that got no name
 * are dropped by vm_sample_finish. Adds the field's group to *groups.
 * Returns 0 or -ENOMEM.
 */
int vm_sample_apply(struct vm_sample *vm, const char *field, const struct vm_value *value,
                    unsigned *groups);
void vm_sample_finish(struct vm_sample *vm);

/*
 * `virsh domstats` text ("Domain: 'name'" and lines "  field=value"), for
 * recorded answers: fills vms (grown as needed, *count set). Pure.
 */
int vm_parse_domstats(struct text text, struct vm_sample **vms, size_t *count, size_t *capacity,
                      struct error *err);

/* ---- the source: one libvirt connection --------------------------------------- */

struct vm_source_options {
    const char *uri;           /* NULL: libvirt's default */
    const char *proc_root;     /* NULL: "/proc" */
    const char *sys_root;      /* NULL: "/sys" */
    bool kernel_path;          /* read from the kernel what it tells, for VMs of this host */
    double deadline_s;         /* after that a cycle is closed without what is missing; > 0 */
    unsigned balloon_period_s; /* set every VM's balloon statistics period; 0: leave it */
};

/* An occurrence that a caller may want to log or to notify. */
enum vm_event_kind {
    VM_EVENT_STARTED,
    VM_EVENT_STOPPED,
    VM_EVENT_CRASHED,
    VM_EVENT_PAUSED,
    VM_EVENT_RESUMED,
    VM_EVENT_MIGRATED_IN,
    VM_EVENT_MIGRATED_OUT,
    VM_EVENT_NOT_ANSWERING,
    VM_EVENT_ANSWERING,
    VM_EVENT_SOURCE_LOST,     /* no connection, or no answers any more: once, text = why */
    VM_EVENT_BALLOON_REFUSED, /* the balloon's period could not be set: once a connection */
    VM_EVENT_SOURCE_RETURNED, /* connection is there (again) after a SOURCE_LOST */
};

struct vm_event {
    enum vm_event_kind kind;
    char name[VM_NAME_BYTES];      /* "" for SOURCE_ events */
    char uuid[VM_UUID_TEXT_BYTES]; /* "" for SOURCE_ events */
    char text[256];                /* one line for a person */
};

/* All VMs of a connection after one cycle. Memory belongs to the set. */
struct vm_set {
    bool connected; /* false: vms is empty, error says why */
    bool complete;  /* false: the deadline cut this cycle short */
    bool listed;    /* libvirt has listed its VMs once at least; false: nothing is known of them */
    bool lost;      /* the last word was VM_EVENT_SOURCE_LOST, also while connected */
    double started_s; /* CLOCK_MONOTONIC */
    double finished_s;
    unsigned host_cpus;    /* of the connection's host (virNodeGetInfo); 0 unknown */
    unsigned rpc_count;    /* calls made to libvirt in this cycle */
    size_t silent_count;   /* VMs that do not answer */
    struct vm_sample *vms; /* in order of name, then UUID */
    size_t count, capacity;
    struct vm_event *events; /* of this cycle, oldest first */
    size_t event_count, event_capacity;
    struct error error;
};

void vm_set_release(struct vm_set *set); /* leaves it zeroed */

struct vm_source;

/* Does not connect yet and does not block. */
int vm_source_new(const struct vm_source_options *options, struct vm_source **ret_source,
                  struct error *err);

/*
 * One cycle: fills `set` (zeroed the first time, memory used again), connecting
 * first where needed. `interfaces` (may be NULL) is the host's /proc/net/dev of
 * this moment, used for taps. Returns within deadline_s, whatever libvirt does:
 * 0, also when the connection is down (set->connected says), or -ENOMEM.
 * One thread at a time.
 */
int vm_source_sample(struct vm_source *source, const struct host_interfaces *interfaces,
                     struct vm_set *set);

/*
 * Makes a vm_source_sample under way, and every later one, return at once.
 * The only call that may come from another thread.
 */
void vm_source_cancel(struct vm_source *source);

/* Waits for the answers still under way, `timeout_s` at most, then lets them go. */
void vm_source_free(struct vm_source *source, double timeout_s);

#endif
