/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plans of small images: each is carried out here, extent by extent, in the
 * plainest way, and what comes of it is held against the image byte by byte.
 */

#include "made_fingerprint.h"
#include "transfer/make.h"
#include "transfer_world.h"

/* ---- a plan carried out ---- */

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

static void test_every_plan_builds_its_image(void **unused)
{
    static const uint32_t sizes[] = {512, 1024, 4096, 65536};
    struct world *world = (struct world *)(void *)memory(sizeof(*world));

    (void)unused;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        make_world(world, seed, sizes[seed % ARRAY_LENGTH(sizes)]);
        check_world(world, 1 + seed % 3);
        release_world(world);
    }
    free(world);
}

/* ---- layers that lie on others ---- */

/* What the layer holds, byte by byte. */
enum holding { HOLE = 0, ZEROES = 1, DATA = 2 };

static void make_holding(struct disk *disk, uint8_t *holding, uint32_t grain, uint64_t *random)
{
    for (uint64_t at = 0; at < disk->size;) {
        uint64_t length = grain * (1 + made_random(random) % 40), left = disk->size - at;
        uint8_t kind = (uint8_t)(made_random(random) % 3);

        length = length < left ? length : left;
        memset(holding + at, kind, length);
        if (kind != DATA)
            memset(disk->bytes + at, 0, length);
        at += length;
    }
}

/* As make_run.c reads it from an image that was opened by itself. */
static void fill_piece(const struct disk *disk, const uint8_t *holding, struct make_piece *piece)
{
    uint64_t base = piece->number * TRANSFER_PIECE_BYTES, left = disk->size - base;

    piece->length = left < TRANSFER_PIECE_BYTES ? (uint32_t)left : TRANSFER_PIECE_BYTES;
    piece->range_count = 0;
    memset(piece->bytes, 0, TRANSFER_PIECE_BYTES);
    memcpy(piece->bytes, disk->bytes + base, piece->length);
    for (uint32_t at = 0, end; at < piece->length; at = end) {
        for (end = at + 1; end < piece->length && holding[base + end] == holding[base + at];)
            end++;
        if (holding[base + at] != HOLE) {
            assert_int_equal(array_reserve(&piece->ranges, &piece->range_capacity,
                                           piece->range_count + 1, sizeof(*piece->ranges)),
                             0);
            piece->ranges[piece->range_count++] =
                (struct make_range){at, end, holding[base + at] == ZEROES};
        }
    }
}

static void apply_draft(const struct world *world, const struct make_draft *draft, uint8_t *built,
                        uint8_t *covered)
{
    const struct disk *own = &world->disks[OWN];

    for (size_t i = 0; i < draft->extent_count; i++) {
        const struct transfer_extent *extent = &draft->extents[i];
        uint8_t *to = built + extent->offset;

        memset(covered + extent->offset, extent->kind == TRANSFER_ZERO ? ZEROES : DATA,
               extent->length);
        if (extent->kind == TRANSFER_COPY) {
            const struct disk *donor = &world->disks[1 + extent->source];

            for (uint32_t b = 0; b < extent->length; b++)
                to[b] = extent->from + b < donor->size ? donor->bytes[extent->from + b] : 0;
        } else if (extent->kind == TRANSFER_REPLICATE) {
            assert_true(extent->from + extent->length <= extent->offset);
            memcpy(to, built + extent->from, extent->length);
        } else if (extent->kind == TRANSFER_SENT) {
            memcpy(to, own->bytes + extent->offset, extent->length);
        }
    }
}

static void check_layer(struct world *world, uint32_t grain, uint64_t seed)
{
    struct disk *own = &world->disks[OWN];
    uint8_t *holding = memory(own->size), *built = memory(own->size), *covered = memory(own->size);
    struct make_draft *draft = (struct make_draft *)(void *)memory(sizeof(*draft));
    struct make_piece piece = {.bytes = memory(TRANSFER_PIECE_BYTES)};
    const struct fingerprint_view *donors[DONORS];
    struct transfer_sources sources = {.donors = donors, .donor_count = world->donors};
    struct digest_plan digest;
    struct assign assign;
    struct make_facts facts = {.assign = &assign, .digest = &digest, .is_layer = true};
    struct error err = {""};

    for (size_t i = 0; i < world->donors; i++)
        donors[i] = &world->disks[1 + i].fingerprint->view;
    fingerprint_file_close(own->fingerprint);
    image_close(own->image);
    make_holding(own, holding, grain, &seed);
    open_disk(own, 0, world->kind, world->block_size,
              world->kind == DIGEST_KEYED_SHA256 ? world->key : NULL);
    digest_content_init(&facts.empty);
    assert_int_equal(digest_plan_init(&digest, world->kind, world->block_size,
                                      world->kind == DIGEST_KEYED_SHA256 ? world->key : NULL, NULL),
                     0);
    assert_int_equal(make_assign(&assign, &own->fingerprint->view, &sources, &err), 0);
    for (; piece.number * TRANSFER_PIECE_BYTES < own->size; piece.number++) {
        fill_piece(own, holding, &piece);
        if (make_draft_piece(draft, &facts, &piece, &err) < 0)
            fail_msg("%s", err.text);
    }
    apply_draft(world, draft, built, covered);
    assert_memory_equal(built, own->bytes, own->size);
    for (uint64_t at = 0; at < own->size; at++) {
        /* Zeroes that are held as data hide what lies below as well. */
        assert_int_equal(covered[at] != HOLE, holding[at] != HOLE);
        assert_true(covered[at] != ZEROES || own->bytes[at] == 0);
    }
    assign_release(&assign);
    make_draft_release(draft);
    free(draft);
    free(piece.bytes);
    free(piece.ranges);
    free(holding);
    free(built);
    free(covered);
}

static void test_layers_keep_their_holes(void **unused)
{
    static const uint32_t sizes[] = {512, 4096, 65536}, grains[] = {4096, 512, 100, 65536};
    struct world *world = (struct world *)(void *)memory(sizeof(*world));

    (void)unused;
    for (uint64_t seed = 100; seed < 109; seed++) {
        make_world(world, seed, sizes[seed % ARRAY_LENGTH(sizes)]);
        check_layer(world, grains[seed % ARRAY_LENGTH(grains)], seed);
        release_world(world);
    }
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_plan_builds_its_image),
        cmocka_unit_test(test_layers_keep_their_holes),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
