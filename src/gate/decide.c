/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decision: this host against the best other one, by the bytes that a move
 * sends, under the policy of setmov.conf. Pure.
 */
#include "gate/texts.h"

#include <math.h>

/* ---- disks ----------------------------------------------------------------------- */

/* Does the path lie below the directory? Neither has "." or ".." in it. */
static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

bool gate_is_allowed(const struct config *config, const char *path)
{
    for (size_t i = 0; i < config->hook.directories.count; i++) {
        if (is_below(path, config->hook.directories.items[i]))
            return true;
    }
    return false;
}

const struct vm_incoming_disk *gate_astray(const struct config *config,
                                           const struct vm_incoming *vm)
{
    for (size_t i = 0; i < vm->disk_count; i++) {
        const struct vm_incoming_disk *disk = &vm->disks[i];

        if (!disk->read_only && !disk->is_block && !gate_is_allowed(config, disk->path))
            return disk;
    }
    return NULL;
}

/* ---- hosts ----------------------------------------------------------------------- */

static uint64_t bytes_at(const struct gate_ranking *ranking, size_t candidate)
{
    return ranking->candidates[candidate].figures.likely.bytes_to_send;
}

/* By more than the margin, both parts of it. */
static bool is_better(const struct config *config, uint64_t here, uint64_t there)
{
    const struct config_margin *margin = &config->hook.margin;

    if (there >= here || here - there <= margin->bytes)
        return false;
    return (double)(here - there) > margin->percent / 100 * (double)here;
}

/* The first in the ranking that is; `count`: none. `ret_next`: the first other one at all. */
static size_t find_better(const struct config *config, const struct gate_ranking *ranking,
                          size_t *ret_next)
{
    uint64_t here = bytes_at(ranking, ranking->here);

    *ret_next = ranking->count;
    for (size_t i = 0; i < ranking->move.eligible; i++) {
        size_t candidate = ranking->move.ranks[i].candidate;

        if (candidate == ranking->here)
            continue;
        if (*ret_next == ranking->count)
            *ret_next = candidate;
        if (is_better(config, here, bytes_at(ranking, candidate)))
            return candidate;
    }
    return ranking->count;
}

/* ---- verdicts -------------------------------------------------------------------- */

static bool refuses(const struct config *config)
{
    return config->hook.policy == CONFIG_ENFORCE || config->hook.policy == CONFIG_REDIRECT;
}

static void refuse(struct gate_decision *decision, enum gate_verdict verdict)
{
    decision->verdict = verdict;
    decision->answer.refused = true;
    decision->priority = LOG_NOTICE;
}

static void decide_by_figures(const struct gate_facts *facts, struct gate_decision *decision)
{
    const struct gate_ranking *ranking = facts->ranking;
    /* A request needs a host to carry it out. */
    bool redirects = facts->config->hook.policy == CONFIG_REDIRECT &&
                     strcmp(ranking->holder, ranking->candidates[ranking->here].name) != 0;
    size_t next;

    decision->better = find_better(facts->config, ranking, &next);
    if (decision->better == ranking->count) {
        texts_fits(facts, next, decision);
    } else if (!refuses(facts->config)) {
        decision->priority = LOG_NOTICE;
        texts_advised(facts, decision);
    } else {
        refuse(decision, redirects ? GATE_REDIRECT : GATE_REFUSE);
        texts_better(facts, decision);
    }
}

void gate_decide(const struct gate_facts *facts, struct gate_decision *ret_decision)
{
    struct gate_decision decision = {.verdict = GATE_PASS, .priority = LOG_INFO};

    /* The XML does not tell this host what to allow. */
    if (facts->astray != NULL && refuses(facts->config) && !facts->override_here) {
        refuse(&decision, GATE_REFUSE);
        texts_astray(facts, &decision);
    } else if (facts->override != NULL) {
        texts_overridden(facts, &decision);
    } else if (facts->ranking != NULL) {
        decide_by_figures(facts, &decision);
    } else if (facts->config->hook.unknown == CONFIG_REFUSE) {
        refuse(&decision, GATE_REFUSE);
        texts_unknown(facts, &decision);
    } else {
        decision.priority = LOG_NOTICE;
        texts_unknown(facts, &decision);
    }
    if (facts->astray != NULL && decision.verdict == GATE_PASS)
        texts_note_astray(facts, &decision);
    *ret_decision = decision;
}

void gate_requested(const struct gate_facts *facts, const char *why_not,
                    struct gate_decision *decision)
{
    if (why_not != NULL) {
        decision->verdict = GATE_REFUSE;
        decision->priority = LOG_ERR;
    }
    texts_better(facts, decision);
    if (why_not != NULL)
        texts_not_requested(why_not, decision);
}
