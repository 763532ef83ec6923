/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growable lists of strings. Pure. */
#include "vm/lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* The string is the list's from now on, or gone. */
static int take(struct vm_lines *lines, char *string)
{
    if (!string)
        return -ENOMEM;
    if (array_reserve(&lines->lines, &lines->capacity, lines->count + 1, sizeof(*lines->lines)) <
        0) {
        free(string);
        return -ENOMEM;
    }
    lines->lines[lines->count++] = string;
    return 0;
}

int vm_lines_add(struct vm_lines *lines, const char *format, ...)
{
    char *line = NULL;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vasprintf(&line, format, arguments);
    va_end(arguments);
    if (length < 0)
        return -ENOMEM;
    text_make_one_line(line);
    return take(lines, line);
}

int lines_add_exactly(struct vm_lines *lines, const char *string)
{
    return take(lines, strdup(string));
}

bool lines_have(const struct vm_lines *lines, const char *string)
{
    for (size_t i = 0; i < lines->count; i++)
        if (strcmp(lines->lines[i], string) == 0)
            return true;
    return false;
}

int lines_add_once(struct vm_lines *lines, const char *string)
{
    return lines_have(lines, string) ? 0 : lines_add_exactly(lines, string);
}

void vm_lines_release(struct vm_lines *lines)
{
    if (!lines)
        return;
    for (size_t i = 0; i < lines->count; i++)
        free(lines->lines[i]);
    free(lines->lines);
    *lines = (struct vm_lines){NULL, 0, 0};
}
