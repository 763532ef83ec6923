/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The best donor behind a merged index, while somebody cuts a fingerprint short. */
#include "cli/choose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BLOCKS 8192 /* of which one in 256 is sampled */

/* The linker puts this in front of the real one: what happens between opening and comparing. */
int __real_similarity_compare(enum similarity_engine engine, const struct fingerprint_view *a,
                              const struct fingerprint_view *const *others, size_t count,
                              struct similarity_estimate *ret_each,
                              struct similarity_estimate *ret_union, struct error *err);
int __wrap_similarity_compare(enum similarity_engine engine, const struct fingerprint_view *a,
                              const struct fingerprint_view *const *others, size_t count,
                              struct similarity_estimate *ret_each,
                              struct similarity_estimate *ret_union, struct error *err);

static const char *to_cut;

int __wrap_similarity_compare(enum similarity_engine engine, const struct fingerprint_view *a,
                              const struct fingerprint_view *const *others, size_t count,
                              struct similarity_estimate *ret_each,
                              struct similarity_estimate *ret_union, struct error *err)
{
    if (to_cut != NULL)
        assert_int_equal(truncate(to_cut, 0), 0);
    to_cut = NULL;
    return __real_similarity_compare(engine, a, others, count, ret_each, ret_union, err);
}

/* Blocks from `first` on, each of its own content. */
static void make(const char *directory, const char *name, uint64_t first, struct error *err)
{
    static uint64_t blocks[BLOCKS][512 / sizeof(uint64_t)];
    struct fingerprint_wish wish = {.kind = DIGEST_MD5, .block_size = 512};
    struct fingerprint_file *file = NULL;
    struct image *image = NULL;
    char path[128], output[128];
    FILE *stream;

    string_format(path, sizeof(path), "%s/%s", directory, name);
    string_format(output, sizeof(output), "%s/index/%s.fingerprint", directory, name);
    stream = fopen(path, "w");
    assert_non_null(stream);
    for (uint64_t i = 0; i < BLOCKS; i++)
        blocks[i][0] = first + i + 1;
    assert_int_equal(fwrite(blocks, sizeof(blocks), 1, stream), 1);
    assert_int_equal(fclose(stream), 0);
    wish.path = output;
    assert_int_equal(image_open(path, NULL, &image, err), 0);
    assert_int_equal(fingerprint_build(image, &wish, 1, NULL, &file, err), 0);
    fingerprint_file_close(file);
    image_close(image);
}

static int remove_all(const char *directory)
{
    static const char *const names[] = {
        "/index/best.fingerprint", "/index/other.fingerprint", "/index", "/best", "/other", ""};
    char path[128];
    int rc = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        string_format(path, sizeof(path), "%s%s", directory, names[i]);
        rc |= remove(path);
    }
    return rc;
}

static void a_cut_fingerprint_is_no_donor(void **unused)
{
    char directory[] = "/tmp/setmov-donor-XXXXXX", index[64], best[128];
    struct choose_hosts hosts = {0};
    struct fingerprint_file *image = NULL;
    struct blocks_settings settings;
    struct choose_query query = {.engine = SIMILARITY_SKETCH, .settings = &settings};
    struct error err = {""};

    (void)unused;
    assert_non_null(mkdtemp(directory));
    string_format(index, sizeof(index), "a=%s/index", directory);
    string_format(best, sizeof(best), "%s/index/best.fingerprint", directory);
    assert_int_equal(mkdir(index + 2, 0700), 0);
    make(directory, "best", 0, &err);
    make(directory, "other", BLOCKS / 2, &err);
    blocks_settings_init(&settings, DIGEST_MD5, 512);
    assert_int_equal(fingerprint_file_guard_install(&err), 0);
    assert_int_equal(fingerprint_file_open(best, FINGERPRINT_PART_ALL, false, &image, &err), 0);
    query.image = image;

    assert_int_equal(choose_hosts_add(&hosts, index, 0, &err), 0);
    assert_int_equal(choose_find_donor(&hosts.hosts[0], &query, &err), 0);
    assert_non_null(strstr(hosts.hosts[0].donor, "/best"));
    assert_int_equal(hosts.hosts[0].problem_count, 0);

    /* The image that moves stays: it is another file of that content. */
    fingerprint_file_close(image);
    string_format(best, sizeof(best), "%s/index/other.fingerprint", directory);
    assert_int_equal(fingerprint_file_open(best, FINGERPRINT_PART_ALL, false, &image, &err), 0);
    query.image = image;
    string_format(best, sizeof(best), "%s/index/best.fingerprint", directory);
    to_cut = best;
    assert_int_equal(choose_find_donor(&hosts.hosts[0], &query, &err), 0);
    assert_null(to_cut);
    assert_non_null(strstr(hosts.hosts[0].donor, "/other"));
    assert_int_equal(hosts.hosts[0].problem_count, 1);
    assert_non_null(strstr(hosts.hosts[0].problems[0], "best"));

    fingerprint_file_close(image);
    choose_hosts_release(&hosts);
    blocks_settings_release(&settings);
    assert_int_equal(remove_all(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_cut_fingerprint_is_no_donor)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
