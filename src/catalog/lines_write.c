/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes lines of escaped words, with a checksum behind them. */

#include "setmov/catalog_lines.h"
#include "setmov/config.h"
#include "setmov/fingerprint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

static void put(struct lines_writer *writer, const char *bytes, size_t length)
{
    if (writer->rc < 0)
        return;
    if (array_reserve(&writer->bytes, &writer->capacity, writer->length + length, 1) < 0) {
        lines_write_fail(writer, -ENOMEM, "out of memory");
        return;
    }
    memcpy(writer->bytes + writer->length, bytes, length);
    writer->length += length;
}

static void put_string(struct lines_writer *writer, const char *string)
{
    put(writer, string, strlen(string));
}

void lines_write_fail(struct lines_writer *writer, int code, const char *format, ...)
{
    va_list arguments;
    char text[sizeof(writer->err->text)];

    if (writer->rc < 0)
        return;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof(text), format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    writer->rc = error_set(writer->err, code, "%s", text);
}

void lines_write_head(struct lines_writer *writer, const char *noun, unsigned version,
                      struct error *err)
{
    *writer = (struct lines_writer){.err = err};
    put_string(writer, "setmov-");
    put_string(writer, noun);
    lines_write_u64(writer, version);
}

void lines_write_key(struct lines_writer *writer, const char *key)
{
    put(writer, "\n", 1);
    put_string(writer, key);
}

void lines_write_word(struct lines_writer *writer, const char *word)
{
    put(writer, " ", 1);
    put_string(writer, word);
}

void lines_write_string(struct lines_writer *writer, const char *name, const char *string,
                        size_t most)
{
    size_t length = string != NULL ? strlen(string) : 0;

    if (length == 0 || length > most) {
        lines_write_fail(writer, -EINVAL, "%s is %s: %zu bytes, of 1 to %zu", name,
                         length == 0 ? "empty" : "too long", length, most);
        return;
    }
    put(writer, " ", 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)string[i];
        char escaped[4];

        /* "-" alone stands for what is not known. */
        if (c > ' ' && c < 0x7f && c != '%' && !(c == '-' && length == 1)) {
            put(writer, string + i, 1);
            continue;
        }
        string_format(escaped, sizeof(escaped), "%%%02X", c);
        put(writer, escaped, 3);
    }
}

bool lines_path_is_plain(const char *path)
{
    if (path == NULL || path[0] != '/' || path[strlen(path) - 1] == '/')
        return false;
    for (const char *at = path; *at != '\0';) {
        size_t slashes = strspn(at, "/"), name = strcspn(at + slashes, "/");

        at += slashes;
        if ((name == 1 && at[0] == '.') || (name == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += name;
    }
    return true;
}

void lines_write_host(struct lines_writer *writer, const char *name, const char *host)
{
    if (host == NULL || !config_is_name(host))
        lines_write_fail(writer, -EINVAL, "%s '%.100s' cannot be a host's name", name,
                         host != NULL ? host : "");
    else
        lines_write_word(writer, host);
}

void lines_write_u64(struct lines_writer *writer, uint64_t value)
{
    char text[24];

    string_format(text, sizeof(text), "%" PRIu64, value);
    lines_write_word(writer, value != UNKNOWN_U64 ? text : "-");
}

void lines_write_checksum(struct lines_writer *writer, uint64_t value)
{
    char text[24];

    string_format(text, sizeof(text), "%016" PRIx64, value);
    lines_write_word(writer, text);
}

void lines_write_time(struct lines_writer *writer, const char *name, int64_t time_s)
{
    if (time_s < 0 || time_s > LINES_TIME_MAX)
        lines_write_fail(writer, -EINVAL, "%s is no time: %" PRId64, name, time_s);
    else
        lines_write_u64(writer, (uint64_t)time_s);
}

void lines_write_uuid(struct lines_writer *writer, const struct uuid *uuid)
{
    char text[UUID_TEXT_BYTES];

    uuid_format(uuid, text);
    lines_write_word(writer, text);
}

int lines_write_end(struct lines_writer *writer, size_t most, char **ret_text, size_t *ret_length)
{
    uint64_t checksum = 0;

    put(writer, "\n", 1);
    if (writer->rc == 0)
        checksum = fingerprint_checksum(writer->bytes, writer->length);
    put_string(writer, "checksum");
    lines_write_checksum(writer, checksum);
    put(writer, "\n", 2); /* with the NUL, for who looks at it as a string */
    if (writer->rc == 0 && writer->length - 1 > most)
        lines_write_fail(writer, -EINVAL, "%zu bytes are more than the %zu that can be read back",
                         writer->length - 1, most);
    if (writer->rc < 0) {
        free(writer->bytes);
        return writer->rc;
    }
    *ret_text = writer->bytes;
    *ret_length = writer->length - 1;
    return 0;
}
