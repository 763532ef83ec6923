/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What qemu-img prints of an image's layout: taken as it is meant, or not at all. */
#include "image/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define KIB ((uint64_t)1024)

static struct image_layout layout;

static int clear(void **state)
{
    (void)state;
    image_layout_release(&layout);
    return 0;
}

static int add(const char *line)
{
    return image_layout_add(&layout, text_of(line, strlen(line)));
}

static void expect_part(uint64_t offset, uint64_t end, enum image_extent_kind kind, bool is_placed,
                        uint64_t place)
{
    uint64_t told;
    const struct layout_part *part = image_layout_find(&layout, offset, &told);

    assert_int_equal(part->offset, offset);
    assert_int_equal(told, end);
    assert_int_equal(part->kind, kind);
    assert_int_equal(part->is_placed, is_placed);
    if (is_placed)
        assert_int_equal(part->place, place);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void as_qemu_7_2_prints_it(void **state)
{
    uint64_t placed, others, end;

    (void)state;
    assert_int_equal(add("[{ \"start\": 0, \"length\": 65536, \"depth\": 1, \"present\": true, "
                         "\"zero\": false, \"data\": true, \"offset\": 327680},"),
                     0);
    assert_int_equal(
        add("{ \"start\": 65536, \"length\": 131072, \"depth\": 0, \"present\": false, "
            "\"zero\": true, \"data\": false},"),
        0);
    assert_int_equal(add("{ \"start\": 196608, \"length\": 4096, \"depth\": 0, \"present\": true, "
                         "\"zero\": true, \"data\": true, \"offset\": 1048576},"),
                     0);
    assert_false(layout.complete);
    assert_int_equal(add("{ \"start\": 200704, \"length\": 1000, \"depth\": 0, \"present\": true, "
                         "\"zero\": false, \"data\": true}]"),
                     0);
    assert_true(layout.complete);
    assert_int_equal(layout.end, 201704);
    assert_int_equal(layout.count, 4);
    expect_part(0, 64 * KIB, IMAGE_DATA, true, 327680);
    assert_int_equal(layout.parts[0].where, 1);
    expect_part(64 * KIB, 192 * KIB, IMAGE_HOLE, false, 0);
    expect_part(192 * KIB, 196 * KIB, IMAGE_ZERO, false, 0);
    expect_part(196 * KIB, 201704, IMAGE_DATA, false, 0);
    assert_int_equal(image_layout_find(&layout, 64 * KIB - 1, &end)->offset, 0);
    assert_int_equal(image_layout_find(&layout, 201703, &end)->offset, 196 * KIB);
    image_layout_count(&layout, &placed, &others);
    assert_int_equal(placed, 64 * KIB);
    assert_int_equal(others, 1000);
    assert_int_equal(add("{ \"start\": 201704, \"length\": 1, \"depth\": 0, \"zero\": false, "
                         "\"data\": true}]"),
                     -EBADMSG);
}

/* From 8.2 on it says what is compressed; what else may come is passed over. */
static void as_others_print_it(void **state)
{
    (void)state;
    assert_int_equal(add("[{\"length\":512,\"start\":0,\"depth\":0,\"new\":true,\"more\": 7,"
                         "\"zero\":false,\"data\":true,\"compressed\":false,\"offset\":0}  ,"),
                     0);
    assert_int_equal(add(" { \"start\": 512, \"length\": 512, \"depth\": 0, \"zero\": false, "
                         "\"data\": true, \"compressed\": true, \"offset\": 4096},\t"),
                     0);
    assert_int_equal(add("{ \"start\": 1024, \"length\": 512, \"depth\": 0, \"zero\": false, "
                         "\"data\": false, \"offset\": 4096},"),
                     0);
    assert_int_equal(add("{ \"start\": 1536, \"length\": 512, \"depth\": 0, \"zero\": false, "
                         "\"data\": false}]"),
                     0);
    assert_int_equal(layout.count, 4);
    expect_part(0, 512, IMAGE_DATA, true, 0);
    expect_part(512, 1024, IMAGE_DATA, false, 0);
    expect_part(1024, 1536, IMAGE_DATA, false, 0);
}

static void an_empty_image(void **state)
{
    (void)state;
    assert_int_equal(add("[{ \"start\": 0, \"length\": 0, \"depth\": 0, \"present\": false, "
                         "\"zero\": false, \"data\": false}]"),
                     0);
    assert_true(layout.complete);
    assert_int_equal(layout.count, 0);
}

/* What the layer does not hold is a hole, what it says is zero is none. */
static void the_top_layer_alone(void **state)
{
    (void)state;
    layout.only_top = true;
    assert_int_equal(add("[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"present\": false, "
                         "\"zero\": true, \"data\": false},"),
                     0);
    assert_int_equal(add("{ \"start\": 512, \"length\": 512, \"depth\": 0, \"present\": true, "
                         "\"zero\": true, \"data\": false},"),
                     0);
    assert_int_equal(add("{ \"start\": 1024, \"length\": 512, \"depth\": 0, \"present\": true, "
                         "\"zero\": false, \"data\": true, \"offset\": 8192},"),
                     0);
    expect_part(0, 512, IMAGE_HOLE, false, 0);
    expect_part(512, 1024, IMAGE_ZERO, false, 0);
    expect_part(1024, 1536, IMAGE_DATA, true, 8192);
    assert_int_equal(add("{ \"start\": 1536, \"length\": 512, \"depth\": 0, \"zero\": true, "
                         "\"data\": false},"),
                     -EBADMSG);
}

static void what_is_not_understood(void **state)
{
    static const char *const lines[] = {
        "",
        "[",
        "[]",
        "[{}]",
        "[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": true}",
        "[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": true}]]",
        "[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": true},x",
        "[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": true,},",
        "{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": true},",
        "[{ \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": true},",
        "[{ \"start\": 0, \"depth\": 0, \"zero\": false, \"data\": true},",
        "[{ \"start\": 0, \"length\": 512, \"zero\": false, \"data\": true},",
        "[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"data\": true},",
        "[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": false},",
        "[{ \"start\": 0, \"length\": 0, \"depth\": 0, \"zero\": false, \"data\": true},",
        "[{ \"start\": 1, \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": true},",
        "[{ \"start\": 0, \"length\": -1, \"depth\": 0, \"zero\": false, \"data\": true},",
        "[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": 2, \"data\": true},",
        "[{\"start\":0,\"length\":512,\"depth\":4294967295,\"zero\":false,\"data\":true},",
        "[{\"start\":0,\"length\":18446744073709551616,\"depth\":0,\"zero\":false,\"data\":true},",
        "[{\"start\":0,\"length\":9223372036854775807,\"depth\":0,\"zero\":false,\"data\":true},",
        "[{ \"start\": 0, \"length\": , \"depth\": 0, \"zero\": false, \"data\": true},",
        "[{ \"start: 0, \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": true},",
        "[{ \"start\" 0, \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": true},",
        "[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": fals, \"data\": true},",
        "[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": false, \"data\": \"true\"},",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        int rc = add(lines[i]);

        if (rc != -EBADMSG)
            fail_msg("%s: %d", lines[i], rc);
        image_layout_release(&layout);
    }
}

/* Rows follow each other without gaps. */
static void gaps_and_overlaps(void **state)
{
    static const uint64_t starts[] = {0, 511, 513, 1024};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(starts); i++) {
        char line[128];

        assert_int_equal(add("[{ \"start\": 0, \"length\": 512, \"depth\": 0, \"zero\": true, "
                             "\"data\": false},"),
                         0);
        string_format(line, sizeof(line),
                      "{ \"start\": %llu, \"length\": 512, \"depth\": 0, \"zero\": true, "
                      "\"data\": false},",
                      (unsigned long long)starts[i]);
        assert_int_equal(add(line), -EBADMSG);
        image_layout_release(&layout);
    }
}

static void too_many_parts(void **state)
{
    char line[160] = "[";
    int rc = 0;

    (void)state;
    for (uint64_t i = 0; i <= IMAGE_LAYOUT_MOST_PARTS; i++) {
        assert_int_equal(rc, 0);
        string_format(line, sizeof(line),
                      "%s{ \"start\": %" PRIu64 ", \"length\": 512, \"depth\": 0, \"zero\": true, "
                      "\"data\": false},",
                      i == 0 ? "[" : "", i * 512);
        rc = add(line);
    }
    assert_int_equal(rc, -E2BIG);
}

/* ---- files ---------------------------------------------------------------------------------- */

/* qcow2 over qcow2 with a data file over qed over raw. */
static struct image_layer files[] = {
    {.size = 1000 * KIB}, {.size = 100 * KIB}, {.size = 2000 * KIB},
    {.size = 500 * KIB},  {.size = 500 * KIB},
};
static struct image_chain chain = {
    .files = files,
    .count = ARRAY_LENGTH(files),
    .nodes = {{.format = "qcow2", .file = 0, .data_file = -1},
              {.format = "qcow2", .file = 1, .data_file = 2},
              {.format = "qed", .file = 3, .data_file = -1},
              {.format = "raw", .file = 4, .data_file = -1}},
    .node_count = 4,
    .top_size = UNKNOWN_U64,
};

static int settle_one(unsigned depth, uint64_t length, uint64_t place)
{
    char line[192];

    image_layout_release(&layout);
    string_format(line, sizeof(line),
                  "[{ \"start\": 0, \"length\": %llu, \"depth\": %u, \"zero\": false, "
                  "\"data\": true, \"offset\": %llu}]",
                  (unsigned long long)length, depth, (unsigned long long)place);
    assert_int_equal(add(line), 0);
    return image_layout_settle(&layout, &chain);
}

static void layers_become_files(void **state)
{
    (void)state;
    assert_int_equal(settle_one(0, 64 * KIB, 512), 0);
    assert_true(layout.parts[0].is_placed);
    assert_int_equal(layout.parts[0].where, 0);
    assert_int_equal(settle_one(1, 64 * KIB, 1024 * KIB), 0);
    assert_true(layout.parts[0].is_placed);
    assert_int_equal(layout.parts[0].where, 2);
    assert_int_equal(settle_one(2, 64 * KIB, 64 * KIB), 0);
    assert_false(layout.parts[0].is_placed);
    assert_int_equal(settle_one(3, 500 * KIB, 0), 0);
    assert_true(layout.parts[0].is_placed);
    assert_int_equal(layout.parts[0].where, 4);
    assert_int_equal(settle_one(4, 512, 0), -EBADMSG);
}

/* The last cluster may be there in part only, and none is larger than 2 MiB. */
static void places_outside_the_file(void **state)
{
    (void)state;
    assert_int_equal(settle_one(0, 64 * KIB, 1000 * KIB - 512), 0);
    assert_int_equal(settle_one(0, 2048 * KIB, 1000 * KIB - 1), 0);
    assert_int_equal(settle_one(0, 2048 * KIB + 1, 1000 * KIB - 1), -EBADMSG);
    assert_int_equal(settle_one(0, 512, 1000 * KIB), -EBADMSG);
    assert_int_equal(settle_one(0, 512, UINT64_MAX - 1), -EBADMSG);
}

static void the_size_is_that_of_the_header(void **state)
{
    (void)state;
    chain.top_size = 64 * KIB;
    assert_int_equal(settle_one(0, 64 * KIB, 512), 0);
    assert_int_equal(settle_one(0, 63 * KIB, 512), -EBADMSG);
    assert_int_equal(settle_one(0, 65 * KIB, 512), -EBADMSG);
    chain.top_size = 64 * KIB + 511;
    assert_int_equal(settle_one(0, 64 * KIB, 512), 0);
    chain.top_size = UNKNOWN_U64;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(as_qemu_7_2_prints_it, clear),
        cmocka_unit_test_teardown(as_others_print_it, clear),
        cmocka_unit_test_teardown(an_empty_image, clear),
        cmocka_unit_test_teardown(the_top_layer_alone, clear),
        cmocka_unit_test_teardown(what_is_not_understood, clear),
        cmocka_unit_test_teardown(gaps_and_overlaps, clear),
        cmocka_unit_test_teardown(too_many_parts, clear),
        cmocka_unit_test_teardown(layers_become_files, clear),
        cmocka_unit_test_teardown(places_outside_the_file, clear),
        cmocka_unit_test_teardown(the_size_is_that_of_the_header, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
