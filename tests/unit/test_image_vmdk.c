/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMDK descriptors, read and written again; and chains as QEMU's options. */
#include "image/chain.h"
#include "image/vmdk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HEAD "# Disk DescriptorFile\nversion=1\n"

static int parse(const char *text, struct vmdk_descriptor *descriptor)
{
    struct error err = {0};
    int rc = vmdk_descriptor_parse(text_of(text, strlen(text)), descriptor, &err);

    if (rc < 0)
        assert_true(err.text[0] != '\0');
    return rc;
}

static void all_kinds_of_extents(void **state)
{
    static const int fds[] = {10, 11, -1, 12};
    struct vmdk_descriptor descriptor;
    char *text;

    (void)state;
    assert_int_equal(parse(HEAD "CID=0000000a\r\nparentCID=ffffffff\r\ncreateType=\"custom\"\r\n"
                                "# Extents\r\n"
                                "RW 4192256 SPARSE \"a b-s001.vmdk\"\r\n"
                                "  RDONLY 2048 FLAT \"c.vmdk\" 128\r\n"
                                "RW 63 ZERO\r\n"
                                "RW 100 VMFS \"/x/d-flat.vmdk\"\r\n"
                                "ddb.adapterType = \"ide\"\r\n",
                           &descriptor),
                     0);
    assert_int_equal(descriptor.count, 4);
    assert_int_equal(descriptor.id, 10);
    assert_string_equal(descriptor.extents[0].name, "a b-s001.vmdk");
    assert_int_equal(descriptor.extents[1].offset, 128);
    assert_string_equal(descriptor.extents[2].kind, "ZERO");
    assert_int_equal(vmdk_descriptor_write(&descriptor, fds, &text), 0);
    assert_string_equal(text, "# Disk DescriptorFile\nversion=1\nCID=0000000a\n"
                              "parentCID=ffffffff\ncreateType=\"custom\"\n"
                              "RW 4192256 SPARSE \"/proc/self/fd/10\"\n"
                              "RW 2048 FLAT \"/proc/self/fd/11\" 128\n"
                              "RW 63 ZERO\n"
                              "RW 100 VMFS \"/proc/self/fd/12\"\n");
    free(text);
    vmdk_descriptor_release(&descriptor);
}

static void what_is_not_understood_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "version=4\ncreateType=\"x\"\nRW 1 ZERO\n",
        HEAD "RW 1 ZERO\n",
        HEAD "createType=\"a type whose name is longer than any that is known\"\nRW 1 ZERO\n",
        HEAD "createType=\"x\"\n",
        HEAD "createType=\"x\"\nRW 1\n",
        HEAD "createType=\"x\"\nRW x FLAT \"a\" 0\n",
        HEAD "createType=\"x\"\nRW -1 FLAT \"a\" 0\n",
        HEAD "createType=\"x\"\nRW 1 FLAT a 0\n",
        HEAD "createType=\"x\"\nRW 1 FLAT \"\" 0\n",
        HEAD "createType=\"x\"\nRW 1 FLAT \"a\" 99999999999999999999\n",
        HEAD "createType=\"x\"\nRW 1 RAW \"a\" 0\n",
        HEAD "createType=\"x\"\nRW 18446744073709551615 ZERO\n",
    };
    struct vmdk_descriptor descriptor;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(parse(bad[i], &descriptor), -EBADMSG);
}

static void chains_are_spelt_out(void **state)
{
    char *format = strdup("any");
    struct image_layer files[] = {
        {.format = format}, {.format = format}, {.is_block_device = true}};
    int fds[] = {10, 11, 12};
    struct image_chain chain = {
        .files = files,
        .fds = fds,
        .count = 3,
        .nodes = {{"qcow2", 0, 1, -1, true}, {"vmdk", 1, -1, 20, true}, {"raw", 2, -1, -1, false}},
        .node_count = 3};
    char *text;

    (void)state;
    assert_int_equal(image_chain_describe(&chain, &text), 0);
    assert_string_equal(
        text,
        "json:{\"read-only\":true,\"force-share\":true,"
        "\"driver\":\"qcow2\","
        "\"file\":{\"driver\":\"file\",\"filename\":\"/proc/self/fd/10\",\"locking\":\"off\"},"
        "\"data-file\":{\"driver\":\"file\",\"filename\":\"/proc/self/fd/11\",\"locking\":\"off\"},"
        "\"backing\":{\"driver\":\"vmdk\","
        "\"file\":{\"driver\":\"file\",\"filename\":\"/proc/self/fd/20\",\"locking\":\"off\"},"
        "\"backing\":{\"driver\":\"raw\",\"file\":{\"driver\":\"host_device\","
        "\"filename\":\"/proc/self/fd/12\",\"locking\":\"off\"}}}}");
    free(text);
    chain.node_count = 1;
    assert_int_equal(image_chain_describe(&chain, &text), 0);
    assert_non_null(strstr(text, "\"backing\":null}"));
    free(text);
    free(format);
}

/* 64 layers with the longest numbers fit the room. */
static void the_longest_chain_fits(void **state)
{
    struct image_layer files[IMAGE_MAX_LAYERS] = {{0}};
    int fds[IMAGE_MAX_LAYERS];
    struct image_chain chain = {
        .files = files, .fds = fds, .count = IMAGE_MAX_LAYERS, .node_count = IMAGE_MAX_LAYERS};
    char *text;

    (void)state;
    for (size_t i = 0; i < IMAGE_MAX_LAYERS; i++) {
        fds[i] = INT32_MAX;
        files[i].is_block_device = true;
        chain.nodes[i] = (struct chain_node){"parallels", i, (ssize_t)i, -1, true};
    }
    assert_int_equal(image_chain_describe(&chain, &text), 0);
    assert_string_equal(text + strlen(text) - IMAGE_MAX_LAYERS - 5,
                        ":null}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_of_extents),
        cmocka_unit_test(what_is_not_understood_is_refused),
        cmocka_unit_test(chains_are_spelt_out),
        cmocka_unit_test(the_longest_chain_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
