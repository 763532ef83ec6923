/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads one host: facts, manifest, and the sketches that changed; in a thread that may be given up. */
#include "peers/internal.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

struct peers_host {
    pthread_mutex_t mutex; /* for all below it */
    bool closed;
    unsigned references;
    struct peers_outcome outcome;

    /* What it was told; does not change. */
    char *name, *uri, *pool, *setmov_pool;
    char *directory, *manifest; /* in the cache; NULL for this host */
    uint64_t budget_bytes;      /* UINT64_MAX: none */
};

/* ---- made and shared -------------------------------------------------------------- */

static char *copy(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

static void peers_host_free(struct peers_host *host)
{
    pthread_mutex_destroy(&host->mutex);
    free(host->name);
    free(host->uri);
    free(host->pool);
    free(host->setmov_pool);
    free(host->directory);
    free(host->manifest);
    free(host);
}

struct peers_host *peers_host_new(const struct peers_host_order *order)
{
    const struct config *config = order->config;
    const struct config_host *peer = order->peer;
    struct peers_host *host = calloc(1, sizeof(*host));

    if (host == NULL)
        return NULL;
    pthread_mutex_init(&host->mutex, NULL);
    host->references = 2;
    host->name = copy(order->name);
    host->uri = copy(peer != NULL ? peer->sync_uri : config->setmov.connect);
    host->pool = copy(peer != NULL ? peer->pool : config->setmov.pool);
    host->setmov_pool = copy(peer != NULL ? peer->setmov_pool : config->setmov.setmov_pool);
    host->budget_bytes = config->sync.budget_bytes > 0 ? config->sync.budget_bytes : UINT64_MAX;
    if (peer != NULL) {
        host->directory = peers_directory(config, order->name);
        host->manifest = peers_cache_path(config->sync.cache, CATALOG_ABOUT_NAME, order->name,
                                          CATALOG_MANIFEST_NAME);
    }
    if (host->name == NULL || host->uri == NULL || host->pool == NULL ||
        host->setmov_pool == NULL ||
        (peer != NULL && (host->directory == NULL || host->manifest == NULL))) {
        peers_host_free(host);
        return NULL;
    }
    return host;
}

void peers_host_unref(void *context)
{
    struct peers_host *host = context;
    bool last;

    if (host == NULL)
        return;
    pthread_mutex_lock(&host->mutex);
    last = --host->references == 0;
    pthread_mutex_unlock(&host->mutex);
    if (last)
        peers_host_free(host);
}

void peers_host_close(struct peers_host *host, struct peers_outcome *ret_outcome)
{
    pthread_mutex_lock(&host->mutex);
    host->closed = true;
    *ret_outcome = host->outcome;
    pthread_mutex_unlock(&host->mutex);
}

/* The mutex is held behind this where it is true, and only then. */
static bool enter(struct peers_host *host)
{
    pthread_mutex_lock(&host->mutex);
    if (!host->closed)
        return true;
    pthread_mutex_unlock(&host->mutex);
    return false;
}

static void leave(struct peers_host *host)
{
    pthread_mutex_unlock(&host->mutex);
}

static int given_up(struct error *err)
{
    return error_set(err, -ECANCELED, "given up");
}

/* ---- what was read is counted ------------------------------------------------------- */

struct reading {
    struct peers_host *host;
    struct peers_source source;
    uint64_t bytes; /* what source.bytes_read points to */
    bool is_last;   /* what changed while it was read is not looked at once more */
    bool has_changed;
};

static void count_bytes(struct reading *reading)
{
    if (!enter(reading->host))
        return;
    reading->host->outcome.result.bytes_read = reading->bytes;
    leave(reading->host);
}

static void note_damage(struct peers_host *host, const struct error *why, size_t count)
{
    struct peers_result *result = &host->outcome.result;

    if (count == 0 || !enter(host))
        return;
    if (result->damaged == 0)
        result->error = *why;
    result->damaged += count;
    leave(host);
}

/* ---- one fingerprint --------------------------------------------------------------------- */

static int make_file(struct peers_host *host, const char *path, struct new_file *ret_file,
                     struct error *err)
{
    int rc;

    if (!enter(host))
        return given_up(err);
    rc = new_file_beside(path, ret_file, err);
    leave(host);
    return rc;
}

static int publish(struct peers_host *host, struct new_file *file, struct error *err)
{
    int rc;

    if (!enter(host))
        return given_up(err);
    rc = new_file_publish(file, err);
    host->outcome.result.read += rc == 0;
    leave(host);
    return rc;
}

static void drop_file(struct peers_host *host, struct new_file *file)
{
    if (enter(host)) {
        new_file_release(file);
        leave(host);
        return;
    }
    /* Who closed it has swept, or will: the name may be somebody else's by now. */
    free(file->beside);
    file->beside = NULL;
    new_file_release(file);
}

/* Is what was read of use? Its layers and sketch have been compared with nothing but checksums. */
static int check_file(const struct new_file *file, const char *name, struct error *err)
{
    struct fingerprint_file *opened = NULL;
    struct error why = {""};
    size_t prefix = strlen(file->beside);
    int rc = fingerprint_file_open(file->beside, FINGERPRINT_PART_SKETCH, false, &opened, &why);

    fingerprint_file_close(opened);
    if (rc == 0)
        return 0;
    prefix = strncmp(why.text, file->beside, prefix) == 0 ? prefix : 0;
    return error_set(err, rc, "%s%s", name, why.text + prefix);
}

static int check_budget(const struct reading *reading, const char *name, uint64_t bytes,
                        struct error *err)
{
    uint64_t most = reading->host->budget_bytes;

    if (bytes > most || FINGERPRINT_HEAD_MAX > most - bytes)
        return error_set(err, -EFBIG, "%s: its sketch has %llu bytes, and the budget is %llu", name,
                         (unsigned long long)bytes, (unsigned long long)most);
    return bytes <= reading->source.budget_bytes
               ? 0
               : error_set(err, -EDQUOT, "%s: the budget for this host is used up", name);
}

static int fill(struct reading *reading, const struct catalog_manifest_fingerprint *fingerprint,
                const uint8_t *head_bytes, const struct fingerprint_head *head,
                const struct new_file *file, enum peers_fault *ret_fault, struct error *err)
{
    struct peers_range ranges[FINGERPRINT_MAX_SECTIONS];
    size_t count = peers_sketch_ranges(head, ranges);
    size_t length =
        head->file_length < FINGERPRINT_HEAD_MAX ? (size_t)head->file_length : FINGERPRINT_HEAD_MAX;
    int rc;

    *ret_fault = PEERS_HERE;
    rc = new_file_truncate(file, head->file_length, err);
    if (rc == 0)
        rc = new_file_write(file, head_bytes, length, 0, err);
    if (rc == 0)
        rc = peers_read_ranges(&reading->source, ranges, count, file, ret_fault, err);
    if (rc < 0)
        return rc;
    *ret_fault = PEERS_HERE;
    /* The head says what is there: the rest must be on the disk before it. */
    rc = new_file_sync(file, err);
    if (rc < 0)
        return rc;
    *ret_fault = PEERS_THERE;
    return check_file(file, fingerprint->name, err);
}

static int read_one(struct reading *reading, const struct catalog_manifest_fingerprint *fingerprint,
                    enum peers_fault *ret_fault, struct error *err)
{
    struct peers_host *host = reading->host;
    struct peers_range ranges[FINGERPRINT_MAX_SECTIONS];
    uint8_t bytes[FINGERPRINT_HEAD_MAX];
    struct new_file file = NEW_FILE_NONE;
    struct fingerprint_head head;
    CLEANUP(cleanup_free) char *path = NULL;
    size_t size = strlen(host->directory) + strlen(fingerprint->name) + 2;
    int rc;

    *ret_fault = PEERS_THERE;
    reading->source.volume = fingerprint->name;
    rc = peers_read_head(&reading->source, fingerprint, bytes, &head, err);
    if (rc == 0)
        rc = check_budget(reading, fingerprint->name,
                          peers_ranges_bytes(ranges, peers_sketch_ranges(&head, ranges)), err);
    if (rc < 0)
        return rc;
    path = malloc(size);
    *ret_fault = PEERS_HERE;
    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    string_format(path, size, "%s/%s", host->directory, fingerprint->name);
    rc = make_file(host, path, &file, err);
    if (rc < 0)
        return rc;
    rc = fill(reading, fingerprint, bytes, &head, &file, ret_fault, err);
    if (rc == 0) {
        *ret_fault = PEERS_HERE;
        rc = publish(host, &file, err);
    }
    drop_file(host, &file);
    return rc;
}

/* ---- all of them ------------------------------------------------------------------------------ */

/* Does the peer answer at all? A broken line must not be taken for so many broken files. */
static int probe(struct reading *reading, struct error *err)
{
    size_t length;
    char byte;

    return vm_peer_read(reading->source.peer, reading->source.pool, CATALOG_MANIFEST_NAME, 0, &byte,
                        1, &length, err);
}

/* 0: the others go on. */
static int take_failure(struct reading *reading,
                        const struct catalog_manifest_fingerprint *fingerprint, int code,
                        enum peers_fault fault, const struct error *why, struct error *err)
{
    struct error none;

    if (code == -ECANCELED || code == -ENOMEM || fault == PEERS_HERE) {
        if (fault == PEERS_HERE && code != -ECANCELED && enter(reading->host)) {
            reading->host->outcome.disk_failed = true;
            leave(reading->host);
        }
        *err = *why;
        return code;
    }
    /* It was replaced or dropped since the manifest was read. */
    if ((code == -ESTALE || code == -ENOENT) && !reading->is_last) {
        reading->has_changed = true;
        return 0;
    }
    if (code == -EIO && probe(reading, &none) < 0) {
        *err = *why;
        return code;
    }
    note_damage(reading->host, why, 1);
    /* An older one stays where it may still be true. */
    if (code != -EIO && code != -ENOENT && enter(reading->host)) {
        CLEANUP(cleanup_free) char *path = NULL;
        size_t size = strlen(reading->host->directory) + strlen(fingerprint->name) + 2;

        path = malloc(size);
        if (path != NULL) {
            string_format(path, size, "%s/%s", reading->host->directory, fingerprint->name);
            unlink(path);
        }
        leave(reading->host);
    }
    return 0;
}

static int read_all(struct reading *reading, const struct catalog_manifest *manifest,
                    const struct peers_plan *plan, struct error *err)
{
    for (size_t i = 0; i < plan->read_count; i++) {
        const struct catalog_manifest_fingerprint *one = &manifest->fingerprints[plan->read[i]];
        enum peers_fault fault;
        struct error why = {""};
        int rc = read_one(reading, one, &fault, &why);

        count_bytes(reading);
        if (rc == -EDQUOT && fault == PEERS_THERE) {
            if (!enter(reading->host))
                return given_up(err);
            reading->host->outcome.result.budget_ended = true;
            leave(reading->host);
            return 0;
        }
        if (rc < 0)
            rc = take_failure(reading, one, rc, fault, &why, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int drop_gone(struct peers_host *host, const struct peers_plan *plan,
                     const struct peers_cached_list *cached, struct error *err)
{
    if (!enter(host))
        return given_up(err);
    host->outcome.result.fingerprints = plan->accepted;
    for (size_t i = 0; i < plan->gone_count; i++) {
        const char *name = cached->items[plan->gone[i]].name;
        size_t size = strlen(host->directory) + strlen(name) + 2;
        CLEANUP(cleanup_free) char *path = malloc(size);

        if (path == NULL)
            break; /* the next run finds it, too */
        string_format(path, size, "%s/%s", host->directory, name);
        host->outcome.result.dropped += unlink(path) == 0;
    }
    leave(host);
    return 0;
}

static int read_fingerprints(struct reading *reading, const struct catalog_manifest *manifest,
                             struct error *err)
{
    CLEANUP(peers_cached_release) struct peers_cached_list cached = {0};
    CLEANUP(peers_plan_release) struct peers_plan plan = {0};
    int rc = peers_list(reading->host->directory, &cached, err);

    if (rc < 0) {
        if (enter(reading->host)) {
            reading->host->outcome.disk_failed = true;
            leave(reading->host);
        }
        return rc;
    }
    if (peers_plan_make(manifest, &cached, &plan) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    rc = drop_gone(reading->host, &plan, &cached, err);
    /* The second look counts what is wrong anew. */
    if (reading->is_last && enter(reading->host)) {
        reading->host->outcome.result.damaged = 0;
        leave(reading->host);
    }
    note_damage(reading->host, &plan.why, plan.refused);
    if (rc == 0)
        rc = read_all(reading, manifest, &plan, err);
    return rc;
}

/* ---- the manifest -------------------------------------------------------------------------------- */

static int keep_manifest(struct peers_host *host, int64_t made_s, const char *bytes, size_t length,
                         struct error *err)
{
    int rc;

    if (!enter(host))
        return given_up(err);
    rc = new_file_replace(host->manifest, bytes, length, false, err);
    host->outcome.result.made_s = made_s;
    host->outcome.disk_failed |= rc < 0;
    leave(host);
    return rc;
}

static int take_manifest(struct reading *reading, struct catalog_manifest *ret_manifest,
                         struct error *err)
{
    struct peers_host *host = reading->host;
    CLEANUP(cleanup_free) char *bytes = NULL;
    struct catalog_manifest manifest = {0};
    size_t length = 0;
    int rc;

    reading->source.volume = CATALOG_MANIFEST_NAME;
    rc = peers_read_whole(&reading->source, CATALOG_MANIFEST_MAX_BYTES, &bytes, &length, err);
    count_bytes(reading);
    if (rc == -ENOENT)
        error_prefix(err, rc, "it offers no index (is setmov index run there?)");
    if (rc < 0)
        return rc;
    rc = catalog_manifest_parse(text_of(bytes, length), CATALOG_MANIFEST_NAME, &manifest, err);
    if (rc < 0)
        return rc;
    if (strcmp(manifest.host, host->name) != 0)
        rc = error_set(err, -EINVAL,
                       "the host there calls itself '%s' (see name in its setmov.conf)",
                       manifest.host);
    if (rc == 0)
        rc = keep_manifest(host, manifest.made_s, bytes, length, err);
    if (rc < 0) {
        catalog_manifest_release(&manifest);
        return rc;
    }
    *ret_manifest = manifest;
    return 0;
}

/* ---- the thread -------------------------------------------------------------------------------------- */

static int read_facts(struct peers_host *host, struct vm_peer *peer, struct error *err)
{
    struct vm_peer_facts facts;
    int rc = vm_peer_facts(peer, host->pool, &facts, err);

    if (rc < 0)
        return rc;
    if (!enter(host))
        return given_up(err);
    host->outcome.facts = facts;
    host->outcome.facts_s = time(NULL);
    host->outcome.has_facts = true;
    leave(host);
    return 0;
}

static int read_index(struct peers_host *host, struct vm_peer *peer, struct error *err)
{
    struct reading reading = {
        .host = host,
        .source = {.peer = peer, .pool = host->setmov_pool, .budget_bytes = host->budget_bytes},
    };
    int rc;

    reading.source.bytes_read = &reading.bytes;
    do {
        CLEANUP(catalog_manifest_release) struct catalog_manifest manifest = {0};

        reading.is_last = reading.has_changed;
        reading.has_changed = false;
        rc = take_manifest(&reading, &manifest, err);
        if (rc == 0)
            rc = read_fingerprints(&reading, &manifest, err);
    } while (rc == 0 && reading.has_changed);
    return rc;
}

int peers_host_run(void *context, struct error *err)
{
    struct peers_host *host = context;
    struct vm_peer *peer = NULL;
    int rc = vm_peer_open(host->uri, &peer, err);

    if (rc == 0)
        rc = read_facts(host, peer, err);
    if (rc == 0 && host->directory != NULL)
        rc = read_index(host, peer, err);
    vm_peer_close(peer);
    return rc;
}
