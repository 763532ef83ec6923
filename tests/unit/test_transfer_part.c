/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading parts that somebody cut, changed, swapped or made up; what is kept in memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "setmov/base_new_file.h"
#include "transfer/pack.h"
#include "transfer/part.h"

#define PARTS 4
#define RAW   ((size_t)300000)

struct directory {
    char path[64];
    int fd;
    struct transfer_part parts[PARTS];
    uint8_t *raw[PARTS];
};

static void path_of(const struct directory *directory, size_t which, char *ret_path, size_t size)
{
    char name[TRANSFER_PART_NAME_BYTES];

    transfer_part_name(directory->parts[which].sha256, name);
    string_format(ret_path, size, "%s/%s", directory->path, name);
}

/* Under the name that its SHA-256 gives, with what the plan says of it. */
static void put(struct directory *directory, size_t which, const void *bytes, size_t length,
                uint64_t raw_length)
{
    struct transfer_part *part = &directory->parts[which];
    struct error err = {""};
    char path[192];

    part->length = length;
    part->raw_length = raw_length;
    transfer_sha256(bytes, length, part->sha256);
    path_of(directory, which, path, sizeof(path));
    assert_int_equal(new_file_replace(path, bytes, length, false, &err), 0);
}

static uint8_t *compressed(const void *raw, size_t raw_length, int level, size_t *ret_length)
{
    struct pack_compressor *compressor = NULL;
    struct error err = {""};
    uint8_t *bytes = NULL;

    assert_int_equal(pack_compressor_new(&compressor, &err), 0);
    assert_int_equal(pack_compressor_begin(compressor, level, raw_length, &err), 0);
    assert_int_equal(pack_compressor_add(compressor, raw, raw_length, &err), 0);
    assert_int_equal(pack_compressor_finish(compressor, &bytes, ret_length, &err), 0);
    pack_compressor_free(compressor);
    return bytes;
}

static void open_directory(struct directory *directory)
{
    *directory = (struct directory){.path = "/var/tmp/setmov-part-XXXXXX"};
    assert_non_null(mkdtemp(directory->path));
    directory->fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory->fd >= 0);
    for (size_t i = 0; i < PARTS; i++) {
        size_t length = 0;
        uint8_t *bytes;

        directory->raw[i] = malloc(RAW);
        assert_non_null(directory->raw[i]);
        for (size_t j = 0; j < RAW; j++)
            directory->raw[i][j] = (uint8_t)(j * (i + 3) >> 7);
        bytes = compressed(directory->raw[i], RAW, 3, &length);
        put(directory, i, bytes, length, RAW);
        free(bytes);
    }
}

static void close_directory(struct directory *directory)
{
    DIR *stream = opendir(directory->path);
    const struct dirent *entry;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
    rmdir(directory->path);
    close(directory->fd);
    for (size_t i = 0; i < PARTS; i++)
        free(directory->raw[i]);
}

static struct transfer_part_reader *open_reader(const struct directory *directory, uint64_t memory)
{
    struct transfer_part_reader *reader = NULL;
    struct error err = {""};

    assert_int_equal(
        transfer_part_reader_new(directory->fd, directory->parts, PARTS, memory, &reader, &err), 0);
    return reader;
}

/* Part 1 is refused so and for good, with words that say so; the others are well. */
static void check_refused(const struct directory *directory, int code, const char *words)
{
    struct transfer_part_reader *reader = open_reader(directory, 0);
    uint8_t bytes[100], untouched[100];
    char name[TRANSFER_PART_NAME_BYTES];
    struct error err = {""};

    memset(bytes, 0xaa, sizeof(bytes));
    memset(untouched, 0xaa, sizeof(untouched));
    transfer_part_name(directory->parts[1].sha256, name);
    for (int again = 0; again < 2; again++) {
        err.text[0] = '\0';
        assert_int_equal(transfer_part_read(reader, 1, 0, bytes, 1, &err), code);
        if (strstr(err.text, words) == NULL || strstr(err.text, name) == NULL)
            fail_msg("'%s' does not say '%s' of %s", err.text, words, name);
        assert_memory_equal(bytes, untouched, sizeof(bytes));
    }
    for (uint32_t part = 0; part < PARTS; part++) {
        if (part == 1)
            continue;
        assert_int_equal(transfer_part_read(reader, part, 7, bytes, sizeof(bytes), &err), 0);
        assert_memory_equal(bytes, directory->raw[part] + 7, sizeof(bytes));
    }
    transfer_part_reader_free(reader);
}

static void test_any_place_of_any_part(void **unused)
{
    struct transfer_part_reader *reader;
    struct directory directory;
    struct error err = {""};
    uint8_t byte = 0;

    (void)unused;
    open_directory(&directory);
    reader = open_reader(&directory, 0);
    for (uint32_t part = 0; part < PARTS; part++) {
        assert_int_equal(transfer_part_read(reader, part, RAW - 1, &byte, 1, &err), 0);
        assert_int_equal(byte, directory.raw[part][RAW - 1]);
        assert_int_equal(transfer_part_read(reader, part, RAW, &byte, 0, &err), 0);
    }
    assert_int_equal(transfer_part_read(reader, 0, RAW, &byte, 1, &err), -EINVAL);
    assert_int_equal(transfer_part_read(reader, 0, 1, &byte, RAW, &err), -EINVAL);
    assert_int_equal(transfer_part_read(reader, 0, UINT64_MAX, &byte, 2, &err), -EINVAL);
    assert_int_equal(transfer_part_read(reader, PARTS, 0, &byte, 1, &err), -EINVAL);
    transfer_part_reader_free(reader);
    transfer_part_reader_free(NULL);
    assert_int_equal(transfer_part_reader_new(-1, directory.parts, PARTS, 0, &reader, &err),
                     -EBADF);
    close_directory(&directory);
}

/* Who wants another part each time is not served for ever. */
static void test_no_more_than_the_limit(void **unused)
{
    struct transfer_part_reader *reader;
    struct directory directory;
    struct error err = {""};
    uint8_t byte = 0;

    (void)unused;
    open_directory(&directory);
    reader = open_reader(&directory, 1);
    transfer_part_reader_limit(reader, 11 * (uint64_t)RAW - 1);
    for (uint32_t turn = 0; turn < 10; turn++) {
        for (size_t again = 0; again < 3; again++) {
            assert_int_equal(transfer_part_read(reader, turn % 2, again, &byte, 1, &err), 0);
            assert_int_equal(byte, directory.raw[turn % 2][again]);
        }
    }
    assert_int_equal(transfer_part_read(reader, 0, 0, &byte, 1, &err), -EFBIG);
    assert_non_null(strstr(err.text, "over and over"));
    assert_int_equal(transfer_part_read(reader, 2, 0, &byte, 1, &err), -EFBIG);
    assert_int_equal(transfer_part_read(reader, 1, 5, &byte, 1, &err), 0);
    transfer_part_reader_free(reader);
    close_directory(&directory);
}

/* ---- what is not what it should be ---- */

static void test_a_part_that_is_missing(void **unused)
{
    struct directory directory;
    char path[192];

    (void)unused;
    open_directory(&directory);
    path_of(&directory, 1, path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    check_refused(&directory, -ENOENT, "is not there");
    close_directory(&directory);
}

static void test_a_part_that_was_cut_or_grew(void **unused)
{
    struct directory directory;
    char path[192];

    (void)unused;
    open_directory(&directory);
    path_of(&directory, 1, path, sizeof(path));
    assert_int_equal(truncate(path, (off_t)directory.parts[1].length + 1), 0);
    check_refused(&directory, -EBADMSG, "bytes, not");
    assert_int_equal(truncate(path, (off_t)directory.parts[1].length - 1), 0);
    check_refused(&directory, -EBADMSG, "bytes, not");
    /* Of the right length again, with a zero for the last byte. */
    assert_int_equal(truncate(path, (off_t)directory.parts[1].length), 0);
    check_refused(&directory, -EBADMSG, "SHA-256");
    close_directory(&directory);
}

static void test_a_bit_that_flipped(void **unused)
{
    struct directory directory;
    uint8_t byte;
    char path[192];
    int fd;

    (void)unused;
    open_directory(&directory);
    path_of(&directory, 1, path, sizeof(path));
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, 200), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, 200), 1);
    close(fd);
    check_refused(&directory, -EBADMSG, "SHA-256");
    close_directory(&directory);
}

/* Of the same lengths even. */
static void test_a_part_of_another_vm(void **unused)
{
    struct directory directory;
    uint8_t *bytes;
    char path[192];
    size_t length;
    struct error err = {""};

    (void)unused;
    open_directory(&directory);
    bytes = compressed(directory.raw[1], RAW, TRANSFER_LEVEL_STORED, &length);
    put(&directory, 1, bytes, length, RAW);
    free(bytes);
    bytes = compressed(directory.raw[2], RAW, TRANSFER_LEVEL_STORED, &length);
    assert_int_equal(length, directory.parts[1].length);
    path_of(&directory, 1, path, sizeof(path));
    assert_int_equal(new_file_replace(path, bytes, length, false, &err), 0);
    free(bytes);
    check_refused(&directory, -EBADMSG, "SHA-256");
    close_directory(&directory);
}

static void test_what_is_no_regular_file(void **unused)
{
    struct directory directory;
    char path[192], other[192];

    (void)unused;
    open_directory(&directory);
    path_of(&directory, 1, path, sizeof(path));
    string_format(other, sizeof(other), "%s/other", directory.path);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    check_refused(&directory, -EBADMSG, "symbolic link");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    check_refused(&directory, -EBADMSG, "regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    check_refused(&directory, -EBADMSG, "regular file");
    assert_int_equal(rmdir(path), 0);
    close_directory(&directory);
}

/* Right names, lengths and SHA-256 of files that are no parts. */
static void test_files_that_are_no_parts(void **unused)
{
    struct directory directory;
    uint8_t *bytes, *two;
    size_t length;

    (void)unused;
    open_directory(&directory);
    bytes = compressed(directory.raw[1], RAW, 3, &length);
    put(&directory, 1, "no frame", 8, 20);
    check_refused(&directory, -EBADMSG, "is not one frame");
    put(&directory, 1, bytes, length, RAW - 1);
    check_refused(&directory, -EBADMSG, "is not one frame");
    put(&directory, 1, bytes, length, RAW + 1);
    check_refused(&directory, -EBADMSG, "is not one frame");
    put(&directory, 1, bytes, length - 1, RAW);
    check_refused(&directory, -EBADMSG, "is not one frame");
    two = malloc(2 * length + 1);
    assert_non_null(two);
    memcpy(two, bytes, length);
    memcpy(two + length, bytes, length);
    put(&directory, 1, two, 2 * length, RAW);
    check_refused(&directory, -EBADMSG, "is not one frame");
    put(&directory, 1, two, length + 1, RAW);
    check_refused(&directory, -EBADMSG, "is not one frame");
    free(two);
    free(bytes);
    close_directory(&directory);
}

/* A frame that says RAW and makes more, or less: the length in its header is changed. */
static void test_a_frame_that_lies(void **unused)
{
    struct directory directory;
    uint8_t *bytes;
    size_t length;

    (void)unused;
    open_directory(&directory);
    bytes = compressed(directory.raw[1], RAW, 3, &length);
    /* Magic, descriptor, then, this being one segment, four bytes of content size. */
    assert_int_equal(bytes[4] & 0xe0, 0xa0);
    bytes[5] ^= 1;
    put(&directory, 1, bytes, length, ZSTD_getFrameContentSize(bytes, length));
    check_refused(&directory, -EBADMSG, "");
    bytes[6] ^= 0x80;
    put(&directory, 1, bytes, length, ZSTD_getFrameContentSize(bytes, length));
    check_refused(&directory, -EBADMSG, "");
    free(bytes);
    close_directory(&directory);
}

/* 20 kB that become 600 MB: nothing is allocated for it; a window of more than 128 MiB neither. */
static void test_bombs(void **unused)
{
    static const uint8_t zeroes[1 << 20];
    struct directory directory;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_outBuffer output = {malloc(1 << 20), 1 << 20, 0};
    size_t left = 1;

    (void)unused;
    open_directory(&directory);
    assert_non_null(context);
    assert_false(ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context, 600ULL << 20)));
    for (int i = 0; i < 600; i++)
        left = ZSTD_compressStream2(context, &output, &(ZSTD_inBuffer){zeroes, sizeof(zeroes), 0},
                                    i < 599 ? ZSTD_e_continue : ZSTD_e_end);
    assert_int_equal(left, 0);
    put(&directory, 1, output.dst, output.pos, 600ULL << 20);
    check_refused(&directory, -EBADMSG, "uncompressed, not 1 to");
    put(&directory, 1, output.dst, output.pos, 1 << 20);
    check_refused(&directory, -EBADMSG, "is not one frame");
    /* A length that no part of its size can have is not read at all. */
    directory.parts[1].raw_length = 10;
    directory.parts[1].length = UINT64_MAX;
    check_refused(&directory, -EBADMSG, "bytes for 10");
    ZSTD_freeCCtx(context);
    free(output.dst);
    close_directory(&directory);
}

/* ---- what is kept ---- */

/* Room for two: the files may go as soon as they are read; a third takes the place of the older. */
static void test_what_is_kept_is_not_read_again(void **unused)
{
    struct transfer_part_reader *reader;
    struct directory directory;
    struct error err = {""};
    char path[192];
    uint8_t byte;

    (void)unused;
    open_directory(&directory);
    reader = open_reader(&directory, 2 * RAW);
    for (uint32_t part = 0; part < 2; part++) {
        assert_int_equal(transfer_part_read(reader, part, 0, &byte, 1, &err), 0);
        path_of(&directory, part, path, sizeof(path));
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(transfer_part_read(reader, 0, 1, &byte, 1, &err), 0);
    assert_int_equal(transfer_part_read(reader, 2, 1, &byte, 1, &err), 0);
    assert_int_equal(transfer_part_read(reader, 0, 2, &byte, 1, &err), 0);
    assert_int_equal(transfer_part_read(reader, 1, 2, &byte, 1, &err), -ENOENT);
    transfer_part_reader_free(reader);
    close_directory(&directory);
}

#define THREADS 8
#define ROUNDS  400

struct crowd {
    struct transfer_part_reader *reader;
    const struct directory *directory;
    atomic_int wrong;
    unsigned seed;
};

static void *read_often(void *context)
{
    struct crowd *crowd = context;
    uint8_t bytes[1000];
    uint32_t dice = atomic_fetch_add(&crowd->wrong, 0) == 0 ? (uint32_t)pthread_self() : 1;

    for (int i = 0; i < ROUNDS; i++) {
        uint32_t part;
        size_t from;

        dice = dice * 1664525U + 1013904223U;
        part = (dice >> 16) % PARTS;
        from = (dice >> 8) % (RAW - sizeof(bytes));
        if (transfer_part_read(crowd->reader, part, from, bytes, sizeof(bytes), NULL) < 0 ||
            memcmp(bytes, crowd->directory->raw[part] + from, sizeof(bytes)) != 0)
            atomic_fetch_add(&crowd->wrong, 1);
    }
    return NULL;
}

/* With room for less than one part. */
static void test_many_threads_and_little_memory(void **unused)
{
    struct crowd crowd = {.seed = 1};
    struct directory directory;
    pthread_t threads[THREADS];

    (void)unused;
    open_directory(&directory);
    for (uint64_t memory = 1; memory <= 3 * RAW; memory += 3 * RAW / 2) {
        crowd.reader = open_reader(&directory, memory);
        crowd.directory = &directory;
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, read_often, &crowd), 0);
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(crowd.wrong, 0);
        transfer_part_reader_free(crowd.reader);
    }
    close_directory(&directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_place_of_any_part),
        cmocka_unit_test(test_no_more_than_the_limit),
        cmocka_unit_test(test_a_part_that_is_missing),
        cmocka_unit_test(test_a_part_that_was_cut_or_grew),
        cmocka_unit_test(test_a_bit_that_flipped),
        cmocka_unit_test(test_a_part_of_another_vm),
        cmocka_unit_test(test_what_is_no_regular_file),
        cmocka_unit_test(test_files_that_are_no_parts),
        cmocka_unit_test(test_a_frame_that_lies),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_what_is_kept_is_not_read_again),
        cmocka_unit_test(test_many_threads_and_little_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
