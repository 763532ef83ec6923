/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Readings of a host's CPU counters, and what they say of its load. */

#include "setmov/catalog_lines.h"
#include "setmov/catalog_load.h"

#include <errno.h>
#include <math.h>

#define LOAD_NOUN      "load"
#define LOAD_VERSION   1
#define LOAD_MAX_BYTES ((size_t)1 << 20) /* 4096 lines of less than 80 bytes */

void catalog_load_release(struct catalog_load *load)
{
    if (load == NULL)
        return;
    free(load->readings);
    *load = (struct catalog_load){0};
}

/* ---- text ------------------------------------------------------------------------ */

static void parse_reading(struct lines_reader *reader, struct catalog_load *load)
{
    struct catalog_load_reading reading = {0}, *last = NULL;

    lines_read_time(reader, "the time", &reading.time_s);
    lines_read_u64(reader, "busy nanoseconds", &reading.busy_ns);
    lines_read_u64(reader, "nanoseconds in total", &reading.total_ns);
    if (lines_read_line_end(reader) < 0)
        return;
    if (load->count > 0)
        last = &load->readings[load->count - 1];
    if (load->count >= CATALOG_LOAD_MAX)
        lines_read_fail(reader, -EINVAL, "more than %d readings", CATALOG_LOAD_MAX);
    else if (reading.busy_ns > reading.total_ns || reading.total_ns == UNKNOWN_U64)
        lines_read_fail(reader, -EINVAL, "busy for longer than there was time");
    else if (last != NULL && (reading.time_s <= last->time_s || reading.busy_ns < last->busy_ns ||
                              reading.total_ns < last->total_ns))
        lines_read_fail(reader, -EINVAL, "lies before the line above");
    else if (array_reserve(&load->readings, &load->capacity, load->count + 1, sizeof(reading)) < 0)
        lines_read_fail(reader, -ENOMEM, "out of memory");
    else
        load->readings[load->count++] = reading;
}

int catalog_load_parse(struct text text, struct catalog_load *ret_load, struct error *err)
{
    struct catalog_load load = {0};
    struct lines_reader reader;
    struct text key;

    if (lines_read_head(&reader, text, NULL, LOAD_NOUN, LOAD_VERSION, LOAD_MAX_BYTES, err) < 0)
        return reader.rc;
    while (lines_read_next(&reader, &key)) {
        if (text_equals(key, "reading"))
            parse_reading(&reader, &load);
        else
            lines_read_fail(&reader, -EINVAL, "no reading");
    }
    if (reader.rc < 0)
        catalog_load_release(&load);
    else
        *ret_load = load;
    return reader.rc;
}

int catalog_load_encode(const struct catalog_load *load, char **ret_text, size_t *ret_length)
{
    struct lines_writer writer;

    lines_write_head(&writer, LOAD_NOUN, LOAD_VERSION, NULL);
    for (size_t i = 0; i < load->count; i++) {
        lines_write_key(&writer, "reading");
        lines_write_time(&writer, "the time", load->readings[i].time_s);
        lines_write_u64(&writer, load->readings[i].busy_ns);
        lines_write_u64(&writer, load->readings[i].total_ns);
    }
    return lines_write_end(&writer, LOAD_MAX_BYTES, ret_text, ret_length);
}

/* ---- readings ---------------------------------------------------------------------- */

/* Not more than time_s allows: differences of two always fit. */
static bool is_reading(const struct catalog_load_reading *reading)
{
    return reading->time_s >= 0 && reading->time_s <= LINES_TIME_MAX &&
           reading->busy_ns <= reading->total_ns && reading->total_ns != UNKNOWN_U64;
}

/* The first reading of the window that ends with the last one. */
static size_t window_start(const struct catalog_load *load, uint64_t window_s)
{
    int64_t end_s = load->readings[load->count - 1].time_s;
    size_t start = load->count - 1;

    while (start > 0 && (uint64_t)(end_s - load->readings[start].time_s) < window_s)
        start--;
    return start;
}

static void drop_first(struct catalog_load *load, size_t count)
{
    if (count == 0)
        return;
    load->count -= count;
    memmove(load->readings, load->readings + count, load->count * sizeof(*load->readings));
}

int catalog_load_add(struct catalog_load *load, const struct catalog_load_reading *reading,
                     uint64_t window_s)
{
    const struct catalog_load_reading *last;
    int rc;

    if (!is_reading(reading))
        return 0;
    if (load->count > 0) {
        last = &load->readings[load->count - 1];
        if (reading->time_s < last->time_s || reading->busy_ns < last->busy_ns ||
            reading->total_ns < last->total_ns)
            load->count = 0;
        else if (reading->time_s == last->time_s)
            return 0;
    }
    rc = array_reserve(&load->readings, &load->capacity, load->count + 1, sizeof(*reading));
    if (rc < 0)
        return rc;
    load->readings[load->count++] = *reading;
    drop_first(load, window_start(load, window_s));
    if (load->count > CATALOG_LOAD_MAX)
        drop_first(load, load->count - CATALOG_LOAD_MAX);
    return 0;
}

double catalog_load_percent(const struct catalog_load *load, int64_t now_s, uint64_t window_s)
{
    const struct catalog_load_reading *first, *last;
    uint64_t busy_ns, total_ns;

    if (load->count < 2)
        return NAN;
    last = &load->readings[load->count - 1];
    if (now_s > last->time_s && (uint64_t)now_s - (uint64_t)last->time_s > window_s)
        return NAN;
    first = &load->readings[window_start(load, window_s)];
    if (first == last) /* a window of nothing: since the reading before */
        first--;
    busy_ns = last->busy_ns - first->busy_ns;
    total_ns = last->total_ns - first->total_ns;
    if (total_ns == 0)
        return NAN;
    return busy_ns < total_ns ? 100.0 * (double)busy_ns / (double)total_ns : 100.0;
}
