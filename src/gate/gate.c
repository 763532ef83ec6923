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
#include <sys/mman.h>
#include <unistd.h>

/* What the child works on. */
struct work {
    const struct gate_call *call;
    int answer_fd;
    int copy_fd; /* where the XML goes that has a plan */
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

static int copy_xml(int fd, const char *bytes, size_t length, struct error *err)
{
    for (size_t at = 0; at < length;) {
        ssize_t written = pwrite(fd, bytes + at, length - at, (off_t)at);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return error_set(err, -EIO, "the domain's XML cannot be kept: %s", strerror(errno));
        at += (size_t)written;
    }
    return 0;
}

/* XML with a plan is copied for who builds the disks. */
static int read_vm(const struct work *work, struct vm_incoming *ret_vm, struct error *err)
{
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
    CLEANUP(cleanup_free) char *bytes = NULL;
    size_t length = 0;
    int rc = read_xml(work->call->xml, &bytes, &length, err);

    if (rc == 0 && work->call->prepare_xml != NULL)
        rc = work->call->prepare_xml(err);
    if (rc == 0)
        rc = vm_incoming_parse(text_of(bytes, length), &vm, err);
    if (rc == 0 && vm.plan_name != NULL)
        rc = copy_xml(work->copy_fd, bytes, length, err);
    if (rc < 0)
        return rc;
    *ret_vm = vm;
    vm = (struct vm_incoming){.name = NULL};
    return 0;
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

/* The one who migrates has chosen this host: that is not judged again. */
static void leave_to_builder(const struct work *work)
{
    const struct gate_answer answer = {.builds = true};

    gate_give(work->answer_fd, &answer);
}

/* Disks that shall be built are not there, so this does not pass: who builds them says why. */
static bool has_plan(const struct work *work)
{
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};

    return read_vm(work, &vm, NULL) == 0 && vm.plan_name != NULL;
}

static void work_with_config(struct work *work, const struct config *config)
{
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
    struct gate_answer answer = {.refused = false};
    struct error err = {""};
    int rc;

    /* That no VM is judged does not mean that none is built. */
    if (config->hook.policy == CONFIG_OFF) {
        if (has_plan(work))
            leave_to_builder(work);
        else
            gate_give(work->answer_fd, &answer);
        return;
    }
    work->log = (struct log_targets){.syslog = config->hook.log.syslog,
                                     .journal = config->hook.log.journal,
                                     .file = config->hook.log.file};
    rc = read_vm(work, &vm, &err);
    if (rc == 0 && vm.plan_name != NULL) {
        leave_to_builder(work);
    } else if (rc == 0) {
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
        if (has_plan(work))
            leave_to_builder(work);
        else
            pass_by_error(work, &err);
        return;
    }
    work_with_config(work, &config);
    config_release(&config);
}

/* True: an answer was given, which may be to build. */
static bool ask_child(struct work *work, struct gate_answer *answer, struct error *err)
{
    const struct gate_call *call = work->call;
    unsigned timeout_s = call->timeout_s != 0 ? call->timeout_s : GATE_TIMEOUT_S;

    /* Asked now: a pipe of our own would become what a closed stdin was. */
    if (fcntl(call->xml, F_GETFD) < 0) {
        error_set(err, -EBADF, "cannot read the domain's XML: %s", strerror(errno));
        return false;
    }
    work->copy_fd = memfd_create("domain.xml", MFD_CLOEXEC);
    if (work->copy_fd < 0) {
        error_set(err, -errno, "no memory for the domain's XML: %s", strerror(errno));
        return false;
    }
    return gate_guard(work_child, work, timeout_s, answer, err);
}

void gate_ask(const struct gate_call *call, struct gate_answer *ret_answer)
{
    struct work work = {
        .call = call, .copy_fd = -1, .began_s = clock_monotonic_s(), .log = default_log};
    struct gate_answer answer = {.refused = false};
    struct error err = {""};

    if (!ask_child(&work, &answer, &err)) {
        texts_add(answer.log, "%s: passed: %s", call->name, err.text);
        log_line(&default_log, GATE_PROGRAM, LOG_ERR, answer.log);
    } else if (answer.builds && gate_start(call, work.copy_fd, &answer, &err) < 0) {
        texts_not_built(call->name, err.text, &answer);
        log_line(&default_log, GATE_PROGRAM, LOG_ERR, answer.log);
    }
    cleanup_close(&work.copy_fd);
    answer.builds = false;
    *ret_answer = answer;
}
