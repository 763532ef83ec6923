/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plans of small images: each is carried out here, extent by extent, in the
 * plainest way, and what comes of it is held against the image byte by byte.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "made_fingerprint.h"
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

static uint8_t *memory(size_t size)
{
    uint8_t *bytes = calloc(1, size + 1);

    assert_non_null(bytes);
    return bytes;
}

/* Holes where whole pages of 4096 bytes are zeroes, but for every third. */
static void write_disk(const struct disk *disk)
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

static void open_disk(struct disk *disk, unsigned number, enum digest_kind kind,
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

static void close_disk(struct disk *disk)
{
    fingerprint_file_close(disk->fingerprint);
    image_close(disk->image);
    free(disk->bytes);
    if (disk->path[0] != '\0')
        unlink(disk->path);
    *disk = (struct disk){0};
}

/* ---- a plan carried out ---- */

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

static const struct disk *donor_of(const struct world *world, const char *id)
{
    for (size_t i = 0; i < world->donors; i++) {
        if (strcmp(world->ids[i], id) == 0)
            return &world->disks[1 + i];
    }
    fail_msg("no donor %s", id);
    return NULL;
}

static size_t part_of(const struct world *world, const uint8_t *sha256)
{
    for (size_t i = 0; i < world->part_count; i++) {
        if (memcmp(world->parts[i].part.sha256, sha256, TRANSFER_HASH_BYTES) == 0)
            return i;
    }
    fail_msg("no such part");
    return 0;
}

static void apply_extent(const struct world *world, const struct transfer_plan *plan,
                         const struct transfer_extent *extent, uint8_t *built)
{
    const struct disk *own = &world->disks[OWN];
    uint8_t hash[TRANSFER_HASH_BYTES], *to = built + extent->offset;

    switch (extent->kind) {
    case TRANSFER_ZERO:
        memset(to, 0, extent->length);
        return;
    case TRANSFER_COPY: {
        const struct disk *donor = donor_of(world, plan->donors[extent->source].id);

        for (uint32_t i = 0; i < extent->length; i++)
            to[i] = extent->from + i < donor->size ? donor->bytes[extent->from + i] : 0;
        transfer_sha256(to, extent->length, hash);
        assert_memory_equal(hash, plan->hashes[extent->hash], sizeof(hash));
        return;
    }
    case TRANSFER_REPLICATE:
        memcpy(to,
               extent->source == plan->image_count - 1
                   ? built + extent->from
                   : world->disks[1 + DONORS + extent->source].bytes + extent->from,
               extent->length);
        return;
    case TRANSFER_SENT:
        if (extent->source == UINT32_MAX)
            memcpy(to, own->bytes + extent->offset, extent->length);
        else
            memcpy(to,
                   world->part_bytes[part_of(world, plan->parts[extent->source].sha256)] +
                       extent->from,
                   extent->length);
        return;
    }
    fail_msg("kind %d", (int)extent->kind);
}

/* As transfer_pack() would: what is to be sent lies in one part, in the order of the image. */
static void give_part(struct transfer_plan *plan, struct transfer_image *image)
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

static void check_encoded(struct transfer_plan *plan)
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

/* Figures by the way of the paper: every block looked up in everything there is. */
static bool is_in(const uint8_t *bytes, uint64_t size, const uint8_t *block, uint32_t block_size,
                  bool padded)
{
    uint8_t there[DIGEST_BLOCK_MAX];

    for (uint64_t at = 0; at < size; at += block_size) {
        size_t length = size - at < block_size ? (size_t)(size - at) : block_size;

        if (length < block_size && !padded)
            return false;
        memset(there, 0, block_size);
        memcpy(there, bytes + at, length);
        if (memcmp(there, block, block_size) == 0)
            return true;
    }
    return false;
}

static bool is_missing(const struct world *world, uint64_t at)
{
    const struct disk *own = &world->disks[OWN];
    uint64_t left = own->size - at;
    uint8_t block[DIGEST_BLOCK_MAX] = {0};

    memcpy(block, own->bytes + at, left < world->block_size ? (size_t)left : world->block_size);
    if (digest_is_zero(block, world->block_size) ||
        is_in(own->bytes, at, block, world->block_size, true))
        return false;
    for (size_t i = 0; i < world->donors; i++) {
        const struct disk *disk = &world->disks[1 + i];

        if (is_in(disk->bytes, disk->size, block, world->block_size, true))
            return false;
    }
    for (size_t i = 0; i < world->earlier; i++) {
        const struct disk *disk = &world->disks[1 + DONORS + i];

        if (is_in(disk->bytes, disk->size, block, world->block_size, false))
            return false;
    }
    for (size_t i = 0; i < world->part_count; i++) {
        if (is_in(world->part_bytes[i], world->parts[i].part.raw_length, block, world->block_size,
                  false))
            return false;
    }
    return true;
}

static void check_figures(const struct world *world, const struct transfer_figures *figures,
                          const struct transfer_figures *foreseen)
{
    const struct disk *own = &world->disks[OWN];
    uint64_t missing = 0;

    for (uint64_t at = 0; at < own->size; at += world->block_size) {
        uint64_t left = own->size - at;

        if (is_missing(world, at))
            missing += left < world->block_size ? left : world->block_size;
    }
    assert_int_equal(figures->sent, missing);
    assert_in_range(foreseen->sent, missing, missing + world->block_size - 1);
    assert_in_range(foreseen->data, figures->data, figures->data + world->block_size - 1);
    assert_in_range(foreseen->zero, figures->zero, figures->zero + world->block_size - 1);
}

static void check_content(const struct disk *own, const struct transfer_image *image)
{
    struct digest_content sum;
    uint8_t hash[TRANSFER_HASH_BYTES], size[8];

    digest_content_init(&sum);
    for (uint64_t at = 0; at < own->size; at += TRANSFER_PIECE_BYTES) {
        uint64_t left = own->size - at;

        transfer_sha256(own->bytes + at,
                        left < TRANSFER_PIECE_BYTES ? (size_t)left : TRANSFER_PIECE_BYTES, hash);
        digest_content_add(&sum, hash, sizeof(hash));
    }
    put_u64(size, own->size);
    digest_content_add(&sum, size, sizeof(size));
    digest_content_value(&sum, hash);
    assert_memory_equal(hash, image->content, sizeof(hash));
}

static void begin_plan(const struct world *world, struct transfer_plan *plan)
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

static void check_world(struct world *world, unsigned threads)
{
    const struct fingerprint_view *donors[DONORS], *earlier[EARLIER];
    struct transfer_sources sources = {donors,        world->ids,        world->donors,
                                       world->parts,  world->part_count, earlier,
                                       world->earlier};
    struct transfer_image described = {.path = (char *)"/images/own", .format = (char *)"raw"};
    struct transfer_make_options options = {.key = world->key, .threads = threads};
    struct transfer_figures figures = {0}, foreseen = {0};
    const struct disk *own = &world->disks[OWN];
    uint8_t *built = memory(own->size);
    struct transfer_plan plan;
    struct error err = {""};

    for (size_t i = 0; i < world->donors; i++)
        donors[i] = &world->disks[1 + i].fingerprint->view;
    for (size_t i = 0; i < world->earlier; i++)
        earlier[i] = &world->disks[1 + DONORS + i].fingerprint->view;
    begin_plan(world, &plan);
    if (transfer_make(own->image, &own->fingerprint->view, &sources, &described, &options, &plan,
                      &figures, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(transfer_foresee(&own->fingerprint->view, &sources, &foreseen, &err), 0);
    assert_int_equal(plan.image_count, world->earlier + 1);
    for (size_t i = 0; i < plan.images[world->earlier].extent_count; i++)
        apply_extent(world, &plan, &plan.images[world->earlier].extents[i], built);
    assert_memory_equal(built, own->bytes, own->size);
    check_content(own, &plan.images[world->earlier]);
    check_figures(world, &figures, &foreseen);
    check_encoded(&plan);
    transfer_plan_release(&plan);
    free(built);
}

/* ---- random worlds ---- */

/* Runs of blocks: some of a common stock, which others have as well, some zero, some of its own. */
static void fill(uint8_t *bytes, uint64_t size, const uint8_t *stock, size_t stock_bytes,
                 uint64_t *random)
{
    for (uint64_t at = 0; at < size;) {
        uint64_t length = 512 * (1 + made_random(random) % 64), left = size - at;
        uint64_t kind = made_random(random) % 8, from;

        length = length < left ? length : left;
        from = made_random(random) % ((stock_bytes - length) / 512) * 512;
        if (kind < 5)
            memcpy(bytes + at, stock + from, length);
        for (uint64_t i = 0; kind == 5 && i < length; i++)
            bytes[at + i] = (uint8_t)made_random(random);
        for (uint64_t i = 0; kind == 6 && i < length; i++)
            bytes[at + i] = (uint8_t)(1 + made_random(random) % 2 * (i / 4096));
        at += length;
    }
}

static void make_part(struct world *world, size_t i, const uint8_t *stock, size_t stock_bytes,
                      uint64_t *random)
{
    struct transfer_known_part *part = &world->parts[i];
    struct digest_plan plan;

    part->count = 1 + made_random(random) % 20;
    part->part = (struct transfer_part){{(uint8_t)(i + 1)}, 100, part->count * world->block_size};
    world->part_bytes[i] = memory(part->count * world->block_size);
    fill(world->part_bytes[i], part->count * world->block_size, stock, stock_bytes, random);
    part->digests = calloc(part->count, sizeof(*part->digests));
    assert_non_null(part->digests);
    assert_int_equal(digest_plan_init(&plan, world->kind, world->block_size,
                                      world->kind == DIGEST_KEYED_SHA256 ? world->key : NULL, NULL),
                     0);
    digest_blocks(&plan, world->part_bytes[i], part->count, part->digests);
}

static void make_world(struct world *world, uint64_t seed, uint32_t block_size)
{
    uint64_t random = seed;
    size_t stock_bytes = (size_t)512 << 10;
    uint8_t *stock = memory(stock_bytes);

    *world = (struct world){.block_size = block_size};
    world->kind = (enum digest_kind)(1 + made_random(&random) % 3);
    for (size_t i = 0; i < sizeof(world->key); i++)
        world->key[i] = (uint8_t)made_random(&random);
    for (size_t i = 0; i < stock_bytes; i++)
        stock[i] = (uint8_t)made_random(&random);
    world->donors = made_random(&random) % (DONORS + 1);
    world->part_count = made_random(&random) % (PARTS + 1);
    world->earlier = made_random(&random) % (EARLIER + 1);
    for (size_t i = 0; i < DISKS; i++) {
        struct disk *disk = &world->disks[i];
        uint64_t sectors = made_random(&random) % (i == OWN ? 6000 : 1500);

        /* The last block of some is short. */
        disk->size = 512 * (1 + sectors) + (made_random(&random) % 2 == 0 ? 0 : 512 - 100);
        disk->bytes = memory(disk->size);
        fill(disk->bytes, disk->size, stock, stock_bytes, &random);
        open_disk(disk, (unsigned)i, world->kind, block_size,
                  world->kind == DIGEST_KEYED_SHA256 ? world->key : NULL);
    }
    for (size_t i = 0; i < DONORS; i++)
        assert_true(string_format(world->ids[i], sizeof(world->ids[i]), "%032zx", i));
    for (size_t i = 0; i < world->part_count; i++)
        make_part(world, i, stock, stock_bytes, &random);
    free(stock);
}

static void release_world(struct world *world)
{
    for (size_t i = 0; i < DISKS; i++)
        close_disk(&world->disks[i]);
    for (size_t i = 0; i < PARTS; i++) {
        free(world->part_bytes[i]);
        free(world->parts[i].digests);
    }
}

static void test_every_plan_builds_its_image(void **unused)
{
    static const uint32_t sizes[] = {512, 1024, 4096, 65536};
    struct world *world = (struct world *)(void *)memory(sizeof(*world));

    (void)unused;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        make_world(world, seed, sizes[seed % ARRAY_LENGTH(sizes)]);
        check_world(world, 1 + seed % 3);
        release_world(world);
    }
    free(world);
}

static int make_directory(void **unused)
{
    (void)unused;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **unused)
{
    (void)unused;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_plan_builds_its_image),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
