/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Removes disk images that were made for VMs which never came (`setmov gc`), and
 * other things that wait for nobody. Effects throughout.
 *
 * An image has a lease (catalog_request.h), NAME.lease in the directory `leases`
 * below `state` of [setmov]; whoever makes an image leaves one first. The image
 * is removed only if all of this holds: the lease has expired; its path leads,
 * symbolic links resolved, into one of `directories` of [hook]; the file there
 * is the one that the lease lists, by device and inode, and was not made after
 * the lease (numbers are used again); no domain, be it active,
 * defined or saved, names it or an image that it is a backing file of; and its
 * lock is got, which everybody who has it open takes.
 *
 * An image that a domain names once its lease has expired is that VM's own from
 * then on: it stays, and the lease goes, so that it is not removed with the VM's
 * definition one day. A lease is read again just before its image is removed.
 *
 * In the directory `old` there are records of the same form, of images that VMs
 * left behind when they moved away: those go by the same rules, wherever they lie
 * (their name, with PEERS_GC_OLD_INFIX, is one that only setmov gives), when they have
 * expired or, the oldest first, where all together take more than
 * old_images_quota_bytes of [migrate].
 *
 * And what migrations sent: plans and parts in `incoming`, and what is remembered
 * of parts that were sent from here (`parts` below `state`), when they are older
 * than parts_expiry_s of [migrate] and no build needs them.
 */
#ifndef SETMOV_PEERS_GC_H
#define SETMOV_PEERS_GC_H

#include "setmov/config.h"

#define PEERS_GC_OLD_DIRECTORY "old" /* below `state`: records of images of VMs that left */
#define PEERS_GC_OLD_INFIX     ".setmov-old-" /* in the names of these images */

enum peers_gc_result {
    PEERS_GC_REMOVED,  /* the image, and its lease */
    PEERS_GC_RELEASED, /* the lease alone: the image is a VM's, or is not there any more */
    PEERS_GC_KEPT,     /* both, with the reason */
    PEERS_GC_FAILED,   /* it could not be removed */
};

/* Strings are the caller's only until the function returns. */
struct peers_gc_event {
    const char *lease; /* name of its file */
    const char *path;  /* of the image; NULL: the lease cannot be read */
    bool is_old;       /* a record of an old image; else a lease */
    enum peers_gc_result result;
    uint64_t bytes;   /* that the image occupies, where it is removed */
    const char *text; /* one line */
};

struct peers_gc_options {
    bool dry_run;                   /* says what it would do; takes no lock of an image */
    bool (*stopped)(void *context); /* may be NULL */
    void (*event)(void *context, const struct peers_gc_event *event);
    void *context;
};

struct peers_gc_summary {
    size_t images, old_images; /* removed */
    size_t leases;             /* removed without their images; records of old ones, too */
    size_t incoming;           /* plans, parts and what goes with them */
    size_t kept, failed;
    size_t requests;  /* that expired, and notes of older ones */
    size_t temporary; /* files of writers that are dead */
};

/*
 * Does all of it. `ret_summary` is there even if it fails. -EBUSY: another run is
 * at work. -EIO: libvirt cannot be asked what is in use, so that no image was
 * removed (the rest was). -ECANCELED; errors of this host's own disk.
 */
int peers_gc(const struct config *config, const struct peers_gc_options *options,
             struct peers_gc_summary *ret_summary, struct error *err);

/*
 * May that file of this host be removed, as far as domains are concerned? 0;
 * -EBUSY: one of them, be it active, defined or saved, names it or an image that
 * lies on it; -EIO and others: it cannot be known. Reads the headers of all their images.
 */
int peers_gc_check_unused(const struct config *config, const char *path,
                          bool (*stopped)(void *context), void *context, struct error *err);

#endif
