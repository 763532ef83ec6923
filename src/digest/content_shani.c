/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 of one long message with the SHA extensions of x86. */
#include "digest/content.h"

#if defined(__SHA__) && defined(__SSSE3__) && defined(__SSE4_1__)

#include <cpuid.h>

#define WAYS 1
#include "digest/shani.h"

bool digest_content_has_shani(void)
{
    unsigned int a, b, c, d;

    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}

void digest_content_shani(uint32_t state[8], const uint8_t *bytes, size_t chunks)
{
    struct shani_state s;
    __m128i badc, hgfe;

    shani_load(state, &s.abef[0], &s.cdgh[0]);
    for (size_t i = 0; i < chunks; i++)
        shani_chunk(&s, &bytes, 64 * i);
    /* abef holds f, e, b, a from its lowest word up; cdgh h, g, d, c. */
    badc = _mm_shuffle_epi32(_mm_unpackhi_epi64(s.cdgh[0], s.abef[0]), 0x1b);
    hgfe = _mm_shuffle_epi32(_mm_unpacklo_epi64(s.cdgh[0], s.abef[0]), 0x1b);
    _mm_storeu_si128((__m128i *)(void *)state, badc);
    _mm_storeu_si128((__m128i *)(void *)(state + 4), hgfe);
}

#else

bool digest_content_has_shani(void)
{
    return false;
}

void digest_content_shani(uint32_t state[8], const uint8_t *bytes, size_t chunks)
{
    digest_content_portable(state, bytes, chunks);
}

#endif
