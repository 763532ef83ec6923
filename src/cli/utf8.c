/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-8 of doubtful origin: validation and widths (see utf8.h). */
#include "utf8.h"

#include <stdint.h>
#include <string.h>
#include <wchar.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/*
 * Decodes one character. Returns its length in bytes, or 0 where there is no
 * valid one: overlong forms, surrogates and numbers above U+10FFFF are none.
 */
static size_t decode(const unsigned char *s, uint32_t *ret_character)
{
    size_t length = 1;
    uint32_t smallest = 0;
    uint32_t character = s[0];

    if (s[0] < 0x80) {
        *ret_character = character;
        return 1;
    }
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        length = 2, smallest = 0x80, character = s[0] & 0x1f;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        length = 3, smallest = 0x800, character = s[0] & 0x0f;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        length = 4, smallest = 0x10000, character = s[0] & 0x07;
    } else {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) /* stops at the NUL, too */
            return 0;
        character = character << 6 | (s[i] & 0x3f);
    }
    if (character < smallest || character > 0x10ffff ||
        (character >= 0xd800 && character <= 0xdfff))
        return 0;
    *ret_character = character;
    return length;
}

void utf8_valid(const char *from, char *buffer, size_t size)
{
    size_t used = 0;
    while (*from) {
        uint32_t character = 0;
        size_t length = decode((const unsigned char *)from, &character);
        const char *copied = length > 0 ? from : REPLACEMENT;
        size_t copied_length = length > 0 ? length : strlen(REPLACEMENT);
        if (used + copied_length >= size)
            break;
        memcpy(buffer + used, copied, copied_length);
        used += copied_length;
        from += length > 0 ? length : 1;
    }
    buffer[used] = '\0';
}

/* Directional marks and overrides would turn the rest of the line around. */
static int turns_text(uint32_t character)
{
    return (character >= 0x200b && character <= 0x200f) ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2060 && character <= 0x206f) || character == 0x061c ||
           character == 0xfeff;
}

/* The next character as it may be shown: its bytes in `shown`, its width in columns. */
static size_t next_shown(const char *from, const char **ret_shown, size_t *ret_bytes,
                         unsigned *ret_width)
{
    uint32_t character = 0;
    size_t length = decode((const unsigned char *)from, &character);
    int width = length > 0 ? wcwidth((wchar_t)character) : -1;

    if (width < 0 || turns_text(character)) {
        *ret_shown = "?";
        *ret_bytes = 1;
        *ret_width = 1;
    } else {
        *ret_shown = from;
        *ret_bytes = length;
        *ret_width = (unsigned)width;
    }
    return length > 0 ? length : 1;
}

static unsigned shown_width(const char *from)
{
    unsigned total = 0;
    while (*from) {
        const char *shown = NULL;
        size_t bytes = 0;
        unsigned width = 0;
        from += next_shown(from, &shown, &bytes, &width);
        total += width;
    }
    return total;
}

size_t utf8_column(const char *from, unsigned columns, char *buffer, size_t size)
{
    unsigned room = columns;
    size_t used = 0;
    if (columns == 0 || size <= columns) {
        buffer[0] = '\0';
        return 0;
    }
    if (shown_width(from) > columns)
        room--; /* for the '~' */
    unsigned width_so_far = 0;
    while (*from) {
        const char *shown = NULL;
        size_t bytes = 0;
        unsigned width = 0;
        size_t step = next_shown(from, &shown, &bytes, &width);
        /* What is left of the columns must still fit as blanks. */
        if (width_so_far + width > room || used + bytes + (columns - width_so_far) >= size)
            break;
        memcpy(buffer + used, shown, bytes);
        used += bytes;
        width_so_far += width;
        from += step;
    }
    if (*from && width_so_far < columns) {
        buffer[used++] = '~';
        width_so_far++;
    }
    for (; width_so_far < columns; width_so_far++)
        buffer[used++] = ' ';
    buffer[used] = '\0';
    return used;
}
