/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of base/: text of doubtful origin, and the hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/base.h"

static void valid_characters_are_decoded(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        uint32_t character;
    } cases[] = {
        {"", 1, 0},
        {"a", 1, 'a'},
        {"\x7f", 1, 0x7f},
        {"\xc2\x80", 2, 0x80},
        {"\xdf\xbf", 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xed\x9f\xbf", 3, 0xd7ff},
        {"\xee\x80\x80", 3, 0xe000},
        {"\xef\xbf\xbd", 3, 0xfffd},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        uint32_t character = UINT32_MAX;

        assert_int_equal(utf8_decode(cases[i].bytes, &character), cases[i].length);
        assert_int_equal(character, cases[i].character);
    }
}

static void malformed_characters_are_none(void **state)
{
    static const char *const cases[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2",
        "\xc2z",
        "\xe0\x9f\xbf",
        "\xe2\x82",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x90\x80",
        "\xf4\x90\x80",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        uint32_t character = 0;

        assert_int_equal(utf8_decode(cases[i], &character), 0);
    }
}

static void unfit_are_controls_and_what_is_not_seen(void **state)
{
    static const uint32_t unfit[] = {
        0,      0x1f,   0x7f,   0x80,   0x9b,   0x9f,   0x061c, 0x200b,
        0x200f, 0x2028, 0x2029, 0x202e, 0x2060, 0x2066, 0x206f, 0xfeff,
    };
    static const uint32_t fit[] = {
        ' ',    '~',    0xa0,   0xe9,   0x061b, 0x061d, 0x200a,  0x2010,
        0x2027, 0x202f, 0x205f, 0x2070, 0xfefe, 0xff00, 0x1f600,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(unfit); i++)
        assert_true(utf8_is_unfit(unfit[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(fit); i++)
        assert_false(utf8_is_unfit(fit[i]));
    assert_true(utf8_is_control(0x85));
    assert_false(utf8_is_control(0x202e));
}

static void names_become_one_line(void **state)
{
    static const struct {
        const char *name, *line;
    } cases[] = {
        {"", ""},
        {"web 1", "web 1"},
        {"a\nb\r\tc\x7f\033[31md", "a b  c  [31md"},
        /* NEL and CSI of C1, and Unicode's own ends of line and paragraph */
        {"a\xc2\x85z\xc2\x9b"
         "31mb\xc2\x80\xc2\x9f",
         "a z 31mb  "},
        {"a\xe2\x80\xa8z\xe2\x80\xa9", "a z "},
        /* as a terminal of 8 bits would take them */
        {"a\x9b"
         "31mb\x85",
         "a?31mb?"},
        {"\xc2\xa0\xc3\xa9\xe3\x82\xab\xf0\x9f\x98\x80",
         "\xc2\xa0\xc3\xa9\xe3\x82\xab\xf0\x9f\x98\x80"},
        {"cut \xe3\x82", "cut ??"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char text[64];

        assert_true(string_copy(text, sizeof(text), cases[i].name));
        text_make_one_line(text);
        assert_string_equal(text, cases[i].line);
    }
}

static void errors_quote_no_control_characters(void **state)
{
    struct error err;

    (void)state;
    error_set(&err, -1, "vm '%s'",
              "a\xc2\x85z\xe2\x80\xa8"
              "b\xc2\x9b"
              "2J");
    assert_string_equal(err.text, "vm 'a z b 2J'");
}

static void hash_is_fnv_1a(void **state)
{
    (void)state;
    /* The values that the authors of FNV publish. */
    assert_int_equal(hash_bytes("", 0), 0x811c9dc5);
    assert_int_equal(hash_bytes("a", 1), 0xe40c292c);
    assert_int_equal(hash_bytes("foobar", 6), 0xbf9cf968);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_characters_are_decoded),
        cmocka_unit_test(malformed_characters_are_none),
        cmocka_unit_test(unfit_are_controls_and_what_is_not_seen),
        cmocka_unit_test(names_become_one_line),
        cmocka_unit_test(errors_quote_no_control_characters),
        cmocka_unit_test(hash_is_fnv_1a),
    };

    return cmocka_run_group_tests_name("base, doubtful text", tests, NULL, NULL);
}
