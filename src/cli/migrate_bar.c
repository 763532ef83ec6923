/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov migrate`: the way there, as a line on the terminal or as lines of JSON. */
#include "human.h"
#include "migrate.h"
#include "report_json.h"
#include "utf8.h"

#include <math.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_COLUMNS 80
#define MOST_COLUMNS    200
#define LINE_BYTES      256
/* The rate is a mean that forgets what is longer ago than this. */
#define RATE_SECONDS 3.0

struct migrate_bar {
    char *vm;
    bool is_json, drawn;
    enum migrate_phase phase;
    uint64_t last_bytes;
    double last_s, rate; /* of the phase; bytes a second, NaN: not known yet */
};

struct migrate_bar *migrate_bar_new(const char *vm, enum migrate_show show)
{
    struct migrate_bar *bar;

    if (show == MIGRATE_SHOW_NONE || (show == MIGRATE_SHOW_AUTO && !isatty(STDERR_FILENO)))
        return NULL;
    bar = calloc(1, sizeof(*bar));
    if (bar == NULL)
        return NULL; /* it goes without */
    bar->vm = strdup(vm);
    bar->is_json = show == MIGRATE_SHOW_JSON;
    bar->phase = MIGRATE_PHASES;
    bar->rate = NAN;
    return bar;
}

static void update_rate(struct migrate_bar *bar, const struct migrate_progress *progress)
{
    double elapsed, rate;

    if (bar->phase != progress->phase || progress->done < bar->last_bytes) {
        bar->phase = progress->phase;
        bar->last_bytes = progress->done;
        bar->last_s = progress->phase_s;
        bar->rate = NAN;
        return;
    }
    elapsed = progress->phase_s - bar->last_s;
    if (elapsed <= 0)
        return;
    rate = (double)(progress->done - bar->last_bytes) / elapsed;
    if (isnan(bar->rate))
        bar->rate = rate;
    else
        bar->rate += (rate - bar->rate) * fmin(1, elapsed / RATE_SECONDS);
    bar->last_bytes = progress->done;
    bar->last_s = progress->phase_s;
}

static double seconds_left(const struct migrate_bar *bar, const struct migrate_progress *progress)
{
    if (progress->total <= progress->done || !(bar->rate > 0))
        return NAN;
    return (double)(progress->total - progress->done) / bar->rate;
}

/* ---- lines of JSON ---------------------------------------------------------------------- */

static void print_json(const struct migrate_bar *bar, const struct migrate_progress *progress)
{
    struct json_object *object = json_object_new_object();
    char *line = NULL;

    report_json_add(object, "phase", report_json_text(migrate_phase_name(progress->phase)));
    report_json_add_u64(object, "done", progress->done);
    report_json_add_u64(object, "total", progress->total != 0 ? progress->total : UNKNOWN_U64);
    report_json_add(object, "rate", report_json_number(bar->rate, 1));
    report_json_add(object, "eta_s", report_json_number(seconds_left(bar, progress), 1));
    report_json_add(object, "phase_s", report_json_number(progress->phase_s, 3));
    report_json_add(object, "all_s", report_json_number(progress->all_s, 3));
    report_json_add_u64(object, "bytes_on_line", progress->bytes_on_line);
    if (report_json_line(object, &line) == 0)
        fputs(line, stdout);
    free(line);
    fflush(stdout);
}

/* ---- the line on the terminal -------------------------------------------------------------- */

static size_t terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return DEFAULT_COLUMNS;
    return size.ws_col < MOST_COLUMNS ? size.ws_col : MOST_COLUMNS;
}

static void format_time(double seconds, char *buffer, size_t size)
{
    unsigned whole;

    if (!(seconds >= 0 && seconds < 360000.0)) {
        string_copy(buffer, size, "-");
        return;
    }
    whole = (unsigned)ceil(seconds);
    if (whole >= 3600)
        string_format(buffer, size, "%u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
    else
        string_format(buffer, size, "%u:%02u", whole / 60, whole % 60);
}

static void draw(struct migrate_bar *bar, const struct migrate_progress *progress)
{
    char line[LINE_BYTES], figures[LINE_BYTES / 2] = "", left[16], passed[16];
    const char *phase = migrate_phase_name(progress->phase);

    format_time(progress->all_s, passed, sizeof(passed));
    format_time(seconds_left(bar, progress), left, sizeof(left));
    if (progress->total > 0)
        string_format(figures, sizeof(figures), "  %3.0f%%  %s of %s  %s/s  ETA %s",
                      fmin(100, floor(100 * (double)progress->done / (double)progress->total)),
                      human_memory(progress->done).text, human_memory(progress->total).text,
                      isnan(bar->rate) ? "-" : human_memory((uint64_t)bar->rate).text, left);
    string_format(line, sizeof(line), "%s  %s  %s%s", bar->vm != NULL ? bar->vm : "", passed, phase,
                  figures);
    text_make_one_line(line);
    if (strlen(line) >= terminal_columns())
        string_format(line, sizeof(line), "%s  %s%s", passed, phase, figures);
    if (strlen(line) >= terminal_columns())
        string_format(line, sizeof(line), "%s", phase);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    bar->drawn = true;
}

/* Somebody who sent us to the background wants the terminal for himself. */
static bool in_foreground(void)
{
    pid_t group = tcgetpgrp(STDERR_FILENO);

    return group < 0 || group == getpgrp();
}

void migrate_bar_update(void *context, const struct migrate_progress *progress)
{
    struct migrate_bar *bar = context;

    if (bar == NULL)
        return;
    update_rate(bar, progress);
    if (bar->is_json)
        print_json(bar, progress);
    else if (in_foreground())
        draw(bar, progress);
}

void migrate_bar_clear(struct migrate_bar *bar)
{
    if (bar == NULL || !bar->drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar->drawn = false;
}

void migrate_bar_free(struct migrate_bar *bar)
{
    if (bar == NULL)
        return;
    migrate_bar_clear(bar);
    free(bar->vm);
    free(bar);
}
