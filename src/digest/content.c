/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 (FIPS 180-4) of one long message that comes piece by piece. */

#include <endian.h>
#include <string.h>

#include "digest/content.h"
#include "digest/lanes.h"

#define CHUNK ((size_t)64)

static uint32_t rotate(uint32_t value, unsigned int bits)
{
    return value >> bits | value << (32 - bits);
}

/* One round; the names of the state move on by one from each to the next. */
static void round_of(uint32_t s[8], uint32_t sum)
{
    uint32_t first = s[7] + sum + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
                     (s[6] ^ (s[4] & (s[5] ^ s[6])));
    uint32_t second = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
                      ((s[0] & s[1]) | (s[2] & (s[0] | s[1])));

    memmove(s + 1, s, 7 * sizeof(s[0]));
    s[4] += first;
    s[0] = first + second;
}

void digest_content_portable(uint32_t state[8], const uint8_t *bytes, size_t chunks)
{
    for (; chunks > 0; chunks--, bytes += CHUNK) {
        uint32_t w[64], s[8];

        memcpy(w, bytes, CHUNK);
        memcpy(s, state, sizeof(s));
        for (size_t i = 0; i < 64; i++) {
            if (i < 16) {
                w[i] = be32toh(w[i]);
            } else {
                uint32_t old = w[i - 15], late = w[i - 2];

                w[i] = w[i - 16] + (rotate(old, 7) ^ rotate(old, 18) ^ old >> 3) + w[i - 7] +
                       (rotate(late, 17) ^ rotate(late, 19) ^ late >> 10);
            }
            round_of(s, digest_sha256_constants[i] + w[i]);
        }
        for (size_t i = 0; i < 8; i++)
            state[i] += s[i];
    }
}

void digest_content_init(struct digest_content *content)
{
    struct digest_plan plan;

    /* Its state before the first chunk is SHA-256's own. */
    (void)digest_plan_init(&plan, DIGEST_SHA256, DIGEST_BLOCK_MIN, NULL, NULL);
    *content = (struct digest_content){.run = digest_content_has_shani() ? digest_content_shani
                                                                         : digest_content_portable};
    memcpy(content->state, plan.state, sizeof(content->state));
}

void digest_content_add(struct digest_content *content, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    size_t waiting = (size_t)(content->length % CHUNK);

    if (length == 0)
        return;
    content->length += length;
    if (waiting > 0) {
        size_t missing = CHUNK - waiting < length ? CHUNK - waiting : length;

        memcpy(content->waiting + waiting, at, missing);
        at += missing;
        length -= missing;
        if (waiting + missing == CHUNK)
            content->run(content->state, content->waiting, 1);
    }
    content->run(content->state, at, length / CHUNK);
    /* What waits from before is only there where nothing is left of `length`. */
    if (length % CHUNK > 0)
        memcpy(content->waiting, at + length / CHUNK * CHUNK, length % CHUNK);
}

void digest_content_value(const struct digest_content *content, uint8_t ret_value[32])
{
    static const uint8_t padding[CHUNK] = {0x80};
    struct digest_content last = *content;
    uint64_t bits = htobe64(content->length * 8);
    size_t waiting = (size_t)(content->length % CHUNK);

    digest_content_add(&last, padding, (waiting < 56 ? 56 : 120) - waiting);
    digest_content_add(&last, &bits, sizeof(bits));
    for (size_t i = 0; i < 8; i++) {
        uint32_t word = htobe32(last.state[i]);

        memcpy(ret_value + i * sizeof(word), &word, sizeof(word));
    }
}
