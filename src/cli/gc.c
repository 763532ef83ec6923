/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov gc`: removes what migrations left behind. */
#include "blocks.h"
#include "configured.h"
#include "logged.h"
#include "report_json.h"
#include "setmov/peers_gc.h"

#include <errno.h>
#include <unistd.h>

#define COMMAND "gc"

static const struct command_option option_table[] = {
    CONFIGURED_OPTION_ROWS("dry-run", "remove nothing, print what would be removed"),
};

static const struct command_syntax syntax = {
    .name = COMMAND,
    .synopsis = "[OPTION]...",
    .description = "Removes disk images that were made for VMs which never arrived, where their\n"
                   "lease is over and no domain uses them; old images of VMs that left, when they\n"
                   "have expired or take too much space; plans and parts of migrations that are\n"
                   "over; requests that have expired; and what writers that were killed left\n"
                   "unfinished.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

struct outcome {
    const struct config *config;
    const struct configured_options *options;
    struct json_object *images; /* NULL: not wanted, or no memory */
};

/* In the order of enum peers_gc_result. */
static const struct {
    const char *name;
    int priority;
} results[] = {
    {"removed", LOG_NOTICE}, {"released", LOG_NOTICE}, {"kept", LOG_INFO}, {"failed", LOG_ERR}};

static void take_event(void *context, const struct peers_gc_event *event)
{
    const struct outcome *outcome = context;
    const char *what = event->path != NULL ? event->path : event->lease;
    struct json_object *object;

    logged_event(outcome->config, results[event->result].priority, outcome->options->look,
                 outcome->options->json, what, event->text);
    if (!outcome->options->json)
        return;
    object = json_object_new_object();
    report_json_add(object, "lease", report_json_text(event->lease));
    report_json_add(object, "path", report_json_text(event->path));
    report_json_add(object, "old", json_object_new_boolean(event->is_old));
    report_json_add(object, "result", report_json_text(results[event->result].name));
    report_json_add_u64(object, "bytes", event->bytes);
    report_json_add(object, "text", report_json_text(event->text));
    report_json_append(outcome->images, object);
}

static int print_json(const struct outcome *outcome, const struct peers_gc_summary *summary)
{
    struct json_object *root = json_object_new_object();

    report_json_add(root, "dry_run", json_object_new_boolean(outcome->options->look));
    report_json_add(root, "images", outcome->images);
    report_json_add_u64(root, "incoming", summary->incoming);
    report_json_add_u64(root, "requests", summary->requests);
    report_json_add_u64(root, "temporary", summary->temporary);
    return report_json_print(COMMAND, root);
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* One line at the end; to the log only where something was done. */
static void print_summary(const struct outcome *outcome, const struct peers_gc_summary *summary)
{
    bool dry_run = outcome->options->look;
    char line[512];

    string_format(line, sizeof(line),
                  "%s %zu image%s, %zu old image%s, %zu lease%s alone, %zu file%s of migrations, "
                  "%zu expired request%s, %zu unfinished file%s; kept %zu image%s",
                  dry_run ? "would remove" : "removed", summary->images, plural(summary->images),
                  summary->old_images, plural(summary->old_images), summary->leases,
                  plural(summary->leases), summary->incoming, plural(summary->incoming),
                  summary->requests, plural(summary->requests), summary->temporary,
                  plural(summary->temporary), summary->kept, plural(summary->kept));
    if (dry_run || summary->images + summary->old_images + summary->leases + summary->incoming +
                           summary->requests + summary->temporary ==
                       0)
        puts(line);
    else
        logged_line(outcome->config, LOG_INFO, true, "%s", line);
}

static int run(const struct config *config, const void *context)
{
    const struct configured_options *options = context;
    struct outcome outcome = {config, options, options->json ? json_object_new_array() : NULL};
    const struct peers_gc_options how = {.dry_run = options->look,
                                         .stopped = blocks_stopped,
                                         .event = take_event,
                                         .context = &outcome};
    struct peers_gc_summary summary;
    struct error err = {""};
    int rc = peers_gc(config, &how, &summary, &err), status = STATUS_OK;

    if (options->json)
        status = print_json(&outcome, &summary);
    else if (rc != -EBUSY)
        print_summary(&outcome, &summary);
    if (rc == -ECANCELED)
        return blocks_stop_exit(COMMAND);
    if (rc == -EBUSY) {
        if (!options->json)
            printf("%s\n", err.text);
        return status;
    }
    if (rc < 0)
        return logged_error(config, COMMAND, err.text);
    return summary.failed > 0 ? STATUS_FAILED : status;
}

int command_gc(int argc, char **argv)
{
    struct configured_options options = {.config = NULL};
    int status = blocks_parse_options(&syntax, argc, argv, configured_take_option, &options);

    if (status >= 0)
        return status;
    if (optind < argc)
        return command_usage_error(COMMAND, "unexpected argument '%s'", argv[optind]);
    return cli_run_configured(COMMAND, options.config, run, &options);
}
