/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checksum of heads and sections. Eight lanes take eight little-endian
 * words of 64 bits in turn; one step is lane = rotate(lane ^ word) * odd, which
 * loses nothing: bytes that differ in one word never have equal sums. Lanes do
 * not wait for each other, so a plain CPU does it at the speed of memory.
 */

#include "setmov/fingerprint.h"

#define LANES      8
#define LANE_BYTES (LANES * sizeof(uint64_t))
#define ODD        UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / golden ratio */

static inline uint64_t step(uint64_t lane, uint64_t word)
{
    lane ^= word;
    return (lane << 29 | lane >> 35) * ODD;
}

/* Whole rows of words; `length` is a multiple of LANE_BYTES. */
static void add_rows(uint64_t lanes[LANES], const uint8_t *bytes, size_t length)
{
    uint64_t l0 = lanes[0], l1 = lanes[1], l2 = lanes[2], l3 = lanes[3];
    uint64_t l4 = lanes[4], l5 = lanes[5], l6 = lanes[6], l7 = lanes[7];

    for (const uint8_t *end = bytes + length; bytes < end; bytes += LANE_BYTES) {
        uint64_t words[LANES];

        memcpy(words, bytes, sizeof(words));
        l0 = step(l0, le64toh(words[0]));
        l1 = step(l1, le64toh(words[1]));
        l2 = step(l2, le64toh(words[2]));
        l3 = step(l3, le64toh(words[3]));
        l4 = step(l4, le64toh(words[4]));
        l5 = step(l5, le64toh(words[5]));
        l6 = step(l6, le64toh(words[6]));
        l7 = step(l7, le64toh(words[7]));
    }
    memcpy(lanes, (uint64_t[]){l0, l1, l2, l3, l4, l5, l6, l7}, LANE_BYTES);
}

void fingerprint_checksum_init(struct fingerprint_checksum *sum)
{
    memset(sum, 0, sizeof(*sum));
    for (uint64_t i = 0; i < LANES; i++)
        sum->lanes[i] = (i + 1) * ODD;
}

void fingerprint_checksum_add(struct fingerprint_checksum *sum, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    size_t waiting = sum->length % LANE_BYTES, whole;

    if (length == 0)
        return;
    sum->length += length;
    if (waiting > 0) {
        size_t taken = LANE_BYTES - waiting < length ? LANE_BYTES - waiting : length;

        memcpy(sum->waiting + waiting, at, taken);
        at += taken;
        length -= taken;
        if (waiting + taken < LANE_BYTES)
            return;
        add_rows(sum->lanes, sum->waiting, LANE_BYTES);
    }
    whole = length - length % LANE_BYTES;
    add_rows(sum->lanes, at, whole);
    memcpy(sum->waiting, at + whole, length - whole);
}

uint64_t fingerprint_checksum_value(const struct fingerprint_checksum *sum)
{
    size_t waiting = sum->length % LANE_BYTES;
    uint64_t lanes[LANES], value = sum->length * ODD;
    uint8_t last[LANE_BYTES] = {0};

    memcpy(lanes, sum->lanes, sizeof(lanes));
    if (waiting > 0) {
        memcpy(last, sum->waiting, waiting);
        add_rows(lanes, last, LANE_BYTES);
    }
    for (size_t i = 0; i < LANES; i++)
        value = step(value, lanes[i]);
    /* The last word reached only the upper bits yet. */
    value = (value ^ value >> 32) * ODD;
    return value ^ value >> 29;
}

uint64_t fingerprint_checksum(const void *bytes, size_t length)
{
    struct fingerprint_checksum sum;

    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, length);
    return fingerprint_checksum_value(&sum);
}
