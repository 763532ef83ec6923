/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding images, updating an index and reading it, where the program cannot easily be brought. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "catalog/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_EVENTS 64

static char work[] = "/tmp/setmov-catalog-XXXXXX";

/* ---- a directory to work in ------------------------------------------------------------ */

static const char *at(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];

    string_format(path, sizeof(paths[0]), "%s/%s", work, name);
    return path;
}

static void write_image(const char *name, unsigned char byte)
{
    unsigned char block[8192];
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    memset(block, byte, sizeof(block));
    assert_true(fd >= 0);
    assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    close(fd);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return strcmp(path, work) == 0 ? 0 : remove(path);
}

static int clear(void **state)
{
    (void)state;
    return nftw(work, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int make_work(void **state)
{
    (void)state;
    return mkdtemp(work) ? 0 : -1;
}

static int remove_work(void **state)
{
    (void)state;
    return rmdir(work);
}

/* ---- an update that is watched ------------------------------------------------------------ */

struct watch {
    struct {
        enum catalog_event event;
        char path[128];
    } events[MOST_EVENTS];
    size_t count;
    const char *remove_at_begin;  /* when the reading of an image begins */
    const char *change_meanwhile; /* whenever progress is told */
    unsigned changes;
    bool stopped;
};

static void note(void *context, const struct catalog_report *report)
{
    struct watch *watch = context;

    assert_true(watch->count < MOST_EVENTS);
    watch->events[watch->count].event = report->event;
    string_copy(watch->events[watch->count++].path, sizeof(watch->events[0].path), report->path);
    if (report->event == CATALOG_FAILED)
        assert_true(report->error->text[0] != '\0');
    if (report->event == CATALOG_BEGUN && watch->remove_at_begin)
        unlink(watch->remove_at_begin);
}

static void change(void *context, const struct fingerprint_progress *progress)
{
    struct watch *watch = context;

    if (watch->change_meanwhile && progress->bytes_done > 0)
        assert_int_equal(truncate(at(watch->change_meanwhile), 8192 + 512 * ++watch->changes), 0);
}

static bool is_stopped(void *context)
{
    return ((struct watch *)context)->stopped;
}

static bool happened(const struct watch *watch, enum catalog_event event, const char *path)
{
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->events[i].event == event && strcmp(watch->events[i].path, path) == 0)
            return true;
    }
    return false;
}

/* What an update is given, and what it says. */
struct trial {
    struct catalog_images images;
    struct watch watch;
    struct catalog_summary summary;
};

static int update(struct trial *trial)
{
    const struct fingerprint_wish wish = {.kind = DIGEST_SHA256, .block_size = 4096};
    const struct catalog_update_options options = {
        .build = {.threads = 1,
                  .progress = change,
                  .stopped = is_stopped,
                  .context = &trial->watch},
        .event = note,
    };
    struct error err = {""};
    int rc;

    trial->watch.count = 0;
    rc = catalog_update(at("index"), &trial->images, &wish, 1, &options, &trial->summary, &err);
    assert_true(rc == 0 || err.text[0] != '\0');
    return rc;
}

static void trial_release(struct trial *trial)
{
    catalog_images_release(&trial->images);
}

/* For an index that has a.raw already. */
static void begin_with_a(struct trial *trial)
{
    write_image("a.raw", 1);
    assert_int_equal(catalog_images_find(work, &trial->images, NULL), 0);
    assert_int_equal(update(trial), 0);
}

static size_t count_held(void)
{
    static const struct catalog_kind anything = {.any = true};
    struct catalog *catalog = NULL;
    struct error err = {""};
    size_t count;

    if (catalog_open(at("index"), &anything, FINGERPRINT_PART_ALL, &catalog, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(catalog->problem_count, 0);
    for (size_t i = 1; i < catalog->count; i++)
        assert_true(strcmp(catalog->files[i - 1]->view.identity.layers[0].path,
                           catalog->files[i]->view.identity.layers[0].path) <= 0);
    count = catalog->count;
    catalog_close(catalog);
    return count;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void what_went_since_it_was_found_is_no_failure(void **state)
{
    CLEANUP(trial_release) struct trial trial = {0};

    (void)state;
    write_image("a.raw", 1);
    write_image("b.raw", 2);
    assert_int_equal(catalog_images_find(work, &trial.images, NULL), 0);
    assert_int_equal(trial.images.count, 2);
    assert_int_equal(update(&trial), 0);
    assert_int_equal(trial.summary.read, 2);
    unlink(at("a.raw"));
    trial.watch.remove_at_begin = at("b.raw"); /* and this one when it is looked at already */
    assert_int_equal(update(&trial), 0);
    assert_int_equal(trial.summary.failed, 0);
    assert_int_equal(trial.summary.images, 0);
    assert_int_equal(trial.summary.dropped, 2);
    assert_true(happened(&trial.watch, CATALOG_DROPPED, at("a.raw")));
    assert_true(happened(&trial.watch, CATALOG_DROPPED, at("b.raw")));
    assert_int_equal(count_held(), 0);
}

static void a_path_that_is_given_twice_is_one_image(void **state)
{
    CLEANUP(trial_release) struct trial trial = {0};

    (void)state;
    write_image("a.raw", 1);
    assert_int_equal(symlink("a.raw", at("0.raw")), 0);
    assert_int_equal(catalog_images_add(&trial.images, at("0.raw"), NULL), 0);
    assert_int_equal(catalog_images_add(&trial.images, at("a.raw"), NULL), 0);
    assert_int_equal(catalog_images_add(&trial.images, at("a.raw"), "raw"), 0);
    assert_int_equal(catalog_images_add(&trial.images, at("a.raw"), NULL), 0);
    assert_int_equal(update(&trial), 0);
    assert_int_equal(trial.summary.images, 1);
    assert_int_equal(trial.summary.same, 1); /* only the link has another name */
    assert_true(happened(&trial.watch, CATALOG_SAME, at("0.raw")));
    assert_true(happened(&trial.watch, CATALOG_READ, at("a.raw")));
    assert_int_equal(count_held(), 1);
    /* Again, by way of the link's name alone: the same fingerprint. */
    trial.images.images[1].path[0] = trial.images.images[2].path[0] =
        trial.images.images[3].path[0] = 'x';
    assert_int_equal(update(&trial), 0);
    assert_int_equal(count_held(), 1);
}

static void a_stop_drops_nothing(void **state)
{
    CLEANUP(trial_release) struct trial trial = {0};

    (void)state;
    begin_with_a(&trial);
    unlink(at("a.raw"));
    trial.watch.stopped = true;
    assert_int_equal(update(&trial), -ECANCELED);
    assert_int_equal(count_held(), 1);
}

static void only_what_was_read_counts_in_bytes(void **state)
{
    CLEANUP(trial_release) struct trial trial = {0};

    (void)state;
    begin_with_a(&trial);
    assert_int_equal(trial.summary.bytes_read, 8192);
    trial.watch.change_meanwhile = "a.raw";
    assert_int_equal(update(&trial), 0);
    assert_int_equal(trial.summary.failed, 1);
    assert_int_equal(trial.summary.read, 0);
    assert_int_equal(trial.summary.bytes_read, 0);
}

static void entries_that_stay_are_reported(void **state)
{
    struct trial trial = {0};
    const char *leftover =
        at("index/.00000000000000000000000000000000.md5-512.fingerprint.AbCdEf.tmp");

    (void)state;
    assert_int_equal(mkdir(at("index"), 0700), 0);
    assert_int_equal(mkdir(leftover, 0700), 0);
    assert_int_equal(update(&trial), 0);
    assert_int_equal(trial.summary.problems, 1);
    assert_int_equal(trial.summary.failed, 0);
    assert_true(happened(&trial.watch, CATALOG_PROBLEM, leftover));
}

static void formats_are_believed(void **state)
{
    CLEANUP(trial_release) struct trial trial = {0};

    (void)state;
    write_image("a.raw", 1);
    assert_int_equal(catalog_images_add(&trial.images, at("a.raw"), "nonsense"), 0);
    assert_int_equal(update(&trial), 0);
    assert_int_equal(trial.summary.failed, 1);
    assert_true(happened(&trial.watch, CATALOG_FAILED, at("a.raw")));
}

static void no_wish_is_refused(void **state)
{
    const struct catalog_images images = {0};
    const struct catalog_update_options options = {.no_wait = true};
    struct catalog_summary summary;
    struct error err = {""};

    (void)state;
    assert_int_equal(catalog_update(at("index"), &images, NULL, 0, &options, &summary, &err),
                     -EINVAL);
    assert_int_equal(access(at("index"), F_OK), -1);
}

static void only_what_is_asked_for_is_opened(void **state)
{
    CLEANUP(trial_release) struct trial trial = {0};
    struct catalog *catalog = NULL;
    struct error err = {""};
    struct catalog_kind kind = {.kind = DIGEST_SHA256, .block_size = 4096};

    (void)state;
    write_image("a.raw", 1);
    assert_int_equal(catalog_images_find(at("a.raw"), &trial.images, NULL), 0);
    assert_int_equal(update(&trial), 0);
    assert_int_equal(catalog_open(at("index"), &kind, FINGERPRINT_PART_HEAD, &catalog, &err), 0);
    assert_int_equal(catalog->count, 1);
    assert_int_equal(catalog->other_kinds, 0);
    catalog_close(catalog);
    kind.block_size = 512;
    assert_int_equal(catalog_open(at("index"), &kind, FINGERPRINT_PART_HEAD, &catalog, &err), 0);
    assert_int_equal(catalog->count, 0);
    assert_int_equal(catalog->other_kinds, 1);
    catalog_close(catalog);
    assert_int_equal(catalog_open(at("missing"), &kind, 0, &catalog, &err), -ENOENT);
    assert_int_equal(catalog_open(at("a.raw"), &kind, 0, &catalog, &err), -ENOTDIR);
    catalog_close(NULL);
}

/* ---- what vanished ------------------------------------------------------------------------- */

static void missing_files_are_gone_only_where_they_were(void **state)
{
    struct stat status;
    struct fingerprint_layer top = {.format = "raw"};

    (void)state;
    assert_int_equal(stat(work, &status), 0);
    top.path = at("a.raw");
    top.device = status.st_dev;
    assert_true(catalog_is_gone(&top, false)); /* from the file system that it was on */
    top.device++;
    assert_false(catalog_is_gone(&top, false)); /* perhaps from one that is not mounted */
    assert_false(catalog_is_gone(&top, true));
    write_image("b.raw", 1);
    assert_false(catalog_is_gone(&top, false));
    assert_true(catalog_is_gone(&top, true)); /* something else is there: it is mounted */
    top.path = at("no/such/directory/a.raw");
    assert_true(catalog_is_gone(&top, true));
    top.device--;
    assert_true(catalog_is_gone(&top, false));
    top.path = at("b.raw/a.raw");
    assert_true(catalog_is_gone(&top, false));
    top.path = at("b.raw");
    assert_false(catalog_is_gone(&top, false));
    assert_true(catalog_is_gone(&top, true));
    top.path = "relative";
    assert_true(catalog_is_gone(&top, false));
}

static void the_kernels_file_systems_hold_no_images(void **state)
{
    CLEANUP(catalog_images_release) struct catalog_images images = {0};

    (void)state;
    assert_int_equal(catalog_images_find("/proc/self", &images, NULL), 0);
    assert_int_equal(catalog_images_find("/sys", &images, NULL), 0);
    assert_int_equal(images.count, 0);
    assert_int_equal(images.problem_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_went_since_it_was_found_is_no_failure, clear),
        cmocka_unit_test_teardown(a_path_that_is_given_twice_is_one_image, clear),
        cmocka_unit_test_teardown(a_stop_drops_nothing, clear),
        cmocka_unit_test_teardown(only_what_was_read_counts_in_bytes, clear),
        cmocka_unit_test_teardown(entries_that_stay_are_reported, clear),
        cmocka_unit_test_teardown(formats_are_believed, clear),
        cmocka_unit_test_teardown(no_wish_is_refused, clear),
        cmocka_unit_test_teardown(only_what_is_asked_for_is_opened, clear),
        cmocka_unit_test_teardown(missing_files_are_gone_only_where_they_were, clear),
        cmocka_unit_test_teardown(the_kernels_file_systems_hold_no_images, clear),
    };

    return cmocka_run_group_tests(tests, make_work, remove_work);
}
