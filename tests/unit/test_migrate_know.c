/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which images of the destination become donors, and whose fingerprints are opened for it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/run.h"
#include "remove_tree.h"
#include "setmov/base_new_file.h"
#include "setmov/peers.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK  512
#define BYTES  ((size_t)2 << 20)
#define CLONES 4

static char work[64];
static struct config config;
static struct config_host host;
static const struct catalog_kind kind = {.kind = DIGEST_SHA256, .block_size = BLOCK};

/* How often the fingerprint of this host's own image was opened with all its digests. */
static char own[256];
static unsigned opened;

int __real_fingerprint_file_open(const char *path, unsigned parts, bool rely,
                                 struct fingerprint_file **ret_file, struct error *err);
int __wrap_fingerprint_file_open(const char *path, unsigned parts, bool rely,
                                 struct fingerprint_file **ret_file, struct error *err);

int __wrap_fingerprint_file_open(const char *path, unsigned parts, bool rely,
                                 struct fingerprint_file **ret_file, struct error *err)
{
    opened += strcmp(path, own) == 0 && (parts & FINGERPRINT_PART_DIGESTS) != 0;
    return __real_fingerprint_file_open(path, parts, rely, ret_file, err);
}

static void print_path(const char *directory, const char *image, char *ret_path, size_t size)
{
    char hash[CATALOG_HASH_BYTES], name[CATALOG_NAME_BYTES];

    catalog_hash(image, hash);
    catalog_name_make(hash, &kind, name);
    assert_true(string_format(ret_path, size, "%s/%s", directory, name));
}

/* Of the same content as all others, but for what comes behind it. */
static void make_print(const char *directory, const char *name, const void *bytes, size_t length)
{
    struct fingerprint_wish wish = {.kind = kind.kind, .block_size = kind.block_size};
    char image[128], path[256];
    struct image *opened_image;
    struct error err = {""};

    assert_true(string_format(image, sizeof(image), "%s/%s", work, name));
    print_path(directory, image, path, sizeof(path));
    wish.path = path;
    assert_int_equal(new_file_replace(image, bytes, length, false, &err), 0);
    assert_int_equal(
        image_open(image, &(struct image_options){.format = "raw"}, &opened_image, &err), 0);
    assert_int_equal(fingerprint_build(opened_image, &wish, 1, NULL, NULL, &err), 0);
    image_close(opened_image);
    unlink(image);
}

/* It can be opened still, but not with all its digests. */
static void damage(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct fingerprint_file *file;
    struct stat status;
    uint8_t byte;

    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(pread(fd, &byte, 1, status.st_size / 2), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, status.st_size / 2), 1);
    close(fd);
    assert_true(__real_fingerprint_file_open(path, FINGERPRINT_PART_DIGESTS, false, &file, NULL) <
                0);
    assert_int_equal(
        __real_fingerprint_file_open(path, FINGERPRINT_PART_SKETCH, false, &file, NULL), 0);
    fingerprint_file_close(file);
}

/* The destination has clones of an image that this host has, too. Of theirs no more is here than
   their sketches. The VM has its blocks, and others. */
static int begin(void **state)
{
    static char names[3][128];
    CLEANUP(cleanup_free) char *clones = NULL;
    uint8_t *bytes = malloc(BYTES + BLOCK);
    uint64_t value = 1;

    (void)state;
    string_copy(work, sizeof(work), "/tmp/setmov-know-XXXXXX");
    assert_non_null(mkdtemp(work));
    for (size_t i = 0; i < BYTES + BLOCK; i++) {
        value = value * UINT64_C(6364136223846793005) + 1442695040888963407;
        bytes[i] = (uint8_t)(value >> 56);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        string_format(names[i], sizeof(names[0]), "%s/%s", work,
                      (const char *[]){"index", "cache", "vm"}[i]);
    host.name = (char *)"alpha";
    config.setmov.name = (char *)"beta";
    config.setmov.index = names[0];
    config.sync.cache = names[1];
    config.hosts = &host;
    config.host_count = 1;
    clones = peers_directory(&config, host.name);
    assert_int_equal(new_file_make_directory(names[0], NULL), 0);
    assert_int_equal(new_file_make_directory(names[2], NULL), 0);
    assert_int_equal(new_file_make_directory(clones, NULL), 0);
    make_print(names[0], "golden", bytes, BYTES);
    make_print(names[2], "disk", bytes, BYTES + BLOCK);
    string_format(own, sizeof(own), "%s/golden", work);
    print_path(names[0], own, own, sizeof(own));
    for (unsigned i = 0; i < CLONES; i++) {
        char name[16], image[128], path[256];

        string_format(name, sizeof(name), "clone%u", i);
        make_print(clones, name, bytes, BYTES);
        string_format(image, sizeof(image), "%s/%s", work, name);
        print_path(clones, image, path, sizeof(path));
        damage(path);
    }
    free(bytes);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return remove_tree(work);
}

/* The donors that are chosen. */
static void know(struct migration *migration, struct migrate_summary *summary,
                 struct migrate_image *image)
{
    char disk[128], path[256], directory[128];
    struct error err = {""};

    string_format(disk, sizeof(disk), "%s/disk", work);
    string_format(directory, sizeof(directory), "%s/vm", work);
    print_path(directory, disk, path, sizeof(path));
    *image = (struct migrate_image){.path = NULL};
    *summary = (struct migrate_summary){.attempts = 0};
    *migration = (struct migration){.config = &config,
                                    .summary = summary,
                                    .host = &host,
                                    .name = host.name,
                                    .kind = kind.kind,
                                    .block_sizes = {BLOCK},
                                    .block_size_count = 1,
                                    .images = image,
                                    .image_count = 1};
    assert_int_equal(__real_fingerprint_file_open(path, FINGERPRINT_PART_DIGESTS, false,
                                                  &image->prints[0], &err),
                     0);
    opened = 0;
    if (migration_know(migration, &err) < 0)
        fail_msg("%s", err.text);
    fingerprint_file_close(image->prints[0]);
}

static void a_like_is_opened_once_for_all_clones(void **state)
{
    struct migrate_summary summary;
    struct migration migration;
    struct migrate_image image;

    (void)state;
    know(&migration, &summary, &image);
    assert_int_equal(migration.donors[0].count, 1);
    assert_non_null(migration.donors[0].donors[0].print);
    assert_int_equal(opened, 1);
    migrate_donors_release(&migration.donors[0]);
}

/* Then it would have to be fetched, for which nothing may be spent. */
static void a_like_that_is_damaged_costs_the_fetching(void **state)
{
    struct migrate_summary summary;
    struct migration migration;
    struct migrate_image image;

    (void)state;
    damage(own);
    know(&migration, &summary, &image);
    assert_int_equal(migration.donors[0].count, 0);
    assert_true(opened > 0);
    migrate_donors_release(&migration.donors[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_like_is_opened_once_for_all_clones),
        cmocka_unit_test(a_like_that_is_damaged_costs_the_fetching),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
