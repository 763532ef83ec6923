/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds collectd value lists on the hot path and dispatches them: one list is
 * used again for all values of a cycle; the identifier's parts are copied with
 * known lengths, nothing is formatted.
 *
 * A gauge that is unknown (NaN) is dispatched as NaN, so that the series is
 * there and says so (RRDs and csv write it as unknown). A counter that is
 * unknown cannot be told in collectd and is left out.
 *
 * Not thread safe: an emitter belongs to one thread.
 */
#ifndef SETMOV_PLUGIN_EMIT_H
#define SETMOV_PLUGIN_EMIT_H

#include "plugin.h"

#include "setmov/base.h"
#include "setmov_identity.h"

#define PLUGIN_NAME "setmov"

/* Text with its length, shorter than DATA_MAX_NAME_LEN. */
struct label {
    const char *text;
    size_t length;
};

#define LABEL_INIT(string)                                                                         \
    {                                                                                              \
        "" string, sizeof(string) - 1                                                              \
    }
#define LABEL(string) ((struct label)LABEL_INIT(string))

struct emitter {
    value_list_t list;
    value_t values[2];
    uint64_t dispatched; /* value lists since the start */
};

/* Begins a cycle: the time and interval that all values carry from now on. */
void emitter_begin(struct emitter *emitter, cdtime_t time, cdtime_t interval);

/* Where the values that follow come from. */
void emitter_source(struct emitter *emitter, const char *host, const char *plugin_instance);

/* Meta data of the values that follow; NULL: none. Stays the caller's. */
void emitter_meta(struct emitter *emitter, meta_data_t *meta);

void emit_gauge(struct emitter *emitter, struct label type, struct label instance, double value);
void emit_gauges(struct emitter *emitter, struct label type, struct label instance, double first,
                 double second);

/* Left out where a counter is UNKNOWN_U64. */
void emit_counter(struct emitter *emitter, struct label type, struct label instance,
                  uint64_t value);
void emit_counters(struct emitter *emitter, struct label type, struct label instance,
                   uint64_t first, uint64_t second);

/* A gauge of bytes; left out where it is UNKNOWN_U64. */
void emit_bytes(struct emitter *emitter, struct label type, struct label instance, uint64_t bytes);

/* The same for the type `memory`, which ends at 2^48: more is unknown. */
void emit_memory(struct emitter *emitter, struct label instance, uint64_t bytes);

/* For types that end at 100: what jitter put above it (or below 0) is put right. */
void emit_percent(struct emitter *emitter, struct label instance, double percent);

/* prefix + name / prefix + number, cut at the room there is. The label points into `buffer`. */
struct label label_join(char buffer[DATA_MAX_NAME_LEN], struct label prefix, struct label name);
struct label label_number(char buffer[DATA_MAX_NAME_LEN], struct label prefix, unsigned number);

#endif
