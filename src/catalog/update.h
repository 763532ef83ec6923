/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of one update of an index directory share. One thread uses it. */
#ifndef SETMOV_CATALOG_UPDATE_H
#define SETMOV_CATALOG_UPDATE_H

#include "catalog/internal.h"

/* In this order, that of who has a say about the same fingerprint. */
enum outcome { DEALT_WITH, VANISHED, ANOTHER_NAME };

/* One image that was found, or one more name of it. */
struct work {
    const struct catalog_image *image;
    bool is_block_device;
    uint64_t device, inode;
    enum outcome outcome;
    char hash[CATALOG_HASH_BYTES]; /* of the resolved path; "" where it is not known */
};

struct update {
    const struct catalog_update_options *options;
    const struct fingerprint_wish *wishes;
    size_t wish_count;
    struct catalog_kind *kinds; /* of the wishes */
    struct catalog_directory directory;
    struct work *works;
    size_t count;
    struct catalog_summary summary;
    uint64_t bytes; /* of the image that is being read */
    int broken;     /* why nothing can be written to the directory any more; 0: it can */
    struct error broken_why;
};

void update_report(const struct update *update, const struct catalog_report *report);
bool update_is_stopped(const struct update *update);

/* ---- what is to be done (works.c) ------------------------------------------------ */

/* Sets `works`: one for each image, by path, and those that are only names more (ANOTHER_NAME). */
int update_gather(struct update *update, const struct catalog_images *images, struct error *err);

/* ---- what is in the directory (truth.c) ---------------------------------------------- */

/* Are all that are wished there, and true of an image with these files? */
bool update_all_hold(const struct update *update, const char *hash,
                     const struct image_layer *layers, size_t count);

/* Behind an image that was read anew: what else there was of it is of its former content. */
void update_drop_other_kinds(struct update *update, const char *hash);

/* Behind one that failed: what is not known to be true of these files any more. */
void update_drop_untrue(struct update *update, const char *hash, const struct image_layer *layers,
                        size_t count);

/* In the end: fingerprints of images that are no more. Sorts `works` anew. */
int update_drop_vanished(struct update *update, const struct catalog_images *images,
                         struct error *err);

#endif
