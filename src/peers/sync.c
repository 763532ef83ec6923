/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Brings what is known of all hosts up to date: who is asked, and what becomes of the answers. */
#include "peers/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* One host on its way through a run. */
struct part {
    struct peers_member member;
    const struct config_host *peer; /* NULL: this host */
    struct peers_host *host;        /* NULL: is not asked */
    struct vm_task *task;
};

struct sync {
    const struct config *config;
    const struct peers_options *options;
    struct part *parts;
    size_t count;
    struct peers_cache cache;
    bool disk_failed;
    struct error disk_error;
};

/* ---- who takes part ------------------------------------------------------------------ */

static bool is_own(const struct config *config, const char *name)
{
    return strcmp(name, config->setmov.name) == 0;
}

static bool is_trusted(const struct config *config, const struct config_host *host)
{
    return strcmp(host->trust_domain, config->setmov.trust_domain) == 0;
}

/* Names of [sync]'s directory of fingerprints, and of what is told. */
static bool keeps_fingerprints(const struct config *config, const char *name)
{
    const struct config_host *host = config_host_find(config, name);

    return host != NULL && !is_own(config, name) && is_trusted(config, host);
}

static bool keeps_about(const struct config *config, const char *name)
{
    return is_own(config, name) || keeps_fingerprints(config, name);
}

static int check_only(const struct config *config, const struct peers_options *options,
                      struct error *err)
{
    for (const char *const *name = options->only; name != NULL && *name != NULL; name++) {
        const struct config_host *host = config_host_find(config, *name);

        if (is_own(config, *name))
            continue;
        if (host == NULL)
            return error_set(err, -ENOENT, "%s has no section [host %s]", config->path, *name);
        if (!is_trusted(config, host))
            return error_set(err, -EPERM, "%s is of the trust domain %s, and this host of %s",
                             *name, host->trust_domain, config->setmov.trust_domain);
    }
    return 0;
}

static bool is_wanted(const struct peers_options *options, const char *name)
{
    if (options->only == NULL)
        return true;
    for (const char *const *only = options->only; *only != NULL; only++) {
        if (strcmp(*only, name) == 0)
            return true;
    }
    return false;
}

static bool is_due(const struct sync *sync, const struct part *part)
{
    const struct peers_state *state = &part->member.state;
    int64_t now_s = time(NULL);

    if (!is_wanted(sync->options, part->member.name))
        return false;
    /* A clock that went backwards is no reason to believe in anything. */
    return sync->options->max_age_s == 0 || state->read_s <= 0 || state->read_s > now_s ||
           state->problem.text[0] != '\0' ||
           (uint64_t)(now_s - state->read_s) >= sync->options->max_age_s;
}

static void read_state(struct peers_member *member)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *path = NULL;
    size_t size = strlen(member->about) + sizeof("/" PEERS_STATE_NAME);

    peers_state_init(&member->state);
    path = malloc(size);
    if (path == NULL)
        return;
    string_format(path, size, "%s/%s", member->about, PEERS_STATE_NAME);
    if (file_read(AT_FDCWD, path, &buffer) == 0)
        peers_state_parse(text_of(buffer.bytes, buffer.length), &member->state);
}

static int add_part(struct sync *sync, const char *name, const struct config_host *peer,
                    struct error *err)
{
    const char *cache = sync->config->sync.cache;
    struct part *part = &sync->parts[sync->count++];
    int rc = 0;

    part->peer = peer;
    part->member.name = name;
    part->member.is_self = peer == NULL;
    part->member.directory = peers_directory(sync->config, name);
    part->member.about = peers_cache_path(cache, CATALOG_ABOUT_NAME, name, NULL);
    if (part->member.directory == NULL || part->member.about == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (peer != NULL)
        rc = peers_make_directory(part->member.directory, err);
    if (rc == 0)
        rc = peers_make_directory(part->member.about, err);
    if (rc < 0)
        return rc;
    if (peer != NULL)
        peers_sweep(part->member.directory);
    peers_sweep(part->member.about);
    read_state(&part->member);
    return 0;
}

static int add_parts(struct sync *sync, struct error *err)
{
    const struct config *config = sync->config;
    int rc = add_part(sync, config->setmov.name, NULL, err);

    for (size_t i = 0; i < config->host_count && rc == 0; i++) {
        const struct config_host *host = &config->hosts[i];

        if (!is_own(config, host->name) && is_trusted(config, host))
            rc = add_part(sync, host->name, host, err);
    }
    return rc;
}

/* ---- asking ----------------------------------------------------------------------------- */

static int prepare(struct sync *sync, struct vm_task *tasks, size_t *ret_count, struct error *err)
{
    size_t count = 0;

    for (size_t i = 0; i < sync->count; i++) {
        struct part *part = &sync->parts[i];
        const struct peers_host_order order = {sync->config, part->peer, part->member.name};

        if (!is_due(sync, part))
            continue;
        part->host = peers_host_new(&order);
        if (part->host == NULL)
            return error_set(err, -ENOMEM, "out of memory");
        part->task = &tasks[count++];
        *part->task = (struct vm_task){
            .run = peers_host_run,
            .release = peers_host_unref,
            .context = part->host,
        };
    }
    *ret_count = count;
    return 0;
}

static int ask_all(struct sync *sync, struct vm_task *tasks, struct error *err)
{
    size_t count = 0;
    int rc = prepare(sync, tasks, &count, err);

    if (rc == 0)
        rc = vm_tasks_run(tasks, count, PEERS_AT_ONCE, (double)sync->config->sync.timeout_s,
                          sync->options->stopped, sync->options->context, err);
    if (rc < 0) {
        /* Not even begun: both references are still here. */
        for (size_t i = 0; i < sync->count; i++) {
            peers_host_unref(sync->parts[i].host);
            peers_host_unref(sync->parts[i].host);
            sync->parts[i].host = NULL;
        }
    }
    return rc;
}

/* ---- what became of it --------------------------------------------------------------------- */

static void note_disk(struct sync *sync, const struct error *why)
{
    if (!sync->disk_failed)
        sync->disk_error = *why;
    sync->disk_failed = true;
}

static int add_reading(const struct sync *sync, const char *path,
                       const struct peers_outcome *outcome, struct error *err)
{
    CLEANUP(catalog_load_release) struct catalog_load load = {0};
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *text = NULL;
    const struct catalog_load_reading reading = {outcome->facts_s, outcome->facts.busy_ns,
                                                 outcome->facts.total_ns};
    size_t length = 0;
    int rc;

    /* One that is damaged begins anew. */
    if (file_read(AT_FDCWD, path, &buffer) == 0)
        (void)catalog_load_parse(text_of(buffer.bytes, buffer.length), &load, NULL);
    rc = catalog_load_add(&load, &reading, sync->config->sync.load_window_s);
    if (rc == 0)
        rc = catalog_load_encode(&load, &text, &length);
    if (rc < 0)
        return error_set(err, rc, "out of memory");
    return new_file_replace(path, text, length, false, err);
}

/* What lies in the place of one host's file is that host's problem; a disk that is full is all's. */
static int note_file(struct sync *sync, int rc, const struct error *why, struct error *err)
{
    if (rc == -EISDIR || rc == -EEXIST || rc == -ELOOP)
        return error_set(err, rc, "%s", why->text);
    note_disk(sync, why);
    return 0;
}

static int keep_load(struct sync *sync, const struct part *part,
                     const struct peers_outcome *outcome, struct error *err)
{
    CLEANUP(cleanup_free)
    char *path = peers_cache_path(sync->config->sync.cache, CATALOG_ABOUT_NAME, part->member.name,
                                  CATALOG_LOAD_NAME);
    struct error why = {""};
    int rc;

    if (!outcome->has_facts || outcome->facts.busy_ns == UNKNOWN_U64 ||
        outcome->facts.total_ns == UNKNOWN_U64 || path == NULL)
        return 0;
    rc = add_reading(sync, path, outcome, &why);
    return rc < 0 ? note_file(sync, rc, &why, err) : 0;
}

static int keep_state(struct sync *sync, struct part *part, const struct peers_outcome *outcome,
                      int code, const struct error *error, struct error *err)
{
    CLEANUP(cleanup_free)
    char *path = peers_cache_path(sync->config->sync.cache, CATALOG_ABOUT_NAME, part->member.name,
                                  PEERS_STATE_NAME);
    struct peers_state *state = &part->member.state;
    char text[PEERS_STATE_BYTES];
    struct error why = {""};
    int rc;

    state->tried_s = time(NULL);
    state->problem.text[0] = '\0';
    if (code == 0)
        state->read_s = state->tried_s;
    else
        state->problem = *error;
    if (outcome->has_facts) {
        state->cpus = outcome->facts.cpus;
        state->memory_bytes = outcome->facts.memory_bytes;
        state->memory_free_bytes = outcome->facts.memory_free_bytes;
        state->pool_free_bytes = outcome->facts.pool_free_bytes;
    }
    text_make_one_line(state->problem.text);
    peers_state_encode(state, text);
    if (path == NULL)
        return 0;
    rc = new_file_replace(path, text, strlen(text), false, &why);
    return rc < 0 ? note_file(sync, rc, &why, err) : 0;
}

/* Leaves what was found in the host's files. The first thing that went wrong is what is said. */
static int keep(struct sync *sync, struct part *part, const struct peers_outcome *outcome, int code,
                struct error *error)
{
    struct error why = {""};
    int rc = keep_load(sync, part, outcome, &why);

    if (code == 0 && rc < 0) {
        code = rc;
        *error = why;
    }
    rc = keep_state(sync, part, outcome, code, error, &why);
    if (code == 0 && rc < 0) {
        code = rc;
        *error = part->member.state.problem = why;
    }
    return code;
}

/* This host's own index is at hand: is it there? */
static int look_at_own(const struct config *config, struct peers_outcome *outcome,
                       struct error *err)
{
    CLEANUP(catalog_manifest_release) struct catalog_manifest manifest = {0};
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *path = NULL;
    size_t size = strlen(config->setmov.index) + sizeof("/" CATALOG_MANIFEST_NAME);
    int rc;

    path = malloc(size);
    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    string_format(path, size, "%s/%s", config->setmov.index, CATALOG_MANIFEST_NAME);
    rc = file_read(AT_FDCWD, path, &buffer);
    if (rc == -ENOENT)
        return error_set(err, rc, "%s is not there: setmov index has to be run first", path);
    if (rc < 0)
        return error_set(err, rc, "%s: %s", path, strerror(-rc));
    rc = catalog_manifest_parse(text_of(buffer.bytes, buffer.length), path, &manifest, err);
    if (rc < 0)
        return rc;
    if (!is_own(config, manifest.host))
        return error_set(err, -EINVAL, "%s is of host '%s', and this is %s", path, manifest.host,
                         config->setmov.name);
    outcome->result.fingerprints = manifest.fingerprint_count;
    outcome->result.made_s = manifest.made_s;
    return 0;
}

static void conclude(struct sync *sync, struct part *part, struct peers_result *ret_result)
{
    struct peers_outcome outcome = {.has_facts = false};
    struct error error = {""};
    int code = -EAGAIN;

    if (part->host != NULL) {
        code = part->task->result;
        error = part->task->error;
        peers_host_close(part->host, &outcome);
        /* The thread's share, where it has left it behind. */
        peers_host_unref(part->task->context);
        peers_host_unref(part->host);
        part->host = NULL;
        if (part->peer != NULL)
            peers_sweep(part->member.directory); /* it may have been given up in the middle */
        if (outcome.disk_failed)
            note_disk(sync, &error);
    }
    if (part->peer == NULL && (code == 0 || code == -EAGAIN)) {
        int own = look_at_own(sync->config, &outcome, &error);

        code = own < 0 ? own : code;
    }
    if (code != -EAGAIN && code != -ECANCELED)
        code = keep(sync, part, &outcome, code, &error);
    *ret_result = outcome.result;
    ret_result->name = part->member.name;
    ret_result->code = code;
    ret_result->read_s = part->member.state.read_s;
    if (code < 0)
        ret_result->error = error;
}

static int run(struct sync *sync, struct peers_result *ret_results, size_t *ret_count,
               struct error *err)
{
    CLEANUP(cleanup_free) struct vm_task *tasks = NULL;
    CLEANUP(cleanup_free) struct peers_member *members = NULL;
    int rc;

    tasks = calloc(sync->count + 1, sizeof(*tasks));
    if (tasks == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = ask_all(sync, tasks, err);
    if (rc < 0)
        return rc;
    members = calloc(sync->count + 1, sizeof(*members));
    if (members == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < sync->count; i++) {
        conclude(sync, &sync->parts[i], &ret_results[i]);
        members[i] = sync->parts[i].member;
        if (sync->options->event != NULL)
            sync->options->event(sync->options->context, &ret_results[i]);
    }
    *ret_count = sync->count;
    if (sync->options->stopped != NULL && sync->options->stopped(sync->options->context))
        return error_set(err, -ECANCELED, "stopped");
    rc = peers_make_known(sync->config, members, sync->count, sync->options, err);
    if (rc == 0 && sync->disk_failed)
        rc = error_set(err, -EIO, "%s", sync->disk_error.text);
    return rc;
}

/* ---- the contract ------------------------------------------------------------------------------- */

static void release(struct sync *sync)
{
    for (size_t i = 0; i < sync->count; i++) {
        free(sync->parts[i].member.directory);
        free(sync->parts[i].member.about);
    }
    free(sync->parts);
    peers_cache_release(&sync->cache);
}

int peers_sync(const struct config *config, const struct peers_options *options,
               struct peers_result *ret_results, size_t *ret_count, struct error *err)
{
    struct sync sync = {.config = config, .options = options, .cache = {.lock = -1}};
    int rc = check_only(config, options, err);

    if (rc < 0)
        return rc;
    sync.parts = calloc(config->host_count + 1, sizeof(*sync.parts));
    if (sync.parts == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = peers_cache_open(config->sync.cache, options, &sync.cache, err);
    if (rc == 0)
        rc = peers_remove_others(config->sync.cache, CATALOG_HOSTS_NAME, keeps_fingerprints, config,
                                 err);
    if (rc == 0)
        rc = peers_remove_others(config->sync.cache, CATALOG_ABOUT_NAME, keeps_about, config, err);
    if (rc == 0) {
        peers_sweep(config->sync.cache);
        rc = add_parts(&sync, err);
    }
    if (rc == 0)
        rc = run(&sync, ret_results, ret_count, err);
    release(&sync);
    return rc;
}
