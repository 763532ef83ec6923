/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many VMs, asked by several calls at a time.
 *
 * In one bulk call libvirtd asks one QEMU after the other and waits for each,
 * a few milliseconds a VM, while the other processors idle. So with many VMs
 * the states come first, by a call that no monitor delays, and then the VMs
 * are dealt out to a few calls that run side by side. A VM that hangs keeps
 * only the call that it was dealt to, which is then abandoned and made again
 * with NOWAIT, as in source_ask.c. VMs whose process is stopped are left out
 * (few VMs are dealt as well then), so that any number of them costs nothing.
 */
#include "vm/source.h"

#include <errno.h>
#include <math.h>

/* Below this many VMs the second round trip costs more than it saves. */
#define PARALLEL_MIN 16

static bool any_under_way(const struct vm_source *source)
{
    for (size_t i = 0; i < MAX_PARALLEL; i++)
        if (source->blocks[i].job)
            return true;
    return false;
}

bool source_suspects_hang(struct vm_source *source)
{
    return source->balloons || any_under_way(source) || workers_stuck(source->workers) > 0;
}

struct stats_job *source_stats_job(struct vm_source *source, unsigned wanted, bool no_wait)
{
    struct stats_job *job = stats_job_new(source->link, wanted, no_wait);

    if (!job)
        return NULL;
    job->no_bulk = source->no_bulk;
    job->bulk_groups = source->bulk_groups;
    job->unsupported = source->unsupported;
    return job;
}

bool source_is_parallel(const struct vm_source *source)
{
    return source->entries.count >= PARALLEL_MIN || entries_any_stopped(&source->entries);
}

void source_abandon_blocks(struct vm_source *source)
{
    for (size_t i = 0; i < MAX_PARALLEL; i++) {
        workers_abandon(source->workers,
                        source->blocks[i].job ? &source->blocks[i].job->job : NULL);
        source->blocks[i].job = NULL;
    }
}

/* As many as the host has processors; libvirtd serves a client five calls at a time. */
static size_t calls_at_a_time(struct vm_source *source, size_t vm_count)
{
    size_t cpus = atomic_load(&source->link->host_cpus), stuck = workers_stuck(source->workers);
    size_t room = stuck < MAX_PARALLEL ? MAX_PARALLEL - stuck : 1;

    return cpus < 1 || vm_count < PARALLEL_MIN ? 1 : cpus < room ? cpus : room;
}

/* Is the VM's answer still awaited from an earlier cycle? */
static bool is_awaited(const struct vm_source *source, const struct vm_answer *answer)
{
    unsigned char mine[VIR_UUID_BUFLEN], other[VIR_UUID_BUFLEN];

    for (size_t i = 0; i < MAX_PARALLEL; i++) {
        const struct stats_job *job = source->blocks[i].job;

        for (size_t k = 0; job && k < job->domain_count; k++)
            if (virDomainGetUUID(job->domains[k], other) == 0 &&
                virDomainGetUUID(answer->domain, mine) == 0 &&
                memcmp(mine, other, sizeof(mine)) == 0)
                return true;
    }
    return false;
}

/* Its monitor would keep the call: the kernel says so before libvirt is asked. */
static bool is_stopped(struct vm_source *source, const struct vm_answer *answer)
{
    const struct vm_entry *entry = entries_find(&source->entries, answer->vm.uuid);

    return entry && entry->kernel_stopped;
}

static void submit(struct vm_source *source, struct block_call *call, struct stats_job *job)
{
    if (job->domain_count == 0 || workers_submit(source->workers, &job->job) < 0) {
        job->job.free(&job->job);
        return;
    }
    call->job = job;
    call->begin_s = clock_monotonic_s();
}

/* Deals the VMs out to the idle calls and makes them. */
static void deal(struct vm_source *source, const struct stats_job *census, unsigned wanted)
{
    struct stats_job *jobs[MAX_PARALLEL];
    struct block_call *calls[MAX_PARALLEL];
    size_t limit = calls_at_a_time(source, census->answers.count), count = 0, next = 0;
    bool no_wait = source_suspects_hang(source), awaiting = any_under_way(source);

    for (size_t i = 0; i < limit; i++) {
        if (source->blocks[i].job)
            continue;
        jobs[count] = source_stats_job(source, wanted, no_wait);
        if (!jobs[count])
            break;
        calls[count] = &source->blocks[i];
        if (stats_job_limit(jobs[count++], census->answers.count) < 0)
            break;
    }
    for (size_t i = 0; count > 0 && i < census->answers.count; i++) {
        const struct vm_answer *answer = &census->answers.list[i];

        if (!answer->vm.active || !answer->domain || is_stopped(source, answer) ||
            (awaiting && is_awaited(source, answer)))
            continue;
        if (jobs[next]->domains)
            stats_job_add_domain(jobs[next], answer->domain);
        next = (next + 1) % count;
    }
    for (size_t i = 0; i < count; i++)
        submit(source, calls[i], jobs[i]);
}

/* A call that is late is left where it hangs and made again, passing over whom it waits for. */
static void ask_again(struct vm_source *source, struct block_call *call)
{
    double age = clock_monotonic_s() - call->begin_s;
    struct stats_job *again;

    if (age < source->deadline_s / 2 * 0.8 || age < 1.5 * source->usual_block_s ||
        workers_stuck(source->workers) >= MAX_STUCK)
        return;
    again = source_stats_job(source, call->job->wanted, true);
    if (!again)
        return;
    if (stats_job_limit(again, call->job->domain_count) < 0) {
        again->job.free(&again->job);
        return;
    }
    for (size_t i = 0; i < call->job->domain_count; i++)
        stats_job_add_domain(again, call->job->domains[i]);
    source->usual_block_s = fmax(source->usual_block_s, age); /* a slow server gets more time */
    workers_abandon(source->workers, &call->job->job);
    call->job = NULL;
    submit(source, call, again);
}

/* One VM's statistics into the census, which knows its name and state. */
static void merge_answer(struct stats_job *census, struct vm_answer *answer)
{
    struct vm_answer *known = vm_answers_find(&census->answers, answer);
    struct vm_sample swap;

    if (!known || known->vm.incarnation != answer->vm.incarnation)
        return;
    swap = known->vm;
    known->vm = answer->vm;
    known->vm.state = swap.state;
    known->vm.reason = swap.reason;
    known->vm.active = swap.active;
    answer->vm = swap;
    known->groups |= answer->groups;
    known->asked = answer->asked;
    known->no_wait = answer->no_wait;
}

static void merge(struct vm_source *source, struct stats_job *census, struct block_call *call,
                  struct vm_set *set)
{
    struct stats_job *job = call->job;
    double took = job->end_s - job->begin_s;

    set->rpc_count += job->rpc_count;
    census->wanted |= job->wanted;
    source->bulk_groups |= job->bulk_groups;
    source->unsupported |= job->unsupported;
    for (size_t i = 0; job->result == 0 && i < job->answers.count; i++)
        merge_answer(census, &job->answers.list[i]);
    source->usual_block_s =
        source->usual_block_s == 0 ? took : 0.8 * source->usual_block_s + 0.2 * took;
    job->job.free(&job->job);
    call->job = NULL;
}

bool source_ask_blocks(struct vm_source *source, struct stats_job *census, unsigned wanted,
                       double until_s, struct vm_set *set)
{
    double soft = fmin(until_s, clock_monotonic_s() + source->deadline_s / 2);
    bool all = true;

    if (wanted == 0)
        return true;
    vm_answers_sort(&census->answers);
    deal(source, census, wanted);
    for (size_t i = 0; i < MAX_PARALLEL; i++)
        if (source->blocks[i].job &&
            !workers_wait(source->workers, &source->blocks[i].job->job, soft))
            ask_again(source, &source->blocks[i]);
    for (size_t i = 0; i < MAX_PARALLEL; i++) {
        if (!source->blocks[i].job)
            continue;
        if (workers_wait(source->workers, &source->blocks[i].job->job, until_s))
            merge(source, census, &source->blocks[i], set);
        else
            all = false;
    }
    return all;
}
