/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every prefix of every recorded file gives a prefix of what the whole file gives. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host_data.h"

#include <errno.h>

/*
 * The prefix is put at the very end of memory of its own size, so that a
 * sanitizer or valgrind sees a parser that looks beyond it.
 */
static struct text copy_prefix(const struct file_buffer *file, size_t length, char **ret_copy)
{
    char *copy = malloc(length > 0 ? length : 1);

    assert_non_null(copy);
    if (length > 0)
        memcpy(copy, file->bytes, length);
    *ret_copy = copy;
    return text_of(copy, length);
}

/* Reads the case's file; false where the case has none. */
static bool read_case(const char *name, const char *leaf, struct file_buffer *file)
{
    int rc = host_case_read(name, leaf, file);

    if (rc == -ENOENT)
        return false;
    assert_int_equal(rc, 0);
    return true;
}

/* Member by member: there is padding between them. */
static void check_times(const struct cpu_times *part, const struct cpu_times *whole)
{
    assert_memory_equal(part, whole, offsetof(struct cpu_times, fields));
    assert_int_equal(part->fields, whole->fields);
}

static void stat_prefixes(const struct file_buffer *file)
{
    struct host_cpu whole = {0}, part = {0};

    assert_int_equal(host_parse_stat(text_of(file->bytes, file->length), &whole, NULL), 0);
    for (size_t length = 0; length <= file->length; length++) {
        CLEANUP(cleanup_free) char *copy = NULL;
        int rc = host_parse_stat(copy_prefix(file, length, &copy), &part, NULL);

        if (rc == 0) {
            check_times(&part.all, &whole.all);
            assert_true(part.cpu_count <= whole.cpu_count);
            for (size_t i = 0; i < part.cpu_count; i++) {
                assert_int_equal(part.cpus[i].number, whole.cpus[i].number);
                check_times(&part.cpus[i].times, &whole.cpus[i].times);
            }
        } else {
            assert_int_equal(rc, -EBADMSG);
        }
    }
    assert_int_equal(part.cpu_count, whole.cpu_count);
    free(whole.cpus);
    free(part.cpus);
}

static void meminfo_prefixes(const struct file_buffer *file)
{
    struct host_memory whole = {0};
    uint64_t all[8], some[8];

    assert_int_equal(host_parse_meminfo(text_of(file->bytes, file->length), &whole, NULL), 0);
    memcpy(all, &whole.total, sizeof(all));
    for (size_t length = 0; length <= file->length; length++) {
        CLEANUP(cleanup_free) char *copy = NULL;
        struct host_memory part = {0};
        int rc = host_parse_meminfo(copy_prefix(file, length, &copy), &part, NULL);

        assert_true(rc == 0 || rc == -EBADMSG);
        memcpy(some, &part.total, sizeof(some));
        for (size_t i = 0; rc == 0 && i < ARRAY_LENGTH(some); i++)
            assert_true(some[i] == all[i] || some[i] == UNKNOWN_U64);
        if (length == file->length)
            assert_memory_equal(some, all, sizeof(some));
    }
}

static void check_disks(const struct host_disks *part, const struct host_disks *whole)
{
    assert_true(part->count <= whole->count);
    for (size_t i = 0; i < part->count; i++) {
        assert_string_equal(part->disks[i].name, whole->disks[i].name);
        assert_int_equal(part->disks[i].minor, whole->disks[i].minor);
        assert_memory_equal(&part->disks[i].counters, &whole->disks[i].counters,
                            sizeof(part->disks[i].counters));
    }
}

static void diskstats_prefixes(const struct file_buffer *file)
{
    struct host_disks whole = {0}, part = {0};

    assert_int_equal(host_parse_diskstats(text_of(file->bytes, file->length), &whole, NULL), 0);
    for (size_t length = 0; length <= file->length; length++) {
        CLEANUP(cleanup_free) char *copy = NULL;
        int rc = host_parse_diskstats(copy_prefix(file, length, &copy), &part, NULL);

        assert_true(rc == 0 || rc == -EBADMSG);
        check_disks(&part, &whole);
    }
    assert_int_equal(part.count, whole.count);
    free(whole.disks);
    free(part.disks);
}

static void net_dev_prefixes(const struct file_buffer *file)
{
    struct host_interfaces whole = {0}, part = {0};

    assert_int_equal(host_parse_net_dev(text_of(file->bytes, file->length), &whole, NULL), 0);
    for (size_t length = 0; length <= file->length; length++) {
        CLEANUP(cleanup_free) char *copy = NULL;
        int rc = host_parse_net_dev(copy_prefix(file, length, &copy), &part, NULL);

        assert_true(rc == 0 || rc == -EBADMSG);
        assert_true(part.count <= whole.count);
        for (size_t i = 0; i < part.count; i++) {
            assert_string_equal(part.interfaces[i].name, whole.interfaces[i].name);
            assert_memory_equal(&part.interfaces[i].counters, &whole.interfaces[i].counters,
                                sizeof(part.interfaces[i].counters));
        }
    }
    assert_int_equal(part.count, whole.count);
    free(whole.interfaces);
    free(part.interfaces);
}

/* Disks that a cut /proc/partitions keeps are among the disks there are. */
static void partitions_prefixes(const struct file_buffer *file, const struct file_buffer *diskstats)
{
    struct host_disks disks = {0};

    for (size_t length = 0; length <= file->length; length++) {
        CLEANUP(cleanup_free) char *copy = NULL;
        size_t before;

        assert_int_equal(
            host_parse_diskstats(text_of(diskstats->bytes, diskstats->length), &disks, NULL), 0);
        before = disks.count;
        host_keep_partitions(&disks, copy_prefix(file, length, &copy));
        assert_true(disks.count <= before && disks.count > 0);
    }
    free(disks.disks);
}

static void every_prefix_is_sane(void **state)
{
    static const struct {
        const char *leaf;
        void (*check)(const struct file_buffer *file);
    } files[] = {
        {"proc/stat", stat_prefixes},
        {"proc/meminfo", meminfo_prefixes},
        {"proc/diskstats", diskstats_prefixes},
        {"proc/net/dev", net_dev_prefixes},
    };
    CLEANUP(file_buffer_release) struct file_buffer file = {0}, diskstats = {0};
    const char *name = *state;
    size_t checked = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        if (!read_case(name, files[i].leaf, &file))
            continue;
        files[i].check(&file);
        checked++;
    }
    if (read_case(name, "proc/partitions", &file) && read_case(name, "proc/diskstats", &diskstats))
        partitions_prefixes(&file, &diskstats);
    assert_true(checked > 0);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_LENGTH(host_cases)];

    for (size_t i = 0; i < ARRAY_LENGTH(host_cases); i++) {
        tests[i] = (struct CMUnitTest){
            .name = host_cases[i],
            .test_func = every_prefix_is_sane,
            .initial_state = (void *)(uintptr_t)host_cases[i],
        };
    }
    return cmocka_run_group_tests_name("host prefixes", tests, NULL, NULL);
}
