/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a domain's XML says of moving it. Pure; the text is hostile. */
#ifndef SETMOV_VM_MOVE_XML_H
#define SETMOV_VM_MOVE_XML_H

#include "vm/disk_xml.h"

/*
 * Fills in what the XML tells: memory, CPUs, type, architecture, machine, CPU,
 * networks, bridges, and the obstacles that can be seen in it. Name, UUID and
 * `active` are there already. `ret_disks` has all disks, released by the caller;
 * vm->disks is the caller's to make of them, and so is vm->cpu where it is that of the host.
 * -EBADMSG, -ENOMEM; `vm` may be half filled then.
 */
int move_xml_read(struct text xml, struct vm_move *vm, struct disk_list *ret_disks,
                  struct error *err);

/* How to call the VM in a command line: its name where it needs no quotes, else its UUID. */
const char *move_handle(const struct vm_move *vm, char uuid_text[UUID_TEXT_BYTES]);

/*
 * The XML with every disk's own layers taken away from it ("<backingStore/>"):
 * what a disk becomes where it is written anew as a whole. The caller frees.
 * `ret_changed`: there were layers. -EBADMSG, -ENOMEM.
 */
int move_xml_flatten(struct text xml, char **ret_xml, bool *ret_changed, struct error *err);

/* ---- what a host tells of itself ---------------------------------------------------- */

/* Of virConnectGetCapabilities(). The UUID is "" where there is none; `ret_cpu` NULL alike. */
int move_capabilities_read(struct text xml, char ret_uuid[UUID_TEXT_BYTES], char **ret_cpu,
                           struct error *err);

/* Most CPUs that a VM can have there, of virConnectGetDomainCapabilities(); 0: not said. */
int move_domain_capabilities_read(struct text xml, uint32_t *ret_vcpus, struct error *err);

#endif
