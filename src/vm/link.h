/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One open libvirt connection and the calls that setmov makes on it, each as
 * a job for workers.h, since each may hang. Effects: libvirt.
 */
#ifndef SETMOV_VM_LINK_H
#define SETMOV_VM_LINK_H

#include "setmov/vm.h"
#include "vm/domain_xml.h"
#include "vm/lifecycle.h"
#include "vm/workers.h"

#include <libvirt/libvirt.h>
#include <stdatomic.h>

/* Shared by the sampler and by the jobs under way; closed with the last reference. */
struct link {
    atomic_uint references;
    virConnectPtr connection;
    int callbacks[LIFECYCLE_CALLBACKS]; /* -1: none */
    bool tells_devices;                 /* events say when devices are plugged */
    char type[32];
    bool local; /* the URI names no other host */
    bool session;
    atomic_uint host_cpus;
};

struct link *link_ref(struct link *link);
void link_unref(struct link *link); /* may block: for worker threads */

/* ---- connect ----------------------------------------------------------------- */

struct connect_job {
    struct job job;
    char *uri; /* NULL: libvirt's default */
    bool read_only;
    struct lifecycle *lifecycle; /* a reference */
    struct link *link;           /* out: a reference, NULL on failure */
    struct error error;          /* out */
};

struct connect_job *connect_job_new(const char *uri, bool read_only, struct lifecycle *lifecycle);

/* Drops the sampler's reference in a worker thread. */
struct job *close_job_new(struct link *link);

/* ---- statistics of all VMs ------------------------------------------------------ */

struct vm_answer {
    struct vm_sample vm;
    unsigned groups;     /* VM_GROUP_ bits that were told */
    bool asked;          /* its monitor was asked, and the call came back */
    bool no_wait;        /* by a call that passes over a VM that is busy */
    virDomainPtr domain; /* a reference */
};

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
    struct vm_answer *answers;
    size_t count, capacity;
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

/* ---- questions to single VMs ------------------------------------------------------ */

struct detail {
    char uuid[VM_UUID_TEXT_BYTES];
    virDomainPtr domain; /* a reference */
    unsigned set_period; /* balloon statistics period to set first, s; 0: none */
    /* out */
    bool answered;
    struct domain_devices devices;
    struct vm_memory memory;
};

enum detail_kind { DETAIL_DEVICES, DETAIL_BALLOON };

struct detail_job {
    struct job job;
    struct link *link;
    enum detail_kind kind;
    bool no_wait;
    struct detail *details;
    size_t count, capacity;
    unsigned rpc_count;
    double took_s;
};

struct detail_job *detail_job_new(struct link *link, enum detail_kind kind, bool no_wait);

/* Adds a VM to ask (takes a reference of its own). 0 or -ENOMEM. */
int detail_job_add(struct detail_job *job, const char *uuid, virDomainPtr domain,
                   unsigned set_period);

/* ---- inside the stage -------------------------------------------------------------- */

/* Fills the groups `missing` of one answer by calls for this VM alone (fallback.c). */
void fallback_fill(struct stats_job *job, struct vm_answer *answer, unsigned missing);

/* The list of VMs by virConnectListAllDomains (fallback.c). 0 or negative errno. */
int fallback_list(struct stats_job *job);

/* The order of a set, for qsort and bsearch over answers. */
int vm_answer_compare(const void *a, const void *b);

/* Appends an answer for `domain` (takes a reference). NULL: out of memory. */
struct vm_answer *stats_job_append(struct stats_job *job, virDomainPtr domain);

/* Leaves libvirt's last error in `err` and returns `code`. */
int link_error(struct error *err, int code, const char *what);

#endif
