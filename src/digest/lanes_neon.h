/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vectors of 64-bit ARM for md5_lanes.h and sha256_lanes.h: 4 lanes. Empty elsewhere. */
#ifndef SETMOV_DIGEST_LANES_NEON_H
#define SETMOV_DIGEST_LANES_NEON_H
#if defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(WORD_ORDER)

#include <arm_neon.h>

#include "digest/lanes.h"

#define LANES 4
typedef uint32x4_t vector;

#define vector_pin(v)                __asm__("" : "+w"(v))
#define vector_rotate_left(v, bits)  vsriq_n_u32(vshlq_n_u32(v, bits), v, 32 - (bits))
#define vector_rotate_right(v, bits) vsriq_n_u32(vshlq_n_u32(v, 32 - (bits)), v, bits)
#define vector_shift_right(v, bits)  vshrq_n_u32(v, bits)

static inline vector vector_all(uint32_t value)
{
    return vdupq_n_u32(value);
}

static inline vector vector_add(vector a, vector b)
{
    return vaddq_u32(a, b);
}

static inline vector vector_select(vector mask, vector yes, vector no)
{
    return vbslq_u32(mask, yes, no);
}

#define vector_choose vector_select

static inline vector vector_majority(vector a, vector b, vector c)
{
    return vbslq_u32(veorq_u32(a, b), c, b);
}

static inline vector vector_xor3(vector a, vector b, vector c)
{
    return veorq_u32(a, veorq_u32(b, c));
}

/* b ^ (a | ~c) */
static inline vector vector_xor_or_not(vector b, vector a, vector c)
{
    return veorq_u32(b, vornq_u32(a, c));
}

static inline vector vector_swap_bytes(vector v)
{
    return vreinterpretq_u32_u8(vrev32q_u8(vreinterpretq_u8_u32(v)));
}

static inline vector low_halves(vector a, vector b)
{
    return vreinterpretq_u32_u64(vtrn1q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
}

static inline vector high_halves(vector a, vector b)
{
    return vreinterpretq_u32_u64(vtrn2q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
}

static inline void transpose(vector v[4])
{
    vector even01 = vtrn1q_u32(v[0], v[1]), odd01 = vtrn2q_u32(v[0], v[1]);
    vector even23 = vtrn1q_u32(v[2], v[3]), odd23 = vtrn2q_u32(v[2], v[3]);

    v[0] = low_halves(even01, even23);
    v[1] = low_halves(odd01, odd23);
    v[2] = high_halves(even01, even23);
    v[3] = high_halves(odd01, odd23);
}

#define GATHER_PIECES 4

/* A piece is 16 bytes, four words. */
static inline void gather_piece(vector words[16], const uint8_t *const *blocks, size_t offset,
                                size_t piece)
{
    vector v[4];

    UNROLL_FULLY for (size_t i = 0; i < 4; i++) v[i] =
        vreinterpretq_u32_u8(vld1q_u8(blocks[i] + offset + 16 * piece));
    transpose(v);
    UNROLL_FULLY for (size_t i = 0; i < 4; i++) words[4 * piece + i] = WORD_ORDER(v[i]);
}

/* Word w of block i stands in lane i of the w-th vector; digest i gets its four words together. */
static inline void scatter(vector a, vector b, vector c, vector d, struct digest *ret_digests)
{
    vector v[4] = {a, b, c, d};

    transpose(v);
    UNROLL_FULLY for (size_t i = 0; i < 4; i++)
        vst1q_u8(ret_digests[i].bytes, vreinterpretq_u8_u32(v[i]));
}

#endif
#endif
