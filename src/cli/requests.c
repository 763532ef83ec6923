/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov requests`: moves that a hook asked for, sent on or carried out. */
#include "blocks.h"
#include "configured.h"
#include "human.h"
#include "logged.h"
#include "report_json.h"
#include "setmov/migrate.h"
#include "setmov/peers_requests.h"

#include <errno.h>
#include <unistd.h>

#define COMMAND "requests"

static const struct command_option option_table[] = {
    CONFIGURED_OPTION_ROWS("list", "do nothing, print what waits"),
};

static const struct command_syntax syntax = {
    .name = COMMAND,
    .synopsis = "[OPTION]...",
    .description = "Carries out what hooks with policy = redirect asked for: a VM whose migration\n"
                   "was refused by one host is moved to a better one. Requests for VMs of other\n"
                   "hosts are sent on to these. Made to be started by a timer.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

/* What the events need, and come to. */
struct outcome {
    const struct config *config;
    bool list, json;
    struct json_object *requests; /* NULL: not wanted, or no memory */
    int status;
};

/* In the order of enum peers_request_result. */
static const struct {
    const char *name;
    int priority, status;
} results[] = {
    {"waits", LOG_INFO, STATUS_OK},       {"forwarded", LOG_NOTICE, STATUS_OK},
    {"moved", LOG_NOTICE, STATUS_OK},     {"failed", LOG_ERR, STATUS_FAILED},
    {"kept", LOG_WARNING, STATUS_FAILED}, {"dropped", LOG_WARNING, STATUS_OK},
};

static struct json_object *event_json(const struct peers_request_event *event)
{
    const struct catalog_request *request = event->request;
    struct json_object *object = json_object_new_object();
    char uuid[UUID_TEXT_BYTES];

    report_json_add(object, "file", report_json_text(event->file));
    report_json_add(object, "result", report_json_text(results[event->result].name));
    report_json_add(object, "text", report_json_text(event->text));
    if (request == NULL)
        return object;
    uuid_format(&request->vm, uuid);
    report_json_add(object, "vm", report_json_text(request->vm_name));
    report_json_add(object, "uuid", report_json_text(uuid));
    report_json_add(object, "holder", report_json_text(request->holder));
    report_json_add(object, "refuser", report_json_text(request->refuser));
    report_json_add(object, "target", report_json_text(request->target));
    report_json_add_u64(object, "refuser_bytes", request->refuser_bytes);
    report_json_add_u64(object, "target_bytes", request->target_bytes);
    report_json_add(object, "made", json_object_new_int64(request->made_s));
    report_json_add(object, "expires", json_object_new_int64(request->expires_s));
    return object;
}

static void take_event(void *context, const struct peers_request_event *event)
{
    struct outcome *outcome = context;
    char uuid[UUID_TEXT_BYTES], name[512];

    if (results[event->result].status != STATUS_OK)
        outcome->status = results[event->result].status;
    if (outcome->json)
        report_json_append(outcome->requests, event_json(event));
    if (event->request == NULL) {
        string_copy(name, sizeof(name), event->file);
    } else {
        uuid_format(&event->request->vm, uuid);
        string_format(name, sizeof(name), "%s (%s)", event->request->vm_name, uuid);
    }
    logged_event(outcome->config, results[event->result].priority, outcome->list, outcome->json,
                 name, event->text);
}

/* ---- moving --------------------------------------------------------------------------------- */

struct moving {
    const struct config *config;
    const char *vm;
    bool (*stopped)(void *context);
    void *context;
    bool to_stdout;
};

static void take_note(void *context, const char *line)
{
    const struct moving *moving = context;

    logged_line(moving->config, LOG_INFO, moving->to_stdout, "%s: %s", moving->vm, line);
}

static bool ask_stopped(void *context)
{
    const struct moving *moving = context;

    return moving->stopped(moving->context);
}

static int move(void *context, const struct uuid *vm, const struct config_host *host,
                bool (*stopped)(void *context), void *stopped_context, char *ret_text, size_t size,
                struct error *err)
{
    const struct outcome *outcome = context;
    char uuid[UUID_TEXT_BYTES];
    struct moving moving = {.config = outcome->config,
                            .vm = uuid,
                            .stopped = stopped,
                            .context = stopped_context,
                            .to_stdout = !outcome->json};
    const struct migrate_options options = {.vm = uuid,
                                            .to = host->name,
                                            .note = take_note,
                                            .stopped = ask_stopped,
                                            .context = &moving};
    struct migrate_summary summary;
    int rc;

    uuid_format(vm, uuid);
    rc = migrate_run(outcome->config, &options, &summary, err);
    if (rc == 0)
        string_format(ret_text, size, "%s sent of disks of %s, and %s of memory",
                      human_memory(summary.wire_bytes).text,
                      human_memory(summary.copy_storage_all_bytes).text,
                      human_memory(summary.memory_bytes).text);
    for (size_t i = 0; i < summary.left.count; i++)
        logged_line(outcome->config, LOG_WARNING, !outcome->json, "%s: left: %s", uuid,
                    summary.left.lines[i]);
    migrate_summary_release(&summary);
    return rc;
}

/* ---- the command ------------------------------------------------------------------------------ */

static int print_json(struct outcome *outcome)
{
    struct json_object *root = json_object_new_object();

    report_json_add(root, "requests", outcome->requests);
    return report_json_print(COMMAND, root);
}

static int run(const struct config *config, const void *context)
{
    const struct configured_options *options = context;
    struct outcome outcome = {.config = config,
                              .list = options->look,
                              .json = options->json,
                              .requests = options->json ? json_object_new_array() : NULL,
                              .status = STATUS_OK};
    const struct peers_requests_options how = {
        .list = options->look,
        .stopped = blocks_stopped,
        .event = take_event,
        .move = move,
        .context = &outcome,
    };
    struct error err = {""};
    int rc = peers_requests(config, &how, &err);

    if (options->json && print_json(&outcome) != STATUS_OK)
        outcome.status = STATUS_FAILED;
    if (rc == -ECANCELED) {
        logged_line(config, LOG_WARNING, false, COMMAND ": %s", err.text);
        return blocks_stop_exit(COMMAND);
    }
    if (rc == -EBUSY) { /* which does what there is to do */
        if (!options->json)
            printf("%s\n", err.text);
        return STATUS_OK;
    }
    return rc < 0 ? logged_error(config, COMMAND, err.text) : outcome.status;
}

int command_requests(int argc, char **argv)
{
    struct configured_options options = {.config = NULL};
    int status = blocks_parse_options(&syntax, argc, argv, configured_take_option, &options);

    if (status >= 0)
        return status;
    if (optind < argc)
        return command_usage_error(COMMAND, "unexpected argument '%s'", argv[optind]);
    return cli_run_configured(COMMAND, options.config, run, &options);
}
