/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs and devices get names that collectd can hold and that stay apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../plugins/setmov_identity.h"

#define UUID "1b4e28ba-2fa1-11d2-883f-0016d3cca427"

static struct identity identity_for(const char *name, struct identity_format host,
                                    struct identity_format instance)
{
    const struct setmov_config config = {.hostname_format = host,
                                         .plugin_instance_format = instance};
    struct identity identity;

    identity_of_vm(&config, "node1", name, UUID, &identity);
    return identity;
}

static const struct identity_format by_name = {{IDENTITY_NAME}, 1};
static const struct identity_format none = {{0}, 0};

static void test_formats_are_joined_by_colons(void **state)
{
    const struct identity_format both = {{IDENTITY_NAME, IDENTITY_UUID}, 2};
    const struct identity_format hostname = {{IDENTITY_HOSTNAME}, 1};
    struct identity identity = identity_for("vm1", both, none);

    (void)state;
    assert_string_equal(identity.host, "vm1:" UUID);
    assert_string_equal(identity.plugin_instance, "");
    identity = identity_for("vm1", hostname, by_name);
    assert_string_equal(identity.host, "node1");
    assert_string_equal(identity.plugin_instance, "vm1");
}

static void test_unsafe_characters_become_underscores(void **state)
{
    (void)state;
    assert_string_equal(identity_for("a/b\nc", by_name, none).host, "a_b_c");
    assert_string_equal(identity_for("../../etc", by_name, none).host, ".._.._etc");
    assert_string_equal(identity_for("..", by_name, none).host, "_.");
    assert_string_equal(identity_for(".", by_name, none).host, "_");
    /* ESC, DEL, U+009B (a control beyond ASCII), a broken byte; what is whole stays. */
    assert_string_equal(identity_for("a\033[2Jb\177", by_name, none).host, "a_[2Jb_");
    assert_string_equal(identity_for("x\302\2332J\377", by_name, none).host, "x_2J_");
    assert_string_equal(identity_for("b\303\274ro", by_name, none).host, "b\303\274ro");
    assert_string_equal(identity_for("x\ny", none, by_name).plugin_instance, "x_y");
}

static void test_cut_names_end_with_the_uuid(void **state)
{
    char name[200];
    struct identity identity;

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[127] = '\0';
    assert_string_equal(identity_for(name, by_name, none).host, name);
    name[127] = 'n';
    name[199] = '\0';
    identity = identity_for(name, by_name, none);
    assert_int_equal(strlen(identity.host), 127);
    assert_string_equal(identity.host + 117, "n-1b4e28ba");
    /* Never through the middle of a character. */
    memcpy(name + 117, "\303\274", 2);
    identity = identity_for(name, by_name, none);
    assert_string_equal(identity.host + 116, "n-1b4e28ba");
}

static void test_distinguishing_appends_to_what_names_the_vm(void **state)
{
    struct identity identity = identity_for("self", by_name, by_name);

    (void)state;
    identity_distinguish(&identity, UUID, 8);
    assert_string_equal(identity.host, "self");
    assert_string_equal(identity.plugin_instance, "self-1b4e28ba");
    identity = identity_for("a/b", by_name, none);
    identity_distinguish(&identity, UUID, 36);
    assert_string_equal(identity.host, "a_b-" UUID);
}

static void test_device_labels(void **state)
{
    char label[DATA_MAX_NAME_LEN], other[DATA_MAX_NAME_LEN], path[300];

    (void)state;
    assert_int_equal(identity_device_label("vda", false, label), 3);
    assert_string_equal(label, "vda");
    identity_device_label("/var/lib/a.qcow2", false, label);
    assert_string_equal(label, "var_lib_a.qcow2");
    identity_device_label("/var/lib/a.qcow2", true, label);
    assert_string_equal(label, "a.qcow2");
    identity_device_label("/var/lib/", true, label);
    assert_string_equal(label, "var_lib_");

    /* Two long paths that differ at the end only stay two. */
    memset(path, 'p', sizeof(path));
    path[299] = '\0';
    assert_int_equal(identity_device_label(path, false, label), 127);
    path[298] = 'q';
    assert_int_equal(identity_device_label(path, false, other), 127);
    assert_string_not_equal(label, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_are_joined_by_colons),
        cmocka_unit_test(test_unsafe_characters_become_underscores),
        cmocka_unit_test(test_cut_names_end_with_the_uuid),
        cmocka_unit_test(test_distinguishing_appends_to_what_names_the_vm),
        cmocka_unit_test(test_device_labels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
