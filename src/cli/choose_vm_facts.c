/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `setmov choose VM`: what the cache of `setmov sync` (and collectd's RRD files)
 * know of the candidates beside their images: how old it is, their load, and
 * where the other members of the VM's groups are.
 */
#include "choose_vm.h"
#include "setmov/catalog_load.h"
#include "setmov/history.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

/* ---- load ----------------------------------------------------------------------------------- */

/* What the plugin of collectd on the host calls its share of busy CPU. */
#define HISTORY_METRIC "setmov-host/percent-cpu.rrd"

int choose_vm_history(struct choose_vm *vm, struct error *err)
{
    time_t now = time(NULL);

    if (vm->config->choose.history == NULL)
        return 0;
    for (size_t i = 0; i < vm->host_count; i++) {
        struct choose_vm_host *host = &vm->hosts[i];
        CLEANUP(cleanup_free) char *path = NULL;
        struct error why = {""};
        int rc = 0;

        if (host->is_out)
            continue;
        if (asprintf(&path, "%s/%s/" HISTORY_METRIC, vm->config->choose.history,
                     host->config->name) < 0) {
            path = NULL;
            return error_set(err, -ENOMEM, "out of memory");
        }
        rc = history_mean(path, now - (time_t)vm->config->sync.load_window_s, now,
                          &host->cpu_percent, &why);
        /* One that sends nothing to collectd has no file: setmov sync knows of its load. */
        if (rc < 0 && rc != -ENOENT && vm_lines_add(&host->notes, "%s", why.text) < 0)
            return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

/*
 * Over the configured window, up to now: the counters that the host told just
 * now against those that were kept. NaN where there are none yet.
 */
static double load_of(const struct choose_vm *vm, const struct choose_vm_host *host)
{
    CLEANUP(cleanup_free) char *path = NULL;
    CLEANUP(file_buffer_release) struct file_buffer buffer = {0};
    struct catalog_load load = {0};
    struct catalog_load_reading now = {time(NULL), host->busy_ns, host->total_ns};
    double percent = NAN;

    if (asprintf(&path, "%s/" CATALOG_ABOUT_NAME "/%s/" CATALOG_LOAD_NAME, vm->config->sync.cache,
                 host->config->name) < 0) {
        path = NULL;
        return NAN;
    }
    if (file_read(AT_FDCWD, path, &buffer) < 0 ||
        catalog_load_parse(text_of(buffer.bytes, buffer.length), &load, NULL) < 0)
        return NAN;
    if (host->busy_ns == UNKNOWN_U64 || host->total_ns == UNKNOWN_U64 ||
        catalog_load_add(&load, &now, vm->config->sync.load_window_s) == 0)
        percent = catalog_load_percent(&load, now.time_s, vm->config->sync.load_window_s);
    catalog_load_release(&load);
    return percent;
}

/* ---- what is known of the host's images ----------------------------------------------------- */

static int judge_age(struct choose_vm_host *host, const struct catalog_known_host *known)
{
    const char *problem = known != NULL ? known->problem : NULL;

    if (known == NULL || known->read_s == 0)
        return choose_vm_host_unusable(host, "nothing is known of its images: %s",
                                       problem != NULL ? problem : "setmov sync has not read it");
    host->is_known = true;
    if (problem == NULL)
        return 0;
    return vm_lines_add(&host->notes, "what is known of its images is %lld min old: %s",
                        (long long)(((int64_t)time(NULL) - known->read_s) / 60), problem);
}

static int take_known(struct choose_vm *vm, const struct catalog_known *known,
                      struct choose_vm_host *host)
{
    const struct catalog_known_host *facts = NULL;
    size_t at = known != NULL ? catalog_known_host_find(known, host->config->name) : 0;

    if (known != NULL && at < catalog_known_host_count(known))
        facts = catalog_known_host(known, at);
    if (isnan(host->cpu_percent))
        host->cpu_percent = load_of(vm, host);
    if (isnan(host->cpu_percent) && facts != NULL)
        host->cpu_percent = facts->cpu_percent;
    return judge_age(host, facts);
}

/* ---- groups ----------------------------------------------------------------------------------- */

static bool is_this_vm(const struct vm_move *move, const char *name_or_uuid)
{
    struct uuid uuid;

    return strcmp(move->name, name_or_uuid) == 0 ||
           (uuid_parse(name_or_uuid, &uuid) == 0 &&
            memcmp(uuid.bytes, move->uuid.bytes, UUID_BYTES) == 0);
}

static bool has_this_vm(const struct choose_vm *vm, const struct config_group *group)
{
    for (size_t i = 0; vm->shared->is_vm && i < group->vms.count; i++) {
        if (is_this_vm(&vm->shared->move, group->vms.items[i]))
            return true;
    }
    return false;
}

/* A VM is where it runs; one that runs nowhere is wherever it is defined. */
static int keep_apart(struct choose_vm *vm, const struct catalog_known *known, const char *member,
                      const char *group)
{
    struct catalog_known_vm *found = NULL;
    size_t count = 0;
    int rc = catalog_known_find_text(known, member, &found, &count, NULL);

    if (rc == 0 && count == 0)
        rc = vm_lines_add(&vm->notes, "where %s of the group %s is, is not known", member, group);
    for (size_t i = 0; i < count && rc == 0; i++) {
        const char *name = catalog_known_host(known, found[i].host)->name;

        if ((found[0].active && !found[i].active) ||
            memcmp(found[i].uuid.bytes, vm->shared->move.uuid.bytes, UUID_BYTES) == 0)
            continue;
        for (size_t j = 0; j < vm->host_count && rc == 0; j++) {
            if (!vm->hosts[j].is_self && strcmp(vm->hosts[j].config->name, name) == 0)
                rc = vm_lines_add(&vm->hosts[j].obstacles, "has %s of the same group, %s", member,
                                  group);
        }
    }
    catalog_known_vms_free(found, count);
    return rc;
}

static int keep_groups_apart(struct choose_vm *vm, const struct catalog_known *known)
{
    int rc = 0;

    for (size_t i = 0; i < vm->config->group_count; i++) {
        const struct config_group *group = &vm->config->groups[i];

        if (!has_this_vm(vm, group))
            continue;
        for (size_t j = 0; j < group->vms.count && rc == 0; j++) {
            if (is_this_vm(&vm->shared->move, group->vms.items[j]))
                continue;
            if (known != NULL)
                rc = keep_apart(vm, known, group->vms.items[j], group->name);
        }
        if (known == NULL && rc == 0)
            rc = vm_lines_add(&vm->notes, "where the VMs of the group %s are, is not known",
                              group->name);
    }
    return rc;
}

int choose_vm_facts(struct choose_vm *vm, struct error *err)
{
    struct catalog_known *known = NULL;
    struct error why = {""};
    int rc = catalog_known_open(vm->config->sync.cache, &known, &why);

    if (rc == -ENOENT)
        rc = 0;
    else if (rc < 0 && rc != -ENOMEM)
        rc = vm_lines_add(&vm->notes, "%s", why.text);
    for (size_t i = 0; i < vm->host_count && rc == 0; i++) {
        const struct choose_vm_host *host = &vm->hosts[i];

        /* Of other trust domains nothing is kept. */
        if (!host->is_self && strcmp(host->domain, vm->config->setmov.trust_domain) == 0)
            rc = take_known(vm, known, &vm->hosts[i]);
    }
    if (rc == 0)
        rc = keep_groups_apart(vm, known);
    catalog_known_close(known);
    return rc < 0 ? error_set(err, rc, "out of memory") : 0;
}
