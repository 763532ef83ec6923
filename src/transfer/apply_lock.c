/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run at a time builds a path. The lock is a file named by the path's hash,
 * held by flock(), and removed by its holder; whoever gets a lock looks whether
 * the file still has its name. What killed runs left goes with the next run.
 */
#include "transfer/apply.h"

#include "setmov/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".lock"

struct lock_name {
    char text[CATALOG_HASH_BYTES + sizeof(SUFFIX)];
    size_t image;
};

static int compare(const void *left, const void *right)
{
    return strcmp(((const struct lock_name *)left)->text, ((const struct lock_name *)right)->text);
}

static bool has_its_name(int directory, const char *name, int fd)
{
    struct stat mine, there;

    return fstat(fd, &mine) == 0 && fstatat(directory, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

/* The lock, or -EAGAIN: somebody has it, or just gave it up. */
static int try_lock(int directory, const char *name, int flags)
{
    int fd = openat(directory, name, O_RDWR | flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        rc = errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
    else
        rc = has_its_name(directory, name, fd) ? 0 : -EAGAIN;
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

/* When whoever has the lock last touched it, and when that was seen. */
struct watch {
    struct timespec touched;
    double seen_s;
};

static bool is_touched(int directory, const char *name, struct watch *watch, unsigned patience_s)
{
    double now_s = clock_monotonic_s();
    struct stat status = {.st_mtim = {0, 0}}; /* it was given up just now */

    (void)fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW);
    if (watch->seen_s <= 0 || status.st_mtim.tv_sec != watch->touched.tv_sec ||
        status.st_mtim.tv_nsec != watch->touched.tv_nsec)
        *watch = (struct watch){status.st_mtim, now_s};
    return now_s - watch->seen_s <= patience_s;
}

static int lock_one(struct apply *apply, int directory, const struct lock_name *name,
                    struct error *err)
{
    unsigned patience_s = apply->options->lock_patience_s;
    struct apply_image *image = &apply->images[name->image];
    struct watch watch = {.seen_s = 0};

    if (patience_s == 0)
        patience_s = TRANSFER_LOCK_PATIENCE_S;
    for (;;) {
        int fd = try_lock(directory, name->text, O_CREAT), rc;

        if (fd >= 0) {
            image->lock = fd;
            return 0;
        }
        if (fd != -EAGAIN)
            return error_set(err, fd, "%s/%s, the lock of %.200s: %s", apply->options->locks,
                             name->text, image->plan->path, strerror(-fd));
        if (!is_touched(directory, name->text, &watch, patience_s))
            return error_set(err, -ETIMEDOUT,
                             "%s is being built by another migration, which has not got on for "
                             "%u s",
                             image->plan->path, patience_s);
        apply_moved(apply);
        rc = apply_wait(apply, err);
        if (rc < 0)
            return rc;
    }
}

/* Locks that nobody holds: those of runs that were killed. */
static void sweep(int directory)
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;

    if (entries == NULL) {
        cleanup_close(&copy);
        return;
    }
    while ((entry = readdir(entries)) != NULL) {
        int fd;

        if (entry->d_name[0] == '.' || !string_ends_with(entry->d_name, SUFFIX))
            continue;
        fd = try_lock(directory, entry->d_name, 0);
        if (fd < 0)
            continue;
        unlinkat(directory, entry->d_name, 0);
        close(fd);
    }
    closedir(entries);
}

static int lock_in_order(struct apply *apply, int directory, struct error *err)
{
    size_t count = apply->plan->image_count;
    CLEANUP(cleanup_free) struct lock_name *names = calloc(count + 1, sizeof(*names));
    int rc = 0;

    if (names == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        catalog_hash(apply->images[i].plan->path, names[i].text);
        string_copy(names[i].text + strlen(names[i].text), sizeof(SUFFIX), SUFFIX);
        names[i].image = i;
    }
    qsort(names, count, sizeof(*names), compare);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = i > 0 && compare(&names[i - 1], &names[i]) == 0
                 ? error_set(err, -EINVAL, "the plan has %.300s twice",
                             apply->images[names[i].image].plan->path)
                 : lock_one(apply, directory, &names[i], err);
    return rc;
}

int apply_lock_all(struct apply *apply, struct error *err)
{
    CLEANUP(cleanup_close) int directory = -1;
    int rc = apply_directory_make(apply->options->locks, err);

    if (rc < 0)
        return rc;
    directory = open(apply->options->locks, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set(err, -errno, "%s: %s", apply->options->locks, strerror(errno));
    sweep(directory);
    return lock_in_order(apply, directory, err);
}

void apply_unlock_all(struct apply *apply)
{
    for (size_t i = 0; i < apply->plan->image_count; i++) {
        struct apply_image *image = &apply->images[i];
        char hash[CATALOG_HASH_BYTES];
        CLEANUP(cleanup_free) char *path = NULL;

        if (image->lock < 0)
            continue;
        catalog_hash(image->plan->path, hash);
        if (asprintf(&path, "%s/%s" SUFFIX, apply->options->locks, hash) < 0)
            path = NULL;
        /* Nobody else removes it, or makes another of its name, while it is held. */
        if (path != NULL && has_its_name(AT_FDCWD, path, image->lock))
            unlink(path);
        close(image->lock);
        image->lock = -1;
    }
}

void apply_lock_touch(struct apply *apply)
{
    for (size_t i = 0; apply->images != NULL && i < apply->plan->image_count; i++) {
        /* Where it cannot be, who waits gives up in the end. */
        if (apply->images[i].lock >= 0 && futimens(apply->images[i].lock, NULL) < 0)
            continue;
    }
}
