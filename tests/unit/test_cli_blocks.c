/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands about images share: values of options, adopting from fingerprints, what is shown. */
#include "cli/blocks.h"
#include "cli/report_json.h"

#include "made_fingerprint.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static const struct command_syntax syntax = {.name = "test"};

static void bytes_have_suffixes(void **state)
{
    static const struct {
        const char *text;
        int rc;
        uint64_t bytes;
    } rows[] = {
        {"0", 0, 0},
        {"4096", 0, 4096},
        {"64K", 0, 65536},
        {"64k", 0, 65536},
        {"3M", 0, 3 << 20},
        {"2g", 0, UINT64_C(2) << 30},
        {"1T", 0, UINT64_C(1) << 40},
        {"16777215T", 0, UINT64_C(16777215) << 40},
        {"18446744073709551615", 0, UINT64_MAX},
        {"16777216T", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"K", -EINVAL, 0},
        {"1.5G", -EINVAL, 0},
        {"1KK", -EINVAL, 0},
        {"1KB", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 K", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"00000000000000000000000000000001", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        uint64_t bytes = 77;

        if (blocks_parse_bytes(rows[i].text, &bytes) != rows[i].rc)
            fail_msg("'%s' is not understood as it should be", rows[i].text);
        assert_int_equal(bytes, rows[i].rc == 0 ? rows[i].bytes : 77);
    }
}

static int take(struct blocks_settings *settings, int key, const char *argument)
{
    return blocks_option(&syntax, key, argument, settings);
}

static void options_are_kept(void **state)
{
    struct blocks_settings settings;

    (void)state;
    blocks_settings_init(&settings, DIGEST_MD5, 512);
    assert_int_equal(settings.block_sizes[0], 512);
    assert_int_equal(take(&settings, BLOCKS_OPTION_BLOCK_SIZE, "4K"), STATUS_OK);
    assert_int_equal(settings.block_size_count, 1);
    assert_int_equal(settings.block_sizes[0], 4096);
    assert_int_equal(take(&settings, BLOCKS_OPTION_DIGEST, "sha256"), STATUS_OK);
    assert_int_equal(take(&settings, BLOCKS_OPTION_THREADS, "3"), STATUS_OK);
    assert_int_equal(take(&settings, BLOCKS_OPTION_RATE, "5M"), STATUS_OK);
    assert_int_equal(take(&settings, BLOCKS_OPTION_MEMORY, "1G"), STATUS_OK);
    assert_int_equal(take(&settings, BLOCKS_OPTION_BACKING, "/one"), STATUS_OK);
    assert_int_equal(take(&settings, BLOCKS_OPTION_BACKING, "/two"), STATUS_OK);
    assert_int_equal(take(&settings, BLOCKS_OPTION_FORMAT, "raw"), STATUS_OK);
    assert_int_equal(take(&settings, BLOCKS_OPTION_KEEP_CACHE, NULL), STATUS_OK);
    assert_int_equal(take(&settings, BLOCKS_OPTION_TEMPORARY, "/t"), STATUS_OK);
    assert_int_equal(settings.kind, DIGEST_SHA256);
    assert_true(settings.kind_given && settings.block_size_given);
    assert_int_equal(settings.build.threads, 3);
    assert_int_equal(settings.image.rate_bytes_per_s, 5 << 20);
    assert_int_equal(settings.build.memory_bytes, 1 << 30);
    assert_string_equal(settings.image.allowed[0], "/one");
    assert_string_equal(settings.image.allowed[1], "/two");
    assert_null(settings.image.allowed[2]);
    assert_string_equal(settings.image.format, "raw");
    assert_true(settings.image.keep_cache);
    assert_string_equal(settings.build.temporary, "/t");
    blocks_settings_release(&settings);
}

static void no_more_threads_than_are_made(void **state)
{
    struct blocks_settings settings;

    (void)state;
    blocks_settings_init(&settings, DIGEST_MD5, 512);
    assert_int_equal(FINGERPRINT_MAX_THREADS, 64); /* the manual pages say so */
    assert_int_equal(take(&settings, BLOCKS_OPTION_THREADS, "64"), STATUS_OK);
    assert_int_equal(settings.build.threads, 64);
    assert_int_equal(take(&settings, BLOCKS_OPTION_THREADS, "65"), STATUS_USAGE);
    blocks_settings_release(&settings);
}

static int take_first(void *context, int key, const char *argument)
{
    *(int *)context += key == 'x' && strcmp(argument, "1") == 0;
    return strcmp(argument, "2") == 0 ? STATUS_FAILED : STATUS_OK;
}

static void options_are_taken_one_by_one(void **state)
{
    static const struct command_option table[] = {{'x', "x", "N", "a number"}};
    static const struct command_syntax with_option = {
        .name = "test", .synopsis = "", .description = "", .options = table, .option_count = 1};
    const char *good[] = {"test", "-x", "1", "a", "--x=1", NULL};
    const char *bad[] = {"test", "-x", "2", NULL};
    const char *wrong[] = {"test", "-y", NULL};
    const char *help[] = {"test", "--help", NULL};
    int taken = 0;

    (void)state;
    optind = 0;
    assert_int_equal(blocks_parse_options(&with_option, 5, (char **)good, take_first, &taken), -1);
    assert_int_equal(taken, 2);
    assert_string_equal(good[optind], "a");
    optind = 0;
    assert_int_equal(blocks_parse_options(&with_option, 3, (char **)bad, take_first, &taken),
                     STATUS_FAILED);
    optind = 0;
    assert_int_equal(blocks_parse_options(&with_option, 2, (char **)wrong, take_first, &taken),
                     STATUS_USAGE);
    optind = 0;
    assert_int_equal(blocks_parse_options(&with_option, 2, (char **)help, take_first, &taken),
                     STATUS_OK);
}

static void block_sizes_add_up(void **state)
{
    static const char *const all[] = {"512", "1K", "2048", "4096", "8192", "16384", "32K", "64K"};
    struct blocks_settings settings;

    (void)state;
    blocks_settings_init(&settings, DIGEST_MD5, 4096);
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
            assert_int_equal(take(&settings, BLOCKS_OPTION_BLOCK_SIZE, all[i]), STATUS_OK);
    }
    assert_int_equal(settings.block_size_count, BLOCKS_MAX_WISHES);
    assert_int_equal(settings.block_sizes[0], 512);
    assert_int_equal(settings.block_sizes[7], 65536);
    blocks_settings_release(&settings);
}

static void keys_come_from_files(void **state)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"0123456789abcdef0123456789ABCDEF", STATUS_OK}, /* 32 bytes as they are */
        {"3031323334353637383961626364656630313233343536373839414243444546", STATUS_OK},
        {"3031323334353637383961626364656630313233343536373839414243444546\n", STATUS_OK},
        {"", STATUS_FAILED},
        {"0123456789abcdef0123456789ABCDE", STATUS_FAILED},
        {"0123456789abcdef0123456789ABCDEF0", STATUS_FAILED},
        {"303132333435363738396162636465663031323334353637383941424344454g", STATUS_FAILED},
        {"3031323334353637383961626364656630313233343536373839414243444546\n\n", STATUS_FAILED},
        {"3031323334353637383961626364656630313233343536373839414243444546 more than that",
         STATUS_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct blocks_settings settings;
        char path[] = "/tmp/setmov-key-XXXXXX";
        int fd = mkstemp(path);
        size_t length = strlen(rows[i].text);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, rows[i].text, length), length);
        close(fd);
        blocks_settings_init(&settings, DIGEST_SHA256, 4096);
        assert_int_equal(take(&settings, BLOCKS_OPTION_KEY_FILE, path), rows[i].status);
        assert_int_equal(settings.has_key, rows[i].status == STATUS_OK);
        if (settings.has_key)
            assert_memory_equal(settings.key, rows[0].text, DIGEST_KEY_BYTES);
        blocks_settings_release(&settings);
        assert_int_equal(settings.key[0], 0);
        unlink(path);
    }
}

/* ---- fingerprints -------------------------------------------------------------- */

#define FILES 5

static const struct {
    const char *name;
    enum digest_kind kind;
    uint32_t block_size;
} made_files[FILES] = {
    {"md5-512", DIGEST_MD5, 512},
    {"md5-512-too", DIGEST_MD5, 512},
    {"md5-4096", DIGEST_MD5, 4096},
    {"sha256-512", DIGEST_SHA256, 512},
    {"keyed-512", DIGEST_KEYED_SHA256, 512},
};

struct made_directory {
    char path[64];
    char files[FILES][128];
    char image[128];
};

static void write_file(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static int make_directory(void **state)
{
    static const uint64_t contents[] = {1, 2, 3, 3};
    struct made_directory *made = calloc(1, sizeof(*made));

    assert_non_null(made);
    string_copy(made->path, sizeof(made->path), "/tmp/setmov-blocks-XXXXXX");
    assert_non_null(mkdtemp(made->path));
    for (size_t i = 0; i < FILES; i++) {
        struct made_fingerprint fingerprint = made_fingerprint(contents, ARRAY_LENGTH(contents));
        struct error err = {""};
        uint8_t *bytes = NULL;
        size_t length = 0;

        fingerprint.view.kind = made_files[i].kind;
        fingerprint.view.block_size = made_files[i].block_size;
        fingerprint.view.identity.virtual_size = 4 * (uint64_t)made_files[i].block_size;
        fingerprint.view.key_id[0] = made_files[i].kind == DIGEST_KEYED_SHA256;
        assert_int_equal(fingerprint_encode(&fingerprint.view, &bytes, &length, &err), 0);
        string_format(made->files[i], sizeof(made->files[i]), "%s/%s", made->path,
                      made_files[i].name);
        write_file(made->files[i], bytes, length);
        free(bytes);
        made_fingerprint_release(&fingerprint);
    }
    string_format(made->image, sizeof(made->image), "%s/image", made->path);
    write_file(made->image, made, sizeof(*made));
    *state = made;
    return 0;
}

static int remove_directory(void **state)
{
    struct made_directory *made = *state;

    for (size_t i = 0; i < FILES; i++)
        unlink(made->files[i]);
    unlink(made->image);
    rmdir(made->path);
    free(made);
    return 0;
}

static int adopt(struct blocks_settings *settings, const char *first, const char *second,
                 struct error *err)
{
    const char *paths[] = {first, second};

    blocks_settings_init(settings, DIGEST_MD5, 1024);
    return blocks_adopt(paths, ARRAY_LENGTH(paths), settings, err);
}

static void settings_follow_fingerprints(void **state)
{
    const struct made_directory *made = *state;
    struct blocks_settings settings;
    struct error err = {""};

    assert_int_equal(adopt(&settings, made->image, made->image, &err), 0);
    assert_int_equal(settings.block_sizes[0], 1024);
    assert_int_equal(adopt(&settings, made->image, made->files[3], &err), 0);
    assert_int_equal(settings.kind, DIGEST_SHA256);
    assert_int_equal(settings.block_sizes[0], 512);
    assert_int_equal(adopt(&settings, made->files[0], made->files[1], &err), 0);
    assert_int_equal(settings.kind, DIGEST_MD5);
    assert_int_equal(adopt(&settings, made->files[0], "/nonexistent", &err), 0);
    assert_int_equal(adopt(&settings, made->files[4], made->files[4], &err), 0);
    assert_int_equal(settings.kind, DIGEST_KEYED_SHA256);
    assert_string_equal(err.text, "");
}

static void disagreement_names_both(void **state)
{
    const struct made_directory *made = *state;
    struct blocks_settings settings;
    struct error err = {""};

    for (size_t i = 2; i < FILES; i++) {
        assert_int_equal(adopt(&settings, made->files[0], made->files[i], &err), -EINVAL);
        assert_non_null(strstr(err.text, made->files[0]));
        assert_non_null(strstr(err.text, made->files[i]));
    }
    /* Keyed digests of an image need the key. */
    assert_int_equal(adopt(&settings, made->files[4], made->image, &err), -EINVAL);
    assert_non_null(strstr(err.text, made->image));
    assert_non_null(strstr(err.text, "--key-file"));
}

static void options_stand_above_fingerprints(void **state)
{
    const struct made_directory *made = *state;
    const char *path = made->files[0];
    struct blocks_settings settings;
    struct error err = {""};

    blocks_settings_init(&settings, DIGEST_SHA256, 4096);
    assert_int_equal(take(&settings, BLOCKS_OPTION_BLOCK_SIZE, "1024"), STATUS_OK);
    assert_int_equal(blocks_adopt(&path, 1, &settings, &err), -EINVAL);
    assert_non_null(strstr(err.text, "--block-size"));
    assert_non_null(strstr(err.text, path));
    blocks_settings_init(&settings, DIGEST_MD5, 4096);
    assert_int_equal(take(&settings, BLOCKS_OPTION_DIGEST, "sha256"), STATUS_OK);
    assert_int_equal(blocks_adopt(&path, 1, &settings, &err), -EINVAL);
    assert_non_null(strstr(err.text, "--digest"));
    assert_int_equal(take(&settings, BLOCKS_OPTION_DIGEST, "md5"), STATUS_OK);
    assert_int_equal(blocks_adopt(&path, 1, &settings, &err), 0);
    assert_int_equal(settings.block_sizes[0], 512);
}

static void a_fingerprint_must_fit(void **state)
{
    const struct made_directory *made = *state;
    struct fingerprint_file *file = NULL;
    struct blocks_settings settings;
    struct error err = {""};

    blocks_settings_init(&settings, DIGEST_MD5, 512);
    for (size_t i = 2; i < FILES; i++) {
        assert_int_equal(
            blocks_open(made->files[i], &settings, FINGERPRINT_PART_DIGESTS, &file, &err), -EINVAL);
        assert_null(file);
        assert_non_null(strstr(err.text, made->files[i]));
    }
    assert_int_equal(blocks_open(made->files[0], &settings, FINGERPRINT_PART_DIGESTS, &file, &err),
                     0);
    assert_int_equal(file->view.totals.distinct, 3);
    fingerprint_file_close(file);
}

/* ---- what is shown -------------------------------------------------------------- */

static void counts_have_commas(void **state)
{
    (void)state;
    assert_string_equal(blocks_count(0).text, "0");
    assert_string_equal(blocks_count(999).text, "999");
    assert_string_equal(blocks_count(1000).text, "1,000");
    assert_string_equal(blocks_count(3819652).text, "3,819,652");
    assert_string_equal(blocks_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
}

static void paths_are_one_line(void **state)
{
    char path[2 * PATH_MAX];

    (void)state;
    assert_string_equal(blocks_show("a\nb\x1b[2J\xff\xe2\x80\xae\xe2\x80\xac").text, "a?b?[2J???");
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_true(strlen(blocks_show(path).text) < sizeof(struct blocks_shown));
}

static void json_is_valid(void **state)
{
    struct json_object *object = json_object_new_object();
    CLEANUP(cleanup_free) char *line = NULL;

    (void)state;
    report_json_add(object, "text", report_json_text("a\xff\xc3\xa9"));
    report_json_add(object, "none", report_json_text(NULL));
    report_json_add(object, "whole", report_json_share(70));
    report_json_add(object, "third", report_json_share(100.0 / 3));
    report_json_add(object, "nothing", report_json_share(0));
    report_json_add(object, "rounded", report_json_number(1.0 / 3, 3));
    report_json_add(object, "unknown", report_json_number(NAN, 3));
    report_json_add_u64(object, "count", UINT64_MAX - 1);
    report_json_add_u64(object, "uncounted", UNKNOWN_U64);
    report_json_add(object, "order", report_json_text("\xc2\x9b/"));
    /* Where memory ran out nothing is kept, and nothing falls over. */
    report_json_add(NULL, "x", report_json_share(1));
    report_json_append(NULL, report_json_share(1));
    assert_int_equal(report_json_line(NULL, &line), -ENOMEM);
    assert_null(line);
    assert_int_equal(report_json_line(object, &line), 0);
    assert_string_equal(line, "{\"text\":\"a\xef\xbf\xbd\xc3\xa9\",\"none\":null,\"whole\":70.0,"
                              "\"third\":33.333333,\"nothing\":0.0,\"rounded\":0.333,"
                              "\"unknown\":null,\"count\":18446744073709551614,"
                              "\"uncounted\":null,\"order\":\"\\u009b/\"}\n");
}

static void digests_have_names(void **state)
{
    (void)state;
    assert_string_equal(blocks_digest_name(DIGEST_MD5), "md5");
    assert_string_equal(blocks_digest_name(DIGEST_SHA256), "sha256");
    assert_string_equal(blocks_digest_name(DIGEST_KEYED_SHA256), "keyed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_have_suffixes),
        cmocka_unit_test(options_are_kept),
        cmocka_unit_test(no_more_threads_than_are_made),
        cmocka_unit_test(options_are_taken_one_by_one),
        cmocka_unit_test(block_sizes_add_up),
        cmocka_unit_test(keys_come_from_files),
        cmocka_unit_test_setup_teardown(settings_follow_fingerprints, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(disagreement_names_both, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(options_stand_above_fingerprints, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(a_fingerprint_must_fit, make_directory, remove_directory),
        cmocka_unit_test(counts_have_commas),
        cmocka_unit_test(paths_are_one_line),
        cmocka_unit_test(json_is_valid),
        cmocka_unit_test(digests_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
