/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SHA-256 with the SHA extensions of x86: no lanes, but instructions that do
 * two rounds of one message. Each waits several cycles for the one before, so
 * WAYS messages go side by side.
 */
#if defined(__SHA__) && defined(__SSSE3__) && defined(__SSE4_1__)

#include <immintrin.h>

#include "digest/lanes.h"

#define WAYS     DIGEST_GROUP_SHANI
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

static void shani_last(struct shani_state *state, const uint32_t padding[64])
{
    struct shani_state s = *state;

    UNROLL_FULLY for (size_t four = 0; four < 16; four++)
    {
        EACH_WAY
        shani_rounds(&s, w, load_words(padding + 4 * four));
    }
    *state = shani_sum(s, state);
}

void digest_sha256_shani(const struct digest_plan *plan, const uint8_t *const *blocks,
                         const uint8_t *const *next, struct digest *ret_digests)
{
    const __m128i order = _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
    __m128i dcba = load_words(plan->state), hgfe = load_words(plan->state + 4);
    __m128i badc = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    struct shani_state state;

    EACH_WAY
    {
        state.abef[w] = _mm_alignr_epi8(badc, efgh, 8);
        state.cdgh[w] = _mm_blend_epi16(efgh, badc, 0xf0);
    }
    for (size_t offset = 0; offset < plan->block_size; offset += 64) {
        EACH_WAY
        __builtin_prefetch(next[w] + offset, 0, 2);
        shani_chunk(&state, blocks, offset);
    }
    shani_last(&state, plan->padding);
    EACH_WAY
    {
        /* abef holds f, e, b, a from its lowest word up; cdgh h, g, d, c. */
        __m128i abcd = _mm_shuffle_epi32(_mm_unpackhi_epi64(state.cdgh[w], state.abef[w]), 0x1b);

        _mm_storeu_si128((__m128i *)(void *)(ret_digests + w), _mm_shuffle_epi8(abcd, order));
    }
}

#endif
