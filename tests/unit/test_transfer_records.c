/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies beside a plan: names, contents, the hook's progress, and what it could not use. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "setmov/base_bytes.h"
#include "setmov/fingerprint.h"
#include "setmov/transfer_plan.h"

/* ---- names ---- */

static void test_names(void **unused)
{
    static const char *const good[] = {"a", "0", "vm-1", "A-", "550e8400-e29b-41d4-a716"};
    static const char *const bad[] = {"",    "-a",  ".",    "..",   "a/b",  "a.b",
                                      "a b", "a_b", "a\nb", "\xc3", "/abs", "a\x7f"};
    char name[102];

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        assert_true(transfer_name_is_valid(good[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_false(transfer_name_is_valid(bad[i]));
    memset(name, 'x', sizeof(name));
    name[101] = '\0';
    assert_false(transfer_name_is_valid(name));
    name[100] = '\0';
    assert_true(transfer_name_is_valid(name));
}

static void test_names_of_parts(void **unused)
{
    uint8_t sha256[TRANSFER_HASH_BYTES] = {0}, again[TRANSFER_HASH_BYTES] = {0};
    char name[TRANSFER_PART_NAME_BYTES], longer[TRANSFER_PART_NAME_BYTES + 1];

    (void)unused;
    for (size_t i = 0; i < sizeof(sha256); i++)
        sha256[i] = (uint8_t)(i * 37 + 0xa0);
    transfer_part_name(sha256, name);
    assert_int_equal(strlen(name), sizeof(name) - 1);
    assert_true(strncmp(name, "part-a0c5ea0f", 13) == 0);
    assert_true(transfer_part_name_parse(name, again));
    assert_memory_equal(sha256, again, sizeof(sha256));
    assert_true(string_format(longer, sizeof(longer), "%s0", name));
    assert_false(transfer_part_name_parse(longer, again));
    for (size_t i = 0; i < strlen(name); i++) {
        char kept = name[i];

        name[i] = '\0';
        assert_false(transfer_part_name_parse(name, again));
        name[i] = 'X';
        assert_false(transfer_part_name_parse(name, again));
        name[i] = 'A'; /* a part has one name */
        assert_false(transfer_part_name_parse(name, again));
        name[i] = kept;
    }
    assert_false(transfer_part_name_parse("", again));
}

/* ---- content ---- */

static void hex(const uint8_t *bytes, size_t count, char *ret_text)
{
    for (size_t i = 0; i < count; i++)
        assert_true(string_format(ret_text + 2 * i, 3, "%02x", bytes[i]));
}

static void value_of(uint64_t size, const uint8_t *bytes, char ret_text[65])
{
    struct transfer_content content;
    uint8_t value[TRANSFER_HASH_BYTES];

    assert_int_equal(transfer_content_init(&content, size), 0);
    for (size_t i = 0; bytes != NULL && i < content.count; i++) {
        uint64_t at = (uint64_t)i * TRANSFER_PIECE_BYTES, left = size - at;

        transfer_content_piece(&content, i, bytes + at,
                               left < TRANSFER_PIECE_BYTES ? (size_t)left : TRANSFER_PIECE_BYTES);
    }
    transfer_content_value(&content, value);
    transfer_content_release(&content);
    transfer_content_release(&content);
    hex(value, sizeof(value), ret_text);
}

/* Values of Python's hashlib. */
static void test_contents(void **unused)
{
    char text[65], again[65];
    uint8_t *bytes = calloc(1, 3 * TRANSFER_PIECE_BYTES), sha256[TRANSFER_HASH_BYTES];

    (void)unused;
    assert_non_null(bytes);
    value_of(0, NULL, text);
    assert_string_equal(text, "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc");
    value_of(2 * TRANSFER_PIECE_BYTES + 1000, NULL, text);
    assert_string_equal(text, "cebf6377ac133e381c4b0644b1866573f538ced86fdf28dcc42c21d131eb78d4");
    value_of(2 * TRANSFER_PIECE_BYTES + 1000, bytes, again);
    assert_string_equal(text, again);
    for (size_t i = 0; i < 3 * TRANSFER_PIECE_BYTES; i++)
        bytes[i] = (uint8_t)(i % 251);
    value_of(2 * TRANSFER_PIECE_BYTES + 1000, bytes, text);
    assert_string_equal(text, "826d1139650d1e487c60946067391e8564bbe02960d9b010545e1e3ae091a70d");
    value_of(2 * TRANSFER_PIECE_BYTES, bytes, text);
    assert_string_equal(text, "c0f8431a29bfb0984c4a47684b661c865d6c7b81b567ba14cc7cf8ca5d74c002");
    transfer_sha256("abc", 3, sha256);
    hex(sha256, sizeof(sha256), text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    free(bytes);
}

static void test_an_image_that_is_too_large_for_memory(void **unused)
{
    struct transfer_content content;

    (void)unused;
    if (getenv("SETMOV_SANITIZED") != NULL)
        skip(); /* sanitizers end the program there */
    assert_int_equal(transfer_content_init(&content, UINT64_MAX), -ENOMEM);
}

/* ---- progress ---- */

static struct transfer_progress make_progress(void)
{
    struct transfer_progress progress = {TRANSFER_REFUSED, UINT64_C(1) << 40, UINT64_MAX, 7, ""};

    memset(progress.message, 'm', sizeof(progress.message) - 1);
    return progress;
}

static void test_progress(void **unused)
{
    struct transfer_progress progress = make_progress(), again = {0};
    uint8_t bytes[TRANSFER_PROGRESS_BYTES];

    (void)unused;
    transfer_progress_encode(&progress, bytes);
    assert_int_equal(transfer_progress_decode(bytes, sizeof(bytes), &again), 0);
    assert_int_equal(again.phase, TRANSFER_REFUSED);
    assert_true(again.bytes_done == UINT64_C(1) << 40 && again.bytes_total == UINT64_MAX);
    assert_int_equal(again.failed, 7);
    assert_string_equal(again.message, progress.message);
    assert_int_equal(transfer_progress_decode(bytes, sizeof(bytes) - 1, &again), -EINVAL);
    assert_int_equal(transfer_progress_decode(bytes, 0, &again), -EINVAL);
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(transfer_progress_decode(bytes, sizeof(bytes), &again), -EINVAL);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* Two records, one half each: torn. */
static void test_torn_progress(void **unused)
{
    struct transfer_progress progress = make_progress(), again = {.failed = 99};
    uint8_t before[TRANSFER_PROGRESS_BYTES], after[TRANSFER_PROGRESS_BYTES];

    (void)unused;
    transfer_progress_encode(&progress, before);
    progress.bytes_done++;
    transfer_progress_encode(&progress, after);
    memcpy(after, before, sizeof(after) / 2);
    assert_int_equal(transfer_progress_decode(after, sizeof(after), &again), -EINVAL);
    assert_int_equal(again.failed, 99);
}

static void reseal(uint8_t *bytes)
{
    put_u64(bytes + 504, fingerprint_checksum(bytes, 504));
}

static void test_progress_that_lies(void **unused)
{
    struct transfer_progress progress = {TRANSFER_BUILDING, 1, 2, 3, "one line"}, again;
    uint8_t bytes[TRANSFER_PROGRESS_BYTES];

    (void)unused;
    transfer_progress_encode(&progress, bytes);
    put_u32(bytes + 12, 5);
    reseal(bytes);
    assert_int_equal(transfer_progress_decode(bytes, sizeof(bytes), &again), -EINVAL);
    put_u32(bytes + 12, 4);
    memset(bytes + 40, 'x', 400);
    reseal(bytes);
    assert_int_equal(transfer_progress_decode(bytes, sizeof(bytes), &again), -EINVAL);
    memcpy(bytes + 40, "a\nb\x1b[2J\0", 8);
    reseal(bytes);
    assert_int_equal(transfer_progress_decode(bytes, sizeof(bytes), &again), 0);
    assert_string_equal(again.message, "a b [2J");
}

/* ---- what failed ---- */

struct failing {
    struct transfer_image images[2];
    struct transfer_plan plan;
};

static void make_failing(struct failing *failing)
{
    *failing = (struct failing){.images = {{.extent_count = 10}, {.extent_count = 3}}};
    failing->plan =
        (struct transfer_plan){.images = failing->images, .image_count = 2, .part_count = 5};
}

static void test_failed_extents(void **unused)
{
    struct transfer_failed_extent extents[] = {{1, 2}, {0, 9}, {1, 0}, {0, 9}};
    uint32_t parts[] = {4, 0, 4};
    struct transfer_failed failed = {
        .extents = extents, .count = 4, .parts = parts, .part_count = 3};
    struct transfer_failed again = {0}, none = {0};
    struct failing failing;
    struct error err = {""};
    uint8_t *bytes = NULL;
    size_t length = 0;

    (void)unused;
    make_failing(&failing);
    assert_int_equal(transfer_failed_encode(&failed, &bytes, &length, &err), 0);
    assert_int_equal(transfer_failed_decode(bytes, length, &failing.plan, &again, &err), 0);
    /* Sorted, each once. */
    assert_int_equal(again.count, 3);
    assert_true(again.extents[0].image == 0 && again.extents[0].extent == 9);
    assert_true(again.extents[1].image == 1 && again.extents[1].extent == 0);
    assert_true(again.extents[2].image == 1 && again.extents[2].extent == 2);
    assert_int_equal(again.part_count, 2);
    assert_true(again.parts[0] == 0 && again.parts[1] == 4);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(transfer_failed_decode(bytes, i, &failing.plan, &none, &err), -EINVAL);
    for (size_t bit = 0; bit < length * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(transfer_failed_decode(bytes, length, &failing.plan, &none, &err),
                         -EINVAL);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_null(none.extents);
    transfer_failed_release(&again);
    free(bytes);
}

static void assert_failed_refused(const struct transfer_failed *failed, const char *says)
{
    struct transfer_failed again = {0};
    struct failing failing;
    struct error err = {""};
    uint8_t *bytes = NULL;
    size_t length = 0;

    make_failing(&failing);
    assert_int_equal(transfer_failed_encode(failed, &bytes, &length, &err), 0);
    assert_int_equal(transfer_failed_decode(bytes, length, &failing.plan, &again, &err), -EINVAL);
    assert_non_null(strstr(err.text, says));
    free(bytes);
}

static void test_failed_extents_of_another_plan(void **unused)
{
    struct transfer_failed_extent image = {2, 0}, extent = {1, 3};
    uint32_t part = 5;

    (void)unused;
    assert_failed_refused(&(struct transfer_failed){.extents = &image, .count = 1},
                          "no extent 0 of image 2");
    assert_failed_refused(&(struct transfer_failed){.extents = &extent, .count = 1},
                          "no extent 3 of image 1");
    assert_failed_refused(&(struct transfer_failed){.parts = &part, .part_count = 1}, "no part 5");
}

/* What our own writer never writes: twice the same. */
static void test_failed_twice(void **unused)
{
    struct transfer_failed_extent extents[] = {{0, 1}, {0, 2}};
    uint32_t parts[] = {1, 2};
    struct transfer_failed failed = {
        .extents = extents, .count = 2, .parts = parts, .part_count = 2};
    struct transfer_failed again = {0};
    struct fingerprint_checksum sum;
    struct failing failing;
    struct error err = {""};
    uint8_t *bytes = NULL;
    size_t length = 0;

    (void)unused;
    make_failing(&failing);
    assert_int_equal(transfer_failed_encode(&failed, &bytes, &length, &err), 0);
    for (size_t i = 0; i < 2; i++) {
        put_u32(bytes + (i == 0 ? 32 + 12 : 32 + 16 + 4), 1);
        fingerprint_checksum_init(&sum);
        fingerprint_checksum_add(&sum, bytes, 24);
        fingerprint_checksum_add(&sum, bytes + 32, length - 32);
        put_u64(bytes + 24, fingerprint_checksum_value(&sum));
        assert_int_equal(transfer_failed_decode(bytes, length, &failing.plan, &again, &err),
                         -EINVAL);
        assert_non_null(strstr(err.text, i == 0 ? "they do not ascend" : "parts do not ascend"));
        put_u32(bytes + 32 + 12, 2);
    }
    free(bytes);
    failed.count = (size_t)TRANSFER_PLAN_MAX_EXTENTS + 1;
    assert_int_equal(transfer_failed_encode(&failed, &bytes, &length, &err), -EFBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_of_parts),
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_an_image_that_is_too_large_for_memory),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_torn_progress),
        cmocka_unit_test(test_progress_that_lies),
        cmocka_unit_test(test_failed_extents),
        cmocka_unit_test(test_failed_extents_of_another_plan),
        cmocka_unit_test(test_failed_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
