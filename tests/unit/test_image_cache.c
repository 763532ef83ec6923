/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guard of the page cache: who reads slowly leaves nothing behind either; what was there is known. */
#include "image/cache.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB  ((uint64_t)1 << 20)
#define SIZE (700 * MIB)
#define PAGE ((uint64_t)4096)

/* Where the slow reader is: at the beginning, far from where the others read. */
#define SLOW_AT (2 * MIB)

static int new_file(void)
{
    char path[] = "/var/tmp/setmov-cache-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(fd, (off_t)SIZE), 0);
    /* Data only where it is looked at: a hole has pages as well once it is read. */
    assert_int_equal(pwrite(fd, "x", 1, (off_t)SLOW_AT), 1);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    return fd;
}

static bool is_resident(int fd, uint64_t offset)
{
    void *mapping = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    unsigned char answer = 0;

    assert_true(mapping != MAP_FAILED);
    assert_int_equal(mincore(mapping, PAGE, &answer), 0);
    munmap(mapping, PAGE);
    return (answer & 1) != 0;
}

/* Enough for several sweeps. */
static void others_read(struct cache_guard *guard)
{
    for (uint64_t at = 128 * MIB; at + MIB <= SIZE; at += MIB) {
        cache_guard_before(guard, at, MIB);
        cache_guard_after(guard, at, MIB);
    }
}

static void slow_reader_leaves_nothing(void **state)
{
    struct cache_guard *guard;
    char byte;
    int fd = new_file();

    (void)state;
    if (is_resident(fd, SLOW_AT)) {
        close(fd);
        skip(); /* this file system keeps its pages */
    }
    guard = cache_guard_new(fd, SIZE);
    assert_non_null(guard);
    cache_guard_before(guard, SLOW_AT, PAGE);
    others_read(guard);
    assert_int_equal(pread(fd, &byte, 1, (off_t)SLOW_AT), 1);
    assert_true(is_resident(fd, SLOW_AT));
    cache_guard_after(guard, SLOW_AT, PAGE);
    cache_guard_free(guard);
    assert_false(is_resident(fd, SLOW_AT));
    close(fd);
}

/* Brings one page in, which stays until it is unmapped. NULL: it may not. */
static void *lock_page(int fd, uint64_t offset)
{
    void *mapping = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)offset);

    assert_true(mapping != MAP_FAILED);
    assert_int_equal(madvise(mapping, PAGE, MADV_RANDOM), 0); /* nothing beside it */
    (void)*(volatile const char *)mapping; /* sanitizers make mlock() do nothing */
    if (mlock(mapping, PAGE) == 0)
        return mapping;
    munmap(mapping, PAGE);
    return NULL;
}

static void expect_one_page(struct cache_guard *guard, uint64_t there)
{
    assert_false(cache_guard_lacked(guard, there, PAGE));
    assert_true(cache_guard_lacked(guard, there - PAGE, 2 * PAGE));
    assert_true(cache_guard_lacked(guard, there + PAGE, PAGE));
}

/* Of pages that are there, of others beside them, and of stretches where there is none. */
static void what_was_not_there_is_known(void **state)
{
    const uint64_t there[] = {100 * MIB, 300 * MIB, 500 * MIB};
    void *mappings[ARRAY_LENGTH(there)];
    struct cache_guard *of_whole, *of_parts;
    int fd = new_file();

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(there); i++)
        mappings[i] = lock_page(fd, there[i]);
    if (is_resident(fd, SLOW_AT) || mappings[ARRAY_LENGTH(there) - 1] == NULL) {
        close(fd);
        skip(); /* this file system keeps its pages, or none may be kept */
    }
    of_whole = cache_guard_new_whole(fd, SIZE);
    of_parts = cache_guard_new(fd, SIZE);
    assert_non_null(of_whole);
    assert_non_null(of_parts);
    for (size_t i = 0; i < ARRAY_LENGTH(there); i++)
        expect_one_page(of_whole, there[i]);
    assert_true(cache_guard_lacked(of_whole, 0, MIB));
    assert_true(cache_guard_lacked(of_whole, SIZE - PAGE, 2 * PAGE));
    assert_false(cache_guard_lacked(of_whole, SIZE, PAGE));
    assert_false(cache_guard_lacked(of_parts, 0, MIB)); /* it was not told of any */
    cache_guard_before(of_parts, there[0], PAGE);
    expect_one_page(of_parts, there[0]);
    cache_guard_after(of_parts, there[0], PAGE);
    assert_false(cache_guard_lacked(NULL, there[0], PAGE));
    cache_guard_free(of_parts);
    cache_guard_free(of_whole);
    for (size_t i = 0; i < ARRAY_LENGTH(there); i++)
        munmap(mappings[i], PAGE);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_reader_leaves_nothing),
        cmocka_unit_test(what_was_not_there_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
