/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a migration does by libvirt: freezing and thawing disks, the XML that goes
 * along, the migration itself, and what is where afterwards. Stage vm/, owner of
 * libvirt; calls may hang, see vm_peer.h. Who watches a call needs a second
 * connection: a struct vm_peer is used by one thread at a time.
 */
#ifndef SETMOV_VM_MIGRATE_H
#define SETMOV_VM_MIGRATE_H

#include "setmov/vm_move.h"

/* ---- layers of a VM's disks ------------------------------------------------------------- */

/* One file of a disk, top first. */
struct vm_layer {
    char *path, *format;
};

struct vm_chain {
    char *target; /* "vda" */
    struct vm_layer *layers;
    size_t count, capacity;
};

struct vm_chains {
    struct vm_chain *chains; /* of the disks that go along (vm_move_disk), in the domain's order */
    size_t count, capacity;
};
void vm_chains_release(struct vm_chains *chains);

/* Of the live definition, or of the only one of a VM that is off. -ENOENT, -EIO. */
int vm_chains_read(struct vm_peer *peer, const struct uuid *uuid, struct vm_chains *ret_chains,
                   struct error *err);

/* ---- freezing ------------------------------------------------------------------------------ */

struct vm_freeze_disk {
    const char *target;
    const char *overlay; /* absolute path, not there yet: a new qcow2 layer on top */
};

/*
 * An external snapshot of these disks, of all at once, without metadata: what was
 * their top layer no longer changes. Other disks are left out of it. `quiesce`:
 * the guest's agent freezes its file systems meanwhile (-EIO where it cannot).
 */
int vm_freeze(struct vm_peer *peer, const struct uuid *uuid, const struct vm_freeze_disk *disks,
              size_t count, bool quiesce, struct error *err);

/*
 * Undoes it for one disk: commits the overlay into the layer below and continues
 * on that one (active commit, pivot). The overlay's file stays, for the caller to
 * remove. 0 as well where the disk no longer has that overlay. The VM must be
 * active, else -ENOTSUP; a commit that is under way already is waited for and
 * ended. -ECANCELED leaves all as it was before the call. -ENODEV: the VM has no
 * such disk any more, and nobody can tell who has the overlay.
 */
int vm_thaw(struct vm_peer *peer, const struct uuid *uuid, const struct vm_freeze_disk *disk,
            bool (*stopped)(void *context), void *context, struct error *err);

/*
 * The same for a VM that is off (its QEMU was killed): the definition names the
 * overlay no more, but the base, after the overlay was committed by qemu-img.
 * Does both. -EBUSY: it is active. -ENODEV as above. -ESTALE: the definition does
 * not name the overlay, which is there and has other content than what it names.
 */
int vm_thaw_off(struct vm_peer *peer, const struct uuid *uuid, const struct vm_freeze_disk *disk,
                struct error *err);

/* ---- XML (pure) ------------------------------------------------------------------------------ */

/* A disk as it shall be at the destination; layers top first. */
struct vm_migrate_disk {
    const char *target;
    const struct vm_layer *layers;
    size_t count;
};

/*
 * The domain's XML with these disks, and, with a name, the plan as element in its
 * metadata (VM_INCOMING_NAMESPACE), in place of one that is there; without a name
 * one that is there goes. All else stays, byte by byte where nothing changes. The
 * caller frees. -EBADMSG, -ENOENT: no such disk.
 */
int vm_migrate_xml(struct text xml, const struct vm_migrate_disk *disks, size_t count,
                   const char *plan_name, const uint8_t plan_sha256[32], char **ret_xml,
                   struct error *err);

/* ---- migrating -------------------------------------------------------------------------------- */

struct vm_migrate_options {
    const char *destination_uri;        /* libvirt's, as the source's libvirtd reaches it */
    const char *migrate_uri;            /* of QEMU's stream; NULL: libvirt decides */
    const char *disks_uri;              /* of the mirror's; NULL */
    unsigned disks_port;                /* 0: libvirt decides */
    const char *listen_address;         /* NULL */
    uint64_t bandwidth_bits_per_s;      /* of memory and mirror; 0: no limit */
    uint64_t downtime_ms;               /* most at the end; 0: libvirt's */
    bool tls, auto_converge, post_copy; /* post_copy: allowed; vm_migrate_post_copy() begins it */
    /*
     * The guest stands still there until vm_resume(). Without it libvirt lets it run in
     * both places when the last answer from there is lost (see below vm_where()). Not
     * together with post_copy.
     */
    bool paused;
    bool offline;                        /* the definition only */
    bool persistent;                     /* defined there and no longer here */
    const struct vm_migrate_disk *disks; /* as they are there */
    size_t disk_count;
    const char *plan_name;
    const uint8_t *plan_sha256;
};

/*
 * Live, with the incremental mirror of the disks (VIR_MIGRATE_NON_SHARED_INC), or
 * offline, peer to peer: the two libvirtd do it, and go on if we die. Returns when
 * it is over. The plan is then in the live metadata there, of a VM that is off in the
 * definition: vm_forget_plan(). -EIO with libvirt's message in one line; a hook's refusal: -EPERM
 * and the hook's line alone. -ECANCELED: aborted. -ENOTSUP: libvirt or QEMU here or
 * there cannot do it so. That it failed says nothing about where the VM is: vm_where() does.
 */
int vm_migrate(struct vm_peer *peer, const struct uuid *uuid,
               const struct vm_migrate_options *options, struct error *err);

struct vm_migrate_progress {
    bool active; /* an outgoing migration is under way, or being prepared */
    uint64_t memory_total, memory_sent, memory_remaining; /* bytes */
    uint64_t disk_total, disk_sent, disk_remaining;
    uint64_t downtime_ms, iterations;
};
/*
 * Of the one under way; with `ended`, of the one that ended well, to be asked at the
 * destination: the source has forgotten the VM. The disks' bytes are not told then (0), nor
 * before the mirror begins: who wants them keeps the last ones that it saw.
 */
int vm_migrate_progress(struct vm_peer *peer, const struct uuid *uuid, bool ended,
                        struct vm_migrate_progress *ret_progress, struct error *err);
int vm_migrate_abort(struct vm_peer *peer, const struct uuid *uuid, struct error *err);
int vm_migrate_post_copy(struct vm_peer *peer, const struct uuid *uuid, struct error *err);
/* For one that does not end: the guest stands still until it has. */
int vm_migrate_suspend(struct vm_peer *peer, const struct uuid *uuid, struct error *err);

/* ---- what is where ---------------------------------------------------------------------------- */

/*
 * What the two sides say, and when (libvirt 9.0, peer to peer; held by
 * tests/bed/test_migrate_vm.py):
 *
 *   source     destination  when
 *   ---------  -----------  --------------------------------------------------------------
 *   running    absent       before it, while the hook works (the source has a job), after a
 *                           refusal or an abort; libvirtd or QEMU there, or libvirtd here, was
 *                           killed before the last phase
 *   running    incoming     disks and memory are on their way (both have a job)
 *   outgoing   incoming     the last phase (both have a job)
 *   outgoing   running      post-copy: no way back (both have a job)
 *   outgoing   paused       libvirtd here was killed in the last phase and is back, with `paused`:
 *              or absent    nobody decides but the caller. Either may go on: what is paused there
 *                           is discarded before vm_resume() here, or the other way round; with
 *                           absent only here. Without `paused`: running there, discard here.
 *   running    paused       the last answer from there was lost (its libvirtd hung or died in the
 *                           last phase; about 25 s of silence) with `paused`: libvirt has let it
 *                           go on here, so it is discarded there
 *   running    running      the same without `paused`: it runs twice, and nobody can say which one
 *                           is right
 *   absent     paused,      it has moved, and was persistent here, or not; `paused` tells which
 *   or off     running
 *   off        absent       QEMU here was killed on the way: vm_thaw_off()
 *
 * An abort while the hook works counts when that has ended. Where a libvirtd does
 * not answer nothing is known of its side: it may still finish what it was told.
 * A libvirtd that comes back kills an incoming VM, unless its guest runs already. Disks that
 * were built there stay in all cases.
 */
enum vm_place {
    VM_ABSENT, /* not known there */
    VM_OFF,    /* defined */
    VM_RUNNING,
    VM_PAUSED,   /* by an operator, or for an I/O error */
    VM_INCOMING, /* a migration to there has not ended */
    VM_OUTGOING, /* it stands still since a migration from there ended, or failed in its last phase */
    VM_OTHER,
};
struct vm_where {
    enum vm_place place;
    bool persistent;
    bool autostart; /* it starts with the host; libvirt does not take that along */
    bool has_job;   /* a migration, either way */
    char state[80]; /* for people: "paused (migration)" */
};
int vm_where(struct vm_peer *peer, const struct uuid *uuid, struct vm_where *ret_where,
             struct error *err);

/*
 * Does libvirt hold a VM that is off, so that nobody can change it? While it migrates one,
 * that is all that can be seen of it. Takes half a minute then. False where it cannot be told.
 */
bool vm_is_held(struct vm_peer *peer, const struct uuid *uuid);

int vm_resume(struct vm_peer *peer, const struct uuid *uuid, struct error *err);
/* Ends the QEMU of a VM that runs elsewhere, and forgets its definition if `undefine`. -ENOENT is 0. */
int vm_discard(struct vm_peer *peer, const struct uuid *uuid, bool undefine, struct error *err);
/* It starts with the host. */
int vm_set_autostart(struct vm_peer *peer, const struct uuid *uuid, struct error *err);
/* Takes the plan's element out of the live and the persistent metadata. */
int vm_forget_plan(struct vm_peer *peer, const struct uuid *uuid, struct error *err);

/* ---- files in pools --------------------------------------------------------------------------- */

struct vm_volume {
    char *name;
    uint64_t bytes; /* length of the file */
};
struct vm_volumes {
    struct vm_volume *volumes;
    size_t count, capacity;
};
void vm_volumes_release(struct vm_volumes *volumes);

/* Looks anew (refresh) and lists what begins with `prefix`. -ENOENT: no such pool. */
int vm_volumes_list(struct vm_peer *peer, const char *pool, const char *prefix,
                    struct vm_volumes *ret_volumes, struct error *err);

/*
 * Makes a volume of these bytes as vm_peer_write() does, with a limit of speed and
 * with `sent` called every MiB or so (negative errno from it ends the call with
 * it, and the volume goes). 0: no limit.
 */
int vm_volume_send(struct vm_peer *peer, const char *pool, const char *volume, const void *bytes,
                   size_t length, uint64_t bytes_per_s, int (*sent)(void *context, uint64_t bytes),
                   void *context, struct error *err);

/* -ENOENT is 0. */
int vm_volume_delete(struct vm_peer *peer, const char *pool, const char *volume, struct error *err);

/*
 * Removes a file that is a volume of some pool there, unless a domain names it
 * (-EBUSY). 0 where no pool has it (any more).
 */
int vm_file_delete(struct vm_peer *peer, const char *path, struct error *err);

#endif
