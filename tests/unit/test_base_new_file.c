/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that are made: whole under their name or not there, and what a full disk leaves of them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/base_new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[] = "/tmp/setmov-new-file-XXXXXX";
static off_t disk_has; /* bytes that can be allocated; -1: the kernel says */

int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);

/* As ext4 does it: a disk that becomes full has given what it had. */
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
    if (disk_has < 0)
        return __real_fallocate64(fd, mode, offset, length);
    if (ftruncate(fd, disk_has) == 0)
        errno = ENOSPC;
    return -1;
}

/* What was brought to the disk: 'f' a file, 'd' the directory of the tests. */
static char synced[8];
static int sync_fails; /* errno, of directories */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static void note(char what)
{
    size_t length = strlen(synced);

    assert_true(length + 1 < sizeof(synced));
    synced[length] = what;
}

int __wrap_fsync(int fd)
{
    struct stat status, directory;

    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(stat(work, &directory), 0);
    if (S_ISDIR(status.st_mode) && status.st_ino == directory.st_ino) {
        note('d');
        errno = sync_fails;
        return sync_fails != 0 ? -1 : __real_fsync(fd);
    }
    note('f');
    return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    note('f');
    return __real_fdatasync(fd);
}

static const char *at(const char *name)
{
    static char path[128];

    string_format(path, sizeof(path), "%s/%s", work, name);
    return path;
}

static off_t length_of(const struct new_file *file)
{
    struct stat status;

    assert_int_equal(fstat(file->fd, &status), 0);
    return status.st_size;
}

static void directories_are_absolute(void **state)
{
    (void)state;
    assert_int_equal(setenv("TMPDIR", "/somewhere", 1), 0);
    assert_string_equal(new_file_directory(NULL), "/somewhere");
    assert_string_equal(new_file_directory("wished"), "wished");
    assert_int_equal(setenv("TMPDIR", "relative", 1), 0);
    assert_string_equal(new_file_directory(NULL), "/var/tmp");
    assert_int_equal(setenv("TMPDIR", "", 1), 0);
    assert_string_equal(new_file_directory(NULL), "/var/tmp");
    assert_int_equal(unsetenv("TMPDIR"), 0);
    assert_string_equal(new_file_directory(NULL), "/var/tmp");
}

static void room_is_given_back_where_there_is_too_little(void **state)
{
    struct new_file file = NEW_FILE_NONE;
    char byte = 0;

    (void)state;
    assert_int_equal(new_file_nameless(work, &file, NULL), 0);
    disk_has = -1;
    assert_true(new_file_allocate(&file, 0, 4096));
    assert_int_equal(length_of(&file), 4096);
    assert_int_equal(new_file_write(&file, "x", 1, 4095, NULL), 0);
    disk_has = 100000;
    assert_false(new_file_allocate(&file, 4096, 1000000));
    assert_int_equal(length_of(&file), 4096);
    disk_has = -1;
    assert_int_equal(new_file_read(&file, &byte, 1, 4095, NULL), 0);
    assert_int_equal(byte, 'x');
    assert_int_equal(new_file_read(&file, &byte, 1, 4096, NULL), -EIO);
    assert_int_equal(new_file_truncate(&file, 7, NULL), 0);
    assert_int_equal(length_of(&file), 7);
    new_file_release(&file);
    assert_int_equal(file.fd, -1);
}

static void a_file_has_its_name_in_the_end(void **state)
{
    struct new_file file = NEW_FILE_NONE;
    struct error err = {""};
    char beside[256];

    (void)state;
    assert_int_equal(new_file_beside(at("file"), &file, &err), 0);
    assert_int_equal(access(file.beside, F_OK), 0);
    assert_int_equal(access(at("file"), F_OK), -1);
    string_copy(beside, sizeof(beside), file.beside);
    new_file_release(&file); /* unfinished: nothing stays */
    assert_int_equal(access(beside, F_OK), -1);
    assert_int_equal(new_file_beside(at("file"), &file, &err), 0);
    assert_int_equal(new_file_publish(&file, &err), 0);
    assert_null(file.beside);
    new_file_release(&file);
    assert_int_equal(access(at("file"), F_OK), 0);
    assert_int_equal(unlink(at("file")), 0);
    assert_int_equal(new_file_beside(at(""), &file, &err), -EISDIR);
    assert_non_null(strstr(err.text, work));
}

static void a_name_is_on_the_disk_as_well(void **state)
{
    struct error err = {""};

    (void)state;
    memset(synced, 0, sizeof(synced));
    assert_int_equal(new_file_replace(at("file"), "x", 1, false, &err), 0);
    assert_string_equal(synced, "");
    assert_int_equal(new_file_replace(at("file"), "x", 1, true, &err), 0);
    assert_string_equal(synced, "fd");
    sync_fails = EIO;
    assert_int_equal(new_file_replace(at("file"), "x", 1, true, &err), -EIO);
    assert_non_null(strstr(err.text, work));
    sync_fails = 0;
    assert_int_equal(unlink(at("file")), 0);
    assert_int_equal(new_file_sync_directory("/nothing", &err), 0);
    assert_int_equal(new_file_sync_directory("nothing", &err), 0);
}

static int make_work(void **state)
{
    (void)state;
    return mkdtemp(work) != NULL ? 0 : -1;
}

/* Fails where something was left. */
static int remove_work(void **state)
{
    (void)state;
    return rmdir(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directories_are_absolute),
        cmocka_unit_test(room_is_given_back_where_there_is_too_little),
        cmocka_unit_test(a_file_has_its_name_in_the_end),
        cmocka_unit_test(a_name_is_on_the_disk_as_well),
    };

    return cmocka_run_group_tests(tests, make_work, remove_work);
}
