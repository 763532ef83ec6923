/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures as they stand in sentences. Private to placement/. */
#ifndef SETMOV_PLACEMENT_WORDS_PARTS_H
#define SETMOV_PLACEMENT_WORDS_PARTS_H

#include "setmov/placement_words.h"
#include "setmov/similarity.h"

struct words_line {
    char text[400];
};

/*
 * "1.25 GiB", "512 MiB": at most two decimals, none that says nothing. What is
 * there is rounded down and what is needed up, so that what does not suffice
 * never looks as if it did.
 */
struct words words_there(uint64_t bytes);
struct words words_needed(uint64_t bytes);

/*
 * What a host has, and what is left to send: "holds 40.00 % of the blocks
 * (80.00 % with duplicates) in 3 images; 100k to send instead of 500k".
 * `image_bytes`: what would be sent to a host that holds nothing.
 */
#define WORDS_IMAGES_UNKNOWN SIZE_MAX /* 0: none were looked at, or the number is not known */
struct words_line words_holdings(const struct similarity_estimate *all, size_t images,
                                 uint64_t image_bytes);

#endif
