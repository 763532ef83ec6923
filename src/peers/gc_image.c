/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One image that a lease lists: found without being led astray, locked, removed. */
#include "peers/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

/* A lease's time is rounded down. */
#define BORN_SLACK_S 1

static enum gc_look keep(struct error *why, const char *format, ...) PRINTF_LIKE(2, 3);

static enum gc_look keep(struct error *why, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why->text, sizeof(why->text), format, arguments);
    va_end(arguments);
    return GC_LOOK_KEEP;
}

/*
 * May images in that (resolved) place be removed at all? An old one lies where the VM's
 * disk lay, which an administrator chose, and has a name that only setmov gives.
 */
static bool is_allowed(const struct config *config, const char *resolved, bool is_old)
{
    const struct config_list *list = &config->hook.directories;
    bool allowed = is_old && strstr(strrchr(resolved, '/'), PEERS_GC_OLD_INFIX) != NULL;

    for (size_t i = 0; i < list->count && !allowed; i++) {
        CLEANUP(cleanup_free) char *directory = realpath(list->items[i], NULL);

        allowed = directory != NULL && gc_lies_below(resolved, (const char *const *)&directory, 1);
    }
    return allowed;
}

/* Opens a resolved directory, name by name: what has become a link since then leads nowhere. */
static int open_directory(const char *resolved)
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_free) char *copy = strdup(resolved);
    char *rest = copy, *name;

    if (copy == NULL) {
        cleanup_close(&fd);
        errno = ENOMEM;
        return -1;
    }
    while (fd >= 0 && (name = strsep(&rest, "/")) != NULL) {
        int next;

        if (name[0] == '\0')
            continue;
        next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        cleanup_close(&fd);
        fd = next;
    }
    return fd;
}

/* "DIRECTORY/NAME" with the directory resolved; NULL: errno. The caller frees. */
static char *resolve(const char *path)
{
    CLEANUP(cleanup_free) char *parent = strdup(path), *directory = NULL;
    const char *name = strrchr(path, '/') + 1;
    char *resolved = NULL;

    if (parent == NULL)
        return NULL;
    parent[name - path] = '\0';
    directory = realpath(parent, NULL);
    if (directory == NULL)
        return NULL;
    if (asprintf(&resolved, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, name) >= 0)
        return resolved;
    errno = ENOMEM;
    return NULL;
}

/* A file that cannot be found in a file system that is only not mounted is not gone. */
static enum gc_look missing(const struct catalog_lease *lease, int directory, struct error *why)
{
    struct stat status;

    if (directory >= 0 && fstat(directory, &status) == 0 && status.st_dev == lease->device)
        return GC_LOOK_GONE;
    return keep(why, "it is not there, and neither is the file system in which it was");
}

/*
 * Numbers of files are used again: where the one of the lease was removed by
 * somebody, another of its name can have its number, too. But it was born later.
 */
static bool is_born_later(int fd, const struct catalog_lease *lease)
{
    struct statx status;

    return statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &status) == 0 &&
           (status.stx_mask & STATX_BTIME) != 0 &&
           status.stx_btime.tv_sec > lease->made_s + BORN_SLACK_S;
}

static enum gc_look open_file(const struct catalog_lease *lease, struct gc_image *image,
                              struct error *why)
{
    struct stat status;

    image->fd = openat(image->directory, image->name,
                       O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (image->fd < 0 && errno == ENOENT)
        return missing(lease, image->directory, why);
    if (image->fd < 0 && errno == ELOOP)
        return keep(why, "it is a symbolic link");
    if (image->fd < 0 || fstat(image->fd, &status) < 0)
        return keep(why, "it cannot be opened: %s", strerror(errno));
    if (!S_ISREG(status.st_mode))
        return keep(why, "it is no regular file");
    if (status.st_dev != lease->device || status.st_ino != lease->inode ||
        is_born_later(image->fd, lease))
        return keep(why, "it is not the file that the lease lists, but another one of that name");
    image->device = status.st_dev;
    image->inode = status.st_ino;
    image->bytes = (uint64_t)status.st_blocks * 512;
    return GC_LOOK_OK;
}

enum gc_look gc_image_open(const struct config *config, const struct catalog_lease *lease,
                           bool is_old, struct gc_image *ret_image, struct error *ret_why)
{
    struct gc_image image = {.directory = -1, .fd = -1, .resolved = resolve(lease->path)};
    enum gc_look look;

    if (image.resolved == NULL)
        return errno == ENOENT ? missing(lease, -1, ret_why)
                               : keep(ret_why, "its directory: %s", strerror(errno));
    if (!is_allowed(config, image.resolved, is_old)) {
        look = keep(ret_why, "it lies outside of the directories of [hook]");
    } else {
        image.name = strrchr(image.resolved, '/');
        *image.name = '\0';
        image.directory = open_directory(image.resolved);
        *image.name++ = '/';
        look = image.directory >= 0 ? open_file(lease, &image, ret_why)
                                    : keep(ret_why, "its directory: %s", strerror(errno));
    }
    if (look == GC_LOOK_OK)
        *ret_image = image;
    else
        gc_image_close(&image);
    return look;
}

int gc_image_lock(const struct gc_image *image, bool only_look, struct error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    /* As QEMU, which holds locks on single bytes of what it has open. */
    if (fcntl(image->fd, only_look ? F_OFD_GETLK : F_OFD_SETLK, &lock) == 0) {
        if (!only_look || lock.l_type == F_UNLCK)
            return 0;
        errno = EAGAIN;
    }
    if (errno == EAGAIN || errno == EACCES)
        return error_set(err, -EBUSY, "a process has it open, and locked");
    return error_set(err, -errno, "it cannot be locked: %s", strerror(errno));
}

int gc_image_remove(const struct gc_image *image, struct error *err)
{
    struct stat status;

    if (fstatat(image->directory, image->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    if (status.st_dev != image->device || status.st_ino != image->inode)
        return error_set(err, -ESTALE, "it was replaced meanwhile");
    if (unlinkat(image->directory, image->name, 0) < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    return 0;
}

void gc_image_close(struct gc_image *image)
{
    cleanup_close(&image->fd);
    cleanup_close(&image->directory);
    free(image->resolved);
    *image = (struct gc_image){.directory = -1, .fd = -1};
}
