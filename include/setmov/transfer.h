/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage transfer/: what a move sends. Here an estimate of it, for `setmov
 * choose`; the transfer itself has headers of its own (transfer_plan.h). Pure.
 *
 * The estimate of a disk that goes to a host is the sum of
 *  - the pack: the distinct blocks that no image of the host has, in the order
 *    in which they lie in the image, compressed as zstd does it with a window
 *    of 128 MiB and long-distance matching. Up to a limit of bytes they are
 *    really compressed; of more, runs of at least 1 MiB, evenly spread, are
 *    compressed as one stream, and the ratio is taken for all. What repeats
 *    farther apart than the runs reach is not seen, so the estimate of a large
 *    pack is rather too high. Levels above 3 compress a few MiB of it only, and
 *    so does level 3: what they gain there is taken for all;
 *  - the plan: 2 bytes for every extent (transfer_plan.h) once they are
 *    compressed, and 32 for the SHA-256 of one that is copied. Fingerprints know
 *    of each digest only where it lies first: extents of later copies within the
 *    image are taken to hold 12 blocks each;
 *  - what was read of the host's catalog to know all this.
 */
#ifndef SETMOV_TRANSFER_H
#define SETMOV_TRANSFER_H

#include "setmov/fingerprint.h"

#define TRANSFER_RUN_BYTES         ((uint64_t)1 << 20)
#define TRANSFER_WINDOW_LOG        27
#define TRANSFER_EXTENT_BYTES      2 /* 1.1 to 1.3 were measured, names and counts besides */
#define TRANSFER_EXTENT_HASH_BYTES 32
#define TRANSFER_REPLICATED_BLOCKS 12 /* an extent: 10 to 23 were measured */

/* ---- what is missing ------------------------------------------------------------ */

struct transfer_missing {
    uint64_t *blocks; /* numbers of the distinct blocks that no donor has, ascending; not zero's */
    size_t count;
    uint64_t sent_extents, copied_extents, replicated_extents;
};

/*
 * Views need all digests and places. Takes 16 bytes a digest of the image
 * meanwhile, and as much time as to walk through all donors, of which earlier
 * ones are preferred. -ENOMEM, also for 2^32 digests or more.
 */
int transfer_missing_find(const struct fingerprint_view *image,
                          const struct fingerprint_view *const *donors, size_t count,
                          struct transfer_missing *ret_missing, struct error *err);
void transfer_missing_release(struct transfer_missing *missing);

/* ---- which of it is compressed for the estimate ------------------------------------ */

/* Of `total` blocks in a row, `runs` runs of `run_blocks` each. */
struct transfer_sample {
    uint64_t total, runs, run_blocks;
};

/* All of it where that is at most `limit_bytes`. */
struct transfer_sample transfer_sample_of(uint64_t total, uint32_t block_size,
                                          uint64_t limit_bytes);
/* Where the i-th run begins; it ends behind run_blocks, before the next one. */
uint64_t transfer_sample_start(const struct transfer_sample *sample, uint64_t i);

/* ---- compressing -------------------------------------------------------------------- */

/*
 * The level of zstd for a line: the configured one (1 to 22), or of 0 what the
 * packing begins with: 19 up to 20 Mbit/s, 16 up to 200 Mbit/s, else 3 (also
 * where the bandwidth, 0, is not known). The packing goes on as the line turns out:
 * higher after two seconds that show it to be slower, lower behind half a GiB.
 */
int transfer_level(uint64_t configured, uint64_t bandwidth_bits_per_s);

/* How much is compressed for an estimate, to take a few seconds. */
uint64_t transfer_sample_limit(void);

struct transfer_estimator;

/* `bytes`: how many will be added, about. -ENOMEM, -EINVAL: zstd does not take the level. */
int transfer_estimator_new(int level, uint64_t bytes, struct transfer_estimator **ret_estimator,
                           struct error *err);
void transfer_estimator_free(struct transfer_estimator *estimator); /* NULL is fine */

int transfer_estimator_add(struct transfer_estimator *estimator, const void *bytes, size_t length,
                           struct error *err);

/*
 * Ends it: what `total_bytes` would make when they compress as what was added
 * did. Nothing added: total_bytes.
 */
int transfer_estimator_finish(struct transfer_estimator *estimator, uint64_t total_bytes,
                              uint64_t *ret_bytes, struct error *err);

/* Of the plan. */
uint64_t transfer_plan_bytes(const struct transfer_missing *missing);

#endif
