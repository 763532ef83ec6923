/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's filters select what the virt plugin's would. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../plugins/setmov_filter.h"

static void test_empty_filter_selects_all(void **state)
{
    struct filter filter = {.ignore_selected = false};

    (void)state;
    assert_true(filter_selects(&filter, "vm1"));
    filter.ignore_selected = true;
    assert_true(filter_selects(&filter, "vm1"));
    assert_true(filter_selects_device(&filter, "vm1", "vda"));
}

static void test_exact_names_match_whole(void **state)
{
    struct filter filter = {0};

    (void)state;
    assert_int_equal(filter_add(&filter, "vm1", NULL), 0);
    assert_int_equal(filter_add(&filter, "vm2", NULL), 0);
    assert_true(filter_selects(&filter, "vm1"));
    assert_true(filter_selects(&filter, "vm2"));
    assert_false(filter_selects(&filter, "vm10"));
    assert_false(filter_selects(&filter, "VM1"));
    filter.ignore_selected = true;
    assert_false(filter_selects(&filter, "vm1"));
    assert_true(filter_selects(&filter, "vm10"));
    filter_release(&filter);
}

static void test_expressions_match_any_part(void **state)
{
    struct filter filter = {0};

    (void)state;
    assert_int_equal(filter_add(&filter, "/:hdb/", NULL), 0);
    assert_true(filter_selects_device(&filter, "vm1", "hdb"));
    assert_true(filter_selects_device(&filter, "vm2", "hdb1"));
    assert_false(filter_selects_device(&filter, "vm1", "hda"));
    assert_int_equal(filter_add(&filter, "/^(web|db)[0-9]+:vd[a-c]$/", NULL), 0);
    assert_true(filter_selects_device(&filter, "web12", "vdc"));
    assert_false(filter_selects_device(&filter, "web12", "vdd"));
    filter_release(&filter);
}

static void test_path_of_one_vm_is_not_an_expression(void **state)
{
    struct filter filter = {0};

    (void)state;
    assert_int_equal(filter_add(&filter, "vm1:/var/lib/a.qcow2", NULL), 0);
    assert_true(filter_selects_device(&filter, "vm1", "/var/lib/a.qcow2"));
    assert_false(filter_selects_device(&filter, "vm2", "/var/lib/a.qcow2"));
    /* Two slashes hold no expression. */
    assert_int_equal(filter_add(&filter, "//", NULL), 0);
    assert_true(filter_selects(&filter, "//"));
    filter_release(&filter);
}

static void test_bad_patterns_are_refused(void **state)
{
    struct filter filter = {0};
    struct error err = {""};

    (void)state;
    assert_int_equal(filter_add(&filter, "", &err), -EINVAL);
    assert_string_equal(err.text, "is empty");
    assert_int_equal(filter_add(&filter, "/a(/", &err), -EINVAL);
    assert_non_null(strstr(err.text, "is not a regular expression: "));
    assert_int_equal(filter.count, 0);
    filter_release(&filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_filter_selects_all),
        cmocka_unit_test(test_exact_names_match_whole),
        cmocka_unit_test(test_expressions_match_any_part),
        cmocka_unit_test(test_path_of_one_vm_is_not_an_expression),
        cmocka_unit_test(test_bad_patterns_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
