/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directory in which this host keeps what it knows of its peers: made, locked, tidied, listed. */
#include "peers/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_NAME "lock"
/* How often a lock that somebody else holds is tried, and `stopped` asked. */
#define LOCK_RETRY_NS 100000000

/* ---- paths ------------------------------------------------------------------- */

char *peers_cache_path(const char *cache, const char *kind, const char *host, const char *name)
{
    size_t size = strlen(cache) + strlen(kind) + strlen(host) + (name ? strlen(name) : 0) + 4;
    char *path = malloc(size);

    if (path != NULL)
        string_format(path, size, "%s/%s/%s%s%s", cache, kind, host, name ? "/" : "",
                      name ? name : "");
    return path;
}

char *peers_directory(const struct config *config, const char *host)
{
    if (strcmp(host, config->setmov.name) == 0)
        return strdup(config->setmov.index);
    return peers_cache_path(config->sync.cache, CATALOG_HOSTS_NAME, host, NULL);
}

int peers_make_directory(const char *path, struct error *err)
{
    return new_file_make_directory(path, err);
}

/* ---- the lock ------------------------------------------------------------------- */

static int wait_for_lock(int lock, const char *path, const struct peers_options *options,
                         struct error *err)
{
    while (flock(lock, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set(err, -errno, "%s cannot be locked: %s", path, strerror(errno));
        if (options->stopped != NULL && options->stopped(options->context))
            return error_set(err, -ECANCELED, "stopped while waiting for %s", path);
        nanosleep(&(struct timespec){0, LOCK_RETRY_NS}, NULL);
    }
    return 0;
}

int peers_cache_open(const char *path, const struct peers_options *options,
                     struct peers_cache *ret_cache, struct error *err)
{
    CLEANUP(cleanup_free) char *name = NULL;
    struct peers_cache cache = {.path = path, .lock = -1};
    size_t size = strlen(path) + sizeof("/" LOCK_NAME);
    int rc = peers_make_directory(path, err);

    if (rc < 0)
        return rc;
    name = malloc(size);
    if (name == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    string_format(name, size, "%s/%s", path, LOCK_NAME);
    cache.lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (cache.lock < 0)
        return error_set(err, -errno, "%s cannot be opened: %s", name, strerror(errno));
    rc = wait_for_lock(cache.lock, name, options, err);
    if (rc < 0) {
        peers_cache_release(&cache);
        return rc;
    }
    *ret_cache = cache;
    return 0;
}

void peers_cache_release(struct peers_cache *cache)
{
    if (cache->lock >= 0)
        close(cache->lock);
    cache->lock = -1;
}

/* ---- removing ----------------------------------------------------------------------- */

static bool is_unfinished(const char *name)
{
    size_t length = strlen(name), suffix = strlen(".tmp");

    return name[0] == '.' && length > suffix && strcmp(name + length - suffix, ".tmp") == 0;
}

void peers_sweep(const char *directory)
{
    DIR *entries = opendir(directory);
    const struct dirent *entry;

    if (entries == NULL)
        return;
    while ((entry = readdir(entries)) != NULL) {
        if (is_unfinished(entry->d_name))
            unlinkat(dirfd(entries), entry->d_name, 0);
    }
    closedir(entries);
}

int peers_remove_directory(const char *path, struct error *err)
{
    DIR *entries = opendir(path);
    const struct dirent *entry;

    if (entries == NULL && errno == ENOENT)
        return 0;
    if (entries == NULL)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    while ((entry = readdir(entries)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(entries), entry->d_name, 0);
    }
    closedir(entries);
    if (rmdir(path) < 0 && errno != ENOENT)
        return error_set(err, -errno, "%s cannot be removed: %s", path, strerror(errno));
    return 0;
}

int peers_remove_others(const char *cache, const char *kind,
                        bool (*keep)(const struct config *config, const char *name),
                        const struct config *config, struct error *err)
{
    CLEANUP(cleanup_free) char *path = peers_cache_path(cache, kind, ".", NULL);
    const struct dirent *entry;
    DIR *entries = path != NULL ? opendir(path) : NULL;
    int rc = 0;

    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (entries == NULL)
        return errno == ENOENT ? 0 : error_set(err, -errno, "%s: %s", path, strerror(errno));
    while (rc == 0 && (entry = readdir(entries)) != NULL) {
        CLEANUP(cleanup_free) char *one = NULL;

        if (entry->d_name[0] == '.' || keep(config, entry->d_name))
            continue;
        one = peers_cache_path(cache, kind, entry->d_name, NULL);
        rc = one != NULL ? peers_remove_directory(one, err)
                         : error_set(err, -ENOMEM, "out of memory");
    }
    closedir(entries);
    return rc;
}

/* ---- what is there --------------------------------------------------------------------- */

/* What a manifest would say of it; what is no whole fingerprint has no length. False: no file. */
static bool look(int directory, const char *name, struct peers_cached *ret_cached)
{
    CLEANUP(cleanup_close)
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    uint8_t bytes[FINGERPRINT_HEAD_MAX];
    struct fingerprint_head head;
    struct stat status;
    ssize_t got;

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return false;
    got = pread(fd, bytes, sizeof(bytes), 0);
    ret_cached->changed_s = status.st_mtim.tv_sec;
    if (got <= 0 || fingerprint_head_decode(bytes, (size_t)got, &head, NULL) < 0 ||
        head.file_length != (uint64_t)status.st_size)
        return true;
    ret_cached->length = head.file_length;
    ret_cached->checksum = fingerprint_checksum(bytes, (size_t)got);
    return true;
}

static int take_name(int directory, const char *name, struct peers_cached_list *list)
{
    struct peers_cached cached = {.name = NULL};
    char hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;

    if (!catalog_name_parse(name, hash, &kind) || !look(directory, name, &cached))
        return 0;
    if (array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items)) < 0)
        return -ENOMEM;
    cached.name = strdup(name);
    if (cached.name == NULL)
        return -ENOMEM;
    list->items[list->count++] = cached;
    return 0;
}

int peers_list(const char *directory, struct peers_cached_list *ret_list, struct error *err)
{
    struct peers_cached_list list = {0};
    DIR *entries = opendir(directory);
    const struct dirent *entry;
    int rc = 0;

    if (entries == NULL)
        return error_set(err, -errno, "%s: %s", directory, strerror(errno));
    while (rc == 0 && (entry = readdir(entries)) != NULL)
        rc = take_name(dirfd(entries), entry->d_name, &list);
    closedir(entries);
    if (rc < 0) {
        peers_cached_release(&list);
        return error_set(err, rc, "out of memory");
    }
    *ret_list = list;
    return 0;
}
