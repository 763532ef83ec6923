/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks a connection what disks its host has; may hang, so a job for workers.h. Effects: libvirt. */
#ifndef SETMOV_VM_STORAGE_JOB_H
#define SETMOV_VM_STORAGE_JOB_H

#include "setmov/vm_storage.h"
#include "vm/link.h"

struct storage_job {
    struct job job;
    struct link *link;         /* a reference */
    struct vm_storage storage; /* out */
    int result;                /* out: 0 or negative errno, with `error` */
    struct error error;
};

struct storage_job *storage_job_new(struct link *link); /* NULL: out of memory */

#endif
