/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads lines of escaped words with a checksum behind them: the text may be anybody's. */

#include "setmov/catalog_lines.h"
#include "setmov/config.h"
#include "setmov/fingerprint.h"

#include <errno.h>
#include <stdarg.h>

#define CHECKSUM_KEY    "checksum "
#define CHECKSUM_DIGITS 16
#define CHECKSUM_LINE   (sizeof(CHECKSUM_KEY) - 1 + CHECKSUM_DIGITS + 1) /* with its newline */

static int value_of_digit(char c, bool capital)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (capital && c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool hexadecimal(struct text text, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (text_length(text) != CHECKSUM_DIGITS)
        return false;
    for (; text.at < text.end; text.at++) {
        int digit = value_of_digit(*text.at, false);

        if (digit < 0)
            return false;
        value = value << 4 | (uint64_t)digit;
    }
    *ret_value = value;
    return true;
}

/* ---- errors ---------------------------------------------------------------------- */

static int fail(struct lines_reader *reader, int code, const char *text, bool with_line)
{
    const char *what = reader->what != NULL ? reader->what : "";
    const char *colon = reader->what != NULL ? ": " : "";

    if (reader->rc == 0 && with_line)
        reader->rc =
            error_set(reader->err, code, "%s%sline %zu: %s", what, colon, reader->number, text);
    else if (reader->rc == 0)
        reader->rc = error_set(reader->err, code, "%s%s%s", what, colon, text);
    return reader->rc;
}

int lines_read_fail(struct lines_reader *reader, int code, const char *format, ...)
{
    va_list arguments;
    char text[sizeof(reader->err->text)];

    va_start(arguments, format);
    if (vsnprintf(text, sizeof(text), format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    return fail(reader, code, text, true);
}

/* ---- first and last line ----------------------------------------------------------- */

/* The first line tells kind and version; only what is known is looked at any further. */
static int check_first(struct lines_reader *reader, const char *noun, unsigned version)
{
    struct text line = {NULL, NULL}, word;
    char text[160], magic[64];
    uint64_t number;

    string_format(magic, sizeof(magic), "setmov-%s", noun);
    if (!text_next_line(&reader->rest, &line) || !text_next_word(&line, &word) ||
        !text_equals(word, magic) || !text_next_u64(&line, &number) || line.at != line.end) {
        string_format(text, sizeof(text), "this is no %s: its first line is not '%s %u'", noun,
                      magic, version);
        return fail(reader, -EINVAL, text, false);
    }
    if (number != version) {
        string_format(text, sizeof(text), "a %s of version %llu; this program knows %u", noun,
                      (unsigned long long)number, version);
        return fail(reader, -ENOTSUP, text, false);
    }
    reader->number = 1;
    return 0;
}

static int check_last(struct lines_reader *reader, struct text whole)
{
    struct text last = reader->rest;
    uint64_t checksum;

    if (text_length(last) >= CHECKSUM_LINE)
        last.at = last.end - CHECKSUM_LINE;
    if (text_length(last) != CHECKSUM_LINE || last.at[-1] != '\n' || last.end[-1] != '\n' ||
        !text_starts_with(last, CHECKSUM_KEY) ||
        !hexadecimal((struct text){last.at + sizeof(CHECKSUM_KEY) - 1, last.end - 1}, &checksum))
        return fail(reader, -EINVAL, "cut short: the last line is no checksum", false);
    if (checksum != fingerprint_checksum(whole.at, (size_t)(last.at - whole.at)))
        return fail(reader, -EINVAL, "damaged: the checksum in the last line is another", false);
    reader->rest.end = last.at;
    return 0;
}

int lines_read_head(struct lines_reader *reader, struct text text, const char *what,
                    const char *noun, unsigned version, size_t most, struct error *err)
{
    char problem[96];

    *reader = (struct lines_reader){.what = what, .rest = text, .err = err};
    if (text_length(text) > most) {
        string_format(problem, sizeof(problem), "%zu bytes are too many for a %s; at most %zu",
                      text_length(text), noun, most);
        return fail(reader, -EINVAL, problem, false);
    }
    if (check_first(reader, noun, version) == 0)
        check_last(reader, text);
    return reader->rc;
}

/* ---- lines and words ----------------------------------------------------------------- */

/* How much of a word is quoted in a message. */
static int shown(struct text word)
{
    return text_length(word) < 40 ? (int)text_length(word) : 40;
}

bool lines_read_next(struct lines_reader *reader, struct text *ret_key)
{
    if (reader->rc < 0 || !text_next_line(&reader->rest, &reader->line))
        return false;
    reader->number++;
    if (!text_next_word(&reader->line, ret_key)) {
        lines_read_fail(reader, -EINVAL, "an empty line");
        return false;
    }
    return true;
}

void lines_read_key(struct lines_reader *reader, const char *key)
{
    struct text word;

    if (!lines_read_next(reader, &word)) {
        reader->number++;
        lines_read_fail(reader, -EINVAL, "'%s' is missing", key);
    } else if (!text_equals(word, key)) {
        lines_read_fail(reader, -EINVAL, "'%.*s' where '%s' should be", shown(word), word.at, key);
    }
}

void lines_read_word(struct lines_reader *reader, const char *name, struct text *ret_word)
{
    if (reader->rc == 0 && !text_next_word(&reader->line, ret_word))
        lines_read_fail(reader, -EINVAL, "%s is missing", name);
}

/* False: an escape that is none, or a byte that should have been escaped. */
static bool unescape(struct text word, char *ret_string)
{
    for (; word.at < word.end; word.at++) {
        unsigned char c = (unsigned char)*word.at;

        if (c == '%') {
            int high = word.end - word.at > 2 ? value_of_digit(word.at[1], true) : -1;
            int low = high >= 0 ? value_of_digit(word.at[2], true) : -1;

            if (low < 0 || (high == 0 && low == 0))
                return false;
            c = (unsigned char)(high << 4 | low);
            word.at += 2;
        } else if (c <= ' ' || c >= 0x7f) {
            return false;
        }
        *ret_string++ = (char)c;
    }
    *ret_string = '\0';
    return true;
}

void lines_read_string(struct lines_reader *reader, const char *name, size_t most,
                       char **ret_string)
{
    struct text word = {NULL, NULL};
    char *string;

    lines_read_word(reader, name, &word);
    if (reader->rc < 0)
        return;
    if (text_equals(word, "-")) {
        lines_read_fail(reader, -EINVAL, "%s is empty", name);
        return;
    }
    /* Each byte takes three at most, so there is no need to make room for more. */
    string = text_length(word) / 3 <= most ? malloc(text_length(word) + 1) : NULL;
    if (text_length(word) / 3 > most)
        lines_read_fail(reader, -EINVAL, "%s is longer than %zu bytes", name, most);
    else if (string == NULL)
        lines_read_fail(reader, -ENOMEM, "out of memory");
    else if (!unescape(word, string))
        lines_read_fail(reader, -EINVAL, "%s has bytes that are not escaped as they should", name);
    else if (strlen(string) > most)
        lines_read_fail(reader, -EINVAL, "%s is longer than %zu bytes", name, most);
    if (reader->rc < 0)
        free(string);
    else
        *ret_string = string;
}

void lines_read_host(struct lines_reader *reader, const char *name, char **ret_host)
{
    CLEANUP(cleanup_free) char *host = NULL;

    lines_read_string(reader, name, LINES_NAME_MAX, &host);
    if (reader->rc < 0)
        return;
    if (!config_is_name(host)) {
        lines_read_fail(reader, -EINVAL, "%s '%.100s' cannot be a host's name", name, host);
        return;
    }
    *ret_host = host;
    host = NULL;
}

void lines_read_u64(struct lines_reader *reader, const char *name, uint64_t *ret_value)
{
    struct text word = {NULL, NULL};

    lines_read_word(reader, name, &word);
    if (reader->rc == 0 && !text_next_u64(&word, ret_value))
        lines_read_fail(reader, -EINVAL, "%s is no number", name);
}

void lines_read_u64_or_unknown(struct lines_reader *reader, const char *name, uint64_t *ret_value)
{
    struct text word = {NULL, NULL};

    lines_read_word(reader, name, &word);
    if (reader->rc < 0)
        return;
    if (text_equals(word, "-"))
        *ret_value = UNKNOWN_U64;
    else if (!text_next_u64(&word, ret_value))
        lines_read_fail(reader, -EINVAL, "%s is no number", name);
}

void lines_read_checksum(struct lines_reader *reader, const char *name, uint64_t *ret_value)
{
    struct text word = {NULL, NULL};

    lines_read_word(reader, name, &word);
    if (reader->rc == 0 && !hexadecimal(word, ret_value))
        lines_read_fail(reader, -EINVAL, "%s is not %d hexadecimal digits", name, CHECKSUM_DIGITS);
}

void lines_read_time(struct lines_reader *reader, const char *name, int64_t *ret_time_s)
{
    uint64_t value = 0;

    lines_read_u64(reader, name, &value);
    if (reader->rc < 0)
        return;
    if (value > (uint64_t)LINES_TIME_MAX)
        lines_read_fail(reader, -EINVAL, "%s lies behind the year 9999", name);
    else
        *ret_time_s = (int64_t)value;
}

void lines_read_uuid(struct lines_reader *reader, struct uuid *ret_uuid)
{
    struct text word = {NULL, NULL};
    char text[UUID_TEXT_BYTES];

    lines_read_word(reader, "a UUID", &word);
    if (reader->rc == 0 && (!text_copy(word, text, sizeof(text)) || uuid_parse(text, ret_uuid) < 0))
        lines_read_fail(reader, -EINVAL, "'%.*s' is no UUID", shown(word), word.at);
}

int lines_read_line_end(struct lines_reader *reader)
{
    struct text word;

    if (reader->rc == 0 && text_next_word(&reader->line, &word))
        lines_read_fail(reader, -EINVAL, "more words than there should be");
    return reader->rc;
}

int lines_read_end(struct lines_reader *reader)
{
    struct text word;

    if (lines_read_next(reader, &word))
        lines_read_fail(reader, -EINVAL, "more lines than there should be");
    return reader->rc;
}
