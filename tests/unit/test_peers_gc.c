/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether an image is in use, from what is known of files in use; and what gc holds meanwhile. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/peers/gc.h"
#include "setmov/base_new_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct gc_suspect suspect = {"/images/vm1.img", "/srv/images/vm1.img", 7, 100};

static const struct gc_use *find(const struct gc_use *use, struct gc_uses *uses)
{
    *uses = (struct gc_uses){NULL, 0, 0};
    assert_int_equal(gc_uses_add(uses, &(struct gc_use){.path = (char *)"/other"}), 0);
    assert_int_equal(gc_uses_add(uses, use), 0);
    return gc_uses_find(uses, &suspect);
}

static void a_file_is_known_by_all_its_names(void **state)
{
    static const struct {
        struct gc_use use;
        bool used;
    } rows[] = {
        {{.path = (char *)"/images/vm1.img"}, true},
        {{.path = (char *)"/srv/images/vm1.img"}, true},
        {{.path = (char *)"/images/vm1.im"}, false},
        {{.path = (char *)"/images/vm1.img2"}, false},
        /* Another name of the same file. */
        {{.path = (char *)"/x", .device = 7, .inode = 100}, true},
        {{.path = (char *)"/x", .device = 8, .inode = 100}, false},
        {{.path = (char *)"/x", .device = 7, .inode = 101}, false},
        {{.path = (char *)"/x", .user = (char *)"/y", .device = 7, .inode = 100}, true},
        /* A directory that a guest has. */
        {{.path = (char *)"/srv", .is_directory = true}, true},
        {{.path = (char *)"/srv/images/", .is_directory = true}, true},
        {{.path = (char *)"/", .is_directory = true}, true},
        {{.path = (char *)"/srv/im", .is_directory = true}, false},
        {{.path = (char *)"/srv"}, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct gc_uses uses;
        const struct gc_use *use = find(&rows[i].use, &uses);

        if ((use != NULL) != rows[i].used)
            fail_msg("row %zu (%s)", i, rows[i].use.path);
        if (use != NULL)
            assert_string_equal(use->path, rows[i].use.path);
        gc_uses_release(&uses);
    }
}

static void what_is_not_there_is_no_other_file(void **state)
{
    const struct gc_suspect strange = {"/images/vm1.img", "/images/vm1.img", 0, 0};
    struct gc_uses uses;

    (void)state;
    find(&(struct gc_use){.path = (char *)"/gone"}, &uses);
    assert_null(gc_uses_find(&uses, &strange));
    gc_uses_release(&uses);
}

static void only_what_lies_below_a_directory_lies_there(void **state)
{
    static const char *const directories[] = {"/var/lib/images", "/srv"};

    (void)state;
    assert_true(gc_lies_below("/var/lib/images/a", directories, 2));
    assert_true(gc_lies_below("/srv/x/a", directories, 2));
    assert_false(gc_lies_below("/var/lib/images", directories, 2));
    assert_false(gc_lies_below("/var/lib/images2/a", directories, 2));
    assert_false(gc_lies_below("/var/lib/a", directories, 2));
    assert_false(gc_lies_below("/srv/x/a", directories, 1));
}

static void unfinished_files_have_their_names(void **state)
{
    (void)state;
    assert_true(gc_is_unfinished(".known.AbC123.tmp"));
    assert_true(gc_is_unfinished(".a.request.XXXXXX.tmp"));
    assert_false(gc_is_unfinished("known.AbC123.tmp"));
    assert_false(gc_is_unfinished(".known.AbC123"));
    assert_false(gc_is_unfinished(".known.AbC12.tmp"));
    assert_false(gc_is_unfinished(".AbC123.tmp"));
    assert_false(gc_is_unfinished(".tmp"));
    assert_false(gc_is_unfinished(""));
}

/* ---- old images --------------------------------------------------------------------- */

static void the_oldest_go_until_the_others_fit(void **state)
{
    static const struct gc_old images[] = {
        {7, 1, 30, .made_s = 3, .expires_s = 100}, {7, 2, 20, .made_s = 1, .expires_s = 100},
        {7, 3, 50, .made_s = 2, .expires_s = 9}, /* it goes in any case */
        {7, 4, 10, .made_s = 4, .expires_s = 100}, {7, 1, 30, .made_s = 5, .expires_s = 100},
        {0, 0, 0, .made_s = 0, .expires_s = 0}, /* could not be looked at */
    };
    static const struct {
        uint64_t quota;
        const char *over; /* a letter each */
    } rows[] = {
        {0, "......"},  {1000, "......"}, {60, "......"}, {59, ".x...."},
        {40, ".x...."}, {39, "xx...."},   {10, "xx...."}, {1, "xx.x.."},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        bool over[ARRAY_LENGTH(images)];
        char found[ARRAY_LENGTH(images) + 1] = "";

        gc_old_over_quota(images, ARRAY_LENGTH(images), 10, rows[i].quota, over);
        for (size_t j = 0; j < ARRAY_LENGTH(images); j++)
            found[j] = over[j] ? 'x' : '.';
        assert_string_equal(found, rows[i].over);
    }
}

/* ---- what migrations sent -------------------------------------------------------------- */

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void only_names_of_ours_are_taken(void **state)
{
    static const struct {
        const char *name;
        enum gc_sent kind;
        const char *plan;
    } rows[] = {
        {"part-" HEX, GC_SENT_PART, NULL},
        {"part-" HEX "0", GC_SENT_NONE, NULL},
        {"part-", GC_SENT_NONE, NULL},
        {"vm1-a.plan", GC_SENT_PLAN, "vm1-a"},
        {"vm1-a.progress", GC_SENT_PLAN, "vm1-a"},
        {"vm1-a.failed", GC_SENT_PLAN, "vm1-a"},
        {"vm1-a.cancel", GC_SENT_PLAN, "vm1-a"},
        {".plan", GC_SENT_NONE, NULL},
        {".vm.plan", GC_SENT_NONE, NULL},
        {"a.b.plan", GC_SENT_NONE, NULL},
        {"vm1-a.plan2", GC_SENT_NONE, NULL},
        {HEX HEX HEX ".plan", GC_SENT_NONE, NULL},
    };
    char plan[GC_PLAN_BYTES];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        if (gc_sent_kind(rows[i].name, plan) != rows[i].kind)
            fail_msg("%s", rows[i].name);
        if (rows[i].plan != NULL)
            assert_string_equal(plan, rows[i].plan);
    }
    assert_true(gc_is_blocks(HEX ".blocks"));
    assert_false(gc_is_blocks(HEX ".block"));
    assert_false(gc_is_blocks(HEX "0.blocks"));
    assert_false(gc_is_blocks(".blocks"));
}

/* ---- what is held ------------------------------------------------------------------------ */

#define IMAGES 5

static char work[64];
static struct config config;
static const char *directories[] = {work};

static const char *at(const char *format, unsigned number)
{
    static char paths[4][128];
    static size_t next;
    char *path = paths[next++ % ARRAY_LENGTH(paths)];
    char name[32];

    assert_true(string_format(name, sizeof(name), format, number));
    assert_true(string_format(path, sizeof(paths[0]), "%s/%s", work, name));
    return path;
}

/* Images whose leases are over. */
static int make_leases(void **state)
{
    (void)state;
    string_copy(work, sizeof(work), "/tmp/setmov-gc-XXXXXX");
    assert_non_null(mkdtemp(work));
    assert_int_equal(mkdir(at("leases", 0), 0700), 0);
    config.setmov.state = config.setmov.index = config.setmov.incoming = work;
    config.sync.cache = work;
    config.hook.directories = (struct config_list){(char **)directories, 1, 1};
    for (unsigned i = 0; i < IMAGES; i++) {
        struct catalog_lease lease = {.path = (char *)at("image%u", i)};
        CLEANUP(cleanup_free) char *text = NULL;
        struct stat status;
        size_t length;

        assert_int_equal(new_file_replace(lease.path, "x", 1, false, NULL), 0);
        assert_int_equal(stat(lease.path, &status), 0);
        lease.device = status.st_dev;
        lease.inode = status.st_ino;
        lease.made_s = lease.expires_s = time(NULL);
        assert_int_equal(catalog_lease_encode(&lease, &text, &length, NULL), 0);
        assert_int_equal(new_file_replace(at("leases/%u.lease", i), text, length, false, NULL), 0);
    }
    return 0;
}

static int remove_leases(void **state)
{
    (void)state;
    for (unsigned i = 0; i < IMAGES; i++) {
        unlink(at("image%u", i));
        unlink(at("leases/%u.lease", i));
    }
    unlink(at("leases/lock", 0));
    rmdir(at("leases", 0));
    return rmdir(work);
}

static size_t count_descriptors(void)
{
    DIR *entries = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(entries);
    while (readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count;
}

/* After as many questions as are left. */
static bool stops(void *context)
{
    unsigned *left = context;

    return (*left)-- == 0;
}

static void ignore(void *context, const struct peers_gc_event *event)
{
    (void)context;
    (void)event;
}

static void nothing_is_held_once_it_is_stopped(void **state)
{
    unsigned left = IMAGES - 1;
    const struct peers_gc_options options = {.stopped = stops, .event = ignore, .context = &left};
    size_t before = count_descriptors();
    struct peers_gc_summary summary;
    struct error err = {""};

    (void)state;
    assert_int_equal(peers_gc(&config, &options, &summary, &err), -ECANCELED);
    assert_int_equal(count_descriptors(), before);
    for (unsigned i = 0; i < IMAGES; i++)
        assert_int_equal(access(at("image%u", i), F_OK), 0);
}

static void who_only_looks_locks_nothing(void **state)
{
    struct catalog_lease lease = {.path = (char *)at("image%u", 0), .made_s = time(NULL)};
    struct gc_image images[2];
    struct error err = {""};
    struct stat status;

    (void)state;
    assert_int_equal(stat(lease.path, &status), 0);
    lease.device = status.st_dev;
    lease.inode = status.st_ino;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(gc_image_open(&config, &lease, false, &images[i], &err), GC_LOOK_OK);
    assert_int_equal(gc_image_lock(&images[0], true, &err), 0);
    assert_int_equal(gc_image_lock(&images[1], false, &err), 0);
    assert_int_equal(gc_image_lock(&images[0], true, &err), -EBUSY);
    assert_int_equal(gc_image_lock(&images[0], false, &err), -EBUSY);
    gc_image_close(&images[1]);
    assert_int_equal(gc_image_lock(&images[0], true, &err), 0);
    gc_image_close(&images[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_known_by_all_its_names),
        cmocka_unit_test(what_is_not_there_is_no_other_file),
        cmocka_unit_test(only_what_lies_below_a_directory_lies_there),
        cmocka_unit_test(unfinished_files_have_their_names),
        cmocka_unit_test(the_oldest_go_until_the_others_fit),
        cmocka_unit_test(only_names_of_ours_are_taken),
        cmocka_unit_test(nothing_is_held_once_it_is_stopped),
        cmocka_unit_test(who_only_looks_locks_nothing),
    };

    return cmocka_run_group_tests(tests, make_leases, remove_leases);
}
