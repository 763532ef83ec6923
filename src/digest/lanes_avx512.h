/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vectors of AVX-512 for md5_lanes.h and sha256_lanes.h: 16 lanes. Empty without AVX-512. */
#ifndef SETMOV_DIGEST_LANES_AVX512_H
#define SETMOV_DIGEST_LANES_AVX512_H
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(WORD_ORDER)

#include <immintrin.h>

#include "digest/lanes.h"
#include "setmov/digest.h"

#define LANES 16
typedef __m512i vector;

#define vector_rotate_left(v, bits)  _mm512_rol_epi32(v, bits)
#define vector_rotate_right(v, bits) _mm512_ror_epi32(v, bits)
#define vector_shift_right(v, bits)  _mm512_srli_epi32(v, bits)

#define vector_pin(v) __asm__("" : "+v"(v))

static inline vector vector_all(uint32_t value)
{
    return _mm512_set1_epi32((int)value);
}

static inline vector vector_add(vector a, vector b)
{
    return _mm512_add_epi32(a, b);
}

/* The immediate of a ternary function is its truth table: bit 4a + 2b + c. */
static inline vector vector_select(vector mask, vector yes, vector no)
{
    return _mm512_ternarylogic_epi32(mask, yes, no, 0xca);
}

#define vector_choose vector_select

static inline vector vector_majority(vector a, vector b, vector c)
{
    return _mm512_ternarylogic_epi32(a, b, c, 0xe8);
}

static inline vector vector_xor3(vector a, vector b, vector c)
{
    return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}

/* b ^ (a | ~c) */
static inline vector vector_xor_or_not(vector b, vector a, vector c)
{
    return _mm512_ternarylogic_epi32(a, b, c, 0x39);
}

static inline vector vector_swap_bytes(vector v)
{
    const __m512i order = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);

    return _mm512_shuffle_epi8(v, order);
}

#define GATHER_PIECES 2

/* 32 bytes of one block beside 32 bytes of another. */
static inline __m512i load_halves(const uint8_t *low, const uint8_t *high)
{
    __m256i half = _mm256_loadu_si256((const __m256i *)low);

    return _mm512_inserti64x4(_mm512_castsi256_si512(half),
                              _mm256_loadu_si256((const __m256i *)high), 1);
}

/* 4 x 4 words change places within each quarter of the four vectors. */
static inline void transpose_quarters(__m512i v[4])
{
    __m512i low01 = _mm512_unpacklo_epi32(v[0], v[1]), high01 = _mm512_unpackhi_epi32(v[0], v[1]);
    __m512i low23 = _mm512_unpacklo_epi32(v[2], v[3]), high23 = _mm512_unpackhi_epi32(v[2], v[3]);

    v[0] = _mm512_unpacklo_epi64(low01, low23);
    v[1] = _mm512_unpackhi_epi64(low01, low23);
    v[2] = _mm512_unpacklo_epi64(high01, high23);
    v[3] = _mm512_unpackhi_epi64(high01, high23);
}

/* A piece is the first or second half of the chunk: eight words. */
static inline void gather_piece(vector words[16], const uint8_t *const *blocks, size_t offset,
                                size_t piece)
{
    __m512i a[4], b[4];

    offset += 32 * piece;
    words += 8 * piece;
    UNROLL_FULLY for (size_t i = 0; i < 4; i++)
    {
        a[i] = load_halves(blocks[i] + offset, blocks[i + 4] + offset);
        b[i] = load_halves(blocks[i + 8] + offset, blocks[i + 12] + offset);
    }
    transpose_quarters(a);
    transpose_quarters(b);
    UNROLL_FULLY for (size_t i = 0; i < 4; i++)
    {
        words[i] = WORD_ORDER(_mm512_shuffle_i32x4(a[i], b[i], 0x88));
        words[i + 4] = WORD_ORDER(_mm512_shuffle_i32x4(a[i], b[i], 0xdd));
    }
}

/* Word w of block i stands in lane i of the w-th vector; digest i gets its four words together. */
static inline void scatter(vector a, vector b, vector c, vector d, struct digest *ret_digests)
{
    __m512i v[4] = {a, b, c, d};
    __m128i *digests = (__m128i *)(void *)ret_digests;

    transpose_quarters(v);
    UNROLL_FULLY for (size_t i = 0; i < 4; i++)
    {
        _mm_storeu_si128(digests + i, _mm512_castsi512_si128(v[i]));
        _mm_storeu_si128(digests + 4 + i, _mm512_extracti32x4_epi32(v[i], 1));
        _mm_storeu_si128(digests + 8 + i, _mm512_extracti32x4_epi32(v[i], 2));
        _mm_storeu_si128(digests + 12 + i, _mm512_extracti32x4_epi32(v[i], 3));
    }
}

#endif
#endif
