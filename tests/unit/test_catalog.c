/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pure parts of an index: names of fingerprints, and when one is still true. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "catalog/internal.h"

#define HASH "0cd9d99d1b4f3c3fd0b0c4b0b5a0c3a1"

/* ---- names ------------------------------------------------------------------------ */

static void the_hash_is_the_paths_sha256(void **state)
{
    char hash[CATALOG_HASH_BYTES];

    (void)state;
    /* printf %s /images/a.raw | sha256sum */
    catalog_hash("/images/a.raw", hash);
    assert_string_equal(hash, "c8e8e8a99209eb2de3e88b9d19a99579");
    catalog_hash("", hash);
    assert_string_equal(hash, "e3b0c44298fc1c149afbf4c8996fb924");
}

static void names_say_what_they_are(void **state)
{
    static const struct {
        struct catalog_kind kind;
        const char *name;
    } cases[] = {
        {{.kind = DIGEST_MD5, .block_size = 512}, HASH ".md5-512.fingerprint"},
        {{.kind = DIGEST_SHA256, .block_size = 65536}, HASH ".sha256-65536.fingerprint"},
        {{.kind = DIGEST_KEYED_SHA256, .block_size = 4096, .key_id = {0, 1, 0xab, 0xff}},
         HASH ".keyed-0001abff00000000-4096.fingerprint"},
    };
    static const char *const merged[] = {"md5-512.merged", "sha256-65536.merged",
                                         "keyed-0001abff00000000-4096.merged"};
    char name[CATALOG_NAME_BYTES], hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        catalog_merged_name(&cases[i].kind, name);
        assert_string_equal(name, merged[i]);
        catalog_name_make(HASH, &cases[i].kind, name);
        assert_string_equal(name, cases[i].name);
        assert_true(catalog_name_parse(name, hash, &kind));
        assert_string_equal(hash, HASH);
        assert_int_equal(kind.kind, cases[i].kind.kind);
        assert_int_equal(kind.block_size, cases[i].kind.block_size);
        assert_memory_equal(kind.key_id, cases[i].kind.key_id, sizeof(kind.key_id));
        for (size_t j = 0; j < ARRAY_LENGTH(cases); j++)
            assert_int_equal(catalog_kind_fits(&cases[j].kind, &kind), i == j);
    }
}

static void other_names_are_none(void **state)
{
    static const char *const names[] = {
        "",
        "lock",
        HASH,
        HASH ".sha256-4096",
        HASH ".sha256-4096.fingerprint.tmp",
        "." HASH ".sha256-4096.fingerprint",
        HASH "0.sha256-4096.fingerprint",
        "X" HASH ".sha256-4096.fingerprint",
        "0CD9d99d1b4f3c3fd0b0c4b0b5a0c3a1.sha256-4096.fingerprint",
        HASH ".sha1-4096.fingerprint",
        HASH ".sha256-.fingerprint",
        HASH ".sha256-04096.fingerprint",
        HASH ".sha256-4097.fingerprint",
        HASH ".sha256-256.fingerprint",
        HASH ".sha256-131072.fingerprint",
        HASH ".sha256-99999999999999999999.fingerprint",
        HASH ".keyed-4096.fingerprint",
        HASH ".keyed-0001abff0000000-4096.fingerprint",
    };
    char hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        if (catalog_name_parse(names[i], hash, &kind))
            fail_msg("%s is taken as a fingerprint's name", names[i]);
    }
}

static void only_our_leftovers_are_ours(void **state)
{
    static const char *const others[] = {
        ".mine.tmp",
        HASH ".sha256-4096.fingerprint.abcdef.tmp",
        "." HASH ".sha256-4096.fingerprint.abcde.tmp",
        "." HASH ".sha256-4096.fingerprint.abcdefg.tmp",
        "." HASH ".sha256-4096.fingerprint.abcdef",
        "." HASH ".sha256-4096.fingerprint",
        "." HASH ".sha256-4097.fingerprint.abcdef.tmp",
    };

    (void)state;
    assert_true(catalog_name_is_leftover("." HASH ".sha256-4096.fingerprint.aB3_x9.tmp"));
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        if (catalog_name_is_leftover(others[i]))
            fail_msg("%s would be removed", others[i]);
    }
}

static void fingerprints_are_known_by_their_ending(void **state)
{
    (void)state;
    assert_true(catalog_name_is_fingerprint(HASH ".sha256-4096.fingerprint"));
    assert_true(catalog_name_is_fingerprint("copied by hand.fingerprint"));
    assert_false(catalog_name_is_fingerprint(".fingerprint"));
    assert_false(catalog_name_is_fingerprint(".hidden.fingerprint"));
    assert_false(catalog_name_is_fingerprint("disk.fingerprint.raw"));
    assert_false(catalog_name_is_fingerprint(""));
}

static void what_hosts_are_told_has_names_of_its_own(void **state)
{
    (void)state;
    assert_true(catalog_name_is_told("manifest"));
    assert_true(catalog_name_is_told("a.request"));
    assert_true(catalog_name_is_told("a.lease"));
    assert_false(catalog_name_is_told(".request"));
    assert_false(catalog_name_is_told("manifest2"));
    assert_false(catalog_name_is_told("lease"));
    assert_false(catalog_name_is_told("a.lease.raw"));
}

static void kinds_that_are_asked_for(void **state)
{
    const struct catalog_kind have = {.kind = DIGEST_SHA256, .block_size = 512};

    (void)state;
    assert_true(catalog_kind_fits(&(struct catalog_kind){.any = true}, &have));
    assert_true(catalog_kind_fits(&(struct catalog_kind){.kind = DIGEST_SHA256}, &have));
    assert_false(catalog_kind_fits(&(struct catalog_kind){.kind = DIGEST_MD5}, &have));
    assert_false(catalog_kind_fits(
        &(struct catalog_kind){.kind = DIGEST_SHA256, .block_size = 1024}, &have));
}

static void lies_in_knows_directories(void **state)
{
    (void)state;
    assert_true(catalog_lies_in("/a/b/c", "/a/b"));
    assert_true(catalog_lies_in("/a/b/c", "/a/b/"));
    assert_true(catalog_lies_in("/a/b", "/a/b"));
    assert_true(catalog_lies_in("/a", "/"));
    assert_false(catalog_lies_in("/a/bc", "/a/b"));
    assert_false(catalog_lies_in("/a", "/a/b"));
}

/* ---- truth ------------------------------------------------------------------------------ */

/* A fingerprint of two files, made long after they were changed, and these files. */
struct scene {
    struct fingerprint_layer then[2];
    struct fingerprint_identity identity;
    char path[16], format[16];
    struct image_layer now[2];
};

static void set_up(struct scene *scene)
{
    memset(scene, 0, sizeof(*scene));
    string_copy(scene->path, sizeof(scene->path), "/a");
    string_copy(scene->format, sizeof(scene->format), "raw");
    for (size_t i = 0; i < 2; i++) {
        scene->then[i] = (struct fingerprint_layer){
            .path = "/a",
            .format = "raw",
            .device = 1,
            .inode = 2,
            .size = 3,
            .modified_s = 100,
            .modified_ns = 5,
            .changed_s = 101,
            .changed_ns = 6,
        };
        scene->now[i] = (struct image_layer){
            .path = scene->path,
            .format = scene->format,
            .device = 1,
            .inode = 2,
            .size = 3,
            .modified = {100, 5},
            .changed = {101, 6},
        };
    }
    scene->identity.layers = scene->then;
    scene->identity.layer_count = 2;
    scene->identity.made_s = 1000;
}

static bool holds(const struct scene *scene)
{
    return catalog_identity_holds(&scene->identity, scene->now, 2);
}

static void what_is_as_it_was_holds(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    assert_true(holds(&scene));
}

/* One change after the other, each of the lower file. */
static void whatever_changed_does_not_hold(void **state)
{
    char other[] = "/b", qcow2[] = "qcow2";
    struct scene scene;

    (void)state;
    for (unsigned change = 0; change < 13; change++) {
        set_up(&scene);
        struct image_layer *now = &scene.now[1];
        uint64_t *const numbers[] = {&now->device, &now->inode, &now->size};
        time_t *const seconds[] = {&now->modified.tv_sec, &now->changed.tv_sec};
        long *const nanoseconds[] = {&now->modified.tv_nsec, &now->changed.tv_nsec};

        if (change < 3)
            *numbers[change] += 1;
        else if (change < 5)
            *seconds[change - 3] += 1;
        else if (change < 7)
            *nanoseconds[change - 5] += 1;
        else if (change == 7)
            now->path = other;
        else if (change == 8)
            now->format = qcow2;
        else if (change == 9)
            now->is_block_device = true;
        else if (change == 10)
            scene.identity.layer_count = 1;
        else if (change == 11)
            scene.identity.provisional = true;
        else
            now->is_block_device = scene.then[1].is_block_device = true;
        if (holds(&scene))
            fail_msg("change %u is not seen", change);
    }
}

static void what_changed_just_before_does_not_hold(void **state)
{
    struct scene scene;

    (void)state;
    for (int64_t made = 99; made < 110; made++) {
        set_up(&scene);
        scene.identity.made_s = made;
        /* Changed at 101.000000006: by 103.999 two seconds have surely passed, by 103.0 not quite. */
        assert_int_equal(holds(&scene), made >= 104);
    }
    set_up(&scene);
    scene.identity.made_s = INT64_MIN;
    assert_false(holds(&scene));
    scene.identity.made_s = INT64_MAX;
    assert_true(holds(&scene));
}

static void no_files_hold_nothing(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    scene.identity.layer_count = 0;
    assert_false(catalog_identity_holds(&scene.identity, scene.now, 0));
}

/* ---- lists -------------------------------------------------------------------------------- */

static void lists_keep_what_is_added(void **state)
{
    CLEANUP(catalog_images_release) struct catalog_images images = {0};
    const struct error error = {"why"};
    char text[16];

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        string_format(text, sizeof(text), "/%u", i);
        assert_int_equal(catalog_images_add(&images, text, i % 2 ? "raw" : NULL), 0);
        assert_int_equal(catalog_images_add_scope(&images, text), 0);
        assert_int_equal(catalog_images_add_problem(&images, text, &error), 0);
    }
    assert_int_equal(images.count, 100);
    assert_int_equal(images.scope_count, 100);
    assert_int_equal(images.problem_count, 100);
    assert_string_equal(images.images[99].path, "/99");
    assert_string_equal(images.images[99].format, "raw");
    assert_null(images.images[98].format);
    assert_string_equal(images.scopes[98], "/98");
    assert_string_equal(images.problems[98].error.text, "why");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_the_paths_sha256),
        cmocka_unit_test(names_say_what_they_are),
        cmocka_unit_test(other_names_are_none),
        cmocka_unit_test(only_our_leftovers_are_ours),
        cmocka_unit_test(fingerprints_are_known_by_their_ending),
        cmocka_unit_test(what_hosts_are_told_has_names_of_its_own),
        cmocka_unit_test(kinds_that_are_asked_for),
        cmocka_unit_test(lies_in_knows_directories),
        cmocka_unit_test(what_is_as_it_was_holds),
        cmocka_unit_test(whatever_changed_does_not_hold),
        cmocka_unit_test(what_changed_just_before_does_not_hold),
        cmocka_unit_test(no_files_hold_nothing),
        cmocka_unit_test(lists_keep_what_is_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
