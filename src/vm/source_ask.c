/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a source asks libvirt in a cycle, and what it does when no answer comes. */
#include "vm/source.h"

#include <errno.h>
#include <math.h>
#include <time.h>

#define NODE_REFRESH_S 60.0

#define GROUPS_WITHOUT_MONITOR (VM_GROUP_STATE | VM_GROUP_INTERFACE)
#define GROUPS_ALL                                                                                 \
    (VM_GROUP_STATE | VM_GROUP_INTERFACE | VM_GROUP_BLOCK | VM_GROUP_CPU | VM_GROUP_VCPU |         \
     VM_GROUP_BALLOON)

/* ---- the bulk call ----------------------------------------------------------------- */

static unsigned wanted_groups(const struct vm_source *source, unsigned stuck)
{
    if (stuck >= MAX_STUCK)
        return GROUPS_WITHOUT_MONITOR;
    if (source->first_cycle || source->no_bulk)
        return GROUPS_ALL;
    /* Drivers without bulk balloon statistics tell them VM by VM in the same job. */
    return VM_GROUP_STATE | VM_GROUP_BLOCK | (source->kernel_knows_taps ? 0 : VM_GROUP_INTERFACE) |
           (source->kernel_knows_cpu ? 0 : VM_GROUP_CPU | VM_GROUP_VCPU) |
           (source->bulk_groups & VM_GROUP_BALLOON ? 0 : VM_GROUP_BALLOON);
}

static bool start_stats(struct vm_source *source, struct vm_set *set)
{
    unsigned stuck = workers_stuck(source->workers);
    /* States first, at once: where the VMs are many, and where nothing is known of them yet. */
    bool census = !source->no_bulk && (source->first_cycle || source_is_parallel(source));
    unsigned wanted = census ? VM_GROUP_STATE : wanted_groups(source, stuck);
    double now = clock_monotonic_s();
    struct stats_job *job = source_stats_job(source, wanted, source_suspects_hang(source));

    if (!job) {
        error_set(&set->error, -ENOMEM, "out of memory");
        return false;
    }
    job->refresh_node = now - source->node_read_s > NODE_REFRESH_S;
    if (job->refresh_node)
        source->node_read_s = now;
    if (workers_submit(source->workers, &job->job) < 0) {
        job->job.free(&job->job);
        error_set(&set->error, -EAGAIN, "no thread to ask libvirt with");
        return false;
    }
    source->stats = job;
    source->stats_begin_s = now;
    return true;
}

/* Waits for the call under way, and for a second one that passes over whom the first waits for. */
static bool wait_stats(struct vm_source *source, double until_s, struct vm_set *set)
{
    double soft = fmin(until_s, clock_monotonic_s() + source->deadline_s / 2), age;

    if (workers_wait(source->workers, &source->stats->job, soft))
        return true;
    age = clock_monotonic_s() - source->stats_begin_s;
    if (age >= source->deadline_s / 2 * 0.99 && age > 1.5 * source->usual_s &&
        workers_stuck(source->workers) < MAX_STUCK) {
        source->usual_s = fmax(source->usual_s, age); /* a slow server gets more time */
        workers_abandon(source->workers, &source->stats->job);
        source->stats = NULL;
        if (!start_stats(source, set))
            return false;
    }
    return workers_wait(source->workers, &source->stats->job, until_s);
}

static struct stats_job *ask_one_call(struct vm_source *source, double until_s, struct vm_set *set)
{
    bool from_before = source->stats != NULL;
    struct stats_job *job;

    if (!source->stats && !start_stats(source, set))
        return NULL;
    if (!wait_stats(source, until_s, set))
        return NULL;
    job = source->stats;
    source->stats = NULL;
    set->rpc_count += job->rpc_count;
    /* Calls that take a whole cycle follow each other without a pause. */
    if (from_before && job->result == 0 && !job->no_bulk && job->wanted != VM_GROUP_STATE)
        start_stats(source, set);
    return job;
}

struct stats_job *source_ask_stats(struct vm_source *source, double until_s, struct vm_set *set)
{
    struct stats_job *job = ask_one_call(source, until_s, set);
    unsigned wanted;

    if (job && job->no_bulk && !source->no_bulk) {
        /* Found out just now: such drivers are asked VM by VM, for everything. */
        source->no_bulk = true;
        job->job.free(&job->job);
        job = ask_one_call(source, until_s, set);
    }
    if (!job)
        return NULL;
    set->complete = job->result == 0;
    wanted = wanted_groups(source, workers_stuck(source->workers)) & ~VM_GROUP_STATE;
    if (set->complete && !job->no_bulk && job->wanted == VM_GROUP_STATE)
        set->complete = source_ask_blocks(source, job, wanted, until_s, set);
    if (!(wanted & VM_GROUP_BLOCK))
        set->complete = false;
    return job;
}

/* ---- questions to single VMs ------------------------------------------------------------ */

static void take_details(struct vm_source *source, struct detail_job *job, struct vm_set *set)
{
    set->rpc_count += job->rpc_count;
    if (job->refused.text[0] != '\0' && !source->said_refused)
        source->said_refused =
            vm_set_add_event(set, VM_EVENT_BALLOON_REFUSED, NULL, "%s", job->refused.text) == 0;
    for (size_t i = 0; i < job->count; i++) {
        struct detail *detail = &job->details[i];
        struct vm_entry *entry = entries_find(&source->entries, detail->uuid);

        if (entry && !detail->answered && job->kind == DETAIL_DEVICES)
            entry->devices_retry_s = clock_monotonic_s() + DEVICES_RETRY_S;
        if (!entry || !detail->answered)
            continue;
        if (job->kind == DETAIL_DEVICES) {
            struct domain_devices swap = entry->devices;

            entry->devices = detail->devices;
            detail->devices = swap;
            entry->devices_known = true;
        } else {
            entry->memory = detail->memory;
            entry->period_set = true;
            balloon_answered(&entry->balloon, detail->memory.time_s, (double)time(NULL),
                             detail->memory.last_update);
        }
    }
}

static bool detail_wanted(const struct vm_source *source, enum detail_kind kind,
                          const struct vm_entry *entry, const struct vm_sample *vm)
{
    if (!entry->active || !entry->domain)
        return false;
    if (kind == DETAIL_DEVICES)
        return entry_needs_devices(entry, vm) && clock_monotonic_s() >= entry->devices_retry_s;
    return entry->silent_cycles == 0 && (!entry->devices_known || entry->devices.has_balloon) &&
           (source->bulk_groups & VM_GROUP_BALLOON) &&
           (balloon_due(&entry->balloon, clock_monotonic_s()) ||
            (source->balloon_period_s != 0 && !entry->period_set));
}

/* As many balloons as can answer in what is left of the cycle, but always some. */
static size_t balloon_limit(const struct vm_source *source, double until_s)
{
    double left = until_s - clock_monotonic_s();

    return (size_t)fmax(8, left / 2 / source->balloon_cost_s);
}

/* A job for the VMs that want one, or NULL. */
static struct detail_job *collect_details(struct vm_source *source, enum detail_kind kind,
                                          double until_s, const struct vm_set *set)
{
    struct detail_job *job = detail_job_new(source->link, kind, source_suspects_hang(source));
    size_t limit = kind == DETAIL_BALLOON ? balloon_limit(source, until_s) : SIZE_MAX, i;
    int r = 0;

    for (i = 0; job && r == 0 && i < set->count && job->count < limit; i++) {
        const struct vm_sample *vm = &set->vms[(source->balloon_turn + i) % set->count];
        struct vm_entry *entry = entries_find(&source->entries, vm->uuid);

        if (entry && detail_wanted(source, kind, entry, vm))
            r = detail_job_add(job, entry->uuid, entry->domain,
                               entry->period_set ? 0 : source->balloon_period_s);
    }
    if (kind == DETAIL_BALLOON && set->count > 0)
        source->balloon_turn = (source->balloon_turn + i) % set->count;
    if (job && (r < 0 || job->count == 0)) {
        job->job.free(&job->job);
        job = NULL;
    }
    return job;
}

/*
 * Balloons that are asked for much longer than usual hang at some VM's
 * monitor: their job is left there, as the bulk call is. Device lists come
 * from libvirtd itself and are only slow.
 */
static void abandon_late_balloons(struct vm_source *source)
{
    double usual, age;

    if (!source->balloons)
        return;
    age = clock_monotonic_s() - source->balloon_begin_s;
    usual = source->balloon_cost_s * (double)source->balloons->count;
    if (age <= fmax(source->deadline_s, 3 * usual) ||
        workers_wait(source->workers, &source->balloons->job, 0))
        return;
    workers_abandon(source->workers, &source->balloons->job);
    source->balloons = NULL;
}

static void note_balloon_cost(struct vm_source *source, const struct detail_job *job)
{
    if (job->kind == DETAIL_BALLOON && job->count > 0)
        source->balloon_cost_s =
            0.8 * source->balloon_cost_s + 0.2 * job->took_s / (double)job->count;
}

bool source_ask_details(struct vm_source *source, enum detail_kind kind, double until_s,
                        struct vm_set *set)
{
    struct detail_job **slot = kind == DETAIL_BALLOON ? &source->balloons : &source->devices;
    bool fresh;

    if (kind == DETAIL_BALLOON)
        abandon_late_balloons(source);
    fresh = !*slot;
    if (!*slot && workers_stuck(source->workers) < MAX_STUCK) {
        *slot = collect_details(source, kind, until_s, set);
        if (kind == DETAIL_BALLOON)
            source->balloon_begin_s = clock_monotonic_s();
        if (*slot && workers_submit(source->workers, &(*slot)->job) < 0) {
            (*slot)->job.free(&(*slot)->job);
            *slot = NULL;
        }
    }
    /* Waited for in the cycle that asks; what is late is looked for, not waited for. */
    if (!*slot || !workers_wait(source->workers, &(*slot)->job, fresh ? until_s : 0))
        return false;
    note_balloon_cost(source, *slot);
    take_details(source, *slot, set);
    (*slot)->job.free(&(*slot)->job);
    *slot = NULL;
    return true;
}
