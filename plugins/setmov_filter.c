/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VMs and devices are collected: see setmov_filter.h. */
#include <errno.h>
#include <regex.h>

#include "setmov_filter.h"

#include "setmov/vm.h"

struct filter_entry {
    char *text; /* an exact name, or NULL where it is an expression */
    regex_t expression;
};

static int compile(struct filter_entry *entry, const char *pattern, size_t length,
                   struct error *err)
{
    CLEANUP(cleanup_free) char *inner = strndup(pattern + 1, length - 2);
    char why[128];
    int status;

    if (inner == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    status = regcomp(&entry->expression, inner, REG_EXTENDED | REG_NOSUB);
    if (status == 0)
        return 0;
    regerror(status, &entry->expression, why, sizeof(why));
    return error_set(err, -EINVAL, "is not a regular expression: %s", why);
}

int filter_add(struct filter *filter, const char *pattern, struct error *err)
{
    struct filter_entry entry = {0};
    size_t length = strlen(pattern);
    int status;

    if (length == 0)
        return error_set(err, -EINVAL, "is empty");
    status = array_reserve(&filter->entries, &filter->capacity, filter->count + 1, sizeof(entry));
    if (status < 0)
        return error_set(err, status, "out of memory");

    if (length > 2 && pattern[0] == '/' && pattern[length - 1] == '/') {
        status = compile(&entry, pattern, length, err);
        if (status < 0)
            return status;
    } else {
        entry.text = strdup(pattern);
        if (entry.text == NULL)
            return error_set(err, -ENOMEM, "out of memory");
    }
    filter->entries[filter->count++] = entry;
    return 0;
}

bool filter_selects(const struct filter *filter, const char *text)
{
    if (filter->count == 0)
        return true;
    for (size_t i = 0; i < filter->count; i++) {
        const struct filter_entry *entry = &filter->entries[i];
        bool matches = entry->text != NULL ? strcmp(entry->text, text) == 0
                                           : regexec(&entry->expression, text, 0, NULL, 0) == 0;

        if (matches)
            return !filter->ignore_selected;
    }
    return filter->ignore_selected;
}

bool filter_selects_device(const struct filter *filter, const char *vm, const char *device)
{
    char text[VM_NAME_BYTES + VM_PATH_BYTES + 2];

    if (filter->count == 0)
        return true;
    string_format(text, sizeof(text), "%s:%s", vm, device);
    return filter_selects(filter, text);
}

void filter_release(struct filter *filter)
{
    for (size_t i = 0; i < filter->count; i++) {
        if (filter->entries[i].text == NULL)
            regfree(&filter->entries[i].expression);
        free(filter->entries[i].text);
    }
    free(filter->entries);
    memset(filter, 0, sizeof(*filter));
}
