/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes this host's index readable for its peers, a libvirt pool with a manifest in
 * it, and a pool into which they send.
 */
#include "peers/internal.h"
#include "setmov/vm_move.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* For all questions to libvirt, and for refreshing the pool. */
#define LIBVIRT_TIMEOUT_S 60.0

/*
 * One visit to this host's libvirt, in a thread: it owns what it was told and
 * what it brings back, until it is known to have returned.
 */
struct visit {
    char *uri, *pool, *directory;
    char *incoming_pool, *incoming;
    bool refresh; /* the pool, no more; else: both pools, and domains */
    /* What it brings. */
    struct vm_domains domains;
    struct error trouble; /* why nobody can send here; "" */
};

static void visit_free(void *context)
{
    struct visit *visit = context;

    if (visit == NULL)
        return;
    vm_domains_release(&visit->domains);
    free(visit->uri);
    free(visit->pool);
    free(visit->directory);
    free(visit->incoming_pool);
    free(visit->incoming);
    free(visit);
}

/* `refreshed`: a pool; NULL: the visit for what is offered. */
static struct visit *visit_new(const struct config *config, const char *refreshed)
{
    struct visit *visit = calloc(1, sizeof(*visit));

    if (visit == NULL)
        return NULL;
    visit->uri = strdup(config->setmov.connect);
    visit->pool = strdup(refreshed != NULL ? refreshed : config->setmov.setmov_pool);
    visit->directory = strdup(config->setmov.index);
    visit->incoming_pool = strdup(config->setmov.incoming_pool);
    visit->incoming = strdup(config->setmov.incoming);
    visit->refresh = refreshed != NULL;
    if (visit->uri == NULL || visit->pool == NULL || visit->directory == NULL ||
        visit->incoming_pool == NULL || visit->incoming == NULL) {
        visit_free(visit);
        return NULL;
    }
    return visit;
}

/* Blocks of disks come to lie there. */
static int make_private(const char *path, struct error *err)
{
    CLEANUP(cleanup_close) int fd = -1;
    struct stat status;

    if (peers_make_directory(path, err) < 0)
        return -EIO;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (status.st_uid != geteuid())
        return error_set(err, -EPERM, "%s belongs to another user (%u)", path, status.st_uid);
    if ((status.st_mode & 077) != 0 && fchmod(fd, 0700) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    return 0;
}

/* Whatever is wrong with it: what this host has can be read all the same. */
static void offer_incoming(struct visit *visit, struct vm_peer *peer)
{
    if (make_private(visit->incoming, &visit->trouble) == 0)
        vm_peer_pool_ensure(peer, visit->incoming_pool, visit->incoming, &visit->trouble);
}

static int visit_run(void *context, struct error *err)
{
    struct visit *visit = context;
    struct vm_peer *peer = NULL;
    int rc = vm_peer_open(visit->uri, &peer, err);

    if (rc == 0 && visit->refresh) {
        rc = vm_peer_refresh(peer, visit->pool, err);
    } else if (rc == 0) {
        rc = vm_peer_pool_ensure(peer, visit->pool, visit->directory, err);
        if (rc == 0)
            offer_incoming(visit, peer);
        if (rc == 0)
            rc = vm_domains_read(peer, &visit->domains, err);
    }
    vm_peer_close(peer);
    return rc;
}

/* `ret_visit` (may be NULL) is the caller's. */
static int pay_visit(const struct config *config, const char *refreshed,
                     bool (*stopped)(void *context), void *context, struct visit **ret_visit,
                     struct error *err)
{
    struct vm_task task = {.run = visit_run, .release = visit_free};
    struct visit *visit = visit_new(config, refreshed);
    int rc;

    if (visit == NULL) {
        error_set(err, -ENOMEM, "out of memory");
        return -ENOMEM;
    }
    task.context = visit;
    rc = vm_tasks_run(&task, 1, 1, LIBVIRT_TIMEOUT_S, stopped, context, err);
    if (rc == 0 && task.result < 0) {
        rc = task.result;
        error_set(err, rc, "%s%s%s", rc == -ETIMEDOUT ? config->setmov.connect : "",
                  rc == -ETIMEDOUT ? ": " : "", task.error.text);
    }
    if (rc == 0 && ret_visit != NULL)
        *ret_visit = visit;
    else if (task.context != NULL) /* else it is its thread's */
        visit_free(visit);
    return rc;
}

/* ---- the manifest -------------------------------------------------------------------------- */

/* Paths of all disks with symbolic links followed, as fingerprints are called by; NULL: none. */
static int resolve_all(const struct vm_domains *domains, char ***ret_paths, size_t *ret_count)
{
    size_t count = 0, at = 0;
    char **paths;

    for (size_t i = 0; i < domains->count; i++)
        count += domains->domains[i].disk_count;
    paths = calloc(count + 1, sizeof(*paths));
    if (paths == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < domains->count; i++) {
        const struct vm_domain *domain = &domains->domains[i];

        for (size_t j = 0; j < domain->disk_count; j++)
            paths[at++] = realpath(domain->disks[j].path, NULL);
    }
    *ret_paths = paths;
    *ret_count = count;
    return 0;
}

/* What no peer could use is not offered. */
static void drop_damaged(struct peers_cached_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].length > 0)
            list->items[kept++] = list->items[i];
        else
            free(list->items[i].name);
    }
    list->count = kept;
}

static int make(const struct config *config, const struct vm_domains *domains,
                struct catalog_manifest *ret_manifest, struct error *err)
{
    CLEANUP(peers_cached_release) struct peers_cached_list list = {0};
    char **paths = NULL;
    size_t count = 0;
    int rc = peers_list(config->setmov.index, &list, err);

    if (rc < 0)
        return rc;
    drop_damaged(&list);
    rc = resolve_all(domains, &paths, &count);
    if (rc == 0)
        rc = peers_manifest_make(config->setmov.name, time(NULL), &list, domains, paths,
                                 ret_manifest);
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
    return rc < 0 ? error_set(err, rc, "out of memory") : 0;
}

/* What was offered up to now; nothing, or what cannot be read: false. */
static bool read_old(const char *path, struct catalog_manifest *ret_manifest)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};

    return file_read(AT_FDCWD, path, &buffer) == 0 &&
           catalog_manifest_parse(text_of(buffer.bytes, buffer.length), path, ret_manifest, NULL) ==
               0;
}

static int write_new(const char *path, const struct catalog_manifest *manifest, struct error *err)
{
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length = 0;
    int rc = catalog_manifest_encode(manifest, &text, &length, err);

    return rc < 0 ? rc : new_file_replace(path, text, length, true, err);
}

/* ---- the contract ----------------------------------------------------------------------------- */

struct offer {
    const struct config *config;
    bool (*stopped)(void *context);
    void *context;
    char *path; /* of the manifest */
};

/*
 * libvirt sees files that came or went when its pool is refreshed. So that
 * happens before the manifest names them: whoever reads it finds them.
 */
static int offer_new(const struct offer *offer, const struct catalog_manifest *manifest,
                     bool has_old, bool is_same, struct error *err)
{
    int rc = 0;

    if (!is_same)
        rc = pay_visit(offer->config, offer->config->setmov.setmov_pool, offer->stopped,
                       offer->context, NULL, err);
    if (rc == 0)
        rc = write_new(offer->path, manifest, err);
    if (rc == 0 && !has_old)
        rc = pay_visit(offer->config, offer->config->setmov.setmov_pool, offer->stopped,
                       offer->context, NULL, err);
    return rc;
}

static int offer_manifest(const struct offer *offer, const struct vm_domains *domains,
                          struct peers_offering *offering, struct error *err)
{
    CLEANUP(catalog_manifest_release) struct catalog_manifest manifest = {0}, old = {0};
    bool has_old = read_old(offer->path, &old), is_same;
    int rc = make(offer->config, domains, &manifest, err);
    int64_t age_s;

    if (rc < 0)
        return rc;
    age_s = manifest.made_s - old.made_s;
    is_same = has_old && peers_manifest_same(&manifest, &old);
    offering->fingerprints = manifest.fingerprint_count;
    offering->vms = manifest.vm_count;
    if (is_same && age_s >= 0 && (uint64_t)age_s < offer->config->hook.max_age_s / 2)
        return 0;
    offering->is_new = true;
    return offer_new(offer, &manifest, has_old, is_same, err);
}

static int keep_problems(struct visit *visit, struct peers_offering *offering)
{
    struct vm_lines *lines = &visit->domains.problems;
    char *copy;

    offering->problems = lines->lines;
    offering->problem_count = lines->count;
    offering->problem_capacity = lines->capacity;
    *lines = (struct vm_lines){NULL, 0, 0};
    if (visit->trouble.text[0] == '\0')
        return 0;
    if (array_reserve(&offering->problems, &offering->problem_capacity, offering->problem_count + 1,
                      sizeof(*offering->problems)) < 0 ||
        (copy = strdup(visit->trouble.text)) == NULL)
        return -ENOMEM;
    offering->problems[offering->problem_count++] = copy;
    return 0;
}

int peers_refresh_own(const struct config *config, bool (*stopped)(void *context), void *context,
                      struct error *err)
{
    int rc = pay_visit(config, config->setmov.pool, stopped, context, NULL, err);

    return rc == -ENOENT ? 0 : rc;
}

int peers_offer(const struct config *config, bool (*stopped)(void *context), void *context,
                struct peers_offering *ret_offering, struct error *err)
{
    size_t size = strlen(config->setmov.index) + sizeof("/" CATALOG_MANIFEST_NAME);
    struct offer offer = {config, stopped, context, malloc(size)};
    struct peers_offering offering = {0};
    struct visit *visit = NULL;
    int rc;

    if (offer.path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    string_format(offer.path, size, "%s/%s", config->setmov.index, CATALOG_MANIFEST_NAME);
    rc = pay_visit(config, NULL, stopped, context, &visit, err);
    if (rc == 0)
        rc = offer_manifest(&offer, &visit->domains, &offering, err);
    if (rc == 0 && keep_problems(visit, &offering) < 0)
        rc = error_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        *ret_offering = offering;
    else
        peers_offering_release(&offering);
    visit_free(visit);
    free(offer.path);
    return rc;
}

void peers_offering_release(struct peers_offering *offering)
{
    for (size_t i = 0; i < offering->problem_count; i++)
        free(offering->problems[i]);
    free(offering->problems);
    *offering = (struct peers_offering){0};
}
