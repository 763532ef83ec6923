/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is to be done about a request. Whoever wrote it may lie: only what is configured is done. */
#include "peers/requests.h"

#include <stdarg.h>

static bool is_own(const struct config *config, const char *name)
{
    return strcmp(name, config->setmov.name) == 0;
}

const struct config_host *requests_partner(const struct config *config, const char *name)
{
    const struct config_host *host = config_host_find(config, name);

    if (host == NULL || is_own(config, name) ||
        strcmp(host->trust_domain, config->setmov.trust_domain) != 0)
        return NULL;
    return host;
}

bool requests_is_name(const char *name, struct uuid *ret_uuid)
{
    char text[UUID_TEXT_BYTES];

    /* Small letters only, so that each VM has one name. */
    string_copy(text, sizeof(text), name);
    if (uuid_parse(text, ret_uuid) < 0)
        return false;
    uuid_format(ret_uuid, text);
    return strncmp(name, text, UUID_TEXT_BYTES - 1) == 0 &&
           strcmp(name + UUID_TEXT_BYTES - 1, CATALOG_REQUEST_SUFFIX) == 0;
}

static void drop(struct requests_verdict *verdict, const char *format, ...) PRINTF_LIKE(2, 3);

static void drop(struct requests_verdict *verdict, const char *format, ...)
{
    va_list arguments;

    *verdict = (struct requests_verdict){.action = REQUESTS_DROP};
    va_start(arguments, format);
    vsnprintf(verdict->reason, sizeof(verdict->reason), format, arguments);
    va_end(arguments);
}

/* False: it was dropped. */
static bool check_time(const struct catalog_request *request, const struct requests_facts *facts,
                       struct requests_verdict *verdict)
{
    if (request->made_s > facts->now_s + REQUESTS_CLOCK_S)
        drop(verdict, "it was made %lld s from now: the clocks of the hosts differ",
             (long long)(request->made_s - facts->now_s));
    else if (request->expires_s <= facts->now_s)
        drop(verdict, "it expired %lld s ago", (long long)(facts->now_s - request->expires_s));
    else if (facts->now_s - request->made_s > REQUESTS_LONGEST_S)
        drop(verdict, "it is older than a week");
    else
        return true;
    return false;
}

/* False: it was dropped. The names are those of hosts, the parser has seen to that. */
static bool check_hosts(const struct catalog_request *request, const struct requests_facts *facts,
                        struct requests_verdict *verdict)
{
    const struct config *config = facts->config;

    if (strcmp(request->holder, request->target) == 0)
        drop(verdict, "it asks for a move from %.100s to the same host", request->holder);
    else if (strcmp(request->refuser, request->target) == 0)
        drop(verdict, "it asks for a move to %.100s, which refused the VM", request->target);
    else if (strcmp(request->refuser, request->holder) == 0)
        drop(verdict, "%.100s is said to have the VM and to have refused it", request->holder);
    else if (!is_own(config, request->refuser) &&
             requests_partner(config, request->refuser) == NULL)
        drop(verdict, "it is from %.100s, which is no configured host of this trust domain",
             request->refuser);
    else
        return true;
    return false;
}

static void judge_forward(const struct catalog_request *request, const struct requests_facts *facts,
                          struct requests_verdict *verdict)
{
    const struct config_host *holder = requests_partner(facts->config, request->holder);

    /* What others leave here is for this host; only its own hook's requests are for others. */
    if (!is_own(facts->config, request->refuser))
        drop(verdict, "%.100s left it here, but %.100s is said to have the VM", request->refuser,
             request->holder);
    else if (holder == NULL)
        drop(verdict,
             "%.100s is said to have the VM, which is no configured host of this trust domain",
             request->holder);
    else
        *verdict = (struct requests_verdict){.action = REQUESTS_FORWARD, .host = holder};
}

static void judge_move(const struct catalog_request *request, const struct requests_facts *facts,
                       struct requests_verdict *verdict)
{
    const struct config_host *target = requests_partner(facts->config, request->target);

    if (target == NULL)
        drop(verdict, "it names %.100s, which is no configured host of this trust domain",
             request->target);
    else if (target->maintenance)
        drop(verdict, "%.100s is in maintenance", request->target);
    else if (facts->was_begun)
        drop(verdict, "another one for this VM was carried out, or tried, since it was made or a "
                      "short time ago");
    else
        *verdict = (struct requests_verdict){.action = REQUESTS_MOVE, .host = target};
}

void requests_judge(const struct catalog_request *request, const char *name,
                    const struct requests_facts *facts, struct requests_verdict *ret_verdict)
{
    struct uuid uuid;

    if (!requests_is_name(name, &uuid) ||
        memcmp(uuid.bytes, request->vm.bytes, sizeof(uuid.bytes)) != 0)
        drop(ret_verdict, "its name is not the VM's UUID");
    else if (!check_time(request, facts, ret_verdict) || !check_hosts(request, facts, ret_verdict))
        return;
    else if (is_own(facts->config, request->holder))
        judge_move(request, facts, ret_verdict);
    else
        judge_forward(request, facts, ret_verdict);
}

void requests_judge_gone(const struct catalog_request *request, const char *holder,
                         const struct requests_facts *facts, struct requests_verdict *ret_verdict)
{
    const struct config_host *host =
        holder != NULL ? requests_partner(facts->config, holder) : NULL;

    if (host == NULL)
        drop(ret_verdict, "the VM is not here, and not known to be elsewhere");
    else if (strcmp(holder, request->target) == 0)
        drop(ret_verdict, "the VM is on %.100s already", holder);
    else if (strcmp(holder, request->refuser) == 0)
        drop(ret_verdict, "the VM is not here, but on %.100s", holder);
    else if (facts->was_forwarded)
        drop(ret_verdict, "the VM is not here, and one for it was forwarded a short time ago");
    else
        *ret_verdict = (struct requests_verdict){.action = REQUESTS_FORWARD, .host = host};
}
