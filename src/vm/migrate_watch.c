/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watches a migration that is under way, and pushes it, from a connection of its own. */
#include "vm/migrate_inside.h"

#include <errno.h>
#include <libvirt/virterror.h>

static uint64_t value_of(const struct migrate_parameters *parameters, const char *name)
{
    unsigned long long value = 0;

    virTypedParamsGetULLong(parameters->list, parameters->count, name, &value);
    return value;
}

static void fill(const struct migrate_parameters *from, int type,
                 struct vm_migrate_progress *ret_progress)
{
    int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

    virTypedParamsGetInt(from->list, from->count, VIR_DOMAIN_JOB_OPERATION, &operation);
    *ret_progress = (struct vm_migrate_progress){
        .active = (type == VIR_DOMAIN_JOB_BOUNDED || type == VIR_DOMAIN_JOB_UNBOUNDED) &&
                  operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT,
        .memory_total = value_of(from, VIR_DOMAIN_JOB_MEMORY_TOTAL),
        .memory_sent = value_of(from, VIR_DOMAIN_JOB_MEMORY_PROCESSED),
        .memory_remaining = value_of(from, VIR_DOMAIN_JOB_MEMORY_REMAINING),
        .disk_total = value_of(from, VIR_DOMAIN_JOB_DISK_TOTAL),
        .disk_sent = value_of(from, VIR_DOMAIN_JOB_DISK_PROCESSED),
        .disk_remaining = value_of(from, VIR_DOMAIN_JOB_DISK_REMAINING),
        .downtime_ms = value_of(from, VIR_DOMAIN_JOB_DOWNTIME),
        .iterations = value_of(from, VIR_DOMAIN_JOB_MEMORY_ITERATION),
    };
}

int vm_migrate_progress(struct vm_peer *peer, const struct uuid *uuid, bool ended,
                        struct vm_migrate_progress *ret_progress, struct error *err)
{
    CLEANUP(migrate_parameters_release) struct migrate_parameters parameters = {NULL, 0, 0};
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    int type = VIR_DOMAIN_JOB_NONE;
    int r = migrate_domain(peer, uuid, &domain, err);

    if (r < 0)
        return r;
    if (virDomainGetJobStats(domain, &type, &parameters.list, &parameters.count,
                             ended ? VIR_DOMAIN_JOB_STATS_COMPLETED : 0) < 0)
        return domain_error(err, domain, "its migration cannot be watched");
    fill(&parameters, type, ret_progress);
    return 0;
}

int vm_migrate_abort(struct vm_peer *peer, const struct uuid *uuid, struct error *err)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    int r = migrate_domain(peer, uuid, &domain, err);

    if (r == 0 && virDomainAbortJob(domain) < 0)
        r = domain_error(err, domain, "its migration cannot be aborted");
    return r;
}

int vm_migrate_post_copy(struct vm_peer *peer, const struct uuid *uuid, struct error *err)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    int r = migrate_domain(peer, uuid, &domain, err);

    if (r == 0 && virDomainMigrateStartPostCopy(domain, 0) < 0)
        r = domain_error(err, domain, "it cannot change to post-copy");
    return r;
}

int vm_migrate_suspend(struct vm_peer *peer, const struct uuid *uuid, struct error *err)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    int r = migrate_domain(peer, uuid, &domain, err);

    if (r == 0 && virDomainSuspend(domain) < 0)
        r = domain_error(err, domain, "it cannot be suspended");
    return r;
}
