/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libvirt answered of one VM: its fields, and who was asked how. */
#ifndef SETMOV_VM_ANSWER_H
#define SETMOV_VM_ANSWER_H

#include "setmov/vm.h"

#include <libvirt/libvirt.h>

struct vm_answer {
    struct vm_sample vm;
    unsigned groups;     /* VM_GROUP_ bits that were told */
    bool asked;          /* its monitor was asked, and the call came back */
    bool no_wait;        /* by a call that passes over a VM that is busy */
    virDomainPtr domain; /* a reference */
};

/* A growable list of them. */
struct vm_answers {
    struct vm_answer *list;
    size_t count, capacity;
};

/* Appends an answer for `domain` (takes a reference). NULL: out of memory. */
struct vm_answer *vm_answers_append(struct vm_answers *answers, virDomainPtr domain);
void vm_answers_release(struct vm_answers *answers);

/* Sorts in the order of a set. */
void vm_answers_sort(struct vm_answers *answers);

/* The answer of the same VM in a sorted list, or NULL. */
struct vm_answer *vm_answers_find(const struct vm_answers *answers, const struct vm_answer *same);

/* Takes the fields of a bulk record. 0 or -ENOMEM. */
int vm_answer_apply(const virDomainStatsRecord *record, struct vm_sample *vm, unsigned *groups);

#endif
