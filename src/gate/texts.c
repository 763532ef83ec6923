/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate's lines: why a migration is refused and what to do then; what was decided on what figures. */
#include "gate/texts.h"

#include "setmov/placement_words.h"

#include <inttypes.h>
#include <stdarg.h>

void texts_add(char line[GATE_LINE_BYTES], const char *format, ...)
{
    size_t length = strlen(line);
    va_list arguments;

    va_start(arguments, format);
    if (vsnprintf(line + length, GATE_LINE_BYTES - length, format, arguments) < 0)
        line[length] = '\0';
    va_end(arguments);
    text_make_one_line(line);
}

/* ---- parts ----------------------------------------------------------------------- */

static const char *policy_of(const struct gate_facts *facts)
{
    static const char *const words[] = {"advise", "enforce", "redirect", "off"};

    return words[facts->config->hook.policy];
}

static struct words uuid_of(const struct gate_facts *facts)
{
    struct words words = {""};

    uuid_format(&facts->vm->uuid, words.text);
    return words;
}

static struct words duration(int64_t seconds)
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    struct words words = {"0 s"};

    for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
        /* Two of a unit at least, or it tells too little. */
        if (seconds >= 2 * units[i].seconds || (i == ARRAY_LENGTH(units) - 1 && seconds > 0)) {
            string_format(words.text, sizeof(words.text), "%" PRId64 " %s",
                          seconds / units[i].seconds, units[i].unit);
            break;
        }
    }
    return words;
}

static struct words to_send(const struct placement_candidate *candidate)
{
    uint64_t bytes = candidate->figures.likely.bytes_to_send;
    struct words nothing = {"nothing"};

    return bytes > 0 ? words_bytes(bytes) : nothing;
}

/* "vm1 (8f3c...) from alpha: " */
static void begin_log(const struct gate_facts *facts, struct gate_answer *answer)
{
    texts_add(answer->log, "%s (%s)", words_path(facts->vm->name).text, uuid_of(facts).text);
    if (facts->ranking != NULL)
        texts_add(answer->log, " from %s", words_path(facts->ranking->holder).text);
    texts_add(answer->log, ": %s", answer->refused ? "refused" : "passed");
}

/* "beta has 4.06 % of its blocks (12.30 % with duplicates), 410M to send" */
static void add_figures(const struct gate_ranking *ranking, size_t candidate, const char *of,
                        char line[GATE_LINE_BYTES])
{
    const struct placement_candidate *host = &ranking->candidates[candidate];

    texts_add(line, "%s has %s%s (%s with duplicates), %s to send", words_path(host->name).text,
              words_percent(similarity_share_distinct(&host->figures.likely)).text, of,
              words_percent(similarity_share_with_duplicates(&host->figures.likely)).text,
              to_send(host).text);
}

static void end_log(const struct gate_ranking *ranking, char line[GATE_LINE_BYTES])
{
    if (ranking->left_out > 0)
        texts_add(line, "; %zu of %zu disks left out, without fingerprints", ranking->left_out,
                  ranking->disks);
    texts_add(line, "; catalog %s old, %zu hosts", duration(ranking->age_s).text, ranking->count);
}

/* How the one who reads it can have it all the same. */
static void add_override(const struct gate_facts *facts, bool by_xml, char line[GATE_LINE_BYTES])
{
    const struct config_override *override = &facts->config->hook.override;

    if (override->metadata && by_xml)
        texts_add(line,
                  " To override: virsh metadata %s " VM_INCOMING_NAMESPACE
                  " --key setmov --set '<override/>'",
                  uuid_of(facts).text);
    else if (override->directory != NULL)
        texts_add(line, " To override, on %s: touch %s/%s", facts->config->setmov.name,
                  override->directory, uuid_of(facts).text);
    else
        texts_add(line, " %s allows no override.", facts->config->setmov.name);
}

static void begin_refusal(const struct gate_facts *facts, const char *how,
                          struct gate_answer *answer)
{
    texts_add(answer->refusal, "setmov %s %s: ", how, words_path(facts->vm->name).text);
}

/* ---- whole lines ----------------------------------------------------------------- */

void texts_fits(const struct gate_facts *facts, size_t next, struct gate_decision *decision)
{
    const struct gate_ranking *ranking = facts->ranking;
    char *log = decision->answer.log;

    begin_log(facts, &decision->answer);
    texts_add(log, ": ");
    add_figures(ranking, ranking->here, " of its blocks", log);
    if (next == ranking->count) {
        texts_add(log, "; no other host can take it");
    } else {
        texts_add(log, "; next ");
        add_figures(ranking, next, "", log);
    }
    end_log(ranking, log);
}

static void log_better(const struct gate_facts *facts, struct gate_decision *decision)
{
    const struct gate_ranking *ranking = facts->ranking;
    char *log = decision->answer.log;

    add_figures(ranking, ranking->here, " of its blocks", log);
    texts_add(log, "; ");
    add_figures(ranking, decision->better, "", log);
    end_log(ranking, log);
}

void texts_advised(const struct gate_facts *facts, struct gate_decision *decision)
{
    begin_log(facts, &decision->answer);
    texts_add(decision->answer.log, " (policy %s), but %s is the better host: ", policy_of(facts),
              words_path(facts->ranking->candidates[decision->better].name).text);
    log_better(facts, decision);
}

static uint64_t saved(const struct gate_ranking *ranking, size_t better)
{
    return ranking->candidates[ranking->here].figures.likely.bytes_to_send -
           ranking->candidates[better].figures.likely.bytes_to_send;
}

void texts_better(const struct gate_facts *facts, struct gate_decision *decision)
{
    const struct gate_ranking *ranking = facts->ranking;
    const struct placement_candidate *here = &ranking->candidates[ranking->here],
                                     *better = &ranking->candidates[decision->better];
    struct gate_answer *answer = &decision->answer;
    bool redirected = decision->verdict == GATE_REDIRECT;

    *answer = (struct gate_answer){.refused = true};
    begin_refusal(facts, redirected ? "redirects" : "refuses", answer);
    texts_add(
        answer->refusal, "%s has %s of its blocks and needs %s, ", words_path(here->name).text,
        words_percent(similarity_share_distinct(&here->figures.likely)).text, to_send(here).text);
    texts_add(answer->refusal, "%s has %s and needs %s, which saves %s.",
              words_path(better->name).text,
              words_percent(similarity_share_distinct(&better->figures.likely)).text,
              to_send(better).text, words_bytes(saved(ranking, decision->better)).text);
    if (redirected)
        texts_add(answer->refusal, " %s will migrate it there by itself, or not at all after %s.",
                  words_path(ranking->holder).text,
                  duration((int64_t)facts->config->hook.request_expiry_s).text);
    add_override(facts, true, answer->refusal);

    begin_log(facts, answer);
    texts_add(answer->log, " (policy %s), %s %s: ", policy_of(facts),
              redirected ? "redirected to" : "the better host is", words_path(better->name).text);
    log_better(facts, decision);
}

void texts_not_requested(const char *why, struct gate_decision *decision)
{
    texts_add(decision->answer.refusal, " (It could not be redirected: %s)", why);
    texts_add(decision->answer.log, "; no request was left: %s", why);
}

static void add_directories(const struct gate_facts *facts, char line[GATE_LINE_BYTES])
{
    const struct config_list *directories = &facts->config->hook.directories;

    for (size_t i = 0; i < directories->count; i++)
        texts_add(line, "%s%s", i == 0 ? "" : ", ", directories->items[i]);
}

static void add_astray(const struct gate_facts *facts, char line[GATE_LINE_BYTES])
{
    texts_add(line, "its disk %s, %s, does not lie in ", facts->astray->target,
              words_path(facts->astray->path).text);
    add_directories(facts, line);
}

void texts_astray(const struct gate_facts *facts, struct gate_decision *decision)
{
    struct gate_answer *answer = &decision->answer;

    begin_refusal(facts, "refuses", answer);
    add_astray(facts, answer->refusal);
    texts_add(answer->refusal, " (directories of [hook] in %s's setmov.conf).",
              facts->config->setmov.name);
    add_override(facts, false, answer->refusal);

    begin_log(facts, answer);
    texts_add(answer->log, " (policy %s): ", policy_of(facts));
    add_astray(facts, answer->log);
}

void texts_note_astray(const struct gate_facts *facts, struct gate_decision *decision)
{
    texts_add(decision->answer.log, "; ");
    add_astray(facts, decision->answer.log);
}

void texts_overridden(const struct gate_facts *facts, struct gate_decision *decision)
{
    begin_log(facts, &decision->answer);
    texts_add(decision->answer.log, ": overridden by %s", facts->override);
}

void texts_unknown(const struct gate_facts *facts, struct gate_decision *decision)
{
    struct gate_answer *answer = &decision->answer;

    if (answer->refused) {
        begin_refusal(facts, "refuses", answer);
        texts_add(answer->refusal, "the catalog of %s cannot tell where it should go: %s.",
                  facts->config->setmov.name, facts->unknown);
        add_override(facts, true, answer->refusal);
    }
    begin_log(facts, answer);
    texts_add(answer->log, ": the catalog cannot tell: %s", facts->unknown);
}

void texts_hostile(const char *name, const char *why, struct gate_answer *answer)
{
    *answer = (struct gate_answer){.refused = true};
    texts_add(answer->refusal, "setmov refuses %s: %s", words_path(name).text, why);
    texts_add(answer->log, "%s: refused: %s", words_path(name).text, why);
}

void texts_not_built(const char *name, const char *why, struct gate_answer *answer)
{
    *answer = (struct gate_answer){.refused = true};
    texts_add(answer->refusal, "setmov refuses %s: its disks were not built: %s",
              words_path(name).text, why);
    texts_add(answer->log, "%s: refused: its disks were not built: %s", words_path(name).text, why);
}
