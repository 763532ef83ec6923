/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One file of an image: opening, looking again, locks. */
#include "image/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Below lie standard streams and the descriptor that qemu-nbd expects its socket at. */
#define LOWEST_FD 10

int image_fd_raise(int fd)
{
    int raised = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD), saved = errno;

    close(fd);
    if (saved == EINVAL)
        saved = EMFILE; /* the limit is below LOWEST_FD */
    return raised >= 0 ? raised : -saved;
}

static int check_kind(int fd, const struct stat *status, struct error *err)
{
    switch (status->st_mode & S_IFMT) {
    case S_IFREG:
        if (image_is_made_up(fd))
            return error_set(err, -EINVAL, "is made up by the kernel, not a disk image");
        return 0;
    case S_IFBLK:
        return 0;
    case S_IFDIR:
        return error_set(err, -EISDIR, "is a directory");
    case S_IFIFO:
        return error_set(err, -EINVAL, "is a FIFO, not a disk image");
    case S_IFSOCK:
        return error_set(err, -EINVAL, "is a socket, not a disk image");
    default:
        return error_set(err, -EINVAL, "is a character device, not a disk image");
    }
}

/* The path of what was opened, and only if that is still there. */
static int find_path(int fd, const struct stat *status, char **ret_path, struct error *err)
{
    char link[32], path[PATH_MAX];
    struct stat again;
    ssize_t length;

    string_format(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof(path) - 1);
    if (length <= 0 || path[0] != '/')
        return error_set(err, -ENOENT, "its place cannot be told (is /proc mounted?)");
    path[length] = '\0';
    if (stat(path, &again) < 0 || again.st_dev != status->st_dev || again.st_ino != status->st_ino)
        return error_set(err, -ESTALE, "was moved or removed while it was opened");
    *ret_path = strdup(path);
    return *ret_path != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* O_PATH sets nothing off; what lies behind it is opened only when it is known to be harmless. */
static int open_checked(const char *name, const struct image_permit *permit, struct stat *status,
                        char **ret_path, struct error *err)
{
    CLEANUP(cleanup_close) int place = open(name, O_PATH | O_CLOEXEC);
    CLEANUP(cleanup_free) char *path = NULL;
    char by_descriptor[32];
    int fd, rc;

    if (place < 0 || fstat(place, status) < 0)
        return error_set(err, -errno, "cannot be opened: %s", strerror(errno));
    rc = check_kind(place, status, err);
    if (rc == 0)
        rc = find_path(place, status, &path, err);
    if (rc < 0)
        return rc;
    if (permit != NULL && !permit->allows(permit->context, path))
        return error_set(err, -EPERM,
                         "it lies outside the image's directory and the allowed ones (%s)", path);
    string_format(by_descriptor, sizeof(by_descriptor), "/proc/self/fd/%d", place);
    fd = open(by_descriptor, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, -errno, "cannot be opened: %s", strerror(errno));
    fd = image_fd_raise(fd);
    if (fd < 0)
        return error_set(err, fd, "cannot be opened: %s", strerror(-fd));
    *ret_path = path;
    path = NULL;
    return fd;
}

static int fill_identity(int fd, const struct stat *status, struct image_layer *layer)
{
    layer->is_block_device = S_ISBLK(status->st_mode);
    if (!layer->is_block_device) {
        layer->device = status->st_dev;
        layer->inode = status->st_ino;
        layer->size = (uint64_t)status->st_size;
        layer->modified = status->st_mtim;
        layer->changed = status->st_ctim;
        return 0;
    }
    /* A device's node tells nothing of the device but its number. */
    layer->device = status->st_rdev;
    return ioctl(fd, BLKGETSIZE64, &layer->size) < 0 ? -errno : 0;
}

int image_file_open(const char *name, const struct image_permit *permit, int *ret_fd,
                    struct image_layer *ret_layer, struct error *err)
{
    struct image_layer layer = {0};
    struct stat status = {0};
    int rc, fd = open_checked(name, permit, &status, &layer.path, err);

    if (fd < 0)
        return fd;
    rc = fill_identity(fd, &status, &layer);
    if (rc < 0)
        error_set(err, rc, "its size cannot be told: %s", strerror(-rc));
    else if (layer.size > IMAGE_MAX_SIZE)
        rc = error_set(err, -EFBIG, "its size is absurd: %llu bytes",
                       (unsigned long long)layer.size);
    if (rc < 0) {
        free(layer.path);
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    *ret_layer = layer;
    return 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static int check_device(const struct image_layer *layer, const struct stat *status,
                        struct error *err)
{
    CLEANUP(cleanup_close) int fd = -1;
    uint64_t size;

    if (!S_ISBLK(status->st_mode) || status->st_rdev != layer->device)
        return error_set(err, -ESTALE, "%s was replaced while it was read", layer->path);
    fd = open(layer->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0 || size != layer->size)
        return error_set(err, -ESTALE, "%s changed its size while it was read", layer->path);
    return 0;
}

int image_file_check(const struct image_layer *layer, bool content_only, struct error *err)
{
    struct stat status;

    if (stat(layer->path, &status) < 0)
        return error_set(err, -ESTALE, "%s was removed while it was read", layer->path);
    if (layer->is_block_device)
        return check_device(layer, &status, err);
    if (status.st_dev != layer->device || status.st_ino != layer->inode)
        return error_set(err, -ESTALE, "%s was replaced while it was read", layer->path);
    if ((uint64_t)status.st_size < layer->size)
        return error_set(err, -ESTALE, "%s was cut short while it was read", layer->path);
    if ((uint64_t)status.st_size != layer->size || !same_time(&status.st_mtim, &layer->modified) ||
        (!content_only && !same_time(&status.st_ctim, &layer->changed)))
        return error_set(err, -ESTALE, "%s was changed while it was read", layer->path);
    return 0;
}

/* Could we lock that range? Asking takes no lock. */
static bool is_refused(int fd, short kind, off_t start, off_t length)
{
    struct flock lock = {.l_type = kind, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/*
 * QEMU (block/file-posix.c) says by a shared lock on byte 100 + n that it uses
 * permission n, where 1 is WRITE and 3 RESIZE; other programs, virtlockd among
 * them, take plain write locks.
 */
bool image_file_is_locked(int fd)
{
    enum { PERMISSION_BASE = 100, WRITE = 1, RESIZE = 3 };

    return is_refused(fd, F_WRLCK, PERMISSION_BASE + WRITE, 1) ||
           is_refused(fd, F_WRLCK, PERMISSION_BASE + RESIZE, 1) || is_refused(fd, F_RDLCK, 0, 0);
}
