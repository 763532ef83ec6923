/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UUIDs as libvirt writes them. Pure. */
#ifndef SETMOV_BASE_UUID_H
#define SETMOV_BASE_UUID_H

#include "setmov/base.h"

#define UUID_BYTES      16
#define UUID_TEXT_BYTES 37 /* 36 characters and the NUL */

struct uuid {
    uint8_t bytes[UUID_BYTES];
};

/*
 * 32 hexadecimal digits of either case with hyphens between, as
 * 8-4-4-4-12; nothing before or behind. -EINVAL: none.
 */
int uuid_parse(const char *string, struct uuid *ret_uuid);

/* 8-4-4-4-12 in small letters. */
void uuid_format(const struct uuid *uuid, char ret_text[UUID_TEXT_BYTES]);

#endif
