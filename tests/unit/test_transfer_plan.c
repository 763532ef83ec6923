/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans: what goes in comes out, every check of them, and the small records beside them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <zstd.h>

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

/* ---- what is refused when it is written ---- */

struct fault {
    void (*make)(struct transfer_plan *plan);
    int code;
    const char *says;
};

#define FAULT(name, statement)                                                                     \
    static void name(struct transfer_plan *p)                                                      \
    {                                                                                              \
        statement;                                                                                 \
    }

static void set_text(char **at, const char *to)
{
    free(*at);
    *at = to != NULL ? text(to) : NULL;
}

static void set_long_text(char **at, size_t length)
{
    free(*at);
    *at = memory(length + 1, 1);
    memset(*at, 'x', length);
    (*at)[0] = '/';
}

FAULT(no_name, set_text(&p->vm_name, NULL))
FAULT(empty_name, set_text(&p->vm_name, ""))
FAULT(two_lines, set_text(&p->vm_name, "a\nb"))
FAULT(a_control, set_text(&p->vm_name, "a\xc2\x9b"))
FAULT(long_name, set_long_text(&p->vm_name, 1025))
FAULT(kind_0, p->kind = (enum digest_kind)0)
FAULT(kind_4, p->kind = (enum digest_kind)4)
FAULT(blocks_256, p->block_size = 256)
FAULT(blocks_3000, p->block_size = 3000)
FAULT(blocks_131072, p->block_size = 131072)
FAULT(short_id, p->donors[1].id[31] = '\0')
FAULT(capital_id, p->donors[0].id[3] = 'A')
FAULT(endless_id, p->donors[0].id[32] = 'a')
FAULT(empty_part, p->parts[0].length = 0)
FAULT(part_of_nothing, p->parts[1].raw_length = 0)
FAULT(huge_part, p->parts[0].raw_length = UINT64_C(1) << 60)
FAULT(long_part, p->parts[0].length = UINT64_C(1) << 60)
FAULT(no_path, set_text(&p->images[0].path, NULL))
FAULT(relative_path, set_text(&p->images[0].path, "images/a"))
FAULT(dot_path, set_text(&p->images[0].path, "/images/./a"))
FAULT(dots_path, set_text(&p->images[0].path, "/images/../a"))
FAULT(dots_at_end, set_text(&p->images[0].path, "/images/.."))
FAULT(double_slash, set_text(&p->images[0].path, "/images//a"))
FAULT(slash_at_end, set_text(&p->images[0].path, "/images/"))
FAULT(line_path, set_text(&p->images[0].path, "/images/a\nb"))
FAULT(long_path, set_long_text(&p->images[0].path, 4096))
FAULT(same_path, set_text(&p->images[1].path, "/images/base.raw"))
FAULT(no_format, set_text(&p->images[0].format, NULL))
FAULT(odd_format, set_text(&p->images[0].format, "Raw,x"))
FAULT(empty_format, set_text(&p->images[0].format, ""))
FAULT(empty_settings, set_text(&p->images[1].settings, ""))
FAULT(long_settings, set_long_text(&p->images[1].settings, 256))
FAULT(huge_image, p->images[0].virtual_size = UINT64_C(1) << 60)
FAULT(backing_without_format, set_text(&p->images[1].backing_format, NULL))
FAULT(format_without_backing, set_text(&p->images[1].backing, NULL))
FAULT(other_backing, set_text(&p->images[1].backing, "/etc/shadow"))
FAULT(own_backing, set_text(&p->images[1].backing, "/images/vm.qcow2"))
FAULT(other_backing_format, set_text(&p->images[1].backing_format, "qcow2"))
FAULT(raw_on_backing, set_text(&p->images[1].format, "raw"))
FAULT(later_backing, {
    set_text(&p->images[0].format, "qcow2");
    set_text(&p->images[0].backing, "/images/vm.qcow2");
    set_text(&p->images[0].backing_format, "qcow2");
})
FAULT(empty_extent, p->images[0].extents[0].length = 0)
FAULT(overlap, p->images[0].extents[1].offset--)
FAULT(descending, p->images[0].extents[2].offset = 0)
FAULT(behind_end, p->images[0].extents[6].length++)
FAULT(far_behind_end, p->images[1].extents[5].offset = UINT64_MAX)
FAULT(over_piece, p->images[0].extents[5].offset -= BLOCK)
FAULT(kind_of_none, p->images[0].extents[0].kind = (enum transfer_kind)4)
FAULT(zero_from_source, p->images[1].extents[1].source = 1)
FAULT(zero_from_place, p->images[1].extents[1].from = 1)
FAULT(hash_of_sent, p->images[0].extents[2].hash = 1)
FAULT(no_donor, p->images[0].extents[0].source = 2)
FAULT(no_hash, p->images[0].extents[0].hash = 4)
FAULT(long_copy, {
    p->images[0].extents[5].kind = TRANSFER_COPY;
    p->images[0].extents[5].length = TRANSFER_COPY_MAX + 1;
})
FAULT(far_copy, p->images[0].extents[0].from = UINT64_C(1) << 60)
FAULT(later_image, p->images[0].extents[3].source = 1)
FAULT(replicated_from_itself, p->images[0].extents[3].from = 105 * BLOCK + 1)
FAULT(replicated_from_behind, p->images[0].extents[3].from = 107 * BLOCK)
FAULT(behind_earlier_image, p->images[1].extents[0].from++)
FAULT(no_part, p->images[0].extents[2].source = 2)
FAULT(not_packed_yet, p->images[0].extents[2].source = UINT32_MAX)
FAULT(behind_part, p->images[0].extents[6].from++)
FAULT(far_behind_part, p->images[0].extents[6].from = UINT64_MAX - 10)
FAULT(many_images, p->image_count = TRANSFER_PLAN_MAX_IMAGES + 1)
FAULT(many_donors, p->donor_count = TRANSFER_PLAN_MAX_DONORS + 1)
FAULT(many_parts, p->part_count = TRANSFER_PLAN_MAX_PARTS + 1)
FAULT(many_extents, p->images[1].extent_count = TRANSFER_PLAN_MAX_EXTENTS)

static const struct fault faults[] = {
    {no_name, -EINVAL, "the VM has no name"},
    {empty_name, -EINVAL, "the VM has no name"},
    {two_lines, -EINVAL, "the VM has no name"},
    {a_control, -EINVAL, "the VM has no name"},
    {long_name, -EINVAL, "the VM has no name"},
    {kind_0, -EINVAL, "no digest 0"},
    {kind_4, -EINVAL, "no digest 4"},
    {blocks_256, -EINVAL, "no blocks of 256 bytes"},
    {blocks_3000, -EINVAL, "no blocks of 3000 bytes"},
    {blocks_131072, -EINVAL, "no blocks of 131072 bytes"},
    {short_id, -EINVAL, "donor 1 has no id"},
    {capital_id, -EINVAL, "donor 0 has no id"},
    {endless_id, -EINVAL, "donor 0 has no id"},
    {empty_part, -EINVAL, "part 0 has 0 bytes"},
    {part_of_nothing, -EINVAL, "part 1 has 77 bytes that make 0"},
    {huge_part, -EINVAL, "part 0 has 1000 bytes"},
    {long_part, -EINVAL, "part 0 has 1152921504606846976 bytes"},
    {no_path, -EINVAL, "image 0 has no absolute path"},
    {relative_path, -EINVAL, "image 0 has no absolute path"},
    {dot_path, -EINVAL, "image 0 has no absolute path"},
    {dots_path, -EINVAL, "image 0 has no absolute path"},
    {dots_at_end, -EINVAL, "image 0 has no absolute path"},
    {double_slash, -EINVAL, "image 0 has no absolute path"},
    {slash_at_end, -EINVAL, "image 0 has no absolute path"},
    {line_path, -EINVAL, "image 0 has no absolute path"},
    {long_path, -EINVAL, "image 0 has no absolute path"},
    {same_path, -EINVAL, "two images have this path"},
    {no_format, -EINVAL, "has no format"},
    {odd_format, -EINVAL, "has no format"},
    {empty_format, -EINVAL, "has no format"},
    {empty_settings, -EINVAL, "its settings are no line"},
    {long_settings, -EINVAL, "its settings are no line"},
    {huge_image, -EINVAL, "no images of 1152921504606846976 bytes"},
    {backing_without_format, -EINVAL, "a backing image without its format"},
    {format_without_backing, -EINVAL, "a backing image without its format"},
    {other_backing, -EINVAL, "none of those before it"},
    {own_backing, -EINVAL, "none of those before it"},
    {other_backing_format, -EINVAL, "the format of its backing image is another"},
    {raw_on_backing, -EINVAL, "a raw image has no backing image"},
    {later_backing, -EINVAL, "none of those before it"},
    {empty_extent, -EINVAL, "extent 0, at byte 0, is empty"},
    {overlap, -EINVAL, "extent 1, at byte 4095, begins before"},
    {descending, -EINVAL, "extent 2, at byte 0, begins before"},
    {behind_end, -EINVAL, "extent 6, at byte 3145728, ends behind the image"},
    {far_behind_end, -EINVAL, "ends behind the image"},
    {over_piece, -EINVAL, "reaches over the end of a piece"},
    {kind_of_none, -EINVAL, "is of no kind"},
    {zero_from_source, -EINVAL, "is zeroes, but has a source"},
    {zero_from_place, -EINVAL, "is zeroes, but has a source"},
    {hash_of_sent, -EINVAL, "has a hash, but is not copied"},
    {no_donor, -EINVAL, "has no donor"},
    {no_hash, -EINVAL, "has no hash"},
    {long_copy, -EINVAL, "is too long to be copied"},
    {far_copy, -EINVAL, "comes from behind any end"},
    {later_image, -EINVAL, "comes from an image that is not built yet"},
    {replicated_from_itself, -EINVAL, "comes from what is not built yet"},
    {replicated_from_behind, -EINVAL, "comes from what is not built yet"},
    {behind_earlier_image, -EINVAL, "behind the end of an image"},
    {no_part, -EINVAL, "has no part"},
    {not_packed_yet, -EINVAL, "has no part"},
    {behind_part, -EINVAL, "ends behind its part"},
    {far_behind_part, -EINVAL, "comes from behind any end"},
    {many_images, -EFBIG, "1025 images are too many"},
    {many_donors, -EFBIG, "65537 donors are too many"},
    {many_parts, -EFBIG, "1048577 parts are too many"},
    {many_extents, -EFBIG, "more than 67108864 extents"},
};

static void test_every_fault_is_refused(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(faults); i++) {
        struct transfer_plan plan = make_plan(), counts = plan;
        struct error err = {""};
        uint8_t *bytes = NULL;
        size_t length = 0, extents = plan.images[1].extent_count;

        faults[i].make(&plan);
        if (transfer_plan_encode(&plan, &bytes, &length, &err) != faults[i].code ||
            strstr(err.text, faults[i].says) == NULL)
            fail_msg("fault %zu (%s): \"%s\"", i, faults[i].says, err.text);
        assert_null(bytes);
        assert_null(strchr(err.text, '\n'));
        plan.image_count = counts.image_count;
        plan.donor_count = counts.donor_count;
        plan.part_count = counts.part_count;
        plan.images[1].extent_count = extents;
        transfer_plan_release(&plan);
    }
}

/* ---- what is refused when it is read ---- */

#define HEAD 64

static void seal(uint8_t *bytes, size_t length)
{
    struct fingerprint_checksum sum;

    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, 56);
    fingerprint_checksum_add(&sum, bytes + HEAD, length - HEAD);
    put_u64(bytes + 56, fingerprint_checksum_value(&sum));
}

static uint8_t *encoded(size_t *ret_length)
{
    struct transfer_plan plan = make_plan();
    uint8_t *bytes = NULL;

    assert_int_equal(transfer_plan_encode(&plan, &bytes, ret_length, NULL), 0);
    transfer_plan_release(&plan);
    return bytes;
}

static void assert_refused(const uint8_t *bytes, size_t length, int code, const char *says)
{
    struct transfer_plan plan = {.vm_name = (char *)"untouched"};
    struct error err = {""};
    int rc = transfer_plan_decode(bytes, length, "incoming/x.plan", &plan, &err);

    if (rc != code || strstr(err.text, says) == NULL)
        fail_msg("%d, \"%s\" instead of %d, \"%s\"", rc, err.text, code, says);
    assert_true(strncmp(err.text, "incoming/x.plan: ", 17) == 0);
    assert_string_equal(plan.vm_name, "untouched");
}

static void test_no_part_of_a_plan_is_a_plan(void **unused)
{
    size_t length = 0;
    uint8_t *bytes = encoded(&length), *longer = memory(length + 1, 1);

    (void)unused;
    for (size_t i = 0; i < length; i++) {
        uint8_t *part = memory(i + 1, 1);

        memcpy(part, bytes, i);
        assert_refused(part, i, -EINVAL, i < HEAD ? "is no plan" : "where its head says");
        free(part);
    }
    memcpy(longer, bytes, length);
    assert_refused(longer, length + 1, -EINVAL, "where its head says");
    free(longer);
    free(bytes);
}

static void test_every_bit_that_flips_is_seen(void **unused)
{
    size_t length = 0;
    uint8_t *bytes = encoded(&length);

    (void)unused;
    for (size_t bit = 0; bit < length * 8; bit++) {
        struct transfer_plan plan;

        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(transfer_plan_decode(bytes, length, "p", &plan, NULL) < 0);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(bytes);
}

/* A head that is sealed, but lies. */
static void test_heads_that_lie(void **unused)
{
    static const struct {
        size_t at;
        uint64_t value;
        int code;
        const char *says;
    } lies[] = {
        {24, UINT64_C(1) << 31, -EFBIG, "is too large"},
        {24, 5, -EINVAL, "not what its head says"},
        {32, 5, -EINVAL, "not what its head says"},
        {32, UINT64_MAX, -EINVAL, "a head that does not hold"},
        {40, 3, -EINVAL, "not as many hashes"},
        {40, 5, -EINVAL, "not as many hashes"},
        {40, UINT64_MAX / 32 + 5, -EINVAL, "a head that does not hold"},
        {48, 1, -EINVAL, "a head that does not hold"},
    };
    size_t length = 0;
    uint8_t *bytes = encoded(&length), *lying = memory(length, 1);

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(lies); i++) {
        memcpy(lying, bytes, length);
        put_u64(lying + lies[i].at, lies[i].value);
        seal(lying, length);
        assert_refused(lying, length, lies[i].code, lies[i].says);
    }
    memcpy(lying, bytes, length);
    put_u32(lying + 8, 2);
    seal(lying, length);
    assert_refused(lying, length, -ENOTSUP, "version 2");
    memcpy(lying, bytes, length);
    put_u32(lying + 12, 1);
    seal(lying, length);
    assert_refused(lying, length, -EINVAL, "a head that does not hold");
    memcpy(lying, bytes, length);
    lying[HEAD + 20] ^= 1;
    assert_refused(lying, length, -EINVAL, "is damaged");
    free(lying);
    free(bytes);
}

/* Every byte of the body, every value: refused, or another plan that holds all that is promised. */
static void test_bodies_that_lie(void **unused)
{
    uint8_t body[2048], *bytes;
    size_t length = 0, body_length, packed, tail, accepted = 0;

    (void)unused;
    bytes = encoded(&length);
    packed = (size_t)get_u64(bytes + 32);
    body_length = ZSTD_decompress(body, sizeof(body), bytes + HEAD, packed);
    assert_true(body_length == get_u64(bytes + 24));
    tail = length - HEAD - packed;
    for (size_t i = 0; i < body_length * 16; i++) {
        static const uint8_t values[16] = {0,    1,    2,    3,    7,    8,    0x10, 0x1f,
                                           0x20, 0x40, 0x7f, 0x80, 0x81, 0xe0, 0xfe, 0xff};
        uint8_t file[4096], before = body[i / 16], *again = NULL;
        struct transfer_plan plan = {0};
        size_t now, again_length = 0;

        body[i / 16] = values[i % 16];
        now = ZSTD_compress(file + HEAD, sizeof(file) - HEAD - tail, body, body_length, 1);
        assert_false(ZSTD_isError(now));
        memcpy(file, bytes, HEAD);
        memcpy(file + HEAD + now, bytes + HEAD + packed, tail);
        put_u64(file + 16, HEAD + now + tail);
        put_u64(file + 32, now);
        seal(file, HEAD + now + tail);
        if (transfer_plan_decode(file, HEAD + now + tail, "p", &plan, NULL) == 0) {
            accepted++;
            assert_int_equal(transfer_plan_encode(&plan, &again, &again_length, NULL), 0);
            free(again);
            transfer_plan_release(&plan);
        }
        body[i / 16] = before;
    }
    assert_in_range(accepted, 100, body_length * 16 / 2);
    free(bytes);
}

/* A few bytes may say that they become gigabytes: they are counted before they are taken. */
static void test_memory_is_counted(void **unused)
{
    struct transfer_plan plan = {0};
    struct error err = {""};
    size_t length = 0;
    uint8_t *bytes = encoded(&length);
    uint64_t body = get_u64(bytes + 24), needed;

    (void)unused;
    assert_int_equal(transfer_plan_decode(bytes, length, "p", &plan, &err), 0);
    needed = length + body + transfer_plan_memory(&plan);
    assert_true(transfer_plan_memory(&plan) > plan.hash_count * TRANSFER_HASH_BYTES);
    transfer_plan_release(&plan);
    assert_int_equal(transfer_plan_decode_within(bytes, length, "p", needed, &plan, &err), 0);
    transfer_plan_release(&plan);
    for (uint64_t memory = 0; memory < needed; memory += memory < length + body ? 1 : 7) {
        assert_int_equal(transfer_plan_decode_within(bytes, length, "p", memory, &plan, &err),
                         -ENOMEM);
        assert_string_equal(err.text, "p: is too large for the memory of this host");
    }
    free(bytes);
}

/* 40000 extents as they come: hardly more than a byte each, but for what cannot be foreseen. */
static void test_plans_are_small(void **unused)
{
    struct transfer_plan plan = make_plan();
    size_t count = 40000, length = 0;
    uint8_t *bytes = NULL;
    uint64_t from = 0;

    (void)unused;
    plan.images[1].extent_count = 0;
    plan.images[0].virtual_size = count * 4 * BLOCK;
    plan.parts[0].raw_length = 2 * count * BLOCK;
    free(plan.images[0].extents);
    plan.images[0].extents = memory(count, sizeof(struct transfer_extent));
    plan.images[0].extent_count = count;
    for (size_t i = 0; i < count; i++) {
        struct transfer_extent *extent = &plan.images[0].extents[i];

        *extent = (struct transfer_extent){.offset = i * 4 * BLOCK,
                                           .length = (uint32_t)(1 + i % 3) * BLOCK,
                                           .source = 1,
                                           .from = i * 4 * BLOCK + 10 * MIB,
                                           .kind = TRANSFER_COPY};
        if (i % 2 == 0) {
            uint32_t blocks = (uint32_t)(1 + (i * 2654435761U >> 16) % 3);

            *extent = (struct transfer_extent){.offset = i * 4 * BLOCK,
                                               .length = blocks * BLOCK,
                                               .from = from,
                                               .kind = TRANSFER_SENT};
            from += (uint64_t)blocks * BLOCK;
        }
    }
    assert_int_equal(transfer_plan_encode(&plan, &bytes, &length, NULL), 0);
    assert_in_range(length, count / 2 * 32, count / 2 * 32 + count / 20);
    free(bytes);
    transfer_plan_release(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_goes_in_comes_out),
        cmocka_unit_test(test_every_fault_is_refused),
        cmocka_unit_test(test_no_part_of_a_plan_is_a_plan),
        cmocka_unit_test(test_every_bit_that_flips_is_seen),
        cmocka_unit_test(test_heads_that_lie),
        cmocka_unit_test(test_bodies_that_lie),
        cmocka_unit_test(test_memory_is_counted),
        cmocka_unit_test(test_plans_are_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
