/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holds the parser of /proc/net/dev to its contract. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host_data.h"

#include <errno.h>

#define HEAD                                                                                       \
    "Inter-|   Receive                            |  Transmit\n"                                   \
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n"
#define SIXTEEN "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"

static int parse(const char *text, struct host_interfaces *interfaces, struct error *err)
{
    return host_parse_net_dev(text_of(text, strlen(text)), interfaces, err);
}

static void check_one(const char *line, const char *name, uint64_t rx_bytes)
{
    struct host_interfaces interfaces = {0};
    char text[1024];

    assert_true(string_format(text, sizeof(text), HEAD "%s\n", line));
    assert_int_equal(parse(text, &interfaces, NULL), 0);
    assert_int_equal(interfaces.count, 1);
    assert_string_equal(interfaces.interfaces[0].name, name);
    assert_string_equal(interfaces.interfaces[0].mac, "");
    assert_int_equal(interfaces.interfaces[0].counters.rx_bytes, rx_bytes);
    assert_int_equal(interfaces.interfaces[0].counters.tx_compressed, 16);
    free(interfaces.interfaces);
}

static void names_end_at_the_last_colon_before_counters(void **state)
{
    (void)state;
    check_one("  eth0: " SIXTEEN, "eth0", 1);
    check_one("eth0:" SIXTEEN, "eth0", 1);
    check_one("eth0:4" SIXTEEN, "eth0", 41);
    check_one("eth0:1: " SIXTEEN, "eth0:1", 1);
    check_one("eth0:1:7" SIXTEEN, "eth0:1", 71);
    check_one("veth:a: " SIXTEEN, "veth:a", 1);
    check_one("veth:a:" SIXTEEN " 17 18", "veth:a", 1);
    check_one("odd:: " SIXTEEN, "odd:", 1);
    check_one("eth0: " SIXTEEN " later:note", "eth0", 1);
    check_one("a:1 2 3:" SIXTEEN, "a:1 2 3", 1);
    check_one("a_name_of_thirty-one_characters: " SIXTEEN, "a_name_of_thirty-one_characters", 1);
}

static void lines_that_are_no_interface_are_left_out(void **state)
{
    static const char *const bad[] = {"",
                                      "eth0",
                                      "eth0:",
                                      ": " SIXTEEN,
                                      " : " SIXTEEN,
                                      "eth0 " SIXTEEN,
                                      "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
                                      "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x",
                                      "eth0: -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
                                      "e\033[0m: " SIXTEEN,
                                      "a_name_of_more_than_31_characters: " SIXTEEN,
                                      "::::::::::::::::::::::::"};
    struct host_interfaces interfaces = {0};
    char text[1024];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        assert_true(string_format(text, sizeof(text), HEAD "%s\nlo:" SIXTEEN "\n", bad[i]));
        assert_int_equal(parse(text, &interfaces, NULL), 0);
        assert_int_equal(interfaces.count, 1);
        assert_string_equal(interfaces.interfaces[0].name, "lo");
    }
    free(interfaces.interfaces);
}

static void every_counter_is_in_its_place(void **state)
{
    struct host_interfaces interfaces = {0};
    uint64_t values[16];

    (void)state;
    assert_int_equal(parse(HEAD "e: " SIXTEEN "\n", &interfaces, NULL), 0);
    assert_int_equal(interfaces.interfaces[0].counters.rx_multicast, 8);
    assert_int_equal(interfaces.interfaces[0].counters.tx_bytes, 9);
    assert_int_equal(sizeof(values), sizeof(interfaces.interfaces[0].counters));
    memcpy(values, &interfaces.interfaces[0].counters, sizeof(values));
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
        assert_int_equal(values[i], i + 1);
    free(interfaces.interfaces);
}

static void without_its_header_the_file_is_refused(void **state)
{
    static const char *const bad[] = {"",      "\n\n",     ("eth0: " SIXTEEN "\n"),
                                      "a|b\n", "a|b\nc\n", "a|b\nc|d"};
    struct host_interfaces interfaces = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct error err = {{0}};

        assert_int_equal(parse(bad[i], &interfaces, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "/proc/net/dev"));
    }
    assert_int_equal(parse("a|b\nc|d\n", &interfaces, NULL), 0);
    free(interfaces.interfaces);
}

static void thousands_of_interfaces_are_parsed_and_found(void **state)
{
    struct host_interfaces interfaces = {0};
    const struct host_interface *found;
    char *text = NULL, name[32];
    size_t length, hint = 0;
    FILE *out = open_memstream(&text, &length);

    (void)state;
    fputs(HEAD, out);
    for (unsigned i = 0; i < 5000; i++)
        fprintf(out, "vnet%u: %u 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", i, i);
    fclose(out);
    assert_int_equal(parse(text, &interfaces, NULL), 0);
    assert_int_equal(interfaces.count, 5000);
    for (unsigned i = 0; i < 5000; i++) {
        string_format(name, sizeof(name), "vnet%u", i);
        found = host_find_interface(&interfaces, name, &hint);
        assert_non_null(found);
        assert_int_equal(found->counters.rx_bytes, i);
        assert_int_equal(hint, i + 1); /* the next one is looked for there first */
    }
    assert_ptr_equal(host_find_interface(&interfaces, "vnet7", &hint), &interfaces.interfaces[7]);
    assert_ptr_equal(host_find_interface(&interfaces, "vnet7", NULL), &interfaces.interfaces[7]);
    hint = SIZE_MAX;
    assert_null(host_find_interface(&interfaces, "vnet", &hint));
    assert_int_equal(parse(HEAD, &interfaces, NULL), 0);
    assert_null(host_find_interface(&interfaces, "vnet7", &hint));
    free(text);
    free(interfaces.interfaces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_end_at_the_last_colon_before_counters),
        cmocka_unit_test(lines_that_are_no_interface_are_left_out),
        cmocka_unit_test(every_counter_is_in_its_place),
        cmocka_unit_test(without_its_header_the_file_is_refused),
        cmocka_unit_test(thousands_of_interfaces_are_parsed_and_found),
    };

    return cmocka_run_group_tests_name("host interfaces", tests, NULL, NULL);
}
