/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fingerprint_build() on a made-up image: extents of any shape, answers that
 * make no sense, errors at any place. The image's functions are this file's.
 */
#include "setmov/fingerprint_file.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MOST_BYTES   ((size_t)1 << 20)
#define MOST_EXTENTS 600

struct image {
    uint8_t content[MOST_BYTES];
    uint64_t size;
    struct image_extent extents[MOST_EXTENTS];
    size_t count;
    struct image_layer layer;
    size_t layer_count;
    atomic_size_t reads, asked;   /* calls up to now */
    size_t fail_read, fail_ask;   /* the n-th call fails; 0: none */
    size_t fail_late;             /* the read at 0 fails, but only when so many were begun */
    struct image_extent nonsense; /* the answer for byte 300000; length UINT64_MAX: none */
    int check;
    bool in_use;
    bool hang_read, hang_ask; /* until it is interrupted */
    atomic_bool interrupted;
    char blocked[64]; /* becomes a directory when the image is read */
};

static struct image made_up;

/* ---- what the library takes for an image -------------------------------------------- */

uint64_t image_size(const struct image *image)
{
    return image->size;
}

const char *image_format(const struct image *image)
{
    return image->layer.format;
}

bool image_is_direct(const struct image *image)
{
    return strcmp(image_format(image), "raw") == 0;
}

const struct image_layer *image_layers(const struct image *image, size_t *ret_count)
{
    *ret_count = image->layer_count;
    return &image->layer;
}

bool image_is_in_use(const struct image *image)
{
    return image->in_use;
}

int image_check_unchanged(struct image *image, struct error *err)
{
    return image->check < 0 ? error_set(err, image->check, "changed") : 0;
}

void image_interrupt(struct image *image)
{
    image->interrupted = true;
}

static int hang(struct image *image, struct error *err)
{
    for (int i = 0; i < 60000 && !image->interrupted; i++)
        usleep(1000);
    return image->interrupted ? error_set(err, -ECANCELED, "interrupted")
                              : error_set(err, -EIO, "nobody interrupted it");
}

int image_next_extent(struct image *image, uint64_t offset, struct image_extent *ret_extent,
                      struct error *err)
{
    if (image->hang_ask)
        return hang(image, err);
    if (atomic_fetch_add(&image->asked, 1) + 1 == image->fail_ask)
        return error_set(err, -EIO, "cannot ask");
    if (image->nonsense.length != UINT64_MAX && offset == 300000) {
        *ret_extent = image->nonsense;
        return 0;
    }
    for (size_t i = 0; i < image->count; i++) {
        uint64_t end = image->extents[i].offset + image->extents[i].length;

        if (offset >= end)
            continue;
        *ret_extent = (struct image_extent){offset, end - offset, image->extents[i].kind};
        return 0;
    }
    return error_set(err, -ENXIO, "behind the end");
}

/* Do all threads but this one wait? None of them does for a disk or a lock that one of them holds. */
static bool others_sleep(void)
{
    DIR *tasks = opendir("/proc/self/task");
    bool sleep = true;

    assert_non_null(tasks);
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        char path[64], line[256] = "";
        FILE *file;
        const char *end;

        if (task->d_name[0] == '.' || strtol(task->d_name, NULL, 10) == gettid())
            continue;
        string_format(path, sizeof(path), "/proc/self/task/%.16s/stat", task->d_name);
        file = fopen(path, "r");
        if (file == NULL)
            continue; /* it ended */
        end = fgets(line, sizeof(line), file) != NULL ? strrchr(line, ')') : NULL;
        fclose(file);
        sleep &= end == NULL || end[2] == 'S';
    }
    closedir(tasks);
    return sleep;
}

int image_read(struct image *image, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    if (image->hang_read)
        return hang(image, err);
    if (image->blocked[0] != '\0')
        (void)mkdir(image->blocked, 0700);
    if (atomic_fetch_add(&image->reads, 1) + 1 == image->fail_read)
        return error_set(err, -EIO, "cannot read");
    if (image->fail_late > 0 && offset == 0) {
        /* The others digest, and then wait for their turn. */
        for (int i = 0; i < 2000 && (image->reads < image->fail_late || !others_sleep()); i++)
            usleep(1000);
        return error_set(err, -EIO, "cannot read the first");
    }
    if (offset > image->size || length > image->size - offset)
        return error_set(err, -EINVAL, "beyond the end");
    memcpy(buffer, image->content + offset, length);
    return 0;
}

/* ---- making one up --------------------------------------------------------------------- */

static uint64_t seed = 1;

static uint64_t random_below(uint64_t bound)
{
    uint64_t z = (seed += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % bound;
}

static void begin(uint64_t size, const char *format)
{
    static char path[] = "/made-up";

    memset(&made_up, 0, sizeof(made_up));
    made_up.size = size;
    made_up.layer = (struct image_layer){.path = path, .format = (char *)format, .size = size};
    made_up.layer_count = 1;
    made_up.nonsense.length = UINT64_MAX;
}

static void add_extent(uint64_t length, enum image_extent_kind kind)
{
    uint64_t offset = 0;

    if (made_up.count > 0)
        offset =
            made_up.extents[made_up.count - 1].offset + made_up.extents[made_up.count - 1].length;
    made_up.extents[made_up.count++] = (struct image_extent){offset, length, kind};
}

/* Extents of all lengths at any byte; data has zeroes, repetitions and unique bytes. */
static void make_up(uint64_t size, uint64_t unit, const char *format)
{
    uint64_t at = 0;

    begin(size, format);
    while (at < size) {
        uint64_t most = random_below(4) == 0 ? 200000 : 3000;
        uint64_t length = (1 + random_below(most / unit + 1)) * unit;
        enum image_extent_kind kind = (enum image_extent_kind)random_below(3);

        if (length > size - at || made_up.count == MOST_EXTENTS - 1)
            length = size - at;
        add_extent(length, kind);
        for (uint64_t i = at; i < at + length && kind == IMAGE_DATA; i++) {
            uint64_t piece = i / 512 % 5;

            made_up.content[i] = piece < 2    ? 0
                                 : piece == 2 ? (uint8_t)(i % 512 % 7)
                                              : (uint8_t)random_below(256);
        }
        at += length;
    }
}

/* ---- what a fingerprint of it is ---------------------------------------------------------- */

static bool has_data(uint64_t offset, uint64_t end)
{
    for (size_t i = 0; i < made_up.count; i++) {
        const struct image_extent *extent = &made_up.extents[i];

        if (extent->kind == IMAGE_DATA && extent->offset < end &&
            extent->offset + extent->length > offset)
            return true;
    }
    return false;
}

/* Block by block; `seen` counts what was found of each digest. */
static void assert_right(const struct fingerprint_view *view, const struct digest_plan *plan)
{
    uint64_t size = plan->block_size, blocks = 0, zero = 0;
    uint64_t *seen = calloc(view->totals.distinct + 1, sizeof(*seen));
    uint8_t block[DIGEST_BLOCK_MAX];
    struct digest digest;

    assert_non_null(seen);
    for (uint64_t at = 0; at < made_up.size; at += size) {
        uint64_t end = at + size < made_up.size ? at + size : made_up.size;
        size_t found;

        if (!has_data(at, end))
            continue;
        memset(block, 0, size);
        memcpy(block, made_up.content + at, end - at);
        digest_blocks(plan, block, 1, &digest);
        found = fingerprint_find(view->digests, view->totals.distinct, &digest);
        assert_true(found < view->totals.distinct);
        if (seen[found]++ == 0)
            assert_int_equal(fingerprint_place_block(fingerprint_place(view, found)), at / size);
        blocks++;
        zero += digest_is_zero(block, size);
    }
    assert_int_equal(view->totals.blocks, blocks);
    assert_int_equal(view->totals.zero, zero);
    for (size_t i = 0; i < view->totals.distinct; i++)
        assert_int_equal(fingerprint_multiplicity(view, i), seen[i]);
    free(seen);
}

static int build(const struct fingerprint_wish *wishes, size_t count, unsigned threads, bool whole,
                 struct fingerprint_file **files, struct error *err)
{
    struct fingerprint_build_options options = {
        .threads = threads, .memory_bytes = 1, .content_sha256 = whole, .temporary = "/tmp"};

    return fingerprint_build(&made_up, wishes, count, &options, files, err);
}

static void assert_all_right(const struct fingerprint_wish *wishes, size_t count, unsigned threads,
                             bool whole)
{
    struct fingerprint_file *files[8] = {NULL};
    struct digest_content content;
    uint8_t wanted[32];
    struct error err = {0};

    digest_content_init(&content);
    digest_content_add(&content, made_up.content, made_up.size);
    digest_content_value(&content, wanted);
    assert_int_equal(build(wishes, count, threads, whole, files, &err), 0);
    for (size_t i = 0; i < count; i++) {
        struct digest_plan plan;

        assert_int_equal(
            digest_plan_init(&plan, wishes[i].kind, wishes[i].block_size, wishes[i].key, &err), 0);
        assert_int_equal(fingerprint_verify_order(&files[i]->view, &err), 0);
        assert_right(&files[i]->view, &plan);
        assert_int_equal(files[i]->view.identity.has_content_sha256, whole);
        if (whole)
            assert_memory_equal(files[i]->view.identity.content_sha256, wanted, sizeof(wanted));
        fingerprint_file_close(files[i]);
    }
}

/* ---- tests ------------------------------------------------------------------------------------ */

static const struct fingerprint_wish three[] = {
    {.kind = DIGEST_MD5, .block_size = 65536},
    {.kind = DIGEST_MD5, .block_size = 512},
    {.kind = DIGEST_SHA256, .block_size = 4096},
};

static void extents_of_any_shape(void **state)
{
    static const uint64_t units[] = {1, 1, 512, 4096, 7};

    (void)state;
    for (size_t round = 0; round < 60; round++) {
        uint64_t size = random_below(8) == 0 ? random_below(3000) : random_below(MOST_BYTES);

        make_up(size, units[round % ARRAY_LENGTH(units)], round % 2 == 0 ? "raw" : "qcow2");
        assert_all_right(three, ARRAY_LENGTH(three), 1 + (unsigned)round % 4, round % 3 == 0);
        assert_all_right(three + 1, 1, 1 + (unsigned)round % 4, round % 3 == 1);
    }
}

/* As many pieces as there are sectors with a gap behind each. */
static void every_other_sector(void **state)
{
    (void)state;
    begin(MOST_BYTES / 2, "raw");
    for (size_t i = 0; i < MOST_EXTENTS / 2 - 1; i++) {
        add_extent(1, IMAGE_DATA);
        made_up.content[i * 1024] = (uint8_t)(1 + i % 200);
        add_extent(1023, i % 2 == 0 ? IMAGE_HOLE : IMAGE_ZERO);
    }
    add_extent(made_up.size - (MOST_EXTENTS / 2 - 1) * 1024, IMAGE_HOLE);
    assert_all_right(three + 1, 1, 2, true);
    assert_all_right(three, ARRAY_LENGTH(three), 2, true);
}

static void answers_that_make_no_sense(void **state)
{
    static const struct image_extent answers[] = {
        {300000, 0, IMAGE_DATA},      {300000, UINT64_MAX - 1, IMAGE_DATA},
        {300000, 700001, IMAGE_HOLE}, {300001, 10, IMAGE_DATA},
        {299999, 10, IMAGE_DATA},     {300000, UINT64_MAX - 300000, IMAGE_HOLE},
        {UINT64_MAX, 1, IMAGE_DATA},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        struct error err = {0};

        begin(1000000, "raw");
        add_extent(300000, IMAGE_DATA);
        add_extent(700000, IMAGE_DATA);
        made_up.nonsense = answers[i];
        assert_int_equal(build(three, 1, 2, true, NULL, &err), -EPROTO);
        assert_non_null(strstr(err.text, "300000"));
    }
}

static void errors_anywhere(void **state)
{
    (void)state;
    for (size_t nth = 1; nth < 400; nth += nth < 20 ? 1 : 23) {
        for (unsigned threads = 1; threads <= 4; threads += 3) {
            struct error err = {0};
            int rc;

            make_up(MOST_BYTES, 512, "raw");
            made_up.fail_read = nth;
            rc = build(three + 1, 1, threads, nth % 2 == 0, NULL, &err);
            assert_int_equal(rc, made_up.reads >= nth ? -EIO : 0);
            if (rc < 0)
                assert_string_equal(err.text, "cannot read");
            made_up.fail_read = 0;
            made_up.asked = 0;
            made_up.fail_ask = nth;
            rc = build(three, 2, threads, nth % 2 == 0, NULL, &err);
            assert_int_equal(rc, made_up.asked >= nth ? -EIO : 0);
            if (rc < 0)
                assert_string_equal(err.text, "cannot ask");
        }
    }
}

/* Who waits for the turn of a chunk that never comes is woken. */
static void errors_while_others_wait(void **state)
{
    struct error err = {0};

    (void)state;
    begin(MOST_BYTES, "raw");
    add_extent(MOST_BYTES, IMAGE_DATA);
    made_up.fail_late = 4;
    assert_int_equal(build(three + 1, 1, 4, true, NULL, &err), -EIO);
    assert_string_equal(err.text, "cannot read the first");
}

/* What the caller is told and says. */
struct caller {
    size_t told, asked;
    double finished; /* the last share that was told */
    size_t shares;   /* so many different ones */
};

static void note_progress(void *context, const struct fingerprint_progress *progress)
{
    struct caller *caller = context;

    caller->told++;
    assert_true(progress->bytes_done <= progress->bytes_known);
    assert_true(progress->finishing >= caller->finished && progress->finishing <= 1);
    caller->shares += progress->finishing > caller->finished;
    caller->finished = progress->finishing;
}

static bool stop_at_third_question(void *context)
{
    struct caller *caller = context;

    return ++caller->asked >= 3;
}

/* Progress is told and a stop is heard while the image does not answer. */
static void a_stop_while_the_image_hangs(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        struct caller caller = {0};
        const struct fingerprint_build_options options = {.threads = 1 + round % 4,
                                                          .content_sha256 = round % 2 == 0,
                                                          .temporary = "/tmp",
                                                          .progress = note_progress,
                                                          .stopped = stop_at_third_question,
                                                          .context = &caller};
        struct error err = {0};

        begin(MOST_BYTES, "raw");
        add_extent(MOST_BYTES, IMAGE_DATA);
        made_up.hang_ask = round < 4;
        made_up.hang_read = round >= 4;
        assert_int_equal(fingerprint_build(&made_up, three, 1, &options, NULL, &err), -ECANCELED);
        assert_string_equal(err.text, "/made-up: stopped");
        assert_true(caller.told >= 3);
    }
}

/* A failure of one thread ends what the others wait for. */
static void a_failure_interrupts_the_image(void **state)
{
    struct error err = {0};

    (void)state;
    make_up(MOST_BYTES, 512, "raw");
    made_up.fail_read = 3;
    assert_int_equal(build(three, 1, 4, false, NULL, &err), -EIO);
    assert_true(made_up.interrupted);
}

static void the_end_is_told(void **state)
{
    struct caller caller = {0};
    const struct fingerprint_build_options options = {
        .threads = 2, .temporary = "/tmp", .progress = note_progress, .context = &caller};
    struct error err = {0};

    (void)state;
    make_up(MOST_BYTES, 512, "raw");
    assert_int_equal(fingerprint_build(&made_up, three, ARRAY_LENGTH(three), &options, NULL, &err),
                     0);
    assert_true(caller.finished == 1);
    assert_true(caller.shares >= ARRAY_LENGTH(three));
    assert_false(made_up.interrupted);
}

/* One name that cannot be given: no file is new. */
static void all_names_or_none(void **state)
{
    char directory[] = "/tmp/setmov-names-XXXXXX", first[64], second[64];
    struct fingerprint_wish wishes[2] = {three[0], three[1]};
    struct error err = {0};

    (void)state;
    assert_non_null(mkdtemp(directory));
    string_format(first, sizeof(first), "%s/first", directory);
    string_format(second, sizeof(second), "%s/second", directory);
    wishes[0].path = first;
    wishes[1].path = second;
    begin(100000, "raw");
    add_extent(100000, IMAGE_DATA);
    string_copy(made_up.blocked, sizeof(made_up.blocked), second);
    assert_int_equal(build(wishes, 2, 2, false, NULL, &err), -EISDIR);
    assert_non_null(strstr(err.text, second));
    assert_int_equal(access(first, F_OK), -1);
    assert_int_equal(rmdir(second), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void changes(void **state)
{
    struct fingerprint_file *file;
    struct error err = {0};

    (void)state;
    make_up(100000, 512, "raw");
    made_up.check = -ESTALE;
    assert_int_equal(build(three, 1, 2, false, &file, &err), -ESTALE);
    assert_string_equal(err.text, "changed");
    made_up.in_use = true;
    assert_int_equal(build(three, 1, 2, false, &file, &err), 0);
    assert_true(file->view.identity.provisional);
    fingerprint_file_close(file);
    made_up.check = -EIO;
    assert_int_equal(build(three, 1, 2, false, &file, &err), -EIO);
    made_up.check = 0;
    made_up.in_use = false;
    assert_int_equal(build(three, 1, 2, false, &file, &err), 0);
    assert_false(file->view.identity.provisional);
    fingerprint_file_close(file);
}

static void too_large(void **state)
{
    const struct fingerprint_wish small = {.kind = DIGEST_MD5, .block_size = 512};
    struct error err = {0};

    (void)state;
    begin(FINGERPRINT_MAX_BLOCKS * 512 + 1, "raw");
    made_up.extents[made_up.count++] = (struct image_extent){0, made_up.size, IMAGE_HOLE};
    assert_int_equal(build(&small, 1, 1, false, NULL, &err), -EFBIG);
    assert_non_null(strstr(err.text, "/made-up"));
    made_up.size--;
    made_up.extents[0].length--;
    assert_int_equal(build(&small, 1, 1, false, NULL, &err), 0);
    made_up.size = made_up.extents[0].length = INT64_MAX;
    assert_int_equal(build(&small, 1, 1, false, NULL, &err), -EFBIG);
    assert_int_equal(build(three, 1, 1, false, NULL, &err), -EFBIG);
    begin(4096, "raw");
    made_up.layer_count = FINGERPRINT_MAX_LAYERS + 1;
    assert_int_equal(build(&small, 1, 1, false, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.text, "257"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extents_of_any_shape),
        cmocka_unit_test(every_other_sector),
        cmocka_unit_test(answers_that_make_no_sense),
        cmocka_unit_test(errors_anywhere),
        cmocka_unit_test(errors_while_others_wait),
        cmocka_unit_test(a_stop_while_the_image_hangs),
        cmocka_unit_test(a_failure_interrupts_the_image),
        cmocka_unit_test(the_end_is_told),
        cmocka_unit_test(all_names_or_none),
        cmocka_unit_test(changes),
        cmocka_unit_test(too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
