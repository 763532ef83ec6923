/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-8 of doubtful origin: validity and widths (see utf8.h). */
#include "utf8.h"

#include "setmov/base.h"

#include <wchar.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void utf8_valid(const char *from, char *buffer, size_t size)
{
    size_t used = 0;
    while (*from) {
        uint32_t character = 0;
        size_t length = utf8_decode(from, &character);
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

/* The next character as it may be shown: its bytes in `shown`, its width in columns. */
static size_t next_shown(const char *from, const char **ret_shown, size_t *ret_bytes,
                         unsigned *ret_width)
{
    uint32_t character = 0;
    size_t length = utf8_decode(from, &character);
    int width = length > 0 ? wcwidth((wchar_t)character) : -1;

    if (width < 0 || utf8_is_unfit(character)) {
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

void utf8_make_fit(char *string)
{
    const char *from = string;
    char *to = string;

    while (*from != '\0') {
        uint32_t character = 0;
        size_t length = utf8_decode(from, &character);

        if (length == 0 || utf8_is_unfit(character)) {
            *to++ = '?';
        } else {
            memmove(to, from, length);
            to += length;
        }
        from += length > 0 ? length : 1;
    }
    *to = '\0';
}
