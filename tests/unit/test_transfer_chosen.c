/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which source a plan chooses for each block, and what ends the making of one. */

#include "made_fingerprint.h"
#include "transfer_world.h"

/* ---- by hand: what is chosen ---- */

#define BLOCK 512

/* An image of blocks, each of which is a letter over and over; a point: zeroes. */
static void set_short_disk(struct world *world, size_t number, const char *blocks, size_t last)
{
    struct disk *disk = &world->disks[number];

    disk->size = (strlen(blocks) - 1) * BLOCK + last;
    disk->bytes = memory(strlen(blocks) * BLOCK);
    for (size_t i = 0; blocks[i] != '\0'; i++)
        memset(disk->bytes + i * BLOCK, blocks[i] == '.' ? 0 : blocks[i], BLOCK);
    open_disk(disk, (unsigned)number, DIGEST_SHA256, BLOCK, NULL);
    if (number > 0 && number <= DONORS) {
        assert_true(string_format(world->ids[number - 1], 33, "%032zx", number - 1));
        world->donors = number;
    }
}

static void set_disk(struct world *world, size_t number, const char *blocks)
{
    set_short_disk(world, number, blocks, BLOCK);
}

/* "C0@4+2": two blocks copied from block 4 of the plan's donor 0; S sent, R replicated, P a part. */
static void tell(const struct transfer_plan *plan, char *text, size_t size)
{
    const struct transfer_image *image = &plan->images[plan->image_count - 1];

    text[0] = '\0';
    for (size_t i = 0; i < image->extent_count; i++) {
        const struct transfer_extent *extent = &image->extents[i];
        size_t used = strlen(text);
        bool is_sent = extent->kind == TRANSFER_SENT && extent->source == UINT32_MAX;

        assert_int_equal(extent->length % BLOCK, 0);
        if (is_sent)
            assert_true(string_format(text + used, size - used, " S+%u", extent->length / BLOCK));
        else
            assert_true(string_format(text + used, size - used, " %c%u@%u+%u", "ZCRP"[extent->kind],
                                      extent -> source, (unsigned)(extent->from / BLOCK),
                                      extent -> length / BLOCK));
    }
}

static int make_by_hand(struct world *world, struct transfer_plan *plan,
                        const struct transfer_make_options *options, struct error *err)
{
    const struct fingerprint_view *donors[DONORS], *earlier[EARLIER];
    struct transfer_sources sources = {donors,        world->ids,        world->donors,
                                       world->parts,  world->part_count, earlier,
                                       world->earlier};
    struct transfer_image described = {.path = (char *)"/images/own", .format = (char *)"raw"};
    struct transfer_figures figures;

    for (size_t i = 0; i < world->donors; i++)
        donors[i] = &world->disks[1 + i].fingerprint->view;
    for (size_t i = 0; i < world->earlier; i++)
        earlier[i] = &world->disks[1 + DONORS + i].fingerprint->view;
    begin_plan(world, plan);
    return transfer_make(world->disks[OWN].image, &world->disks[OWN].fingerprint->view, &sources,
                         &described, options, plan, &figures, err);
}

static void assert_plan(const char *own, const char *const *donors, const char *earlier,
                        const char *expected)
{
    struct world *world = (struct world *)(void *)memory(sizeof(*world));
    struct transfer_plan plan;
    struct error err = {""};
    char text[512];

    world->kind = DIGEST_SHA256;
    world->block_size = BLOCK;
    set_disk(world, OWN, own);
    for (size_t i = 0; donors[i] != NULL; i++)
        set_disk(world, 1 + i, donors[i]);
    if (earlier != NULL) {
        set_disk(world, 1 + DONORS, earlier);
        world->earlier = 1;
    }
    if (make_by_hand(world, &plan, NULL, &err) < 0)
        fail_msg("%s", err.text);
    tell(&plan, text, sizeof(text));
    assert_string_equal(text, expected);
    transfer_plan_release(&plan);
    release_world(world);
    free(world);
}

#define DONORS_ARE(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_DONORS       ((const char *const[]){NULL})

static void test_what_is_chosen(void **unused)
{
    (void)unused;
    assert_plan("abc", NO_DONORS, NULL, " S+3");
    assert_plan("ab..c", NO_DONORS, NULL, " S+2 S+1");
    assert_plan("....", NO_DONORS, NULL, "");
    assert_plan("abcd", DONORS_ARE("xabcdy"), NULL, " C0@1+4");
    assert_plan("abXcd", DONORS_ARE("ab.cd"), NULL, " C0@0+2 S+1 C0@3+2");
    /* The first of those that are as good; one that saves an extent before it. */
    assert_plan("ab", DONORS_ARE("ab", "xab"), NULL, " C0@0+2");
    assert_plan("abcd", DONORS_ARE("ab", "cd", "..abcd"), NULL, " C0@2+4");
    assert_plan("abcd", DONORS_ARE("axbxcxd", "abc"), NULL, " C0@0+3 C1@6+1");
    /* The second fills what the first lacks, and goes no farther. */
    assert_plan("abcdef", DONORS_ARE("abc...", "bcdef"), NULL, " C0@0+3 C1@2+3");
    /* What is there already in an image of the same plan needs no hash. */
    assert_plan("ab", DONORS_ARE("ab"), "xab", " R0@1+2");
    assert_plan("axbxcx", DONORS_ARE("axb.c"), "b", " C0@0+3 R1@1+1 C0@4+1 R1@1+1");
}

static void test_later_copies(void **unused)
{
    (void)unused;
    assert_plan("abab", NO_DONORS, NULL, " S+2 R0@0+2");
    /* Never from what is not built yet; what stands many times doubles. */
    assert_plan("aaaa", NO_DONORS, NULL, " S+1 R0@0+1 R0@0+2");
    assert_plan("aaaaaaaaaaX", NO_DONORS, NULL, " S+1 R0@0+1 R0@0+2 R0@0+4 R0@0+2 S+1");
    assert_plan("aXaaaaaaYaa", NO_DONORS, NULL,
                " S+2 R0@0+1 R0@2+1 R0@2+2 R0@2+2 S+1 R0@0+1 R0@9+1");
    assert_plan("ababab", NO_DONORS, NULL, " S+2 R0@0+2 R0@0+2");
    assert_plan("abcabXabc", NO_DONORS, NULL, " S+3 R0@0+2 S+1 R0@0+3");
    /* A copy that goes on is not broken off. */
    assert_plan("bXab", DONORS_ARE("ab"), NULL, " C0@1+1 S+1 C0@0+2");
    assert_plan("abXab", DONORS_ARE("ab"), NULL, " C0@0+2 S+1 R0@0+2");
}

/* The last block of an image may be short: it is compared as if zeroes followed. */
static void test_short_last_blocks(void **unused)
{
    struct world *world = (struct world *)(void *)memory(sizeof(*world));
    struct transfer_plan plan;
    struct error err = {""};
    const struct transfer_extent *last;

    (void)unused;
    world->kind = DIGEST_SHA256;
    world->block_size = BLOCK;
    set_short_disk(world, OWN, "abc", 100);
    set_short_disk(world, 1, "xc", 100);
    assert_int_equal(make_by_hand(world, &plan, NULL, &err), 0);
    assert_int_equal(plan.images[0].extent_count, 2);
    last = &plan.images[0].extents[1];
    assert_true(last->kind == TRANSFER_COPY && last->length == 100 && last->from == BLOCK);
    check_encoded(&plan);
    transfer_plan_release(&plan);
    release_world(world);
    /* Zeroes are behind the end of a donor, but nothing is behind that of an image of the plan. */
    set_disk(world, OWN, "ab");
    memset(world->disks[OWN].bytes + BLOCK + 100, 0, BLOCK - 100);
    fingerprint_file_close(world->disks[OWN].fingerprint);
    image_close(world->disks[OWN].image);
    open_disk(&world->disks[OWN], OWN, DIGEST_SHA256, BLOCK, NULL);
    world->donors = 0;
    set_short_disk(world, 1 + DONORS, "xb", 100);
    world->earlier = 1;
    assert_int_equal(make_by_hand(world, &plan, NULL, &err), 0);
    assert_int_equal(plan.images[1].extent_count, 1);
    assert_int_equal(plan.images[1].extents[0].kind, TRANSFER_SENT);
    transfer_plan_release(&plan);
    release_world(world);
    free(world);
}

/* 24 MiB by one thread and by several: the same plan, with no copy that is too long. */
static void test_threads_make_one_plan(void **unused)
{
    struct world *world = (struct world *)(void *)memory(sizeof(*world));
    size_t count = (size_t)24 << 11, lengths[2] = {0};
    uint8_t *bytes[2] = {NULL};
    uint64_t random = 5;

    (void)unused;
    world->kind = DIGEST_SHA256;
    world->block_size = BLOCK;
    world->disks[OWN].size = count * BLOCK;
    world->disks[OWN].bytes = memory(count * BLOCK);
    for (size_t i = 0; i < count; i++)
        put_u64(world->disks[OWN].bytes + i * BLOCK, made_random(&random));
    open_disk(&world->disks[OWN], OWN, DIGEST_SHA256, BLOCK, NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct transfer_make_options options = {.threads = i == 0 ? 1 : 5};
        struct transfer_plan plan;
        struct error err = {""};

        world->disks[1] = world->disks[OWN];
        world->donors = 1;
        memcpy(world->ids[0], "0123456789abcdef0123456789abcdef", 33);
        assert_int_equal(make_by_hand(world, &plan, &options, &err), 0);
        assert_int_equal(plan.images[0].extent_count, 24 * 4);
        assert_int_equal(transfer_plan_encode(&plan, &bytes[i], &lengths[i], &err), 0);
        transfer_plan_release(&plan);
    }
    assert_int_equal(lengths[0], lengths[1]);
    assert_memory_equal(bytes[0], bytes[1], lengths[0]);
    free(bytes[0]);
    free(bytes[1]);
    world->disks[1] = (struct disk){0};
    release_world(world);
    free(world);
}

static void test_known_parts_are_used_again(void **unused)
{
    struct world *world = (struct world *)(void *)memory(sizeof(*world));
    struct transfer_plan plan;
    struct digest_plan digest;
    struct digest digests[3];
    struct error err = {""};
    uint8_t bytes[3 * BLOCK];
    char text[512];

    (void)unused;
    world->kind = DIGEST_SHA256;
    world->block_size = BLOCK;
    set_disk(world, OWN, "xabcyab");
    memset(bytes, 'q', BLOCK);
    memset(bytes + BLOCK, 'b', BLOCK);
    memset(bytes + 2 * (size_t)BLOCK, 'c', BLOCK);
    assert_int_equal(digest_plan_init(&digest, DIGEST_SHA256, BLOCK, NULL, NULL), 0);
    digest_blocks(&digest, bytes, 3, digests);
    world->parts[0] = (struct transfer_known_part){{{9}, 77, sizeof(bytes)}, digests, 3};
    world->part_count = 1;
    assert_int_equal(make_by_hand(world, &plan, NULL, &err), 0);
    tell(&plan, text, sizeof(text));
    assert_string_equal(text, " S+2 P0@1+2 S+1 R0@1+2");
    assert_int_equal(plan.part_count, 1);
    assert_memory_equal(&plan.parts[0], &world->parts[0].part, sizeof(plan.parts[0]));
    transfer_plan_release(&plan);
    world->parts[0].count = 4; /* more than it has bytes for */
    assert_int_equal(make_by_hand(world, &plan, NULL, &err), -EINVAL);
    transfer_plan_release(&plan);
    world->parts[0].digests = NULL;
    release_world(world);
    free(world);
}

/* ---- what ends it ---- */

static void test_an_image_that_changed_is_stale(void **unused)
{
    struct world *world = (struct world *)(void *)memory(sizeof(*world));
    struct transfer_plan plan;
    struct error err = {""};
    int fd;

    (void)unused;
    world->kind = DIGEST_SHA256;
    world->block_size = BLOCK;
    set_disk(world, OWN, "abcdefgh");
    set_disk(world, 1, "ab");
    fd = open(world->disks[OWN].path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "?", 1, 3 * BLOCK), 1);
    close(fd);
    assert_int_equal(make_by_hand(world, &plan, NULL, &err), -ESTALE);
    assert_non_null(strstr(err.text, "/disk-0: at byte 1536 it is not what its fingerprint says"));
    assert_int_equal(plan.image_count, 0);
    assert_int_equal(plan.donor_count + plan.hash_count, 0);
    transfer_plan_release(&plan);
    release_world(world);
    free(world);
}

static bool yes(void *context)
{
    (void)context;
    return true;
}

/* Whoever is asked at all says stop; a small image may be done before. */
static void test_it_can_be_stopped(void **unused)
{
    struct transfer_make_options options = {.stopped = yes, .threads = 1};
    struct world *world = (struct world *)(void *)memory(sizeof(*world));
    struct transfer_plan plan;
    struct error err = {""};
    size_t count = (size_t)100 << 20;
    char *blocks = (char *)memory(count / BLOCK);
    int rc;

    (void)unused;
    for (size_t i = 0; i < count / BLOCK; i++)
        blocks[i] = (char)(1 + i % 120);
    world->kind = DIGEST_SHA256;
    world->block_size = BLOCK;
    set_disk(world, OWN, blocks);
    rc = make_by_hand(world, &plan, &options, &err);
    assert_true(rc == -ECANCELED || rc == 0);
    assert_int_equal(plan.image_count, rc == 0 ? 1 : 0);
    transfer_plan_release(&plan);
    release_world(world);
    free(blocks);
    free(world);
}

static void test_kinds_that_do_not_fit(void **unused)
{
    struct world *world = (struct world *)(void *)memory(sizeof(*world));
    struct transfer_plan plan;
    struct error err = {""};

    (void)unused;
    world->kind = DIGEST_MD5; /* the plan's; fingerprints are of SHA-256 */
    world->block_size = BLOCK;
    set_disk(world, OWN, "ab");
    assert_int_equal(make_by_hand(world, &plan, NULL, &err), -EINVAL);
    transfer_plan_release(&plan);
    world->kind = DIGEST_SHA256;
    set_disk(world, 1, "ab");
    world->disks[1].fingerprint->view.key_id[0] ^= 1;
    assert_int_equal(make_by_hand(world, &plan, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.text, "donor 0 has a fingerprint of another kind"));
    transfer_plan_release(&plan);
    release_world(world);
    free(world);
}

/* Every digest at the last block there can be: nothing overflows, and the hook will find out. */
static void test_places_that_lie(void **unused)
{
    struct world *world = (struct world *)(void *)memory(sizeof(*world));
    struct fingerprint_view *view;
    uint8_t places[3 * 8];
    struct transfer_plan plan;
    struct error err = {""};
    char text[512];

    (void)unused;
    world->kind = DIGEST_SHA256;
    world->block_size = BLOCK;
    set_disk(world, OWN, "abc");
    set_disk(world, 1, "abc");
    view = &world->disks[1].fingerprint->view;
    for (size_t i = 0; i < 3; i++)
        put_u64(places + 8 * i, UINT64_MAX);
    view->places = places;
    assert_int_equal(make_by_hand(world, &plan, NULL, &err), 0);
    tell(&plan, text, sizeof(text));
    assert_int_equal(plan.images[0].extent_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(plan.images[0].extents[i].from == (FINGERPRINT_MAX_BLOCKS - 1) * BLOCK);
    check_encoded(&plan);
    transfer_plan_release(&plan);
    release_world(world);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_chosen),
        cmocka_unit_test(test_later_copies),
        cmocka_unit_test(test_short_last_blocks),
        cmocka_unit_test(test_threads_make_one_plan),
        cmocka_unit_test(test_known_parts_are_used_again),
        cmocka_unit_test(test_an_image_that_changed_is_stale),
        cmocka_unit_test(test_it_can_be_stopped),
        cmocka_unit_test(test_kinds_that_do_not_fit),
        cmocka_unit_test(test_places_that_lie),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
