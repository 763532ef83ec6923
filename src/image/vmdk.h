/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK descriptors: the text that says in which files a VMware disk lies.
 * Pure. QEMU opens whatever a descriptor names, protocols included, so it is
 * never shown the image's own: a new one is written from what was parsed.
 */
#ifndef SETMOV_IMAGE_VMDK_H
#define SETMOV_IMAGE_VMDK_H

#include "image/header.h"

#define VMDK_MOST_EXTENTS 256

struct vmdk_extent {
    char kind[12]; /* FLAT, SPARSE, ZERO, VMFS, VMFSSPARSE, SESPARSE */
    uint64_t sectors;
    uint64_t offset; /* sectors; of FLAT and VMFS */
    char name[512];  /* "" for ZERO */
};

struct vmdk_descriptor {
    char create_type[32];
    char parent[IMAGE_NAME_ROOM]; /* "" none */
    uint32_t id, parent_id;
    struct vmdk_extent *extents;
    size_t count, capacity;
};

/* Is the text one? As QEMU probes: comments, then version=1, 2 or 3. */
bool vmdk_descriptor_probe(struct text text);

/* -EBADMSG: not to be understood; -E2BIG: too many extents; -ENOMEM. */
int vmdk_descriptor_parse(struct text text, struct vmdk_descriptor *ret_descriptor,
                          struct error *err);
void vmdk_descriptor_release(struct vmdk_descriptor *descriptor);

/* The value of a line `key="value"` or `key=value`; false: none, or too long. */
bool vmdk_descriptor_value(struct text text, const char *key, char *value, size_t size);

/*
 * Writes a descriptor of the same meaning into `*ret_text` (malloc'ed); the
 * i-th extent's file is named /proc/self/fd/N with N = fds[i] (unused for ZERO).
 */
int vmdk_descriptor_write(const struct vmdk_descriptor *descriptor, const int *fds,
                          char **ret_text);

#endif
