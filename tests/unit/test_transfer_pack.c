/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packing: what is sent lies in the parts as the plan says, in order, and is found again. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <time.h>

#include "transfer/pack.h"
#include "transfer/part.h"
#include "transfer_pack_made.h"

#define MIB ((uint32_t)1 << 20)

/* Every extent that is sent reads from its part what its image has there. */
static void check_plan(struct made *made)
{
    CLEANUP(cleanup_close) int directory = open(made->directory, O_RDONLY | O_DIRECTORY);
    struct transfer_part_reader *reader = NULL;
    uint8_t *bytes = malloc(MIB);
    struct error err = {""};

    assert_non_null(bytes);
    assert_int_equal(transfer_part_reader_new(directory, made->plan.parts, made->plan.part_count, 0,
                                              &reader, &err),
                     0);
    for (size_t i = 0; i < MADE_IMAGES; i++) {
        const struct transfer_image *image = &made->plan.images[i];
        uint64_t end = 0;

        for (size_t e = 0; e < image->extent_count; e++) {
            const struct transfer_extent *extent = &image->extents[e];

            assert_true(extent->offset >= end && extent->length > 0);
            end = extent->offset + extent->length;
            if (extent->kind != TRANSFER_SENT)
                continue;
            if (transfer_part_read(reader, extent->source, extent->from, bytes, extent->length,
                                   &err) < 0)
                fail_msg("%s", err.text);
            assert_memory_equal(bytes, made->content[i] + extent->offset, extent->length);
        }
    }
    transfer_part_reader_free(reader);
    free(bytes);
}

static uint64_t sent_bytes(const struct transfer_image *image)
{
    uint64_t bytes = 0;

    for (size_t e = 0; e < image->extent_count; e++)
        bytes += image->extents[e].kind == TRANSFER_SENT ? image->extents[e].length : 0;
    return bytes;
}

static void test_what_is_sent_is_found_again(void **unused)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {0};
    struct error err = {""};
    struct made made;

    (void)unused;
    made_new(&made);
    made_send(&made, 0, 0, MIB);
    made_extent(&made, 0,
                &(struct transfer_extent){.offset = MIB, .length = MIB, .kind = TRANSFER_ZERO});
    made_send(&made, 0, 2 * MIB, 3 * MADE_BLOCK);
    made_send(&made, 0, 3 * MIB, MIB);
    made_send(&made, 1, 5 * MADE_BLOCK, MIB / 2);
    made_send(&made, 1, 4 * MIB, MIB);
    made_extent(&made, 1,
                &(struct transfer_extent){.offset = 5 * MIB,
                                          .length = MADE_BLOCK,
                                          .source = 0,
                                          .from = 0,
                                          .kind = TRANSFER_REPLICATE});
    options = made_options(&made);
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), 0);
    assert_int_equal(result.raw_bytes, 3 * MIB + MIB / 2 + 3 * MADE_BLOCK);
    assert_int_equal(made.told, result.raw_bytes);
    assert_int_equal(made.total, result.raw_bytes);
    assert_false(made.went_back);
    assert_int_equal(result.parts, made.parts);
    assert_int_equal(made.parts, 4);
    assert_int_equal(made.plan.part_count, 4);
    assert_true(result.packed_bytes < result.raw_bytes / 2);
    assert_int_equal(result.level_lowest, 1);
    assert_int_equal(result.level_highest, 1);
    /* The sink had them in the order of the plan, which is that of the images. */
    assert_memory_equal(made.part, made.plan.parts, 4 * sizeof(made.part[0]));
    assert_int_equal(made.plan.images[0].extents[0].source, 0);
    assert_int_equal(made.plan.images[0].extents[1].kind, TRANSFER_ZERO);
    assert_int_equal(made.plan.images[0].extent_count, 5); /* the last is cut */
    assert_int_equal(made.plan.images[1].extent_count, 4); /* and so is the second here */
    assert_int_equal(sent_bytes(&made.plan.images[0]), 2 * MIB + 3 * MADE_BLOCK);
    assert_int_equal(sent_bytes(&made.plan.images[1]), MIB + MIB / 2);
    check_plan(&made);
    made_free(&made);
}

/* Random bytes in the first image: what level 9 has nothing to do with. */
static void make_noise(struct made *made)
{
    CLEANUP(cleanup_close)
    int fd = open(made->images_described[0].path, O_WRONLY);
    uint64_t state = 88172645463325252U;

    for (size_t i = 0; i < MADE_SIZE; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        made->content[0][i] = (uint8_t)state;
    }
    assert_int_equal(pwrite(fd, made->content[0], MADE_SIZE, 0), MADE_SIZE);
}

/* Levels of the lowest and the highest part, of so many pieces of each image. */
static void check_levels(unsigned noise, unsigned text, int level, int lowest, int highest)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {0};
    struct error err = {""};
    struct made made;

    made_new(&made);
    make_noise(&made);
    for (unsigned i = 0; i < noise; i++)
        made_send(&made, 0, i * MIB, i % 2 == 0 ? MIB : MIB - 5 * MADE_BLOCK);
    for (unsigned i = 0; i < text; i++)
        made_send(&made, 1, i * MIB, MIB - MADE_BLOCK);
    options = made_options(&made);
    options.part_bytes = 6 * MIB;
    options.level = level;
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), 0);
    assert_int_equal(result.level_lowest, lowest);
    assert_int_equal(result.level_highest, highest);
    check_plan(&made);
    made_free(&made);
}

static void test_noise_is_not_compressed_for_long(void **unused)
{
    (void)unused;
    check_levels(6, 0, 9, 1, 1);
    check_levels(7, 7, 9, 1, 9);
    check_levels(3, 3, 9, 9, 9); /* half of the part: there is something to be gained */
    check_levels(0, 6, 9, 9, 9);
    check_levels(6, 0, 3, 3, 3);
    check_levels(3, 0, 9, 9, 9); /* a short one */
}

/* A line that takes a quarter of a second for each part. */
static int slow_sink(void *context, const struct transfer_packed *packed, struct error *err)
{
    nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
    return made_sink(context, packed, err);
}

static int highest_on_slow_line(int level)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {0};
    struct error err = {""};
    struct made made;

    made_new(&made);
    for (size_t i = 0; i < MADE_IMAGES; i++)
        made_send(&made, i, 0, 7 * MIB);
    options = made_options(&made);
    options.level = level;
    options.threads = 1;
    options.sink = slow_sink;
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), 0);
    assert_int_equal(result.level_lowest, 3);
    check_plan(&made);
    made_free(&made);
    return result.level_highest;
}

static void test_a_slow_line_gets_a_higher_level(void **unused)
{
    (void)unused;
    assert_true(highest_on_slow_line(0) > 3);
    assert_int_equal(highest_on_slow_line(3), 3);
}

/* Cut only between blocks, so that each part's blocks have digests, and they are the right ones. */
static void test_digests_are_those_of_the_blocks(void **unused)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {0};
    struct digest_plan digests;
    struct error err = {""};
    struct digest digest;
    struct made made;
    size_t block = 0;

    (void)unused;
    made_new(&made);
    made_send(&made, 0, 0, MIB);
    made_send(&made, 0, MIB, MIB);
    made.plan.kind = DIGEST_KEYED_SHA256;
    options = made_options(&made);
    options.part_bytes = 1300000; /* no multiple of blocks, and more than is read at once */
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), -EINVAL);
    options.key = made.key;
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), 0);
    assert_int_equal(digest_plan_init(&digests, made.plan.kind, MADE_BLOCK, made.key, &err), 0);
    assert_int_equal(made.parts, 2);
    for (size_t i = 0; i < made.parts; i++) {
        assert_int_equal(made.part[i].raw_length, (i == 0 ? 317 : 512 - 317) * MADE_BLOCK);
        assert_int_equal(made.digest_counts[i], made.part[i].raw_length / MADE_BLOCK);
        for (size_t j = 0; j < made.digest_counts[i]; j++, block++) {
            digest_blocks(&digests, made.content[0] + block * MADE_BLOCK, 1, &digest);
            assert_memory_equal(&digest, &made.digests[i][j], sizeof(digest));
        }
    }
    assert_int_equal(block, 2 * MIB / MADE_BLOCK);
    check_plan(&made);
    made_free(&made);
}

/* Pieces that are no blocks go into parts of their own, which have no digests. */
static void test_odd_pieces_have_parts_of_their_own(void **unused)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {0};
    struct error err = {""};
    struct made made;

    (void)unused;
    made_new(&made);
    made_send(&made, 0, 512, 1024);
    made_send(&made, 0, MADE_BLOCK, 2 * MADE_BLOCK);
    made_send(&made, 1, 0, MADE_BLOCK);
    made_send(&made, 1, 2 * MADE_BLOCK, MADE_BLOCK + 512);
    made_send(&made, 1, 4 * MADE_BLOCK + 512, MADE_BLOCK);
    options = made_options(&made);
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), 0);
    assert_int_equal(made.parts, 2);
    assert_int_equal(made.digest_counts[0], 3);
    assert_int_equal(made.part[1].raw_length, 1024 + 2 * MADE_BLOCK + 512);
    assert_null(made.digests[1]);
    check_plan(&made);
    made_free(&made);
}

/* The plan has parts already, one of which turns out to be the same. */
static void test_a_part_that_is_there_is_not_listed_twice(void **unused)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {0};
    struct error err = {""};
    struct made made;

    (void)unused;
    made_new(&made);
    made_send(&made, 0, 0, MIB);
    options = made_options(&made);
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), 0);
    assert_int_equal(made.plan.part_count, 1);
    made_send(&made, 0, MIB, MIB);
    made_send(&made, 1, 0, MIB);
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), 0);
    assert_int_equal(result.parts, 2);
    assert_int_equal(made.plan.part_count, 3);
    assert_int_equal(made.plan.images[0].extents[0].source, 0);
    assert_int_equal(made.plan.images[0].extents[1].source, 1);
    made.plan.images[0].extents[1].source = UINT32_MAX;
    made.told = 0;
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), 0);
    assert_int_equal(made.plan.part_count, 3);
    assert_int_equal(made.plan.images[0].extents[1].source, 1);
    check_plan(&made);
    made_free(&made);
}

static void test_nothing_to_send(void **unused)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {.parts = 9};
    struct error err = {""};
    struct made made;

    (void)unused;
    made_new(&made);
    made_extent(&made, 0, &(struct transfer_extent){.length = MIB, .kind = TRANSFER_ZERO});
    options = made_options(&made);
    assert_int_equal(transfer_pack(&made.plan, (struct image *[MADE_IMAGES]){NULL, NULL}, &options,
                                   &result, &err),
                     0);
    assert_int_equal(result.parts + result.raw_bytes + result.packed_bytes + made.parts, 0);
    made_free(&made);
}

/* ---- failures: the plan is as it was ---- */

static void make_twelve(struct made *made)
{
    made_new(made);
    for (uint32_t i = 0; i < 6; i++)
        made_send(made, 0, (uint64_t)i * MIB, MIB);
    for (uint32_t i = 0; i < 6; i++)
        made_send(made, 1, (uint64_t)i * MIB, MIB);
}

static void check_untouched(const struct made *made)
{
    assert_int_equal(made->plan.part_count, 0);
    for (size_t i = 0; i < MADE_IMAGES; i++) {
        assert_int_equal(made->plan.images[i].extent_count, 6);
        for (size_t e = 0; e < 6; e++)
            assert_int_equal(made->plan.images[i].extents[e].source, UINT32_MAX);
    }
}

static void test_a_sink_that_fails_ends_it(void **unused)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {.parts = 99};
    struct error err = {""};
    struct made made;

    (void)unused;
    make_twelve(&made);
    made.fail_at = 5;
    options = made_options(&made);
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), -ENOSPC);
    assert_string_equal(err.text, "the line is cut");
    assert_int_equal(made.parts, 5);
    assert_int_equal(result.parts, 99);
    check_untouched(&made);
    made_free(&made);
}

static void test_it_stops_when_it_is_asked_to(void **unused)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {0};
    struct error err = {""};
    struct made made;

    (void)unused;
    make_twelve(&made);
    made.stop_at = 3;
    options = made_options(&made);
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), -ECANCELED);
    assert_int_equal(made.parts, 3);
    check_untouched(&made);
    made_free(&made);
}

/* In a thread that compresses. */
static void test_an_image_that_cannot_be_read(void **unused)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {0};
    struct error err = {""};
    struct made made;

    (void)unused;
    make_twelve(&made);
    assert_int_equal(truncate(made.plan.images[1].path, MIB), 0);
    options = made_options(&made);
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), -ESTALE);
    assert_non_null(strstr(err.text, made.plan.images[1].path));
    check_untouched(&made);
    made_free(&made);
}

static void test_a_plan_that_sends_what_is_not_there(void **unused)
{
    struct transfer_pack_options options;
    struct transfer_pack_result result = {0};
    struct error err = {""};
    struct made made;

    (void)unused;
    make_twelve(&made);
    options = made_options(&made);
    made.plan.images[1].extents[5].offset = MADE_SIZE - MADE_BLOCK;
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), -EINVAL);
    made.plan.images[1].extents[5].offset = UINT64_MAX - MADE_BLOCK + 1;
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), -EINVAL);
    made.plan.images[1].extents[5] = made.plan.images[1].extents[4];
    made.plan.images[1].extents[5].length = 0;
    assert_int_equal(transfer_pack(&made.plan, made.images, &options, &result, &err), -EINVAL);
    made.plan.images[1].extents[5].offset = 5 * MIB;
    made.plan.images[1].extents[5].length = MIB;
    assert_int_equal(transfer_pack(&made.plan, (struct image *[MADE_IMAGES]){made.images[0], NULL},
                                   &options, &result, &err),
                     -EINVAL);
    assert_int_equal(made.parts, 0);
    check_untouched(&made);
    made_free(&made);
}

/* All threads have the same to do, and parts are never small where there is much. */
static void test_how_large_parts_are(void **unused)
{
    const uint64_t mib = MIB;

    (void)unused;
    assert_int_equal(pack_part_bytes(0, 2), 64 * mib);
    assert_int_equal(pack_part_bytes(10 * mib, 2), 32 * mib);
    assert_int_equal(pack_part_bytes(100 * mib, 2), 50 * mib);
    assert_int_equal(pack_part_bytes(100 * mib + 1, 2), 50 * mib + 65536);
    assert_int_equal(pack_part_bytes(129 * mib, 2), 33 * mib - 3 * mib / 4); /* four of them */
    assert_int_equal(pack_part_bytes(100 * mib, 8), 32 * mib);
    assert_int_equal(pack_part_bytes(6400 * mib, 2), 64 * mib);
    assert_int_equal(pack_part_bytes(UINT64_MAX / 2, 1), 64 * mib);
}

/* ---- one part ---- */

static void test_every_level_makes_one_frame(void **unused)
{
    const int levels[] = {TRANSFER_LEVEL_STORED, -50, -5, 1, 3, 9, 19, 22};
    const size_t lengths[] = {1, 512, 128 << 10, (128 << 10) + 1, 700001};
    struct pack_compressor *compressor = NULL;
    struct part_decompressor *decompressor = NULL;
    uint8_t *raw = malloc(700001), *got = malloc(700001);
    struct error err = {""};

    (void)unused;
    assert_true(raw != NULL && got != NULL);
    made_fill(raw, 700001, 5);
    assert_int_equal(pack_compressor_new(&compressor, &err), 0);
    assert_int_equal(part_decompressor_new(&decompressor, &err), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(levels) * ARRAY_LENGTH(lengths); i++) {
        size_t length = lengths[i % ARRAY_LENGTH(lengths)];
        struct transfer_part part = {.raw_length = length};
        int level = levels[i / ARRAY_LENGTH(lengths)];
        uint8_t *packed = NULL;

        assert_int_equal(pack_compressor_begin(compressor, level, length, &err), 0);
        for (size_t at = 0; at < length; at += 10000)
            assert_int_equal(pack_compressor_add(compressor, raw + at,
                                                 length - at < 10000 ? length - at : 10000, &err),
                             0);
        assert_int_equal(pack_compressor_add(compressor, raw, 1, &err), -EINVAL);
        assert_int_equal(pack_compressor_finish(compressor, &packed, (size_t *)&part.length, &err),
                         0);
        transfer_sha256(packed, (size_t)part.length, part.sha256);
        memset(got, 0xaa, 700001);
        if (part_decode(decompressor, &part, packed, (size_t)part.length, got, &err) < 0)
            fail_msg("level %d, %zu bytes: %s", level, length, err.text);
        assert_memory_equal(got, raw, length);
        free(packed);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(levels); i++) {
        assert_int_equal(pack_compressor_begin(compressor, levels[i], 2, &err), 0);
        assert_int_equal(pack_compressor_add(compressor, raw, 1, &err), 0);
        assert_int_equal(pack_compressor_finish(compressor, &got, &(size_t){0}, &err), -EINVAL);
    }
    assert_int_equal(pack_compressor_begin(compressor, 1, TRANSFER_PART_MAX_RAW + 1, &err),
                     -EINVAL);
    pack_compressor_free(compressor);
    part_decompressor_free(decompressor);
    free(raw);
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_sent_is_found_again),
        cmocka_unit_test(test_noise_is_not_compressed_for_long),
        cmocka_unit_test(test_a_slow_line_gets_a_higher_level),
        cmocka_unit_test(test_digests_are_those_of_the_blocks),
        cmocka_unit_test(test_odd_pieces_have_parts_of_their_own),
        cmocka_unit_test(test_a_part_that_is_there_is_not_listed_twice),
        cmocka_unit_test(test_nothing_to_send),
        cmocka_unit_test(test_a_sink_that_fails_ends_it),
        cmocka_unit_test(test_it_stops_when_it_is_asked_to),
        cmocka_unit_test(test_an_image_that_cannot_be_read),
        cmocka_unit_test(test_a_plan_that_sends_what_is_not_there),
        cmocka_unit_test(test_how_large_parts_are),
        cmocka_unit_test(test_every_level_makes_one_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
