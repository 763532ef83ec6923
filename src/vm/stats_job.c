/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bulk call, and the fallback where it tells too little. */
#include "vm/stats_job.h"

#include "vm/fallback.h"
#include "vm/sample.h"

#include <errno.h>
#include <libvirt/virterror.h>

static unsigned libvirt_mask(unsigned groups)
{
    static const struct {
        unsigned group, mask;
    } table[] = {
        {VM_GROUP_STATE, VIR_DOMAIN_STATS_STATE},
        {VM_GROUP_CPU, VIR_DOMAIN_STATS_CPU_TOTAL},
        {VM_GROUP_BALLOON, VIR_DOMAIN_STATS_BALLOON},
        {VM_GROUP_VCPU, VIR_DOMAIN_STATS_VCPU},
        {VM_GROUP_INTERFACE, VIR_DOMAIN_STATS_INTERFACE},
        {VM_GROUP_BLOCK, VIR_DOMAIN_STATS_BLOCK},
    };
    unsigned mask = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++)
        if (groups & table[i].group)
            mask |= table[i].mask;
    return mask;
}

/* Running, or what is left of a crash that keeps its id. */
static void set_active(struct vm_sample *vm)
{
    vm->active = vm->active || vm->incarnation != (unsigned)-1;
}

/*
 * The server asks one VM after the other, which takes a third of a second for
 * a hundred: each VM's answer is dated at its place in that span.
 */
static void date_answers(struct stats_job *job)
{
    size_t active = 0, place = 0;

    for (size_t i = 0; i < job->answers.count; i++)
        active += job->answers.list[i].vm.active;
    for (size_t i = 0; i < job->answers.count; i++) {
        struct vm_answer *answer = &job->answers.list[i];
        double time_s;

        if (!answer->vm.active)
            continue;
        time_s =
            job->begin_s + (job->end_s - job->begin_s) * ((double)place++ + 0.5) / (double)active;
        if (answer->groups & VM_GROUP_CPU)
            answer->vm.cpu_time_s = time_s;
        if (answer->groups & VM_GROUP_VCPU)
            answer->vm.vcpu_time_s = time_s;
        if (answer->groups & VM_GROUP_BALLOON)
            answer->vm.memory.time_s = time_s;
        if (answer->groups & VM_GROUP_INTERFACE)
            answer->vm.interface_time_s = time_s;
        if (vm_sample_has_disk_counters(&answer->vm))
            answer->vm.disk_time_s = time_s;
    }
}

static int ask_bulk(struct stats_job *job)
{
    unsigned flags = job->no_wait ? VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT : 0;
    virDomainStatsRecordPtr *records = NULL;
    int count, r = 0;

    job->rpc_count++;
    count = job->domains
                ? virDomainListGetStats(job->domains, libvirt_mask(job->wanted), &records, flags)
                : virConnectGetAllDomainStats(job->link->connection, libvirt_mask(job->wanted),
                                              &records, flags);
    if (count < 0) {
        if (virGetLastErrorCode() == VIR_ERR_NO_SUPPORT) {
            job->no_bulk = true;
            return -EOPNOTSUPP;
        }
        return link_error(&job->error, -EIO, "statistics of all domains");
    }
    for (int i = 0; i < count && r == 0; i++) {
        struct vm_answer *answer = vm_answers_append(&job->answers, records[i]->dom);

        r = answer ? vm_answer_apply(records[i], &answer->vm, &answer->groups) : -ENOMEM;
        if (answer) {
            vm_sample_finish(&answer->vm);
            set_active(&answer->vm);
            answer->asked = job->wanted & VM_GROUP_BLOCK;
            answer->no_wait = job->no_wait;
            job->bulk_groups |= answer->groups;
        }
    }
    virDomainStatsRecordListFree(records);
    return r == 0 ? 0 : error_set(&job->error, r, "out of memory");
}

static void stats_run(struct job *base)
{
    struct stats_job *job = (struct stats_job *)base;
    struct fallback fallback = {job->unsupported, 0};

    job->begin_s = clock_monotonic_s();
    job->result = job->no_bulk ? -EOPNOTSUPP : ask_bulk(job);
    if (job->result == -EOPNOTSUPP) {
        job->result = fallback_list(&fallback, job->link->connection, &job->answers);
        if (job->result < 0)
            link_error(&job->error, job->result, "list of domains");
    }
    job->end_s = clock_monotonic_s();
    if (job->result < 0) {
        job->dead = virConnectIsAlive(job->link->connection) <= 0;
        return;
    }
    date_answers(job);
    for (size_t i = 0; i < job->answers.count; i++) {
        struct vm_answer *answer = &job->answers.list[i];
        unsigned missing =
            job->wanted & ~answer->groups & ~job->bulk_groups & ~fallback.unsupported;

        if (answer->vm.active && missing != 0)
            fallback_fill(&fallback, answer, missing);
    }
    job->unsupported |= fallback.unsupported;
    job->rpc_count += fallback.rpc_count;
    if (job->refresh_node) {
        job->rpc_count++;
        link_read_node(job->link);
    }
}

static void stats_free(struct job *base)
{
    struct stats_job *job = (struct stats_job *)base;

    vm_answers_release(&job->answers);
    for (size_t i = 0; i < job->domain_count; i++)
        virDomainFree(job->domains[i]);
    free(job->domains);
    link_unref(job->link);
    free(job);
}

struct stats_job *stats_job_new(struct link *link, unsigned wanted, bool no_wait)
{
    struct stats_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->job.run = stats_run;
    job->job.free = stats_free;
    job->link = link_ref(link);
    job->wanted = wanted;
    job->no_wait = no_wait;
    return job;
}

int stats_job_limit(struct stats_job *job, size_t room)
{
    job->domains = calloc(room + 1, sizeof(virDomainPtr));
    return job->domains ? 0 : -ENOMEM;
}

int stats_job_add_domain(struct stats_job *job, virDomainPtr domain)
{
    if (virDomainRef(domain) < 0)
        return -EINVAL;
    job->domains[job->domain_count++] = domain;
    return 0;
}
