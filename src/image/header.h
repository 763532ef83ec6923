/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the first bytes of an image file tell: its format and which other
 * files belong to it. Pure. The bytes are a guest's or a stranger's.
 *
 * Only what decides about safety is read here (other files, encryption, the
 * size); whether an image is sound is for QEMU to say.
 */
#ifndef SETMOV_IMAGE_HEADER_H
#define SETMOV_IMAGE_HEADER_H

#include "setmov/base.h"

/* Sizes are kept so far below 2^63 that sums with a block or a cluster fit. */
#define IMAGE_MAX_SIZE (((uint64_t)1 << 63) - ((uint64_t)1 << 30))

/* How many of a file's first bytes are always enough; usually the fewer are. */
#define IMAGE_HEADER_USUAL 65536
#define IMAGE_HEADER_MOST  (2u << 20) /* a qcow2 cluster */

/* The longest name of a file that a header may hold (qcow2: 1023 bytes). */
#define IMAGE_NAME_ROOM 1024

struct image_header {
    const char *format; /* from the table in header.c */
    uint64_t size;      /* virtual, bytes; UNKNOWN_U64 where QEMU is to tell */
    bool encrypted;
    char backing[IMAGE_NAME_ROOM]; /* as the image says it; "" none */
    char backing_format[32];       /* "" where the image does not say */
    bool has_data_file;            /* qcow2: the clusters lie in another file */
    char data_file[IMAGE_NAME_ROOM];
    char settings[128]; /* qcow2: how it is laid out, as qemu-img create -o takes it; else "" */
    bool is_descriptor; /* vmdk: a text that names the files with the data */
};

/* The format of that name, the table's own string; NULL: no image format that is known here. */
const char *image_format_find(const char *name);

/* The format that the first bytes show, as qemu-img would see it; "raw" where they show none. */
const char *image_header_probe(const uint8_t *bytes, size_t length);

/*
 * Reads the header of an image of that format (of the table). -ENODATA: more
 * bytes are needed (IMAGE_HEADER_MOST at most). -EBADMSG: damaged. -ENOTSUP:
 * a feature that cannot be followed. -EFBIG: an absurd size.
 */
int image_header_parse(const char *format, const uint8_t *bytes, size_t length,
                       struct image_header *ret_header, struct error *err);

/*
 * A file name that an image holds: 0 when it is a plain local one. QEMU takes
 * what has a colon before the first slash as a protocol ("nbd:...", "json:{...");
 * those are refused (-EPERM), and empty names and such with line ends (-EBADMSG).
 */
int image_name_check(const char *name, struct error *err);

#endif
