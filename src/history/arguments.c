/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a plan to the arguments of rrd_graph_v.
 *
 * Series number i is read as a<i> (average), n<i> (minimum), x<i> (maximum);
 * a pair of a device has u and d before these for above and below zero. The
 * legend is a table in a fixed-width font: one row a series with minimum,
 * average, maximum and last value. Nothing is interpolated: librrd draws
 * steps, and nothing where the value is unknown.
 */
#include "setmov/history.h"

#include <errno.h>
#include <stdarg.h>

/* Width of the legend's first column, characters. */
#define NAME_COLUMNS 24

static const char *const device_colors[GRAPH_DEVICES_MAX] = {"0072B2", "E69F00", "009E73",
                                                             "CC79A7", "56B4E9", "D55E00"};
/* A single device: its two directions differ instead. */
#define UP_COLOR    "0072B2"
#define DOWN_COLOR  "D55E00"
#define TOTAL_COLOR "000000"
#define TOTAL_FILL  "DADADA"

struct builder {
    struct history_strings *to;
    const struct graph_plan *plan;
    int code; /* first error; later additions do nothing */
};

static void add(struct builder *builder, const char *format, ...) PRINTF_LIKE(2, 3);

static void add(struct builder *builder, const char *format, ...)
{
    CLEANUP(cleanup_free) char *text = NULL;
    va_list arguments;

    if (builder->code < 0)
        return;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
        builder->code = -ENOMEM;
    }
    va_end(arguments);
    if (builder->code == 0)
        builder->code = history_strings_add(builder->to, "%s", text);
}

/* The text, filled up with blanks to NAME_COLUMNS characters, for a legend. */
static void name_column(const char *name, char *buffer, size_t size)
{
    char shown[160];
    size_t columns = 0;

    history_show(name, NAME_COLUMNS, shown, sizeof(shown));
    for (const char *at = shown; *at; at++)
        columns += (*at & 0xc0) != 0x80;
    history_show_legend(name, NAME_COLUMNS, shown, sizeof(shown));
    (void)string_format(buffer, size, "%s%*s", shown, (int)(NAME_COLUMNS - columns), "");
}

/* Width of a number's column in the legend: what "%8.2lf %s" and the unit take. */
static int number_columns(const char *unit)
{
    return 10 + (int)(unit[0] == '%' ? 1 : strlen(unit));
}

/* Points of the legend's font: as large as lets a row of it fit under the graph. */
static double legend_size(const struct graph_kind *kind, unsigned width)
{
    /* Four numbers, each with two blanks before it; a character is 0.8 pixels a point wide. */
    int columns = 4 + NAME_COLUMNS + 4 * (2 + number_columns(kind->unit));
    double size = (width + 60) / (0.81 * columns);

    return size > 8.5 ? 8.5 : size < 5 ? 5 : size;
}

static void add_options(struct builder *builder, const struct graph_frame *frame)
{
    static const char *const look[] = {
        "--font=TITLE:12:DejaVu Sans Bold",
        "--font=AXIS:8:DejaVu Sans",
        "--font=UNIT:9:DejaVu Sans",

        "--font=WATERMARK:7.5:DejaVu Sans",
        "--color=BACK#FFFFFF",
        "--color=CANVAS#FFFFFF",
        "--color=GRID#00000012",
        "--color=MGRID#00000030",
        "--color=FRAME#00000000",
        "--color=AXIS#404040",
        "--color=ARROW#00000000",
        "--color=FONT#202020",
        "--border=0",
        "--grid-dash=1:0",
        "--disable-rrdtool-tag",
    };
    const struct graph_kind *kind = builder->plan->kind;
    char title[256];

    graph_title(builder->plan, title, sizeof(title));
    add(builder, "graph");
    add(builder, "-");
    add(builder, "--imgformat=%s", frame->format);
    add(builder, "--start=%lld", (long long)frame->start);
    add(builder, "--end=%lld", (long long)frame->end);
    add(builder, "--width=%u", frame->width);
    add(builder, "--height=%u", frame->height);
    add(builder, "--title=%s", title);
    add(builder, "--vertical-label=%s", kind->vertical_label);
    add(builder, "--base=%u", kind->base);
    add(builder, "--font=LEGEND:%.1f:DejaVu Sans Mono", legend_size(kind, frame->width));
    for (size_t i = 0; i < ARRAY_LENGTH(look); i++)
        add(builder, "%s", look[i]);
    if (kind->rows)
        add(builder, "--lower-limit=0");
    if (kind->upper_limit > 0) {
        add(builder, "--upper-limit=%g", kind->upper_limit);
        add(builder, "--units-exponent=0");
    }
    if (kind->rigid)
        add(builder, "--rigid");
    if (kind->axis_format)
        add(builder, "--left-axis-format=%s", kind->axis_format);
}

/* DEFs of one data source: average, minimum, maximum as <prefix>a<i>, ...n<i>, ...x<i>. */
static void add_sources(struct builder *builder, const char *prefix, size_t index,
                        const char *source)
{
    const struct graph_series *series = &builder->plan->series[index];
    CLEANUP(cleanup_free) char *path = history_escape_path(series->path);

    if (!path) {
        builder->code = -ENOMEM;
        return;
    }
    add(builder, "DEF:%sa%zu=%s:%s:AVERAGE", prefix, index, path, source);
    add(builder, "DEF:%sn%zu=%s:%s:%s", prefix, index, path, source,
        series->extremes ? "MIN" : "AVERAGE");
    add(builder, "DEF:%sx%zu=%s:%s:%s", prefix, index, path, source,
        series->extremes ? "MAX" : "AVERAGE");
}

static void add_header(struct builder *builder)
{
    static const char *const columns[] = {"min", "avg", "max", "last"};
    int width = number_columns(builder->plan->kind->unit);

    /* librrd puts blanks between the pieces of a row, so they must be pieces here too. */
    add(builder, "COMMENT:  %*s", NAME_COLUMNS, "");
    for (size_t i = 0; i < ARRAY_LENGTH(columns); i++)
        add(builder, "COMMENT:%*s%s", width, columns[i],
            i + 1 == ARRAY_LENGTH(columns) ? "\\l" : "");
}

/* The four numbers of a row of the legend, of <prefix>n<name> and so on. */
static void add_numbers(struct builder *builder, const char *prefix, const char *name,
                        const char *unit, bool unknown)
{
    static const struct {
        char variable;
        const char *function;
    } numbers[] = {{'n', "MIN"}, {'a', "AVERAGE"}, {'x', "MAX"}, {'a', "LAST"}};
    bool plain = unit[0] == '%' || unit[0] == '\0';
    /* A row of a shorter unit than the header's is set right. */
    int usual = number_columns(builder->plan->kind->unit), own = number_columns(unit);
    int pad = usual > own ? usual - own : 0;

    if (unknown) {
        add(builder, "COMMENT:%*s\\l", usual, "unknown");
        return;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        add(builder, "GPRINT:%s%c%s:%s:%*s%s%s%s", prefix, numbers[i].variable, name,
            numbers[i].function, pad, "", plain ? "%10.2lf" : "%8.2lf %s", unit,
            i + 1 == ARRAY_LENGTH(numbers) ? "\\l" : "");
}

static void add_footer(struct builder *builder, const struct graph_frame *frame)
{
    char period[200];

    history_show_legend(frame->period, 100, period, sizeof(period));
    add(builder, "COMMENT: \\l");
    add(builder, "COMMENT:  %s. Gaps\\: unknown.\\l", period);
}

static void add_rows(struct builder *builder)
{
    const struct graph_plan *plan = builder->plan;

    for (size_t i = 0; i < plan->count; i++)
        add_sources(builder, "", i, "value");
    add_header(builder);
    for (size_t i = 0; i < plan->count; i++) {
        const struct graph_row *row = plan->series[i].row;
        char name[400], number[24];

        name_column(row->legend, name, sizeof(name));
        (void)string_format(number, sizeof(number), "%zu", i);
        if (row->style == GRAPH_NUMBER)
            add(builder, "COMMENT:  %s", name);
        else if (row->style == GRAPH_LINE)
            add(builder, "LINE1.25:a%zu#%s:%s", i, row->color, name);
        else
            add(builder, "AREA:a%zu#%s:%s%s", i, row->color, name,
                row->style == GRAPH_STACK && i > 0 ? ":STACK" : "");
        add_numbers(builder, "", number, row->unit ? row->unit : plan->kind->unit,
                    plan->series[i].up_unknown);
    }
}

static bool is_total_series(const struct graph_plan *plan, size_t index)
{
    return plan->kind->pair->total &&
           strcmp(plan->series[index].device, plan->kind->pair->total) == 0;
}

/* One half of a graph of pairs: every device above zero, or every one below. */
static void add_half(struct builder *builder, const char *prefix, const char *drawn,
                     const char *text, const char *single_color)
{
    const struct graph_plan *plan = builder->plan;
    size_t devices = 0;
    bool single = plan->count == 1;

    for (size_t i = 0; i < plan->count; i++) {
        CLEANUP(cleanup_free) char *label = NULL;
        bool total = is_total_series(plan, i);
        const char *color = single  ? single_color
                            : total ? TOTAL_FILL
                                    : device_colors[devices % GRAPH_DEVICES_MAX];
        char name[400], number[24];

        if (plan->series[i].hidden)
            continue;
        if (asprintf(&label, "%-5s %s%s", text, total ? "all " : "",
                     total ? plan->kind->pair->device_text : plan->series[i].device) < 0) {
            label = NULL;
            builder->code = -ENOMEM;
            return;
        }
        name_column(label, name, sizeof(name));
        (void)string_format(number, sizeof(number), "%zu", i);
        if (single || total)
            add(builder, "AREA:%s%sa%zu#%s:%s", drawn, prefix, i, color, name);
        else if (plan->kind->additive)
            add(builder, "AREA:%s%sa%zu#%s:%s%s", drawn, prefix, i, color, name,
                devices > 0 ? ":STACK" : "");
        else
            add(builder, "LINE1.25:%s%sa%zu#%s:%s", drawn, prefix, i, color, name);
        add_numbers(builder, prefix, number, plan->kind->unit,
                    *drawn ? plan->series[i].down_unknown : plan->series[i].up_unknown);
        devices += !total;
    }
}

/*
 * The sum of all devices of one half as a line, where sums mean something and
 * all are there. Its minimum and maximum are of the sum, as drawn.
 */
static void add_sum(struct builder *builder, const char *prefix, const char *drawn,
                    const char *text)
{
    const struct graph_plan *plan = builder->plan;
    CLEANUP(cleanup_free) char *sum = NULL;
    CLEANUP(cleanup_free) char *label = NULL;
    char name[400];
    size_t used = 0, size = plan->count * 40 + 1;
    bool unknown = true;

    sum = malloc(size);
    if (!sum || asprintf(&label, "%-5s all %s", text, plan->kind->pair->device_text) < 0) {
        label = NULL;
        builder->code = -ENOMEM;
        return;
    }
    for (size_t i = 0; i < plan->count; i++) {
        (void)string_format(sum + used, size - used, "%s%sa%zu%s", i ? "," : "", prefix, i,
                            i ? ",ADDNAN" : "");
        used += strlen(sum + used);
    }
    name_column(label, name, sizeof(name));
    add(builder, "CDEF:%sasum=%s", prefix, sum);
    add(builder, "CDEF:%snsum=%sasum", prefix, prefix);
    add(builder, "CDEF:%sxsum=%sasum", prefix, prefix);
    if (*drawn)
        add(builder, "CDEF:%s%sasum=%sasum,-1,*", drawn, prefix, prefix);
    add(builder, "LINE1:%s%sasum#%s:%s", drawn, prefix, TOTAL_COLOR, name);
    for (size_t i = 0; i < plan->count; i++)
        unknown &= *drawn ? plan->series[i].down_unknown : plan->series[i].up_unknown;
    add_numbers(builder, prefix, "sum", plan->kind->unit, unknown);
}

static void add_devices(struct builder *builder)
{
    const struct graph_plan *plan = builder->plan;
    const struct graph_kind *kind = plan->kind;
    bool sums = kind->additive && plan->count > 1 && plan->complete;

    for (size_t i = 0; i < plan->count; i++) {
        add_sources(builder, "u", i, kind->pair->up);
        add_sources(builder, "d", i, kind->pair->down);
        add(builder, "CDEF:mda%zu=da%zu,-1,*", i, i);
    }
    add_header(builder);
    add_half(builder, "u", "", kind->pair->up, UP_COLOR);
    if (sums)
        add_sum(builder, "u", "", kind->pair->up);
    add_half(builder, "d", "m", kind->pair->down, DOWN_COLOR);
    if (sums)
        add_sum(builder, "d", "m", kind->pair->down);
    add(builder, "HRULE:0#404040");
    if (plan->left_out > 0)
        add(builder, "COMMENT:  %zu more %s carried less and are not drawn%s.\\l", plan->left_out,
            kind->pair->device_text, sums ? ", but are in the sum" : "");
    add(builder, "COMMENT:  %s is drawn upwards, %s downwards from zero.\\l", kind->pair->up,
        kind->pair->down);
}

void graph_title(const struct graph_plan *plan, char *buffer, size_t size)
{
    const struct history_subject *subject = plan->subject;
    char name[200], host[100] = "";

    history_show(subject->name, 48, name, sizeof(name));
    if (subject->host)
        history_show(subject->host, 24, host, sizeof(host));
    (void)string_format(buffer, size, "%s %s%s%s: %s",
                        subject->kind == HISTORY_HOST ? "Host" : "VM", name, *host ? " on " : "",
                        host, plan->kind->title);
}

int graph_arguments(const struct graph_plan *plan, const struct graph_frame *frame,
                    struct history_strings *arguments)
{
    struct builder builder = {.to = arguments, .plan = plan};

    add_options(&builder, frame);
    if (plan->kind->rows)
        add_rows(&builder);
    else
        add_devices(&builder);
    add_footer(&builder, frame);
    return builder.code;
}
