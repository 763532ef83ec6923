/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal of a migration: one small file for each VM that is on its way,
 * UUID.journal below migrations/ of `state`, written before each step that would
 * have to be undone or ended. Whoever works on a migration holds the lock beside
 * it (UUID.lock), so that a journal whose lock is free belongs to a process that
 * is gone. Format: docs/journal-format.md.
 */
#ifndef MIGRATE_JOURNAL_H
#define MIGRATE_JOURNAL_H

#include "setmov/migrate.h"

#define JOURNAL_DIRECTORY "migrations" /* below `state` */
#define JOURNAL_SUFFIX    ".journal"
#define JOURNAL_LOCK      ".lock"
#define JOURNAL_BYTES_MAX ((size_t)1 << 20)
#define JOURNAL_DISKS_MAX 256

/* A file of a disk, at both ends. */
struct journal_layer {
    char *path, *format; /* here, before anything was frozen */
    char *there;         /* its path at the destination */
    bool is_shared; /* other VMs may lie on it: it is neither renamed nor removed, here or there */
};

struct journal_disk {
    char *target;                 /* "vda" */
    char *overlay;                /* what vm_freeze() lays on top; NULL: it was not to be frozen */
    struct journal_layer *layers; /* top first; the first one is what the overlay lies on */
    size_t layer_count, layer_capacity;
};

struct journal {
    struct uuid vm;
    char *vm_name;
    enum migrate_phase phase;
    bool was_active, was_persistent;
    bool was_paused;    /* by an operator: it stays so */
    bool was_autostart; /* persistent, and starts with the host */
    bool keeps_old;     /* the old images become donors, else they go */
    /*
     * The point of no return: libvirt was, or is about to be, told to migrate.
     * From then on only what both sides say of the VM tells what is to be done.
     */
    bool is_handed;
    /* It stands still there, however that ends, until it was let go of here: nobody runs it twice. */
    bool stands_still;
    char *host; /* the destination's name in setmov.conf; NULL: it was given by its URI */
    char *uri, *incoming_pool;
    char *plan; /* name of the last plan, see transfer_plan.h; NULL: none is there yet */
    int64_t made_s, changed_s;
    /* Who works, or worked, on it. Whether it still does tells the lock. */
    uint64_t pid;
    struct uuid boot; /* of the kernel (/proc/sys/kernel/random/boot_id) */
    struct journal_disk *disks;
    size_t disk_count, disk_capacity;
};

void journal_release(struct journal *journal);

/* The empty disk, or layer, that was added; NULL: no memory. */
struct journal_disk *journal_add_disk(struct journal *journal);
struct journal_layer *journal_add_layer(struct journal_disk *disk);

/* ---- the text (journal_text.c; pure) ------------------------------------------------- */

/* -EINVAL: a path that is not plain (catalog_request.h), a name that is missing; -ENOMEM. */
int journal_encode(const struct journal *journal, char **ret_text, size_t *ret_length,
                   struct error *err);
/* `what` begins the message. -EINVAL: none, cut or damaged; -ENOTSUP: another version; -ENOMEM. */
int journal_parse(struct text text, const char *what, struct journal *ret_journal,
                  struct error *err);

/* ---- files (journal.c) ----------------------------------------------------------------- */

/* Of one VM, held while somebody works on its migration. */
struct journal_lock {
    int fd; /* -1: none */
    char *path;
};
#define JOURNAL_LOCK_NONE ((struct journal_lock){.fd = -1})

/*
 * Makes the directory where it is missing. -EBUSY: somebody has it. The lock ends
 * with the process that took it, not with its children.
 */
int journal_lock(const char *state, const struct uuid *vm, struct journal_lock *ret_lock,
                 struct error *err);
/* Also removes its file. */
void journal_unlock(struct journal_lock *lock);

/* Writes it whole and on the disk, with `changed_s`, `pid` and `boot` as they are now. */
int journal_save(const char *state, struct journal *journal, struct error *err);
/* -ENOENT: there is none. -EINVAL, -ENOTSUP: it cannot be read. */
int journal_load(const char *state, const struct uuid *vm, struct journal *ret_journal,
                 struct error *err);
/* On the disk too. -ENOENT is 0. */
int journal_remove(const char *state, const struct uuid *vm, struct error *err);

struct journal_list {
    struct uuid *vms; /* ascending */
    size_t count, capacity;
};
/* VMs that have a journal, be it readable or not. A missing directory has none. */
int journal_list(const char *state, struct journal_list *ret_list, struct error *err);
void journal_list_release(struct journal_list *list);

#endif
