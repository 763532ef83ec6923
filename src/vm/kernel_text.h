/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's files about one process and its control group, as text. Pure. */
#ifndef SETMOV_VM_KERNEL_TEXT_H
#define SETMOV_VM_KERNEL_TEXT_H

#include "setmov/base.h"

/* What /proc/PID/stat tells (proc(5)); times in USER_HZ ticks. */
struct process_stat {
    char state; /* 'R', 'S', 'T' stopped, 'Z' ... */
    uint64_t user_ticks, system_ticks;
    uint64_t start_ticks; /* after boot; with the PID it names the process for good */
    uint64_t rss_pages;
};

int process_parse_stat(struct text text, struct process_stat *ret_stat);

/*
 * The control group whose CPU time libvirt reports, from /proc/PID/cgroup:
 * the VM's own group (".../machine-qemu\x2d1\x2dvm.scope" or
 * ".../qemu-1-vm.libvirt-qemu"), without the "/emulator" or "/vcpu0" below
 * it. `ret_controllers` gets version 1's controller list ("cpu,cpuacct"), ""
 * for version 2. -ENOENT when the process is in no group of libvirt's.
 */
int process_parse_cgroup(struct text text, char *ret_path, size_t path_size, char *ret_controllers,
                         size_t controllers_size);

/* usage_usec of version 2's cpu.stat. */
int cgroup_parse_cpu_stat(struct text text, uint64_t *ret_usage_us);

/* /proc/PID/schedstat: ns run, ns ready but waiting for a CPU. */
int process_parse_schedstat(struct text text, uint64_t *ret_run_ns, uint64_t *ret_delay_ns);

/* wait_sum of /proc/PID/sched (milliseconds with fraction) in ns; -ENOENT where it is not there. */
int process_parse_sched_wait(struct text text, uint64_t *ret_wait_ns);

/* Number N of a vCPU thread named "CPU N/KVM" or "CPU N/TCG" (QEMU's debug-threads). */
int process_parse_vcpu_comm(struct text text, unsigned *ret_number);

/* Do the arguments (separated by NULs) hold "-uuid" followed by that UUID? */
bool process_cmdline_has_uuid(struct text text, const char *uuid);

#endif
