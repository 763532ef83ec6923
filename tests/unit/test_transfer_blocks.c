/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host remembers of the parts that it sent: found again, and passed over where it is damaged. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "setmov/base_bytes.h"
#include "setmov/base_new_file.h"
#include "transfer/blocks.h"

#define BLOCK 512U
#define COUNT 5U
#define PARTS 3U

struct remembered {
    char directory[64];
    struct transfer_plan plan;
    struct transfer_packed packed[PARTS];
    struct digest digests[PARTS][COUNT];
};

static void remember(struct remembered *remembered)
{
    struct error err = {""};

    *remembered = (struct remembered){.directory = "/var/tmp/setmov-blocks-XXXXXX"};
    remembered->plan = (struct transfer_plan){
        .kind = DIGEST_KEYED_SHA256, .block_size = BLOCK, .key_id = {1, 2, 3, 4, 5, 6, 7, 8}};
    assert_non_null(mkdtemp(remembered->directory));
    for (size_t i = 0; i < PARTS; i++) {
        struct transfer_packed *packed = &remembered->packed[i];

        packed->part.length = 100 + i;
        packed->part.raw_length = COUNT * BLOCK;
        /* The names do not come in the order in which they are made. */
        memset(packed->part.sha256, (int)(0xc0 - 0x20 * i), sizeof(packed->part.sha256));
        memset(remembered->digests[i], (int)i + 1, sizeof(remembered->digests[i]));
        packed->digests = remembered->digests[i];
        packed->digest_count = COUNT;
        assert_int_equal(
            transfer_blocks_save(remembered->directory, &remembered->plan, packed, &err), 0);
    }
}

static void path_of(const struct remembered *remembered, size_t which, char *ret_path, size_t size)
{
    char name[TRANSFER_PART_NAME_BYTES];

    transfer_part_name(remembered->packed[which].part.sha256, name);
    string_format(ret_path, size, "%s/%s.blocks", remembered->directory,
                  name + strlen(TRANSFER_PART_PREFIX));
}

static void forget(struct remembered *remembered)
{
    DIR *stream = opendir(remembered->directory);
    const struct dirent *entry;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
    rmdir(remembered->directory);
}

static size_t load(const struct remembered *remembered, struct transfer_known_parts *ret_parts)
{
    const struct transfer_plan *plan = &remembered->plan;
    struct error err = {""};

    assert_int_equal(transfer_blocks_load(remembered->directory, plan->kind, plan->block_size,
                                          plan->key_id, NULL, NULL, ret_parts, &err),
                     0);
    return ret_parts->count;
}

static size_t count(const struct remembered *remembered)
{
    struct transfer_known_parts parts = {0};
    size_t found = load(remembered, &parts);

    transfer_known_parts_release(&parts);
    return found;
}

static void test_all_is_found_again_in_one_order(void **unused)
{
    struct transfer_known_parts parts = {0};
    struct remembered remembered;

    (void)unused;
    remember(&remembered);
    assert_int_equal(load(&remembered, &parts), PARTS);
    for (size_t i = 0; i < PARTS; i++) {
        const struct transfer_packed *packed = &remembered.packed[PARTS - 1 - i];

        assert_memory_equal(&parts.parts[i].part, &packed->part, sizeof(packed->part));
        assert_int_equal(parts.parts[i].count, COUNT);
        assert_memory_equal(parts.parts[i].digests, packed->digests, COUNT * sizeof(struct digest));
    }
    transfer_known_parts_release(&parts);
    assert_int_equal(parts.count, 0);
    forget(&remembered);
    /* Nothing was ever sent. */
    assert_int_equal(count(&remembered), 0);
}

static bool has_second(void *context, const struct transfer_part *part)
{
    const struct remembered *remembered = context;

    return memcmp(part, &remembered->packed[1].part, sizeof(*part)) == 0;
}

static void test_only_what_fits_and_is_there(void **unused)
{
    struct transfer_known_parts parts = {0};
    struct remembered remembered;
    struct transfer_plan plan;
    struct error err = {""};

    (void)unused;
    remember(&remembered);
    plan = remembered.plan;
    assert_int_equal(transfer_blocks_load(remembered.directory, plan.kind, BLOCK, plan.key_id,
                                          has_second, &remembered, &parts, &err),
                     0);
    assert_int_equal(parts.count, 1);
    assert_memory_equal(&parts.parts[0].part, &remembered.packed[1].part,
                        sizeof(parts.parts[0].part));
    transfer_known_parts_release(&parts);
    remembered.plan.kind = DIGEST_SHA256;
    assert_int_equal(count(&remembered), 0);
    remembered.plan = plan;
    remembered.plan.block_size = 4096;
    assert_int_equal(count(&remembered), 0);
    remembered.plan = plan;
    remembered.plan.key_id[7] ^= 1;
    assert_int_equal(count(&remembered), 0);
    remembered.plan = plan;
    assert_int_equal(count(&remembered), PARTS);
    forget(&remembered);
}

/* Pieces that are no blocks: there is nothing to remember. */
static void test_a_part_without_digests(void **unused)
{
    struct remembered remembered;
    struct error err = {""};
    char path[192];

    (void)unused;
    remember(&remembered);
    path_of(&remembered, 0, path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    remembered.packed[0].digests = NULL;
    assert_int_equal(
        transfer_blocks_save(remembered.directory, &remembered.plan, &remembered.packed[0], &err),
        0);
    assert_int_equal(count(&remembered), PARTS - 1);
    remembered.packed[1].digest_count--;
    assert_int_equal(
        transfer_blocks_save(remembered.directory, &remembered.plan, &remembered.packed[1], &err),
        -EINVAL);
    assert_int_equal(count(&remembered), PARTS - 1);
    forget(&remembered);
}

static void flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_each_damaged_byte_is_seen(void **unused)
{
    struct remembered remembered;
    char path[192];

    (void)unused;
    remember(&remembered);
    path_of(&remembered, 1, path, sizeof(path));
    for (off_t at = 0; at < (off_t)(BLOCKS_HEADER_BYTES + COUNT * DIGEST_BYTES); at++) {
        flip(path, at);
        if (count(&remembered) != PARTS - 1)
            fail_msg("byte %lld is not checked", (long long)at);
        flip(path, at);
    }
    assert_int_equal(count(&remembered), PARTS);
    assert_int_equal(truncate(path, BLOCKS_HEADER_BYTES + 1), 0);
    assert_int_equal(count(&remembered), PARTS - 1);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(count(&remembered), PARTS - 1);
    forget(&remembered);
}

/* Whole, and under the name of another part; behind a link; a FIFO; names that are none. */
static void test_files_that_are_not_meant(void **unused)
{
    struct remembered remembered;
    char path[192], other[192];

    (void)unused;
    remember(&remembered);
    path_of(&remembered, 0, path, sizeof(path));
    path_of(&remembered, 1, other, sizeof(other));
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(count(&remembered), PARTS - 2);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(count(&remembered), PARTS - 1);
    string_format(other, sizeof(other), "%s/elsewhere", remembered.directory);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(count(&remembered), PARTS - 2);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(count(&remembered), PARTS - 2);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(count(&remembered), PARTS - 2);
    assert_int_equal(rmdir(path), 0);
    forget(&remembered);
}

/* Right checksums of what cannot be. */
static void test_numbers_that_do_not_fit(void **unused)
{
    const struct {
        size_t at;
        uint64_t value;
        size_t bytes;
        int rc;
    } wrong[] = {
        {BLOCKS_AT_VERSION, 2, 4, -ENOTSUP},      {BLOCKS_AT_KIND, 0, 4, -EINVAL},
        {BLOCKS_AT_KIND, 4, 4, -EINVAL},          {BLOCKS_AT_SIZE, 0, 4, -EINVAL},
        {BLOCKS_AT_SIZE, 256, 4, -EINVAL},        {BLOCKS_AT_SIZE, 513, 4, -EINVAL},
        {BLOCKS_AT_SIZE, 131072, 4, -EINVAL},     {BLOCKS_AT_SIZE, 1024, 4, -EINVAL},
        {BLOCKS_AT_RESERVED, 1, 4, -EINVAL},      {BLOCKS_AT_LENGTH, 0, 8, -EINVAL},
        {BLOCKS_AT_RAW, 0, 8, -EINVAL},           {BLOCKS_AT_RAW, COUNT * BLOCK - 1, 8, -EINVAL},
        {BLOCKS_AT_RAW, UINT64_MAX, 8, -EINVAL},  {BLOCKS_AT_RAW, COUNT * BLOCK + 1, 8, -EINVAL},
        {BLOCKS_AT_COUNT, COUNT - 1, 8, -EINVAL}, {BLOCKS_AT_COUNT, UINT64_MAX, 8, -EINVAL},
    };
    struct blocks_kind kind = {.kind = DIGEST_MD5, .block_size = BLOCK};
    struct transfer_part part = {.length = 9, .raw_length = COUNT * BLOCK};
    struct digest digests[COUNT] = {{{1}}};
    struct transfer_known_part known = {0};
    struct error err = {""};
    uint8_t *bytes = NULL;
    size_t length = 0;

    (void)unused;
    assert_int_equal(blocks_encode(&kind, &part, digests, COUNT, &bytes, &length, &err), 0);
    assert_int_equal(blocks_decode(bytes, length, &kind, &known, &err), 0);
    free(known.digests);
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        uint8_t before[8];
        int rc;

        memcpy(before, bytes + wrong[i].at, sizeof(before));
        if (wrong[i].bytes == 8)
            put_u64(bytes + wrong[i].at, wrong[i].value);
        else
            put_u32(bytes + wrong[i].at, (uint32_t)wrong[i].value);
        put_u64(bytes + BLOCKS_AT_CHECKSUM, blocks_checksum(bytes, length));
        rc = blocks_decode(bytes, length, &kind, &known, &err);
        if (rc != wrong[i].rc)
            fail_msg("byte %zu, %llu: %d", wrong[i].at, (unsigned long long)wrong[i].value, rc);
        memcpy(bytes + wrong[i].at, before, sizeof(before));
    }
    put_u64(bytes + BLOCKS_AT_CHECKSUM, blocks_checksum(bytes, length - 1));
    assert_int_equal(blocks_decode(bytes, length - 1, &kind, &known, &err), -EINVAL);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_found_again_in_one_order),
        cmocka_unit_test(test_only_what_fits_and_is_there),
        cmocka_unit_test(test_a_part_without_digests),
        cmocka_unit_test(test_each_damaged_byte_is_seen),
        cmocka_unit_test(test_files_that_are_not_meant),
        cmocka_unit_test(test_numbers_that_do_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
