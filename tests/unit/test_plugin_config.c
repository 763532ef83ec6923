/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's options: what is taken, and the one line that says what is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../plugins/setmov_config.h"

#define VALUES_MAX 3

#define STRING(text)                                                                               \
    {                                                                                              \
        .type = OCONFIG_TYPE_STRING, .value.string = (char *)(text)                                \
    }
#define NUMBER(value_)                                                                             \
    {                                                                                              \
        .type = OCONFIG_TYPE_NUMBER, .value.number = (value_)                                      \
    }
#define BOOLEAN(value_)                                                                            \
    {                                                                                              \
        .type = OCONFIG_TYPE_BOOLEAN, .value.boolean = (value_)                                    \
    }

struct option {
    const char *key;
    int count;
    oconfig_value_t values[VALUES_MAX];
};

static int apply(struct setmov_config *config, const struct option *option, struct error *err)
{
    oconfig_value_t values[VALUES_MAX];
    const oconfig_item_t item = {
        .key = (char *)option->key, .values = values, .values_num = option->count};

    memcpy(values, option->values, sizeof(values));
    return setmov_config_apply(config, &item, err);
}

static int setup(void **state)
{
    static struct setmov_config config;

    setmov_config_init(&config);
    *state = &config;
    return 0;
}

static int teardown(void **state)
{
    setmov_config_release(*state);
    return 0;
}

static void test_good_options_are_taken(void **state)
{
    static const struct option options[] = {
        {"Connection", 1, {STRING("qemu:///system")}},
        {"domain", 1, {STRING("/^web/")}},
        {"Domain", 1, {STRING("db1")}},
        {"IgnoreSelected", 1, {STRING("true")}},
        {"HostnameFormat", 1, {STRING("name uuid")}},
        {"PluginInstanceFormat", 2, {STRING("uuid"), STRING("name")}},
        {"BlockDeviceFormat", 1, {STRING("source")}},
        {"InterfaceFormat", 1, {STRING("address")}},
        {"CollectHost", 1, {BOOLEAN(0)}},
        {"PacketOverhead", 1, {STRING("wire")}},
        {"BalloonPeriod", 1, {NUMBER(5)}},
        {"Deadline", 1, {NUMBER(0.25)}},
        {"RefreshInterval", 1, {STRING("60")}},
        {"ProcPath", 1, {STRING("/host/proc")}},
        {"KernelPath", 1, {STRING("off")}},
    };
    struct setmov_config *config = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(options); i++) {
        struct error err = {""};

        assert_int_equal(apply(config, &options[i], &err), 0);
        assert_string_equal(err.text, "");
    }
    assert_int_equal(setmov_config_complete(config, 1.0, NULL), 0);
    assert_string_equal(config->connection, "qemu:///system");
    assert_false(filter_selects(&config->domains, "web3"));
    assert_true(filter_selects(&config->domains, "db2"));
    assert_int_equal(config->hostname_format.count, 2);
    assert_int_equal(config->hostname_format.fields[1], IDENTITY_UUID);
    assert_int_equal(config->plugin_instance_format.fields[0], IDENTITY_UUID);
    assert_int_equal(config->plugin_instance_format.fields[1], IDENTITY_NAME);
    assert_int_equal(config->block_device_format, BLOCK_DEVICE_SOURCE);
    assert_int_equal(config->interface_format, INTERFACE_ADDRESS);
    assert_false(config->collect_host);
    assert_true(config->packet_overhead_bits == 160);
    assert_true(config->balloon_period_s == 5);
    assert_true(config->deadline_s == 0.25);
    assert_true(config->refresh_interval_given);
    assert_string_equal(config->proc_path, "/host/proc");
    assert_false(config->kernel_path);
}

static void test_defaults(void **state)
{
    struct setmov_config *config = *state;

    assert_int_equal(setmov_config_complete(config, 1.0, NULL), 0);
    assert_true(config->deadline_s == 0.8);
    assert_null(config->connection);
    assert_true(config->collect_host && config->collect_vms && config->per_cpu);
    assert_true(config->kernel_path);
    assert_true(config->packet_overhead_bits == 20);
    assert_true(config->balloon_period_s == 0);
    assert_int_equal(config->hostname_format.count, 1);
    assert_int_equal(config->plugin_instance_format.count, 0);
}

static void test_default_deadline_does_not_grow_without_end(void **state)
{
    struct setmov_config *config = *state;

    assert_int_equal(setmov_config_complete(config, 60.0, NULL), 0);
    assert_true(config->deadline_s == 5);
}

static void test_bad_options_are_named(void **state)
{
    static const struct {
        struct option option;
        const char *line;
    } cases[] = {
        {{"Colour", 1, {STRING("red")}}, "option `Colour' 'red': there is no such option"},
        {{"Deadline", 1, {NUMBER(-3)}},
         "option `Deadline': '-3' is not a number of seconds from 0.001 to 86400 without quotes"},
        {{"Deadline", 1, {STRING("1")}},
         "option `Deadline': '1' is not a number of seconds from 0.001 to 86400 without quotes"},
        {{"Deadline", 0, {NUMBER(0)}},
         "option `Deadline': has no value; it takes a number of seconds from 0.001 to 86400 "
         "without quotes"},
        {{"Connection", 2, {STRING("a"), STRING("b")}},
         "option `Connection': 'a' 'b' are 2 values; it takes one"},
        {{"Connection", 1, {NUMBER(7)}}, "option `Connection': '7' is not a libvirt URI"},
        {{"Connection", 1, {STRING("")}}, "option `Connection': '' is not a libvirt URI"},
        {{"CollectHost", 1, {STRING("maybe")}},
         "option `CollectHost': 'maybe' is not true or false"},
        {{"PerCPU", 1, {NUMBER(1)}}, "option `PerCPU': '1' is not true or false"},
        {{"BalloonPeriod", 1, {NUMBER(1.5)}},
         "option `BalloonPeriod': '1.5' is not a whole number of seconds from 0 to 86400 without "
         "quotes"},
        {{"BalloonPeriod", 1, {NUMBER(1e12)}},
         "option `BalloonPeriod': '1000000000000' is not a whole number of seconds from 0 to "
         "86400 without quotes"},
        {{"PacketOverhead", 1, {STRING("cable")}},
         "option `PacketOverhead': 'cable' is not `paper', `wire' or a number of bits from 0 to "
         "1000000"},
        {{"HostnameFormat", 1, {STRING("name name")}},
         "option `HostnameFormat': 'name name' is not a list of `name', `uuid' and `hostname', "
         "with spaces between"},
        {{"HostnameFormat", 1, {STRING("none")}},
         "option `HostnameFormat': 'none' is not a list of `name', `uuid' and `hostname', with "
         "spaces between"},
        {{"PluginInstanceFormat", 1, {STRING("none name")}},
         "option `PluginInstanceFormat': 'none name' is not `none' or a list of `name' and `uuid', "
         "with a space between"},
        {{"BlockDeviceFormat", 1, {STRING("disk")}},
         "option `BlockDeviceFormat': 'disk' is not `target' or `source'"},
        {{"InterfaceFormat", 1, {BOOLEAN(1)}},
         "option `InterfaceFormat': 'true' is not `name' or `address'"},
        {{"ProcPath", 1, {STRING("proc")}}, "option `ProcPath': 'proc' is not an absolute path"},
        {{"Domain", 1, {NUMBER(4)}},
         "option `Domain': '4' is not a string (a name or a /regular expression/)"},
        {{"Domain", 1, {STRING("")}}, "option `Domain': '': is empty"},
        {{"Domain", 1, {STRING("/[/")}},
         "option `Domain': '/[/': is not a regular expression: Invalid regular expression"},
        {{"Instances", 1, {NUMBER(2)}},
         "option `Instances' '2': is the virt plugin's; here one thread samples all VMs: remove "
         "it"},
    };
    struct setmov_config *config = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct error err = {""};

        assert_int_equal(apply(config, &cases[i].option, &err), -EINVAL);
        assert_string_equal(err.text, cases[i].line);
    }
    assert_int_equal(config->given, 0);
}

static void test_second_value_is_refused_across_blocks(void **state)
{
    const struct option one = {"Deadline", 1, {NUMBER(0.5)}}, two = {"deadline", 1, {NUMBER(0.6)}};
    struct setmov_config *config = *state;
    struct error err = {""};

    assert_int_equal(apply(config, &one, &err), 0);
    assert_int_equal(apply(config, &two, &err), -EINVAL);
    assert_string_equal(err.text, "option `Deadline': '0.6' is the second value; it takes one");
    assert_true(config->deadline_s == 0.5);
}

static void test_blocks_are_refused(void **state)
{
    oconfig_item_t child = {.key = (char *)"x"};
    const oconfig_item_t item = {.key = (char *)"Domain", .children = &child, .children_num = 1};
    struct error err = {""};

    assert_int_equal(setmov_config_apply(*state, &item, &err), -EINVAL);
    assert_string_equal(err.text, "option `Domain': is not a block");
}

static void test_long_values_do_not_overrun(void **state)
{
    char text[4000];
    const struct option option = {"Deadline", 3, {STRING(text), STRING(text), STRING(text)}};
    struct error err = {""};

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(apply(*state, &option, &err), -EINVAL);
    assert_non_null(strstr(err.text, "option `Deadline': 'xxx"));
}

static void test_deadline_must_be_below_the_interval(void **state)
{
    const struct option option = {"Deadline", 1, {NUMBER(2)}};
    struct setmov_config *config = *state;
    struct error err = {""};

    assert_int_equal(apply(config, &option, NULL), 0);
    assert_int_equal(setmov_config_complete(config, 2.0, &err), -EINVAL);
    assert_string_equal(err.text, "option `Deadline': '2' is not below the interval of 2 s");
    assert_int_equal(setmov_config_complete(config, 2.5, &err), 0);
}

static void test_names_must_tell_vms_apart(void **state)
{
    const struct option host = {"HostnameFormat", 1, {STRING("hostname")}};
    const struct option instance = {"PluginInstanceFormat", 1, {STRING("name")}};
    struct setmov_config *config = *state;
    struct error err = {""};

    assert_int_equal(apply(config, &host, NULL), 0);
    assert_int_equal(setmov_config_complete(config, 1.0, &err), -EINVAL);
    assert_non_null(strstr(err.text, "option `HostnameFormat': 'hostname' "));
    assert_int_equal(apply(config, &instance, NULL), 0);
    assert_int_equal(setmov_config_complete(config, 1.0, &err), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good_options_are_taken),
        TEST(test_defaults),
        TEST(test_default_deadline_does_not_grow_without_end),
        TEST(test_bad_options_are_named),
        TEST(test_second_value_is_refused_across_blocks),
        TEST(test_blocks_are_refused),
        TEST(test_long_values_do_not_overrun),
        TEST(test_deadline_must_be_below_the_interval),
        TEST(test_names_must_tell_vms_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
