/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * While one thread digests what came from qemu-nbd, others wait for more of it;
 * a raw image is read by no more threads than were asked for. The image's
 * functions are this file's.
 */
#include "fingerprint/build.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE    ((uint64_t)64 << 20)
#define WAIT_MS 10000

struct image {
    struct image_layer layer;
    unsigned wanted; /* reads at once; until there were so many, each waits */
    atomic_uint under_way, most;
    atomic_bool late; /* somebody waited in vain */
    atomic_bool interrupted;
};

static struct image made_up;

/* ---- what the library takes for an image -------------------------------------------- */

uint64_t image_size(const struct image *image)
{
    return image->layer.size;
}

const char *image_format(const struct image *image)
{
    return image->layer.format;
}

bool image_is_direct(const struct image *image)
{
    return strcmp(image_format(image), "raw") == 0;
}

const struct image_layer *image_layers(const struct image *image, size_t *ret_count)
{
    *ret_count = 1;
    return &image->layer;
}

bool image_is_in_use(const struct image *image)
{
    (void)image;
    return false;
}

int image_check_unchanged(struct image *image, struct error *err)
{
    (void)image;
    (void)err;
    return 0;
}

void image_interrupt(struct image *image)
{
    image->interrupted = true;
}

int image_next_extent(struct image *image, uint64_t offset, struct image_extent *ret_extent,
                      struct error *err)
{
    (void)err;
    *ret_extent = (struct image_extent){offset, image->layer.size - offset, IMAGE_DATA};
    return 0;
}

int image_read(struct image *image, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    unsigned now = atomic_fetch_add(&image->under_way, 1) + 1, most = image->most;

    (void)err;
    while (now > most && !atomic_compare_exchange_weak(&image->most, &most, now))
        ;
    for (int i = 0; i < WAIT_MS && !image->late && image->most < image->wanted; i++)
        usleep(1000);
    if (image->most < image->wanted)
        image->late = true;
    for (size_t i = 0; i < length; i += 4096)
        memset((char *)buffer + i, (int)((offset + i) >> 20) + 1, 4096);
    atomic_fetch_sub(&image->under_way, 1);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------- */

/* Every MiB consists of one block's content again and again. */
static void build(const char *format, unsigned threads, unsigned wanted, size_t memory_bytes)
{
    static char path[] = "/made-up";
    const struct fingerprint_wish wish = {.kind = DIGEST_MD5, .block_size = 4096};
    const struct fingerprint_build_options options = {
        .threads = threads, .memory_bytes = memory_bytes, .temporary = "/tmp"};
    struct fingerprint_file *file = NULL;
    struct error err = {0};

    memset(&made_up, 0, sizeof(made_up));
    made_up.layer = (struct image_layer){.path = path, .format = (char *)format, .size = SIZE};
    made_up.wanted = wanted;
    if (fingerprint_build(&made_up, &wish, 1, &options, &file, &err) != 0)
        fail_msg("%s", err.text);
    assert_false(made_up.late);
    assert_int_equal(file->view.totals.blocks, SIZE / 4096);
    assert_int_equal(file->view.totals.distinct, 64);
    fingerprint_file_close(file);
}

static void others_read_meanwhile(void **state)
{
    (void)state;
    build("qcow2", 1, 1 + BUILD_READERS, 0);
    assert_int_equal(made_up.most, 1 + BUILD_READERS);
    build("qcow2", 2, 2 + BUILD_READERS, 0);
    build("raw", 2, 2, 0);
    assert_int_equal(made_up.most, 2);
    build("raw", 1, 1, 0);
    assert_int_equal(made_up.most, 1);
}

/* More threads than memory has buffers for, and than there may be. */
static void bounds(void **state)
{
    (void)state;
    build("qcow2", FINGERPRINT_MAX_THREADS, FINGERPRINT_MAX_THREADS, (size_t)64 << 20);
    assert_int_equal(made_up.most, FINGERPRINT_MAX_THREADS);
    build("qcow2", FINGERPRINT_MAX_THREADS, 16, 1);
    assert_int_equal(made_up.most, 16);
}

/* ---- places ---- */

struct visitors {
    struct build_places places;
    atomic_uint held[2];
    atomic_uint visits;
};

static void *visit(void *argument)
{
    struct visitors *visitors = argument;

    for (int i = 0; i < 2000; i++) {
        unsigned place = build_places_take(&visitors->places);

        if (place >= ARRAY_LENGTH(visitors->held))
            break;
        if (atomic_fetch_add(&visitors->held[place], 1) != 0)
            break;
        atomic_fetch_add(&visitors->visits, 1);
        atomic_fetch_sub(&visitors->held[place], 1);
        build_places_give(&visitors->places, place);
    }
    return NULL;
}

static void a_place_is_one_threads(void **state)
{
    struct visitors visitors = {.visits = 0};
    pthread_t threads[5];

    (void)state;
    build_places_init(&visitors.places, ARRAY_LENGTH(visitors.held));
    assert_int_equal(build_places_take(&visitors.places), 0);
    build_places_give(&visitors.places, 0);
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &visitors), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(visitors.visits, 2000 * ARRAY_LENGTH(threads));
    assert_int_equal(visitors.places.count, ARRAY_LENGTH(visitors.held));
    build_places_destroy(&visitors.places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_read_meanwhile),
        cmocka_unit_test(bounds),
        cmocka_unit_test(a_place_is_one_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
