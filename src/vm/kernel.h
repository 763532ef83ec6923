/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs of this host as the kernel sees them: the figures that need no monitor.
 * Effects: reads below /proc, /sys and libvirt's run directory.
 */
#ifndef SETMOV_VM_KERNEL_H
#define SETMOV_VM_KERNEL_H

#include "setmov/vm.h"

#include <time.h>

struct kernel_paths {
    const char *proc_root, *sys_root;
    const char *pid_directory; /* where libvirt keeps NAME.pid; NULL: not a local QEMU driver */
    bool own_proc; /* proc_root is this process's own /proc, so PIDs are valid in system calls */
};

struct kernel_thread {
    unsigned vcpu;
    int tid;
};

/* One VM's process, found once and checked at every reading. pid 0: not found. */
struct kernel_vm {
    int pid;
    uint64_t start_ticks;
    char usage_file[512]; /* cgroup's CPU time; "": the process's own clock is the source */
    bool usage_is_cpu_stat;
    bool has_wait; /* the scheduler accounts wait_sum */
    struct kernel_thread *threads;
    size_t thread_count, thread_capacity;
    double threads_s; /* monotonic, when the threads were listed */
};

/*
 * Looks for the VM's process: by libvirt's PID file, believed only if the
 * process's own command line names the UUID. 0 or negative errno (then pid is 0).
 */
int kernel_vm_find(const struct kernel_paths *paths, const char *name, const char *uuid,
                   struct kernel_vm *kernel);

/*
 * Reads CPU time, vCPU run time, delay and wait, and the resident set into
 * the sample, each with its time. `ret_state`: the main thread's, as in
 * /proc/PID/stat; when it is stopped or blocked its monitor cannot answer. -ESRCH when it is another process
 * now or none: the VM must be found again.
 */
int kernel_vm_read(const struct kernel_paths *paths, struct kernel_vm *kernel, struct vm_sample *vm,
                   char *ret_state);

void kernel_vm_release(struct kernel_vm *kernel); /* leaves it zeroed */

#endif
