/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of a vm_source: what its files share. One thread uses it. */
#ifndef SETMOV_VM_SOURCE_H
#define SETMOV_VM_SOURCE_H

#include "vm/changes.h"
#include "vm/detail_job.h"
#include "vm/entry.h"
#include "vm/stats_job.h"

/* Calls left hanging on purpose; a client of libvirtd has 5 requests in flight, of 20 workers. */
#define MAX_STUCK 4
/* A VM's monitor told nothing this often in a row: it does not answer. */
#define SILENT_CYCLES 2
/* XML that could not be read is asked for again after so long. */
#define DEVICES_RETRY_S 30.0

/* Calls at a time for the monitors of many VMs. */
#define MAX_PARALLEL 4

/* One of them, under way or idle (job NULL). */
struct block_call {
    struct stats_job *job;
    double begin_s;
};

struct vm_source {
    char *uri, *proc_root, *sys_root, *pid_directory;
    bool kernel_path;
    double deadline_s;
    unsigned balloon_period_s;

    struct workers *workers;
    struct lifecycle *lifecycle;
    struct connect_job *connecting;
    struct link *link;
    struct stats_job *stats; /* under way */
    struct block_call blocks[MAX_PARALLEL];
    struct detail_job *devices;  /* under way */
    struct detail_job *balloons; /* under way */

    /* of this connection */
    bool first_cycle, no_bulk;
    bool kernel_knows_cpu, kernel_knows_taps; /* of every running VM */
    unsigned bulk_groups, unsupported;
    double node_read_s;
    double stats_begin_s; /* of the call under way */
    double usual_s;       /* what a good call takes, smoothed */
    double usual_block_s; /* the same of one of several calls at a time */
    unsigned late_cycles;
    double answered_s;      /* monotonic, the last answer or the connection's begin */
    size_t balloon_turn;    /* which VM is asked first: all get their turn */
    double balloon_begin_s; /* of the job under way */
    double balloon_cost_s;  /* of one VM, smoothed */

    /* what was said last */
    bool ever_up, said_down, said_refused;
    unsigned failures; /* of the bulk call, in a row */

    struct vm_entries entries;
    struct vm_sample *before; /* the last answer's VMs, names and states only */
    size_t before_count, before_capacity;
};

/* ---- asking (source_ask.c) ----------------------------------------------------- */

/* The bulk call's answer, the caller's to free, or NULL when it is not there by `until_s`. */
struct stats_job *source_ask_stats(struct vm_source *source, double until_s, struct vm_set *set);

/* Calls `stats_job_new` with what the driver is known to do. NULL: out of memory. */
struct stats_job *source_stats_job(struct vm_source *source, unsigned wanted, bool no_wait);

/* Are VMs dealt out: are they many, or is some to be left out (source_parallel.c)? */
bool source_is_parallel(const struct vm_source *source);

/*
 * Asks the VMs of `census` (an answer of states alone) for `wanted` by several
 * calls at a time and adds what came by `until_s` to it. False when some VM's
 * answer is not there yet; it is taken in a later cycle.
 */
bool source_ask_blocks(struct vm_source *source, struct stats_job *census, unsigned wanted,
                       double until_s, struct vm_set *set);
/* Is some call late, so that a VM may hang and further calls must not wait for it? */
bool source_suspects_hang(struct vm_source *source);

void source_abandon_blocks(struct vm_source *source);

/*
 * Questions to single VMs: starts those of that kind, or goes on waiting for
 * those under way. True when answers were taken into the entries; late ones
 * are taken in a later cycle.
 */
bool source_ask_details(struct vm_source *source, enum detail_kind kind, double until_s,
                        struct vm_set *set);

/* ---- filling (source_fill.c) ------------------------------------------------------ */

/* VMs as libvirt told them just now; the job's samples are taken over. 0 or -ENOMEM. */
int source_fill_from_answer(struct vm_source *source, struct stats_job *job,
                            const struct host_interfaces *interfaces,
                            const struct kernel_paths *paths, struct vm_set *set);

/* VMs as they were, with what the kernel tells of them now. 0 or -ENOMEM. */
int source_fill_from_memory(struct vm_source *source, const struct host_interfaces *interfaces,
                            struct vm_set *set);

/* Takes what came in after the set was filled. */
void source_complete_late(struct vm_source *source, const struct host_interfaces *interfaces,
                          struct vm_set *set);

#endif
