/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stop while an image opens, and an image that is interrupted. */
#include "setmov/image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define CLUSTER     ((size_t)65536)
#define TABLE_BYTES ((size_t)1 << 20)

static char directory[] = "/tmp/setmov-stop-XXXXXX";
static char path[64];

static void put_big(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

/* A qcow2 without data whose table is read in several pieces. */
static void write_image(void)
{
    uint8_t *bytes = calloc(1, 2 * CLUSTER + TABLE_BYTES);
    FILE *file = fopen(path, "w");

    assert_non_null(bytes);
    assert_non_null(file);
    memcpy(bytes, "QFI\xfb", 4);
    put_big(bytes + 4, 2, 4);
    put_big(bytes + 20, 16, 4);
    put_big(bytes + 24, TABLE_BYTES / 8 * (CLUSTER / 8) * CLUSTER, 8);
    put_big(bytes + 36, TABLE_BYTES / 8, 4);
    put_big(bytes + 40, 2 * CLUSTER, 8);
    put_big(bytes + 48, CLUSTER, 8);
    put_big(bytes + 56, 1, 4);
    assert_int_equal(fwrite(bytes, 1, 2 * CLUSTER + TABLE_BYTES, file), 2 * CLUSTER + TABLE_BYTES);
    assert_int_equal(fclose(file), 0);
    free(bytes);
}

struct asker {
    int asked, stop_at;
};

static bool stop_at(void *context)
{
    struct asker *asker = context;

    return ++asker->asked >= asker->stop_at;
}

static int open_image(const char *format, struct asker *asker, struct image **ret_image)
{
    const struct image_options options = {.format = format, .stopped = stop_at, .context = asker};
    struct error err = {""};
    int rc = image_open(path, &options, ret_image, &err);

    assert_true(rc == 0 || strstr(err.text, path) != NULL);
    return rc;
}

/* Without a qemu-nbd, so all questions but the last come from the look at the table. */
static void tables_are_read_in_pieces(void **state)
{
    struct asker never = {0, 1000}, third = {0, 3};
    struct image *image = NULL;

    (void)state;
    assert_int_equal(setenv("PATH", directory, 1), 0);
    assert_int_equal(open_image("qcow2", &never, &image), -ENOENT);
    assert_true(never.asked >= 4);
    assert_int_equal(open_image("qcow2", &third, &image), -ECANCELED);
    assert_true(third.asked < never.asked);
    assert_null(image);
}

static void an_interrupted_image_does_nothing(void **state)
{
    struct asker never = {0, 1000};
    struct image_extent extent;
    struct image *image = NULL;
    struct error err = {""};
    uint8_t bytes[512];

    (void)state;
    assert_int_equal(open_image("raw", &never, &image), 0);
    never.stop_at = 0; /* it is open: nobody is asked any more */
    assert_int_equal(image_read(image, 0, sizeof(bytes), bytes, &err), 0);
    assert_int_equal(image_next_extent(image, 0, &extent, &err), 0);
    image_interrupt(image);
    assert_int_equal(image_read(image, 0, sizeof(bytes), bytes, &err), -ECANCELED);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(image_next_extent(image, 0, &extent, &err), -ECANCELED);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(image_check_unchanged(image, &err), 0);
    image_close(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_read_in_pieces),
        cmocka_unit_test(an_interrupted_image_does_nothing),
    };
    int failed;

    if (mkdtemp(directory) == NULL)
        return 1;
    string_format(path, sizeof(path), "%s/image", directory);
    write_image();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(directory);
    return failed;
}
