/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside history/: librrd, wrapped. All have effects; none is thread-safe. */
#ifndef SETMOV_HISTORY_RRD_CALLS_H
#define SETMOV_HISTORY_RRD_CALLS_H

#include "setmov/history.h"

/* Has a connected rrdcached write out what it holds of the file; 0 without a connection. */
int rrd_call_flush(const char *path, struct error *err);

/*
 * Whether the file can be drawn: it is an RRD with these data sources and an
 * AVERAGE archive. `*ret_extremes`: MIN and MAX too. -EBADMSG says why not.
 */
int rrd_call_inspect(const char *path, const char *const sources[], size_t source_count,
                     bool *ret_extremes, struct error *err);

/*
 * What the averages of the period amount to. `*ret_mean`: of all known values
 * of all data sources, NaN when there is none. `ret_known[i]`: whether
 * sources[i] has a known value.
 */
int rrd_call_survey(const char *path, const char *const sources[], size_t source_count,
                    time_t start, time_t end, double *ret_mean, bool ret_known[],
                    struct error *err);

/* Draws; `*ret_image` is malloc'ed, and has a NUL behind its `*ret_length` bytes. */
int rrd_call_graph(const struct history_strings *arguments, char **ret_image, size_t *ret_length,
                   struct error *err);

#endif
