/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to single VMs, as a job for workers.h. Effects: libvirt. */
#ifndef SETMOV_VM_DETAIL_JOB_H
#define SETMOV_VM_DETAIL_JOB_H

#include "vm/domain_xml.h"
#include "vm/link.h"

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
    struct error refused; /* why a balloon period could not be set; "" : none was refused */
};

struct detail_job *detail_job_new(struct link *link, enum detail_kind kind, bool no_wait);

/* Adds a VM to ask (takes a reference of its own). 0 or -ENOMEM. */
int detail_job_add(struct detail_job *job, const char *uuid, virDomainPtr domain,
                   unsigned set_period);

#endif
