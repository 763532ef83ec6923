/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads what the kernel tells of a VM's process. CPU time comes from the
 * control group where libvirt made one (as libvirt's own cpu.time does), else
 * from the process's CPU clock, which counts nanoseconds where /proc counts
 * ticks of 10 ms.
 */
#include "vm/kernel.h"

#include "vm/kernel_text.h"
#include "vm/sample.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define PATH_BYTES 1024
/* vCPUs come and go (hot-plug): the thread list is made anew this often. */
#define THREADS_AGE_S 10.0

static void cleanup_buffer(struct file_buffer *buffer)
{
    file_buffer_release(buffer);
}

static void cleanup_dir(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

/* <proc>/<pid>/<file>, or <proc>/<pid>/task/<tid>/<file> with tid > 0. */
static int read_process_file(const struct kernel_paths *paths, int pid, int tid, const char *file,
                             struct file_buffer *buffer)
{
    char path[PATH_BYTES];
    bool fitted = tid > 0
                      ? string_format(path, sizeof(path), "%s/%d/task/%d/%s", paths->proc_root, pid,
                                      tid, file)
                      : string_format(path, sizeof(path), "%s/%d/%s", paths->proc_root, pid, file);

    return fitted ? file_read(AT_FDCWD, path, buffer) : -ENAMETOOLONG;
}

static int read_process_stat(const struct kernel_paths *paths, int pid, struct file_buffer *buffer,
                             struct process_stat *ret_stat)
{
    int r = read_process_file(paths, pid, 0, "stat", buffer);

    return r < 0 ? r : process_parse_stat(text_of(buffer->bytes, buffer->length), ret_stat);
}

static int read_pid_file(const struct kernel_paths *paths, const char *name,
                         struct file_buffer *buffer, int *ret_pid)
{
    char path[PATH_BYTES];
    struct text text, line;
    uint64_t pid;
    int r;

    if (!paths->pid_directory || strchr(name, '/') || name[0] == '.' || name[0] == '\0')
        return -ENOENT;
    if (!string_format(path, sizeof(path), "%s/%s.pid", paths->pid_directory, name))
        return -ENAMETOOLONG;
    r = file_read(AT_FDCWD, path, buffer);
    if (r < 0)
        return r;
    text = text_of(buffer->bytes, buffer->length);
    if (!text_next_line(&text, &line) || !text_next_u64(&line, &pid) || pid < 1 || pid > INT32_MAX)
        return -EBADMSG;
    *ret_pid = (int)pid;
    return 0;
}

/* The file that holds the group's CPU time, tried at the usual mount points. */
static bool find_usage_file(const struct kernel_paths *paths, const char *controllers,
                            const char *group, struct kernel_vm *kernel)
{
    const char *const mounts[] = {controllers, "cpu,cpuacct", "cpuacct", "unified", ""};
    bool version_2 = controllers[0] == '\0';

    for (size_t i = version_2 ? 3 : 0; i < (version_2 ? 5 : 3); i++) {
        if (!string_format(kernel->usage_file, sizeof(kernel->usage_file), "%s/fs/cgroup/%s%s/%s",
                           paths->sys_root, mounts[i], group,
                           version_2 ? "cpu.stat" : "cpuacct.usage"))
            continue;
        if (access(kernel->usage_file, R_OK) == 0) {
            kernel->usage_is_cpu_stat = version_2;
            return true;
        }
    }
    kernel->usage_file[0] = '\0';
    return false;
}

static void find_cgroup(const struct kernel_paths *paths, struct file_buffer *buffer,
                        struct kernel_vm *kernel)
{
    char group[384], controllers[64];

    kernel->usage_file[0] = '\0';
    if (read_process_file(paths, kernel->pid, 0, "cgroup", buffer) < 0)
        return;
    if (process_parse_cgroup(text_of(buffer->bytes, buffer->length), group, sizeof(group),
                             controllers, sizeof(controllers)) < 0)
        return;
    find_usage_file(paths, controllers, group, kernel);
}

static int compare_threads(const void *a, const void *b)
{
    const struct kernel_thread *one = a, *other = b;

    return (one->vcpu > other->vcpu) - (one->vcpu < other->vcpu);
}

/* Lists the vCPU threads by name, in order of vCPU. Leaves the list empty where names do not tell. */
static void list_threads(const struct kernel_paths *paths, struct file_buffer *buffer,
                         struct kernel_vm *kernel)
{
    CLEANUP(cleanup_dir) DIR *directory = NULL;
    char path[PATH_BYTES];
    const struct dirent *entry;

    kernel->thread_count = 0;
    kernel->threads_s = clock_monotonic_s();
    if (!string_format(path, sizeof(path), "%s/%d/task", paths->proc_root, kernel->pid))
        return;
    directory = opendir(path);
    while (directory && (entry = readdir(directory))) {
        uint64_t tid;
        unsigned number;

        if (parse_u64(entry->d_name, &tid) < 0 || tid > INT32_MAX)
            continue;
        if (read_process_file(paths, kernel->pid, (int)tid, "comm", buffer) < 0 ||
            process_parse_vcpu_comm(text_of(buffer->bytes, buffer->length), &number) < 0)
            continue;
        if (array_reserve(&kernel->threads, &kernel->thread_capacity, kernel->thread_count + 1,
                          sizeof(*kernel->threads)) < 0)
            return;
        kernel->threads[kernel->thread_count++] = (struct kernel_thread){number, (int)tid};
    }
    if (kernel->thread_count > 1)
        qsort(kernel->threads, kernel->thread_count, sizeof(*kernel->threads), compare_threads);
}

static bool accounts_wait(const struct kernel_paths *paths, struct file_buffer *buffer,
                          const struct kernel_vm *kernel)
{
    uint64_t wait_ns;

    return kernel->thread_count > 0 &&
           read_process_file(paths, kernel->pid, kernel->threads[0].tid, "sched", buffer) == 0 &&
           process_parse_sched_wait(text_of(buffer->bytes, buffer->length), &wait_ns) == 0;
}

int kernel_vm_find(const struct kernel_paths *paths, const char *name, const char *uuid,
                   struct kernel_vm *kernel)
{
    CLEANUP(cleanup_buffer) struct file_buffer buffer = {NULL, 0, 0};
    struct process_stat stat;
    int pid, r;

    kernel->pid = 0;
    r = read_pid_file(paths, name, &buffer, &pid);
    if (r < 0)
        return r;
    r = read_process_file(paths, pid, 0, "cmdline", &buffer);
    if (r < 0)
        return r;
    if (!process_cmdline_has_uuid(text_of(buffer.bytes, buffer.length), uuid))
        return -ESRCH;
    r = read_process_stat(paths, pid, &buffer, &stat);
    if (r < 0)
        return r;
    kernel->pid = pid;
    kernel->start_ticks = stat.start_ticks;
    find_cgroup(paths, &buffer, kernel);
    list_threads(paths, &buffer, kernel);
    kernel->threads_s -= (double)(pid % 100) / 100 * THREADS_AGE_S; /* not all VMs in one cycle */
    kernel->has_wait = accounts_wait(paths, &buffer, kernel);
    return 0;
}

/* The CPU time of a whole process, exited threads included. */
static int process_clock_ns(int pid, uint64_t *ret_ns)
{
    struct timespec time;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return -ESRCH;
    *ret_ns = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
    return 0;
}

static int read_cpu_time(const struct kernel_paths *paths, const struct kernel_vm *kernel,
                         const struct process_stat *stat, struct file_buffer *buffer,
                         uint64_t *ret_ns)
{
    struct text text, line;
    uint64_t usage_us;
    int r;

    if (kernel->usage_file[0] != '\0') {
        r = file_read(AT_FDCWD, kernel->usage_file, buffer);
        if (r < 0)
            return r;
        text = text_of(buffer->bytes, buffer->length);
        if (!kernel->usage_is_cpu_stat)
            return text_next_line(&text, &line) && text_next_u64(&line, ret_ns) ? 0 : -EBADMSG;
        r = cgroup_parse_cpu_stat(text, &usage_us);
        if (r == 0)
            *ret_ns = usage_us * 1000;
        return r;
    }
    if (paths->own_proc)
        return process_clock_ns(kernel->pid, ret_ns);
    *ret_ns =
        (stat->user_ticks + stat->system_ticks) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    return 0;
}

static int read_thread(const struct kernel_paths *paths, const struct kernel_vm *kernel,
                       const struct kernel_thread *thread, struct file_buffer *buffer,
                       struct vm_sample *vm)
{
    struct vm_vcpu vcpu = {thread->vcpu, 0, UNKNOWN_U64, 0};
    int r = read_process_file(paths, kernel->pid, thread->tid, "schedstat", buffer);

    if (r == 0)
        r = process_parse_schedstat(text_of(buffer->bytes, buffer->length), &vcpu.time_ns,
                                    &vcpu.delay_ns);
    if (r < 0)
        return r;
    if (kernel->has_wait &&
        read_process_file(paths, kernel->pid, thread->tid, "sched", buffer) == 0)
        process_parse_sched_wait(text_of(buffer->bytes, buffer->length), &vcpu.wait_ns);
    r = array_reserve(&vm->vcpus, &vm->vcpu_capacity, vm->vcpu_count + 1, sizeof(vcpu));
    if (r == 0)
        vm->vcpus[vm->vcpu_count++] = vcpu;
    return r;
}

static void read_threads(const struct kernel_paths *paths, struct kernel_vm *kernel,
                         struct file_buffer *buffer, struct vm_sample *vm)
{
    if (clock_monotonic_s() - kernel->threads_s > THREADS_AGE_S)
        list_threads(paths, buffer, kernel);
    if (kernel->thread_count == 0)
        return;
    vm->vcpu_count = 0;
    vm->vcpu_time_s = clock_monotonic_s();
    vm->vcpu_current = (unsigned)kernel->thread_count;
    for (size_t i = 0; i < kernel->thread_count; i++)
        if (read_thread(paths, kernel, &kernel->threads[i], buffer, vm) < 0)
            kernel->threads_s = -INFINITY; /* a vCPU went away: list anew next time */
}

int kernel_vm_read(const struct kernel_paths *paths, struct kernel_vm *kernel, struct vm_sample *vm,
                   char *ret_state)
{
    CLEANUP(cleanup_buffer) struct file_buffer buffer = {NULL, 0, 0};
    struct process_stat stat;
    uint64_t cpu_ns;
    double now;

    if (kernel->pid == 0)
        return -ESRCH;
    if (read_process_stat(paths, kernel->pid, &buffer, &stat) < 0 ||
        stat.start_ticks != kernel->start_ticks || stat.state == 'Z' || stat.state == 'X') {
        kernel->pid = 0;
        return -ESRCH;
    }
    now = clock_monotonic_s();
    if (read_cpu_time(paths, kernel, &stat, &buffer, &cpu_ns) == 0) {
        vm->cpu_ns = cpu_ns;
        vm->cpu_time_s = now;
    } else if (kernel->usage_file[0] != '\0') {
        /* The group was moved or removed: the VM is looked up anew, with what holds its time now. */
        kernel->pid = 0;
        return -ESRCH;
    }
    vm->memory.rss = stat.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    read_threads(paths, kernel, &buffer, vm);
    *ret_state = stat.state;
    return 0;
}

void kernel_vm_release(struct kernel_vm *kernel)
{
    if (!kernel)
        return;
    free(kernel->threads);
    memset(kernel, 0, sizeof(*kernel));
}
