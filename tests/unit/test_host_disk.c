/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holds the parser of /proc/diskstats and the classification of disks to their contract. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host_data.h"

#include <errno.h>

static int parse(const char *text, struct host_disks *disks, struct error *err)
{
    return host_parse_diskstats(text_of(text, strlen(text)), disks, err);
}

static void set_names(struct host_disks *disks, const char *const *names, size_t count)
{
    assert_int_equal(array_reserve(&disks->disks, &disks->capacity, count, sizeof(*disks->disks)),
                     0);
    for (size_t i = 0; i < count; i++) {
        disks->disks[i] = (struct host_disk){.major = 8, .minor = (unsigned)i};
        string_copy(disks->disks[i].name, sizeof(disks->disks[i].name), names[i]);
    }
    disks->count = count;
}

static void lines_of_every_length_give_what_they_hold(void **state)
{
    struct host_disks disks = {0};
    /* index: numbers behind the name; true: the line is whole */
    static const bool whole[] = {false, false, false, false, true, false, false,
                                 false, false, false, false, true, true,  true,
                                 true,  true,  true,  true,  true, true,  true};

    (void)state;
    for (size_t numbers = 0; numbers < ARRAY_LENGTH(whole); numbers++) {
        const struct disk_counters *counters;
        char *text = NULL;
        size_t length;
        FILE *out = open_memstream(&text, &length);

        fputs("8 0 ok 1 1 1 1\n 8 16 sdb", out);
        for (size_t i = 1; i <= numbers; i++)
            fprintf(out, " %zu", i * 100);
        fputs("\n", out);
        fclose(out);
        assert_int_equal(parse(text, &disks, NULL), 0);
        assert_int_equal(disks.count, whole[numbers] ? 2 : 1);
        free(text);
        if (!whole[numbers])
            continue;
        counters = &disks.disks[1].counters;
        assert_int_equal(disks.disks[1].minor, 16);
        assert_int_equal(counters->read_ops, 100);
        assert_int_equal(counters->read_sectors, numbers == 4 ? 200 : 300);
        assert_int_equal(counters->write_sectors, numbers == 4 ? 400 : 700);
        assert_true(counters->io_ms == (numbers == 4 ? UNKNOWN_U64 : 1000));
        assert_true(counters->discard_ms == (numbers >= 15 ? 1500 : UNKNOWN_U64));
        assert_true(counters->flush_ms == (numbers >= 17 ? 1700 : UNKNOWN_U64));
    }
    free(disks.disks);
}

static void lines_that_are_no_disk_are_left_out(void **state)
{
    static const char *const bad[] = {"\n",
                                      "x\n",
                                      "8\n",
                                      "8 0\n",
                                      "8 0 \n",
                                      "-8 0 sda 1 2 3 4\n",
                                      "4294967296 0 sda 1 2 3 4\n",
                                      "8 0 sda 1 2 3 x\n",
                                      "8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 x\n",
                                      "8 0 sda 1 2 3 - 4\n",
                                      "8 0 s\033da 1 2 3 4\n",
                                      "8 0 sda 1 2 3 99999999999999999999\n",
                                      "8 0 sda 1 2 3 4"};
    struct host_disks disks = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct error err = {{0}};

        assert_int_equal(parse(bad[i], &disks, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "/proc/diskstats"));
        assert_int_equal(disks.count, 0);
    }
    assert_int_equal(parse("", &disks, NULL), 0);
    assert_int_equal(disks.count, 0);
    free(disks.disks);
}

static void requests_in_flight_below_zero_are_unknown(void **state)
{
    struct host_disks disks = {0};

    (void)state;
    assert_int_equal(parse("8 0 sda 1 2 3 4 5 6 7 8 -2 10 11\n", &disks, NULL), 0);
    assert_true(disks.disks[0].counters.in_flight == UNKNOWN_U64);
    assert_int_equal(disks.disks[0].counters.io_ms, 10);
    free(disks.disks);
}

static void names_tell_the_kind(void **state)
{
    static const struct {
        const char *name;
        enum disk_kind kind;
    } expected[] = {
        {"sda", DISK_WHOLE},
        {"sda1", DISK_PARTITION},
        {"sda15", DISK_PARTITION},
        {"sdaa", DISK_WHOLE},
        {"sdaa1", DISK_PARTITION},
        {"sdb1", DISK_WHOLE},
        {"xvda1", DISK_WHOLE},
        {"vda", DISK_WHOLE},
        {"vda1", DISK_PARTITION},
        {"nvme0n1", DISK_WHOLE},
        {"nvme0n1p1", DISK_PARTITION},
        {"nvme0n12", DISK_WHOLE},
        {"nvme0c0n1", DISK_STACKED},
        {"nvme0c12n1", DISK_STACKED},
        {"nvme1n1", DISK_WHOLE},
        {"nvme2n1p1", DISK_WHOLE},
        {"mmcblk0", DISK_WHOLE},
        {"mmcblk0p2", DISK_PARTITION},
        {"mmcblk0boot1", DISK_WHOLE},
        {"nbd0", DISK_WHOLE},
        {"nbd0p1", DISK_PARTITION},
        {"nbd1", DISK_WHOLE},
        {"nbd10", DISK_WHOLE},
        {"cciss!c0d0", DISK_WHOLE},
        {"cciss!c0d0p1", DISK_PARTITION},
        {"cciss/c1d0", DISK_WHOLE},
        {"cciss/c1d0p3", DISK_PARTITION},
        {"dm-0", DISK_STACKED},
        {"dm-12", DISK_STACKED},
        {"dm-x", DISK_WHOLE},
        {"md0", DISK_STACKED},
        {"md0p1", DISK_PARTITION},
        {"md_d0", DISK_STACKED},
        {"md_home", DISK_STACKED},
        {"mdx", DISK_WHOLE},
        {"bcache0", DISK_STACKED},
        {"drbd1", DISK_STACKED},
        {"zd16", DISK_STACKED},
        {"zd16p1", DISK_PARTITION},
        {"loop0", DISK_MEMORY},
        {"loop0p1", DISK_PARTITION},
        {"loopx", DISK_WHOLE},
        {"ram15", DISK_MEMORY},
        {"zram0", DISK_MEMORY},
        {"sr0", DISK_WHOLE},
        {"fd0", DISK_WHOLE},
        {"rbd0", DISK_WHOLE},
        {"rbd0p1", DISK_PARTITION},
        {"dasda", DISK_WHOLE},
        {"dasda1", DISK_PARTITION},
        {"p1", DISK_WHOLE},
        {"1", DISK_WHOLE},
    };
    const char *names[ARRAY_LENGTH(expected)];
    struct host_disks disks = {0};

    (void)state;
    /* As printed by the kernel, then the other way round. */
    for (int reversed = 0; reversed < 2; reversed++) {
        for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
            names[i] = expected[reversed ? ARRAY_LENGTH(names) - 1 - i : i].name;
        set_names(&disks, names, ARRAY_LENGTH(names));
        host_classify_disks(&disks);
        for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
            enum disk_kind kind = expected[reversed ? ARRAY_LENGTH(names) - 1 - i : i].kind;

            if (disks.disks[i].kind != kind)
                fail_msg("%s: kind %d, expected %d", names[i], (int)disks.disks[i].kind, (int)kind);
        }
    }
    free(disks.disks);
}

static void check_kept(const char *partitions, const char *const *kept, size_t count)
{
    static const char *const names[] = {"loop0", "sda", "sda1", "sda12", "sdb", "sr0"};
    struct host_disks disks = {0};

    set_names(&disks, names, ARRAY_LENGTH(names));
    host_keep_partitions(&disks, text_of(partitions, strlen(partitions)));
    assert_int_equal(disks.count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(disks.disks[i].name, kept[i]);
    free(disks.disks);
}

#define HEAD "major minor  #blocks  name\n\n"

static void only_disks_that_partitions_names_are_kept(void **state)
{
    static const char *const all[] = {"loop0", "sda", "sda1", "sda12", "sdb", "sr0"};
    static const char *const some[] = {"sda", "sda1", "sdb"};

    (void)state;
    check_kept("", all, 6);
    check_kept(HEAD, all, 6);
    check_kept("rubbish\n8 0 x sda\n", all, 6);
    check_kept(HEAD "8 0 10 sda\n8 1 9 sda1\n8 16 10 sdb\n", some, 3);
    /* another order, and a disk that diskstats did not have yet */
    check_kept(HEAD "8 16 10 sdb\n8 1 9 sda1\n8 32 9 sdc\n8 0 10 sda\n", some, 3);
    check_kept(HEAD "8 0 10 sda\n8 1 9 sda1\n8 16 10 sdb\n8 32 7 sdc\n", some, 3);
    /* The last line is cut: it could be the beginning of any name. */
    check_kept(HEAD "8 0 10 sda\n8 1 9 sda1\n8 16 10 sdb\n8 17 10 sr0", some, 3);
}

static void thousands_of_disks_are_classified(void **state)
{
    struct host_disks disks = {0};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    (void)state;
    for (unsigned i = 0; i < 3000; i++)
        fprintf(out, "259 %u nvme%un1 1 1 1 1\n259 %u nvme%un1p1 1 1 1 1\n", 2 * i, i, 2 * i + 1,
                i);
    fclose(out);
    assert_int_equal(parse(text, &disks, NULL), 0);
    assert_int_equal(disks.count, 6000);
    for (size_t i = 0; i < disks.count; i++)
        assert_int_equal(disks.disks[i].kind, i % 2 == 0 ? DISK_WHOLE : DISK_PARTITION);
    free(text);
    free(disks.disks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_every_length_give_what_they_hold),
        cmocka_unit_test(lines_that_are_no_disk_are_left_out),
        cmocka_unit_test(requests_in_flight_below_zero_are_unknown),
        cmocka_unit_test(names_tell_the_kind),
        cmocka_unit_test(only_disks_that_partitions_names_are_kept),
        cmocka_unit_test(thousands_of_disks_are_classified),
    };

    return cmocka_run_group_tests_name("host disks", tests, NULL, NULL);
}
