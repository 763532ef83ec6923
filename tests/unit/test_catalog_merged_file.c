/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A merged index in a file that is opened as it is: nobody looks at the hosts, nothing is written. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "made_fingerprint.h"
#include "setmov/catalog_merged_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOSTS  3
#define BLOCKS 20000 /* of an image, so that some are sampled */

static char directory[64], merged_path[96], host_paths[HOSTS][96], file_paths[HOSTS][128];
static const struct catalog_kind kind = {.kind = DIGEST_MD5, .block_size = MADE_BLOCK_SIZE};
static struct catalog_merged_source sources[HOSTS] = {
    {.name = "alpha"}, {.name = "beta"}, {.name = "gamma"}};

static void put_file(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* The i-th host has the first (i + 1) / HOSTS of the query, and more of its own. */
static struct made_fingerprint make_image(size_t host)
{
    static uint64_t contents[BLOCKS];

    for (size_t i = 0; i < BLOCKS; i++)
        contents[i] = i < BLOCKS * (host + 1) / HOSTS ? i : i + (host + 1) * BLOCKS;
    return made_fingerprint(contents, BLOCKS);
}

static void make_hosts(void)
{
    for (size_t i = 0; i < HOSTS; i++) {
        struct made_fingerprint made = make_image(i);
        uint8_t *bytes;
        size_t length;

        assert_int_equal(fingerprint_encode(&made.view, &bytes, &length, NULL), 0);
        put_file(file_paths[i], bytes, length);
        free(bytes);
        made_fingerprint_release(&made);
    }
}

/* The index of all hosts, as `setmov sync` makes it; of the middle one there is nothing to read. */
static void make_merged(struct similarity_estimate *ret_all, const struct fingerprint_view *query)
{
    const struct catalog_merged_options options = {.temporary = directory};
    struct catalog_merged_file *file = NULL;
    struct error err = {""};

    if (catalog_merged_file_open(merged_path, sources, HOSTS, &kind, &options, &file, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(catalog_merged_file_host_count(file), HOSTS);
    assert_string_equal(catalog_merged_file_host_name(file, 0), "alpha");
    assert_null(catalog_merged_file_host_name(file, 1));
    assert_string_equal(catalog_merged_file_host_name(file, 2), "gamma");
    assert_int_equal(catalog_merged_file_state(file, 1).code, -ENOENT);
    assert_int_equal(catalog_merged_file_query(file, query, ret_all, &err), 0);
    catalog_merged_file_close(file);
}

static void check_mapped(const struct catalog_merged_file *file,
                         const struct fingerprint_view *query,
                         const struct similarity_estimate *expected)
{
    struct similarity_estimate all[HOSTS];
    struct error err = {""};

    assert_int_equal(catalog_merged_file_host_count(file), HOSTS - 1);
    assert_string_equal(catalog_merged_file_host_name(file, 0), "alpha");
    assert_string_equal(catalog_merged_file_host_name(file, 1), "gamma");
    assert_false(catalog_merged_file_is_new(file));
    for (size_t i = 0; i < HOSTS - 1; i++) {
        assert_int_equal(catalog_merged_file_state(file, i).code, 0);
        assert_int_equal(catalog_merged_file_state(file, i).images, 1);
        assert_false(catalog_merged_file_state(file, i).problems);
    }
    assert_int_equal(catalog_merged_file_query(file, query, all, &err), 0);
    assert_memory_equal(&all[0], &expected[0], sizeof(all[0]));
    assert_memory_equal(&all[1], &expected[2], sizeof(all[0]));
    assert_true(all[0].best.identical_distinct < all[1].best.identical_distinct);
}

/* All that `setmov sync` wrote is there, though the hosts' directories are gone. */
static void rows_are_hosts(void **state)
{
    struct made_fingerprint query = make_image(HOSTS - 1);
    struct similarity_estimate expected[HOSTS];
    struct catalog_merged_file *file = NULL;
    struct stat before, after;
    struct error err = {""};

    (void)state;
    make_hosts();
    sources[1].directory = "/nowhere/at/all";
    make_merged(expected, &query.view);
    assert_int_equal(stat(merged_path, &before), 0);
    for (size_t i = 0; i < HOSTS; i++)
        assert_int_equal(unlink(file_paths[i]) | rmdir(host_paths[i]), 0);
    assert_int_equal(catalog_merged_file_map(merged_path, &file, &err), 0);
    check_mapped(file, &query.view, expected);
    catalog_merged_file_close(file);
    assert_int_equal(stat(merged_path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
    for (size_t i = 0; i < HOSTS; i++)
        assert_int_equal(mkdir(host_paths[i], 0700), 0);
    made_fingerprint_release(&query);
}

static void not_mapped(int code, const char *message)
{
    struct catalog_merged_file *file = NULL;
    struct error err = {""};
    char expected[256];

    assert_int_equal(catalog_merged_file_map(merged_path, &file, &err), code);
    string_format(expected, sizeof(expected), "%s%s", merged_path, message);
    assert_string_equal(err.text, expected);
    assert_null(file);
}

static void what_is_none_is_told_and_left_alone(void **state)
{
    (void)state;
    unlink(merged_path);
    not_mapped(-ENOENT, ": No such file or directory");
    assert_int_equal(symlink("nowhere", merged_path), 0);
    not_mapped(-ENOENT, ": No such file or directory");
    unlink(merged_path);
    put_file(merged_path, "", 0);
    not_mapped(-EINVAL, ": this is no merged index");
    put_file(merged_path, "SETMOVMI", 8);
    not_mapped(-EINVAL, ": this is no merged index");
    unlink(merged_path);
    assert_int_equal(mkdir(merged_path, 0700), 0);
    not_mapped(-EINVAL, " is not a regular file");
    assert_int_equal(rmdir(merged_path), 0);
    assert_int_equal(mkfifo(merged_path, 0600), 0);
    not_mapped(-EINVAL, " is not a regular file");
    unlink(merged_path);
}

static void damaged_or_cut_it_is_told(void **state)
{
    struct made_fingerprint query = make_image(HOSTS - 1);
    struct similarity_estimate all[HOSTS];
    struct catalog_merged_file *file = NULL;
    struct error err = {""};
    struct stat status = {0};
    int fd;

    (void)state;
    /* cmocka has a handler of its own, which is put back behind each test. */
    assert_int_equal(fingerprint_file_guard_install(&err), 0);
    make_hosts();
    make_merged(all, &query.view);
    fd = open(merged_path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    assert_int_equal(catalog_merged_file_map(merged_path, &file, &err), 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(catalog_merged_file_query(file, &query.view, all, &err), -EIO);
    catalog_merged_file_close(file);
    unlink(merged_path);
    close(fd);

    make_merged(all, &query.view);
    assert_int_equal(truncate(merged_path, status.st_size - 1), 0);
    not_mapped(-EINVAL, ": the merged index is damaged: its length is not what its head tells");
    unlink(merged_path);
    made_fingerprint_release(&query);
}

static int make_directories(void **state)
{
    (void)state;
    string_copy(directory, sizeof(directory), "/tmp/setmov-merged.XXXXXX");
    if (mkdtemp(directory) == NULL)
        return 1;
    string_format(merged_path, sizeof(merged_path), "%s/md5-512.merged", directory);
    for (size_t i = 0; i < HOSTS; i++) {
        string_format(host_paths[i], sizeof(host_paths[i]), "%s/%s", directory, sources[i].name);
        string_format(file_paths[i], sizeof(file_paths[i]), "%s/a.fingerprint", host_paths[i]);
        sources[i].directory = host_paths[i];
        if (mkdir(host_paths[i], 0700) < 0)
            return 1;
    }
    return 0;
}

static int remove_directories(void **state)
{
    (void)state;
    unlink(merged_path);
    for (size_t i = 0; i < HOSTS; i++) {
        unlink(file_paths[i]);
        rmdir(host_paths[i]);
    }
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_hosts),
        cmocka_unit_test(what_is_none_is_told_and_left_alone),
        cmocka_unit_test(damaged_or_cut_it_is_told),
    };

    return cmocka_run_group_tests(tests, make_directories, remove_directories);
}
