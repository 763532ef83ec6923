/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UUIDs as libvirt writes them. */

#include "setmov/base_uuid.h"

#include <errno.h>

#define TEXT_LENGTH (UUID_TEXT_BYTES - 1)

static bool is_hyphen_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

int uuid_parse(const char *string, struct uuid *ret_uuid)
{
    struct uuid uuid = {{0}};
    size_t digits = 0;

    /* The NUL is neither a hyphen nor a digit, so that nothing behind it is read. */
    for (size_t i = 0; i < TEXT_LENGTH; i++) {
        int value;

        if (is_hyphen_at(i)) {
            if (string[i] != '-')
                return -EINVAL;
            continue;
        }
        value = hexadecimal_digit(string[i]);
        if (value < 0)
            return -EINVAL;
        uuid.bytes[digits / 2] = (uint8_t)(uuid.bytes[digits / 2] << 4 | value);
        digits++;
    }
    if (string[TEXT_LENGTH] != '\0')
        return -EINVAL;
    *ret_uuid = uuid;
    return 0;
}

void uuid_format(const struct uuid *uuid, char ret_text[UUID_TEXT_BYTES])
{
    size_t digits = 0;

    for (size_t i = 0; i < TEXT_LENGTH; i++) {
        if (is_hyphen_at(i)) {
            ret_text[i] = '-';
            continue;
        }
        ret_text[i] = "0123456789abcdef"[digits % 2 == 0 ? uuid->bytes[digits / 2] >> 4
                                                         : uuid->bytes[digits / 2] & 15];
        digits++;
    }
    ret_text[TEXT_LENGTH] = '\0';
}
