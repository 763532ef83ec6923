/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Load: which readings are kept, what they say, and their text. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sealed_text.h"
#include "setmov/catalog_load.h"

#include <errno.h>
#include <math.h>

#define SECOND UINT64_C(1000000000)
#define WINDOW 300

static void near(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-6))
        fail_msg("%f instead of %f", value, expected);
}

static void add(struct catalog_load *load, int64_t time_s, uint64_t busy_ns, uint64_t total_ns)
{
    const struct catalog_load_reading reading = {time_s, busy_ns, total_ns};

    assert_int_equal(catalog_load_add(load, &reading, WINDOW), 0);
}

/* Four CPUs that are busy to so many percent between readings of a minute. */
static void add_minutes(struct catalog_load *load, size_t minutes, const unsigned *percents)
{
    struct catalog_load_reading now = {0};

    if (load->count > 0)
        now = load->readings[load->count - 1];
    for (size_t i = 0; i < minutes; i++) {
        now.time_s += 60;
        now.busy_ns += percents[i] * 4 * 60 * SECOND / 100;
        now.total_ns += 4 * 60 * SECOND;
        assert_int_equal(catalog_load_add(load, &now, WINDOW), 0);
    }
}

/* ---- what they say ------------------------------------------------------------------- */

static void one_reading_says_nothing(void **state)
{
    struct catalog_load load = {0};

    (void)state;
    assert_true(isnan(catalog_load_percent(&load, 0, WINDOW)));
    add(&load, 100, 1, 10);
    assert_true(isnan(catalog_load_percent(&load, 100, WINDOW)));
    add(&load, 110, 2, 10); /* no time went by */
    assert_true(isnan(catalog_load_percent(&load, 110, WINDOW)));
    add(&load, 120, 3, 20);
    near(catalog_load_percent(&load, 120, WINDOW), 20);
    catalog_load_release(&load);
    catalog_load_release(&load);
    catalog_load_release(NULL);
}

static void the_window_is_what_counts(void **state)
{
    static const unsigned percents[] = {100, 100, 100, 10, 20, 30, 40, 50};
    struct catalog_load load = {0};

    (void)state;
    add(&load, 0, 5, 7);
    add_minutes(&load, 1, percents);
    near(catalog_load_percent(&load, 60, WINDOW), 100);
    add_minutes(&load, 3, percents + 1);
    /* Fewer than five minutes: all that there is. */
    near(catalog_load_percent(&load, 240, WINDOW), 77.5);
    add_minutes(&load, 4, percents + 4);
    near(catalog_load_percent(&load, 480, WINDOW), 30);
    /* A shorter one than readings were kept for. */
    near(catalog_load_percent(&load, 480, 61), 45);
    near(catalog_load_percent(&load, 480, 60), 50);
    near(catalog_load_percent(&load, 480, 0), 50);
    near(catalog_load_percent(&load, 480, UINT64_MAX), 30);
    catalog_load_release(&load);
}

static void what_is_old_says_nothing(void **state)
{
    static const unsigned percents[] = {10, 20};
    struct catalog_load load = {0};

    (void)state;
    add_minutes(&load, 2, percents);
    near(catalog_load_percent(&load, 120 + WINDOW, WINDOW), 20);
    assert_true(isnan(catalog_load_percent(&load, 121 + WINDOW, WINDOW)));
    assert_true(isnan(catalog_load_percent(&load, INT64_MAX, WINDOW)));
    /* The clock went backwards since: the readings are not older for that. */
    near(catalog_load_percent(&load, 0, WINDOW), 20);
    near(catalog_load_percent(&load, INT64_MIN, WINDOW), 20);
    catalog_load_release(&load);
}

/* Counters of a peer need not fit together. */
static void never_more_than_all(void **state)
{
    struct catalog_load load = {0};

    (void)state;
    add(&load, 0, 0, 100);
    add(&load, 10, 90, 110);
    near(catalog_load_percent(&load, 10, WINDOW), 100);
    catalog_load_release(&load);
}

/* ---- which are kept --------------------------------------------------------------------- */

static void only_what_a_window_needs_is_kept(void **state)
{
    struct catalog_load load = {0};

    (void)state;
    for (int64_t time_s = 0; time_s <= 1000; time_s += 70)
        add(&load, time_s, (uint64_t)time_s, (uint64_t)time_s * 2);
    /* 980 is the last, and 630 the youngest that is five minutes older. */
    assert_int_equal(load.count, 6);
    assert_int_equal(load.readings[0].time_s, 630);
    assert_int_equal(load.readings[5].time_s, 980);
    catalog_load_release(&load);
}

static void never_more_than_the_limit(void **state)
{
    struct catalog_load load = {0};

    (void)state;
    for (uint64_t i = 0; i < CATALOG_LOAD_MAX + 10; i++) {
        const struct catalog_load_reading reading = {(int64_t)i, i, i};

        assert_int_equal(catalog_load_add(&load, &reading, UINT64_MAX), 0);
    }
    assert_int_equal(load.count, CATALOG_LOAD_MAX);
    assert_int_equal(load.readings[0].time_s, 10);
    catalog_load_release(&load);
}

static void what_went_backwards_begins_anew(void **state)
{
    static const struct catalog_load_reading others[] = {
        {199, 20, 200}, {300, 9, 200}, {300, 20, 99}, {200, 9, 99}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        struct catalog_load load = {0};

        add(&load, 100, 5, 50);
        add(&load, 200, 10, 100);
        assert_int_equal(catalog_load_add(&load, &others[i], WINDOW), 0);
        assert_int_equal(load.count, 1);
        assert_memory_equal(&load.readings[0], &others[i], sizeof(others[i]));
        catalog_load_release(&load);
    }
}

static void what_says_nothing_is_passed_over(void **state)
{
    static const struct catalog_load_reading others[] = {
        {200, 11, 110},         {300, UNKNOWN_U64, 200},         {300, 11, UNKNOWN_U64},
        {300, 201, 200},        {300, UNKNOWN_U64, UNKNOWN_U64}, {-1, 11, 110},
        {INT64_MAX, 110, 1100},
    };
    struct catalog_load load = {0};

    (void)state;
    add(&load, 100, 5, 50);
    add(&load, 200, 10, 100);
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        assert_int_equal(catalog_load_add(&load, &others[i], WINDOW), 0);
        assert_int_equal(load.count, 2);
        assert_int_equal(load.readings[1].total_ns, 100);
    }
    catalog_load_release(&load);
}

/* ---- text ---------------------------------------------------------------------------------- */

static int parse(struct text text, struct error *err)
{
    struct catalog_load load = {0}, untouched = {0};
    int rc = catalog_load_parse(text, &load, err);

    if (rc == 0)
        catalog_load_release(&load);
    assert_memory_equal(&load, &untouched, sizeof(load));
    return rc;
}

static bool is_taken(struct text text)
{
    return parse(text, NULL) == 0;
}

static void text_and_back(void **state)
{
    char *expected = sealed_text("setmov-load 1\nreading 0 0 1\nreading 1700000000 "
                                 "1234567890123456789 18446744073709551614\n");
    struct catalog_load load, none = {0};
    struct error err = {""};
    char *text;
    size_t length;

    (void)state;
    assert_int_equal(catalog_load_parse(text_of(expected, strlen(expected)), &load, &err), 0);
    assert_int_equal(load.count, 2);
    assert_int_equal(load.readings[1].time_s, 1700000000);
    assert_int_equal(load.readings[1].busy_ns, UINT64_C(1234567890123456789));
    assert_true(load.readings[1].total_ns == UINT64_MAX - 1);
    assert_int_equal(catalog_load_encode(&load, &text, &length), 0);
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
    sealed_text_must_be_whole(text, length, is_taken);
    free(text);
    load.readings[0].time_s = -1;
    assert_int_equal(catalog_load_encode(&load, &text, &length), -EINVAL);
    catalog_load_release(&load);
    assert_int_equal(catalog_load_encode(&none, &text, &length), 0);
    assert_true(is_taken(text_of(text, length)));
    free(text);
    free(expected);
}

static void refused(const char *lines, int code, const char *message)
{
    char *text = sealed_text(lines);
    struct error err = {""};

    assert_int_equal(parse(text_of(text, strlen(text)), &err), code);
    assert_string_equal(err.text, message);
    free(text);
}

static void what_is_refused(void **state)
{
    (void)state;
    refused("setmov-load 3\n", -ENOTSUP, "a load of version 3; this program knows 1");
    refused("load 1\n", -EINVAL, "this is no load: its first line is not 'setmov-load 1'");
    refused("setmov-load 1\nread 1 2 3\n", -EINVAL, "line 2: no reading");
    refused("setmov-load 1\nreading 1 2\n", -EINVAL, "line 2: nanoseconds in total is missing");
    refused("setmov-load 1\nreading 1 2 3 4\n", -EINVAL, "line 2: more words than there should be");
    refused("setmov-load 1\nreading 1 4 3\n", -EINVAL,
            "line 2: busy for longer than there was time");
    refused("setmov-load 1\nreading 1 4 18446744073709551615\n", -EINVAL,
            "line 2: busy for longer than there was time");
    refused("setmov-load 1\nreading 1 2 3\nreading 1 2 3\n", -EINVAL,
            "line 3: lies before the line above");
    refused("setmov-load 1\nreading 1 2 3\nreading 2 1 3\n", -EINVAL,
            "line 3: lies before the line above");
    refused("setmov-load 1\nreading 1 2 3\nreading 2 2 2\n", -EINVAL,
            "line 3: lies before the line above");
}

static void as_many_readings_as_are_kept(void **state)
{
    size_t room = (CATALOG_LOAD_MAX + 2) * 32, at;
    char *lines = malloc(room), *text;

    (void)state;
    assert_non_null(lines);
    string_format(lines, room, "setmov-load 1\n");
    for (unsigned i = 0; i < CATALOG_LOAD_MAX; i++) {
        at = strlen(lines);
        string_format(lines + at, room - at, "reading %u %u %u\n", i, i, i);
    }
    text = sealed_text(lines);
    assert_true(is_taken(text_of(text, strlen(text))));
    at = strlen(lines);
    string_format(lines + at, room - at, "reading 9999 9999 9999\n");
    refused(lines, -EINVAL, "line 4098: more than 4096 readings");
    free(text);
    free(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_reading_says_nothing),
        cmocka_unit_test(the_window_is_what_counts),
        cmocka_unit_test(what_is_old_says_nothing),
        cmocka_unit_test(never_more_than_all),
        cmocka_unit_test(only_what_a_window_needs_is_kept),
        cmocka_unit_test(never_more_than_the_limit),
        cmocka_unit_test(what_went_backwards_begins_anew),
        cmocka_unit_test(what_says_nothing_is_passed_over),
        cmocka_unit_test(text_and_back),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(as_many_readings_as_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
