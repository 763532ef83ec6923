/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vectors of SSE2, which every x86-64 has, for md5_lanes.h: 4 lanes. Empty elsewhere. */
#ifndef SETMOV_DIGEST_LANES_SSE2_H
#define SETMOV_DIGEST_LANES_SSE2_H
#if defined(__SSE2__) && defined(WORD_ORDER)

#include <emmintrin.h>

#include "digest/lanes.h"

#define LANES 4
typedef __m128i vector;

#define vector_pin(v) __asm__("" : "+x"(v))

static inline vector vector_rotate_left(vector v, int bits)
{
    return _mm_or_si128(_mm_slli_epi32(v, bits), _mm_srli_epi32(v, 32 - bits));
}

static inline vector vector_all(uint32_t value)
{
    return _mm_set1_epi32((int)value);
}

static inline vector vector_add(vector a, vector b)
{
    return _mm_add_epi32(a, b);
}

/* Bits of `yes` where the mask has ones: short where the mask comes last. */
static inline vector vector_select(vector mask, vector yes, vector no)
{
    return _mm_xor_si128(no, _mm_and_si128(mask, _mm_xor_si128(yes, no)));
}

/* The same, short where `yes` comes last. */
static inline vector vector_choose(vector mask, vector yes, vector no)
{
    return _mm_or_si128(_mm_andnot_si128(mask, no), _mm_and_si128(mask, yes));
}

static inline vector vector_xor3(vector a, vector b, vector c)
{
    return _mm_xor_si128(a, _mm_xor_si128(b, c));
}

/* b ^ (a | ~c) */
static inline vector vector_xor_or_not(vector b, vector a, vector c)
{
    const __m128i ones = _mm_set1_epi32(-1);

    return _mm_xor_si128(b, _mm_or_si128(a, _mm_xor_si128(c, ones)));
}

static inline void transpose(__m128i v[4])
{
    __m128i low01 = _mm_unpacklo_epi32(v[0], v[1]), high01 = _mm_unpackhi_epi32(v[0], v[1]);
    __m128i low23 = _mm_unpacklo_epi32(v[2], v[3]), high23 = _mm_unpackhi_epi32(v[2], v[3]);

    v[0] = _mm_unpacklo_epi64(low01, low23);
    v[1] = _mm_unpackhi_epi64(low01, low23);
    v[2] = _mm_unpacklo_epi64(high01, high23);
    v[3] = _mm_unpackhi_epi64(high01, high23);
}

#define GATHER_PIECES 4

/* A piece is 16 bytes, four words. */
static inline void gather_piece(vector words[16], const uint8_t *const *blocks, size_t offset,
                                size_t piece)
{
    __m128i v[4];

    UNROLL_FULLY for (size_t i = 0; i < 4; i++) v[i] =
        _mm_loadu_si128((const __m128i *)(blocks[i] + offset + 16 * piece));
    transpose(v);
    UNROLL_FULLY for (size_t i = 0; i < 4; i++) words[4 * piece + i] = WORD_ORDER(v[i]);
}

/* Word w of block i stands in lane i of the w-th vector; digest i gets its four words together. */
static inline void scatter(vector a, vector b, vector c, vector d, struct digest *ret_digests)
{
    __m128i v[4] = {a, b, c, d};

    transpose(v);
    UNROLL_FULLY for (size_t i = 0; i < 4; i++)
        _mm_storeu_si128((__m128i *)(void *)(ret_digests + i), v[i]);
}

#endif
#endif
