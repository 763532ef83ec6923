/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plan carried out at the destination: its images, built from donors, parts and
 * one another. For the hook; no libvirt. Every copied extent is verified by its
 * SHA-256 in the very buffer that is written, every image by its content before
 * it gets its name. All or nothing: only when every image of the plan is whole
 * do they get their names, each with a lease that is written before. Effects.
 */
#ifndef SETMOV_TRANSFER_APPLY_H
#define SETMOV_TRANSFER_APPLY_H

#include "setmov/transfer_plan.h"

/* Longer than the hook's patience (GATE_SILENCE_S), so that it ends who hangs before. */
#define TRANSFER_LOCK_PATIENCE_S 900

struct transfer_apply_options {
    const char *incoming;           /* directory of the parts */
    const char *index;              /* this host's fingerprints: donors are found there only */
    const char *leases;             /* directory, made if it is missing */
    const char *locks;              /* directory, made if it is missing: of images that are built */
    const char *const *directories; /* where images may be made, and layers of donors may lie */
    size_t directory_count;
    uint64_t lease_s;             /* how long what was made waits for its VM */
    uint64_t space_reserve_bytes; /* stay free in the images' file systems */
    unsigned threads;             /* 0: one a processor, at most 8 */
    unsigned lock_patience_s;     /* with another run that builds an image and gets no further; 0:
                                     TRANSFER_LOCK_PATIENCE_S */
    void (*progress)(void *context, uint64_t done, uint64_t total); /* may be NULL */
    /*
     * At most ten times a second, and only where it got further since: something was
     * opened, read, built or written, or it waits for another run. May be NULL.
     */
    void (*moved)(void *context);
    bool (*stopped)(void *context); /* asked about ten times a second; may be NULL */
    void *context;
};

/* An image that got its name now (not one that was there). */
struct transfer_applied {
    uint32_t image;
    uint64_t device, inode;
};

struct transfer_apply_result {
    struct transfer_failed failed; /* with -ESTALE: all that did not hold; nothing was published */
    struct transfer_applied *made;
    size_t made_count, made_capacity;
    uint64_t bytes_local, bytes_replicated, bytes_sent;
};

/* What a plan, decoded, and the digests of its images may take: a quarter of this host's memory. */
uint64_t transfer_apply_memory(void);

/*
 * -ESTALE: donors or parts do not hold, all of them are in `failed`, or the content of
 * an image is not what the plan says though they do: then all of its extents are there
 * that have no hash of their own, and those that are replicated from it. -EEXIST: a
 * name is taken (by something else, where the image may exist); -EACCES: a path
 * outside the directories; -ELOOP; -ENOSPC; -ETIMEDOUT: another run that
 * builds an image gets no further; -EBADMSG: the content is not what the plan
 * says, and every extent has a hash; -ECANCELED. On failure nothing has a
 * name that it did not have. `ret_result` is released by the caller in any case.
 */
int transfer_apply(const struct transfer_plan *plan, const struct transfer_apply_options *options,
                   struct transfer_apply_result *ret_result, struct error *err);
void transfer_apply_result_release(struct transfer_apply_result *result);

#endif
