/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A part's file in memory, to what it decompresses to. */
#ifndef TRANSFER_PART_H
#define TRANSFER_PART_H

#include "setmov/transfer_pack.h"

struct part_decompressor;

int part_decompressor_new(struct part_decompressor **ret_decompressor, struct error *err);
void part_decompressor_free(struct part_decompressor *decompressor); /* NULL is fine */

/* Can there be such a part? -EBADMSG: it says sizes that none has. */
int part_check_sizes(const struct transfer_part *part, struct error *err);

/*
 * Hostile bytes. Length and SHA-256 as the part says, one frame of zstd and
 * nothing else, of raw_length, which are written to `ret_raw`, and no more whatever
 * the frame says. -EBADMSG: it is not what its name says.
 */
int part_decode(struct part_decompressor *decompressor, const struct transfer_part *part,
                const void *bytes, size_t length, void *ret_raw, struct error *err);

#endif
