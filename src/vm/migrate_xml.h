/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's XML for a migration. Pure; the text is hostile. */
#ifndef SETMOV_VM_MIGRATE_XML_H
#define SETMOV_VM_MIGRATE_XML_H

#include "setmov/vm_migrate.h"

void migrate_layer_release(struct vm_layer *layer);

/* Chains of all disks that go along, as the XML says them. -EBADMSG, -ENOMEM. */
int migrate_chains_parse(struct text xml, struct vm_chains *ret_chains, struct error *err);

/*
 * As vm_migrate_xml(); but what lies below a disk's top layer is said
 * only where the XML said it all, down to the end: a definition leaves that to the images.
 */
int migrate_xml_define(struct text xml, const struct vm_migrate_disk *disks, size_t count,
                       const char *plan_name, const uint8_t *plan_sha256, char **ret_xml,
                       struct error *err);

/*
 * XML of a snapshot that puts these overlays on these disks, and leaves all other disks of
 * the domain (whose XML it is) out of it. -ENOENT: it has no such disk.
 */
int migrate_snapshot_xml(struct text xml, const struct vm_freeze_disk *disks, size_t count,
                         char **ret_xml, struct error *err);

#endif
