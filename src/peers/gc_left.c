/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unfinished files whose writers are dead, in all directories that setmov writes to. */
#include "peers/gc.h"
#include "peers/requests.h"
#include "setmov/catalog_known.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_left(int directory, const char *name)
{
    struct stat status;

    return gc_is_unfinished(name) && fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(status.st_mode) && time(NULL) - status.st_mtim.tv_sec > GC_LEFT_S;
}

static size_t sweep(const char *path, bool dry_run)
{
    DIR *entries = opendir(path);
    const struct dirent *entry;
    size_t removed = 0;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        if (is_left(dirfd(entries), entry->d_name) &&
            (dry_run || unlinkat(dirfd(entries), entry->d_name, 0) == 0))
            removed++;
    }
    if (entries != NULL)
        closedir(entries);
    return removed;
}

static size_t sweep_each(const char *path, bool dry_run)
{
    DIR *entries = opendir(path);
    const struct dirent *entry;
    size_t removed = 0;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        CLEANUP(cleanup_free) char *one = NULL;

        if (entry->d_name[0] == '.')
            continue;
        if (asprintf(&one, "%s/%s", path, entry->d_name) < 0)
            one = NULL;
        else
            removed += sweep(one, dry_run);
    }
    if (entries != NULL)
        closedir(entries);
    return removed;
}

/*
 * Writers of fingerprints hold the lock of their directory, however long one
 * takes; who has it removes what is unfinished, too. -1: somebody has it.
 */
static int take_lock(const char *directory)
{
    CLEANUP(cleanup_free) char *path = NULL;
    int fd;

    if (asprintf(&path, "%s/lock", directory) < 0) {
        path = NULL;
        return -1;
    }
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static size_t sweep_below(const char *path, const char *name,
                          size_t (*how)(const char *path, bool dry_run), bool dry_run)
{
    CLEANUP(cleanup_free) char *below = NULL;

    if (asprintf(&below, "%s/%s", path, name) < 0) {
        below = NULL;
        return 0;
    }
    return how(below, dry_run);
}

static size_t sweep_cache(const char *cache, bool dry_run)
{
    return sweep(cache, dry_run) + sweep_below(cache, CATALOG_HOSTS_NAME, sweep_each, dry_run) +
           sweep_below(cache, CATALOG_ABOUT_NAME, sweep_each, dry_run);
}

size_t gc_left_remove(const struct config *config, bool dry_run)
{
    size_t removed = sweep_below(config->setmov.state, GC_DIRECTORY, sweep, dry_run) +
                     sweep_below(config->setmov.state, PEERS_GC_OLD_DIRECTORY, sweep, dry_run) +
                     sweep_below(config->setmov.state, GC_PARTS_DIRECTORY, sweep_each, dry_run) +
                     sweep_below(config->setmov.state, REQUESTS_DIRECTORY, sweep, dry_run) +
                     sweep(config->setmov.incoming, dry_run);
    int lock = take_lock(config->setmov.index);

    if (lock >= 0)
        removed += sweep(config->setmov.index, dry_run);
    cleanup_close(&lock);
    lock = take_lock(config->sync.cache);
    if (lock >= 0)
        removed += sweep_cache(config->sync.cache, dry_run);
    cleanup_close(&lock);
    return removed;
}
