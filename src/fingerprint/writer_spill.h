/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sorted runs of entries in nameless files, and what of several runs lies in
 * one range of digests. An entry of a run is not saturated: equal digests whose
 * sum would be stay neighbours, so sums stay exact. Private.
 */
#ifndef FINGERPRINT_WRITER_SPILL_H
#define FINGERPRINT_WRITER_SPILL_H

#include "fingerprint/writer_run.h"
#include "setmov/base_new_file.h"

struct spill_run {
    struct new_file file;   /* the spill's; not owned */
    uint64_t first, count;  /* entries in the file */
    struct digest *samples; /* of every interval-th entry of the run */
    size_t sample_count, sample_capacity;
};

/* Runs of one thread, one behind the other in one file. */
struct spill {
    const char *temporary;
    size_t interval;
    struct new_file place;
    uint64_t entries;
    struct spill_run *runs;
    size_t count, capacity;
};

void spill_init(struct spill *spill, const char *temporary, size_t interval);
void spill_release(struct spill *spill);

/* A new run; then its entries, ascending. */
int spill_begin(struct spill *spill, struct error *err);
int spill_add(struct spill *spill, const struct fingerprint_entry *entries, size_t count,
              struct error *err);

/* Several runs, cut at digests into ranges that can be sorted by themselves. */
struct merge {
    const struct spill_run **runs; /* not owned, nor the array */
    size_t count;
    struct digest *cuts; /* between ranges; equal digests are never cut apart */
    size_t ranges, cut_capacity;
    uint64_t *positions; /* [range][run]: its first entry; one row more for the ends */
};

/* Ranges of about `wanted` entries, at most count * interval more (but for equal ones). */
int merge_plan(struct merge *merge, const struct spill_run **runs, size_t count, size_t interval,
               size_t wanted, struct error *err);
void merge_release(struct merge *merge);

/* The entries of a range, sorted, in pair->to; equal ones are not merged. */
int merge_load(const struct merge *merge, size_t range, struct run_pair *pair, size_t *ret_count,
               struct error *err);

#endif
