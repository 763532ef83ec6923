/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether an image is in use, from what is known of files in use. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/peers/gc.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_known_by_all_its_names),
        cmocka_unit_test(what_is_not_there_is_no_other_file),
        cmocka_unit_test(only_what_lies_below_a_directory_lies_there),
        cmocka_unit_test(unfinished_files_have_their_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
