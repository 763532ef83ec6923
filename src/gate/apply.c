/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A migration that arrives with a plan: from its XML to disks that are there.
 * (Effects: all of it.)
 */
#include "gate/apply.h"

#include "gate/gate.h"
#include "gate/texts.h"
#include "setmov/fingerprint_file.h"
#include "setmov/gate_apply.h"
#include "setmov/placement_words.h"
#include "setmov/transfer_apply.h"

#include <errno.h>

#define TELL_S 0.25 /* between two records of progress */

struct apply {
    const struct gate_apply_options *options;
    const struct config *config;
    struct vm_incoming vm;
    struct apply_files files;
    struct transfer_plan plan;
    struct transfer_apply_result result;
    struct transfer_progress progress;
    double began_s, told_s;
};

/* ---- what others see of it ------------------------------------------------------------- */

static void tell(struct apply *apply)
{
    apply->told_s = clock_monotonic_s();
    apply_files_tell(&apply->files, &apply->progress);
}

static void beat(const struct apply *apply)
{
    if (apply->options->beat != NULL)
        apply->options->beat(apply->options->context);
}

static void begin_phase(struct apply *apply, enum transfer_phase phase)
{
    apply->progress.phase = phase;
    tell(apply);
    beat(apply);
}

static void take_progress(void *context, uint64_t done, uint64_t total)
{
    struct apply *apply = context;

    apply->progress.bytes_done = done;
    apply->progress.bytes_total = total;
    if (done == total || clock_monotonic_s() - apply->told_s >= TELL_S)
        tell(apply);
}

static void take_move(void *context)
{
    beat(context);
}

static bool is_stopped(void *context)
{
    const struct apply *apply = context;

    return (apply->options->stopped != NULL && apply->options->stopped(apply->options->context)) ||
           apply_files_cancelled(&apply->files);
}

/* ---- building ---------------------------------------------------------------------------- */

static int state_path(const struct config *config, const char *name, char **ret_path,
                      struct error *err)
{
    if (asprintf(ret_path, "%s/%s", config->setmov.state, name) >= 0)
        return 0;
    *ret_path = NULL;
    return error_set(err, -ENOMEM, "out of memory");
}

static int build(struct apply *apply, struct error *err)
{
    const struct config *config = apply->config;
    CLEANUP(cleanup_free) char *leases = NULL;
    CLEANUP(cleanup_free) char *locks = NULL;
    struct transfer_apply_options options = {
        .incoming = config->setmov.incoming,
        .index = config->setmov.index,
        .directories = (const char *const *)config->hook.directories.items,
        .directory_count = config->hook.directories.count,
        .lease_s = TRANSFER_LEASE_S,
        .space_reserve_bytes = config->choose.space_reserve_bytes,
        .progress = take_progress,
        .moved = take_move,
        .stopped = is_stopped,
        .context = apply,
    };
    int rc = state_path(config, "leases", &leases, err);

    if (rc == 0)
        rc = state_path(config, "locks", &locks, err);
    if (rc < 0)
        return rc;
    options.leases = leases;
    options.locks = locks;
    begin_phase(apply, TRANSFER_BUILDING);
    return transfer_apply(&apply->plan, &options, &apply->result, err);
}

/* The source reads the list, and sends what is on it. */
static int list_failed(struct apply *apply, struct error *err)
{
    struct error other = {""};

    /* A list of parts alone is one to be sent anew, too. */
    apply->progress.failed = apply->result.failed.count + apply->result.failed.part_count;
    if (apply_files_failed(&apply->files, &apply->result.failed, &other) == 0)
        return -ESTALE;
    return error_set(err, -EIO, "what does not hold here cannot be listed: %s", other.text);
}

static int carry_out(struct apply *apply, struct error *err)
{
    int rc;

    begin_phase(apply, TRANSFER_BEGUN);
    rc = apply_files_plan(&apply->files, apply->vm.plan_sha256, &apply->plan, err);
    if (rc == 0)
        rc = apply_check(apply->config, &apply->vm, &apply->plan, err);
    if (rc == 0) {
        rc = build(apply, err);
        if (rc == -ESTALE)
            rc = list_failed(apply, err);
    }
    if (rc == -ECANCELED)
        error_set(err, rc, "building its disks was cancelled");
    if (rc < 0)
        string_copy(apply->progress.message, sizeof(apply->progress.message), err->text);
    begin_phase(apply, rc == 0 ? TRANSFER_PUBLISHED : TRANSFER_REFUSED);
    return rc;
}

static int open_and_carry_out(struct apply *apply, struct error *err)
{
    int rc;

    if (apply->vm.plan_name == NULL)
        return error_set(err, -EINVAL, "it has no plan");
    rc = apply_files_open(apply->config->setmov.incoming, apply->vm.plan_name, &apply->files, err);
    if (rc == 0)
        rc = carry_out(apply, err);
    apply_files_close(&apply->files);
    return rc;
}

/* ---- the line for the log --------------------------------------------------------------------- */

static void log_outcome(const struct apply *apply, int rc, const struct error *err)
{
    const struct config_log *log = &apply->config->hook.log;
    const struct log_targets targets = {
        .syslog = log->syslog, .journal = log->journal, .file = log->file};
    const struct transfer_apply_result *result = &apply->result;
    char line[GATE_LINE_BYTES] = "", uuid[UUID_TEXT_BYTES];

    uuid_format(&apply->vm.uuid, uuid);
    texts_add(line, "%s (%s): ", words_path(apply->vm.name).text, uuid);
    if (rc == 0) {
        texts_add(line, "passed: built %zu of %zu image%s by plan %s", result->made_count,
                  apply->plan.image_count, apply->plan.image_count == 1 ? "" : "s",
                  apply->vm.plan_name);
        texts_add(line, ": %s from here, ", words_bytes(result->bytes_local).text);
        texts_add(line, "%s replicated, ", words_bytes(result->bytes_replicated).text);
        texts_add(line, "%s sent", words_bytes(result->bytes_sent).text);
    } else {
        texts_add(line, "refused, with plan %s: %s", words_path(apply->vm.plan_name).text,
                  err->text);
    }
    texts_add(line, "; took %.1f s", clock_monotonic_s() - apply->began_s);
    log_line(&targets, GATE_PROGRAM, rc == 0 ? LOG_INFO : LOG_NOTICE, line);
}

/* ---- the contract ------------------------------------------------------------------------------- */

static int apply_with_config(struct apply *apply, struct text xml, struct error *err)
{
    int rc = vm_incoming_parse(xml, &apply->vm, err);

    if (rc < 0)
        return error_prefix(err, rc, "setmov refuses a VM");
    rc = open_and_carry_out(apply, err);
    if (apply->vm.plan_name != NULL)
        log_outcome(apply, rc, err);
    return rc < 0 ? error_prefix(err, rc, "setmov refuses %s", words_path(apply->vm.name).text) : 0;
}

int gate_apply(struct text xml, const struct gate_apply_options *options, struct error *err)
{
    struct apply apply = {
        .options = options, .files = APPLY_FILES_NONE, .began_s = clock_monotonic_s()};
    struct config config;
    /* A fingerprint that is cut short is no reason to crash. */
    int rc = fingerprint_file_guard_install(err);

    if (rc == 0)
        rc = config_read_or_default(options->config, &config, err);
    if (rc < 0)
        return error_prefix(err, rc, "setmov refuses a VM that comes with a plan");
    apply.config = &config;
    rc = apply_with_config(&apply, xml, err);
    transfer_apply_result_release(&apply.result);
    transfer_plan_release(&apply.plan);
    vm_incoming_release(&apply.vm);
    config_release(&config);
    text_make_one_line(err->text);
    return rc;
}
