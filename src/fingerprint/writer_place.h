/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a writer's bytes go: the file beside its name, and nameless files. Private. */
#ifndef FINGERPRINT_WRITER_PLACE_H
#define FINGERPRINT_WRITER_PLACE_H

#include "setmov/base.h"

/* A file that is written. Zeroed but for `fd` = -1 at first. */
struct place {
    int fd;
    const char *name;   /* for messages; not owned */
    char *beside;       /* ".NAME.XXXXXX.tmp"; NULL: nameless */
    const char *target; /* what it shall be called; not owned */
};

/* Nameless, in a directory, whose name is kept by reference. */
int place_nameless(const char *directory, struct place *ret_place, struct error *err);
/* Beside `path`, which is kept by reference. Nothing is there that must not be replaced. */
int place_beside(const char *path, struct place *ret_place, struct error *err);
/* What was written is on the disk behind this. */
int place_sync(const struct place *place, struct error *err);
/* Takes its name, over what has it. */
int place_publish(struct place *place, struct error *err);
/* Closes, and removes what has no name yet. */
void place_release(struct place *place);

/* All of it, or a failure whose message names the file. */
int place_write(const struct place *place, const void *bytes, size_t length, uint64_t offset,
                struct error *err);
int place_read(const struct place *place, void *bytes, size_t length, uint64_t offset,
               struct error *err);

#endif
