/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What migrations sent to here, and what is remembered of parts that were sent from
 * here: removed when it is old and nobody builds by it. (Effects: all of it.)
 */
#include "peers/gc.h"
#include "setmov/transfer_plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory whose files are judged. */
struct sweep {
    DIR *entries;
    int64_t now_s;
    uint64_t expiry_s;
    bool dry_run;
    size_t removed;
};

/* How long nobody has written to a regular file; -1: it is none. */
static int64_t age_of(const struct sweep *sweep, const char *name)
{
    struct stat status;

    if (fstatat(dirfd(sweep->entries), name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(status.st_mode))
        return -1;
    return status.st_mtim.tv_sec < sweep->now_s ? sweep->now_s - status.st_mtim.tv_sec : 0;
}

static bool is_old(const struct sweep *sweep, const char *name)
{
    int64_t age_s = age_of(sweep, name);

    return age_s >= 0 && (uint64_t)age_s > sweep->expiry_s;
}

static void drop(struct sweep *sweep, const char *name)
{
    if (sweep->dry_run || unlinkat(dirfd(sweep->entries), name, 0) == 0)
        sweep->removed++;
}

/* ---- plans and parts -------------------------------------------------------------------- */

/*
 * The lock of a plan: whoever builds by it holds it. -EBUSY: somebody does; -ENOENT:
 * there is no such plan (any more); else a descriptor.
 */
static int lock_plan(const struct sweep *sweep, const char *plan)
{
    char name[GC_PLAN_BYTES + sizeof(TRANSFER_PLAN_SUFFIX)];
    int fd;

    string_format(name, sizeof(name), "%s" TRANSFER_PLAN_SUFFIX, plan);
    fd = openat(dirfd(sweep->entries), name,
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -ENOENT;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    close(fd);
    return -EBUSY;
}

/* A plan, or a file that goes with it, under the plan's lock. */
static void judge_plan(struct sweep *sweep, const char *name, const char *plan)
{
    int lock;

    if (!is_old(sweep, name))
        return;
    lock = lock_plan(sweep, plan);
    if (lock == -EBUSY)
        return;
    drop(sweep, name);
    cleanup_close(&lock);
}

/*
 * Is somebody building, or about to? Which parts he needs stands in the plan only. A
 * fresh one is not locked: its hook may begin this very moment, and finds it in use.
 */
static bool has_user(const struct sweep *sweep, const char *name, const char *plan)
{
    int64_t age_s = age_of(sweep, name);
    int lock;

    if (!string_ends_with(name, TRANSFER_PLAN_SUFFIX) || age_s < 0)
        return false;
    if (age_s < GC_PLAN_FRESH_S)
        return true;
    lock = lock_plan(sweep, plan);
    cleanup_close(&lock);
    return lock == -EBUSY;
}

static void sweep_incoming(struct sweep *sweep)
{
    char plan[GC_PLAN_BYTES];
    const struct dirent *entry;
    bool used = false;

    while ((entry = readdir(sweep->entries)) != NULL) {
        if (gc_sent_kind(entry->d_name, plan) != GC_SENT_PLAN)
            continue;
        used = used || has_user(sweep, entry->d_name, plan);
        judge_plan(sweep, entry->d_name, plan);
    }
    rewinddir(sweep->entries);
    while (!used && (entry = readdir(sweep->entries)) != NULL) {
        if (gc_sent_kind(entry->d_name, plan) == GC_SENT_PART && is_old(sweep, entry->d_name))
            drop(sweep, entry->d_name);
    }
}

/* ---- what is remembered of parts --------------------------------------------------------- */

static void sweep_blocks(struct sweep *sweep)
{
    const struct dirent *entry;

    while ((entry = readdir(sweep->entries)) != NULL) {
        if (gc_is_blocks(entry->d_name) && is_old(sweep, entry->d_name))
            drop(sweep, entry->d_name);
    }
}

/* Of each host. */
static void sweep_hosts(struct sweep *sweep)
{
    const struct dirent *entry;

    while ((entry = readdir(sweep->entries)) != NULL) {
        struct sweep host = *sweep;
        int fd;

        if (entry->d_name[0] == '.')
            continue;
        fd = openat(dirfd(sweep->entries), entry->d_name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        host.entries = fd >= 0 ? fdopendir(fd) : NULL;
        if (host.entries == NULL) {
            cleanup_close(&fd);
            continue;
        }
        sweep_blocks(&host);
        sweep->removed = host.removed;
        closedir(host.entries);
    }
}

/* ---- both -------------------------------------------------------------------------------------- */

static size_t sweep_directory(const struct config *config, const char *path, bool dry_run,
                              void (*how)(struct sweep *sweep))
{
    struct sweep sweep = {.entries = opendir(path),
                          .now_s = time(NULL),
                          .expiry_s = config->migrate.parts_expiry_s,
                          .dry_run = dry_run};

    if (sweep.entries == NULL)
        return 0;
    how(&sweep);
    closedir(sweep.entries);
    return sweep.removed;
}

size_t gc_incoming_remove(const struct config *config, bool dry_run)
{
    CLEANUP(cleanup_free) char *parts = NULL;
    size_t removed = sweep_directory(config, config->setmov.incoming, dry_run, sweep_incoming);

    if (asprintf(&parts, "%s/" GC_PARTS_DIRECTORY, config->setmov.state) < 0) {
        parts = NULL;
        return removed;
    }
    return removed + sweep_directory(config, parts, dry_run, sweep_hosts);
}
