/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The readings behind `setmov stat`: two samples of host and VMs, and their usage. */
#include "command.h"
#include "stat.h"
#include "stat_stop.h"

#include <errno.h>
#include <math.h>
#include <time.h>

/* Deadlines that a connection may take to be made before samples go on without it. */
#define FIRST_TRIES 20
/* Deadlines that VMs may then take to answer all of the first reading. */
#define COMPLETE_TRIES 3
/* How long libvirt's answers may keep the end waiting. */
#define FREE_TIMEOUT_S 0.5

int stat_sampler_init(struct stat_sampler *sampler, const struct stat_options *options,
                      struct error *err)
{
    *sampler = (struct stat_sampler){.options = options};
    int result = host_reader_new(options->proc_root, options->sys_root, &sampler->reader, err);
    if (result < 0 || !options->vms)
        return result;

    struct vm_source_options source_options = {
        .uri = options->uri,
        .proc_root = options->proc_root,
        .sys_root = options->sys_root,
        .kernel_path = options->kernel_path,
        .deadline_s = options->deadline_s,
    };
    return vm_source_new(&source_options, &sampler->source, err);
}

void stat_sampler_release(struct stat_sampler *sampler)
{
    if (sampler->source)
        vm_source_free(sampler->source, fmin(sampler->options->deadline_s, FREE_TIMEOUT_S));
    host_reader_free(sampler->reader);
    for (unsigned i = 0; i < ARRAY_LENGTH(sampler->hosts); i++) {
        host_sample_release(&sampler->hosts[i]);
        vm_set_release(&sampler->sets[i]);
    }
    host_usage_release(&sampler->host_usage);
    for (size_t i = 0; i < sampler->vm_usage_count; i++)
        vm_usage_release(&sampler->vm_usages[i]);
    free(sampler->vm_usages);
    *sampler = (struct stat_sampler){0};
}

/* ---- VMs ------------------------------------------------------------------------------ */

static const struct vm_event *find_event(const struct vm_set *set, enum vm_event_kind kind)
{
    for (size_t i = 0; i < set->event_count; i++)
        if (set->events[i].kind == kind)
            return &set->events[i];
    return NULL;
}

/*
 * libvirt must be there at the start when the user named a connection; else,
 * and when it goes or comes back later, a note is enough.
 */
static int report_connection(const struct stat_sampler *sampler, const struct vm_set *set,
                             bool first, struct error *err)
{
    const struct vm_event *lost = find_event(set, VM_EVENT_SOURCE_LOST);
    const struct vm_event *returned = find_event(set, VM_EVENT_SOURCE_RETURNED);

    if (lost && first && !set->connected && sampler->options->uri)
        return error_set(err, -ENOTCONN, "%s", lost->text);
    if (lost)
        command_error("stat", "%s%s", first ? "showing the host only: " : "", lost->text);
    if (returned)
        command_error("stat", "%s", returned->text);
    return 0;
}

/*
 * One cycle of the VMs. The first one goes on until there is a reading to
 * compare with, or the news that there will be none: else the first sample
 * would know nothing.
 */
static int take_vms(struct stat_sampler *sampler, const struct host_interfaces *interfaces,
                    struct vm_set *set, bool first, struct error *err)
{
    unsigned tries = first ? FIRST_TRIES : 1;
    do {
        if (vm_source_sample(sampler->source, interfaces, set) < 0)
            return error_set(err, -ENOMEM, "out of memory");
        if (stat_stopped())
            return 0;
        if (set->listed && tries > COMPLETE_TRIES)
            tries = COMPLETE_TRIES;
    } while (--tries > 0 && !(set->listed && set->complete) &&
             !find_event(set, VM_EVENT_SOURCE_LOST));
    return report_connection(sampler, set, first, err);
}

static int grow_vm_usages(struct stat_sampler *sampler, size_t needed)
{
    if (array_reserve(&sampler->vm_usages, &sampler->vm_usage_capacity, needed,
                      sizeof(*sampler->vm_usages)) < 0)
        return -ENOMEM;
    while (sampler->vm_usage_count < needed)
        sampler->vm_usages[sampler->vm_usage_count++] = (struct vm_usage){0};
    return 0;
}

static int compute_vms(struct stat_sampler *sampler)
{
    const struct vm_set *before = &sampler->sets[!sampler->set];
    const struct vm_set *after = &sampler->sets[sampler->set];
    size_t hint = 0;

    if (grow_vm_usages(sampler, after->count) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < after->count; i++) {
        const struct vm_sample *vm = &after->vms[i];
        if (usage_vm(vm_set_find(before, vm->uuid, &hint), vm, after->host_cpus,
                     sampler->options->overhead_bits, &sampler->vm_usages[i]) < 0)
            return -ENOMEM;
    }
    return 0;
}

/*
 * Chooses the set to read into: the older one. A set of a time without libvirt
 * has nothing to compare with, so it is the one to overwrite, and the figures
 * after the return are means over the gap. What the last reading lacked is
 * taken from the one before it: see usage_vm_keep().
 */
static struct vm_set *next_set(struct stat_sampler *sampler)
{
    struct vm_set *before = &sampler->sets[!sampler->set];
    struct vm_set *after = &sampler->sets[sampler->set];
    size_t hint = 0;

    if (!stat_vms_known(after))
        return after;
    for (size_t i = 0; i < after->count; i++) {
        const struct vm_sample *found = vm_set_find(before, after->vms[i].uuid, &hint);
        if (found)
            usage_vm_keep(&before->vms[found - before->vms], &after->vms[i]);
    }
    sampler->set = !sampler->set;
    return before;
}

/* ---- one reading ------------------------------------------------------------------------ */

int stat_sampler_take(struct stat_sampler *sampler, struct error *err)
{
    bool first = sampler->unix_time == 0;
    if (!first)
        usage_host_keep(&sampler->hosts[!sampler->host], &sampler->hosts[sampler->host]);
    sampler->host = !sampler->host;
    struct host_sample *host = &sampler->hosts[sampler->host];
    struct timespec now;

    int result = host_reader_read(sampler->reader, host, err);
    if (result < 0)
        return result;
    sampler->incomplete = err->text[0] != '\0';
    if (sampler->incomplete && !sampler->complained) {
        command_error("stat", "%s", err->text);
        sampler->complained = true;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    sampler->unix_time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;

    if (sampler->source) {
        result = take_vms(sampler, &host->interfaces, next_set(sampler), first, err);
        if (result < 0)
            return result;
    }
    if (usage_host(first ? NULL : &sampler->hosts[!sampler->host], host,
                   sampler->options->overhead_bits, &sampler->host_usage) < 0 ||
        compute_vms(sampler) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

struct stat_report stat_sampler_report(const struct stat_sampler *sampler)
{
    return (struct stat_report){
        .unix_time = sampler->unix_time,
        .host = &sampler->hosts[sampler->host],
        .host_usage = &sampler->host_usage,
        .set = sampler->source ? &sampler->sets[sampler->set] : NULL,
        .vm_usages = sampler->vm_usages,
    };
}

bool stat_vms_known(const struct vm_set *set)
{
    return set && set->connected && set->listed;
}

struct vm_counts stat_count_vms(const struct vm_set *set)
{
    struct vm_counts counts = {0};
    for (size_t i = 0; set && i < set->count; i++) {
        const struct vm_sample *vm = &set->vms[i];
        counts.all++;
        counts.active += vm->active;
        counts.running += vm->state == VM_STATE_RUNNING || vm->state == VM_STATE_BLOCKED;
        counts.silent += vm->active && !vm->answering;
    }
    return counts;
}
