/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The libvirt calls behind a cycle: connect, bulk statistics, questions to single VMs. */
#include "vm/link.h"

#include "vm/sample.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <math.h>

int link_error(struct error *err, int code, const char *what)
{
    const virError *last = virGetLastError();

    return error_set(err, code, "%s: %s", what,
                     last && last->message ? last->message : "unknown libvirt error");
}

struct link *link_ref(struct link *link)
{
    atomic_fetch_add(&link->references, 1);
    return link;
}

void link_unref(struct link *link)
{
    if (!link || atomic_fetch_sub(&link->references, 1) != 1)
        return;
    if (link->connection) {
        for (size_t i = 0; i < LIFECYCLE_CALLBACKS; i++)
            if (link->callbacks[i] >= 0)
                virConnectDomainEventDeregisterAny(link->connection, link->callbacks[i]);
        virConnectClose(link->connection);
    }
    free(link);
}

/* ---- connect ------------------------------------------------------------------- */

/* "qemu:///system" and "qemu+unix:///session" are here; "qemu+ssh://host/..." is not. */
static void describe_link(struct link *link)
{
    char *uri = virConnectGetURI(link->connection);
    const char *type = virConnectGetType(link->connection);
    const char *authority = uri ? strstr(uri, "://") : NULL;

    if (type)
        string_copy(link->type, sizeof(link->type), type);
    link->local = authority && authority[3] == '/';
    link->session = uri && strstr(uri, ":///session") != NULL;
    free(uri);
}

static void read_node(struct link *link)
{
    virNodeInfo info;

    if (virNodeGetInfo(link->connection, &info) == 0)
        atomic_store(&link->host_cpus, info.cpus);
}

static void connect_run(struct job *base)
{
    struct connect_job *job = (struct connect_job *)base;
    struct link *link = calloc(1, sizeof(*link));

    if (!link) {
        error_set(&job->error, -ENOMEM, "out of memory");
        return;
    }
    atomic_init(&link->references, 1);
    memset(link->callbacks, 0xff, sizeof(link->callbacks));
    lifecycle_start_event_loop();
    link->connection =
        job->read_only ? virConnectOpenReadOnly(job->uri) : virConnectOpenAuth(job->uri, NULL, 0);
    if (!link->connection) {
        link_error(&job->error, -ENOTCONN, job->uri ? job->uri : "default connection");
        link_unref(link);
        return;
    }
    virConnectSetKeepAlive(link->connection, 5, 3); /* not every driver has it */
    describe_link(link);
    read_node(link);
    link->tells_devices = lifecycle_listen(job->lifecycle, link->connection, link->callbacks);
    job->link = link;
}

static void connect_free(struct job *base)
{
    struct connect_job *job = (struct connect_job *)base;

    link_unref(job->link);
    lifecycle_unref(job->lifecycle);
    free(job->uri);
    free(job);
}

struct connect_job *connect_job_new(const char *uri, bool read_only, struct lifecycle *lifecycle)
{
    struct connect_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->job.run = connect_run;
    job->job.free = connect_free;
    job->read_only = read_only;
    job->uri = uri ? strdup(uri) : NULL;
    if (uri && !job->uri) {
        free(job);
        return NULL;
    }
    job->lifecycle = lifecycle_ref(lifecycle);
    return job;
}

struct close_job {
    struct job job;
    struct link *link;
};

static void close_run(struct job *base)
{
    link_unref(((struct close_job *)base)->link);
}

static void close_free(struct job *base)
{
    free(base);
}

struct job *close_job_new(struct link *link)
{
    struct close_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->job.run = close_run;
    job->job.free = close_free;
    job->link = link;
    return &job->job;
}

/* ---- statistics of all VMs ---------------------------------------------------------- */

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

static bool value_of(const virTypedParameter *parameter, struct vm_value *ret_value)
{
    switch (parameter->type) {
    case VIR_TYPED_PARAM_INT:
        *ret_value = (struct vm_value){.kind = VM_VALUE_SIGNED, .s = parameter->value.i};
        return true;
    case VIR_TYPED_PARAM_UINT:
        *ret_value = (struct vm_value){.kind = VM_VALUE_UNSIGNED, .u = parameter->value.ui};
        return true;
    case VIR_TYPED_PARAM_LLONG:
        *ret_value = (struct vm_value){.kind = VM_VALUE_SIGNED, .s = parameter->value.l};
        return true;
    case VIR_TYPED_PARAM_ULLONG:
        *ret_value = (struct vm_value){.kind = VM_VALUE_UNSIGNED, .u = parameter->value.ul};
        return true;
    case VIR_TYPED_PARAM_DOUBLE:
        *ret_value = (struct vm_value){.kind = VM_VALUE_DOUBLE, .d = parameter->value.d};
        return true;
    case VIR_TYPED_PARAM_BOOLEAN:
        *ret_value = (struct vm_value){.kind = VM_VALUE_BOOLEAN, .b = parameter->value.b != 0};
        return true;
    case VIR_TYPED_PARAM_STRING:
        *ret_value = (struct vm_value){.kind = VM_VALUE_STRING, .string = parameter->value.s};
        return true;
    default:
        return false;
    }
}

static int apply_record(const virDomainStatsRecord *record, struct vm_sample *vm, unsigned *groups)
{
    struct vm_value value;
    int r = 0;

    for (int i = 0; i < record->nparams && r == 0; i++)
        if (value_of(&record->params[i], &value))
            r = vm_sample_apply(vm, record->params[i].field, &value, groups);
    return r;
}

struct vm_answer *stats_job_append(struct stats_job *job, virDomainPtr domain)
{
    const char *name = virDomainGetName(domain);
    unsigned id = virDomainGetID(domain);
    struct vm_answer *answer;

    if (array_reserve(&job->answers, &job->capacity, job->count + 1, sizeof(*job->answers)) < 0)
        return NULL;
    answer = &job->answers[job->count++];
    memset(answer, 0, sizeof(*answer));
    vm_sample_clear(&answer->vm);
    string_copy(answer->vm.name, sizeof(answer->vm.name), name ? name : "");
    if (virDomainGetUUIDString(domain, answer->vm.uuid) < 0)
        answer->vm.uuid[0] = '\0';
    answer->vm.incarnation = id;
    if (virDomainRef(domain) == 0)
        answer->domain = domain;
    return answer;
}

int vm_answer_compare(const void *a, const void *b)
{
    const struct vm_answer *one = a, *other = b;

    return vm_sample_compare(&one->vm, &other->vm);
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

    for (size_t i = 0; i < job->count; i++)
        active += job->answers[i].vm.active;
    for (size_t i = 0; i < job->count; i++) {
        struct vm_answer *answer = &job->answers[i];
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
        struct vm_answer *answer = stats_job_append(job, records[i]->dom);

        r = answer ? apply_record(records[i], &answer->vm, &answer->groups) : -ENOMEM;
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

    job->begin_s = clock_monotonic_s();
    job->result = job->no_bulk ? -EOPNOTSUPP : ask_bulk(job);
    if (job->result == -EOPNOTSUPP)
        job->result = fallback_list(job);
    job->end_s = clock_monotonic_s();
    if (job->result < 0) {
        job->dead = virConnectIsAlive(job->link->connection) <= 0;
        return;
    }
    date_answers(job);
    for (size_t i = 0; i < job->count; i++) {
        struct vm_answer *answer = &job->answers[i];
        unsigned missing = job->wanted & ~answer->groups & ~job->bulk_groups & ~job->unsupported;

        if (answer->vm.active && missing != 0)
            fallback_fill(job, answer, missing);
    }
    if (job->refresh_node) {
        job->rpc_count++;
        read_node(job->link);
    }
}

static void stats_free(struct job *base)
{
    struct stats_job *job = (struct stats_job *)base;

    for (size_t i = 0; i < job->count; i++) {
        vm_sample_release(&job->answers[i].vm);
        if (job->answers[i].domain)
            virDomainFree(job->answers[i].domain);
    }
    free(job->answers);
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

/* ---- questions to single VMs ----------------------------------------------------------- */

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
    if (virDomainGetUUIDString(record->dom, uuid) == 0 && apply_record(record, &vm, &groups) == 0 &&
        (groups & VM_GROUP_BALLOON)) {
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
        virDomainSetMemoryStatsPeriod(domains[i], (int)job->details[i].set_period,
                                      VIR_DOMAIN_AFFECT_LIVE);
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
