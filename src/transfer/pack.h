/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the packing share: pieces and parts, compressing, the level. */
#ifndef TRANSFER_PACK_H
#define TRANSFER_PACK_H

#include "setmov/transfer_pack.h"

/* ---- which piece goes into which part (pack_layout.c) ------------------------------- */

/* Bytes of an image that lie together in a part. */
struct pack_piece {
    uint64_t offset; /* in the image */
    uint32_t image, length;
    uint32_t part; /* number among the layout's */
    uint64_t from; /* byte of the uncompressed part */
};

struct pack_part {
    size_t first, count; /* pieces */
    uint64_t raw_length;
    bool whole_blocks; /* all pieces are whole blocks of the plan's size */
};

/* Pieces are in the order in which they are packed. */
struct pack_layout {
    struct pack_piece *pieces;
    size_t count, capacity;
    struct pack_part *parts;
    size_t part_count, part_capacity;
    uint64_t raw_bytes;
};

/*
 * All that the plan sends and no part has yet, in the order of the images: what
 * belongs together lies together there, and no other order was found that
 * compresses better. part_bytes 0: pack_part_bytes(). -EINVAL: it is no plan;
 * -EFBIG, -ENOMEM.
 */
int pack_layout_make(const struct transfer_plan *plan, uint64_t part_bytes, unsigned threads,
                     struct pack_layout *ret_layout, struct error *err);
/* Of a part, so that all threads have the same to do: 32 to 64 MiB. */
uint64_t pack_part_bytes(uint64_t raw_bytes, unsigned threads);
void pack_layout_release(struct pack_layout *layout);

/*
 * Gives the plan's extents their parts: the layout's i-th is the plan's
 * numbers[i]-th. The plan is as it was for pack_layout_make(), and stays so on failure.
 */
int pack_layout_apply(struct pack_layout *layout, const uint32_t *numbers,
                      struct transfer_plan *plan, struct error *err);

/* ---- compressing one part (pack_compress.c) ------------------------------------------- */

struct pack_compressor;

int pack_compressor_new(struct pack_compressor **ret_compressor, struct error *err);
void pack_compressor_free(struct pack_compressor *compressor); /* NULL is fine */

/* Begins a part of `raw_length` bytes, all of which must be added before it is finished. */
int pack_compressor_begin(struct pack_compressor *compressor, int level, uint64_t raw_length,
                          struct error *err);
int pack_compressor_add(struct pack_compressor *compressor, const void *bytes, size_t length,
                        struct error *err);
/* The caller frees. */
int pack_compressor_finish(struct pack_compressor *compressor, uint8_t **ret_bytes,
                           size_t *ret_length, struct error *err);

/* ---- what does not compress (pack_look.c) ---------------------------------------------- */

/*
 * Whether a few samples from all over a part stay as long as they are at a low level: what is
 * random, encrypted or compressed already. A high level would take long for nothing. `buffer`: at
 * least PACK_LOOK_BYTES.
 */
#define PACK_LOOK_BYTES ((size_t)1 << 20)
int pack_look(const struct pack_layout *layout, const struct pack_part *part,
              struct image *const *images, uint8_t *buffer, bool *ret_is_noise, struct error *err);

#endif
