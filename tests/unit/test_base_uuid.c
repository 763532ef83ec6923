/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UUIDs: text to bytes and back, and what is none. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/base_uuid.h"

#include <errno.h>

#define TEXT "01234567-89ab-cdef-0fed-cba987654321"

static const struct uuid expected = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x0f, 0xed,
                                      0xcb, 0xa9, 0x87, 0x65, 0x43, 0x21}};

static void text_to_bytes_and_back(void **state)
{
    char text[UUID_TEXT_BYTES];
    struct uuid uuid;

    (void)state;
    assert_int_equal(uuid_parse(TEXT, &uuid), 0);
    assert_memory_equal(&uuid, &expected, sizeof(uuid));
    uuid_format(&uuid, text);
    assert_string_equal(text, TEXT);
    assert_int_equal(uuid_parse("01234567-89AB-CDEF-0fed-CBA987654321", &uuid), 0);
    assert_memory_equal(&uuid, &expected, sizeof(uuid));
}

static void refused(const char *text)
{
    struct uuid uuid = expected;
    char *copy = strdup(text); /* of its size, for the sanitizer */

    assert_non_null(copy);
    if (uuid_parse(copy, &uuid) != -EINVAL)
        fail_msg("'%s' is taken for a UUID", text);
    assert_memory_equal(&uuid, &expected, sizeof(uuid));
    free(copy);
}

static void all_else_is_none(void **state)
{
    static const char *const others[] = {
        "0123456789abcdef0fedcba987654321",
        ("{" TEXT "}"),
        (TEXT "\n"),
        (TEXT "0"),
        (" " TEXT),
        "0123456-789ab-cdef-0fed-cba987654321",
        "-1234567-89ab-cdef-0fed-cba987654321",
        "01234567-89ab-cdef-0fedc-ba987654321",
        "01234567 89ab cdef 0fed cba987654321",
        "0x234567-89ab-cdef-0fed-cba987654321",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        refused(others[i]);
    for (size_t length = 0; length < strlen(TEXT); length++) {
        char text[UUID_TEXT_BYTES] = TEXT;

        text[length] = '\0';
        refused(text);
    }
}

/* At each place each byte: digits stand where digits are, hyphens where hyphens are. */
static void no_other_byte_does(void **state)
{
    (void)state;
    for (size_t at = 0; at < strlen(TEXT); at++) {
        for (unsigned byte = 1; byte < 256; byte++) {
            bool is_digit = byte < 128 && strchr("0123456789abcdefABCDEF", (int)byte) != NULL;
            char text[UUID_TEXT_BYTES] = TEXT;
            struct uuid uuid;

            text[at] = (char)byte;
            if (TEXT[at] == '-' ? byte == '-' : is_digit)
                assert_int_equal(uuid_parse(text, &uuid), 0);
            else
                refused(text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_to_bytes_and_back),
        cmocka_unit_test(all_else_is_none),
        cmocka_unit_test(no_other_byte_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
