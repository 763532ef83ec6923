/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a digest is the same for every block: state before it, padding behind it. */

#include "setmov/digest.h"

#include <endian.h>
#include <errno.h>

#include "digest/lanes.h"
#include "digest/md5_steps.h"

#define CHUNK_BYTES 64

#define CONSTANT_OF_STEP(function, a, b, c, d, step, index, constant, rotation) constant,
const uint32_t digest_md5_constants[64] = {MD5_STEPS(CONSTANT_OF_STEP)};

const uint32_t digest_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t md5_start[8] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
static const uint32_t sha256_start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t rotate_right(uint32_t value, int bits)
{
    return value >> bits | value << (32 - bits);
}

/* Behind whole chunks the padding is a chunk: a one bit, zeroes, the length in bits. */
static void md5_padding(uint32_t length, uint32_t ret_padding[64])
{
    const uint32_t words[16] = {[0] = 0x80, [14] = 8 * length};

#define PADDING_OF_STEP(function, a, b, c, d, step, index, constant, rotation)                     \
    ret_padding[step] = (constant) + words[index];
    MD5_STEPS(PADDING_OF_STEP)
}

/* From 16 words of a chunk what each of the 64 rounds adds. */
static void sha256_schedule(const uint32_t words[16], uint32_t ret_sums[64])
{
    uint32_t w[64];

    memcpy(w, words, 16 * sizeof(w[0]));
    for (size_t i = 16; i < 64; i++) {
        uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ (w[i - 2] >> 10);

        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    for (size_t i = 0; i < 64; i++)
        ret_sums[i] = digest_sha256_constants[i] + w[i];
}

static void sha256_padding(uint32_t length, uint32_t ret_padding[64])
{
    const uint32_t words[16] = {[0] = 0x80000000, [15] = 8 * length};

    sha256_schedule(words, ret_padding);
}

/* SHA-256's state after the key block. */
static void sha256_keyed(const uint8_t key[DIGEST_KEY_BYTES], uint32_t ret_state[8])
{
    uint32_t words[16] = {0}, sums[64], s[8];

    memcpy(words, key, DIGEST_KEY_BYTES);
    for (size_t i = 0; i < 16; i++)
        words[i] = be32toh(words[i]);
    sha256_schedule(words, sums);
    memcpy(s, sha256_start, sizeof(s));
    for (size_t i = 0; i < 64; i++) {
        uint32_t sum_e = rotate_right(s[4], 6) ^ rotate_right(s[4], 11) ^ rotate_right(s[4], 25);
        uint32_t sum_a = rotate_right(s[0], 2) ^ rotate_right(s[0], 13) ^ rotate_right(s[0], 22);
        uint32_t first = s[7] + sums[i] + sum_e + ((s[4] & s[5]) ^ (~s[4] & s[6]));
        uint32_t second = sum_a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

        memmove(s + 1, s, 7 * sizeof(s[0]));
        s[4] += first;
        s[0] = first + second;
    }
    for (size_t i = 0; i < 8; i++)
        ret_state[i] = sha256_start[i] + s[i];
    explicit_bzero(words, sizeof(words));
    explicit_bzero(sums, sizeof(sums));
}

int digest_plan_init(struct digest_plan *plan, enum digest_kind kind, uint32_t block_size,
                     const uint8_t key[DIGEST_KEY_BYTES], struct error *err)
{
    if (block_size < DIGEST_BLOCK_MIN || block_size > DIGEST_BLOCK_MAX ||
        (block_size & (block_size - 1)) != 0)
        return error_set(err, -EINVAL, "block size %u: not a power of two from %d to %d",
                         block_size, DIGEST_BLOCK_MIN, DIGEST_BLOCK_MAX);
    if (kind != DIGEST_MD5 && kind != DIGEST_SHA256 && kind != DIGEST_KEYED_SHA256)
        return error_set(err, -EINVAL, "digest %d: unknown", (int)kind);
    if ((kind == DIGEST_KEYED_SHA256) != (key != NULL))
        return error_set(err, -EINVAL, "a keyed digest needs a key, and no other has one");

    *plan = (struct digest_plan){.kind = kind, .block_size = block_size};
    if (kind == DIGEST_MD5) {
        memcpy(plan->state, md5_start, sizeof(plan->state));
        md5_padding(block_size, plan->padding);
    } else if (key == NULL) {
        memcpy(plan->state, sha256_start, sizeof(plan->state));
        sha256_padding(block_size, plan->padding);
    } else {
        sha256_keyed(key, plan->state);
        sha256_padding(CHUNK_BYTES + block_size, plan->padding);
    }
    return 0;
}
