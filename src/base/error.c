/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors with a message of one line. */

#include "setmov/base.h"

#include <errno.h>
#include <stdarg.h>

/* The old text may be among the arguments, so the new one is made beside it. */
static void replace(struct error *err, const char *format, va_list arguments, const char *tail)
{
    struct error fresh;
    int saved_errno = errno;
    int length = vsnprintf(fresh.text, sizeof(fresh.text), format, arguments);

    if (length < 0)
        length = 0;
    if (tail != NULL && (size_t)length < sizeof(fresh.text))
        string_copy(fresh.text + length, sizeof(fresh.text) - (size_t)length, tail);
    else if (length == 0)
        fresh.text[0] = '\0';
    text_make_one_line(fresh.text); /* messages quote names that a guest or a peer chose */
    string_copy(err->text, sizeof(err->text), fresh.text);
    errno = saved_errno;
}

int error_set(struct error *err, int code, const char *format, ...)
{
    va_list arguments;

    if (err == NULL)
        return code;
    va_start(arguments, format);
    replace(err, format, arguments, NULL);
    va_end(arguments);
    return code;
}

int error_prefix(struct error *err, int code, const char *format, ...)
{
    struct error tail;
    va_list arguments;

    if (err == NULL)
        return code;
    string_format(tail.text, sizeof(tail.text), ": %s", err->text);
    va_start(arguments, format);
    replace(err, format, arguments, tail.text);
    va_end(arguments);
    return code;
}
