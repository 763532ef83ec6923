/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An image that is made, as the files write*.c and nbd_write.c share it: its place
 * in a directory, and the two ways to fill it, as a table of functions.
 */
#ifndef SETMOV_IMAGE_WRITE_PARTS_H
#define SETMOV_IMAGE_WRITE_PARTS_H

#include "setmov/image_write.h"

#include <pthread.h>

/* ---- write_place.c: a file without a name, in a directory that is held ---------------------- */

struct write_place {
    const char *path; /* for messages; not owned */
    const char *name; /* its last part */
    char *hidden;     /* the name that it has meanwhile where files without one are not to be had */
    int directory;    /* -1: none */
    int fd;           /* for reading and writing, 10 or above; -1: none */
};

/* As image_write_new() says; `path` is kept by reference. On failure nothing is left. */
int write_place_open(const char *path, const char *root, uint32_t mode,
                     struct write_place *ret_place, struct error *err);
int write_place_sync(const struct write_place *place, struct error *err);
int write_place_publish(struct write_place *place, struct error *err);
/* NULL and a released one are fine. */
void write_place_release(struct write_place *place);

/* ---- write_settings.c: what may be said to qemu-img; pure ---------------------------------- */

/* Are they all known ones with values that name no file and open none? -EINVAL. NULL is fine. */
int write_settings_check(const char *format, const char *settings, struct error *err);

/* How much is written, or not, as a whole: a cluster, or a part of it with a mark of its own. */
uint64_t write_settings_cluster(const char *settings);
/* Has such a qcow2 image clusters that are zeroes without being stored? Not those of version 2. */
bool write_settings_knows_zeroes(const char *settings);

/* ---- write_cover.c: clusters that are written in part -------------------------------------- */

struct write_begun {
    uint64_t start, bytes;
};

struct write_cover {
    uint64_t size, cluster; /* cluster 0: not initialized */
    pthread_mutex_t lock;
    struct write_begun *begun;
    size_t count, capacity;
};

void write_cover_init(struct write_cover *cover, uint64_t size, uint64_t cluster);
/* Written, each byte once, length > 0. -E2BIG: too many are begun. -ENOMEM. May be called by several threads. */
int write_cover_add(struct write_cover *cover, uint64_t offset, uint64_t length);
/* False: the cluster at `ret_missing` was begun and is not whole. */
bool write_cover_is_whole(struct write_cover *cover, uint64_t *ret_missing);
void write_cover_release(struct write_cover *cover);

/* ---- write_create.c ------------------------------------------------------------------------ */

/* Has qemu-img make an empty image in the file. */
int write_create(const struct write_place *place, const struct image_write_options *options,
                 struct error *err);

/* ---- the ways ------------------------------------------------------------------------------- */

/* Thread safety as in setmov/image_write.h; offset and length are within the size. */
struct write_way {
    /* `place` outlives the state. On failure nothing is left. */
    int (*begin)(const struct write_place *place, const struct image_write_options *options,
                 void **ret_state, struct error *err);
    int (*write)(void *state, uint64_t offset, const void *bytes, size_t length, struct error *err);
    int (*zero)(void *state, uint64_t offset, uint64_t length, struct error *err);
    int (*read)(void *state, uint64_t offset, size_t length, void *buffer, struct error *err);
    /* Once, when nothing else is under way: all is in the file behind it. */
    int (*finish)(void *state, struct error *err);
    void (*end)(void *state);
};

extern const struct write_way write_way_raw; /* write_raw.c */
extern const struct write_way write_way_nbd; /* nbd_write.c */

#endif
