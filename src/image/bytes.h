/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers in the bytes of image files, of either byte order. Pure. */
#ifndef SETMOV_IMAGE_BYTES_H
#define SETMOV_IMAGE_BYTES_H

#include "setmov/base.h"

static inline uint32_t bytes_big32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t bytes_big64(const uint8_t *at)
{
    return (uint64_t)bytes_big32(at) << 32 | bytes_big32(at + 4);
}

static inline uint32_t bytes_little32(const uint8_t *at)
{
    return __builtin_bswap32(bytes_big32(at));
}

static inline uint64_t bytes_little64(const uint8_t *at)
{
    return __builtin_bswap64(bytes_big64(at));
}

#endif
