/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of making images: settings that are allowed, and clusters that are written in part. */
#include "image/write.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CLUSTER ((uint64_t)65536)
#define SIZE    (16 * CLUSTER + 512)

static void settings(void **state)
{
    static const char *const good[] = {"",
                                       "compat=1.1",
                                       "compat=0.10,cluster_size=512",
                                       "preallocation=off",
                                       "cluster_size=2097152,extended_l2=on,refcount_bits=64",
                                       "compression_type=zstd",
                                       "lazy_refcounts=off"};
    static const char *const bad[] = {",",
                                      "compat",
                                      "compat=",
                                      "compat=1.1,",
                                      "compat=1.1=",
                                      "compat=1.1 ",
                                      " compat=1.1",
                                      "Compat=1.1",
                                      "data_file=x",
                                      "backing_file=/x",
                                      "cluster_size=64k",
                                      "preallocation=full",
                                      "=",
                                      "=x",
                                      "size=1",
                                      "compat=1.1,data_file=/etc/passwd"};
    struct error err;

    (void)state;
    assert_int_equal(write_settings_check("qcow2", NULL, &err), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        assert_int_equal(write_settings_check("qcow2", good[i], &err), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(write_settings_check("qcow2", bad[i], &err), -EINVAL);
    assert_int_equal(write_settings_check("raw", "compat=1.1", &err), -EINVAL);
    assert_int_equal(write_settings_check("vmdk", "subformat=monolithicFlat", &err), -EINVAL);
    assert_int_equal(write_settings_check("vmdk", "subformat=monolithicSparse", &err), 0);
}

static void settings_are_understood(void **state)
{
    (void)state;
    assert_int_equal(write_settings_cluster(NULL), 65536);
    assert_int_equal(write_settings_cluster("compat=1.1,cluster_size=4096"), 4096);
    assert_int_equal(write_settings_cluster("extended_l2=on,cluster_size=131072"), 4096);
    assert_int_equal(write_settings_cluster("extended_l2=on"), 2048);
    assert_int_equal(image_write_unit(&(struct image_write_options){.format = "raw"}), 1);
    assert_int_equal(image_write_unit(&(struct image_write_options){.format = "qcow2"}), 65536);
    assert_int_equal(image_write_unit(&(struct image_write_options){.format = "vdi"}), 1 << 20);
    assert_int_equal(image_write_unit(&(struct image_write_options){
                         .format = "qcow2", .settings = "cluster_size=2097152"}),
                     2 << 20);
    assert_int_equal(image_write_unit(&(struct image_write_options){.format = "qcow2",
                                                                    .settings = "cluster_size=0"}),
                     1);
    assert_true(image_write_zeroes_are_data(&(struct image_write_options){
        .format = "qcow2", .backing = "/b", .settings = "compat=0.10"}));
    assert_false(image_write_zeroes_are_data(
        &(struct image_write_options){.format = "qcow2", .backing = "/b"}));
    assert_false(image_write_zeroes_are_data(
        &(struct image_write_options){.format = "qcow2", .settings = "compat=0.10"}));
    assert_true(write_settings_knows_zeroes(NULL));
    assert_true(write_settings_knows_zeroes("compat=1.1"));
    assert_false(write_settings_knows_zeroes("cluster_size=512,compat=0.10"));
    assert_false(write_settings_knows_zeroes("compat=v2"));
}

static void assert_missing(struct write_cover *cover, uint64_t start)
{
    uint64_t missing = 1;

    assert_false(write_cover_is_whole(cover, &missing));
    assert_int_equal(missing, start);
}

static void clusters_become_whole(void **state)
{
    struct write_cover cover;
    uint64_t missing;

    (void)state;
    write_cover_init(&cover, SIZE, CLUSTER);
    assert_true(write_cover_is_whole(&cover, &missing));
    assert_int_equal(write_cover_add(&cover, CLUSTER, 5 * CLUSTER), 0);
    assert_true(write_cover_is_whole(&cover, &missing));
    /* From the middle of one to the middle of another, with whole ones between. */
    assert_int_equal(write_cover_add(&cover, 8 * CLUSTER + 100, 3 * CLUSTER), 0);
    assert_missing(&cover, 8 * CLUSTER);
    assert_int_equal(write_cover_add(&cover, 8 * CLUSTER, 99), 0);
    assert_missing(&cover, 8 * CLUSTER);
    assert_int_equal(write_cover_add(&cover, 8 * CLUSTER + 99, 1), 0);
    assert_missing(&cover, 11 * CLUSTER);
    assert_int_equal(write_cover_add(&cover, 11 * CLUSTER + 100, CLUSTER - 100), 0);
    assert_true(write_cover_is_whole(&cover, &missing));
    /* The last one ends with the image. */
    assert_int_equal(write_cover_add(&cover, 16 * CLUSTER, 500), 0);
    assert_missing(&cover, 16 * CLUSTER);
    assert_int_equal(write_cover_add(&cover, 16 * CLUSTER + 500, 12), 0);
    assert_true(write_cover_is_whole(&cover, &missing));
    assert_int_equal(write_cover_add(&cover, 15 * CLUSTER, CLUSTER + 512), 0);
    assert_true(write_cover_is_whole(&cover, &missing));
    write_cover_release(&cover);
    write_cover_release(&cover);
}

static void too_many_are_begun(void **state)
{
    struct write_cover cover;
    uint64_t count = 0;

    (void)state;
    write_cover_init(&cover, (uint64_t)1 << 40, CLUSTER);
    while (count < 100000 && write_cover_add(&cover, count * CLUSTER, 1) == 0)
        count++;
    assert_in_range(count, 100, 99999);
    write_cover_release(&cover);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings),
        cmocka_unit_test(settings_are_understood),
        cmocka_unit_test(clusters_become_whole),
        cmocka_unit_test(too_many_are_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
