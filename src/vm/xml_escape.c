/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Escapes text for XML. */
#include "vm/xml_escape.h"

#include <errno.h>
#include <string.h>

#define LONGEST_ENTITY 6 /* &quot; */

static const char *entity_of(char character)
{
    switch (character) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* U+FFFE and U+FFFF are no characters of XML. */
static bool is_sayable(uint32_t character)
{
    return !utf8_is_control(character) && character != 0xfffe && character != 0xffff;
}

int xml_escape(const char *string, char **ret_escaped)
{
    size_t length = strlen(string), at = 0, size;
    char *escaped;

    if (__builtin_mul_overflow(length, (size_t)LONGEST_ENTITY, &size) ||
        __builtin_add_overflow(size, (size_t)1, &size))
        return -ENOMEM;
    escaped = malloc(size);
    if (!escaped)
        return -ENOMEM;
    while (*string) {
        uint32_t character;
        size_t bytes = utf8_decode(string, &character);
        const char *entity = entity_of(*string);

        if (bytes == 0 || !is_sayable(character)) {
            free(escaped);
            return -EINVAL;
        }
        if (entity)
            memcpy(escaped + at, entity, strlen(entity));
        else
            memcpy(escaped + at, string, bytes);
        at += entity ? strlen(entity) : bytes;
        string += bytes;
    }
    escaped[at] = '\0';
    *ret_escaped = escaped;
    return 0;
}
