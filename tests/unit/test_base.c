/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holds the contract of setmov/base.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/base.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static struct text text_from(const char *string)
{
    return text_of(string, strlen(string));
}

/* ---- errors ---- */

static void error_set_formats_and_returns_the_code(void **state)
{
    struct error err = {"old"};

    (void)state;
    errno = 77;
    assert_int_equal(error_set(&err, -EBADMSG, "%s: line %d", "file", 7), -EBADMSG);
    assert_string_equal(err.text, "file: line 7");
    assert_int_equal(errno, 77);
    assert_int_equal(error_set(NULL, -EIO, "nobody listens"), -EIO);
}

static void error_prefix_keeps_the_message(void **state)
{
    struct error err;

    (void)state;
    error_set(&err, -1, "cannot open it");
    assert_int_equal(error_prefix(&err, -ENOENT, "host %s", "a"), -ENOENT);
    assert_string_equal(err.text, "host a: cannot open it");
    error_set(&err, -1, "again: %s", err.text);
    assert_string_equal(err.text, "again: host a: cannot open it");
    assert_int_equal(error_prefix(NULL, -EIO, "nobody"), -EIO);
}

static void error_messages_are_one_line_and_are_cut_to_fit(void **state)
{
    char huge[4 * sizeof(((struct error *)0)->text)];
    struct error err;

    (void)state;
    error_set(&err, -1, "vm \"%s\"", "a\nb\033[31m\x7f\tc");
    assert_string_equal(err.text, "vm \"a b [31m  c\"");
    memset(huge, 'x', sizeof(huge));
    huge[sizeof(huge) - 1] = '\0';
    error_set(&err, -1, "%s", huge);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    error_prefix(&err, -1, "%s", huge);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

/* ---- arrays ---- */

static void array_reserve_grows_and_keeps_the_items(void **state)
{
    uint64_t *numbers = NULL;
    size_t capacity = 0, changes = 0;

    (void)state;
    for (size_t i = 0; i < 10000; i++) {
        size_t before = capacity;

        assert_int_equal(array_reserve(&numbers, &capacity, i + 1, sizeof(*numbers)), 0);
        changes += capacity != before;
        assert_true(capacity > i);
        numbers[i] = i * 3;
    }
    assert_true(changes < 40);
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(numbers[i], i * 3);
    free(numbers);
}

static void array_reserve_refuses_sizes_that_overflow(void **state)
{
    CLEANUP(cleanup_free) uint64_t *numbers = NULL;
    size_t capacity = 0;
    uint64_t *before;

    (void)state;
    assert_int_equal(array_reserve(&numbers, &capacity, 4, sizeof(*numbers)), 0);
    before = numbers;
    assert_int_equal(array_reserve(&numbers, &capacity, SIZE_MAX, sizeof(*numbers)), -EOVERFLOW);
    assert_int_equal(array_reserve(&numbers, &capacity, SIZE_MAX / 8, 8), -EOVERFLOW);
    assert_ptr_equal(numbers, before);
    assert_true(capacity >= 4 && capacity < 1000);
}

/* ---- scanning ---- */

static void lines_end_at_newlines_and_at_the_end(void **state)
{
    struct text text = text_from("one\n\ntwo"), line;

    (void)state;
    assert_true(text_next_line(&text, &line));
    assert_true(text_equals(line, "one"));
    assert_true(text_next_line(&text, &line));
    assert_true(text_equals(line, ""));
    assert_true(text_next_line(&text, &line));
    assert_true(text_equals(line, "two"));
    assert_false(text_next_line(&text, &line));
    text = text_of(NULL, 0);
    assert_false(text_next_line(&text, &line));
}

static void words_are_separated_by_blanks(void **state)
{
    struct text text = text_from(" \tone two:\t3 "), word;

    (void)state;
    assert_true(text_next_word(&text, &word));
    assert_true(text_equals(word, "one"));
    assert_true(text_starts_with(word, "on"));
    assert_false(text_starts_with(word, "one "));
    assert_true(text_next_word(&text, &word));
    assert_true(text_equals(word, "two:"));
    assert_true(text_next_word(&text, &word));
    assert_true(text_equals(word, "3"));
    assert_false(text_next_word(&text, &word));
    assert_true(text_equals(text, " "));
}

static void numbers_are_taken_only_whole(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "-1",
                                      "+1",
                                      "x",
                                      "12x",
                                      "1.5",
                                      "18446744073709551616",
                                      "99999999999999999999999",
                                      "184467440737095516150",
                                      "0x10"};
    struct text text = text_from(" 0 18446744073709551615\t00000000000000000000000007");
    uint64_t value;

    (void)state;
    assert_true(text_next_u64(&text, &value));
    assert_int_equal(value, 0);
    assert_true(text_next_u64(&text, &value));
    assert_true(value == UINT64_MAX);
    assert_true(text_next_u64(&text, &value));
    assert_int_equal(value, 7);
    assert_false(text_next_u64(&text, &value));
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        value = 42;
        text = text_from(bad[i]);
        assert_false(text_next_u64(&text, &value));
        assert_int_equal(value, 42);
        assert_ptr_equal(text.at, bad[i]);
    }
}

static void copies_are_terminated_and_say_whether_they_fitted(void **state)
{
    char buffer[4];

    (void)state;
    assert_true(string_copy(buffer, sizeof(buffer), "abc"));
    assert_string_equal(buffer, "abc");
    assert_false(string_copy(buffer, sizeof(buffer), "abcd"));
    assert_string_equal(buffer, "abc");
    assert_true(text_copy(text_of("xyz", 2), buffer, sizeof(buffer)));
    assert_string_equal(buffer, "xy");
    assert_false(text_copy(text_of("xyz", 1), buffer, 1));
    assert_string_equal(buffer, "");
    assert_true(string_format(buffer, sizeof(buffer), "%d", 123));
    assert_string_equal(buffer, "123");
    assert_false(string_format(buffer, sizeof(buffer), "%d", 1234));
    assert_string_equal(buffer, "123");
}

static void endings_are_at_the_end(void **state)
{
    (void)state;
    assert_true(string_ends_with("a.fingerprint", ".fingerprint"));
    assert_true(string_ends_with(".fingerprint", ".fingerprint"));
    assert_true(string_ends_with("a", ""));
    assert_true(string_ends_with("", ""));
    assert_false(string_ends_with("a.fingerprint2", ".fingerprint"));
    assert_false(string_ends_with("fingerprint", ".fingerprint"));
    assert_false(string_ends_with("", "a"));
}

static void parse_double_takes_finite_decimals_only(void **state)
{
    static const char *const bad[] = {"",     " 1",  "1 ", "inf", "nan",
                                      "0x10", "1,5", "e5", "--1", "1e"};
    double value = 42;

    (void)state;
    assert_int_equal(parse_double("-1.5e3", &value), 0);
    assert_true(value == -1500);
    assert_int_equal(parse_double("0.25", &value), 0);
    assert_true(value == 0.25);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(parse_double(bad[i], &value), -EINVAL);
    assert_int_equal(parse_double("1e999", &value), -ERANGE);
    assert_true(value == 0.25);
}

static void parse_double_knows_no_locale(void **state)
{
    static const char *const comma_locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE",
                                                "pt_BR.UTF-8"};
    double value = 0;
    size_t i = 0;

    (void)state;
    while (i < ARRAY_LENGTH(comma_locales) && setlocale(LC_NUMERIC, comma_locales[i]) == NULL)
        i++;
    if (i == ARRAY_LENGTH(comma_locales)) {
        print_message("no locale with a decimal comma is installed\n");
        skip();
    }
    assert_int_equal(parse_double("1.5", &value), 0);
    assert_true(value == 1.5);
    setlocale(LC_NUMERIC, "C");
}

static void parse_u64_takes_whole_numbers_only(void **state)
{
    static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "0x1", "1.0"};
    uint64_t value = 42;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(parse_u64(bad[i], &value), -EINVAL);
    assert_int_equal(parse_u64("18446744073709551616", &value), -ERANGE);
    assert_int_equal(value, 42);
    assert_int_equal(parse_u64("18446744073709551615", &value), 0);
    assert_true(value == UINT64_MAX);
}

/* ---- files ---- */

struct scratch {
    char path[64];
    int directory;
};

static int make_scratch(void **state)
{
    struct scratch *scratch = calloc(1, sizeof(*scratch));

    string_copy(scratch->path, sizeof(scratch->path), "/tmp/setmov-base-XXXXXX");
    if (mkdtemp(scratch->path) == NULL)
        return -1;
    scratch->directory = open(scratch->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    *state = scratch;
    return scratch->directory < 0 ? -1 : 0;
}

static int remove_scratch(void **state)
{
    struct scratch *scratch = *state;

    unlinkat(scratch->directory, "file", 0);
    unlinkat(scratch->directory, "fifo", 0);
    close(scratch->directory);
    rmdir(scratch->path);
    free(scratch);
    return 0;
}

static void write_file(const struct scratch *scratch, const char *bytes, size_t length)
{
    int fd = openat(scratch->directory, "file", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

static void file_read_reads_all_and_uses_the_memory_again(void **state)
{
    const struct scratch *scratch = *state;
    struct file_buffer buffer = {0};
    char big[100001];

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)('a' + i % 26);
    write_file(scratch, big, sizeof(big));
    assert_int_equal(file_read(scratch->directory, "file", &buffer), 0);
    assert_int_equal(buffer.length, sizeof(big));
    assert_memory_equal(buffer.bytes, big, sizeof(big));
    assert_int_equal(buffer.bytes[buffer.length], 0);
    write_file(scratch, "x", 1);
    assert_int_equal(file_read(scratch->directory, "file", &buffer), 0);
    assert_string_equal(buffer.bytes, "x");
    assert_true(buffer.capacity > sizeof(big));
    write_file(scratch, "", 0);
    assert_int_equal(file_read(scratch->directory, "file", &buffer), 0);
    assert_int_equal(buffer.length, 0);
    assert_string_equal(buffer.bytes, "");
    file_buffer_release(&buffer);
    assert_null(buffer.bytes);
    file_buffer_release(&buffer);
    file_buffer_release(NULL);
}

static void file_read_reads_files_of_proc(void **state)
{
    struct file_buffer buffer = {0};

    (void)state;
    assert_int_equal(file_read(AT_FDCWD, "/proc/self/status", &buffer), 0);
    assert_true(text_starts_with(text_of(buffer.bytes, buffer.length), "Name:"));
    file_buffer_release(&buffer);
}

static void file_read_refuses_what_is_no_file(void **state)
{
    const struct scratch *scratch = *state;
    struct file_buffer buffer = {0};

    write_file(scratch, "x", 1);
    assert_int_equal(file_read(scratch->directory, "file", &buffer), 0);
    assert_int_equal(file_read(scratch->directory, "none", &buffer), -ENOENT);
    assert_int_equal(buffer.length, 0);
    assert_int_equal(file_read(scratch->directory, ".", &buffer), -EISDIR);
    assert_int_equal(mkfifoat(scratch->directory, "fifo", 0600), 0);
    assert_int_equal(file_read(scratch->directory, "fifo", &buffer), -EINVAL);
    assert_int_equal(file_read(AT_FDCWD, "/dev/zero", &buffer), -EINVAL);
    assert_int_equal(buffer.length, 0);
    file_buffer_release(&buffer);
}

static void file_read_refuses_more_than_64_mib(void **state)
{
    const struct scratch *scratch = *state;
    struct file_buffer buffer = {0};
    int fd;

    write_file(scratch, "", 0);
    fd = openat(scratch->directory, "file", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, (64 << 20) + 1), 0);
    assert_int_equal(file_read(scratch->directory, "file", &buffer), -EFBIG);
    assert_int_equal(buffer.length, 0);
    assert_int_equal(ftruncate(fd, 64 << 20), 0);
    assert_int_equal(file_read(scratch->directory, "file", &buffer), 0);
    assert_int_equal(buffer.length, 64 << 20);
    close(fd);
    file_buffer_release(&buffer);
}

static void cleanup_close_keeps_errno(void **state)
{
    int none = -1;

    (void)state;
    errno = 5;
    cleanup_close(&none);
    {
        CLEANUP(cleanup_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        none = fd;
        errno = 6;
    }
    assert_int_equal(errno, 6);
    assert_int_equal(fcntl(none, F_GETFD), -1);
}

static void the_clock_does_not_run_backwards(void **state)
{
    double before = clock_monotonic_s();

    (void)state;
    assert_true(before > 0);
    assert_true(clock_monotonic_s() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_set_formats_and_returns_the_code),
        cmocka_unit_test(error_prefix_keeps_the_message),
        cmocka_unit_test(error_messages_are_one_line_and_are_cut_to_fit),
        cmocka_unit_test(array_reserve_grows_and_keeps_the_items),
        cmocka_unit_test(array_reserve_refuses_sizes_that_overflow),
        cmocka_unit_test(lines_end_at_newlines_and_at_the_end),
        cmocka_unit_test(words_are_separated_by_blanks),
        cmocka_unit_test(numbers_are_taken_only_whole),
        cmocka_unit_test(copies_are_terminated_and_say_whether_they_fitted),
        cmocka_unit_test(endings_are_at_the_end),
        cmocka_unit_test(parse_double_takes_finite_decimals_only),
        cmocka_unit_test(parse_double_knows_no_locale),
        cmocka_unit_test(parse_u64_takes_whole_numbers_only),
        cmocka_unit_test_setup_teardown(file_read_reads_all_and_uses_the_memory_again, make_scratch,
                                        remove_scratch),
        cmocka_unit_test(file_read_reads_files_of_proc),
        cmocka_unit_test_setup_teardown(file_read_refuses_what_is_no_file, make_scratch,
                                        remove_scratch),
        cmocka_unit_test_setup_teardown(file_read_refuses_more_than_64_mib, make_scratch,
                                        remove_scratch),
        cmocka_unit_test(cleanup_close_keeps_errno),
        cmocka_unit_test(the_clock_does_not_run_backwards),
    };

    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
