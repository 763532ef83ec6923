/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pieces of `setmov stat`: sampling, the terminal's table, JSON. */
#ifndef SETMOV_CLI_STAT_H
#define SETMOV_CLI_STAT_H

#include "setmov/usage.h"

#include <stdio.h>

/* ---- sampling (effects) ----------------------------------------------------------- */

struct stat_options {
    const char *uri;       /* NULL: libvirt's default */
    const char *proc_root; /* NULL: "/proc" */
    const char *sys_root;  /* NULL: "/sys" */
    bool vms;              /* ask libvirt at all */
    bool kernel_path;      /* read from the kernel what it tells of VMs */
    double interval_s;
    double deadline_s;
    double overhead_bits;
    uint64_t count; /* samples to print; 0: no end */
    bool json;
    bool all; /* table: also what is left out to keep it short */
};

/* Two readings and what became of them. Zeroed to begin with. */
struct stat_sampler {
    const struct stat_options *options;
    struct host_reader *reader;
    struct vm_source *source; /* NULL: host only */
    struct host_sample hosts[2];
    struct vm_set sets[2];
    unsigned host, set; /* which of the two is the later */
    bool incomplete;    /* the last reading of the host was */
    bool complained;    /* and the user knows */
    double unix_time;   /* of the later reading, s since 1970 */
    struct host_usage host_usage;
    struct vm_usage *vm_usages; /* one for each VM of the later set; owned */
    size_t vm_usage_count, vm_usage_capacity;
};

int stat_sampler_init(struct stat_sampler *sampler, const struct stat_options *options,
                      struct error *err);
void stat_sampler_release(struct stat_sampler *sampler);

/*
 * Takes one reading and computes the usage since the one before. Notes for
 * the user (libvirt gone, back) go to stderr. On failure `err` says why.
 */
int stat_sampler_take(struct stat_sampler *sampler, struct error *err);

/* ---- what is shown (pure) ------------------------------------------------------------ */

/* One sample, ready to be printed. */
struct stat_report {
    double unix_time;
    const struct host_sample *host;
    const struct host_usage *host_usage;
    const struct vm_set *set; /* NULL: host only */
    const struct vm_usage *vm_usages;
};

struct stat_report stat_sampler_report(const struct stat_sampler *sampler);

/* Is the set a list of VMs, maybe an empty one? Else nothing is known of them. */
bool stat_vms_known(const struct vm_set *set);

struct vm_counts {
    size_t all, active, running, silent;
};

struct vm_counts stat_count_vms(const struct vm_set *set);

/* A line of JSON for the report, with its newline: malloc'ed. -ENOMEM. */
int stat_json(const struct stat_report *report, char **ret_line);

struct stat_table_options {
    bool all;      /* every device and VM */
    bool screen;   /* draw over what is there, with a terminal's control sequences */
    unsigned rows; /* of the screen; 0: no limit */
};

/* The table for a person: malloc'ed. -ENOMEM. */
int stat_table(const struct stat_report *report, const struct stat_table_options *options,
               char **ret_text);

#endif
