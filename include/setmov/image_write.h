/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage image/: a disk image that is made anew. Raw ones are written directly,
 * sparse; every other format is made by qemu-img and written through qemu-nbd.
 * Until it is published it has no name (O_TMPFILE), so a process that is killed
 * leaves nothing; only where the file system has no such files it lies under a
 * hidden name beside its own (".NAME.XXXXXX.tmp"). Effects throughout.
 *
 * Thread safety: image_write_at(), image_write_read() and image_write_zero() may
 * be called from several threads for places that do not overlap; the rest from
 * one. The thread that begins an image lives on until it is finished or closed:
 * qemu-nbd ends with it.
 */
#ifndef SETMOV_IMAGE_WRITE_H
#define SETMOV_IMAGE_WRITE_H

#include "setmov/base.h"

struct image_write_options {
    const char *format;         /* "raw", "qcow2"; vmdk, vdi and vhdx without a backing image */
    uint64_t virtual_size;      /* bytes; of raw images the file's length */
    const char *backing;        /* absolute path; NULL: it lies on nothing; not for raw */
    const char *backing_format; /* with `backing`, never guessed */
    const char
        *settings; /* for qemu-img create -o, checked: "compat=1.1,cluster_size=65536"; NULL */
    uint32_t mode; /* of the file; 0: 0600 */
};

/* What is written takes room in whole units of so many bytes: a cluster; 1 for raw, and where
   the settings are none that are allowed. Pure. */
uint64_t image_write_unit(const struct image_write_options *options);
/* Does image_write_zero() take room, too? Above a backing image, in qcow2 of version 2. Pure. */
bool image_write_zeroes_are_data(const struct image_write_options *options);

struct image_write;

/*
 * Begins an image that shall be called `path`: absolute, without "." and "..",
 * in an existing directory; a name that is taken is -EEXIST already. No part of
 * the path below `root` (an absolute directory that the path lies in) may be a
 * symbolic link (-ELOOP); the directory is held from here on, and what happens
 * to its name meanwhile leads nowhere else. -ENOSPC only when it is written.
 */
int image_write_new(const char *path, const char *root, const struct image_write_options *options,
                    struct image_write **ret_image, struct error *err);

/*
 * What is not written reads as zeroes, or as the backing image. With a backing image
 * whole clusters (`settings`) are written or zeroed in the end, each byte once: the
 * backing image is not looked at to fill up the rest (image_write_finish()).
 */
int image_write_at(struct image_write *image, uint64_t offset, const void *bytes, size_t length,
                   struct error *err);
/* Zeroes that hide the backing image; without one, nothing is written where nothing was. */
int image_write_zero(struct image_write *image, uint64_t offset, uint64_t length,
                     struct error *err);
/* Reads back what was written; all zeroes elsewhere, also above a backing image. */
int image_write_read(struct image_write *image, uint64_t offset, size_t length, void *buffer,
                     struct error *err);

/*
 * Ends the writing: all of it is on the disk (fsync), and nothing can be written or
 * read any more. -EIO also where something could not be written before; with a
 * backing image -EINVAL where a cluster was written in part.
 */
int image_write_finish(struct image_write *image, struct error *err);

/* Of the finished file, for a lease, before it has its name. */
int image_write_identity(const struct image_write *image, uint64_t *ret_device,
                         uint64_t *ret_inode);

/* Gives the finished image its name, never over anything: -EEXIST. On the disk too. */
int image_write_publish(struct image_write *image, struct error *err);

/* Ends it; what has no name is gone. NULL is fine. */
void image_write_close(struct image_write *image);

#endif
