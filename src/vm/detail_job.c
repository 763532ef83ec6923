/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XML and balloon statistics of single VMs. */
#include "vm/detail_job.h"

#include "vm/answer.h"
#include "vm/sample.h"

#include <errno.h>

static void ask_devices(struct detail_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        char *xml = virDomainGetXMLDesc(job->details[i].domain, 0);

        job->rpc_count++;
        job->details[i].answered = xml && domain_devices_parse(text_of(xml, strlen(xml)),
                                                               &job->details[i].devices, NULL) == 0;
        free(xml);
    }
}

static void take_balloon(struct detail_job *job, const virDomainStatsRecord *record)
{
    struct vm_sample vm = {.name = ""};
    char uuid[VIR_UUID_STRING_BUFLEN];
    unsigned groups = 0;

    vm_sample_clear(&vm);
    if (virDomainGetUUIDString(record->dom, uuid) == 0 &&
        vm_answer_apply(record, &vm, &groups) == 0 && (groups & VM_GROUP_BALLOON)) {
        vm.memory.time_s = clock_monotonic_s();
        for (size_t i = 0; i < job->count; i++)
            if (strcmp(job->details[i].uuid, uuid) == 0) {
                job->details[i].memory = vm.memory;
                job->details[i].answered = true;
            }
    }
    vm_sample_release(&vm);
}

static void ask_balloons(struct detail_job *job)
{
    virDomainStatsRecordPtr *records = NULL;
    virDomainPtr *domains = calloc(job->count + 1, sizeof(virDomainPtr));
    int count;

    if (!domains)
        return;
    for (size_t i = 0; i < job->count; i++) {
        domains[i] = job->details[i].domain;
        if (job->details[i].set_period == 0)
            continue;
        job->rpc_count++;
        if (virDomainSetMemoryStatsPeriod(domains[i], (int)job->details[i].set_period,
                                          VIR_DOMAIN_AFFECT_LIVE) < 0)
            link_error(&job->refused, -EPERM, "balloon period");
    }
    job->rpc_count++;
    count = virDomainListGetStats(domains, VIR_DOMAIN_STATS_BALLOON, &records,
                                  job->no_wait ? VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT : 0);
    for (int i = 0; i < count; i++)
        take_balloon(job, records[i]);
    if (count >= 0)
        virDomainStatsRecordListFree(records);
    free(domains);
}

static void detail_run(struct job *base)
{
    struct detail_job *job = (struct detail_job *)base;
    double begin_s = clock_monotonic_s();

    if (job->kind == DETAIL_DEVICES)
        ask_devices(job);
    else
        ask_balloons(job);
    job->took_s = clock_monotonic_s() - begin_s;
}

static void detail_free(struct job *base)
{
    struct detail_job *job = (struct detail_job *)base;

    for (size_t i = 0; i < job->count; i++) {
        domain_devices_release(&job->details[i].devices);
        virDomainFree(job->details[i].domain);
    }
    free(job->details);
    link_unref(job->link);
    free(job);
}

struct detail_job *detail_job_new(struct link *link, enum detail_kind kind, bool no_wait)
{
    struct detail_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->job.run = detail_run;
    job->job.free = detail_free;
    job->link = link_ref(link);
    job->kind = kind;
    job->no_wait = no_wait;
    return job;
}

int detail_job_add(struct detail_job *job, const char *uuid, virDomainPtr domain,
                   unsigned set_period)
{
    struct detail *detail;
    int r = array_reserve(&job->details, &job->capacity, job->count + 1, sizeof(*job->details));

    if (r < 0 || virDomainRef(domain) < 0)
        return r < 0 ? r : -EINVAL;
    detail = &job->details[job->count++];
    memset(detail, 0, sizeof(*detail));
    string_copy(detail->uuid, sizeof(detail->uuid), uuid);
    detail->domain = domain;
    detail->set_period = set_period;
    vm_memory_clear(&detail->memory);
    return 0;
}
