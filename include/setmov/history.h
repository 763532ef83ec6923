/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage history/: what collectd's rrdtool plugin has stored of the metrics of
 * plugins/setmov.c, and graphs of it.
 *
 * The way: a directory tree -> history_list (what is there) -> graph_plan (one
 * graph of one subject: which RRD files, in which role) -> arguments for
 * librrd's rrd_graph_v -> image -> file. Planning and arguments are pure; the
 * tree, librrd and the files written are not, and say so below.
 *
 * Names of hosts, VMs and devices are bytes that others chose: anything but
 * '/' and NUL. Nothing here is thread-safe, because librrd is not.
 */
#ifndef SETMOV_HISTORY_H
#define SETMOV_HISTORY_H

#include <time.h>

#include "setmov/base.h"

/* ---- lists of strings -------------------------------------------------------- */

struct history_strings {
    char **items; /* malloc'ed; NULL when there was never one */
    size_t count, capacity;
};

void history_strings_release(struct history_strings *strings); /* leaves it zeroed */

/* Appends the formatted string. Returns 0 or -ENOMEM. */
int history_strings_add(struct history_strings *strings, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- what is in the tree --------------------------------------------------------- */

enum history_kind {
    HISTORY_HOST,
    HISTORY_VM,
};

/* One host or VM. */
struct history_subject {
    enum history_kind kind;
    char *name;
    char *host; /* of a VM: the host whose directory holds it; NULL where the tree does not tell */
    char *directory; /* with its RRD files */
    char *stem;      /* name made safe for file names, different for every subject of a list */
    struct history_strings metrics; /* names of the RRD files without ".rrd", sorted */
};

struct history_list {
    struct history_subject *subjects; /* hosts first, then by name, then by host */
    size_t count, capacity;
};

void history_list_release(struct history_list *list); /* leaves it zeroed */

/*
 * Pure. Whether directory `plugin` inside collectd's host directory `host` is
 * setmov's, and whose figures it holds:
 *   HOST/setmov-host  the host HOST
 *   VM/setmov         the VM (HostnameFormat name, uuid)
 *   HOST/setmov-VM    the VM, on HOST (HostnameFormat hostname)
 *   VM/setmov-UUID    the VM; only in a directory without setmov-host
 * setmov-self is the plugin's own health and is nobody's. `*ret_host` is NULL
 * where unknown. The results point into the arguments.
 */
bool history_classify(const char *host, const char *plugin, bool has_host_metrics,
                      enum history_kind *ret_kind, const char **ret_name, const char **ret_host);

/* Pure. Sorts the list and gives every subject its stem. Returns 0 or -ENOMEM. */
int history_list_finish(struct history_list *list);

/*
 * Effects: reads directories. Two levels below `directory` are looked at. A
 * directory that cannot be read adds a line to `complaints` (may be NULL) and
 * is passed over. -ENOENT, -EACCES ... when `directory` itself cannot be read;
 * -ENODATA when it holds nothing of setmov.
 */
int history_scan(const char *directory, struct history_list *ret_list,
                 struct history_strings *complaints, struct error *err);

/* ---- text for places that give some bytes a meaning (pure) ----------------------------- */

/*
 * A name for people: valid UTF-8 without control characters (each bad byte is
 * a '?'), cut with an ellipsis at `columns` characters. Never fails; what does
 * not fit `size` (at least 4) is cut too.
 */
void history_show(const char *name, size_t columns, char *buffer, size_t size);

/* The same where librrd takes backslash and colon for its own: legends and comments. */
void history_show_legend(const char *name, size_t columns, char *buffer, size_t size);

/* A path for DEF:. NULL without memory. */
char *history_escape_path(const char *path);

/* A start for file names: letters, digits, "._+@=-" and UTF-8; no leading '.' or '-'. NULL: no memory. */
char *history_safe_stem(const char *name);

/*
 * The SVG picture with <title> and <desc> as its first elements, which librrd,
 * drawing letters as shapes, leaves out. Malloc'ed; NULL without memory or
 * where `svg` is no SVG. `*ret_length` is without the NUL behind it.
 */
char *history_describe_svg(const char *svg, size_t length, const char *title,
                           const char *description, size_t *ret_length);

/* ---- graphs (pure) ------------------------------------------------------------------- */

enum graph_style {
    GRAPH_AREA,  /* filled from zero */
    GRAPH_STACK, /* filled on top of the one before */
    GRAPH_LINE,
    GRAPH_NUMBER, /* in the legend only */
};

/* A figure of a graph whose figures are known beforehand. */
struct graph_row {
    const char *metric; /* "percent-cpu" */
    const char *legend;
    const char *color; /* RRGGBB or RRGGBBAA */
    enum graph_style style;
    const char *unit; /* NULL: the graph's */
};

/* Figures of two directions that every disk or interface has, drawn up and down from zero. */
struct graph_pair {
    const char *metric_prefix; /* "setmov_disk-" */
    const char *up, *down;     /* data sources */
    const char *device_text;   /* "disks" */
    const char *total;         /* device that is the total of the others; NULL: none */
};

/* A graph: either of `rows`, or of a `pair` for each device. */
struct graph_kind {
    enum history_kind subject;
    const char *suffix; /* of the file name: a word without '-' */
    const char *title;
    const char *vertical_label;
    const char *unit;        /* behind numbers; an SI or IEC prefix comes before it */
    const char *axis_format; /* printf's, with %lf; NULL: librrd's, with SI prefixes */
    unsigned base;           /* 1000 or 1024 */
    double upper_limit; /* the axis reaches it at least, and has no prefixes; 0: as data want */
    bool rigid;         /* nothing can be above the axis */

    const struct graph_row *rows;
    size_t row_count;

    const struct graph_pair *pair;
    bool additive; /* devices do not overlap: stack them and give the sum */
};

/* All kinds of graphs, for hosts and for VMs. */
const struct graph_kind *graph_kinds(size_t *ret_count);

/* One RRD file in a graph. */
struct graph_series {
    char *path;
    const struct graph_row *row;   /* NULL: a device */
    char *device;                  /* NULL: a row */
    bool extremes;                 /* has MIN and MAX beside AVERAGE */
    bool up_unknown, down_unknown; /* nothing known in the period; a row: up_unknown */
    bool hidden;                   /* a device that only counts in the sum of all */
    double weight;                 /* of a device: the more, the sooner drawn; NaN: nothing known */
};

struct graph_plan {
    const struct graph_kind *kind;
    const struct history_subject *subject;
    struct graph_series *series; /* rows in the kind's order; devices by name */
    size_t count, capacity;
    size_t left_out; /* devices that have no lines of their own */
    bool complete;   /* the series are all devices, hidden ones included */
};

void graph_plan_release(struct graph_plan *plan); /* leaves it zeroed */

/* Most devices in one graph: as many as can be told apart. And most in a sum. */
#define GRAPH_DEVICES_MAX 6
#define GRAPH_SUMMED_MAX  64

/* Fills `plan` (zeroed). Its count is 0 where the subject has nothing of this kind. 0 or -ENOMEM. */
int graph_plan_make(const struct graph_kind *kind, const struct history_subject *subject,
                    struct graph_plan *plan);

/* Drops one series; keeps the order of the others. */
void graph_plan_drop(struct graph_plan *plan, size_t index);

/*
 * The total first, then the devices, where they are too many the
 * GRAPH_DEVICES_MAX heaviest. The rest is counted, and hidden where a sum
 * wants it (the kind is additive and they are at most GRAPH_SUMMED_MAX), else
 * dropped.
 */
void graph_plan_trim(struct graph_plan *plan);

/* What a picture shows, whatever its subject. */
struct graph_frame {
    time_t start, end;
    unsigned width, height; /* of the plotting area, pixels */
    const char *period;     /* start and end for a person */
    const char *format;     /* "PNG" or "SVG" */
};

/*
 * The arguments of rrd_graph_v that draw the plan (count > 0) into memory.
 * Returns 0 or -ENOMEM; `arguments` may then be partly filled.
 */
int graph_arguments(const struct graph_plan *plan, const struct graph_frame *frame,
                    struct history_strings *arguments);

/* "web01: CPU", for title and description. */
void graph_title(const struct graph_plan *plan, char *buffer, size_t size);

/* ---- librrd (effects) --------------------------------------------------------------------- */

/*
 * rrdtool's at-style times ("-1h", "now", "20261121 02:00", seconds since
 * 1970), relative to now. -EINVAL names the bad one.
 */
int history_parse_period(const char *start, const char *end, time_t *ret_start, time_t *ret_end,
                         struct error *err);

/*
 * The mean of all known averages of the data source "value", in the period; NaN
 * when there is none. Effects: librrd in a child process, for at most 5 s, so
 * this is no call for a process with threads. -ENOENT, -EBADMSG, -EIO.
 */
int history_mean(const char *path, time_t start, time_t end, double *ret_mean, struct error *err);

/* Connects to rrdcached at `address`, so that history_draw() has it write out what it draws. */
int history_daemon_connect(const char *address, struct error *err);
void history_daemon_disconnect(void);

enum {
    HISTORY_PNG = 1 << 0,
    HISTORY_SVG = 1 << 1,
};

/*
 * Draws one graph of one subject into <out>/<stem>-<suffix>.png and .svg, as
 * `formats` says; frame->format is ignored. Pictures appear whole or not at
 * all. librrd runs in a child process, because damaged RRD files can crash it.
 *
 * Each file written is added to `written`; an RRD file that cannot be used is
 * left out of the picture and gets a line in `complaints` (not NULL). Returns 0 (also
 * when the subject has nothing of this kind), -ENODATA when no RRD file of the
 * graph could be used (the complaints say why), -EIO when drawing failed, or
 * what went wrong with the files in `out`.
 */
int history_draw(const struct history_subject *subject, const struct graph_kind *kind,
                 const struct graph_frame *frame, unsigned formats, const char *out,
                 struct history_strings *written, struct history_strings *complaints,
                 struct error *err);

#endif
