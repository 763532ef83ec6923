/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which requests wait, and which wait for nothing any more. */
#include "peers/requests.h"

#include <errno.h>
#include <stdarg.h>

struct requests_facts requests_facts_of(const struct config *config,
                                        const struct requests_state *state,
                                        const struct catalog_request *request)
{
    uint64_t within_s = config->hook.request_expiry_s;

    return (struct requests_facts){
        .config = config,
        .now_s = time(NULL),
        .was_begun = requests_was_noted(state, request, REQUESTS_DONE_SUFFIX, within_s),
        .was_forwarded = requests_was_noted(state, request, REQUESTS_FORWARDED_SUFFIX, within_s),
    };
}

void requests_report(const struct peers_requests_options *options, const char *name,
                     const struct catalog_request *request, enum peers_request_result result,
                     const char *format, ...)
{
    struct peers_request_event event = {name, request, result, NULL};
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    text_make_one_line(text);
    event.text = text;
    options->event(options->context, &event);
}

/* ---- listing -------------------------------------------------------------------------- */

static void list_one(const struct config *config, const struct peers_requests_options *options,
                     const struct requests_state *state, const char *name)
{
    CLEANUP(catalog_request_release) struct catalog_request request = {.vm_name = NULL};
    struct requests_verdict verdict;
    struct requests_facts facts;
    struct error why = {""};
    int64_t age_s;
    int rc = requests_read(config->setmov.index, name, &request, &age_s, &why);

    if (rc == -ENOENT)
        return;
    if (rc < 0) {
        requests_report(options, name, NULL, PEERS_REQUEST_WAITS, "cannot be read: %s", why.text);
        return;
    }
    facts = requests_facts_of(config, state, &request);
    requests_judge(&request, name, &facts, &verdict);
    if (verdict.action == REQUESTS_DROP)
        requests_report(options, name, &request, PEERS_REQUEST_WAITS, "will be dropped: %s",
                        verdict.reason);
    else
        requests_report(options, name, &request, PEERS_REQUEST_WAITS,
                        "%s has it, %s refused it and names %s; expires in %lld s", request.holder,
                        request.refuser, request.target,
                        (long long)(request.expires_s - facts.now_s));
}

int requests_list_all(const struct config *config, const struct peers_requests_options *options,
                      struct error *err)
{
    CLEANUP(requests_names_release) struct requests_names names = {NULL, 0, 0};
    struct requests_state state = {NULL, -1}; /* without the lock: nothing is changed */
    int rc = requests_list(config->setmov.index, &names, err);

    if (rc < 0)
        return rc;
    if (asprintf(&state.path, "%s/" REQUESTS_DIRECTORY, config->setmov.state) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < names.count; i++)
        list_one(config, options, &state, names.names[i]);
    requests_state_release(&state);
    return 0;
}

/* ---- what expired ----------------------------------------------------------------------- */

static bool is_expired(const struct config *config, const char *name)
{
    CLEANUP(catalog_request_release) struct catalog_request request = {.vm_name = NULL};
    struct error why = {""};
    int64_t age_s = 0, now_s = time(NULL);
    int rc = requests_read(config->setmov.index, name, &request, &age_s, &why);

    if (rc == -ENOENT || rc == -ENOMEM || rc == -EISDIR)
        return false;
    if (rc < 0)
        return age_s > REQUESTS_DAMAGED_S || age_s < -REQUESTS_CLOCK_S;
    return request.expires_s <= now_s || now_s - request.made_s > REQUESTS_LONGEST_S;
}

int peers_requests_expire(const struct config *config, bool dry_run, size_t *ret_removed,
                          struct error *err)
{
    CLEANUP(requests_names_release) struct requests_names names = {NULL, 0, 0};
    struct requests_state state = {NULL, -1};
    struct error why = {""};
    size_t removed = 0;
    int rc = requests_state_open(config, &state, err);

    if (rc == -EBUSY) { /* who is at work does it */
        *ret_removed = 0;
        return 0;
    }
    if (rc == 0)
        rc = requests_list(config->setmov.index, &names, err);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        if (!is_expired(config, names.names[i]))
            continue;
        if (dry_run || requests_remove(config->setmov.index, names.names[i], &why) == 0)
            removed++;
    }
    if (rc == 0 && why.text[0] != '\0')
        rc = error_set(err, -EIO, "%s", why.text);
    if (rc == 0)
        *ret_removed = removed + requests_forget(&state, dry_run);
    requests_state_release(&state);
    return rc;
}
