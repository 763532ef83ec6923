/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage placement/: facts about hosts to a ranking with reasons. Pure. The
 * same input gives the same order.
 *
 * Hosts are ranked by the bytes that a move would send, which is what the best
 * one saves; equal ones (and ones whose intervals say they are equal) by share,
 * then by name.
 */
#ifndef SETMOV_PLACEMENT_H
#define SETMOV_PLACEMENT_H

#include "setmov/similarity.h"

#define PLACEMENT_MAX_REASONS 8

/* What is known of a host. Strings are kept by the caller. */
struct placement_host {
    const char *name;
    const char *unusable; /* NULL, or why nothing can be said: it is ranked last and never chosen */
    size_t images;        /* that were compared */
    struct similarity_estimate all; /* the image against the union of what the host holds */
    const char *donor; /* path of the image that has most of it; NULL: none, or unknown */
    struct similarity_figures donor_figures;
    const char *notes[PLACEMENT_MAX_REASONS]; /* what else should be told, NULL at the end */
};

struct placement_reason {
    char *text; /* one line, of any length */
};

struct placement_rank {
    size_t host; /* index into the hosts */
    bool eligible;
    struct placement_reason reasons[PLACEMENT_MAX_REASONS];
    size_t reason_count;
};

/*
 * Ranks `count` hosts, best first, into ret_ranks (room for `count`); returns
 * how many of them, from the first on, are eligible. `image_bytes`: what would
 * be sent to a host that holds nothing. Figures are those that are likely. The
 * caller releases the ranks. -ENOMEM.
 */
int placement_rank(const struct placement_host *hosts, size_t count, uint64_t image_bytes,
                   struct placement_rank *ret_ranks, size_t *ret_eligible);
/* What the ranks refer to, not the array; zeroed ones are fine. */
void placement_ranks_release(struct placement_rank *ranks, size_t count);

/*
 * The host's image that shares most distinct blocks with the moving one (the
 * 2010 paper's rule); equal ones: the first. `count` when none shares any.
 */
size_t placement_best_donor(const struct similarity_estimate *each, size_t count);

#endif
