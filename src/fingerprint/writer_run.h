/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entries of one worker that are in memory, dealt into buckets by digest. Private. */
#ifndef FINGERPRINT_WRITER_RUN_H
#define FINGERPRINT_WRITER_RUN_H

#include "setmov/fingerprint.h"

/* Memory of whole pages, zeroed, huge ones where it is large. NULL: there is none. */
void *pages_new(size_t bytes);
/* NULL is fine. */
void pages_free(void *pages, size_t bytes);

/* Two arrays of as many entries, for what is sorted from one into the other. Zeroed at first. */
struct run_pair {
    struct fingerprint_entry *from, *to;
    size_t capacity, bytes;
};
int run_pair_reserve(struct run_pair *pair, size_t count);
void run_pair_release(struct run_pair *pair);

/* The sums cannot be exact in an entry: so many at most; what is more stays an entry apart. */
size_t run_merge_equal(struct fingerprint_entry *entries, size_t count);

struct run;

/*
 * `bytes` of memory, what later sorting by `threads` at a time takes included;
 * entries go to 2^bits buckets. Returns -ENOMEM.
 */
int run_new(size_t bytes, unsigned bits, unsigned threads, struct run **ret_run);
void run_free(struct run *run); /* NULL is fine */

/* Room for `count` entries that run_add() takes; the same every time. */
struct fingerprint_entry *run_room(struct run *run, size_t count);
/* Would so many more be too many? Never for a run that is empty. */
bool run_is_full(const struct run *run, size_t count);
/* The first `count` entries of the room. Returns the sum of their multiplicities. */
uint64_t run_add(struct run *run, size_t count);

size_t run_count(const struct run *run);
size_t run_bucket_count(const struct run *run, size_t bucket);
/* Copies a bucket's entries, which are in no order. */
void run_gather(const struct run *run, size_t bucket, struct fingerprint_entry *to);
/*
 * Buckets below `end` have been gathered and are not wanted any more, those
 * below `begin` were said to be before: gives back what memory that frees.
 */
void run_release(const struct run *run, size_t begin, size_t end);
/* Forgets all entries; the memory stays. */
void run_clear(struct run *run);

#endif
