/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every file that a domain's XML names. Pure. */
#ifndef SETMOV_VM_FILES_XML_H
#define SETMOV_VM_FILES_XML_H

#include "setmov/vm_move.h"

/*
 * Adds every absolute path that stands anywhere in the XML but in <metadata>,
 * as the text of an element, the value of an attribute, or behind a "=", a
 * quote or a colon in one (arguments for QEMU): better one too many; and the
 * relative ones of disks. Each once of a kind and format. The XML of a domain,
 * of a snapshot, or of a saved domain. -EBADMSG, -ENOMEM.
 */
int files_xml_add(struct text xml, const char *what, const char *root, struct vm_files *files,
                  struct error *err);

/* Where it is not there yet. `format` may be NULL. -ENOMEM. */
int files_add(struct vm_files *files, const char *path, enum vm_file_kind kind, const char *format);
bool files_have(const struct vm_files *files, const char *path);

#endif
