/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Draws one graph and puts it in its place.
 *
 * librrd trusts the headers of RRD files more than they deserve: a damaged one
 * can crash it. So a child process inspects the files and draws, into unnamed
 * memory files that the parent made, and tells through a pipe, a line each,
 * what it left out. Only the parent touches the output directory, and there
 * only with whole pictures: written beside the final name, then renamed.
 */
#include "rrd_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A graph that takes longer than this is given up. */
#define DRAWING_LIMIT_S 120

struct format {
    unsigned bit;
    const char *name;   /* librrd's */
    const char *ending; /* of the file */
};

static const struct format formats_known[] = {
    {HISTORY_PNG, "PNG", "png"},
    {HISTORY_SVG, "SVG", "svg"},
};

#define FORMAT_COUNT ARRAY_LENGTH(formats_known)

/* What goes from the parent to the child and back. */
struct drawing {
    struct graph_plan plan;
    struct graph_frame frame;
    int pictures[FORMAT_COUNT]; /* memory files; -1: not wanted */
    int complaints;             /* the child's end of the pipe */
};

static int write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

/* ---- in the child ------------------------------------------------------------------- */

static void complain(const struct drawing *drawing, const char *path, const struct error *err)
{
    CLEANUP(cleanup_free) char *line = NULL;
    char shown[300];
    /* librrd names the file in some of its messages; once is enough. */
    const char *text = err->text;
    const char *again = path ? strstr(text, path) : NULL;

    if (again == text || (again == text + 1 && *text == '\'')) {
        text = again + strlen(path);
        text += strspn(text, "': ");
    }
    if (path)
        history_show(path, sizeof(shown), shown, sizeof(shown));
    if (asprintf(&line, "%s%s%s\n", path ? shown : "", path ? ": " : "", text) < 0)
        line = NULL;
    else
        (void)write_all(drawing->complaints, line, strlen(line));
}

/* Learns what the picture must know of one RRD file. A negative return: it cannot be drawn. */
static int inspect_series(const struct drawing *drawing, struct graph_series *series,
                          struct error *err)
{
    const struct graph_pair *devices = drawing->plan.kind->pair;
    const char *const value[] = {"value"};
    const char *const pair[] = {devices ? devices->up : NULL, devices ? devices->down : NULL};
    const char *const *sources = devices ? pair : value;
    size_t count = devices ? ARRAY_LENGTH(pair) : ARRAY_LENGTH(value);
    bool known[ARRAY_LENGTH(pair)] = {false, false};
    int code = rrd_call_inspect(series->path, sources, count, &series->extremes, err);

    if (code == 0)
        code = rrd_call_survey(series->path, sources, count, drawing->frame.start,
                               drawing->frame.end, &series->weight, known, err);
    series->up_unknown = !known[0];
    series->down_unknown = !known[1];
    return code;
}

/* Drops what cannot be drawn. Returns true when something remains. */
static bool inspect(struct drawing *drawing)
{
    struct graph_plan *plan = &drawing->plan;

    for (size_t i = 0; i < plan->count;) {
        const char *path = plan->series[i].path;
        struct error err = {""};

        /* What rrdcached does not write out is drawn as it is. */
        if (rrd_call_flush(path, &err) < 0)
            complain(drawing, path, &err);
        if (inspect_series(drawing, &plan->series[i], &err) < 0) {
            complain(drawing, path, &err);
            graph_plan_drop(plan, i);
        } else {
            i++;
        }
    }
    graph_plan_trim(plan);
    return plan->count > 0;
}

static int draw_format(struct drawing *drawing, const struct format *format, int picture,
                       struct error *err)
{
    CLEANUP(history_strings_release) struct history_strings arguments = {0};
    CLEANUP(cleanup_free) char *image = NULL;
    char title[256];
    size_t length;
    int code;

    drawing->frame.format = format->name;
    if (graph_arguments(&drawing->plan, &drawing->frame, &arguments) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    code = rrd_call_graph(&arguments, &image, &length, err);
    if (code < 0)
        return code;
    if (format->bit == HISTORY_SVG) {
        char *described;

        graph_title(&drawing->plan, title, sizeof(title));
        described = history_describe_svg(image, length, title, drawing->frame.period, &length);
        if (!described)
            return error_set(err, -EIO, "librrd drew no SVG");
        free(image);
        image = described;
    }
    code = write_all(picture, image, length);
    return code < 0 ? error_set(err, code, "picture: %s", strerror(-code)) : 0;
}

/* Exit statuses of the child. */
enum {
    CHILD_DREW = 0,
    CHILD_FAILED = 1,  /* the last complaint says why */
    CHILD_NOTHING = 2, /* no usable RRD file */
};

static int child_main(struct drawing *drawing)
{
    alarm(DRAWING_LIMIT_S);
    if (!inspect(drawing))
        return CHILD_NOTHING;
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        struct error err = {""};

        if (drawing->pictures[i] < 0)
            continue;
        if (draw_format(drawing, &formats_known[i], drawing->pictures[i], &err) < 0) {
            complain(drawing, NULL, &err);
            return CHILD_FAILED;
        }
    }
    return CHILD_DREW;
}

/* ---- in the parent ------------------------------------------------------------------- */

static const char drawing_failed[] = "drawing failed";

/* Takes the child's lines until it is gone. */
static int read_complaints(int fd, struct history_strings *complaints)
{
    FILE *stream = fdopen(fd, "r");
    CLEANUP(cleanup_free) char *line = NULL;
    size_t size = 0;
    ssize_t length;
    int code = 0;

    if (!stream) {
        close(fd);
        return -ENOMEM;
    }
    while ((length = getline(&line, &size, stream)) > 0) {
        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        if (code == 0)
            code = history_strings_add(complaints, "%s", line);
    }
    fclose(stream);
    return code;
}

static int child_result(pid_t child, struct error *err)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, -errno, "waiting for the drawing: %s", strerror(errno));
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return error_set(err, -EIO, "drawing took more than %d s and was given up",
                         DRAWING_LIMIT_S);
    if (WIFSIGNALED(status))
        return error_set(err, -EIO, "librrd crashed (%s); one of the RRD files is damaged",
                         strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == CHILD_NOTHING)
        return error_set(err, -ENODATA, "no usable RRD file");
    if (WEXITSTATUS(status) != CHILD_DREW)
        return error_set(err, -EIO, "%s", drawing_failed);
    return 0;
}

static int run_child(struct drawing *drawing, struct history_strings *complaints, struct error *err)
{
    int ends[2], code, reading;
    size_t before;
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, -errno, "pipe: %s", strerror(errno));
    child = fork();
    if (child < 0) {
        code = -errno;
        close(ends[0]);
        close(ends[1]);
        return error_set(err, code, "fork: %s", strerror(-code));
    }
    if (child == 0) {
        close(ends[0]);
        drawing->complaints = ends[1];
        _exit(child_main(drawing));
    }
    close(ends[1]);
    before = complaints->count;
    reading = read_complaints(ends[0], complaints);
    code = child_result(child, err);
    if (reading < 0)
        return error_set(err, reading, "%s", strerror(-reading));
    /* A child that failed says why in its last line. */
    if (code == -EIO && complaints->count > before && strcmp(err->text, drawing_failed) == 0) {
        char *last = complaints->items[--complaints->count];

        (void)error_set(err, code, "%s", last);
        free(last);
    }
    return code;
}

static int copy_picture(int from, int to)
{
    char bytes[65536];
    off_t offset = 0;
    ssize_t got;

    while ((got = pread(from, bytes, sizeof(bytes), offset)) != 0) {
        int code;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        code = write_all(to, bytes, (size_t)got);
        if (code < 0)
            return code;
        offset += got;
    }
    return 0;
}

/* Opens a new file beside the final one, whose name nobody else has. */
static int open_beside(int directory, char *name, size_t size)
{
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        int fd;

        (void)string_format(name, size, ".setmov-graph-%ld-%u.tmp", (long)getpid(), attempt);
        fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

static int place_picture(int picture, const char *out, const char *name)
{
    CLEANUP(cleanup_close) int directory = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char beside[64];
    int fd, code;

    if (directory < 0)
        return -errno;
    fd = open_beside(directory, beside, sizeof(beside));
    if (fd < 0)
        return fd;
    code = copy_picture(picture, fd);
    if (close(fd) < 0 && code == 0)
        code = -errno;
    if (code == 0 && renameat(directory, beside, directory, name) < 0)
        code = -errno;
    if (code < 0)
        unlinkat(directory, beside, 0);
    return code;
}

static int place_all(const struct drawing *drawing, const char *out,
                     struct history_strings *written, struct error *err)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        char name[256], shown[300];
        int code;

        if (drawing->pictures[i] < 0)
            continue;
        if (!string_format(name, sizeof(name), "%s-%s.%s", drawing->plan.subject->stem,
                           drawing->plan.kind->suffix, formats_known[i].ending))
            return error_set(err, -ENAMETOOLONG, "file name is too long");
        code = place_picture(drawing->pictures[i], out, name);
        if (code == 0)
            code = history_strings_add(written, "%s/%s", out, name);
        if (code < 0) {
            history_show(out, sizeof(shown), shown, sizeof(shown));
            return error_set(err, code, "cannot write %s/%s: %s", shown, name, strerror(-code));
        }
    }
    return 0;
}

int history_draw(const struct history_subject *subject, const struct graph_kind *kind,
                 const struct graph_frame *frame, unsigned formats, const char *out,
                 struct history_strings *written, struct history_strings *complaints,
                 struct error *err)
{
    struct drawing drawing = {.frame = *frame, .complaints = -1};
    int code;

    if (graph_plan_make(kind, subject, &drawing.plan) < 0) {
        graph_plan_release(&drawing.plan);
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (drawing.plan.count == 0) {
        graph_plan_release(&drawing.plan);
        return 0;
    }
    code = 0;
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        drawing.pictures[i] =
            formats & formats_known[i].bit ? memfd_create("setmov-graph", MFD_CLOEXEC) : -1;
        if (formats & formats_known[i].bit && drawing.pictures[i] < 0)
            code = error_set(err, -errno, "memory file: %s", strerror(errno));
    }
    if (code == 0)
        code = run_child(&drawing, complaints, err);
    if (code == 0)
        code = place_all(&drawing, out, written, err);
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        cleanup_close(&drawing.pictures[i]);
    graph_plan_release(&drawing.plan);
    return code;
}
