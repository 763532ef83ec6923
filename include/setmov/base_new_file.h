/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that are whole or not there: written beside their name and renamed when
 * all is well, or nameless. Effects: opens, writes, renames and removes files.
 */
#ifndef SETMOV_BASE_NEW_FILE_H
#define SETMOV_BASE_NEW_FILE_H

#include "setmov/base.h"

/* A file that is written. */
struct new_file {
    int fd;             /* -1: none */
    const char *name;   /* for messages; not owned */
    char *beside;       /* ".NAME.XXXXXX.tmp"; NULL: nameless */
    const char *target; /* what it shall be called; not owned */
};

#define NEW_FILE_NONE ((struct new_file){.fd = -1})

/* Where nameless files lie: as is wished, else $TMPDIR where it is an absolute path, or /var/tmp. */
const char *new_file_directory(const char *wished);

/* Nameless, in a directory, whose name is kept by reference. For the owner only. */
int new_file_nameless(const char *directory, struct new_file *ret_file, struct error *err);

/*
 * Beside `path`, which is kept by reference. -EISDIR, -EEXIST: a directory or
 * something else that is no regular file is there and must not be replaced. A
 * symbolic link to a regular file would be replaced itself.
 */
int new_file_beside(const char *path, struct new_file *ret_file, struct error *err);

/* All of it, or a failure whose message names the file. */
int new_file_write(const struct new_file *file, const void *bytes, size_t length, uint64_t offset,
                   struct error *err);

/* What was written is on the disk behind this. */
int new_file_sync(const struct new_file *file, struct error *err);

/*
 * Asks for room behind all that was written, up to `offset` + `length`: cheaper
 * at once than piece by piece while it is filled. The file is then so long.
 * False: there is none to be had so, which says nothing about writing.
 */
bool new_file_allocate(const struct new_file *file, uint64_t offset, uint64_t length);

/* The file ends here, whatever room was asked for. */
int new_file_truncate(const struct new_file *file, uint64_t length, struct error *err);

int new_file_read(const struct new_file *file, void *bytes, size_t length, uint64_t offset,
                  struct error *err);

/* May it still take its name? Also asked by new_file_publish(). */
int new_file_check(const struct new_file *file, struct error *err);

/* Takes its name, over what has it. */
int new_file_publish(struct new_file *file, struct error *err);

/* Names that came to the directory of `path`, or went, are on the disk behind this. */
int new_file_sync_directory(const char *path, struct error *err);

/*
 * A whole small file at once: beside, written, and renamed. `sync`: on the disk
 * before it gets its name, so whole or old after a power failure as well; and so
 * is the name behind this (where that alone fails, the file may have been replaced).
 */
int new_file_replace(const char *path, const void *bytes, size_t length, bool sync,
                     struct error *err);

/* Makes a directory for the owner alone, with parents that all may enter; one that is there is fine. */
int new_file_make_directory(const char *path, struct error *err);

/* Closes, and removes what has no name yet. */
void new_file_release(struct new_file *file);

#endif
