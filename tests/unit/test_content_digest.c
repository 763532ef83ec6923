/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 of long messages, piece by piece, held against OpenSSL's. */
#include "digest/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#define MOST 5000

static uint8_t message[MOST];

static void fill(void)
{
    uint32_t number = 1;

    for (size_t i = 0; i < sizeof(message); i++) {
        number = number * 1664525 + 1013904223;
        message[i] = (uint8_t)(number >> 24);
    }
}

static void agrees(const struct digest_content *content, size_t length)
{
    uint8_t wanted[32], made[32];

    SHA256(message, length, wanted);
    digest_content_value(content, made);
    assert_memory_equal(made, wanted, sizeof(wanted));
}

static void every_length_in_one_piece(void **state)
{
    (void)state;
    fill();
    for (size_t length = 0; length <= 400; length++) {
        struct digest_content content;

        digest_content_init(&content);
        digest_content_add(&content, message, length);
        agrees(&content, length);
    }
}

static void pieces_of_every_length(void **state)
{
    (void)state;
    fill();
    for (size_t piece = 1; piece <= 200; piece++) {
        struct digest_content content;
        size_t length = 0;

        digest_content_init(&content);
        for (; length + piece <= 1000; length += piece) {
            digest_content_add(&content, message + length, piece);
            digest_content_add(&content, message, 0);
        }
        agrees(&content, length);
    }
}

/* The value may be asked for in between. */
static void pieces_of_any_length(void **state)
{
    struct digest_content content;
    size_t length = 0, piece = 1;

    (void)state;
    fill();
    digest_content_init(&content);
    while (length + piece <= MOST) {
        digest_content_add(&content, message + length, piece);
        length += piece;
        agrees(&content, length);
        piece = (piece * 7 + 3) % 331;
    }
    assert_true(length > MOST - 400);
}

/* More bits than 32 can count: its length stands in the last eight bytes, most significant first. */
static void long_message(void **state)
{
    static const uint8_t last[64] = {[0] = 0x80, [59] = 8, [62] = 0x02};
    struct digest_content content, padded;
    uint8_t made[32];

    (void)state;
    fill();
    digest_content_init(&content);
    digest_content_add(&content, message, 64);
    padded = content;
    content.length = ((uint64_t)1 << 32) + 64;
    digest_content_value(&content, made);
    digest_content_add(&padded, last, sizeof(last));
    for (size_t i = 0; i < sizeof(made); i++)
        assert_int_equal(made[i], (uint8_t)(padded.state[i / 4] >> (24 - 8 * (i % 4))));
}

static void both_ways_agree(void **state)
{
    (void)state;
    if (!digest_content_has_shani())
        skip();
    fill();
    for (size_t chunks = 0; chunks <= 70; chunks++) {
        uint32_t one[8] = {1, 2, 3, 4, 5, 6, 7, 8}, other[8];

        memcpy(other, one, sizeof(one));
        digest_content_portable(one, message + chunks % 3, chunks);
        digest_content_shani(other, message + chunks % 3, chunks);
        assert_memory_equal(one, other, sizeof(one));
    }
}

/* The portable one on its own, since the other is used where there is one. */
static void portable_alone(void **state)
{
    struct digest_content content;

    (void)state;
    fill();
    digest_content_init(&content);
    digest_content_portable(content.state, message, 64);
    content.length = 64 * 64;
    agrees(&content, 64 * 64);
}

static int runs;

static void count_run(uint32_t state[8], const uint8_t *bytes, size_t chunks)
{
    runs++;
    digest_content_portable(state, bytes, chunks);
}

/* The CPU is asked at the beginning, never again. */
static void the_way_is_chosen_once(void **state)
{
    struct digest_content content;

    (void)state;
    fill();
    digest_content_init(&content);
    assert_ptr_equal(content.run,
                     digest_content_has_shani() ? digest_content_shani : digest_content_portable);
    content.run = count_run;
    for (size_t i = 0; i < 4; i++)
        digest_content_add(&content, message + 64 * i, 64);
    assert_int_equal(runs, 4);
    agrees(&content, 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_in_one_piece), cmocka_unit_test(pieces_of_every_length),
        cmocka_unit_test(pieces_of_any_length),      cmocka_unit_test(long_message),
        cmocka_unit_test(both_ways_agree),           cmocka_unit_test(portable_alone),
        cmocka_unit_test(the_way_is_chosen_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
