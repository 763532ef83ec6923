/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov recover`: migrations whose process is gone are undone or finished. */
#include "blocks.h"
#include "configured.h"
#include "logged.h"
#include "report_json.h"
#include "setmov/migrate.h"

#include <errno.h>
#include <unistd.h>

#define COMMAND "recover"

static const struct command_option option_table[] = {
    CONFIGURED_OPTION_ROWS("list", "do nothing, print what waits"),
};

static const struct command_syntax syntax = {
    .name = COMMAND,
    .synopsis = "[OPTION]... [VM]",
    .description =
        "Goes on with migrations that setmov migrate left in the middle, because it was\n"
        "killed or the host went down: a VM that is still here is as before, one that\n"
        "went is cleared away here. What cannot be known is left as it is. VM: a name\n"
        "or a UUID; without it, all of them.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

struct recover_options {
    struct configured_options common;
    const char *vm;
};

struct outcome {
    const struct config *config;
    bool list, json;
    struct json_object *migrations; /* NULL: not wanted, or no memory */
    size_t count;
    int status;
};

/* In the order of enum migrate_recovered. */
static const struct {
    const char *name;
    int priority, status;
} results[] = {
    {"undone", LOG_NOTICE, STATUS_OK},  {"finished", LOG_NOTICE, STATUS_OK},
    {"waits", LOG_INFO, STATUS_OK},     {"unknown", LOG_WARNING, STATUS_FAILED},
    {"failed", LOG_ERR, STATUS_FAILED},
};

static struct json_object *event_json(const struct migrate_recover_event *event)
{
    struct json_object *object = json_object_new_object(), *left = json_object_new_array();

    report_json_add(object, "vm",
                    event->vm_name[0] != '\0' ? report_json_text(event->vm_name) : NULL);
    report_json_add(object, "uuid", report_json_text(event->uuid));
    report_json_add(object, "result", report_json_text(results[event->result].name));
    report_json_add(object, "text", report_json_text(event->text));
    report_json_add(object, "destination", report_json_text(event->destination));
    report_json_add(object, "phase", report_json_text(event->phase));
    report_json_add(object, "begun",
                    event->begun_s != 0 ? json_object_new_int64(event->begun_s) : NULL);
    for (size_t i = 0; i < event->left->count; i++)
        report_json_append(left, report_json_text(event->left->lines[i]));
    report_json_add(object, "left", left);
    return object;
}

static void take_event(void *context, const struct migrate_recover_event *event)
{
    struct outcome *outcome = context;
    char name[512];

    outcome->count++;
    if (results[event->result].status != STATUS_OK)
        outcome->status = results[event->result].status;
    if (outcome->json)
        report_json_append(outcome->migrations, event_json(event));
    if (event->vm_name[0] != '\0')
        string_format(name, sizeof(name), "%s (%s)", event->vm_name, event->uuid);
    else
        string_copy(name, sizeof(name), event->uuid);
    logged_event(outcome->config, results[event->result].priority, outcome->list, outcome->json,
                 name, event->text);
    for (size_t i = 0; i < event->left->count; i++)
        logged_event(outcome->config, LOG_WARNING, outcome->list, outcome->json, name,
                     event->left->lines[i]);
}

static int print_json(struct outcome *outcome)
{
    struct json_object *root = json_object_new_object();

    report_json_add(root, "migrations", outcome->migrations);
    return report_json_print(COMMAND, root);
}

static int run(const struct config *config, const void *context)
{
    const struct recover_options *options = context;
    struct outcome outcome = {.config = config,
                              .list = options->common.look,
                              .json = options->common.json,
                              .migrations = options->common.json ? json_object_new_array() : NULL,
                              .status = STATUS_OK};
    const struct migrate_recover_options how = {.vm = options->vm,
                                                .list = options->common.look,
                                                .stopped = blocks_stopped,
                                                .event = take_event,
                                                .context = &outcome};
    struct error err = {""};
    int rc = migrate_recover(config, &how, &err);

    if (options->common.json && print_json(&outcome) != STATUS_OK)
        outcome.status = STATUS_FAILED;
    if (rc == -ECANCELED) {
        logged_line(config, LOG_WARNING, false, COMMAND ": %s", err.text);
        return blocks_stop_exit(COMMAND);
    }
    if (rc < 0)
        return logged_error(config, COMMAND, err.text);
    if (outcome.count == 0 && !options->common.json)
        printf("no migration waits\n");
    return outcome.status;
}

int command_recover(int argc, char **argv)
{
    struct recover_options options = {.vm = NULL};
    int status = blocks_parse_options(&syntax, argc, argv, configured_take_option, &options.common);

    if (status >= 0)
        return status;
    if (argc - optind > 1)
        return command_usage_error(COMMAND, "unexpected argument '%s'", argv[optind + 1]);
    options.vm = optind < argc ? argv[optind] : NULL;
    return cli_run_configured(COMMAND, options.common.config, run, &options);
}
