/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may become of an image's file between two looks at it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64], other[80];

static void write_at(const char *name, off_t offset)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "x", 1, offset), 1);
    close(fd);
}

static struct timespec change_time(void)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_ctim;
}

/* Again and again, until the clock of the file system has gone on. */
static void until_it_shows(void (*change)(void))
{
    struct timespec before = change_time(), now;

    do {
        change();
        now = change_time();
    } while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec);
}

static void give_away(void)
{
    assert_int_equal(chmod(path, 0640), 0);
}

static void write_byte(void)
{
    write_at(path, 100);
}

static void cut(void)
{
    assert_int_equal(truncate(path, 4096), 0);
}

static void replace(void)
{
    write_at(other, 8191);
    assert_int_equal(rename(other, path), 0);
}

static void check(void (*change)(void), int content)
{
    struct error err = {""};
    struct image *image;

    unlink(path);
    write_at(path, 8191);
    assert_int_equal(image_open(path, &(struct image_options){.format = "raw"}, &image, &err), 0);
    assert_int_equal(image_check_unchanged(image, &err), 0);
    assert_int_equal(image_check_content(image, &err), 0);
    until_it_shows(change);
    assert_int_equal(image_check_unchanged(image, &err), -ESTALE);
    assert_int_equal(image_check_content(image, &err), content);
    image_close(image);
}

static void test_owner_and_mode_may_change(void **state)
{
    (void)state;
    check(give_away, 0);
}

static void test_content_may_not(void **state)
{
    (void)state;
    check(write_byte, -ESTALE);
    check(cut, -ESTALE);
    check(replace, -ESTALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owner_and_mode_may_change),
        cmocka_unit_test(test_content_may_not),
    };
    int failed;

    string_copy(path, sizeof(path), "/tmp/setmov-check-XXXXXX");
    if (mkdtemp(path) == NULL)
        return 1;
    string_format(other, sizeof(other), "%s/other", path);
    string_copy(path + strlen(path), sizeof(path) - strlen(path), "/disk");
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    return failed;
}
