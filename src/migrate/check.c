/* SPDX-License-Identifier: GPL-2.0-or-later */
/* May the VM go there? Asked of setmov.conf, of this host and of the destination. */
#include "migrate/run.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- the destination that is meant ------------------------------------------------------ */

static int check_host(const struct migration *migration, const struct config_host *host,
                      struct error *err)
{
    const struct config *config = migration->config;

    if (strcmp(host->name, config->setmov.name) == 0)
        return error_set(err, -EINVAL, "%s is this host", host->name);
    if (strcmp(host->trust_domain, config->setmov.trust_domain) != 0)
        return error_set(err, -EINVAL, "%s is of another trust domain (%s, not %s)", host->name,
                         host->trust_domain, config->setmov.trust_domain);
    if (host->maintenance)
        return error_set(err, -EINVAL, "%s is in maintenance", host->name);
    return 0;
}

static const struct config_host *find_by_uri(const struct config *config, const char *uri)
{
    for (size_t i = 0; i < config->host_count; i++) {
        if (strcmp(config->hosts[i].uri, uri) == 0)
            return &config->hosts[i];
    }
    return NULL;
}

int migration_find_host(struct migration *migration, struct error *err)
{
    const struct config *config = migration->config;
    const char *to = migration->options->to;
    bool is_uri = strchr(to, ':') != NULL;
    const struct config_host *host =
        is_uri ? find_by_uri(config, to) : config_host_find(config, to);

    if (host == NULL && !is_uri)
        return error_set(err, -EINVAL, "setmov.conf has no [host %s], and it is no libvirt URI",
                         to);
    migration->host = host;
    migration->name = host != NULL ? host->name : to;
    migration->uri = strdup(host != NULL ? host->uri : to);
    if (migration->uri == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    migration->pool = host != NULL ? host->pool : config->setmov.pool;
    migration->incoming_pool = host != NULL ? host->incoming_pool : config->setmov.incoming_pool;
    migration->migrate_uri = migration->options->migrate_uri != NULL
                                 ? migration->options->migrate_uri
                             : host != NULL ? host->migrate_uri
                                            : NULL;
    migration->bandwidth_bits_per_s =
        host != NULL ? host->bandwidth_bits_per_s : config->setmov.bandwidth_bits_per_s;
    return host != NULL ? check_host(migration, host, err) : 0;
}

/* ---- this host ---------------------------------------------------------------------------- */

static int check_vm(const struct migration *migration, struct error *err)
{
    const struct vm_move *vm = &migration->vm;
    const struct migrate_options *options = migration->options;

    if (vm->obstacles.count > 0)
        return error_set(err, -ENOTSUP, "%s cannot move: %s", vm->name, vm->obstacles.lines[0]);
    if (options->offline && vm->active)
        return error_set(err, -EINVAL, "%s runs: shut it down first, or leave out --offline",
                         vm->name);
    if (!options->offline && !vm->active && !options->dry_run)
        return error_set(err, -EINVAL, "%s is off: --offline moves it so", vm->name);
    if (migration->chains.count == 0 && !vm->active)
        migration_note((struct migration *)migration, "%s has no disk that goes along", vm->name);
    return 0;
}

/* Only files are built there. */
static int check_layers(const struct migration *migration, struct error *err)
{
    for (size_t i = 0; i < migration->chains.count; i++) {
        const struct vm_chain *chain = &migration->chains.chains[i];

        for (size_t j = 0; j < chain->count; j++) {
            struct stat status;

            if (stat(chain->layers[j].path, &status) < 0)
                return error_set(err, -errno, "disk %s: %s: %s", chain->target,
                                 chain->layers[j].path, strerror(errno));
            if (!S_ISREG(status.st_mode))
                return error_set(err, -ENOTSUP,
                                 "disk %s: %s is no regular file; block devices cannot be moved",
                                 chain->target, chain->layers[j].path);
        }
    }
    return 0;
}

/* Nobody else is at it, and nothing is left of an earlier one. */
static int take_journal(struct migration *migration, struct error *err)
{
    const char *state = migration->config->setmov.state;
    struct journal journal = {.vm_name = NULL};
    struct error why = {""};
    int rc = journal_lock(state, &migration->vm.uuid, &migration->lock, err);

    if (rc == -EBUSY)
        return error_set(err, rc, "a migration of %s is under way", migration->vm.name);
    if (rc < 0)
        return rc;
    rc = journal_load(state, &migration->vm.uuid, &journal, &why);
    if (rc == -ENOENT)
        return 0;
    if (rc == 0)
        rc = error_set(err, -EBUSY,
                       "an earlier migration of %s to %s has not ended: run setmov recover %s",
                       migration->vm.name, journal.host != NULL ? journal.host : journal.uri,
                       migration->vm.name);
    else
        rc = error_set(err, -EBUSY, "the journal of an earlier migration of %s cannot be read: %s",
                       migration->vm.name, why.text);
    journal_release(&journal);
    return rc;
}

static int look_here(struct migration *migration, char ret_uuid[37], struct error *err)
{
    struct vm_peer_facts facts = {.uuid = ""};
    int rc = migration_open(migration, migration->config->setmov.connect, &migration->here, err);

    if (rc == 0)
        rc = vm_move_read(migration->here, migration->options->vm, &migration->vm, err);
    if (rc == 0)
        rc = vm_chains_read(migration->here, &migration->vm.uuid, &migration->chains, err);
    if (rc == 0 && !migration->options->dry_run)
        rc = take_journal(migration, err);
    if (rc == 0)
        rc = check_vm(migration, err);
    if (rc == 0)
        rc = check_layers(migration, err);
    if (rc == 0 &&
        vm_peer_facts(migration->here, migration->config->setmov.pool, &facts, NULL) == 0)
        string_copy(ret_uuid, 37, facts.uuid);
    return rc;
}

/* ---- the destination ------------------------------------------------------------------------ */

int migration_open(struct migration *migration, const char *uri, struct vm_peer **ret_peer,
                   struct error *err)
{
    return migrate_open(migration->config, uri, NULL, NULL, ret_peer, err);
}

static bool is_enough(uint64_t free_bytes, uint64_t needed, uint64_t reserve)
{
    return free_bytes == UNKNOWN_U64 || (free_bytes >= needed && free_bytes - needed >= reserve);
}

/* What is not known is no reason to refuse: the hook and QEMU look for themselves. */
static int check_room(struct migration *migration, struct error *err)
{
    const struct config *config = migration->config;
    struct vm_peer_facts facts;
    uint64_t bytes = 0;
    int rc = vm_peer_facts(migration->there, migration->pool, &facts, err);

    if (rc < 0)
        return error_prefix(err, rc, "%s", migration->name);
    for (size_t i = 0; i < migration->vm.disk_count; i++) {
        const struct vm_move_disk *disk = &migration->vm.disks[i];

        bytes += disk->allocated_bytes < disk->capacity_bytes ? disk->allocated_bytes
                                                              : disk->capacity_bytes;
    }
    if (migration->vm.active && !is_enough(facts.memory_free_bytes, migration->vm.memory_bytes,
                                           config->choose.memory_reserve_bytes))
        return error_set(err, -EINVAL,
                         "%s has %llu MiB of memory free; %s needs %llu, and %llu stay free",
                         migration->name, (unsigned long long)(facts.memory_free_bytes >> 20),
                         migration->vm.name, (unsigned long long)(migration->vm.memory_bytes >> 20),
                         (unsigned long long)(config->choose.memory_reserve_bytes >> 20));
    if (!is_enough(facts.pool_free_bytes, bytes, config->choose.space_reserve_bytes))
        return error_set(err, -ENOSPC,
                         "pool %s of %s has %llu MiB free; %s needs up to %llu, and %llu stay free",
                         migration->pool, migration->name,
                         (unsigned long long)(facts.pool_free_bytes >> 20), migration->vm.name,
                         (unsigned long long)(bytes >> 20),
                         (unsigned long long)(config->choose.space_reserve_bytes >> 20));
    return 0;
}

static int ask_there(struct migration *migration, const char *own_uuid, struct error *err)
{
    struct vm_lines obstacles = {0}, unknown = {0};
    int rc = vm_move_ask(migration->there, &migration->vm, own_uuid, &obstacles, &unknown, err);

    if (rc < 0)
        rc = error_prefix(err, rc, "%s", migration->name);
    else if (obstacles.count > 0)
        rc = error_set(err, -EINVAL, "%s cannot go to %s: %s", migration->vm.name, migration->name,
                       obstacles.lines[0]);
    for (size_t i = 0; i < unknown.count && rc == 0; i++)
        migration_note(migration, "%s: cannot be told: %s", migration->name, unknown.lines[i]);
    vm_lines_release(&obstacles);
    vm_lines_release(&unknown);
    return rc;
}

/* The pool that takes plan and parts; and which parts are there already. */
static int list_parts(struct migration *migration, struct error *err)
{
    int rc = vm_volumes_list(migration->there, migration->incoming_pool, TRANSFER_PART_PREFIX,
                             &migration->volumes, err);

    if (rc == -ENOENT)
        return error_set(err, -EPROTONOSUPPORT,
                         "%s has no pool %s that could take what is sent: run setmov index there",
                         migration->name, migration->incoming_pool);
    return rc < 0 ? error_prefix(err, rc, "%s", migration->name) : 0;
}

int migration_check(struct migration *migration, struct error *err)
{
    char own_uuid[37] = "";
    int rc = look_here(migration, own_uuid, err);

    if (rc == 0)
        rc = migration_open(migration, migration->uri, &migration->there, err);
    if (rc == 0)
        rc = ask_there(migration, own_uuid, err);
    if (rc == 0)
        rc = check_room(migration, err);
    if (rc == 0)
        rc = list_parts(migration, err);
    return rc == 0 && migration_stopped(migration) ? migration_why(migration, -ECANCELED, err) : rc;
}
