/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests: text with the last line that makes it whole (docs/catalog-format.md). */
#ifndef SEALED_TEXT_H
#define SEALED_TEXT_H

#include "setmov/fingerprint.h"

#include <inttypes.h>

/* The lines with their checksum behind them; the caller frees. */
static inline char *sealed_text(const char *lines)
{
    size_t length = strlen(lines), room = length + 64;
    char *text = malloc(room);

    if (text == NULL || !string_format(text, room, "%schecksum %016" PRIx64 "\n", lines,
                                       fingerprint_checksum(lines, length)))
        abort();
    return text;
}

/* Every text that is shorter, and every one with one bit turned, is to be refused. */
static inline void sealed_text_must_be_whole(const char *text, size_t length,
                                             bool (*is_taken)(struct text text))
{
    for (size_t cut = 0; cut < length; cut++) {
        char *part = malloc(cut + 1); /* of its size, for the sanitizer */

        if (part == NULL)
            abort();
        memcpy(part, text, cut);
        if (is_taken(text_of(part, cut)))
            fail_msg("the first %zu of %zu bytes are taken", cut, length);
        free(part);
    }
    for (size_t bit = 0; bit < 8 * length; bit++) {
        char *other = malloc(length + 1);

        if (other == NULL)
            abort();
        memcpy(other, text, length);
        other[bit / 8] = (char)(other[bit / 8] ^ 1 << bit % 8);
        if (is_taken(text_of(other, length)))
            fail_msg("bit %zu of byte %zu is turned, and it is taken", bit % 8, bit / 8);
        free(other);
    }
}

#endif
