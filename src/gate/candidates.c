/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the catalog and setmov.conf say of hosts, as candidates: all but the figures. Pure. */
#include "gate/gate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

const char *gate_keep(struct gate_ranking *ranking, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    int length;

    if (array_reserve(&ranking->texts, &ranking->text_capacity, ranking->text_count + 1,
                      sizeof(*ranking->texts)) < 0)
        return NULL;
    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return NULL;
    text_make_one_line(text);
    ranking->texts[ranking->text_count++] = text;
    return text;
}

/* ---- groups ------------------------------------------------------------------------ */

static bool is_meant(const char *name_or_uuid, const struct vm_incoming *vm)
{
    struct uuid uuid;

    if (strcmp(name_or_uuid, vm->name) == 0)
        return true;
    return uuid_parse(name_or_uuid, &uuid) == 0 &&
           memcmp(uuid.bytes, vm->uuid.bytes, UUID_BYTES) == 0;
}

static bool is_member(const struct config_group *group, const struct vm_incoming *vm)
{
    for (size_t i = 0; i < group->vms.count; i++) {
        if (is_meant(group->vms.items[i], vm))
            return true;
    }
    return false;
}

/* Hosts that have the other VM are out. One reason is enough. */
static int keep_apart(const struct config_group *group, const struct vm_incoming *vm,
                      const struct catalog_known_vm *other, struct gate_ranking *ranking)
{
    struct placement_candidate *candidate = &ranking->candidates[other->host];
    const char *why;

    if (memcmp(other->uuid.bytes, vm->uuid.bytes, UUID_BYTES) == 0 || candidate->obstacle_count > 0)
        return 0;
    why = gate_keep(ranking, "it has %s, of the same group (%s)", other->name, group->name);
    if (why == NULL)
        return -ENOMEM;
    ranking->obstacles[other->host] = why;
    candidate->obstacles = &ranking->obstacles[other->host];
    candidate->obstacle_count = 1;
    return 0;
}

static int look_for_member(const struct config_group *group, const struct vm_incoming *vm,
                           const char *member, struct gate_ranking *ranking)
{
    struct catalog_known_vm *others;
    size_t count;
    int rc = catalog_known_find_text(ranking->known, member, &others, &count, NULL);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = keep_apart(group, vm, &others[i], ranking);
    catalog_known_vms_free(others, count);
    return rc;
}

static int look_at_groups(const struct config *config, const struct vm_incoming *vm,
                          struct gate_ranking *ranking)
{
    int rc = 0;

    for (size_t i = 0; i < config->group_count; i++) {
        const struct config_group *group = &config->groups[i];

        if (!is_member(group, vm))
            continue;
        for (size_t j = 0; j < group->vms.count && rc == 0; j++) {
            if (!is_meant(group->vms.items[j], vm))
                rc = look_for_member(group, vm, group->vms.items[j], ranking);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- hosts -------------------------------------------------------------------------- */

/* Why nothing is to be said of a host; NULL: something is. */
static int judge(const struct config *config, const struct catalog_known_host *host, int64_t now_s,
                 struct gate_ranking *ranking, const char **ret_why)
{
    const char *why = NULL;

    if (host->is_self) {
        *ret_why = NULL;
        return 0;
    }
    if (config_host_find(config, host->name) == NULL)
        why = gate_keep(ranking, "it is not in setmov.conf");
    else if (host->read_s == 0)
        why = gate_keep(ranking, "%s", host->problem != NULL ? host->problem : "it was never read");
    else if (now_s - host->read_s > (int64_t)config->hook.max_age_s)
        why = gate_keep(ranking, "nothing was read from it for %" PRId64 " s%s%s",
                        now_s - host->read_s, host->problem != NULL ? ": " : "",
                        host->problem != NULL ? host->problem : "");
    else {
        *ret_why = NULL;
        return 0;
    }
    *ret_why = why;
    return why != NULL ? 0 : -ENOMEM;
}

static int fill(const struct config *config, const struct catalog_known_host *host, int64_t now_s,
                struct gate_ranking *ranking, struct placement_candidate *candidate)
{
    const struct config_host *configured = config_host_find(config, host->name);
    const char *trust_domain = config->setmov.trust_domain;

    if (!host->is_self && configured != NULL)
        trust_domain = configured->trust_domain;
    *candidate = (struct placement_candidate){
        .name = host->name,
        .trust_domain = trust_domain,
        .maintenance = configured != NULL && configured->maintenance,
        .wire_bytes = UNKNOWN_U64,
        .cpu_percent = host->cpu_percent,
        .memory_free_bytes = host->memory_free_bytes,
        .pool_free_bytes = host->pool_free_bytes,
    };
    return judge(config, host, now_s, ranking, &candidate->unusable);
}

int gate_candidates(const struct config *config, const struct vm_incoming *vm, int64_t now_s,
                    struct gate_ranking *ranking)
{
    size_t count = catalog_known_host_count(ranking->known);
    int rc = 0;

    ranking->candidates = calloc(count + 1, sizeof(*ranking->candidates));
    ranking->obstacles = calloc(count + 1, sizeof(*ranking->obstacles));
    if (ranking->candidates == NULL || ranking->obstacles == NULL)
        return -ENOMEM;
    ranking->count = ranking->here = count;
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct catalog_known_host *host = catalog_known_host(ranking->known, i);

        if (host->is_self)
            ranking->here = i;
        rc = fill(config, host, now_s, ranking, &ranking->candidates[i]);
    }
    for (size_t i = 0; i < ranking->vm_count; i++)
        ranking->candidates[ranking->vms[i].host].has_vm = true;
    return rc == 0 ? look_at_groups(config, vm, ranking) : rc;
}
