/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov graph`: pictures of what collectd has stored. */
#include "command.h"
#include "setmov/history.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEY_RRD = OPTION_KEY_LONG,
    KEY_HOST,
    KEY_VM,
    KEY_START,
    KEY_END,
    KEY_OUT,
    KEY_FORMAT,
    KEY_SIZE,
    KEY_DAEMON,
};

static const struct command_option graph_options[] = {
    {KEY_RRD, "rrd", "DIR", "DataDir of collectd's rrdtool or rrdcached plugin (required)"},
    {KEY_OUT, "out", "DIR", "where the pictures go; made if missing (required)"},
    {KEY_HOST, "host", "NAME", "only this host, and VMs that lie in its directory"},
    {KEY_VM, "vm", "NAME", "only this VM (with --host: beside the host)"},
    {KEY_START, "start", "TIME", "begin: -1h, -2d, seconds since 1970, ... (default -1h)"},
    {KEY_END, "end", "TIME", "end (default now)"},
    {KEY_FORMAT, "format", "FORMAT", "png, svg or both (default both)"},
    {KEY_SIZE, "size", "WxH", "pixels of the plotting area (default 800x260)"},
    {KEY_DAEMON, "daemon", "ADDRESS",
     "rrdcached that shall write out its values first\n(default: $RRDCACHED_ADDRESS, if set)"},
};

static const struct command_syntax graph_syntax = {
    .name = "graph",
    .synopsis = "--rrd DIR --out DIR [OPTION]...",
    .description = "Draws CPU, memory, disk and network of the host and of each VM from the RRD\n"
                   "files that collectd wrote, as PNG and SVG, and prints the files' names.",
    .options = graph_options,
    .option_count = ARRAY_LENGTH(graph_options),
};

struct graph_settings {
    const char *rrd, *out, *host, *vm, *start, *end, *daemon;
    unsigned formats, width, height;
};

static bool parse_formats(const char *text, unsigned *ret_formats)
{
    static const struct {
        const char *name;
        unsigned formats;
    } known[] = {{"png", HISTORY_PNG}, {"svg", HISTORY_SVG}, {"both", HISTORY_PNG | HISTORY_SVG}};

    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        if (strcmp(text, known[i].name) == 0) {
            *ret_formats = known[i].formats;
            return true;
        }
    }
    return false;
}

/* "800x260", each side within what librrd draws and a person can look at. */
static bool parse_size(const char *text, unsigned *ret_width, unsigned *ret_height)
{
    const char *cross = strchr(text, 'x');
    char number[8];
    uint64_t width, height;

    if (!cross || !text_copy(text_of(text, (size_t)(cross - text)), number, sizeof(number)) ||
        parse_u64(number, &width) < 0 || parse_u64(cross + 1, &height) < 0)
        return false;
    if (width < 400 || width > 8000 || height < 100 || height > 4000)
        return false;
    *ret_width = (unsigned)width;
    *ret_height = (unsigned)height;
    return true;
}

/* STATUS_OK, or what the command shall return; -1 after --help. */
static int parse_options(int argc, char **argv, struct graph_settings *settings)
{
    const char *argument, *name = graph_syntax.name;
    int key;

    while ((key = options_next(&graph_syntax, argc, argv, &argument)) >= 0) {
        switch (key) {
        case KEY_RRD:
            settings->rrd = argument;
            break;
        case KEY_OUT:
            settings->out = argument;
            break;
        case KEY_HOST:
            settings->host = argument;
            break;
        case KEY_VM:
            settings->vm = argument;
            break;
        case KEY_START:
            settings->start = argument;
            break;
        case KEY_END:
            settings->end = argument;
            break;
        case KEY_DAEMON:
            settings->daemon = argument;
            break;
        case KEY_FORMAT:
            if (!parse_formats(argument, &settings->formats))
                return command_usage_error(name, "--format %s: must be png, svg or both", argument);
            break;
        case KEY_SIZE:
            if (!parse_size(argument, &settings->width, &settings->height))
                return command_usage_error(
                    name, "--size %s: must be WIDTHxHEIGHT, 400x100 to 8000x4000", argument);
            break;
        }
    }
    if (key == OPTIONS_HELP)
        return -1;
    if (key == OPTIONS_ERROR)
        return STATUS_USAGE;
    if (optind < argc)
        return command_usage_error(name, "unexpected argument '%s'", argv[optind]);
    if (!*settings->rrd || !*settings->out)
        return command_usage_error(name, "%s is missing", *settings->rrd ? "--out" : "--rrd");
    return STATUS_OK;
}

/* "2026-11-21 02:00:00 to 2026-11-21 03:00:00 UTC" */
static void describe_period(time_t start, time_t end, char *buffer, size_t size)
{
    struct tm from, to;
    char first[64] = "?", last[64] = "?";

    if (localtime_r(&start, &from))
        strftime(first, sizeof(first), "%Y-%m-%d %H:%M:%S", &from);
    if (localtime_r(&end, &to))
        strftime(last, sizeof(last), "%Y-%m-%d %H:%M:%S %Z", &to);
    (void)string_format(buffer, size, "%s to %s", first, last);
}

/* Without a choice everything is chosen; with a host, also its VMs unless one is named. */
static bool is_chosen(const struct graph_settings *settings, const struct history_subject *subject)
{
    if (!settings->host && !settings->vm)
        return true;
    if (subject->kind == HISTORY_HOST)
        return settings->host && strcmp(subject->name, settings->host) == 0;
    if (settings->host && subject->host && strcmp(subject->host, settings->host) != 0)
        return false;
    if (settings->vm)
        return strcmp(subject->name, settings->vm) == 0;
    return subject->host != NULL;
}

/* Whether what was asked for by name is there; else the error is printed. */
static bool check_choice(const struct graph_settings *settings, const struct history_list *list)
{
    bool host = !settings->host, vm = !settings->vm;
    char shown[300];

    for (size_t i = 0; i < list->count; i++) {
        const struct history_subject *subject = &list->subjects[i];

        if (!is_chosen(settings, subject))
            continue;
        if (subject->kind == HISTORY_HOST || (subject->host && settings->host))
            host = true;
        if (subject->kind == HISTORY_VM)
            vm = true;
    }
    if (host && vm)
        return true;
    history_show(host ? settings->vm : settings->host, 80, shown, sizeof(shown));
    command_error(graph_syntax.name, "no %s '%s' in %s", host ? "VM" : "host", shown,
                  settings->rrd);
    return false;
}

/* Prints and forgets. Returns how many there were. */
static size_t print_complaints(struct history_strings *complaints)
{
    size_t count = complaints->count;

    for (size_t i = 0; i < count; i++)
        command_error(graph_syntax.name, "%s", complaints->items[i]);
    history_strings_release(complaints);
    return count;
}

/*
 * All graphs of one subject. What concerns only one graph is printed and
 * counted in `*problems`; a negative return ends the command, for the next
 * graph would fail alike.
 */
static int draw_subject(const struct graph_settings *settings,
                        const struct history_subject *subject, const struct graph_frame *frame,
                        size_t *problems, struct error *err)
{
    size_t count;
    const struct graph_kind *kinds = graph_kinds(&count);
    char name[200];

    history_show(subject->name, 60, name, sizeof(name));
    for (size_t i = 0; i < count; i++) {
        CLEANUP(history_strings_release) struct history_strings written = {0};
        CLEANUP(history_strings_release) struct history_strings complaints = {0};
        int code;

        if (kinds[i].subject != subject->kind)
            continue;
        code = history_draw(subject, &kinds[i], frame, settings->formats, settings->out, &written,
                            &complaints, err);
        *problems += print_complaints(&complaints);
        for (size_t j = 0; j < written.count; j++)
            puts(written.items[j]);
        if (code == -ENODATA) {
            *problems += 1; /* the complaints said why */
        } else if (code == -EIO && *err->text) {
            command_error(graph_syntax.name, "%s, %s: %s", name, kinds[i].suffix, err->text);
            *problems += 1;
        } else if (code < 0) {
            return code;
        }
    }
    return 0;
}

static int draw_all(const struct graph_settings *settings, const struct graph_frame *frame)
{
    CLEANUP(history_list_release) struct history_list list = {0};
    CLEANUP(history_strings_release) struct history_strings complaints = {0};
    struct error err = {""};
    size_t problems;

    if (history_scan(settings->rrd, &list, &complaints, &err) < 0) {
        print_complaints(&complaints);
        return command_error(graph_syntax.name, "%s", err.text);
    }
    problems = print_complaints(&complaints);
    if (!check_choice(settings, &list))
        return STATUS_FAILED;
    if (mkdir(settings->out, 0777) < 0 && errno != EEXIST)
        return command_error(graph_syntax.name, "cannot make directory %s: %s", settings->out,
                             strerror(errno));
    for (size_t i = 0; i < list.count; i++) {
        if (is_chosen(settings, &list.subjects[i]) &&
            draw_subject(settings, &list.subjects[i], frame, &problems, &err) < 0)
            return command_error(graph_syntax.name, "%s", err.text);
    }
    return problems ? STATUS_FAILED : STATUS_OK;
}

int command_graph(int argc, char **argv)
{
    struct graph_settings settings = {
        .rrd = "",
        .out = "",
        .start = "-1h",
        .end = "now",
        .daemon = getenv("RRDCACHED_ADDRESS"),
        .formats = HISTORY_PNG | HISTORY_SVG,
        .width = 800,
        .height = 260,
    };
    struct graph_frame frame = {0};
    struct error err = {""};
    char period[160];
    int status = parse_options(argc, argv, &settings);

    if (status != STATUS_OK)
        return status < 0 ? STATUS_OK : status;
    if (history_parse_period(settings.start, settings.end, &frame.start, &frame.end, &err) < 0)
        return command_usage_error(graph_syntax.name, "%s", err.text);
    describe_period(frame.start, frame.end, period, sizeof(period));
    frame.period = period;
    frame.width = settings.width;
    frame.height = settings.height;
    if (settings.daemon && *settings.daemon && history_daemon_connect(settings.daemon, &err) < 0)
        return command_error(graph_syntax.name, "%s", err.text);
    /* rrd_graph would ask the daemon for every value; once written out, the files have them. */
    unsetenv("RRDCACHED_ADDRESS");
    status = draw_all(&settings, &frame);
    history_daemon_disconnect();
    return status;
}
