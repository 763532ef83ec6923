/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disks of a domain's XML, with their layers. Pure; the text is hostile. */
#ifndef SETMOV_VM_DISK_XML_H
#define SETMOV_VM_DISK_XML_H

#include "vm/lines.h"

struct _xmlNode; /* of libxml2, whose headers only parsers need */

struct disk_facts {
    char *target;        /* "vda"; never NULL */
    char *type;          /* "file", "block", "volume", "network" ... */
    char *path;          /* of a file or block device, absolute; else NULL */
    char *pool, *volume; /* of a volume that has not been looked up; else NULL */
    char *format;        /* "raw" where nothing is said */
    bool is_empty;       /* a drive without a medium */
    bool is_medium;      /* a CD-ROM, a floppy */
    bool read_only, shareable, transient, has_job;
    bool has_chain;         /* the XML says what lies below, if anything */
    struct vm_lines layers; /* paths of the files below the top one */
};

struct disk_list {
    struct disk_facts *disks;
    size_t count, capacity;
};

/* Of a <devices> element (may be NULL). -ENOMEM. Releases nothing. */
int disk_list_read(const struct _xmlNode *devices, struct disk_list *list);
/* Of a whole domain. -EBADMSG, -ENOMEM. */
int disk_list_parse(struct text xml, struct disk_list *ret_list, struct error *err);
void disk_list_release(struct disk_list *list);

/* Is there something on it that a move has to take along? */
bool disk_goes_along(const struct disk_facts *disk);

#endif
