/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hash for tables and short marks: FNV-1a, 32 bits. Nothing that must resist an attacker. */

#include "setmov/base.h"

uint32_t hash_bytes(const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 16777619U;
    return hash;
}
