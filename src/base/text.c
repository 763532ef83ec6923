/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scanning of text that is not terminated, and copying of strings into fixed room. */

#include "setmov/base.h"

#include <stdarg.h>

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline const char *skip_blanks(struct text text)
{
    while (text.at < text.end && is_blank(*text.at))
        text.at++;
    return text.at;
}

bool text_next_line(struct text *text, struct text *ret_line)
{
    const char *line_end;

    if (text->at >= text->end)
        return false;
    line_end = memchr(text->at, '\n', text_length(*text));
    ret_line->at = text->at;
    ret_line->end = line_end != NULL ? line_end : text->end;
    text->at = line_end != NULL ? line_end + 1 : text->end;
    return true;
}

bool text_next_word(struct text *text, struct text *ret_word)
{
    const char *start = skip_blanks(*text), *at = start;

    while (at < text->end && !is_blank(*at))
        at++;
    if (at == start)
        return false;
    *ret_word = (struct text){start, at};
    text->at = at;
    return true;
}

bool text_next_u64(struct text *text, uint64_t *ret_value)
{
    const char *at = skip_blanks(*text), *start = at;
    uint64_t value = 0;

    for (; at < text->end; at++) {
        unsigned digit = (unsigned)(unsigned char)*at - '0';

        if (digit > 9)
            break;
        /* Up to 19 digits always fit. */
        if (at - start < 19)
            value = value * 10 + digit;
        else if (__builtin_mul_overflow(value, 10, &value) ||
                 __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (at == start || (at < text->end && !is_blank(*at)))
        return false;
    text->at = at;
    *ret_value = value;
    return true;
}

bool text_equals(struct text text, const char *string)
{
    size_t length = strlen(string);

    return text_length(text) == length && (length == 0 || memcmp(text.at, string, length) == 0);
}

bool text_starts_with(struct text text, const char *string)
{
    size_t length = strlen(string);

    return text_length(text) >= length && (length == 0 || memcmp(text.at, string, length) == 0);
}

bool text_copy(struct text text, char *buffer, size_t size)
{
    size_t length = text_length(text);
    bool fits = length < size;

    if (!fits)
        length = size - 1;
    if (length > 0)
        memcpy(buffer, text.at, length);
    buffer[length] = '\0';
    return fits;
}

bool string_copy(char *buffer, size_t size, const char *from)
{
    return text_copy(text_of(from, strlen(from)), buffer, size);
}

bool string_ends_with(const char *string, const char *ending)
{
    size_t length = strlen(string), ending_length = strlen(ending);

    return length >= ending_length && strcmp(string + length - ending_length, ending) == 0;
}

bool string_format(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(buffer, size, format, arguments);
    va_end(arguments);
    if (length < 0) {
        buffer[0] = '\0';
        return false;
    }
    return (size_t)length < size;
}
