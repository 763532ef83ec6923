/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From an image that nobody changes and what the destination holds, to the
 * image's part of a plan: which blocks are copied there, replicated or sent.
 * Reads the image once (its fingerprint is there already), by several threads.
 */
#ifndef SETMOV_TRANSFER_MAKE_H
#define SETMOV_TRANSFER_MAKE_H

#include "setmov/fingerprint_file.h"
#include "setmov/transfer_plan.h"

/* A part that an earlier try left there: the digests of its blocks, in their order. */
struct transfer_known_part {
    struct transfer_part part;
    struct digest *digests; /* raw_length / block_size */
    size_t count;
};

/* Where blocks can come from, all fingerprints of one kind and block size. Borrowed. */
struct transfer_sources {
    /* Images of the destination's index, the one that has most first: earlier ones are preferred. */
    const struct fingerprint_view *const *donors; /* digests and places */
    const char (*donor_ids)[33];
    size_t donor_count;
    const struct transfer_known_part *parts;
    size_t part_count;
    /* Images of this plan that were made before, in the plan's order. */
    const struct fingerprint_view *const *earlier;
    size_t earlier_count;
};

struct transfer_make_options {
    const uint8_t *key;                                             /* for DIGEST_KEYED_SHA256 */
    unsigned threads;                                               /* 0: as fingerprint_build() */
    void (*progress)(void *context, uint64_t done, uint64_t total); /* bytes of data; may be NULL */
    bool (*stopped)(void *context);                                 /* may be NULL */
    void *context;
};

/* What the image is made of, in bytes of its blocks. */
struct transfer_figures {
    uint64_t data;       /* all blocks: zero + local + replicated + reused + sent */
    uint64_t zero;       /* blocks of zeroes that are allocated */
    uint64_t local;      /* copied from donors */
    uint64_t replicated; /* from elsewhere in the VM's images */
    uint64_t reused;     /* from parts that are there already */
    uint64_t sent;       /* before they are compressed */
    uint64_t plan_bytes; /* what the image makes the plan longer, about */
};

/*
 * Adds one image to the plan: path, format and the rest of `described` are
 * copied, extents and content are found. Donors and parts that are used are
 * added to plan->donors and plan->parts, once each. Extents that are to be sent
 * have the kind TRANSFER_SENT and the source UINT32_MAX; transfer_pack() gives
 * them their parts. `own`: fingerprint of this image as it is now, digests and
 * places, of the plan's kind. An image opened with only_top gets ZERO extents
 * where it says so, and pieces that are not whole blocks are sent as they are.
 * -ESTALE: the image is not what the fingerprint says; -ECANCELED; -ENOMEM.
 */
int transfer_make(struct image *image, const struct fingerprint_view *own,
                  const struct transfer_sources *sources, const struct transfer_image *described,
                  const struct transfer_make_options *options, struct transfer_plan *plan,
                  struct transfer_figures *ret_figures, struct error *err);

/*
 * What transfer_make() would find, from the fingerprints alone: for choosing the
 * block size, and for --dry-run. Counts every block, not only distinct ones.
 * Pure.
 */
int transfer_foresee(const struct fingerprint_view *own, const struct transfer_sources *sources,
                     struct transfer_figures *ret_figures, struct error *err);

#endif
