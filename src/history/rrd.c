/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls to librrd. Nothing else of setmov calls it; it keeps its error
 * message in one place for all, so there is one thread.
 */
#include "rrd_calls.h"

#include <errno.h>
#include <math.h>
#include <rrd.h>
#include <rrd_client.h>
#include <sys/stat.h>

/* What librrd says last, on one line; it is forgotten thereby. */
static void take_message(char *buffer, size_t size)
{
    const char *message = rrd_test_error() ? rrd_get_error() : "unknown error of librrd";

    history_show(message, size, buffer, size);
    rrd_clear_error();
}

static int parse_time(const char *text, const char *what, rrd_time_value_t *ret_time,
                      struct error *err)
{
    char shown[100];

    history_show(text, sizeof(shown), shown, sizeof(shown));
    /* librrd's scanner is not made for more. */
    if (*text == '\0' || strlen(text) > 60 || rrd_parsetime(text, ret_time) != TIME_OK) {
        rrd_clear_error();
        return error_set(
            err, -EINVAL,
            "bad %s time '%s' (like -1h, -2d, \"20261121 02:00\", or seconds since 1970)", what,
            shown);
    }
    return 0;
}

int history_parse_period(const char *start, const char *end, time_t *ret_start, time_t *ret_end,
                         struct error *err)
{
    rrd_time_value_t start_value, end_value;
    time_t from, to;
    int code;

    rrd_clear_error();
    code = parse_time(start, "start", &start_value, err);
    if (code == 0)
        code = parse_time(end, "end", &end_value, err);
    if (code < 0)
        return code;
    if (rrd_proc_start_end(&start_value, &end_value, &from, &to) < 0) {
        char message[200];

        take_message(message, sizeof(message));
        return error_set(err, -EINVAL, "bad period: %s", message);
    }
    /* Below a day after 1970 nothing was measured; in the far future librrd's axis loops. */
    if (from < 86400 || to <= from || to > (time_t)UINT32_MAX)
        return error_set(err, -EINVAL,
                         "bad period: it must begin before it ends, within 1970 to 2106");
    *ret_start = from;
    *ret_end = to;
    return 0;
}

int history_daemon_connect(const char *address, struct error *err)
{
    rrd_clear_error();
    if (rrdc_connect(address) != 0 || !rrdc_is_connected(address)) {
        char message[300];

        take_message(message, sizeof(message));
        return error_set(err, -ECONNREFUSED, "rrdcached: %s", message);
    }
    return 0;
}

void history_daemon_disconnect(void)
{
    rrdc_disconnect();
    rrd_clear_error();
}

int rrd_call_flush(const char *path, struct error *err)
{
    char message[300];

    if (!rrdc_is_any_connected())
        return 0;
    rrd_clear_error();
    if (rrdc_flush(path) == 0)
        return 0;
    take_message(message, sizeof(message));
    return error_set(err, -EIO, "rrdcached did not flush it: %s", message);
}

/* Longest step that is believed: librrd writes beyond its buffers for absurd ones. */
#define STEP_MAX_S (366UL * 86400)

/* Whether `key` is "rra[N].cf". */
static bool is_archive_function(const char *key)
{
    return strncmp(key, "rra[", 4) == 0 && string_ends_with(key, "].cf");
}

int rrd_call_inspect(const char *path, const char *const sources[], size_t source_count,
                     bool *ret_extremes, struct error *err)
{
    bool average = false, minimum = false, maximum = false;
    bool sane = true;
    size_t found = 0;
    rrd_info_t *info;
    struct stat status;
    char message[300];

    if (stat(path, &status) == 0 && status.st_size == 0)
        return error_set(err, -EBADMSG, "is empty");
    rrd_clear_error();
    info = rrd_info_r(path);
    if (!info) {
        take_message(message, sizeof(message));
        return error_set(err, -EBADMSG, "%s", message);
    }
    for (const rrd_info_t *item = info; item; item = item->next) {
        char key[64];

        for (size_t i = 0; i < source_count; i++)
            if (string_format(key, sizeof(key), "ds[%s].index", sources[i]) &&
                strcmp(item->key, key) == 0)
                found++;
        if (item->type == RD_I_CNT && strcmp(item->key, "step") == 0)
            sane = item->value.u_cnt > 0 && item->value.u_cnt <= STEP_MAX_S;
        if (item->type == RD_I_STR && is_archive_function(item->key)) {
            average |= strcmp(item->value.u_str, "AVERAGE") == 0;
            minimum |= strcmp(item->value.u_str, "MIN") == 0;
            maximum |= strcmp(item->value.u_str, "MAX") == 0;
        }
    }
    rrd_info_free(info);
    if (!sane)
        return error_set(err, -EBADMSG, "is damaged: absurd step");
    if (found < source_count)
        return error_set(err, -EBADMSG, "has no data source '%s'", sources[found]);
    if (!average)
        return error_set(err, -EBADMSG, "has no archive of averages");
    *ret_extremes = minimum && maximum;
    return 0;
}

/* Adds up column `column` of fetched rows. Returns how many values are known. */
static size_t sum_column(const rrd_value_t *data, size_t rows, size_t columns, size_t column,
                         double *sum)
{
    size_t known = 0;

    for (size_t row = 0; row < rows; row++) {
        double value = data[row * columns + column];

        if (isnan(value))
            continue;
        *sum += fabs(value);
        known++;
    }
    return known;
}

int rrd_call_survey(const char *path, const char *const sources[], size_t source_count,
                    time_t start, time_t end, double *ret_mean, bool ret_known[], struct error *err)
{
    unsigned long step = 1, columns = 0;
    char **names = NULL;
    rrd_value_t *data = NULL;
    double sum = 0;
    size_t rows, total = 0;
    char message[300];

    rrd_clear_error();
    if (rrd_fetch_r(path, "AVERAGE", &start, &end, &step, &columns, &names, &data) != 0) {
        take_message(message, sizeof(message));
        return error_set(err, -EBADMSG, "%s", message);
    }
    rows = step > 0 && end > start ? (size_t)(end - start) / step : 0;
    for (size_t i = 0; i < source_count; i++)
        ret_known[i] = false;
    for (size_t column = 0; column < columns; column++) {
        size_t known = sum_column(data, rows, columns, column, &sum);

        total += known;
        for (size_t i = 0; i < source_count; i++)
            if (strcmp(names[column], sources[i]) == 0)
                ret_known[i] = known > 0;
        rrd_freemem(names[column]);
    }
    rrd_freemem(names);
    rrd_freemem(data);
    *ret_mean = total > 0 ? sum / (double)total : NAN;
    return 0;
}

int rrd_call_graph(const struct history_strings *arguments, char **ret_image, size_t *ret_length,
                   struct error *err)
{
    rrd_info_t *info;
    char *image = NULL;
    char message[300];

    rrd_clear_error();
    info = rrd_graph_v((int)arguments->count, arguments->items);
    if (!info) {
        take_message(message, sizeof(message));
        return error_set(err, -EIO, "%s", message);
    }
    for (const rrd_info_t *item = info; item; item = item->next) {
        if (image || item->type != RD_I_BLO || strcmp(item->key, "image") != 0)
            continue;
        image = malloc(item->value.u_blo.size + 1);
        if (!image)
            break;
        memcpy(image, item->value.u_blo.ptr, item->value.u_blo.size);
        image[item->value.u_blo.size] = '\0';
        *ret_length = item->value.u_blo.size;
    }
    rrd_info_free(info);
    if (!image)
        return error_set(err, -EIO, "librrd drew no picture");
    *ret_image = image;
    return 0;
}
