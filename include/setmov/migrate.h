/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage migrate/: a VM goes to another host, and only the blocks that this one
 * lacks cross the line. The source's side: it freezes the disks, plans, packs,
 * sends, migrates by libvirt and cleans up; the hook there builds the disks
 * (gate_apply.h). docs/architecture.md has the phases and the point of no return.
 * Effects throughout. One thread calls; it makes its own.
 */
#ifndef SETMOV_MIGRATE_H
#define SETMOV_MIGRATE_H

#include "setmov/config.h"
#include "setmov/transfer_make.h"
#include "setmov/vm_migrate.h"

/* In their order. */
enum migrate_phase {
    MIGRATE_CHECKING, /* may it go there? */
    MIGRATE_KNOWING,  /* what the destination has: fingerprints are fetched */
    MIGRATE_FREEZING, /* overlays on the disks */
    MIGRATE_READING,  /* fingerprints of the frozen disks */
    MIGRATE_PLANNING,
    MIGRATE_SENDING,   /* parts are packed and sent, then the plan */
    MIGRATE_BUILDING,  /* the hook there */
    MIGRATE_MOVING,    /* mirror and memory */
    MIGRATE_FINISHING, /* old images, clean-up */
    MIGRATE_ROLLING_BACK,
    MIGRATE_PHASES,
};
const char *migrate_phase_name(enum migrate_phase phase); /* "checking", ... for people and JSON */

enum migrate_old_images { MIGRATE_OLD_AS_CONFIGURED, MIGRATE_OLD_KEEP, MIGRATE_OLD_REMOVE };
enum migrate_busy {
    MIGRATE_BUSY_WAIT,
    MIGRATE_BUSY_POST_COPY,
    MIGRATE_BUSY_SUSPEND,
    MIGRATE_BUSY_ABORT
};

struct migrate_progress {
    enum migrate_phase phase;
    uint64_t done, total; /* bytes; total 0: not known */
    double phase_s, all_s;
    uint64_t bytes_on_line; /* sent and read until now, without memory and mirror */
};

struct migrate_options {
    const char *vm; /* name or UUID */
    const char *to; /* a configured host's name, or a libvirt URI */
    bool dry_run;   /* nothing is changed: figures as of now */
    bool offline;   /* the VM must be off */
    bool quiesce;
    enum migrate_old_images old_images;
    uint64_t bandwidth_bits_per_s; /* of all three; 0: as configured */
    uint64_t pack_bandwidth_bits_per_s, mirror_bandwidth_bits_per_s; /* 0: as the above */
    int level;                                                       /* 0: as configured */
    uint32_t block_size; /* 0: what makes the total smallest */
    const char *migrate_uri, *disks_uri, *listen_address;
    unsigned disks_port;
    bool tls, auto_converge;
    enum migrate_busy busy; /* when busy_s have passed since the phase MOVING began */
    uint64_t busy_s;        /* 0: no limit */
    uint64_t downtime_ms;
    uint64_t
        overlay_bytes; /* how far the overlays may grow; 0: until a tenth of the space is left */
    void (*progress)(void *context, const struct migrate_progress *progress); /* about 4 a second */
    void (*note)(void *context, const char *line); /* what should be known, one line */
    bool (*stopped)(void *context);
    void *context;
};

struct migrate_summary {
    struct transfer_figures blocks; /* sums over all images */
    uint64_t block_size;
    uint64_t packed_bytes;  /* parts as they were sent, those of failed tries included */
    uint64_t plan_bytes;    /* plans likewise */
    uint64_t catalog_bytes; /* read of the destination's fingerprints */
    uint64_t memory_bytes, mirror_bytes; /* as libvirt counts them */
    uint64_t wire_bytes;                 /* packed + plan + catalog + mirror: all but memory */
    uint64_t
        copy_storage_all_bytes; /* what virsh migrate --copy-storage-all would send of the disks */
    uint64_t downtime_ms;       /* UNKNOWN_U64 */
    unsigned attempts;
    double phase_s[MIGRATE_PHASES];
    double total_s;
    bool moved;
    struct vm_lines left; /* what remains to be done by hand, or by `setmov recover`; a line each */
};
void migrate_summary_release(struct migrate_summary *summary);

/*
 * Moves it. On failure `err` has one line; all is undone then, or `left` says what
 * is not. `ret_summary` is there in any case, to be released. -ENOENT: no such
 * VM; -EINVAL, -ENOTSUP: it cannot move, or not there; -EPROTONOSUPPORT: the
 * destination takes in no plans (it has no pool for them); -EBUSY: a migration of
 * this VM is under way, or its journal waits for `setmov recover`; -ECANCELED:
 * stopped; -EREMOTEIO: after the point of no return, and not known where the VM
 * is: nothing was undone.
 */
int migrate_run(const struct config *config, const struct migrate_options *options,
                struct migrate_summary *ret_summary, struct error *err);

/* ---- after a crash -------------------------------------------------------------------------- */

enum migrate_recovered {
    MIGRATE_RECOVERED_UNDONE,   /* it runs here as before */
    MIGRATE_RECOVERED_FINISHED, /* it runs there, all is cleaned up */
    MIGRATE_RECOVERED_WAITS,    /* still under way; nothing was done */
    MIGRATE_RECOVERED_UNKNOWN,  /* cannot be known; nothing was done */
    MIGRATE_RECOVERED_FAILED,   /* with the line; may be tried again */
};
struct migrate_recover_event {
    const char *vm_name; /* "": its journal cannot be read */
    char uuid[UUID_TEXT_BYTES];
    const char *destination; /* a configured host's name, or a URI; NULL: not known */
    const char *phase;       /* in which it was left; NULL: not known */
    int64_t begun_s;         /* seconds since 1970; 0: not known */
    enum migrate_recovered result;
    const char *text;            /* one line */
    const struct vm_lines *left; /* what remains to be done by hand, or goes later */
};
struct migrate_recover_options {
    const char *vm; /* name or UUID; NULL: all */
    bool list;      /* nothing is done, but said what waits */
    bool (*stopped)(void *context);
    void (*event)(void *context, const struct migrate_recover_event *event);
    void *context;
};
/*
 * Goes on from the journals below `state` of [setmov]. 0 whatever came of single
 * ones. -ENOENT: `vm` has none; -ECANCELED: stopped between two; -EIO ...: the
 * directory cannot be read.
 */
int migrate_recover(const struct config *config, const struct migrate_recover_options *options,
                    struct error *err);

#endif
