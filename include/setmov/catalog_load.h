/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host's CPU counters over time, as `setmov sync` keeps them; text of one line a reading. Pure. */
#ifndef SETMOV_CATALOG_LOAD_H
#define SETMOV_CATALOG_LOAD_H

#include "setmov/base.h"

#define CATALOG_LOAD_MAX 4096 /* readings; the oldest go first */

/* All CPUs of the host together, since it was started. */
struct catalog_load_reading {
    int64_t time_s;             /* of the reader's clock, seconds since 1970 */
    uint64_t busy_ns, total_ns; /* total: busy, idle and waiting for disks (which is not busy) */
};

struct catalog_load {
    struct catalog_load_reading *readings; /* ascending by time */
    size_t count, capacity;
};

/* -EINVAL: none, cut or damaged; -ENOTSUP: another version; -ENOMEM. */
int catalog_load_parse(struct text text, struct catalog_load *ret_load, struct error *err);
/* -ENOMEM; -EINVAL: readings that cannot be. */
int catalog_load_encode(const struct catalog_load *load, char **ret_text, size_t *ret_length);
void catalog_load_release(struct catalog_load *load);

/*
 * Adds one; counters that went backwards (a restart) or a clock that did begin
 * anew. Readings that no window of `window_s` needs are dropped. One of the
 * same second as the last, or of which something is not known, or busy for
 * longer than there was time, is passed over. -ENOMEM.
 */
int catalog_load_add(struct catalog_load *load, const struct catalog_load_reading *reading,
                     uint64_t window_s);

/*
 * Percent of all CPUs, over the window that ends with the last reading: from
 * the youngest reading that is at least `window_s` older, else from the oldest
 * one there is. NaN: fewer than two, or the last one is older than `window_s`
 * at `now_s`.
 */
double catalog_load_percent(const struct catalog_load *load, int64_t now_s, uint64_t window_s);

#endif
