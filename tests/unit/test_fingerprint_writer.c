/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer of fingerprint files, held against a plain model: sort everything, count equal ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fingerprint/writer.h"
#include "made_feed.h"

#define MEGABYTE ((size_t)1 << 20)

static char directory[64];

/* ---- the model ---- */

static int compare_entries(const void *left, const void *right)
{
    return memcmp(left, right, DIGEST_BYTES);
}

/* The next digest of the sorted feed, its lowest block and sum; returns where it ends. */
static size_t model_next(const struct feed *sorted, size_t at, struct digest *digest,
                         uint64_t *block, uint64_t *times)
{
    *digest = sorted->entries[at].digest;
    *block = UINT64_MAX;
    *times = 0;
    for (; at < sorted->count && digest_compare(&sorted->entries[at].digest, digest) == 0; at++) {
        uint64_t own = fingerprint_place_block(sorted->entries[at].place);

        *block = own < *block ? own : *block;
        *times += fingerprint_place_multiplicity(sorted->entries[at].place);
    }
    return at;
}

static void check_against_model(const struct fingerprint_view *view, const struct feed *sorted)
{
    size_t i = 0, frequent = 0;
    uint64_t blocks = 0;

    for (size_t at = 0; at < sorted->count; i++) {
        struct digest digest;
        uint64_t block, times;

        at = model_next(sorted, at, &digest, &block, &times);
        assert_true(i < view->totals.distinct);
        assert_memory_equal(&view->digests[i], &digest, DIGEST_BYTES);
        assert_int_equal(fingerprint_place_block(fingerprint_place(view, i)), block);
        assert_int_equal(fingerprint_multiplicity(view, i), times);
        assert_true(fingerprint_bloom_has(view->bloom, view->bloom_bytes, &digest));
        frequent += times >= FINGERPRINT_FREQUENT;
        blocks += times;
    }
    assert_int_equal(view->totals.distinct, i);
    assert_int_equal(view->totals.blocks, blocks);
    assert_int_equal(view->frequent_count, frequent);
}

/* Bit for bit: nothing more is set than what the digests set. */
static void check_bloom(const struct fingerprint_view *view)
{
    uint8_t *bloom = calloc(1, view->bloom_bytes);

    assert_non_null(bloom);
    assert_int_equal(view->bloom_bytes, fingerprint_bloom_bytes(view->totals.distinct));
    for (size_t i = 0; i < view->totals.distinct; i++)
        fingerprint_bloom_add(bloom, view->bloom_bytes, &view->digests[i]);
    assert_memory_equal(bloom, view->bloom, view->bloom_bytes);
    free(bloom);
}

/* ---- one file ---- */

struct trial {
    unsigned workers;
    size_t memory_bytes;
    uint64_t zero_blocks, blocks_expected;
    const char *path;
};

static const char *path_of(const char *name)
{
    static char path[128];

    assert_true(string_format(path, sizeof(path), "%s/%s", directory, name));
    return path;
}

static struct fingerprint_writer_settings settings_of(const struct trial *trial)
{
    struct fingerprint_writer_settings settings = {
        .kind = DIGEST_KEYED_SHA256,
        .block_size = 512,
        .key_id = "a key id",
        .path = trial->path,
        .temporary = directory,
        .workers = trial->workers,
        .memory_bytes = trial->memory_bytes,
        .blocks_expected = trial->blocks_expected,
    };

    memset(settings.zero_digest.bytes, 0x77, DIGEST_BYTES);
    return settings;
}

static const struct fingerprint_layer a_layer = {
    .path = "/images/a.raw", .format = "raw", .device = 3, .inode = 4, .size = 5};

static struct fingerprint_writer_end end_of(const struct trial *trial)
{
    return (struct fingerprint_writer_end){
        .identity = {.layers = &a_layer,
                     .layer_count = 1,
                     .virtual_size = FINGERPRINT_MAX_BLOCKS * 512,
                     .made_s = 99},
        .zero_blocks = trial->zero_blocks,
        .first_zero_block = 12,
    };
}

struct feeder {
    struct fingerprint_writer *writer;
    const struct feed *feed;
    unsigned worker, workers;
    int rc;
};

/* Every so many-th batch, of changing size, and never all of the room. */
static void *add_entries(void *argument)
{
    struct feeder *feeder = argument;
    size_t at = 0;

    for (unsigned batch = 0; at < feeder->feed->count && feeder->rc == 0; batch++) {
        size_t left = feeder->feed->count - at,
               count = 1 + batch * 37 % (FINGERPRINT_WRITER_BATCH - 1);
        struct fingerprint_entry *entries;

        count = left < count ? left : count;
        if (batch % feeder->workers == feeder->worker) {
            feeder->rc =
                fingerprint_writer_room(feeder->writer, feeder->worker, count + 1, &entries, NULL);
            if (feeder->rc == 0) {
                memcpy(entries, feeder->feed->entries + at, count * sizeof(*entries));
                fingerprint_writer_commit(feeder->writer, feeder->worker, count);
            }
        }
        at += count;
    }
    return NULL;
}

static int feed_all(struct fingerprint_writer *writer, const struct trial *trial,
                    const struct feed *feed)
{
    struct feeder feeders[8];
    pthread_t threads[8];
    int rc = 0;

    for (unsigned i = 0; i < trial->workers; i++) {
        feeders[i] = (struct feeder){writer, feed, i, trial->workers, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, add_entries, &feeders[i]), 0);
    }
    for (unsigned i = 0; i < trial->workers; i++) {
        pthread_join(threads[i], NULL);
        rc = rc == 0 ? feeders[i].rc : rc;
    }
    return rc;
}

static size_t files_left(void)
{
    DIR *list = opendir(directory);
    size_t count = 0;

    assert_non_null(list);
    while (readdir(list) != NULL)
        count++;
    closedir(list);
    return count - 2;
}

static int finish_with(const struct trial *trial, const struct feed *feed,
                       struct fingerprint_file **ret_file, struct error *err)
{
    struct fingerprint_writer_settings settings = settings_of(trial);
    struct fingerprint_writer_end end = end_of(trial);
    struct fingerprint_writer *writer;
    int rc = fingerprint_writer_new(&settings, &writer, err);

    if (rc < 0)
        return rc;
    rc = feed_all(writer, trial, feed);
    if (rc == 0)
        rc = fingerprint_writer_finish(writer, &end, err);
    if (rc == 0)
        rc = fingerprint_writer_publish(writer, err);
    if (rc == 0 && ret_file != NULL)
        rc = fingerprint_writer_open(writer, ret_file, err);
    fingerprint_writer_free(writer);
    return rc;
}

/* Zeroes are blocks too: entries that the model needs to see. */
static struct feed with_zeroes(const struct feed *feed, const struct trial *trial)
{
    struct feed all = {malloc((feed->count + 100) * sizeof(*all.entries)), feed->count};
    struct fingerprint_writer_settings settings = settings_of(trial);

    assert_non_null(all.entries);
    memcpy(all.entries, feed->entries, feed->count * sizeof(*all.entries));
    for (uint64_t left = trial->zero_blocks, part; left > 0; left -= part) {
        part = left < 1000000 ? left : 1000000;
        all.entries[all.count++] =
            (struct fingerprint_entry){settings.zero_digest, fingerprint_place_make(12, part)};
    }
    qsort(all.entries, all.count, sizeof(*all.entries), compare_entries);
    return all;
}

static void check_trial(const struct trial *trial, const struct feed *feed)
{
    struct feed sorted = with_zeroes(feed, trial);
    struct fingerprint_file *own = NULL, *file = NULL;
    struct error err = {""};

    if (finish_with(trial, feed, &own, &err) < 0)
        fail_msg("%s", err.text);
    if (trial->path != NULL) {
        assert_int_equal(
            fingerprint_file_open(trial->path, FINGERPRINT_PART_ALL, true, &file, &err), 0);
        check_against_model(&file->view, &sorted);
        check_bloom(&file->view);
        assert_int_equal(file->view.totals.zero, trial->zero_blocks);
        assert_int_equal(file->view.identity.layer_count, 1);
        assert_string_equal(file->view.identity.layers[0].path, "/images/a.raw");
        assert_int_equal(file->view.identity.made_s, 99);
        assert_memory_equal(file->view.key_id, "a key id", 8);
        fingerprint_file_close(file);
        assert_int_equal(files_left(), 1);
        assert_int_equal(unlink(trial->path), 0);
    } else {
        assert_null(own->path);
    }
    check_against_model(&own->view, &sorted);
    assert_int_equal(fingerprint_verify_order(&own->view, &err), 0);
    fingerprint_file_close(own);
    assert_int_equal(files_left(), 0);
    free(sorted.entries);
}

/* ---- tests ---- */

static const size_t memories[] = {64 * MEGABYTE, MEGABYTE / 2, 65536, 1};

static void test_every_shape_in_memory_and_spilled(void **state)
{
    (void)state;
    for (enum shape shape = RANDOM; shape <= TWO_ENDS; shape++) {
        struct feed feed = made_feed(shape, 100000, 1);

        for (size_t i = 0; i < ARRAY_LENGTH(memories); i++) {
            struct trial trial = {1 + (unsigned)i, memories[i], 5, i == 0 ? 100000 : 0,
                                  path_of("a.fp")};

            check_trial(&trial, &feed);
        }
        free(feed.entries);
    }
}

/* As for a large image: memory is given back while the file is written. */
static void test_every_shape_in_much_memory(void **state)
{
    (void)state;
    for (enum shape shape = RANDOM; shape <= TWO_ENDS; shape++) {
        struct feed feed = made_feed(shape, 300000, 1);

        for (unsigned workers = 1; workers <= 3; workers += 2) {
            struct trial trial = {workers, workers * 256 * MEGABYTE, 5, 4000000, path_of("m.fp")};

            check_trial(&trial, &feed);
        }
        free(feed.entries);
    }
}

static void test_few_entries_and_none(void **state)
{
    static const size_t counts[] = {0, 1, 2, 7, 8, 9, 63, 64, 65, 513};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++) {
        struct feed feed = made_feed(RANDOM, counts[i], 1);

        for (unsigned workers = 1; workers <= 3; workers += 2) {
            struct trial trial = {workers, MEGABYTE, 0, 0, path_of("few.fp")};

            check_trial(&trial, &feed);
            trial.path = NULL;
            for (trial.zero_blocks = 7; trial.zero_blocks <= 9; trial.zero_blocks++)
                check_trial(&trial, &feed); /* 8 make a digest a frequent one */
        }
        free(feed.entries);
    }
}

static void test_multiplicities_beyond_24_bits_are_exact(void **state)
{
    /* Sums pass 2^24 within a run, and only when runs are merged. */
    static const uint64_t most[] = {FINGERPRINT_SATURATED - 1, 60000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(most); i++) {
        for (enum shape shape = REPEATED; shape <= EQUAL; shape++) {
            struct feed feed = made_feed(shape, 30000, most[i]);

            for (size_t j = 0; j < ARRAY_LENGTH(memories); j++) {
                struct trial trial = {2, memories[j], 50 * UINT64_C(1000000) + 1, 0,
                                      path_of("many.fp")};

                check_trial(&trial, &feed);
            }
            free(feed.entries);
        }
    }
}

/* More than what waits in memory. */
static void test_very_many_frequent_digests(void **state)
{
    struct feed feed = made_feed(RANDOM, 150000, 20);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct trial trial = {2, memories[i], 1, 0, path_of("frequent.fp")};

        check_trial(&trial, &feed);
    }
    free(feed.entries);
}

static void test_file_is_the_same_however_it_was_made(void **state)
{
    struct feed feed = made_feed(REPEATED, 50000, 3);
    struct trial one = {1, 64 * MEGABYTE, 3, 0, NULL}, other = {4, 32768, 3, 77, NULL};
    struct fingerprint_file *left, *right;

    (void)state;
    assert_int_equal(finish_with(&one, &feed, &left, NULL), 0);
    assert_int_equal(finish_with(&other, &feed, &right, NULL), 0);
    assert_int_equal(left->file_length, right->file_length);
    for (size_t i = 0; i < left->head.section_count; i++) {
        assert_int_equal(left->head.sections[i].kind, right->head.sections[i].kind);
        assert_int_equal(left->head.sections[i].checksum, right->head.sections[i].checksum);
    }
    fingerprint_file_close(left);
    fingerprint_file_close(right);
    free(feed.entries);
}

static void test_a_zero_digest_among_entries_counts_as_zero(void **state)
{
    struct feed feed = made_feed(RANDOM, 100, 1);
    struct trial trial = {1, MEGABYTE, 4, 0, NULL};
    struct fingerprint_file *file;

    (void)state;
    feed.entries[50].digest = settings_of(&trial).zero_digest;
    assert_int_equal(finish_with(&trial, &feed, &file, NULL), 0);
    assert_int_equal(file->view.totals.zero, 5);
    assert_int_equal(fingerprint_verify_order(&file->view, NULL), 0);
    fingerprint_file_close(file);
    free(feed.entries);
}

struct stopper {
    int asked, stop_at;
};

static bool stop_then(void *context)
{
    struct stopper *stopper = context;

    return stopper->asked++ == stopper->stop_at;
}

/* One worker, so that it asks as often every time. Returns how often it asked. */
static int finish_and_stop(size_t memory_bytes, const struct feed *feed, int stop_at)
{
    struct trial trial = {1, memory_bytes, 1, 0, path_of("stopped.fp")};
    struct fingerprint_writer_settings settings = settings_of(&trial);
    struct fingerprint_writer_end end = end_of(&trial);
    struct stopper stopper = {0, stop_at};
    struct fingerprint_writer *writer;
    struct error err = {""};
    int rc;

    settings.caller = (struct crew_caller){.stopped = stop_then, .context = &stopper};
    assert_int_equal(fingerprint_writer_new(&settings, &writer, &err), 0);
    assert_int_equal(feed_all(writer, &trial, feed), 0);
    assert_int_equal(files_left(), 1);
    rc = fingerprint_writer_finish(writer, &end, &err);
    assert_int_equal(rc, stop_at < 0 ? 0 : -ECANCELED);
    assert_string_equal(err.text, stop_at < 0 ? "" : "stopped");
    fingerprint_writer_free(writer);
    assert_int_equal(files_left(), 0);
    return stopper.asked;
}

static void test_stop_leaves_nothing_behind(void **state)
{
    struct feed feed = made_feed(RANDOM, 200000, 1);

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        int questions = finish_and_stop(memories[i], &feed, -1);

        assert_true(questions > 10);
        for (int stop_at = 0; stop_at < questions; stop_at += questions / 7)
            finish_and_stop(memories[i], &feed, stop_at);
    }
    free(feed.entries);
}

static void test_a_full_disk_is_told_and_leaves_nothing(void **state)
{
    struct feed feed = made_feed(RANDOM, 100000, 1);
    struct rlimit before, limit;

    (void)state;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (size_t bytes = 0; bytes < 2600000; bytes += 150000) {
        for (size_t i = 0; i < 3; i++) {
            struct trial trial = {2, memories[i], 1, 0, path_of("full.fp")};
            struct error err = {""};
            int rc;

            limit = (struct rlimit){bytes, before.rlim_max};
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
            rc = finish_with(&trial, &feed, NULL, &err);
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
            if (bytes < 2400000) {
                assert_int_equal(rc, -EFBIG);
                if (i == 0) /* without a spill every byte goes to the file, or waits beside it */
                    assert_non_null(strstr(err.text, directory));
                assert_int_equal(files_left(), 0);
            }
            unlink(trial.path);
        }
    }
    free(feed.entries);
}

/* ---- names ---- */

static int new_at(const char *path, struct error *err)
{
    struct trial trial = {1, MEGABYTE, 0, 0, path};
    struct feed none = {NULL, 0};

    return finish_with(&trial, &none, NULL, err);
}

static void test_what_is_no_file_is_not_replaced(void **state)
{
    struct error err;
    char path[160];

    (void)state;
    assert_int_equal(mkdir(path_of("dir"), 0700), 0);
    assert_int_equal(new_at(path_of("dir"), &err), -EISDIR);
    assert_non_null(strstr(err.text, "dir: is a directory"));
    assert_true(string_format(path, sizeof(path), "%s/", path_of("dir")));
    assert_int_equal(new_at(path, &err), -EISDIR);
    assert_int_equal(new_at("", &err), -EISDIR);
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_int_equal(new_at(path_of("fifo"), &err), -EEXIST);
    assert_int_equal(symlink("dir", path_of("to-dir")), 0);
    assert_int_equal(new_at(path_of("to-dir"), &err), -EISDIR);
    assert_int_equal(new_at(path_of("nowhere/a.fp"), &err), -ENOENT);
    assert_non_null(strstr(err.text, "nowhere/a.fp"));
    assert_int_equal(files_left(), 3);
    unlink(path_of("to-dir"));
    unlink(path_of("fifo"));
    rmdir(path_of("dir"));
}

static void test_a_file_and_a_link_are_replaced_whole(void **state)
{
    char name[256] = "", *path = NULL;
    struct stat status;
    struct error err;

    (void)state;
    assert_int_equal(symlink("elsewhere", path_of("link")), 0);
    assert_int_equal(new_at(path_of("link"), &err), 0);
    assert_int_equal(lstat(path_of("link"), &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(new_at(path_of("link"), &err), 0);
    assert_int_equal(files_left(), 1);
    unlink(path_of("link"));
    /* The longest name there is leaves no room for more letters in a name beside it. */
    memset(name, 'n', 255);
    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    assert_int_equal(new_at(path, &err), 0);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void test_contradicting_totals_are_refused(void **state)
{
    struct feed feed = made_feed(RANDOM, 10, 1);
    struct trial trial = {1, MEGABYTE, 0, 0, path_of("small.fp")};
    struct fingerprint_writer_settings settings = settings_of(&trial);
    struct fingerprint_writer_end end = end_of(&trial);
    struct fingerprint_writer *writer;
    struct error err;

    (void)state;
    end.identity.virtual_size = 9 * 512;
    assert_int_equal(fingerprint_writer_new(&settings, &writer, &err), 0);
    assert_int_equal(feed_all(writer, &trial, &feed), 0);
    assert_int_equal(fingerprint_writer_finish(writer, &end, &err), -EINVAL);
    fingerprint_writer_free(writer);
    assert_int_equal(files_left(), 0);
    free(feed.entries);
}

static int make_directory(void **state)
{
    (void)state;
    string_copy(directory, sizeof(directory), "/tmp/setmov-writer.XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_shape_in_memory_and_spilled),
        cmocka_unit_test(test_every_shape_in_much_memory),
        cmocka_unit_test(test_few_entries_and_none),
        cmocka_unit_test(test_multiplicities_beyond_24_bits_are_exact),
        cmocka_unit_test(test_very_many_frequent_digests),
        cmocka_unit_test(test_file_is_the_same_however_it_was_made),
        cmocka_unit_test(test_a_zero_digest_among_entries_counts_as_zero),
        cmocka_unit_test(test_stop_leaves_nothing_behind),
        cmocka_unit_test(test_a_full_disk_is_told_and_leaves_nothing),
        cmocka_unit_test(test_what_is_no_file_is_not_replaced),
        cmocka_unit_test(test_a_file_and_a_link_are_replaced_whole),
        cmocka_unit_test(test_contradicting_totals_are_refused),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
