/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fetches exact fingerprints into the cache. The sparse files are filled in
 * place: nobody reads what is not there yet without comparing checksums, so
 * neither a thread that was given up nor another program that fetches the same
 * can do harm, and no lock keeps a choice waiting for a sync.
 */
#include "peers/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

/* One file to be filled. */
struct fill {
    size_t want; /* index */
    char *name;
    struct new_file file;
    struct catalog_manifest_fingerprint expected; /* its name is not owned */
    struct peers_range ranges[FINGERPRINT_MAX_SECTIONS];
    size_t range_count;
    uint64_t bytes_read;
    int result; /* -EINPROGRESS: not yet */
    struct error error;
};

/* All those of one host: what its thread works on, owned by two as struct peers_host is. */
struct fetch {
    pthread_mutex_t mutex; /* for references, and each fill's bytes_read, result and error */
    unsigned references;
    char *host, *uri, *pool;
    struct fill **fills;
    size_t count, capacity;
};

/* ---- made and shared ------------------------------------------------------------------ */

static void fill_free(struct fill *fill)
{
    if (fill == NULL)
        return;
    free(fill->name);
    cleanup_close(&fill->file.fd);
    free(fill);
}

static void fetch_free(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->count; i++)
        fill_free(fetch->fills[i]);
    free(fetch->fills);
    free(fetch->host);
    free(fetch->uri);
    free(fetch->pool);
    pthread_mutex_destroy(&fetch->mutex);
    free(fetch);
}

static void fetch_unref(void *context)
{
    struct fetch *fetch = context;
    bool last;

    if (fetch == NULL)
        return;
    pthread_mutex_lock(&fetch->mutex);
    last = --fetch->references == 0;
    pthread_mutex_unlock(&fetch->mutex);
    if (last)
        fetch_free(fetch);
}

static struct fetch *fetch_new(const struct config_host *peer)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));

    if (fetch == NULL)
        return NULL;
    pthread_mutex_init(&fetch->mutex, NULL);
    fetch->references = 2;
    fetch->host = strdup(peer->name);
    fetch->uri = strdup(peer->sync_uri);
    fetch->pool = strdup(peer->setmov_pool);
    if (fetch->host == NULL || fetch->uri == NULL || fetch->pool == NULL) {
        fetch_free(fetch);
        return NULL;
    }
    return fetch;
}

/* ---- in the thread ------------------------------------------------------------------------- */

static int fill_one(struct fetch *fetch, struct vm_peer *peer, struct fill *fill, uint64_t *bytes,
                    struct error *err)
{
    struct peers_source source = {
        .peer = peer,
        .pool = fetch->pool,
        .volume = fill->name,
        .budget_bytes = UINT64_MAX, /* it was counted beforehand */
        .bytes_read = bytes,
    };
    uint8_t head_bytes[FINGERPRINT_HEAD_MAX];
    struct fingerprint_head head;
    enum peers_fault fault;
    int rc = peers_read_head(&source, &fill->expected, head_bytes, &head, err);

    if (rc == -ESTALE)
        return error_set(err, rc, "%s: it has changed there since the last sync", fill->name);
    if (rc == 0)
        rc = peers_read_ranges(&source, fill->ranges, fill->range_count, &fill->file, &fault, err);
    return rc;
}

static int fetch_run(void *context, struct error *err)
{
    struct fetch *fetch = context;
    struct vm_peer *peer = NULL;
    int rc = vm_peer_open(fetch->uri, &peer, err);

    for (size_t i = 0; i < fetch->count && rc == 0; i++) {
        struct fill *fill = fetch->fills[i];
        struct error why = {""};
        uint64_t bytes = 0;
        int result = fill_one(fetch, peer, fill, &bytes, &why);

        pthread_mutex_lock(&fetch->mutex);
        fill->bytes_read = bytes;
        fill->result = result;
        fill->error = why;
        pthread_mutex_unlock(&fetch->mutex);
    }
    vm_peer_close(peer);
    return rc;
}

/* ---- what there is to do --------------------------------------------------------------------- */

static bool is_complete(const char *path)
{
    struct fingerprint_file *file = NULL;
    bool complete = fingerprint_file_open(path, FINGERPRINT_PART_ALL, false, &file, NULL) == 0;

    fingerprint_file_close(file);
    return complete;
}

/* The file as sync has left it. */
static int open_sketch(const char *path, struct fill *fill, struct error *err)
{
    uint8_t bytes[FINGERPRINT_HEAD_MAX];
    struct fingerprint_head head;
    struct stat status;
    ssize_t got;
    int rc;

    fill->file =
        (struct new_file){.fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY),
                          .name = fill->name,
                          .target = fill->name};
    if (fill->file.fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (fstat(fill->file.fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "%s: is no regular file", path);
    got = pread(fill->file.fd, bytes, sizeof(bytes), 0);
    rc = got > 0 ? fingerprint_head_decode(bytes, (size_t)got, &head, err)
                 : error_set(err, -EINVAL, "it is empty");
    if (rc < 0)
        return error_prefix(err, rc, "%s", path);
    fill->expected = (struct catalog_manifest_fingerprint){
        fill->name, head.file_length, fingerprint_checksum(bytes, (size_t)got)};
    fill->range_count = peers_exact_ranges(&head, fill->ranges);
    return 0;
}

/* NULL: there is nothing to be read, and the want says why. */
static struct fill *fill_new(const struct config *config, struct peers_want *want, size_t index)
{
    CLEANUP(cleanup_free)
    char *path = peers_cache_path(config->sync.cache, CATALOG_HOSTS_NAME, want->host, want->name);
    struct fill *fill;

    if (path != NULL && is_complete(path)) {
        want->result = 0;
        return NULL;
    }
    fill = calloc(1, sizeof(*fill));
    if (fill != NULL) {
        fill->file.fd = -1;
        fill->want = index;
        fill->result = -EINPROGRESS;
        fill->name = strdup(want->name);
    }
    want->result = -ENOMEM;
    if (path == NULL || fill == NULL || fill->name == NULL)
        error_set(&want->error, -ENOMEM, "out of memory");
    else
        want->result = open_sketch(path, fill, &want->error);
    if (want->result < 0) {
        fill_free(fill);
        return NULL;
    }
    return fill;
}

struct fetches {
    struct fetch **items;
    const struct config_host **hosts;
    size_t count;
};

static struct fetch *find_fetch(struct fetches *fetches, const struct config_host *host)
{
    for (size_t i = 0; i < fetches->count; i++) {
        if (fetches->hosts[i] == host)
            return fetches->items[i];
    }
    fetches->items[fetches->count] = fetch_new(host);
    if (fetches->items[fetches->count] == NULL)
        return NULL;
    fetches->hosts[fetches->count] = host;
    return fetches->items[fetches->count++];
}

/* The host to ask; NULL: the want says why not. */
static const struct config_host *host_of(const struct config *config, struct peers_want *want)
{
    const struct config_host *host = config_host_find(config, want->host);
    char hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;

    if (!catalog_name_parse(want->name, hash, &kind)) {
        want->result =
            error_set(&want->error, -EINVAL, "'%s' is no name of a fingerprint", want->name);
        return NULL;
    }
    if (host == NULL || strcmp(host->trust_domain, config->setmov.trust_domain) != 0) {
        want->result = error_set(&want->error, -ENOENT, "%s is no peer of this host", want->host);
        return NULL;
    }
    return host;
}

static int add_want(const struct config *config, struct fetches *fetches, struct peers_want *want,
                    size_t index, uint64_t *budget)
{
    const struct config_host *host;
    struct fetch *fetch;
    struct fill *fill;
    uint64_t bytes;

    want->bytes_read = 0;
    want->error.text[0] = '\0';
    want->result = 0;
    if (strcmp(want->host, config->setmov.name) == 0)
        return 0; /* its own are there */
    host = host_of(config, want);
    fill = host != NULL ? fill_new(config, want, index) : NULL;
    if (fill == NULL)
        return 0;
    bytes = peers_ranges_bytes(fill->ranges, fill->range_count) + FINGERPRINT_HEAD_MAX;
    if (bytes > *budget) {
        want->result = error_set(&want->error, -EDQUOT,
                                 "%s: its %llu bytes are more than what is left of the budget",
                                 want->name, (unsigned long long)bytes);
        fill_free(fill);
        return 0;
    }
    fetch = find_fetch(fetches, host);
    if (fetch == NULL || array_reserve(&fetch->fills, &fetch->capacity, fetch->count + 1,
                                       sizeof(struct fill *)) < 0) {
        fill_free(fill);
        return -ENOMEM;
    }
    fetch->fills[fetch->count++] = fill;
    *budget -= bytes;
    return 0;
}

/* ---- what became of it ------------------------------------------------------------------------- */

static void conclude(struct fetch *fetch, const struct vm_task *task, struct peers_want *wants)
{
    pthread_mutex_lock(&fetch->mutex);
    for (size_t i = 0; i < fetch->count; i++) {
        const struct fill *fill = fetch->fills[i];
        struct peers_want *want = &wants[fill->want];

        want->bytes_read = fill->bytes_read;
        want->result = fill->result;
        want->error = fill->error;
        if (fill->result == -EINPROGRESS) {
            want->result = task->result < 0 ? task->result : -EIO;
            want->error = task->error;
        }
    }
    pthread_mutex_unlock(&fetch->mutex);
}

static int run(const struct config *config, const struct fetches *fetches, struct peers_want *wants,
               const struct peers_options *options, struct error *err)
{
    CLEANUP(cleanup_free) struct vm_task *tasks = calloc(fetches->count + 1, sizeof(*tasks));
    int rc = tasks != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
    bool ran = false;

    for (size_t i = 0; i < fetches->count && rc == 0; i++)
        tasks[i] = (struct vm_task){
            .run = fetch_run, .release = fetch_unref, .context = fetches->items[i]};
    if (rc == 0) {
        rc = vm_tasks_run(tasks, fetches->count, 0, (double)config->sync.timeout_s,
                          options->stopped, options->context, err);
        ran = rc == 0;
    }
    for (size_t i = 0; i < fetches->count; i++) {
        if (ran)
            conclude(fetches->items[i], &tasks[i], wants);
        /* The thread's share, where it has left it behind. */
        fetch_unref(ran ? tasks[i].context : fetches->items[i]);
        fetch_unref(fetches->items[i]);
    }
    if (rc == 0 && options->stopped != NULL && options->stopped(options->context))
        rc = error_set(err, -ECANCELED, "stopped");
    return rc;
}

int peers_fetch(const struct config *config, struct peers_want *wants, size_t count,
                uint64_t budget_bytes, const struct peers_options *options, struct error *err)
{
    CLEANUP(cleanup_free)
    struct fetch **items = calloc(count + 1, sizeof(struct fetch *));
    CLEANUP(cleanup_free)
    const struct config_host **hosts = calloc(count + 1, sizeof(struct config_host *));
    struct fetches fetches = {items, hosts, 0};

    if (items == NULL || hosts == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        if (add_want(config, &fetches, &wants[i], i, &budget_bytes) < 0) {
            for (size_t j = 0; j < fetches.count; j++)
                fetch_free(items[j]);
            return error_set(err, -ENOMEM, "out of memory");
        }
    }
    return run(config, &fetches, wants, options, err);
}
