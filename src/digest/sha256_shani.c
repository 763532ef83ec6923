/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SHA-256 with the SHA extensions of x86: no lanes, but instructions that do
 * two rounds of one message. Each waits several cycles for the one before, so
 * WAYS messages go side by side.
 */
#if defined(__SHA__) && defined(__SSSE3__) && defined(__SSE4_1__)

#define WAYS DIGEST_GROUP_SHANI
#include "digest/shani.h"

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
    struct shani_state state;

    EACH_WAY
    shani_load(plan->state, &state.abef[w], &state.cdgh[w]);
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
