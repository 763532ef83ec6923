/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One cycle over all VMs of a connection, never later than its deadline.
 *
 * A QEMU that hangs keeps every libvirt call that asks its monitor, and
 * libvirt has no time limit of its own. So each call runs in a thread of its
 * own (workers.h), and this file only waits. When the bulk call is late, it
 * is left where it hangs and asked again with NOWAIT: the stuck call holds the
 * hanging VM's job lock, so the second one passes that VM over and brings all
 * others. The VM without an answer is the one that hangs. While the stuck
 * call hangs, every further call is made with NOWAIT; its return is the sign
 * that the VM answers again.
 *
 * What needs no monitor (CPU, taps, resident set) is read from the kernel at
 * the start of the cycle, so a hanging VM or libvirtd costs none of it.
 */
#include "vm/source.h"

#include <errno.h>
#include <math.h>

/* A cycle that is late this often in a row: libvirt itself does not answer. */
#define LATE_CYCLES 3
#define LATE_S      2.0 /* and this long, where cycles are short */
/* Refusals in a row on a connection that lives: perhaps another one is better. */
#define MAX_FAILURES 10
/* What asking one balloon takes, until it is known. */
#define BALLOON_COST_S 0.002

/* ---- life -------------------------------------------------------------------- */

static void drop_link(struct vm_source *source)
{
    workers_abandon(source->workers, source->stats ? &source->stats->job : NULL);
    source_abandon_blocks(source);
    workers_abandon(source->workers, source->devices ? &source->devices->job : NULL);
    workers_abandon(source->workers, source->balloons ? &source->balloons->job : NULL);
    source->stats = NULL;
    source->devices = source->balloons = NULL;
    entries_drop_domains(&source->entries);
    if (source->link)
        link_close(source->link, source->workers);
    source->link = NULL;
}

static int copy_option(const char *value, const char *otherwise, char **ret_copy)
{
    const char *chosen = value ? value : otherwise;

    *ret_copy = chosen ? strdup(chosen) : NULL;
    return chosen && !*ret_copy ? -ENOMEM : 0;
}

/* "/proc/" is "/proc". */
static void trim_slashes(char *path)
{
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
}

int vm_source_new(const struct vm_source_options *options, struct vm_source **ret_source,
                  struct error *err)
{
    struct vm_source *source;

    if (!(options->deadline_s > 0) || !isfinite(options->deadline_s))
        return error_set(err, -EINVAL, "deadline: %g s is not above 0", options->deadline_s);
    source = calloc(1, sizeof(*source));
    if (!source)
        return error_set(err, -ENOMEM, "out of memory");
    source->kernel_path = options->kernel_path;
    source->deadline_s = options->deadline_s;
    source->balloon_period_s = options->balloon_period_s;
    if (copy_option(options->uri, NULL, &source->uri) < 0 ||
        copy_option(options->proc_root, "/proc", &source->proc_root) < 0 ||
        copy_option(options->sys_root, "/sys", &source->sys_root) < 0 ||
        lifecycle_new(&source->lifecycle) < 0 || workers_new(&source->workers) < 0) {
        vm_source_free(source, 0);
        return error_set(err, -ENOMEM, "out of memory");
    }
    trim_slashes(source->proc_root);
    trim_slashes(source->sys_root);
    *ret_source = source;
    return 0;
}

void vm_source_cancel(struct vm_source *source)
{
    workers_cancel(source->workers);
}

void vm_source_free(struct vm_source *source, double timeout_s)
{
    if (!source)
        return;
    if (source->workers) {
        /* A connection that came in since is closed as any other: closing is for a thread. */
        if (source->connecting && workers_wait(source->workers, &source->connecting->job, 0)) {
            source->link = source->connecting->link;
            source->connecting->link = NULL;
        }
        workers_abandon(source->workers, source->connecting ? &source->connecting->job : NULL);
        drop_link(source);
        workers_free(source->workers, timeout_s);
    }
    lifecycle_unref(source->lifecycle);
    entries_release(&source->entries);
    free(source->before);
    free(source->pid_directory);
    free(source->sys_root);
    free(source->proc_root);
    free(source->uri);
    free(source);
}

void vm_set_release(struct vm_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->capacity; i++)
        vm_sample_release(&set->vms[i]);
    free(set->vms);
    free(set->events);
    memset(set, 0, sizeof(*set));
}

/* ---- connection ----------------------------------------------------------------- */

/* Where a local QEMU driver keeps its PID files. */
static void find_pid_directory(struct vm_source *source)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char path[512];
    bool known = false;

    free(source->pid_directory);
    source->pid_directory = NULL;
    if (!source->kernel_path || !source->link->local || strcmp(source->link->type, "QEMU") != 0)
        return;
    if (strcmp(source->proc_root, "/proc") != 0) /* the host's /run, seen through its init */
        known = string_format(path, sizeof(path), "%s/1/root/run/libvirt/qemu", source->proc_root);
    else if (!source->link->session)
        known = string_format(path, sizeof(path), "/run/libvirt/qemu");
    else if (runtime)
        known = string_format(path, sizeof(path), "%s/libvirt/qemu/run", runtime);
    if (known)
        source->pid_directory = strdup(path);
}

static void begin_connection(struct vm_source *source, struct link *link)
{
    source->link = link;
    source->first_cycle = true;
    source->no_bulk = source->kernel_knows_cpu = source->kernel_knows_taps = false;
    source->bulk_groups = source->unsupported = 0;
    source->node_read_s = clock_monotonic_s();
    source->usual_s = source->usual_block_s = 0;
    source->late_cycles = source->failures = 0;
    source->said_refused = false;
    source->balloon_cost_s = BALLOON_COST_S;
    source->answered_s = clock_monotonic_s();
    find_pid_directory(source);
}

/* Tries to have a link by `until_s`; leaves the reason in the set where there is none. */
static void connect_by(struct vm_source *source, double until_s, struct vm_set *set)
{
    /* Setting the balloon's period is the one thing that a read-only connection may not. */
    bool read_only = source->balloon_period_s == 0;

    if (!source->connecting) {
        source->connecting = connect_job_new(source->uri, read_only, source->lifecycle);
        if (!source->connecting || workers_submit(source->workers, &source->connecting->job) < 0) {
            if (source->connecting)
                source->connecting->job.free(&source->connecting->job);
            source->connecting = NULL;
            error_set(&set->error, -ENOMEM, "no thread to connect with");
            return;
        }
        set->rpc_count++;
    }
    if (!workers_wait(source->workers, &source->connecting->job, until_s)) {
        error_set(&set->error, -EINPROGRESS, "%s: no answer yet",
                  source->uri ? source->uri : "default connection");
        return;
    }
    if (source->connecting->link) {
        begin_connection(source, source->connecting->link);
        source->connecting->link = NULL;
    } else {
        set->error = source->connecting->error;
    }
    source->connecting->job.free(&source->connecting->job);
    source->connecting = NULL;
}

/* ---- what is said ---------------------------------------------------------------------------- */

static int say_down(struct vm_source *source, struct vm_set *set)
{
    int r = 0;

    if (!source->said_down)
        r = vm_set_add_event(set, VM_EVENT_SOURCE_LOST, NULL, "libvirt does not answer: %s",
                             set->error.text);
    source->said_down = true;
    return r;
}

static int say_up(struct vm_source *source, struct vm_set *set)
{
    int r = 0;

    if (source->said_down)
        r = vm_set_add_event(set, VM_EVENT_SOURCE_RETURNED, NULL, "libvirt answers%s",
                             source->ever_up ? " again" : "");
    source->said_down = false;
    return r;
}

/* Compares with the answer before and keeps names and states for the next time. */
static int note_changes(struct vm_source *source, struct vm_set *set)
{
    int r = 0;

    if (source->ever_up)
        r = vm_changes(source->before, source->before_count, lifecycle_cause, source->lifecycle,
                       set);
    source->ever_up = true;
    if (r == 0)
        r = array_reserve(&source->before, &source->before_capacity, set->count,
                          sizeof(*source->before));
    if (r < 0)
        return r;
    source->before_count = set->count;
    for (size_t i = 0; i < set->count; i++) {
        source->before[i] = set->vms[i];
        source->before[i].vcpus = NULL; /* the lists stay the set's */
        source->before[i].disks = NULL;
        source->before[i].interfaces = NULL;
    }
    return 0;
}

/* ---- the cycle ---------------------------------------------------------------------------------- */

static void reset_set(struct vm_set *set)
{
    set->connected = set->complete = false;
    set->started_s = clock_monotonic_s();
    set->host_cpus = set->rpc_count = 0;
    set->silent_count = set->count = set->event_count = 0;
    set->error.text[0] = '\0';
}

/* What the answer says of the driver, for the next call. */
static void learn_from(struct vm_source *source, const struct stats_job *job)
{
    double took = job->end_s - job->begin_s;

    source->no_bulk = job->no_bulk;
    source->bulk_groups |= job->bulk_groups;
    source->unsupported |= job->unsupported;
    source->usual_s = source->first_cycle ? took : 0.8 * source->usual_s + 0.2 * took;
    source->first_cycle = false;
    source->answered_s = clock_monotonic_s();
    source->late_cycles = source->failures = 0;
}

static int finish_answered(struct vm_source *source, struct stats_job *job,
                           const struct host_interfaces *interfaces,
                           const struct kernel_paths *paths, double until_s, struct vm_set *set)
{
    bool late = false;
    int r;

    learn_from(source, job);
    r = source_fill_from_answer(source, job, interfaces, paths, set);
    if (r == 0 && !source->no_bulk) {
        late = source_ask_details(source, DETAIL_DEVICES, until_s, set);
        /* Where an answer is missing some VM may hang: its balloon would hang as well. */
        if (set->complete)
            late |= source_ask_details(source, DETAIL_BALLOON, until_s, set);
        if (late)
            source_complete_late(source, interfaces, set);
    }
    if (r == 0)
        r = say_up(source, set);
    if (r == 0)
        r = note_changes(source, set);
    return r;
}

/* Neither an answer nor a failure: said only when it goes on. */
static int say_late(struct vm_source *source, struct vm_set *set)
{
    if (++source->late_cycles < LATE_CYCLES || clock_monotonic_s() - source->answered_s < LATE_S)
        return 0;
    error_set(&set->error, -ETIMEDOUT, "no answer for %u cycles", source->late_cycles);
    return say_down(source, set);
}

/* VMs whose devices were plugged since the last cycle: their XML is read again. */
static void note_plugged_devices(struct vm_source *source)
{
    char uuid[VM_UUID_TEXT_BYTES];
    bool all = false, any;

    do {
        struct vm_entry *entry;
        bool overrun;

        any = lifecycle_next_changed(source->lifecycle, uuid, &overrun);
        all = all || overrun;
        entry = any ? entries_find(&source->entries, uuid) : NULL;
        if (entry)
            entry->devices_known = false;
    } while (any);
    for (size_t i = 0; all && i < source->entries.count; i++)
        source->entries.list[i].devices_known = false;
}

/*
 * The bulk call came back with an error. A connection that is gone is dropped;
 * one that lives may only have been refused, and the kernel tells what it can.
 */
static int finish_failed(struct vm_source *source, struct stats_job *job,
                         const struct host_interfaces *interfaces, struct vm_set *set)
{
    bool dead = job->dead || ++source->failures >= MAX_FAILURES;
    int r;

    set->error = job->error;
    /* Freed first: who lets go of a connection last closes it, and that is for a thread. */
    job->job.free(&job->job);
    if (dead)
        drop_link(source);
    r = say_down(source, set);
    if (r == 0 && !dead)
        r = source_fill_from_memory(source, interfaces, set);
    return r;
}

int vm_source_sample(struct vm_source *source, const struct host_interfaces *interfaces,
                     struct vm_set *set)
{
    struct kernel_paths paths = {source->proc_root, source->sys_root, NULL,
                                 strcmp(source->proc_root, "/proc") == 0};
    struct stats_job *job = NULL;
    double until;
    int r = 0;

    reset_set(set);
    until = set->started_s + source->deadline_s;
    entries_read_kernel(&source->entries, &paths);
    note_plugged_devices(source);
    if (!source->link)
        connect_by(source, until, set);
    paths.pid_directory = source->pid_directory;
    if (source->link)
        job = source_ask_stats(source, until, set);
    if (job && job->result < 0) {
        r = finish_failed(source, job, interfaces, set);
    } else if (job) {
        r = finish_answered(source, job, interfaces, &paths, until, set);
        job->job.free(&job->job);
    } else if (source->link) {
        r = say_late(source, set);
        if (r == 0)
            r = source_fill_from_memory(source, interfaces, set);
    } else {
        r = source->connecting ? say_late(source, set) : say_down(source, set);
    }
    set->connected = source->link != NULL;
    set->listed = source->ever_up;
    set->lost = source->said_down;
    if (source->link)
        set->host_cpus = atomic_load(&source->link->host_cpus);
    set->finished_s = clock_monotonic_s();
    return r;
}
