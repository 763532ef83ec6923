/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growable lists of strings. */
#include "setmov/history.h"

#include <errno.h>
#include <stdarg.h>

void history_strings_release(struct history_strings *strings)
{
    if (!strings)
        return;
    for (size_t i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
    *strings = (struct history_strings){0};
}

int history_strings_add(struct history_strings *strings, const char *format, ...)
{
    va_list arguments;
    char *item = NULL;
    int length;

    if (array_reserve(&strings->items, &strings->capacity, strings->count + 1,
                      sizeof(*strings->items)) < 0)
        return -ENOMEM;
    va_start(arguments, format);
    length = vasprintf(&item, format, arguments);
    va_end(arguments);
    if (length < 0)
        return -ENOMEM;
    strings->items[strings->count++] = item;
    return 0;
}
