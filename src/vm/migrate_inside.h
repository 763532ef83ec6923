/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of vm_migrate.h have in common. Effects: libvirt. */
#ifndef SETMOV_VM_MIGRATE_INSIDE_H
#define SETMOV_VM_MIGRATE_INSIDE_H

#include "setmov/vm_migrate.h"

#include "vm/domain.h"

/* For CLEANUP(cleanup_domain). -ENOENT: no VM has that UUID there. */
int migrate_domain(struct vm_peer *peer, const struct uuid *uuid, virDomainPtr *ret_domain,
                   struct error *err);

/* The domain's XML; the caller frees. */
int migrate_read_xml(virDomainPtr domain, unsigned flags, char **ret_xml, struct error *err);

/* The chain of that disk; NULL: there is none. */
const struct vm_chain *migrate_chain_of(const struct vm_chains *chains, const char *target);

/*
 * Where the definition has the disk on its overlay: it has it on these layers. A
 * definition that does not, stays.
 */
int migrate_define_disk(struct vm_peer *peer, virDomainPtr domain,
                        const struct vm_freeze_disk *disk, const struct vm_layer *layers,
                        size_t count, struct error *err);

/* That its overlay cannot be merged: -ENODEV. */
int migrate_no_disk(const struct vm_freeze_disk *disk, struct error *err);

/* Typed parameters of libvirt. */
struct migrate_parameters {
    virTypedParameterPtr list;
    int count, room;
};
void migrate_parameters_release(struct migrate_parameters *parameters);

#endif
