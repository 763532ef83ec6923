/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of an image: opened once, checked as what was opened, and from
 * then on known by their descriptors. QEMU gets the descriptors and the whole
 * chain spelt out, so no name that an image holds is ever opened by it, and a
 * file that is swapped behind our back changes nothing.
 */
#ifndef SETMOV_IMAGE_CHAIN_H
#define SETMOV_IMAGE_CHAIN_H

#include "setmov/image.h"

#include "image/header.h"

/* Files of one image: layers, data files of qcow2, parts of split VMDKs. */
#define CHAIN_MOST_FILES 320

/* One image of the chain. */
struct chain_node {
    const char *format;
    size_t file;
    ssize_t data_file; /* index of a file, -1: none */
    int descriptor_fd; /* vmdk: a rewritten descriptor in memory, -1: none */
    bool can_have_backing;
};

struct image_chain {
    struct image_layer *files; /* in the order they were found: the top image is the first */
    int *fds;                  /* of the files, read-only; all are 10 or above */
    size_t count, files_capacity, fds_capacity;
    struct chain_node nodes[IMAGE_MAX_LAYERS]; /* top first */
    size_t node_count;
    struct cache_guard **guards; /* of the files, where QEMU reads them; NULL: none */
    struct image_stop *stop; /* looked at by what takes long (backend.h); NULL: nobody stops it */
    uint64_t top_size;       /* virtual size as the top image's header tells it, or UNKNOWN_U64 */
    char top_settings[128];  /* of struct image_header */
};

/* Opens and checks; on failure nothing is left. */
int image_chain_open(const char *path, const struct image_options *options,
                     struct image_chain *ret_chain, struct error *err);
void image_chain_release(struct image_chain *chain);

/* -ESTALE, naming the file, when one is not what it was; `content_only`: see image_file_check(). */
int image_chain_check(const struct image_chain *chain, bool content_only, struct error *err);

/* -ESTALE when a file is now shorter than it was: looks at descriptors only, cheap. */
int image_chain_check_sizes(const struct image_chain *chain, struct error *err);

/*
 * -EBADMSG, naming the file, when it ends before something that its tables
 * name, which QEMU would read as zeroes. A file that is in use is not looked at.
 */
int image_chain_check_whole(const struct image_chain *chain, struct error *err);

/* Does somebody hold a lock for writing on one of the files? Takes none. */
bool image_chain_is_locked(const struct image_chain *chain);

/* ---- one file (file.c) ------------------------------------------------------------ */

/* Says whether a file may be opened, by its resolved path, before it is. */
struct image_permit {
    bool (*allows)(const void *context, const char *path);
    const void *context;
};

/*
 * Opens a regular file or a block device for reading without waiting for
 * anything or setting anything off (FIFO, tape). `permit` may be NULL; -EPERM
 * where it says no. `ret_layer` has all but the format; path and descriptor
 * are the caller's.
 */
int image_file_open(const char *name, const struct image_permit *permit, int *ret_fd,
                    struct image_layer *ret_layer, struct error *err);
/* `content_only`: owner and mode may have changed. */
int image_file_check(const struct image_layer *layer, bool content_only, struct error *err);
bool image_file_is_locked(int fd);

/* A descriptor of 10 or above for the same file, closed on exec; `fd` is closed in any case. */
int image_fd_raise(int fd);

/* ---- what QEMU is told (arguments.c; pure) ------------------------------------------- */

/* The chain as a json: name for qemu-nbd, malloc'ed. 0 or -ENOMEM. */
int image_chain_describe(const struct image_chain *chain, char **ret_text);

/* A file that is written, and no layer below it. False: `text` is too small. */
bool image_written_describe(const char *format, int fd, char *text, size_t size);

#endif
