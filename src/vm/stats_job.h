/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Statistics of all VMs or of some, as a job for workers.h. Effects: libvirt. */
#ifndef SETMOV_VM_STATS_JOB_H
#define SETMOV_VM_STATS_JOB_H

#include "vm/answer.h"
#include "vm/link.h"

struct stats_job {
    struct job job;
    struct link *link;
    unsigned wanted; /* VM_GROUP_ bits */
    bool no_wait;    /* leave out what a VM that is busy or hangs would have to be asked */
    bool refresh_node;
    virDomainPtr *domains; /* the VMs to ask, NULL at the end, references; NULL: all */
    size_t domain_count;
    /* What the driver can do; in and out. */
    bool no_bulk;         /* it has no bulk call */
    unsigned bulk_groups; /* groups that its bulk call has been seen to tell */
    unsigned unsupported; /* groups that its calls for one VM do not know */
    /* out */
    struct vm_answers answers;
    unsigned rpc_count;
    double begin_s, end_s;
    int result; /* 0 or negative errno */
    bool dead;  /* the connection is gone */
    struct error error;
};

struct stats_job *stats_job_new(struct link *link, unsigned wanted, bool no_wait);

/* Limits the job to VMs: room for `room` of them, then one by one (a reference each). */
int stats_job_limit(struct stats_job *job, size_t room);
int stats_job_add_domain(struct stats_job *job, virDomainPtr domain);

#endif
