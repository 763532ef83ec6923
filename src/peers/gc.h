/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `setmov gc` share. */
#ifndef SETMOV_PEERS_GC_INTERNAL_H
#define SETMOV_PEERS_GC_INTERNAL_H

#include "setmov/catalog_request.h"
#include "setmov/peers_gc.h"

/* Below `state`. */
#define GC_DIRECTORY       "leases"
#define GC_PARTS_DIRECTORY "parts" /* what was sent to each host */

/* Unfinished files are a dead writer's when nobody has written to them for so long. */
#define GC_LEFT_S 3600

/* ---- what is in use (gc_judge.c; pure) ------------------------------------------- */

/* One file that must stay. */
struct gc_use {
    char *path; /* as a domain, or an image, names it */
    char *user; /* NULL: a domain names it; else the image that needs it */
    bool is_directory;
    uint64_t device, inode; /* 0: it is not there */
};

struct gc_uses {
    struct gc_use *uses;
    size_t count, capacity;
};
/* Copies the strings. -ENOMEM. */
int gc_uses_add(struct gc_uses *uses, const struct gc_use *use);
void gc_uses_release(struct gc_uses *uses);

/* An image that may be removed: all its names, and the file. */
struct gc_suspect {
    const char *path, *resolved;
    uint64_t device, inode;
};

/* Who needs it; NULL: nobody. */
const struct gc_use *gc_uses_find(const struct gc_uses *uses, const struct gc_suspect *suspect);

/* Does `path` lie below one of the directories? All are resolved. */
bool gc_lies_below(const char *path, const char *const *directories, size_t count);

/* Is that the name of an unfinished file (".NAME.XXXXXX.tmp")? */
bool gc_is_unfinished(const char *name);

/* An old image; zeroes: none that could be looked at. */
struct gc_old {
    uint64_t device, inode, bytes;
    int64_t made_s, expires_s;
};

/*
 * Which have to go for the others to keep within the quota (0: there is none), the
 * oldest first; those that have expired go in any case, and do not count.
 */
void gc_old_over_quota(const struct gc_old *images, size_t count, int64_t now_s,
                       uint64_t quota_bytes, bool *ret_over);

enum gc_sent { GC_SENT_NONE, GC_SENT_PART, GC_SENT_PLAN };
/*
 * What a name in `incoming` is; of a plan, or a file that goes with one, also the
 * plan's name, cut off in `ret_plan`.
 */
#define GC_PLAN_BYTES 128
enum gc_sent gc_sent_kind(const char *name, char ret_plan[GC_PLAN_BYTES]);

/* Is that what is remembered of a part (HEX.blocks)? */
bool gc_is_blocks(const char *name);

/* ---- what libvirt and images say (gc_use.c) ----------------------------------------- */

/* Of every domain's images the headers are read. */
#define GC_USES_TIMEOUT_S 300.0
/* While images are locked, a VM that starts with one of them fails. */
#define GC_LOCKED_TIMEOUT_S 30.0

/*
 * Every file that a domain of this host names, and every file that those images
 * are made of. Fails where anything of it cannot be known.
 */
int gc_uses_read(const struct config *config, double timeout_s, bool (*stopped)(void *context),
                 void *context, struct gc_uses *ret_uses, struct error *err);

/* libvirt sees that files are gone. */
int gc_refresh(const struct config *config, bool (*stopped)(void *context), void *context,
               struct error *err);

/* ---- one image (gc_image.c) ----------------------------------------------------------- */

/* An image that is held open. */
struct gc_image {
    int directory, fd; /* -1: none */
    char *resolved;
    char *name; /* in the directory; points into `resolved` */
    uint64_t device, inode, bytes;
};

enum gc_look {
    GC_LOOK_OK,
    GC_LOOK_GONE, /* it is not there, in the file system in which it was */
    GC_LOOK_KEEP, /* with the reason */
};

/* `is_old`: the lease is the record of an old image. */
enum gc_look gc_image_open(const struct config *config, const struct catalog_lease *lease,
                           bool is_old, struct gc_image *ret_image, struct error *ret_why);
/*
 * Until it is closed no QEMU can begin to use it. `only_look`: nobody is kept from it. -EBUSY: a
 * process uses it.
 */
int gc_image_lock(const struct gc_image *image, bool only_look, struct error *err);
int gc_image_remove(const struct gc_image *image, struct error *err);
void gc_image_close(struct gc_image *image);

/* ---- what migrations sent (gc_incoming.c) ------------------------------------------------- */

/* A plan says that somebody is about to use parts, for so long. */
#define GC_PLAN_FRESH_S 3600

/* Plans and parts here, and what is remembered of parts elsewhere. Returns how many there were. */
size_t gc_incoming_remove(const struct config *config, bool dry_run);

/* ---- what dead writers left (gc_left.c) -------------------------------------------------- */

/* Returns how many there were. */
size_t gc_left_remove(const struct config *config, bool dry_run);

#endif
