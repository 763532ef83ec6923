/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The progress bar of commands that read images (see blocks.h). */
#include "blocks.h"
#include "human.h"
#include "utf8.h"

#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_COLUMNS 80
#define MOST_COLUMNS    200
/* What stands behind the label: "1234M of 1234M  1234M/s  ETA 12:34:56  100%". */
#define FIGURES_BYTES 96
/* The rate is a mean that forgets what is longer ago than this. */
#define RATE_SECONDS 3.0

struct blocks_bar {
    char *label;
    double start_s, last_s, rate; /* bytes a second; NaN: not known yet */
    uint64_t last_bytes;
    bool drawn;
};

struct blocks_bar *blocks_bar_new(const char *label, bool quiet)
{
    struct blocks_bar *bar;

    if (quiet || !isatty(STDERR_FILENO))
        return NULL;
    bar = calloc(1, sizeof(*bar));
    if (!bar)
        return NULL; /* it goes without */
    bar->label = strdup(label);
    bar->start_s = bar->last_s = clock_monotonic_s();
    bar->rate = NAN;
    return bar;
}

/* Somebody who sent us to the background wants the terminal for himself. */
static bool in_foreground(void)
{
    pid_t group = tcgetpgrp(STDERR_FILENO);
    return group < 0 || group == getpgrp();
}

static size_t terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return DEFAULT_COLUMNS;
    return size.ws_col < MOST_COLUMNS ? size.ws_col : MOST_COLUMNS;
}

/* The mean since the start at first, then of the last seconds. */
static void update_rate(struct blocks_bar *bar, uint64_t bytes)
{
    double now = clock_monotonic_s(), elapsed = now - bar->last_s, rate;

    if (elapsed <= 0)
        return;
    rate = bytes > bar->last_bytes ? (double)(bytes - bar->last_bytes) / elapsed : 0;
    if (isnan(bar->rate))
        bar->rate = rate;
    else
        bar->rate += (rate - bar->rate) * fmin(1, elapsed / fmin(now - bar->start_s, RATE_SECONDS));
    bar->last_s = now;
    bar->last_bytes = bytes;
}

/*
 * All data there will be: what is known, and as dense behind it. What is known
 * and not yet done lies, for the most part, right behind the offset.
 */
static double expected_bytes(const struct fingerprint_progress *progress)
{
    double known = (double)progress->bytes_known, size = (double)progress->virtual_size;
    double reach = (double)progress->offset + known - (double)progress->bytes_done;

    return reach > 0 && reach < size ? known * (size / reach) : known;
}

/* "1:02:03", "2:03"; "-" for what is not known or not worth waiting for. */
static void format_time_left(double seconds, char *buffer, size_t size)
{
    if (!(seconds >= 0 && seconds < 360000.0)) {
        string_copy(buffer, size, "-");
        return;
    }
    unsigned whole = (unsigned)ceil(seconds);
    if (whole >= 3600)
        string_format(buffer, size, "%u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
    else
        string_format(buffer, size, "%u:%02u", whole / 60, whole % 60);
}

static void format_figures(const struct blocks_bar *bar,
                           const struct fingerprint_progress *progress, char *buffer, size_t size)
{
    double expected = fmax(expected_bytes(progress), (double)progress->bytes_done);
    double left = expected - (double)progress->bytes_done;
    double percent = expected > 0 ? 100 * (double)progress->bytes_done / expected : 0;
    char time_left[16];

    if (progress->finishing > 0) {
        string_format(buffer, size, "sorting %3.0f%%", floor(100 * progress->finishing));
        return;
    }
    format_time_left(bar->rate > 0 ? left / bar->rate : NAN, time_left, sizeof(time_left));
    string_format(buffer, size, "%3.0f%%  %s of %s  %s/s  ETA %s", floor(percent),
                  human_memory(progress->bytes_done).text,
                  human_memory(expected < 1e18 ? (uint64_t)expected : UNKNOWN_U64).text,
                  isnan(bar->rate) ? "-" : human_memory((uint64_t)bar->rate).text, time_left);
}

void blocks_bar_update(void *context, const struct fingerprint_progress *progress)
{
    struct blocks_bar *bar = context;
    char figures[FIGURES_BYTES], label[MOST_COLUMNS * 4 + 1] = "";
    size_t columns, figures_columns;

    if (!bar)
        return;
    update_rate(bar, progress->bytes_done);
    if (!in_foreground())
        return;
    format_figures(bar, progress, figures, sizeof(figures));
    /* The last column stays free: a terminal may wrap behind it. */
    columns = terminal_columns() - 1;
    figures_columns = strlen(figures);
    if (columns > figures_columns + 2) {
        size_t room = columns - figures_columns - 2;
        size_t wanted = bar->label ? strlen(bar->label) : 0;
        utf8_column(bar->label ? bar->label : "", (unsigned)(wanted < room ? wanted : room), label,
                    sizeof(label));
    }
    fprintf(stderr, "\r%s%s%.*s\033[K", label, label[0] ? "  " : "", (int)columns, figures);
    fflush(stderr);
    bar->drawn = true;
}

void blocks_bar_free(struct blocks_bar *bar)
{
    if (!bar)
        return;
    if (bar->drawn && in_foreground())
        fprintf(stderr, "\r\033[K");
    free(bar->label);
    free(bar);
}
