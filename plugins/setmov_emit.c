/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds collectd value lists on the hot path: see setmov_emit.h. */
#include "setmov_emit.h"

#include <math.h>

/* The type `memory` of collectd's types.db ends here (2^48). */
#define MEMORY_TYPE_MAX UINT64_C(281474976710656)

static void put_label(char field[DATA_MAX_NAME_LEN], struct label label)
{
    memcpy(field, label.text, label.length);
    field[label.length] = '\0';
}

void emitter_begin(struct emitter *emitter, cdtime_t time, cdtime_t interval)
{
    emitter->list.values = emitter->values;
    emitter->list.time = time;
    emitter->list.interval = interval;
    emitter->list.meta = NULL;
    put_label(emitter->list.plugin, LABEL(PLUGIN_NAME));
}

void emitter_source(struct emitter *emitter, const char *host, const char *plugin_instance)
{
    string_copy(emitter->list.host, sizeof(emitter->list.host), host);
    string_copy(emitter->list.plugin_instance, sizeof(emitter->list.plugin_instance),
                plugin_instance);
}

void emitter_meta(struct emitter *emitter, meta_data_t *meta)
{
    emitter->list.meta = meta;
}

static void dispatch(struct emitter *emitter, struct label type, struct label instance,
                     size_t count)
{
    put_label(emitter->list.type, type);
    put_label(emitter->list.type_instance, instance);
    emitter->list.values_len = count;
    /* Fails only for want of memory, and collectd has logged that then. */
    plugin_dispatch_values(&emitter->list);
    emitter->dispatched++;
}

/* One NaN for all: some writers print the sign of a negative one. */
static double gauge(double value)
{
    return isfinite(value) ? value : NAN;
}

void emit_gauge(struct emitter *emitter, struct label type, struct label instance, double value)
{
    emitter->values[0].gauge = gauge(value);
    dispatch(emitter, type, instance, 1);
}

void emit_gauges(struct emitter *emitter, struct label type, struct label instance, double first,
                 double second)
{
    emitter->values[0].gauge = gauge(first);
    emitter->values[1].gauge = gauge(second);
    dispatch(emitter, type, instance, 2);
}

/* DERIVE is signed in collectd, and a negative one is outside every type used here. */
static bool fits_derive(uint64_t value)
{
    return value <= INT64_MAX;
}

void emit_counter(struct emitter *emitter, struct label type, struct label instance, uint64_t value)
{
    if (!fits_derive(value))
        return;
    emitter->values[0].derive = (derive_t)value;
    dispatch(emitter, type, instance, 1);
}

void emit_counters(struct emitter *emitter, struct label type, struct label instance,
                   uint64_t first, uint64_t second)
{
    if (!fits_derive(first) || !fits_derive(second))
        return;
    emitter->values[0].derive = (derive_t)first;
    emitter->values[1].derive = (derive_t)second;
    dispatch(emitter, type, instance, 2);
}

void emit_bytes(struct emitter *emitter, struct label type, struct label instance, uint64_t bytes)
{
    if (bytes != UNKNOWN_U64)
        emit_gauge(emitter, type, instance, (double)bytes);
}

void emit_memory(struct emitter *emitter, struct label instance, uint64_t bytes)
{
    if (bytes != UNKNOWN_U64)
        emit_gauge(emitter, LABEL("memory"), instance,
                   bytes > MEMORY_TYPE_MAX ? NAN : (double)bytes);
}

void emit_percent(struct emitter *emitter, struct label instance, double percent)
{
    if (percent > 100)
        percent = 100;
    if (percent < 0)
        percent = 0;
    emit_gauge(emitter, LABEL("percent"), instance, percent);
}

struct label label_join(char buffer[DATA_MAX_NAME_LEN], struct label prefix, struct label name)
{
    size_t room = DATA_MAX_NAME_LEN - 1 - prefix.length;
    size_t length = name.length < room ? name.length : room;

    memcpy(buffer, prefix.text, prefix.length);
    memcpy(buffer + prefix.length, name.text, length);
    return (struct label){buffer, prefix.length + length};
}

struct label label_number(char buffer[DATA_MAX_NAME_LEN], struct label prefix, unsigned number)
{
    char digits[10];
    size_t count = 0;

    do {
        digits[sizeof(digits) - ++count] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return label_join(buffer, prefix, (struct label){digits + sizeof(digits) - count, count});
}
