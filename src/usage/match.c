/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Matching of devices between two samples by name: see match.h. */
#include "match.h"

#include <errno.h>

static const char *name_at(const struct name_matcher *matcher, size_t i)
{
    return matcher->names + i * matcher->stride;
}

static int compare_names(const void *a, const void *b, void *context)
{
    const struct name_matcher *matcher = context;
    return strcmp(name_at(matcher, *(const size_t *)a), name_at(matcher, *(const size_t *)b));
}

static int sort_names(struct name_matcher *matcher)
{
    size_t *sorted = calloc(matcher->count, sizeof(*sorted));
    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < matcher->count; i++)
        sorted[i] = i;
    matcher->sorted = sorted;
    qsort_r(sorted, matcher->count, sizeof(*sorted), compare_names, matcher);
    return 0;
}

/* The only item of that name, or SIZE_MAX. */
static size_t find_sorted(const struct name_matcher *matcher, const char *name)
{
    size_t low = 0;
    size_t high = matcher->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(name_at(matcher, matcher->sorted[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == matcher->count || strcmp(name_at(matcher, matcher->sorted[low]), name) != 0)
        return SIZE_MAX;
    if (low + 1 < matcher->count && strcmp(name_at(matcher, matcher->sorted[low + 1]), name) == 0)
        return SIZE_MAX;
    return matcher->sorted[low];
}

int name_matcher_find(struct name_matcher *matcher, const char *name, size_t *ret_index)
{
    *ret_index = SIZE_MAX;
    if (matcher->count == 0)
        return 0;
    if (matcher->cursor < matcher->count && strcmp(name_at(matcher, matcher->cursor), name) == 0) {
        *ret_index = matcher->cursor++;
        return 0;
    }
    if (!matcher->sorted && sort_names(matcher) < 0)
        return -ENOMEM;
    *ret_index = find_sorted(matcher, name);
    if (*ret_index != SIZE_MAX)
        matcher->cursor = *ret_index + 1;
    return 0;
}

void name_matcher_release(struct name_matcher *matcher)
{
    free(matcher->sorted);
    matcher->sorted = NULL;
}
