/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vectors of AVX2 for md5_lanes.h and sha256_lanes.h: 8 lanes. Empty without AVX2. */
#ifndef SETMOV_DIGEST_LANES_AVX2_H
#define SETMOV_DIGEST_LANES_AVX2_H
#if defined(__AVX2__) && defined(WORD_ORDER)

#include <immintrin.h>

#include "digest/lanes.h"

#define LANES 8
typedef __m256i vector;

#define vector_pin(v)                __asm__("" : "+x"(v))
#define vector_shift_right(v, bits)  _mm256_srli_epi32(v, bits)
#define vector_rotate_right(v, bits) vector_rotate_left(v, 32 - (bits))

static inline vector vector_rotate_left(vector v, int bits)
{
    return _mm256_or_si256(_mm256_slli_epi32(v, bits), _mm256_srli_epi32(v, 32 - bits));
}

static inline vector vector_all(uint32_t value)
{
    return _mm256_set1_epi32((int)value);
}

static inline vector vector_add(vector a, vector b)
{
    return _mm256_add_epi32(a, b);
}

/* Bits of `yes` where the mask has ones: short where the mask comes last. */
static inline vector vector_select(vector mask, vector yes, vector no)
{
    return _mm256_xor_si256(no, _mm256_and_si256(mask, _mm256_xor_si256(yes, no)));
}

/* The same, short where `yes` comes last. */
static inline vector vector_choose(vector mask, vector yes, vector no)
{
    return _mm256_or_si256(_mm256_andnot_si256(mask, no), _mm256_and_si256(mask, yes));
}

static inline vector vector_majority(vector a, vector b, vector c)
{
    return vector_select(_mm256_xor_si256(a, b), c, b);
}

static inline vector vector_xor3(vector a, vector b, vector c)
{
    return _mm256_xor_si256(a, _mm256_xor_si256(b, c));
}

/* b ^ (a | ~c) */
static inline vector vector_xor_or_not(vector b, vector a, vector c)
{
    const __m256i ones = _mm256_set1_epi32(-1);

    return _mm256_xor_si256(b, _mm256_or_si256(a, _mm256_xor_si256(c, ones)));
}

static inline vector vector_swap_bytes(vector v)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));

    return _mm256_shuffle_epi8(v, order);
}

/* 4 x 4 words change places within each half of the four vectors. */
static inline void transpose_halves(__m256i v[4])
{
    __m256i low01 = _mm256_unpacklo_epi32(v[0], v[1]), high01 = _mm256_unpackhi_epi32(v[0], v[1]);
    __m256i low23 = _mm256_unpacklo_epi32(v[2], v[3]), high23 = _mm256_unpackhi_epi32(v[2], v[3]);

    v[0] = _mm256_unpacklo_epi64(low01, low23);
    v[1] = _mm256_unpackhi_epi64(low01, low23);
    v[2] = _mm256_unpacklo_epi64(high01, high23);
    v[3] = _mm256_unpackhi_epi64(high01, high23);
}

#define GATHER_PIECES 4

/* A piece is 16 bytes, four words: those of block i beside those of block i + 4. */
static inline void gather_piece(vector words[16], const uint8_t *const *blocks, size_t offset,
                                size_t piece)
{
    __m256i v[4];

    offset += 16 * piece;
    UNROLL_FULLY for (size_t i = 0; i < 4; i++)
    {
        __m128i low = _mm_loadu_si128((const __m128i *)(blocks[i] + offset));
        __m128i high = _mm_loadu_si128((const __m128i *)(blocks[i + 4] + offset));

        v[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    }
    transpose_halves(v);
    UNROLL_FULLY for (size_t i = 0; i < 4; i++) words[4 * piece + i] = WORD_ORDER(v[i]);
}

/* Word w of block i stands in lane i of the w-th vector; digest i gets its four words together. */
static inline void scatter(vector a, vector b, vector c, vector d, struct digest *ret_digests)
{
    __m256i v[4] = {a, b, c, d};
    __m128i *digests = (__m128i *)(void *)ret_digests;

    transpose_halves(v);
    UNROLL_FULLY for (size_t i = 0; i < 4; i++)
    {
        _mm_storeu_si128(digests + i, _mm256_castsi256_si128(v[i]));
        _mm_storeu_si128(digests + 4 + i, _mm256_extracti128_si256(v[i], 1));
    }
}

#endif
#endif
