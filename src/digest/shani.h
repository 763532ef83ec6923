/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rounds of SHA-256 with the SHA extensions of x86, for WAYS messages side
 * by side: a template; WAYS is defined before it.
 */
#ifdef WAYS

#include <immintrin.h>

#include "digest/lanes.h"

#define EACH_WAY UNROLL_FULLY for (size_t w = 0; w < WAYS; w++)

/* The instructions want the state as (a, b, e, f) and (c, d, g, h), highest word first. */
struct shani_state {
    __m128i abef[WAYS], cdgh[WAYS];
};

static inline __m128i load_words(const void *words)
{
    return _mm_loadu_si128((const __m128i *)words);
}

static inline void shani_rounds(struct shani_state *s, size_t w, __m128i words)
{
    s->cdgh[w] = _mm_sha256rnds2_epu32(s->cdgh[w], s->abef[w], words);
    s->abef[w] = _mm_sha256rnds2_epu32(s->abef[w], s->cdgh[w], _mm_shuffle_epi32(words, 0x0e));
}

/* Words 16 to 19 from the sixteen before them, of which m[0] holds the oldest four. */
static inline __m128i shani_schedule(const __m128i m[4])
{
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(m[0], m[1]), _mm_alignr_epi8(m[3], m[2], 4));

    return _mm_sha256msg2_epu32(sum, m[3]);
}

static inline struct shani_state shani_sum(struct shani_state s, const struct shani_state *before)
{
    EACH_WAY
    {
        s.abef[w] = _mm_add_epi32(s.abef[w], before->abef[w]);
        s.cdgh[w] = _mm_add_epi32(s.cdgh[w], before->cdgh[w]);
    }
    return s;
}

static void shani_chunk(struct shani_state *state, const uint8_t *const *blocks, size_t offset)
{
    const __m128i order = _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
    struct shani_state s = *state;
    __m128i m[WAYS][4];

    UNROLL_FULLY for (size_t four = 0; four < 16; four++)
    {
        __m128i constants = load_words(digest_sha256_constants + 4 * four);

        EACH_WAY
        {
            __m128i *words = &m[w][four % 4];

            if (four < 4) {
                *words = _mm_shuffle_epi8(load_words(blocks[w] + offset + 16 * four), order);
            } else {
                __m128i last[4] = {m[w][four % 4], m[w][(four + 1) % 4], m[w][(four + 2) % 4],
                                   m[w][(four + 3) % 4]};

                *words = shani_schedule(last);
            }
            shani_rounds(&s, w, _mm_add_epi32(*words, constants));
        }
    }
    *state = shani_sum(s, state);
}

/* From a, b, ... h. */
static inline void shani_load(const uint32_t state[8], __m128i *ret_abef, __m128i *ret_cdgh)
{
    __m128i dcba = load_words(state), hgfe = load_words(state + 4);
    __m128i badc = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);

    *ret_abef = _mm_alignr_epi8(badc, efgh, 8);
    *ret_cdgh = _mm_blend_epi16(efgh, badc, 0xf0);
}

#endif
