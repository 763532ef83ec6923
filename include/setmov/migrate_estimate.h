/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a migration would send of disks: a sample of the blocks that are missing at
 * the destination is read and compressed (transfer.h says how it is made up).
 * Effects: reads images. One thread calls.
 */
#ifndef SETMOV_MIGRATE_ESTIMATE_H
#define SETMOV_MIGRATE_ESTIMATE_H

#include "setmov/image.h"
#include "setmov/transfer.h"

struct migrate_estimate_image {
    const struct fingerprint_view *view; /* all digests and places */
    struct image *image;
};

struct migrate_estimate {
    uint64_t packed_bytes, plan_bytes;
};

/*
 * `donors`: all that is known of the destination, exactly; of the same kind.
 * Blocks that two of the images have are counted twice. -ECANCELED; -ENOMEM;
 * errors of reading.
 */
int migrate_estimate(const struct migrate_estimate_image *images, size_t count,
                     const struct fingerprint_view *const *donors, size_t donor_count, int level,
                     bool (*stopped)(void *context), void *context,
                     struct migrate_estimate *ret_estimate, struct error *err);

#endif
