/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the first bytes of an image tell. */
#include "image/header.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CLUSTER 65536

struct buffer {
    uint8_t bytes[2 * CLUSTER];
};

static void put_big(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static void put_little(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* A qcow2 of 1 GiB, version 3, without anything. */
static void make_qcow2(struct buffer *buffer)
{
    memset(buffer, 0, sizeof(*buffer));
    memcpy(buffer->bytes, "QFI\xfb", 4);
    put_big(buffer->bytes + 4, 3, 4);
    put_big(buffer->bytes + 20, 16, 4);
    put_big(buffer->bytes + 24, (uint64_t)1 << 30, 8);
    put_big(buffer->bytes + 100, 104, 4);
}

static size_t put_extension(struct buffer *buffer, size_t at, uint32_t kind, const char *content)
{
    size_t length = strlen(content);

    put_big(buffer->bytes + at, kind, 4);
    put_big(buffer->bytes + at + 4, length, 4);
    memcpy(buffer->bytes + at + 8, content, length);
    return at + 8 + ((length + 7) & ~(size_t)7);
}

static void put_backing(struct buffer *buffer, size_t at, const char *name)
{
    put_big(buffer->bytes + 8, at, 8);
    put_big(buffer->bytes + 16, strlen(name), 4);
    memcpy(buffer->bytes + at, name, strlen(name));
}

static int parse(const struct buffer *buffer, struct image_header *header)
{
    struct error err = {0};
    int rc = image_header_parse("qcow2", buffer->bytes, sizeof(buffer->bytes), header, &err);

    if (rc < 0)
        assert_true(err.text[0] != '\0');
    return rc;
}

static void formats_are_probed(void **state)
{
    static const struct {
        const char *format;
        size_t at;
        const char *magic;
        size_t length;
    } cases[] = {
        {"qcow2", 0, "QFI\xfb\0\0\0\2", 8},
        {"qcow2", 0, "QFI\xfb\0\0\0\3", 8},
        {"qcow", 0, "QFI\xfb\0\0\0\1", 8},
        {"qcow2", 0, "QFI\xfb\0\0\0\11", 8}, /* to be refused by name */
        {"qcow2", 0, "QFI\xfb\0\0\0", 7},
        {"qcow2", 0, "QFI\xfbguest", 9},
        {"raw", 0, "QFI\xfa\0\0\0\2", 8},
        {"qed", 0, "QED\0", 4},
        {"vmdk", 0, "KDMV", 4},
        {"vmdk", 0, "COWD", 4},
        {"vmdk", 0, "# a comment\n\nversion=1\n", 23},
        {"raw", 0, "version=9\n", 10},
        {"vdi", 64, "\x7f\x10\xda\xbe", 4},
        {"vhdx", 0, "vhdxfile", 8},
        {"vpc", 0, "conectix", 8},
        {"luks", 0, "LUKS\xba\xbe", 6},
        {"raw", 0, "", 0},
    };
    uint8_t bytes[512];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes + cases[i].at, cases[i].magic, cases[i].length);
        assert_string_equal(image_header_probe(bytes, cases[i].at + cases[i].length),
                            cases[i].format);
    }
    assert_null(image_format_find("nbd"));
    assert_null(image_format_find(""));
}

static void unknown_versions_are_named(void **state)
{
    struct image_header header;
    struct error err;
    uint8_t bytes[8] = "QFI\xfb\0\0\0\11";

    (void)state;
    assert_int_equal(image_header_parse("qcow2", bytes, 8, &header, &err), -ENOTSUP);
    assert_string_equal(err.text, "qcow2 version 9 is not known");
    assert_int_equal(image_header_parse("qcow2", bytes, 7, &header, &err), -ENODATA);
}

static void qcow2_with_everything(void **state)
{
    struct buffer buffer;
    struct image_header header;
    size_t at;

    (void)state;
    make_qcow2(&buffer);
    put_big(buffer.bytes + 72, 4, 8); /* an external data file */
    at = put_extension(&buffer, 104, 0x6803f857, "features that nobody reads");
    at = put_extension(&buffer, at, 0xE2792ACA, "raw");
    at = put_extension(&buffer, at, 0x44415441, "clusters");
    put_backing(&buffer, at + 8, "dir/base.img");
    assert_int_equal(parse(&buffer, &header), 0);
    assert_string_equal(header.format, "qcow2");
    assert_true(header.size == (uint64_t)1 << 30);
    assert_string_equal(header.backing, "dir/base.img");
    assert_string_equal(header.backing_format, "raw");
    assert_true(header.has_data_file);
    assert_string_equal(header.data_file, "clusters");
    assert_false(header.encrypted);
}

static void version_2_has_extensions_behind_72_bytes(void **state)
{
    struct buffer buffer;
    struct image_header header;
    size_t at;

    (void)state;
    make_qcow2(&buffer);
    put_big(buffer.bytes + 4, 2, 4);
    put_big(buffer.bytes + 100, 0, 4);
    at = put_extension(&buffer, 72, 0xE2792ACA, "qed");
    put_backing(&buffer, at + 8, "b");
    assert_int_equal(parse(&buffer, &header), 0);
    assert_string_equal(header.backing_format, "qed");
}

static void encryption_is_seen(void **state)
{
    struct buffer buffer;
    struct image_header header;

    (void)state;
    for (uint32_t method = 1; method <= 2; method++) {
        make_qcow2(&buffer);
        put_big(buffer.bytes + 32, method, 4);
        assert_int_equal(parse(&buffer, &header), 0);
        assert_true(header.encrypted);
    }
}

static void sizes_near_2_to_63(void **state)
{
    static const uint64_t absurd[] = {UINT64_MAX, UINT64_MAX - 1, (uint64_t)1 << 63, INT64_MAX,
                                      IMAGE_MAX_SIZE + 1};
    struct buffer buffer;
    struct image_header header;

    (void)state;
    make_qcow2(&buffer);
    for (size_t i = 0; i < ARRAY_LENGTH(absurd); i++) {
        put_big(buffer.bytes + 24, absurd[i], 8);
        assert_int_equal(parse(&buffer, &header), -EFBIG);
    }
    put_big(buffer.bytes + 24, IMAGE_MAX_SIZE, 8);
    assert_int_equal(parse(&buffer, &header), 0);
}

static void damaged_headers(void **state)
{
    static const struct {
        size_t at, bytes;
        uint64_t value;
        int code;
    } cases[] = {
        {4, 4, 1, -ENOTSUP},   /* version */
        {20, 4, 8, -EBADMSG},  /* cluster sizes */
        {20, 4, 22, -EBADMSG}, /* */
        {20, 4, UINT32_MAX, -EBADMSG},
        {100, 4, 71, -EBADMSG}, /* header lengths */
        {100, 4, UINT32_MAX, -EBADMSG},
        {8, 8, UINT64_MAX, -EBADMSG}, /* places of the backing file's name */
        {8, 8, CLUSTER + 1, -EBADMSG},
        {16, 4, 1024, -EBADMSG}, /* its length, with a place */
        {16, 4, UINT32_MAX, -EBADMSG},
        {108, 4, UINT32_MAX, -EBADMSG}, /* length of an extension */
        {108, 4, CLUSTER, -EBADMSG},
    };
    struct buffer buffer;
    struct image_header header;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        make_qcow2(&buffer);
        put_backing(&buffer, 512, "base");
        put_extension(&buffer, 104, 1, "x");
        put_big(buffer.bytes + cases[i].at, cases[i].value, cases[i].bytes);
        assert_int_equal(parse(&buffer, &header), cases[i].code);
    }
    make_qcow2(&buffer);
    put_backing(&buffer, 512, "base");
    buffer.bytes[514] = '\0';
    assert_int_equal(parse(&buffer, &header), -EBADMSG);
    make_qcow2(&buffer);
    put_big(buffer.bytes + 72, 4, 8);
    assert_int_equal(parse(&buffer, &header), -ENOTSUP);
    make_qcow2(&buffer);
    put_extension(&buffer, 104, 0xE2792ACA, "a name of a format that is far too long for one");
    assert_int_equal(parse(&buffer, &header), -EBADMSG);
}

/* Whatever is cut off: more is asked for, or what is there is enough; nothing else is made of it. */
static void cut_headers_ask_for_more(void **state)
{
    struct buffer buffer;
    struct image_header header;
    struct error err;

    (void)state;
    make_qcow2(&buffer);
    put_extension(&buffer, 104, 0xE2792ACA, "raw");
    put_backing(&buffer, 300, "base");
    for (size_t length = 0; length < 304; length++)
        assert_int_equal(image_header_parse("qcow2", buffer.bytes, length, &header, &err),
                         -ENODATA);
    assert_int_equal(image_header_parse("qcow2", buffer.bytes, 304, &header, &err), 0);
}

static void qed_and_qcow(void **state)
{
    uint8_t bytes[512] = "QED";
    struct image_header header;
    struct error err;

    (void)state;
    put_little(bytes + 16, 5, 8);
    put_little(bytes + 48, 12345, 8);
    put_little(bytes + 56, 100, 4);
    put_little(bytes + 60, 4, 4);
    memcpy(bytes + 100, "base", 4);
    assert_int_equal(image_header_parse("qed", bytes, sizeof(bytes), &header, &err), 0);
    assert_string_equal(header.backing, "base");
    assert_string_equal(header.backing_format, "raw");
    assert_true(header.size == 12345);
    put_little(bytes + 16, 0, 8);
    assert_int_equal(image_header_parse("qed", bytes, sizeof(bytes), &header, &err), 0);
    assert_string_equal(header.backing, "");

    memset(bytes, 0, sizeof(bytes));
    put_big(bytes + 8, 64, 8);
    put_big(bytes + 16, 3, 4);
    put_big(bytes + 24, 4096, 8);
    put_big(bytes + 36, 1, 4);
    memcpy(bytes + 64, "abc", 3);
    assert_int_equal(image_header_parse("qcow", bytes, sizeof(bytes), &header, &err), 0);
    assert_string_equal(header.backing, "abc");
    assert_true(header.encrypted && header.size == 4096);
}

static void vmdk_headers(void **state)
{
    uint8_t bytes[2048] = "KDMV";
    static const char text[] = "# x\nversion=1\nparentFileNameHint = \"a b.vmdk\"\n";
    struct image_header header;
    struct error err;

    (void)state;
    put_little(bytes + 12, 100, 8);
    put_little(bytes + 28, 2, 8);
    memcpy(bytes + 1024, text, sizeof(text));
    assert_int_equal(image_header_parse("vmdk", bytes, sizeof(bytes), &header, &err), 0);
    assert_string_equal(header.backing, "a b.vmdk");
    assert_true(header.size == 51200 && !header.is_descriptor);
    put_little(bytes + 12, 0, 8);
    assert_int_equal(image_header_parse("vmdk", bytes, sizeof(bytes), &header, &err), -ENOTSUP);
    put_little(bytes + 12, UINT64_MAX, 8);
    assert_int_equal(image_header_parse("vmdk", bytes, sizeof(bytes), &header, &err), -EFBIG);
    put_little(bytes + 12, 100, 8);
    put_little(bytes + 28, UINT64_MAX, 8);
    assert_int_equal(image_header_parse("vmdk", bytes, sizeof(bytes), &header, &err), -EBADMSG);
}

static void names(void **state)
{
    static const char *const good[] = {"a", "/a/b", "dir/a:b", "./a:b", "/x/nbd:y", "-x", "a,b=c"};
    static const char *const protocols[] = {"nbd:unix:/x", "json:{}", "http://x/y",
                                            "a:b",         ":",       "file:x"};
    struct error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        assert_int_equal(image_name_check(good[i], &err), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(protocols); i++)
        assert_int_equal(image_name_check(protocols[i], &err), -EPERM);
    assert_int_equal(image_name_check("", &err), -EBADMSG);
    assert_int_equal(image_name_check("a\nb", &err), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_probed),
        cmocka_unit_test(unknown_versions_are_named),
        cmocka_unit_test(qcow2_with_everything),
        cmocka_unit_test(version_2_has_extensions_behind_72_bytes),
        cmocka_unit_test(encryption_is_seen),
        cmocka_unit_test(sizes_near_2_to_63),
        cmocka_unit_test(damaged_headers),
        cmocka_unit_test(cut_headers_ask_for_more),
        cmocka_unit_test(qed_and_qcow),
        cmocka_unit_test(vmdk_headers),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
