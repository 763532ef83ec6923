/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `setmov index` says while it works and in the end. */
#include "human.h"
#include "index.h"
#include "report_json.h"
#include "setmov/peers.h"

#include <unistd.h>

struct index_report {
    const struct index_options *options;
    bool lines;                            /* one for each image */
    struct blocks_bar *bar;                /* of the image that is being read, or NULL */
    double begun_s;                        /* when that reading began */
    struct json_object *images, *problems; /* arrays, with --json */
    size_t own_problems;                   /* that neither libvirt's list nor the index had */
    bool has_offering;
    size_t offered_fingerprints, offered_vms;
};

struct index_report *index_report_new(const struct index_options *options)
{
    struct index_report *report = calloc(1, sizeof(*report));

    if (!report)
        return NULL;
    report->options = options;
    report->lines = !options->json && (options->verbose || isatty(STDOUT_FILENO));
    report->images = options->json ? json_object_new_array() : NULL;
    report->problems = options->json ? json_object_new_array() : NULL;
    return report;
}

void index_report_free(struct index_report *report)
{
    if (!report)
        return;
    index_report_pause(report);
    json_object_put(report->images);
    json_object_put(report->problems);
    free(report);
}

void index_report_pause(struct index_report *report)
{
    blocks_bar_free(report->bar);
    report->bar = NULL;
}

void index_report_progress(void *context, const struct fingerprint_progress *progress)
{
    struct index_report *report = context;

    if (report->bar)
        blocks_bar_update(report->bar, progress);
}

/* ---- events ------------------------------------------------------------------------------ */

static const char *result_of(enum catalog_event event)
{
    switch (event) {
    case CATALOG_READ:
        return "read";
    case CATALOG_UNCHANGED:
        return "unchanged";
    case CATALOG_FAILED:
        return "failed";
    case CATALOG_DROPPED:
        return "dropped";
    case CATALOG_SAME:
        return "same";
    case CATALOG_BEGUN:
    case CATALOG_WAITING:
    case CATALOG_PROBLEM:
        break;
    }
    return NULL;
}

static void add_json(struct index_report *report, const struct catalog_report *event,
                     double seconds)
{
    struct json_object *object = json_object_new_object();

    report_json_add(object, "path", report_json_text(event->path));
    report_json_add(object, "result", report_json_text(result_of(event->event)));
    if (event->event == CATALOG_READ) {
        report_json_add_u64(object, "bytes", event->bytes);
        report_json_add(object, "seconds", report_json_share(seconds));
        report_json_add(object, "provisional", json_object_new_boolean(event->provisional));
    }
    if (event->event == CATALOG_FAILED)
        report_json_add(object, "error", report_json_text(event->error->text));
    if (event->event == CATALOG_SAME)
        report_json_add(object, "same_as", report_json_text(event->same_as));
    report_json_append(report->images, object);
}

/* What is wrong with no image in particular. `path` may be "". */
static void tell_problem(struct index_report *report, const char *path, const char *error)
{
    command_error(INDEX_COMMAND, "%s", error);
    if (report->options->json) {
        struct json_object *object = json_object_new_object();

        report_json_add(object, "path", *path ? report_json_text(path) : NULL);
        report_json_add(object, "error", report_json_text(error));
        report_json_append(report->problems, object);
    }
}

void index_report_problem(struct index_report *report, const char *error)
{
    report->own_problems++;
    tell_problem(report, "", error);
}

void index_report_offering(struct index_report *report, const struct peers_offering *offering)
{
    report->has_offering = true;
    report->offered_fingerprints = offering->fingerprints;
    report->offered_vms = offering->vms;
}

static void print_line(const struct catalog_report *event, double seconds)
{
    struct blocks_shown path = blocks_show(event->path);

    switch (event->event) {
    case CATALOG_READ:
        printf("read       %s  (%s in %s%s)\n", path.text, human_memory(event->bytes).text,
               human_latency(seconds).text, event->provisional ? ", provisional" : "");
        break;
    case CATALOG_SAME:
        printf("same       %s  (as %s)\n", path.text, blocks_show(event->same_as).text);
        break;
    case CATALOG_UNCHANGED:
        printf("unchanged  %s\n", path.text);
        break;
    case CATALOG_DROPPED:
        printf("dropped    %s\n", path.text);
        break;
    default:
        return;
    }
    fflush(stdout);
}

static void begin(struct index_report *report, const char *path)
{
    const char *slash = strrchr(path, '/');

    index_report_pause(report);
    report->bar = blocks_bar_new(slash ? slash + 1 : path, report->options->blocks.quiet);
    report->begun_s = clock_monotonic_s();
}

void index_report_event(void *context, const struct catalog_report *event)
{
    struct index_report *report = context;
    double seconds = clock_monotonic_s() - report->begun_s;

    if (event->event == CATALOG_BEGUN) {
        begin(report, event->path);
        return;
    }
    index_report_pause(report);
    if (event->event == CATALOG_WAITING) {
        command_error(INDEX_COMMAND, "note: waiting for whoever is changing index directory %s",
                      event->path);
        return;
    }
    if (event->event == CATALOG_PROBLEM) {
        tell_problem(report, event->path, event->error->text);
        return;
    }
    if (event->event == CATALOG_FAILED)
        command_error(INDEX_COMMAND, "%s", event->error->text);
    if (report->options->json)
        add_json(report, event, seconds);
    else if (report->lines)
        print_line(event, seconds);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void print_summary(const struct catalog_summary *summary, size_t problems)
{
    printf("%zu image%s: %zu read (%s), %zu unchanged, %zu failed; %zu dropped", summary->images,
           summary->images == 1 ? "" : "s", summary->read, human_memory(summary->bytes_read).text,
           summary->unchanged, summary->failed, summary->dropped);
    if (problems > 0)
        printf("; %zu other problem%s", problems, problems == 1 ? "" : "s");
    putchar('\n');
}

static void print_offering(const struct index_report *report)
{
    printf("offered to peers: %zu fingerprint%s, %zu VM%s\n", report->offered_fingerprints,
           report->offered_fingerprints == 1 ? "" : "s", report->offered_vms,
           report->offered_vms == 1 ? "" : "s");
}

static struct json_object *offering_json(const struct index_report *report)
{
    struct json_object *object;

    if (!report->has_offering)
        return NULL;
    object = json_object_new_object();
    report_json_add(object, "fingerprints", json_object_new_uint64(report->offered_fingerprints));
    report_json_add(object, "vms", json_object_new_uint64(report->offered_vms));
    return object;
}

static struct json_object *summary_json(const struct catalog_summary *summary)
{
    struct json_object *object = json_object_new_object();

    report_json_add_u64(object, "images", summary->images);
    report_json_add_u64(object, "read", summary->read);
    report_json_add_u64(object, "bytes_read", summary->bytes_read);
    report_json_add_u64(object, "unchanged", summary->unchanged);
    report_json_add_u64(object, "dropped", summary->dropped);
    report_json_add_u64(object, "failed", summary->failed);
    report_json_add_u64(object, "same", summary->same);
    return object;
}

int index_report_print(struct index_report *report, const struct catalog_images *images,
                       const struct catalog_summary *summary)
{
    size_t problems = summary->problems + images->problem_count + report->own_problems;
    int status = summary->failed + problems > 0 ? STATUS_FAILED : STATUS_OK;
    struct json_object *root;

    for (size_t i = 0; i < images->problem_count; i++)
        tell_problem(report, images->problems[i].path, images->problems[i].error.text);
    if (!report->options->json) {
        print_summary(summary, problems);
        if (report->has_offering)
            print_offering(report);
        return status;
    }
    root = json_object_new_object();
    report_json_add(root, "index", report_json_text(report->options->directory));
    report_json_add(root, "summary", summary_json(summary));
    report_json_add(root, "images", report->images);
    report->images = NULL;
    if (report->options->offers)
        report_json_add(root, "offered", offering_json(report));
    report_json_add(root, "problems", report->problems);
    report->problems = NULL;
    if (report_json_print(INDEX_COMMAND, root) != STATUS_OK)
        return STATUS_FAILED;
    return status;
}
