/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-8 of doubtful origin: decoding, and the characters that nobody should be shown. */

#include "setmov/base.h"

size_t utf8_decode(const char *string, uint32_t *ret_character)
{
    const unsigned char *byte = (const unsigned char *)string;
    size_t length;
    uint32_t character, least;

    if (byte[0] < 0x80) {
        *ret_character = byte[0];
        return 1;
    }
    if (byte[0] >= 0xc2 && byte[0] < 0xe0) {
        length = 2, character = byte[0] & 0x1fU, least = 0x80;
    } else if (byte[0] >= 0xe0 && byte[0] < 0xf0) {
        length = 3, character = byte[0] & 0x0fU, least = 0x800;
    } else if (byte[0] >= 0xf0 && byte[0] < 0xf5) {
        length = 4, character = byte[0] & 0x07U, least = 0x10000;
    } else {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80) /* stops at the NUL, too */
            return 0;
        character = character << 6 | (byte[i] & 0x3fU);
    }
    if (character < least || character > 0x10ffff || (character >= 0xd800 && character < 0xe000))
        return 0;
    *ret_character = character;
    return length;
}

bool utf8_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

bool utf8_is_unfit(uint32_t character)
{
    return utf8_is_control(character) || character == 0x061c ||
           (character >= 0x200b && character <= 0x200f) ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2060 && character <= 0x206f) || character == 0xfeff;
}

void text_make_one_line(char *string)
{
    const char *from = string;
    char *to = string;

    while (*from != '\0') {
        uint32_t character = 0;
        size_t length = utf8_decode(from, &character);

        if (length == 0) {
            *to++ = '?';
        } else if (utf8_is_control(character) || character == 0x2028 || character == 0x2029) {
            *to++ = ' ';
        } else {
            memmove(to, from, length);
            to += length;
        }
        from += length > 0 ? length : 1;
    }
    *to = '\0';
}
