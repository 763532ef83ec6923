/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The level of zstd that the next parts get, from what the last ones took. Pure:
 * the times are measured by the caller.
 */
#ifndef TRANSFER_PACK_PACE_H
#define TRANSFER_PACK_PACE_H

#include "setmov/transfer_pack.h"

/* Of one part that the sink has taken. */
struct pack_timing {
    int level;
    uint64_t raw_bytes, packed_bytes;
    double compress_s; /* of one thread */
    double sink_s;
};

/* Zero it, then pack_pace_init(). */
struct pack_pace {
    int level;     /* of parts that are begun now */
    bool is_fixed; /* configured */
    int highest;   /* was found to be too slow above */
    unsigned threads;
    double seen_bytes; /* raw, of all that told something */
    /* Sums over parts of that level. */
    double raw_bytes, packed_bytes, compress_s, sink_s;
};

void pack_pace_init(struct pack_pace *pace, int configured, uint64_t bandwidth_bits_per_s,
                    unsigned threads);
/* May change pace->level. Parts of other levels than it, begun before a change, say nothing. */
void pack_pace_add(struct pack_pace *pace, const struct pack_timing *timing);

#endif
