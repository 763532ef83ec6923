/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans: what goes in comes out, every check of them, and the small records beside them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "setmov/base_bytes.h"
#include "setmov/fingerprint.h"
#include "setmov/transfer_plan.h"

#define BLOCK 4096
#define MIB   ((uint64_t)1 << 20)

/* ---- a plan with something of everything ---- */

static char *text(const char *from)
{
    char *copy = strdup(from);

    assert_non_null(copy);
    return copy;
}

static void *memory(size_t count, size_t size)
{
    void *bytes = calloc(count, size);

    assert_non_null(bytes);
    return bytes;
}

static void set_extents(struct transfer_image *image, const struct transfer_extent *extents,
                        size_t count)
{
    free(image->extents);
    image->extents = memory(count + 1, sizeof(*extents));
    memcpy(image->extents, extents, count * sizeof(*extents));
    image->extent_count = count;
}

#define EXTENTS(image, ...)                                                                        \
    set_extents(image, (const struct transfer_extent[]){__VA_ARGS__},                              \
                sizeof((const struct transfer_extent[]){__VA_ARGS__}) /                            \
                    sizeof(struct transfer_extent))

static struct transfer_plan make_plan(void)
{
    struct transfer_plan plan = {
        .vm = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
        .vm_name = text("vm one"),
        .made_s = -5,
        .kind = DIGEST_KEYED_SHA256,
        .block_size = BLOCK,
        .key_id = {9, 8, 7, 6, 5, 4, 3, 2},
        .donor_count = 2,
        .part_count = 2,
        .image_count = 2,
        .hash_count = 4,
    };

    plan.donors = memory(2, sizeof(*plan.donors));
    memcpy(plan.donors[0].id, "0123456789abcdef0123456789abcdef", 33);
    memcpy(plan.donors[1].id, "ffffffff00000000ffffffff00000000", 33);
    plan.parts = memory(2, sizeof(*plan.parts));
    plan.parts[0] = (struct transfer_part){{1}, 1000, MIB};
    plan.parts[1] = (struct transfer_part){{2}, 77, 6000};
    plan.hashes = memory(4, TRANSFER_HASH_BYTES);
    for (uint8_t i = 0; i < 4; i++)
        plan.hashes[i][0] = plan.hashes[i][31] = (uint8_t)(0x40 + i);
    plan.images = memory(2, sizeof(*plan.images));
    plan.images[0] = (struct transfer_image){.path = text("/images/base.raw"),
                                             .format = text("raw"),
                                             .virtual_size = 3 * MIB + 1000,
                                             .may_exist = true,
                                             .content = {0xcc, 1}};
    EXTENTS(&plan.images[0], {0, BLOCK, 0, 7 * MIB, 2, TRANSFER_COPY},
            {BLOCK, 3 * BLOCK, 0, 7 * MIB + BLOCK, 0, TRANSFER_COPY},
            {6 * BLOCK, 100 * BLOCK, 0, 0, 0, TRANSFER_SENT},
            {106 * BLOCK, BLOCK, 0, BLOCK, 0, TRANSFER_REPLICATE},
            {MIB, TRANSFER_COPY_MAX, 1, UINT64_C(1) << 55, 1, TRANSFER_COPY},
            {2 * MIB, MIB, 0, 0, 0, TRANSFER_REPLICATE},
            {3 * MIB, 1000, 1, 5000, 0, TRANSFER_SENT});
    plan.images[1] = (struct transfer_image){.path = text("/images/vm.qcow2"),
                                             .format = text("qcow2"),
                                             .settings = text("compat=1.1"),
                                             .backing = text("/images/base.raw"),
                                             .backing_format = text("raw"),
                                             .virtual_size = 3 * MIB + 1000,
                                             .content = {0xdd, 2}};
    EXTENTS(&plan.images[1], {17, 5, 0, 3 * MIB + 995, 0, TRANSFER_REPLICATE},
            {512, 512, 0, 0, 0, TRANSFER_ZERO}, {1024, 3, 1, 12345, 3, TRANSFER_COPY},
            {2048, 3, 1, 16, 0, TRANSFER_REPLICATE}, {2051, 4, 1, 0, 0, TRANSFER_SENT},
            {3 * MIB, 8, 0, MIB - 8, 0, TRANSFER_SENT});
    return plan;
}

static void assert_text_equal(const char *left, const char *right)
{
    if (left == NULL || right == NULL)
        assert_true(left == right);
    else
        assert_string_equal(left, right);
}

static void assert_image_equal(const struct transfer_plan *left, const struct transfer_plan *right,
                               size_t i)
{
    const struct transfer_image *l = &left->images[i], *r = &right->images[i];

    assert_text_equal(l->path, r->path);
    assert_text_equal(l->format, r->format);
    assert_text_equal(l->settings, r->settings);
    assert_text_equal(l->backing, r->backing);
    assert_text_equal(l->backing_format, r->backing_format);
    assert_true(l->virtual_size == r->virtual_size);
    assert_int_equal(l->may_exist, r->may_exist);
    assert_memory_equal(l->content, r->content, TRANSFER_HASH_BYTES);
    assert_int_equal(l->extent_count, r->extent_count);
    for (size_t e = 0; e < l->extent_count; e++) {
        const struct transfer_extent *a = &l->extents[e], *b = &r->extents[e];

        assert_int_equal(a->kind, b->kind);
        assert_true(a->offset == b->offset);
        assert_int_equal(a->length, b->length);
        assert_int_equal(a->source, b->source);
        assert_true(a->from == b->from);
        if (a->kind == TRANSFER_COPY)
            assert_memory_equal(left->hashes[a->hash], right->hashes[b->hash], TRANSFER_HASH_BYTES);
    }
}

static void assert_plan_equal(const struct transfer_plan *l, const struct transfer_plan *r)
{
    assert_memory_equal(&l->vm, &r->vm, sizeof(l->vm));
    assert_string_equal(l->vm_name, r->vm_name);
    assert_true(l->made_s == r->made_s);
    assert_int_equal(l->kind, r->kind);
    assert_int_equal(l->block_size, r->block_size);
    assert_memory_equal(l->key_id, r->key_id, sizeof(l->key_id));
    assert_int_equal(l->donor_count, r->donor_count);
    for (size_t i = 0; i < l->donor_count; i++)
        assert_string_equal(l->donors[i].id, r->donors[i].id);
    assert_int_equal(l->part_count, r->part_count);
    for (size_t i = 0; i < l->part_count; i++) {
        assert_memory_equal(l->parts[i].sha256, r->parts[i].sha256, TRANSFER_HASH_BYTES);
        assert_true(l->parts[i].length == r->parts[i].length);
        assert_true(l->parts[i].raw_length == r->parts[i].raw_length);
    }
    assert_int_equal(l->image_count, r->image_count);
    for (size_t i = 0; i < l->image_count; i++)
        assert_image_equal(l, r, i);
}

static void test_what_goes_in_comes_out(void **unused)
{
    struct transfer_plan plan = make_plan(), again = {0};
    struct error err = {""};
    uint8_t *bytes = NULL;
    size_t length = 0;

    (void)unused;
    assert_int_equal(transfer_plan_encode(&plan, &bytes, &length, &err), 0);
    assert_int_equal(transfer_plan_decode(bytes, length, "p", &again, &err), 0);
    assert_plan_equal(&plan, &again);
    assert_int_equal(again.hash_count, 4);
    transfer_plan_release(&again);
    free(bytes);
    transfer_plan_release(&plan);
    transfer_plan_release(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_goes_in_comes_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
