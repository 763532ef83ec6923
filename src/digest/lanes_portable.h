/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No vectors: a plain word is one lane for md5_lanes.h and sha256_lanes.h. The reference. */
#ifndef SETMOV_DIGEST_LANES_PORTABLE_H
#define SETMOV_DIGEST_LANES_PORTABLE_H
#ifdef WORD_ORDER

#include <endian.h>

#include "digest/lanes.h"

#define LANES 1
typedef uint32_t vector;

#define vector_pin(v)                ((void)(v))
#define vector_choose                vector_select
#define vector_shift_right(v, bits)  ((v) >> (bits))
#define vector_rotate_right(v, bits) vector_rotate_left(v, 32 - (bits))

static inline vector vector_rotate_left(vector v, int bits)
{
    return v << bits | v >> (32 - bits);
}

static inline vector vector_all(uint32_t value)
{
    return value;
}

static inline vector vector_add(vector a, vector b)
{
    return a + b;
}

static inline vector vector_select(vector mask, vector yes, vector no)
{
    return no ^ (mask & (yes ^ no));
}

static inline vector vector_majority(vector a, vector b, vector c)
{
    return vector_select(a ^ b, c, b);
}

static inline vector vector_xor3(vector a, vector b, vector c)
{
    return a ^ b ^ c;
}

/* b ^ (a | ~c) */
static inline vector vector_xor_or_not(vector b, vector a, vector c)
{
    return b ^ (a | ~c);
}

static inline vector vector_swap_bytes(vector v)
{
    return __builtin_bswap32(v);
}

#define GATHER_PIECES 4

/* A piece is 16 bytes, four words. */
static inline void gather_piece(vector words[16], const uint8_t *const *blocks, size_t offset,
                                size_t piece)
{
    for (size_t i = 4 * piece; i < 4 * piece + 4; i++) {
        uint32_t word;

        memcpy(&word, blocks[0] + offset + 4 * i, sizeof(word));
        words[i] = WORD_ORDER(le32toh(word));
    }
}

static inline void scatter(vector a, vector b, vector c, vector d, struct digest *ret_digest)
{
    uint32_t words[4] = {htole32(a), htole32(b), htole32(c), htole32(d)};

    memcpy(ret_digest->bytes, words, sizeof(words));
}

#endif
#endif
