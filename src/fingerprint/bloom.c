/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The split-block Bloom filter of a fingerprint; setmov/fingerprint.h says how it is laid out. */

#include "setmov/fingerprint.h"

#define WORDS (FINGERPRINT_BLOOM_BLOCK / 8) /* of a block; one bit of each is a key's */

size_t fingerprint_bloom_bytes(uint64_t keys)
{
    uint64_t per_block = UINT64_C(8) * FINGERPRINT_BLOOM_BLOCK;
    uint64_t bits = keys * FINGERPRINT_BLOOM_BITS_PER_KEY; /* keys < 2^40 */

    return (size_t)(bits / per_block + 1) * FINGERPRINT_BLOOM_BLOCK;
}

void fingerprint_bloom_add(uint8_t *bloom, size_t bytes, const struct digest *digest)
{
    uint8_t *block = bloom + fingerprint_bloom_block(bytes, digest);
    uint64_t bits = fingerprint_bloom_bits(digest);

    for (size_t i = 0; i < WORDS; i++, bits >>= 6)
        block[i * 8 + (bits >> 3 & 7)] |= (uint8_t)(1U << (bits & 7));
}
