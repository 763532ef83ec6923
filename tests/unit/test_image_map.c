/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of image files: how far the file must reach for what an entry names. */
#include "image/map.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MOST_ENTRIES 4

static uint8_t header[IMAGE_MAP_HEADER_BYTES];
static uint8_t table[MOST_ENTRIES * 16];

static void put_big(uint8_t *at, uint64_t value, size_t length)
{
    for (size_t i = 0; i < length; i++)
        at[i] = (uint8_t)(value >> (8 * (length - 1 - i)));
}

static void put_little(uint8_t *at, uint64_t value, size_t length)
{
    for (size_t i = 0; i < length; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static int clear(void **state)
{
    (void)state;
    memset(header, 0, sizeof(header));
    memset(table, 0, sizeof(table));
    return 0;
}

/* Clusters of 64 KiB. */
static void make_qcow2(unsigned version, uint64_t features)
{
    memcpy(header, "QFI\xfb", 4);
    put_big(header + 4, version, 4);
    put_big(header + 20, 16, 4);
    put_big(header + 36, 3, 4);
    put_big(header + 40, 0x30000, 8);
    put_big(header + 48, 0x10000, 8);
    put_big(header + 72, features, 8);
}

static void parse(const char *format, struct image_map *map)
{
    assert_true(image_map_parse(format, header, sizeof(header), map));
}

static uint64_t reach_of_entry(const struct image_map *map, uint64_t entry)
{
    put_big(table, entry, 8);
    return image_map_reach(map, table, 8);
}

static void qcow2_header(void **state)
{
    struct image_map map;

    (void)state;
    make_qcow2(3, 0);
    parse("qcow2", &map);
    assert_int_equal(map.directory_at, 0x30000);
    assert_int_equal(map.directory_bytes, 24);
    assert_int_equal(map.table_bytes, 65536);
    assert_int_equal(map.refcounts_at, 0x10000);
    assert_int_equal(map.table_entry_bytes, 8);
    put_big(table, 0x8000000000050000, 8);
    assert_int_equal(map.table(&map, table), 0x50000);
    put_big(table, 0x8000000000050200, 8); /* amiss: QEMU refuses to read it */
    assert_int_equal(map.table(&map, table), 0);
    put_big(table, 0x8000000000000000, 8);
    assert_int_equal(map.table(&map, table), 0);
}

static void qcow2_clusters(void **state)
{
    struct image_map map;

    (void)state;
    make_qcow2(3, 0);
    parse("qcow2", &map);
    assert_int_equal(reach_of_entry(&map, 0), 0);
    assert_int_equal(reach_of_entry(&map, 0x8000000000070000), 0x70001);
    assert_int_equal(reach_of_entry(&map, 0x70000), 0x70001);
    assert_int_equal(reach_of_entry(&map, 0x8000000000070001), 0); /* zeroes that have a place */
    assert_int_equal(reach_of_entry(&map, 1), 0);
    assert_int_equal(reach_of_entry(&map, 0x8000000000000000), 0);
    /* The greatest of a table counts, the last entry too. */
    put_big(table, 0x60000, 8);
    put_big(table + 8, 0x90000, 8);
    put_big(table + 16, 0x80000, 8);
    assert_int_equal(image_map_reach(&map, table, 24), 0x90001);
    put_big(table + 16, 0xa0000, 8);
    assert_int_equal(image_map_reach(&map, table, 24), 0xa0001);
    assert_int_equal(image_map_reach(&map, table, 16), 0x90001);
}

static void qcow2_compressed(void **state)
{
    struct image_map map;
    uint64_t compressed = (uint64_t)1 << 62;

    (void)state;
    make_qcow2(2, 0);
    parse("qcow2", &map);
    assert_int_equal(reach_of_entry(&map, compressed | 0x70123), 0x70124);
    /* Three sectors more: the last begins at a multiple of 512. */
    assert_int_equal(reach_of_entry(&map, compressed | (uint64_t)3 << 54 | 0x70123), 0x70601);
    assert_int_equal(reach_of_entry(&map, compressed | (uint64_t)255 << 54 | 0x70000), 0x8fe01);
    assert_int_equal(reach_of_entry(&map, compressed | (((uint64_t)1 << 54) - 1)),
                     (uint64_t)1 << 54);
}

static void qcow2_data_file(void **state)
{
    struct image_map map;

    (void)state;
    make_qcow2(3, 4);
    parse("qcow2", &map);
    assert_true(map.has_data_file);
    assert_int_equal(reach_of_entry(&map, 0x8000000000000000), 1); /* a cluster at 0 */
    assert_int_equal(reach_of_entry(&map, 0x8000000000070000), 0x70001);
    assert_int_equal(reach_of_entry(&map, 0), 0);
    clear(NULL);
    make_qcow2(2, 4); /* version 2 knows no features */
    parse("qcow2", &map);
    assert_false(map.has_data_file);
    assert_int_equal(reach_of_entry(&map, 0x8000000000000000), 0);
}

static void qcow2_extended(void **state)
{
    struct image_map map;

    (void)state;
    make_qcow2(3, 16);
    parse("qcow2", &map);
    assert_int_equal(map.table_entry_bytes, 16);
    put_big(table, 0x8000000000070000, 8);
    assert_int_equal(image_map_reach(&map, table, 16), 0); /* nothing of it is stored */
    put_big(table + 8, 0xffffffff00000000, 8);             /* all zeroes */
    assert_int_equal(image_map_reach(&map, table, 16), 0);
    put_big(table + 8, 1, 8);
    assert_int_equal(image_map_reach(&map, table, 16), 0x70001);
    put_big(table + 8, 0x10, 8);
    assert_int_equal(image_map_reach(&map, table, 16), 0x70000 + 4 * 2048 + 1);
    put_big(table + 8, 0xffffffff, 8);
    assert_int_equal(image_map_reach(&map, table, 16), 0x70000 + 31 * 2048 + 1);
    put_big(table, (uint64_t)1 << 62 | 0x80123, 8); /* compressed: no bits */
    put_big(table + 8, 0, 8);
    assert_int_equal(image_map_reach(&map, table, 16), 0x80124);
}

static void qcow2_bad_headers(void **state)
{
    struct image_map map = {0};

    (void)state;
    make_qcow2(3, 0);
    assert_false(image_map_parse("qcow2", header, 103, &map));
    assert_false(image_map_parse("qed", header, sizeof(header), &map));
    for (unsigned bits = 0; bits < 70; bits++) {
        put_big(header + 20, bits, 4);
        assert_int_equal(image_map_parse("qcow2", header, sizeof(header), &map),
                         bits >= 9 && bits <= 21);
    }
    make_qcow2(9, 0);
    assert_false(image_map_parse("qcow2", header, sizeof(header), &map));
}

static void qcow(void **state)
{
    struct image_map map;

    (void)state;
    put_big(header + 24, 8 << 20, 8); /* 8 MiB in clusters of 4 KiB, 512 of them a table */
    header[32] = 12;
    header[33] = 9;
    put_big(header + 40, 48, 8);
    parse("qcow", &map);
    assert_int_equal(map.directory_at, 48);
    assert_int_equal(map.directory_bytes, 4 * 8);
    assert_int_equal(map.table_bytes, 4096);
    put_big(table, 0x5000, 8);
    assert_int_equal(map.table(&map, table), 0x5000);
    assert_int_equal(reach_of_entry(&map, 0), 0);
    assert_int_equal(reach_of_entry(&map, 0x6000), 0x6001);
    assert_int_equal(reach_of_entry(&map, (uint64_t)1 << 63 | (uint64_t)700 << 51 | 0x6010),
                     0x6010 + 700);
    put_big(header + 24, (8 << 20) + 1, 8);
    parse("qcow", &map);
    assert_int_equal(map.directory_bytes, 5 * 8);
    header[33] = 14;
    assert_false(image_map_parse("qcow", header, sizeof(header), &map));
}

static void vmdk(void **state)
{
    struct image_map map;

    (void)state;
    memcpy(header, "KDMV", 4);
    put_little(header + 12, 65536 * 2 + 1, 8); /* sectors: two tables' worth and a bit */
    put_little(header + 20, 128, 8);
    put_little(header + 44, 512, 4);
    put_little(header + 56, 26, 8);
    parse("vmdk", &map);
    assert_int_equal(map.directory_at, 26 * 512);
    assert_int_equal(map.directory_bytes, 3 * 4);
    assert_int_equal(map.table_bytes, 2048);
    put_little(table, 27, 4);
    put_little(table + 4, 1, 4); /* zeroes */
    assert_int_equal(map.table(&map, table), 27 * 512);
    assert_int_equal(image_map_reach(&map, table, 8), 27 * 512 + 1);
    assert_int_equal(image_map_reach(&map, table + 4, 8), 0);
    put_little(table + 8, UINT32_MAX, 4);
    assert_int_equal(image_map_reach(&map, table, 12), UINT32_MAX * (uint64_t)512 + 1);
    put_little(header + 56, UINT64_MAX, 8); /* its directory is at the end */
    assert_false(image_map_parse("vmdk", header, sizeof(header), &map));
    memcpy(header, "COWD", 4);
    assert_false(image_map_parse("vmdk", header, sizeof(header), &map));
}

static void vdi(void **state)
{
    struct image_map map;

    (void)state;
    put_little(header + 340, 512, 4);
    put_little(header + 344, 1024, 4);
    put_little(header + 376, 1 << 20, 4);
    put_little(header + 384, 8, 4);
    parse("vdi", &map);
    assert_null(map.table);
    assert_int_equal(map.directory_at, 512);
    assert_int_equal(map.directory_bytes, 32);
    put_little(table, UINT32_MAX, 4);
    put_little(table + 4, UINT32_MAX - 1, 4);
    assert_int_equal(image_map_reach(&map, table, 8), 0);
    put_little(table, 0, 4);
    assert_int_equal(image_map_reach(&map, table, 8), 1025);
    put_little(table + 4, 5, 4);
    assert_int_equal(image_map_reach(&map, table, 8), 1024 + (5 << 20) + 1);
}

static void parallels(void **state)
{
    struct image_map map;

    (void)state;
    memcpy(header, "WithouFreSpacExt", 16);
    put_little(header + 28, 2048, 4);
    put_little(header + 32, 8, 4);
    parse("parallels", &map);
    assert_int_equal(map.directory_at, 64);
    assert_int_equal(map.directory_bytes, 32);
    put_little(table, 3, 4);
    assert_int_equal(image_map_reach(&map, table, 8), (3 << 20) + 1);
    memcpy(header, "WithoutFreeSpace", 16);
    parse("parallels", &map);
    assert_int_equal(image_map_reach(&map, table, 8), 3 * 512 + 1);
    memcpy(header, "WithouFreSpacExt", 16);
    put_little(header + 28, UINT32_MAX, 4);
    put_little(table, UINT32_MAX, 4);
    parse("parallels", &map);
    assert_true(image_map_reach(&map, table, 8) == UINT64_MAX); /* further than numbers go */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(qcow2_header, clear),
        cmocka_unit_test_setup(qcow2_clusters, clear),
        cmocka_unit_test_setup(qcow2_compressed, clear),
        cmocka_unit_test_setup(qcow2_data_file, clear),
        cmocka_unit_test_setup(qcow2_extended, clear),
        cmocka_unit_test_setup(qcow2_bad_headers, clear),
        cmocka_unit_test_setup(qcow, clear),
        cmocka_unit_test_setup(vmdk, clear),
        cmocka_unit_test_setup(vdi, clear),
        cmocka_unit_test_setup(parallels, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
