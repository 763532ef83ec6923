/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges paths and names that somebody else wrote. Pure. */
#include "vm/incoming_path.h"

#define MAX_PATH_BYTES 4095 /* PATH_MAX without its NUL */

bool incoming_has_control(const char *string)
{
    uint32_t character;
    size_t length;

    for (; *string != '\0'; string += length) {
        length = utf8_decode(string, &character);
        if (length == 0 || utf8_is_control(character))
            return true;
    }
    return false;
}

const char *incoming_path_wrong(const char *path)
{
    if (path[0] != '/')
        return "is not absolute";
    if (strlen(path) > MAX_PATH_BYTES)
        return "is too long";
    if (incoming_has_control(path))
        return "has control characters";
    for (const char *part = path; part; part = strchr(part, '/')) {
        struct text name = {part + 1, part + 1 + strcspn(part + 1, "/")};

        if (text_equals(name, ".."))
            return "leads upwards (..)";
        if (text_equals(name, "."))
            return "has a part that is '.'";
        part++;
    }
    if (path[strlen(path) - 1] == '/')
        return "names a directory";
    return NULL;
}
