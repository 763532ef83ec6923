/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fingerprint files that are mapped: in parts, damaged, hostile, and cut short meanwhile. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "made_fingerprint.h"
#include "setmov/fingerprint_file.h"

#define CONTENTS 20000

static char directory[64];
static uint8_t *whole; /* the bytes of a good file */
static size_t whole_length;
static struct fingerprint_head whole_head;

static const char *path_of(const char *name)
{
    static char path[128];

    assert_true(string_format(path, sizeof(path), "%s/%s", directory, name));
    return path;
}

static const char *put_file(const char *name, const void *bytes, size_t length)
{
    const char *path = path_of(name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* A good file with one byte changed. */
static const char *put_damaged(uint64_t at)
{
    const char *path;

    whole[at] ^= 0x10;
    path = put_file("damaged.fp", whole, whole_length);
    whole[at] ^= 0x10;
    return path;
}

static int open_file(const char *path, unsigned parts, struct fingerprint_file **ret_file,
                     struct error *err)
{
    return fingerprint_file_open(path, parts, false, ret_file, err);
}

/* ---- parts ---- */

static void check_part(const struct fingerprint_file *file, unsigned parts)
{
    const struct fingerprint_view *view = &file->view, *good = &whole_head.view;
    bool all = (parts & FINGERPRINT_PART_DIGESTS) != 0;
    bool some = all || (parts & FINGERPRINT_PART_SKETCH) != 0;
    size_t count = all ? good->totals.distinct : some ? good->sketch_count : 0;
    struct fingerprint_view decoded;

    assert_int_equal(fingerprint_decode(whole, whole_length, &decoded, NULL), 0);
    assert_int_equal(file->in_part, !all);
    assert_int_equal(view->digests != NULL, some);
    assert_int_equal(view->places != NULL, some);
    assert_int_equal(view->frequent != NULL, some);
    assert_int_equal(view->frequent_multiplicity != NULL, some);
    assert_int_equal(view->frequent_count, some ? good->frequent_count : 0);
    assert_int_equal(view->bloom != NULL, (parts & FINGERPRINT_PART_BLOOM) != 0);
    assert_int_equal(view->bloom_bytes, view->bloom != NULL ? good->bloom_bytes : 0);
    assert_int_equal(view->totals.distinct, good->totals.distinct);
    assert_int_equal(view->sketch_count, good->sketch_count);
    if (some) {
        assert_memory_equal(view->digests, decoded.digests, count * DIGEST_BYTES);
        assert_memory_equal(view->places, decoded.places, count * 8);
        assert_memory_equal(view->frequent, decoded.frequent,
                            decoded.frequent_count * DIGEST_BYTES);
    }
    if (view->bloom != NULL)
        assert_memory_equal(view->bloom, decoded.bloom, decoded.bloom_bytes);
    assert_int_equal(view->identity.layer_count, 2);
    assert_string_equal(view->identity.layers[1].path, "/base.img");
    fingerprint_view_release(&decoded);
}

static void test_every_combination_of_parts(void **state)
{
    const char *path = put_file("good.fp", whole, whole_length);

    (void)state;
    assert_true(fingerprint_file_is(path));
    for (unsigned parts = 0; parts <= FINGERPRINT_PART_ALL; parts++) {
        struct fingerprint_file *file;
        struct error err;

        assert_int_equal(open_file(path, parts, &file, &err), 0);
        check_part(file, parts);
        assert_string_equal(file->path, path);
        assert_int_equal(file->file_length, whole_length);
        assert_int_equal(fingerprint_file_check(file, &err), 0);
        fingerprint_file_close(file);
    }
    fingerprint_file_close(NULL);
    unlink(path);
}

/* Which parts a section belongs to; the layers belong to all. */
static unsigned parts_of(uint32_t kind)
{
    switch (kind) {
    case FINGERPRINT_LAYERS:
        return 0;
    case FINGERPRINT_BLOOM:
        return FINGERPRINT_PART_BLOOM;
    case FINGERPRINT_DIGESTS:
    case FINGERPRINT_PLACES:
        return FINGERPRINT_PART_DIGESTS;
    default:
        return FINGERPRINT_PART_SKETCH | FINGERPRINT_PART_DIGESTS;
    }
}

static void test_damage_is_found_in_what_is_asked_for(void **state)
{
    (void)state;
    assert_int_equal(whole_head.section_count, 8);
    for (size_t i = 0; i < whole_head.section_count; i++) {
        const struct fingerprint_section *section = &whole_head.sections[i];
        const char *path = put_damaged(section->offset + section->length - 1);
        unsigned wanted = parts_of(section->kind);

        assert_true(fingerprint_file_is(path));
        for (unsigned parts = 0; parts <= FINGERPRINT_PART_ALL; parts++) {
            bool found = section->kind == FINGERPRINT_LAYERS || (parts & wanted) != 0;
            struct fingerprint_file *file = NULL;
            struct error err;

            assert_int_equal(open_file(path, parts, &file, &err), found ? -EINVAL : 0);
            if (found) {
                assert_non_null(strstr(err.text, "damaged.fp: "));
                assert_non_null(strstr(err.text, "checksum"));
                assert_null(file);
            }
            fingerprint_file_close(file);
        }
    }
    for (size_t at = 0; at < 144 + whole_head.section_count * 32; at++) {
        struct fingerprint_file *file;
        struct error err;

        assert_true(open_file(put_damaged(at), FINGERPRINT_PART_HEAD, &file, &err) < 0);
    }
    unlink(path_of("damaged.fp"));
}

static void test_order_is_verified_on_demand(void **state)
{
    uint64_t contents[] = {1, 2, 3};
    struct made_fingerprint made = made_fingerprint(contents, 3);
    struct digest first = made.digests[0];
    struct fingerprint_file *file;
    const char *path;
    uint8_t *bytes;
    size_t length;
    struct error err;

    (void)state;
    made.digests[0] = made.digests[2];
    made.digests[2] = first;
    assert_int_equal(fingerprint_encode(&made.view, &bytes, &length, &err), 0);
    path = put_file("unsorted.fp", bytes, length);
    assert_int_equal(fingerprint_file_open(path, FINGERPRINT_PART_ALL, false, &file, &err), 0);
    fingerprint_file_close(file);
    assert_int_equal(fingerprint_file_open(path, FINGERPRINT_PART_ALL, true, &file, &err), -EINVAL);
    assert_non_null(strstr(err.text, "unsorted.fp: the fingerprint's digests are out of order"));
    assert_int_equal(fingerprint_file_open(path, FINGERPRINT_PART_SKETCH, true, &file, &err),
                     -EINVAL);
    unlink(path);
    free(bytes);
    made_fingerprint_release(&made);
}

/* ---- what is no fingerprint ---- */

static void check_refused(const char *path, int code, const char *text)
{
    for (unsigned parts = 0; parts <= FINGERPRINT_PART_ALL; parts += 7) {
        struct fingerprint_file *file = NULL;
        struct error err = {""};

        assert_int_equal(open_file(path, parts, &file, &err), code);
        assert_null(file);
        assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
        assert_non_null(strstr(err.text, text));
    }
}

static void test_what_is_no_fingerprint_is_refused(void **state)
{
    static const size_t lengths[] = {1, 7, 100, 143, 200, 2047, 2048, 2049, 5000};
    static const uint8_t nothing[4096];

    (void)state;
    check_refused(path_of("missing"), -ENOENT, "No such file");
    assert_false(fingerprint_file_is(path_of("missing")));
    check_refused(directory, -EISDIR, "directory");
    assert_false(fingerprint_file_is(directory));
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    check_refused(path_of("fifo"), -EINVAL, "no regular file");
    assert_false(fingerprint_file_is(path_of("fifo")));
    unlink(path_of("fifo"));
    check_refused("/dev/null", -EINVAL, "no regular file");
    check_refused(put_file("other", "", 0), -EINVAL, "empty");
    check_refused(put_file("other", nothing, sizeof(nothing)), -EINVAL, "");
    assert_false(fingerprint_file_is(path_of("other")));
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        check_refused(put_file("other", whole, lengths[i]), -EINVAL, "");
    check_refused(put_file("other", whole, whole_length - 1), -EINVAL, "bytes where its head says");
    whole[8]++;
    check_refused(put_file("other", whole, whole_length), -ENOTSUP, "version");
    assert_true(fingerprint_file_is(path_of("other")));
    whole[8]--;
    unlink(path_of("other"));
}

static void test_a_longer_file_is_refused(void **state)
{
    uint8_t *longer = malloc(whole_length + 4096);

    (void)state;
    assert_non_null(longer);
    memcpy(longer, whole, whole_length);
    memset(longer + whole_length, 0, 4096);
    check_refused(put_file("long.fp", longer, whole_length + 1), -EINVAL,
                  "bytes where its head says");
    check_refused(put_file("long.fp", longer, whole_length + 4096), -EINVAL,
                  "bytes where its head says");
    unlink(path_of("long.fp"));
    free(longer);
}

/* ---- files that are cut short ---- */

/* In every test by itself: cmocka catches SIGBUS too, while it runs one. */
static void guard(void)
{
    assert_int_equal(fingerprint_file_guard_install(NULL), 0);
}

static uint64_t sum_of(const void *bytes, size_t length)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum += ((const volatile uint8_t *)bytes)[i];
    return sum;
}

static void test_lost_pages_read_as_zeroes_and_are_told(void **state)
{
    const char *path = put_file("cut.fp", whole, whole_length);
    struct fingerprint_file *cut, *other;
    const struct fingerprint_section *places;
    struct error err;

    (void)state;
    guard();
    assert_int_equal(open_file(path, FINGERPRINT_PART_ALL, &cut, &err), 0);
    assert_int_equal(
        open_file(put_file("other.fp", whole, whole_length), FINGERPRINT_PART_ALL, &other, &err),
        0);
    places = fingerprint_section_find(&whole_head, FINGERPRINT_PLACES);
    assert_true(sum_of(cut->view.places, places->length) > 0);
    assert_int_equal(truncate(path_of("cut.fp"), 4096), 0);
    assert_int_equal(sum_of(cut->view.places, places->length), 0);
    assert_true(sum_of(other->view.places, places->length) > 0);
    assert_int_equal(fingerprint_file_check(cut, &err), -EIO);
    assert_non_null(strstr(err.text, "cut.fp: the fingerprint was cut short"));
    assert_int_equal(fingerprint_file_check(other, &err), 0);
    fingerprint_file_close(cut);
    /* Its slot is used again, without its past. */
    assert_int_equal(open_file(path_of("other.fp"), FINGERPRINT_PART_ALL, &cut, &err), 0);
    assert_int_equal(fingerprint_file_check(cut, &err), 0);
    fingerprint_file_close(cut);
    fingerprint_file_close(other);
    unlink(path_of("other.fp"));
    unlink(path_of("cut.fp"));
}

/* Nobody can tell by looking at it any more. */
static void test_a_loss_is_told_though_the_file_grew_again(void **state)
{
    struct fingerprint_file *file;
    struct error err;
    int fd;

    (void)state;
    guard();
    assert_int_equal(
        open_file(put_file("cut.fp", whole, whole_length), FINGERPRINT_PART_ALL, &file, &err), 0);
    assert_int_equal(truncate(path_of("cut.fp"), 0), 0);
    assert_int_equal(sum_of(file->view.digests, 16), 0);
    fd = open(path_of("cut.fp"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, whole, whole_length), whole_length);
    close(fd);
    assert_int_equal(fingerprint_file_check(file, &err), -EIO);
    fingerprint_file_close(file);
    unlink(path_of("cut.fp"));
}

/* What is not read any more after the cut counts too: it may have been read after it. */
static void test_every_cut_is_told(void **state)
{
    size_t last_page = whole_length / 4096 * 4096, last = whole_length - 1;
    size_t cuts[] = {0, last_page + 1, last_page, last_page - 1, 1, 0};

    (void)state;
    guard();
    /* Zeroes that are cut off read as zeroes still: nothing is lost by that. */
    while (whole[last] == 0)
        last--;
    cuts[0] = last;
    for (size_t i = 0; i < ARRAY_LENGTH(cuts); i++) {
        struct fingerprint_file *file;
        struct error err;

        assert_int_equal(
            open_file(put_file("cut.fp", whole, whole_length), FINGERPRINT_PART_ALL, &file, &err),
            0);
        assert_int_equal(truncate(path_of("cut.fp"), (off_t)cuts[i]), 0);
        assert_int_equal(fingerprint_file_check(file, &err), -EIO);
        fingerprint_file_close(file);
    }
    /* Of what was not asked for nothing was read. */
    for (unsigned parts = 0; parts <= FINGERPRINT_PART_SKETCH; parts++) {
        struct fingerprint_file *file;
        struct error err;

        assert_int_equal(open_file(put_file("cut.fp", whole, whole_length), parts, &file, &err), 0);
        assert_int_equal(truncate(path_of("cut.fp"), (off_t)last), 0);
        assert_int_equal(fingerprint_file_check(file, &err), 0);
        fingerprint_file_close(file);
    }
    unlink(path_of("cut.fp"));
}

struct reader {
    const struct fingerprint_file *file;
    uint64_t sum;
};

static void *read_all(void *argument)
{
    struct reader *reader = argument;

    reader->sum = sum_of(reader->file->view.digests,
                         reader->file->view.totals.distinct * sizeof(struct digest));
    return NULL;
}

static void test_many_mappings_and_threads(void **state)
{
    struct fingerprint_file *files[200];
    struct reader readers[8];
    pthread_t threads[8];
    struct error err;

    (void)state;
    guard();
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        const char *path = put_file(i == 77 ? "cut.fp" : "other.fp", whole, whole_length);

        /* Put again, the file is another one than those that are mapped. */
        assert_int_equal(open_file(path, FINGERPRINT_PART_ALL, &files[i], &err), 0);
        if (i != 77)
            unlink(path);
    }
    assert_int_equal(truncate(path_of("cut.fp"), 0), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++) {
        readers[i].file = files[i % 4 == 0 ? i : 77];
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].sum != 0, i % 4 == 0);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        assert_int_equal(fingerprint_file_check(files[i], &err), i == 77 ? -EIO : 0);
        fingerprint_file_close(files[i]);
    }
    unlink(path_of("cut.fp"));
}

/* In a child, which ends by SIGBUS as if there were no guard. */
static void test_other_mappings_end_the_process(void **state)
{
    int status = 0;
    pid_t child;

    (void)state;
    guard();
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = memfd_create("lost", MFD_CLOEXEC);
        const volatile uint8_t *lost = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

        _exit(lost[0] + 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
    child = fork();
    if (child == 0) {
        raise(SIGBUS);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
}

/* ---- */

static int make_all(void **state)
{
    static const struct fingerprint_layer layers[] = {
        {.path = "/top.qcow2", .format = "qcow2"},
        {.path = "/base.img", .format = "raw", .is_block_device = true},
    };
    uint64_t *contents = calloc(CONTENTS, sizeof(*contents));
    struct made_fingerprint made;
    int rc;

    (void)state;
    if (contents == NULL)
        return 1;
    for (size_t i = 0; i < CONTENTS; i++)
        contents[i] = i % 3 == 0 ? i % 100 : i;
    made = made_fingerprint(contents, CONTENTS);
    free(contents);
    made.view.identity.layers = layers;
    made.view.identity.layer_count = 2;
    rc = fingerprint_encode(&made.view, &whole, &whole_length, NULL);
    made_fingerprint_release(&made);
    if (rc < 0 || fingerprint_head_decode(whole, FINGERPRINT_HEAD_MAX, &whole_head, NULL) < 0)
        return 1;
    string_copy(directory, sizeof(directory), "/tmp/setmov-file.XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int remove_all(void **state)
{
    (void)state;
    free(whole);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination_of_parts),
        cmocka_unit_test(test_damage_is_found_in_what_is_asked_for),
        cmocka_unit_test(test_order_is_verified_on_demand),
        cmocka_unit_test(test_what_is_no_fingerprint_is_refused),
        cmocka_unit_test(test_a_longer_file_is_refused),
        cmocka_unit_test(test_lost_pages_read_as_zeroes_and_are_told),
        cmocka_unit_test(test_a_loss_is_told_though_the_file_grew_again),
        cmocka_unit_test(test_every_cut_is_told),
        cmocka_unit_test(test_many_mappings_and_threads),
        cmocka_unit_test(test_other_mappings_end_the_process),
    };

    return cmocka_run_group_tests(tests, make_all, remove_all);
}
