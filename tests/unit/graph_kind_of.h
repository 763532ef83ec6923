/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests, which have included cmocka: a kind of graph by what its files are called. */
#ifndef GRAPH_KIND_OF_H
#define GRAPH_KIND_OF_H

#include "setmov/history.h"

static inline const struct graph_kind *kind_of(enum history_kind subject, const char *suffix)
{
    size_t count;
    const struct graph_kind *kinds = graph_kinds(&count);

    for (size_t i = 0; i < count; i++)
        if (kinds[i].subject == subject && strcmp(kinds[i].suffix, suffix) == 0)
            return &kinds[i];
    fail_msg("no kind %s", suffix);
    return NULL;
}

#endif
