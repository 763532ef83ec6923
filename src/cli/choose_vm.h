/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `setmov choose VM`: the VM, the candidates of setmov.conf, and the steps from
 * there to a ranking. Each step is a file; they run in the order of this header.
 */
#ifndef SETMOV_CLI_CHOOSE_VM_H
#define SETMOV_CLI_CHOOSE_VM_H

#include "choose.h"
#include "setmov/catalog_known.h"
#include "setmov/config.h"
#include "setmov/placement_move.h"
#include "setmov/vm_move.h"

/* ---- what is known ---------------------------------------------------------------- */

/* The VM as the tasks see it: one that hangs may outlive the command's own interest in it. */
struct choose_vm_shared {
    unsigned references; /* changed atomically */
    bool is_vm;          /* else an image, and `move` is empty */
    struct vm_move move;
    char own_uuid[37]; /* of this host; "" if not known */
};

void choose_vm_shared_drop(struct choose_vm_shared *shared); /* NULL is fine */

struct choose_vm_disk {
    char *target; /* "vda"; "" of an image */
    char *path, *format;
    bool is_fingerprint;                  /* the path's is one: there is no image to read */
    struct fingerprint_file *fingerprint; /* digests and places */
};

/* A host of setmov.conf. */
struct choose_vm_host {
    const struct config_host *config;
    const char *domain;   /* its trust domain */
    bool is_self, is_out; /* is_out: no VM goes there whatever it says, so it is not asked */
    bool is_known;        /* the cache has something of its images */
    char *unusable;       /* why nothing can be said of it */
    struct vm_lines obstacles, notes;
    double cpu_percent;
    uint64_t memory_free_bytes, pool_free_bytes;
    uint64_t busy_ns, total_ns; /* of its CPUs, now; UNKNOWN_U64 */
    bool is_merged;             /* by the merged index: its directory was not opened for it */
    struct similarity_estimate *figures; /* a disk each; NULL: nothing is known */
    bool is_exact;
    uint64_t catalog_bytes; /* read from it for this */
    uint64_t wire_bytes;    /* UNKNOWN_U64 */
};

struct choose_vm {
    const char *operand;
    const struct config *config;
    struct blocks_settings *settings; /* the configuration's, as far as no option says else */
    struct choose_vm_shared *shared;
    struct choose_vm_disk *disks;
    size_t disk_count, disk_capacity;
    struct choose_vm_host *hosts; /* as in the configuration */
    size_t host_count;
    struct vm_lines notes;             /* about the VM and this host */
    uint64_t image_bytes, space_bytes; /* sums over the disks */
    struct placement_candidate *candidates;
    struct placement_move result;
};

void choose_vm_release(struct choose_vm *vm);
struct catalog_kind choose_vm_kind(const struct choose_vm *vm);

/*
 * How the disk is read. A VM's images are followed wherever its host lets them
 * lie, and have the format that its definition says: libvirt opens them so too.
 */
struct image_options choose_vm_image_options(const struct choose_vm *vm,
                                             const struct choose_vm_disk *disk);

/* Takes `why` for what makes the host unusable, unless there is something already. -ENOMEM. */
int choose_vm_host_unusable(struct choose_vm_host *host, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- the steps ---------------------------------------------------------------------- */

/* Loads from collectd's RRD files, if the configuration has any; before there are threads. */
int choose_vm_history(struct choose_vm *vm, struct error *err);

/*
 * The domain that the operand names, or the image. -ENOENT: there is neither.
 * Fills in `shared` and `disks` but for the fingerprints.
 */
int choose_vm_find(struct choose_vm *vm, struct error *err);

/*
 * Fingerprints of the disks: from this host's index where they are still true,
 * else made now.
 */
int choose_vm_fingerprints(struct choose_vm *vm, struct error *err);

/*
 * Asks all candidates at once, while peers_sync() brings up to date what is
 * known of their images; takes no longer than the longer of both. What fails is
 * the host's own. -ENOMEM, -ECANCELED.
 */
int choose_vm_ask(struct choose_vm *vm, struct error *err);

/* What the cache knows: load, groups, age; then figures from sketches. -ENOMEM. */
int choose_vm_facts(struct choose_vm *vm, struct error *err);
int choose_vm_figures(struct choose_vm *vm, struct error *err);

/*
 * The part of choose_vm_figures() that opens no host's directory: figures of all
 * hosts of which the merged index in the cache is true as they are now; the
 * others stay without. -ENOMEM, -ECANCELED.
 */
int choose_vm_merged(struct choose_vm *vm, struct error *err);

/* Makes the host unusable for having fingerprints of other kinds alone. -ENOMEM. */
int choose_vm_other_kinds(const struct choose_vm *vm, struct choose_vm_host *host);

/* Fills in `result`. May be called again after figures changed. */
int choose_vm_rank(struct choose_vm *vm, struct error *err);

/* Exact figures of the best ones, as far as the budget lasts. -ENOMEM, -ECANCELED. */
int choose_vm_confirm(struct choose_vm *vm, struct error *err);

/*
 * Fills in wire_bytes of a host of which the views are all that it holds. What
 * cannot be read leaves them unknown, with the error; -ENOMEM, -ECANCELED.
 */
int choose_vm_wire(const struct choose_vm *vm, struct choose_vm_host *host,
                   const struct fingerprint_view *const *views, size_t count, struct error *err);

/* All of these, one after the other: `result` is there then. */
int choose_vm_all(struct choose_vm *vm, struct error *err);

/* What the configuration says of digests, where no option does. STATUS_OK, or a status. */
int choose_vm_configure(const struct command_syntax *syntax, const struct config *config,
                        struct blocks_settings *settings);

/* ---- figures of a host's images in part exactly (pure; for tests) ------------------------ */

struct choose_vm_parts {
    struct similarity_estimate exact; /* against the images whose digests are here */
    struct similarity_estimate rest;  /* by sketches, against the others alone */
    struct similarity_estimate all;   /* by sketches, against all */
    uint64_t image_bytes;             /* what is sent to who has nothing */
};

/* Nothing that was seen exactly is in doubt; what others may add to it is. */
struct similarity_estimate choose_vm_join(const struct choose_vm_parts *parts);

/* ---- what is printed ---------------------------------------------------------------------- */

void choose_vm_print(const struct choose_vm *vm, bool explain);
struct json_object *choose_vm_json(const struct choose_vm *vm);

/* ---- the command ------------------------------------------------------------------------------ */

/* Returns an exit status. The settings are the command line's. */
int choose_vm_command(const struct command_syntax *syntax, const char *operand,
                      const char *config_path, struct blocks_settings *settings, bool explain,
                      bool json);

#endif
