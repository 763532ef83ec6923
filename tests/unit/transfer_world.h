/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of transfer_make(): an image, what others have, and the plan that comes of them. */
#ifndef TRANSFER_WORLD_H
#define TRANSFER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "setmov/base_bytes.h"
#include "setmov/fingerprint_file.h"
#include "setmov/transfer_make.h"

#define DONORS  4
#define PARTS   2
#define EARLIER 2
#define OWN     0 /* where in `disks` */
#define DISKS   (1 + DONORS + EARLIER)

static char directory[] = "/tmp/setmov-make.XXXXXX";

/* ---- disks ---- */

struct disk {
    uint8_t *bytes;
    uint64_t size;
    char path[64];
    struct image *image;
    struct fingerprint_file *fingerprint;
};

static inline uint8_t *memory(size_t size)
{
    uint8_t *bytes = calloc(1, size + 1);

    assert_non_null(bytes);
    return bytes;
}

/* Holes where whole pages of 4096 bytes are zeroes, but for every third. */
static inline void write_disk(const struct disk *disk)
{
    int fd = open(disk->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)disk->size), 0);
    for (uint64_t at = 0; at < disk->size; at += 4096) {
        size_t length = disk->size - at < 4096 ? (size_t)(disk->size - at) : 4096;

        if (!digest_is_zero(disk->bytes + at, length) || at / 4096 % 3 == 0)
            assert_int_equal(pwrite(fd, disk->bytes + at, length, (off_t)at), length);
    }
    close(fd);
}

static inline void open_disk(struct disk *disk, unsigned number, enum digest_kind kind,
                             uint32_t block_size, const uint8_t *key)
{
    struct image_options options = {.format = "raw"};
    struct fingerprint_wish wish = {kind, block_size, key, NULL};
    struct fingerprint_build_options build = {.threads = 1};
    struct error err = {""};

    assert_true(string_format(disk->path, sizeof(disk->path), "%s/disk-%u", directory, number));
    write_disk(disk);
    assert_int_equal(image_open(disk->path, &options, &disk->image, &err), 0);
    assert_int_equal(fingerprint_build(disk->image, &wish, 1, &build, &disk->fingerprint, &err), 0);
}

static inline void close_disk(struct disk *disk)
{
    fingerprint_file_close(disk->fingerprint);
    image_close(disk->image);
    free(disk->bytes);
    if (disk->path[0] != '\0')
        unlink(disk->path);
    *disk = (struct disk){0};
}

struct world {
    struct disk disks[DISKS];
    struct transfer_known_part parts[PARTS];
    uint8_t *part_bytes[PARTS];
    char ids[DONORS][33];
    size_t donors, part_count, earlier;
    uint32_t block_size;
    enum digest_kind kind;
    uint8_t key[DIGEST_KEY_BYTES];
};

/* As transfer_pack() would: what is to be sent lies in one part, in the order of the image. */
static inline void give_part(struct transfer_plan *plan, struct transfer_image *image)
{
    uint64_t from = 0;

    for (size_t i = 0; i < image->extent_count; i++) {
        struct transfer_extent *extent = &image->extents[i];

        if (extent->kind != TRANSFER_SENT || extent->source != UINT32_MAX)
            continue;
        extent->source = (uint32_t)plan->part_count;
        extent->from = from;
        from += extent->length;
    }
    if (from == 0)
        return;
    assert_int_equal(array_reserve(&plan->parts, &plan->part_capacity, plan->part_count + 1,
                                   sizeof(*plan->parts)),
                     0);
    plan->parts[plan->part_count++] = (struct transfer_part){{0xee}, 5, from};
}

static inline void check_encoded(struct transfer_plan *plan)
{
    struct transfer_plan again = {0};
    struct error err = {""};
    uint8_t *bytes = NULL;
    size_t length = 0;

    give_part(plan, &plan->images[plan->image_count - 1]);
    if (transfer_plan_encode(plan, &bytes, &length, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(transfer_plan_decode(bytes, length, "plan", &again, &err), 0);
    for (size_t i = 0; i < plan->image_count; i++) {
        assert_int_equal(again.images[i].extent_count, plan->images[i].extent_count);
        for (size_t e = 0; e < plan->images[i].extent_count; e++) {
            const struct transfer_extent *a = &plan->images[i].extents[e];
            const struct transfer_extent *b = &again.images[i].extents[e];

            assert_true(a->kind == b->kind && a->offset == b->offset && a->length == b->length &&
                        a->source == b->source && a->from == b->from);
        }
    }
    assert_int_equal(again.hash_count, plan->hash_count);
    transfer_plan_release(&again);
    free(bytes);
}

static inline void begin_plan(const struct world *world, struct transfer_plan *plan)
{
    *plan = (struct transfer_plan){.kind = world->kind, .block_size = world->block_size};
    plan->vm_name = strdup("vm");
    assert_non_null(plan->vm_name);
    if (world->kind == DIGEST_KEYED_SHA256)
        fingerprint_key_id(world->key, plan->key_id);
    for (size_t i = 0; i < world->earlier; i++) {
        struct transfer_image image = {.virtual_size = world->disks[1 + DONORS + i].size};

        assert_true(asprintf(&image.path, "/images/earlier-%zu", i) > 0);
        image.format = strdup("raw");
        assert_int_equal(array_reserve(&plan->images, &plan->image_capacity, i + 1, sizeof(image)),
                         0);
        plan->images[plan->image_count++] = image;
    }
}

static inline void release_world(struct world *world)
{
    for (size_t i = 0; i < DISKS; i++)
        close_disk(&world->disks[i]);
    for (size_t i = 0; i < PARTS; i++) {
        free(world->part_bytes[i]);
        free(world->parts[i].digests);
    }
}

static inline int make_directory(void **unused)
{
    (void)unused;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static inline int remove_directory(void **unused)
{
    (void)unused;
    return rmdir(directory);
}

#endif
