/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The test for blocks of zeroes. */

#include "setmov/digest.h"

/* Every CPU that this is built for has vectors of 16 bytes; wider ones would not outrun memory more. */
typedef uint64_t pair __attribute__((vector_size(16)));

#define STEP_BYTES 128

/* Is any bit of STEP_BYTES bytes set? Without a branch, so that loads go on. */
static bool any_bit(const unsigned char *bytes)
{
    pair parts[STEP_BYTES / sizeof(pair)], all;

    memcpy(parts, bytes, sizeof(parts));
    all = ((parts[0] | parts[1]) | (parts[2] | parts[3])) |
          ((parts[4] | parts[5]) | (parts[6] | parts[7]));
    return (all[0] | all[1]) != 0;
}

bool digest_is_zero(const void *bytes, size_t length)
{
    const unsigned char *at = bytes, *end = at + length;
    uint64_t word;

    /* Most blocks that hold anything show it in the first word. */
    if (length >= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        if (word != 0)
            return false;
    }
    for (; (size_t)(end - at) >= STEP_BYTES; at += STEP_BYTES) {
        if (any_bit(at))
            return false;
    }
    for (; at < end; at++) {
        if (*at != 0)
            return false;
    }
    return true;
}
