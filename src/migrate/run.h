/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the phases of a migration share. Each phase is a file; they run in the
 * order of this header. Ending and undoing one needs no more than its journal
 * (end.h), for `setmov recover` does both too.
 */
#ifndef MIGRATE_RUN_H
#define MIGRATE_RUN_H

#include "migrate/end.h"
#include "setmov/catalog.h"
#include "setmov/transfer_pack.h"

/* An image of the plan: a layer of a disk, as it stands still. */
struct migrate_image {
    char *path, *format;            /* here */
    char *backing, *backing_format; /* the layer below; NULL */
    char *settings; /* for making it anew (image_write.h): known once it was opened; NULL */
    bool is_shared;
    struct image *image; /* while it is read and packed */
    uint64_t virtual_size;
    struct fingerprint_file *prints[CONFIG_MAX_BLOCK_SIZES]; /* by the kinds of the migration */
};

/* One image of the destination's index. */
struct migrate_donor {
    char *name; /* of the fingerprint's file */
    char id[CATALOG_HASH_BYTES];
    bool is_provisional;
    uint64_t hits;                  /* digests of the sketch that it adds to those before it */
    struct fingerprint_file *print; /* all digests; NULL: not here */
    bool is_borrowed;               /* print: of one of the migration's images */
};

struct migrate_donors {
    struct migrate_donor *donors; /* those that are worth it, the best ones first */
    size_t count, capacity;
    bool is_there; /* the destination has fingerprints of that kind */
};

struct migration {
    const struct config *config;
    const struct migrate_options *options;
    struct migrate_summary *summary;

    /* ---- the destination (check.c) ---- */
    const struct config_host *host; /* NULL: given by its URI, and not configured */
    char *uri;
    const char *name; /* for messages: the host's, or the URI */
    const char *pool, *incoming_pool, *migrate_uri;
    uint64_t bandwidth_bits_per_s; /* of the line; 0: not known */
    struct vm_peer *here, *there;
    struct error there_why; /* why `there` is NULL, if that is known */
    struct vm_move vm;
    struct vm_chains chains;

    /* ---- what would have to be undone ---- */
    struct journal_lock lock;
    struct journal journal;
    bool has_journal;

    /* ---- kinds of fingerprints, and what is known by them ---- */
    enum digest_kind kind;
    uint8_t key[DIGEST_KEY_BYTES];
    const uint8_t *key_or_null;
    uint8_t key_id[8];
    uint32_t block_sizes[CONFIG_MAX_BLOCK_SIZES]; /* that come into question */
    size_t block_size_count;
    size_t chosen;                /* of them */
    struct migrate_image *images; /* in the plan's order: those below first */
    size_t image_count, image_capacity;
    struct migrate_donors donors[CONFIG_MAX_BLOCK_SIZES];

    /* ---- the plan ---- */
    struct transfer_known_parts parts; /* that are there from earlier tries */
    struct vm_volumes volumes;         /* parts in the pool there */
    struct transfer_plan plan;
    char *plan_name;
    uint8_t plan_sha256[TRANSFER_HASH_BYTES];
    bool was_built;        /* the images there were made by the hook for this migration */
    bool is_stale;         /* the hook has refused, and listed what is to be sent anew */
    bool is_lost;          /* it is not known where the VM is: nothing may be undone */
    char *parts_directory; /* what this host remembers of parts that it sent there */

    /* ---- while it goes on ---- */
    enum migrate_phase phase;
    double start_s, phase_start_s, told_s, looked_s;
    uint64_t bytes_on_line;
    uint64_t free_bytes; /* where the overlays lie, when they were made */
    int stop_code;       /* why it stops; 0: it does not */
    struct error stop_error;
};

/* ---- for all phases (run.c) ------------------------------------------------------------ */

/* Ends the time of the phase before. In the journal too, where there is one. */
int migration_enter(struct migration *migration, enum migrate_phase phase, struct error *err);
/* For the caller's progress; at most about four times a second. */
void migration_tell(struct migration *migration, uint64_t done, uint64_t total);
void migration_note(struct migration *migration, const char *format, ...) PRINTF_LIKE(2, 3);
/* Has the user stopped it, or do the overlays grow too far? `context`: the migration. */
bool migration_stopped(void *context);
/* The code and the line, once it has; `rc` and `err` as they are else. */
int migration_why(const struct migration *migration, int rc, struct error *err);
int migration_save(struct migration *migration, struct error *err);
/* Connections that broke, or may have, are made anew; those that cannot be are NULL. */
void migration_reopen(struct migration *migration);
/* Of a description of one: the kind of block size number `i`. */
struct catalog_kind migration_kind(const struct migration *migration, size_t i);

/* ---- checking (check.c) ----------------------------------------------------------------- */

/* The destination that is meant. -EINVAL. Nothing is asked yet. */
int migration_find_host(struct migration *migration, struct error *err);
int migration_check(struct migration *migration, struct error *err);
/* Within the time limit for peers. */
int migration_open(struct migration *migration, const char *uri, struct vm_peer **ret_peer,
                   struct error *err);

/* ---- images and what is known of them (images.c, know.c) -------------------------------- */

/* What the plan will consist of. */
int migration_list_images(struct migration *migration, struct error *err);
void migration_image_release(struct migrate_image *image);

/* Brings up to date what this host knows of the destination's images. */
int migration_sync(struct migration *migration, struct error *err);
/* Finds the donors for each kind, by sketches; chooses the block size; fetches exact ones. */
int migration_know(struct migration *migration, struct error *err);
void migrate_donors_release(struct migrate_donors *donors);
/* A fingerprint of this host that has the very blocks of another image's (same.c). */
struct migrate_same {
    const char *path;               /* it is still to be opened; the catalog's; NULL: it is not */
    struct fingerprint_file *print; /* all digests; NULL: none, or not opened */
    bool is_borrowed;               /* print: of one of the migration's images */
};
/* Among the images of the migration and of this host's own index (`own`: heads are enough; NULL). */
bool migration_find_same(const struct migration *migration, size_t kind, const struct catalog *own,
                         const struct fingerprint_file *file, struct migrate_same *ret_same);
/* Opens what is still to be opened. Fails: there is none then. */
int migration_open_same(struct migrate_same *same);
void migration_close_same(struct migrate_same *same);

/* Fingerprints of this host's own index that still count, or the last ones of running disks. */
int migration_take_indexed(struct migration *migration, bool also_old, struct error *err);

/* ---- freezing, reading (freeze.c, read.c) ------------------------------------------------ */

int migration_freeze(struct migration *migration, struct error *err);
/* Opens the images and makes all fingerprints that are missing. */
int migration_read(struct migration *migration, struct error *err);
void migration_close_images(struct migration *migration);
/* -ESTALE: somebody wrote to one of them. */
int migration_check_unchanged(struct migration *migration, struct error *err);

/* ---- planning, sending (plan.c, send.c) -------------------------------------------------- */

int migration_plan(struct migration *migration, struct error *err);
/* Figures only, for --dry-run. */
int migration_foresee(struct migration *migration, struct error *err);
/* Of the line, or what the transfer is limited to, if that is less; 0: not known. */
uint64_t migration_line_bandwidth(const struct migration *migration);
int migration_send(struct migration *migration, struct error *err);
/* Of the plan that was just refused: what did not hold is to be sent. -ENOENT: no list. */
int migration_amend(struct migration *migration, struct error *err);

/* ---- moving (move.c) ----------------------------------------------------------------------- */

/*
 * Hands it to libvirt and waits. 0: it moved. -ESTALE: extents did not hold, and it
 * may be tried again. -EREMOTEIO: it cannot be known where it is. Else it is here.
 */
int migration_move(struct migration *migration, struct error *err);

#endif
