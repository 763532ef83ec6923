/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One migration, from setmov.conf and XML to an answer. (Effects: reads files
 * and the XML, writes the log.)
 */
#include "setmov/gate.h"

#include "gate/gate.h"
#include "gate/texts.h"
#include "setmov/fingerprint_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* What the child works on. */
struct work {
    const struct gate_call *call;
    int answer_fd;
    double began_s;
    struct log_targets log;
};

/* Where it goes as long as setmov.conf has said nothing else: as its defaults have it. */
static const struct log_targets default_log = {.syslog = true};

/* ---- what goes in -------------------------------------------------------------------- */

/* To its end, or to more than is taken. */
static int read_xml(int fd, char **ret_bytes, size_t *ret_length, struct error *err)
{
    size_t capacity = 0, length = 0;
    char *bytes = NULL;

    for (;;) {
        ssize_t got;

        if (length > VM_INCOMING_MAX_BYTES)
            break; /* who parses it says so */
        if (array_reserve(&bytes, &capacity, length + 65536, 1) < 0) {
            free(bytes);
            return error_set(err, -ENOMEM, "out of memory");
        }
        got = read(fd, bytes + length, capacity - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(bytes);
            return error_set(err, -errno, "cannot read the domain's XML: %s", strerror(errno));
        }
        if (got == 0)
            break;
        length += (size_t)got;
    }
    *ret_bytes = bytes;
    *ret_length = length;
    return 0;
}

static int read_vm(const struct gate_call *call, struct vm_incoming *ret_vm, struct error *err)
{
    CLEANUP(cleanup_free) char *bytes = NULL;
    size_t length = 0;
    int rc = read_xml(call->xml, &bytes, &length, err);

    if (rc == 0 && call->prepare_xml != NULL)
        rc = call->prepare_xml(err);
    return rc == 0 ? vm_incoming_parse(text_of(bytes, length), ret_vm, err) : rc;
}

/* ---- what comes out -------------------------------------------------------------------- */

/* First the answer: whoever waits for it does not wait for the log. */
static void finish(const struct work *work, struct gate_answer *answer, int priority)
{
    texts_add(answer->log, "; took %.1f ms", 1e3 * (clock_monotonic_s() - work->began_s));
    gate_give(work->answer_fd, answer);
    log_line(&work->log, GATE_PROGRAM, priority, answer->log);
}

/* What keeps it from deciding at all lets everything pass. */
static void pass_by_error(const struct work *work, const struct error *err)
{
    struct gate_answer answer = {.refused = false};

    texts_add(answer.log, "%s: passed: %s", work->call->name, err->text);
    finish(work, &answer, LOG_ERR);
}

static void finish_decided(const struct work *work, const struct gate_facts *facts,
                           struct gate_decision *decision, int64_t now_s)
{
    struct error err = {""};

    if (decision->verdict == GATE_REDIRECT &&
        gate_request(facts, decision->better, now_s, &err) < 0)
        gate_requested(facts, err.text, decision);
    finish(work, &decision->answer, decision->priority);
}

/* ---- between --------------------------------------------------------------------------- */

static void decide(const struct work *work, const struct config *config,
                   const struct vm_incoming *vm)
{
    struct gate_facts facts = {.config = config, .vm = vm, .astray = gate_astray(config, vm)};
    CLEANUP(cleanup_free) char *override = gate_override_file(config, vm);
    struct gate_ranking ranking = {.known = NULL};
    struct gate_decision decision;
    int64_t now_s = time(NULL);
    struct error err = {""};

    facts.override = override;
    facts.override_here = override != NULL;
    if (override == NULL && config->hook.override.metadata && vm->has_override)
        facts.override = "<setmov:override/> in the domain's metadata";
    if (facts.override == NULL) {
        if (gate_rank(config, vm, now_s, &ranking, &err) == 0)
            facts.ranking = &ranking;
        else
            facts.unknown = err.text;
    }
    gate_decide(&facts, &decision);
    finish_decided(work, &facts, &decision, now_s);
    gate_ranking_release(&ranking);
}

static void work_with_config(struct work *work, const struct config *config)
{
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
    struct gate_answer answer = {.refused = false};
    struct error err = {""};
    int rc;

    if (config->hook.policy == CONFIG_OFF) {
        gate_give(work->answer_fd, &answer);
        return;
    }
    work->log = (struct log_targets){.syslog = config->hook.log.syslog,
                                     .journal = config->hook.log.journal,
                                     .file = config->hook.log.file};
    rc = read_vm(work->call, &vm, &err);
    if (rc == 0) {
        decide(work, config, &vm);
    } else if (rc == -EBADMSG) {
        texts_hostile(work->call->name, err.text, &answer);
        finish(work, &answer, LOG_WARNING);
    } else {
        pass_by_error(work, &err);
    }
}

/* The child. */
static void work_child(void *context, int answer_fd)
{
    struct work *work = context;
    struct error err = {""};
    struct config config;

    work->answer_fd = answer_fd;
    /* A file that is cut short is no reason to crash. */
    if (fingerprint_file_guard_install(&err) < 0 ||
        config_read_or_default(work->call->config, &config, &err) < 0) {
        pass_by_error(work, &err);
        return;
    }
    work_with_config(work, &config);
    config_release(&config);
}

void gate_ask(const struct gate_call *call, struct gate_answer *ret_answer)
{
    struct work work = {.call = call, .began_s = clock_monotonic_s(), .log = default_log};
    unsigned timeout_s = call->timeout_s != 0 ? call->timeout_s : GATE_TIMEOUT_S;
    struct gate_answer answer = {.refused = false};
    /* Asked now: a pipe of our own would become what a closed stdin was. */
    bool is_open = fcntl(call->xml, F_GETFD) >= 0;
    struct error err = {""};

    if (!is_open)
        error_set(&err, -EBADF, "cannot read the domain's XML: %s", strerror(errno));
    if (!is_open || !gate_guard(work_child, &work, timeout_s, &answer, &err)) {
        texts_add(answer.log, "%s: passed: %s", call->name, err.text);
        log_line(&default_log, GATE_PROGRAM, LOG_ERR, answer.log);
    }
    *ret_answer = answer;
}
