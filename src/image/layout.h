/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the parts of an image lie in its files, from what `qemu-img map
 * --output=json` prints: what is stored there byte for byte can be read
 * without QEMU. Pure. The text is QEMU's, its numbers are those of an image.
 */
#ifndef SETMOV_IMAGE_LAYOUT_H
#define SETMOV_IMAGE_LAYOUT_H

#include "image/chain.h"

/* More is not kept (24 MiB). */
#define IMAGE_LAYOUT_MOST_PARTS ((size_t)1 << 20)

/* A line of the text is never as long. */
#define IMAGE_LAYOUT_LINE_ROOM 512

/* It ends where the next one begins. */
struct layout_part {
    uint64_t offset; /* in the image */
    uint64_t place;  /* in the file */
    uint32_t where;  /* index of the layer, top first; settled: of the file */
    uint8_t kind;    /* enum image_extent_kind */
    bool is_placed;  /* place and where are told, and it is stored as it is */
};

/* All zeroes at first, but for only_top. */
struct image_layout {
    struct layout_part *parts; /* from 0 on, without gaps */
    size_t count, capacity;
    uint64_t end; /* of the last part: the image's size */
    bool complete;
    bool only_top; /* set before the first line: kinds as image_options.only_top has them */
};

/*
 * Takes a line, without its end. -EBADMSG: it is not to be understood, or
 * nothing that QEMU says; -E2BIG: too many parts; -ENOMEM.
 */
int image_layout_add(struct image_layout *layout, struct text line);

/*
 * Turns layers into files. A part that is not stored as it is in a file of a
 * format that is known to hold its clusters so is no longer placed. -EBADMSG:
 * one lies outside its file, there is no such layer, or the image has another size.
 */
int image_layout_settle(struct image_layout *layout, const struct image_chain *chain);

/* Data, in bytes, that is placed, and that is not. */
void image_layout_count(const struct image_layout *layout, uint64_t *ret_placed,
                        uint64_t *ret_others);

/* The part that holds the byte, which is within the image. `ret_end`: of the part. */
const struct layout_part *image_layout_find(const struct image_layout *layout, uint64_t offset,
                                            uint64_t *ret_end);

void image_layout_release(struct image_layout *layout);

/* ---- layout_ask.c ------------------------------------------------------------------------- */

/*
 * Has qemu-img tell it, and settles it. -ECANCELED: stopped. Whatever else
 * fails, and be it that there is no qemu-img: then there is no layout.
 */
int image_layout_ask(const struct image_chain *chain, bool only_top, double patience_s,
                     struct image_layout *ret_layout);

#endif
