/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the images of a plan shall lie: allowed, not taken, with room enough. */
#include "transfer/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- paths ------------------------------------------------------------------------ */

/* Absolute, no empty name, no "." and "..". */
static bool is_plain(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *at = path; *at == '/';) {
        size_t length = strcspn(++at, "/");

        if (length == 0 || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += length;
    }
    return true;
}

/* Length of a directory's name without slashes at its end. */
static size_t name_length(const char *directory)
{
    size_t length = strlen(directory);

    while (length > 0 && directory[length - 1] == '/')
        length--;
    return length;
}

/* The directory that `path` lies below, the longest of them; NULL: none. */
static const char *find_root(const struct transfer_apply_options *options, const char *path)
{
    const char *found = NULL;
    size_t longest = 0;

    for (size_t i = 0; i < options->directory_count; i++) {
        const char *directory = options->directories[i];
        size_t length = name_length(directory);

        if (directory[0] == '/' && strncmp(path, directory, length) == 0 && path[length] == '/' &&
            (found == NULL || length > longest)) {
            found = directory;
            longest = length;
        }
    }
    return found;
}

/* One step down; -ELOOP where it is a link. */
static int open_below(int directory, const char *name, size_t length)
{
    CLEANUP(cleanup_free) char *copy = strndup(name, length);
    struct stat status;
    int fd;

    if (copy == NULL)
        return -ENOMEM;
    fd = openat(directory, copy, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == ENOTDIR && fstatat(directory, copy, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(status.st_mode))
        return -ELOOP;
    return -errno;
}

/* The directory of `image`, name by name from the root on, so that no link leads elsewhere. */
static int open_directory(const struct apply_image *image, struct error *err)
{
    const char *path = image->plan->path, *at = path + name_length(image->root);
    int fd = open(image->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_set(err, -errno, "%s cannot be made: %s: %s", path, image->root,
                         strerror(errno));
    while (++at != image->name) {
        size_t length = strcspn(at, "/");
        int next = open_below(fd, at, length);

        close(fd);
        if (next < 0)
            return error_set(err, next, "%s cannot be made: %.*s%s%s", path,
                             (int)(at + length - path), path,
                             next == -ELOOP ? " is a symbolic link" : ": ",
                             next == -ELOOP ? "" : strerror(-next));
        fd = next;
        at += length;
    }
    return fd;
}

int apply_place_find(struct apply *apply, struct apply_image *image, struct error *err)
{
    const char *path = image->plan->path, *backing = image->plan->backing;
    int fd;

    if (!is_plain(path))
        return error_set(err, -EACCES, "'%.300s' is not the plain path of an image", path);
    image->root = find_root(apply->options, path);
    if (image->root == NULL)
        return error_set(err, -EACCES,
                         "%.300s lies outside of the directories where images may be made", path);
    if (backing != NULL && (!is_plain(backing) || find_root(apply->options, backing) == NULL))
        return error_set(err, -EACCES,
                         "%.200s shall lie on %.200s, which is outside of the directories where "
                         "images may be made",
                         path, backing);
    image->name = strrchr(path, '/') + 1;
    fd = open_directory(image, err);
    if (fd < 0)
        return fd;
    image->directory = fd;
    return 0;
}

/* ---- names that are taken ------------------------------------------------------------ */

/* Only what setmov gc, and QEMU, cannot take away meanwhile. */
static int hold(struct apply_image *image, struct error *err)
{
    const struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    struct stat status;

    image->file = openat(image->directory, image->name,
                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (image->file < 0 && errno == ELOOP)
        return error_set(err, -ELOOP, "%s is a symbolic link", image->plan->path);
    if (image->file < 0 || fstat(image->file, &status) < 0)
        return error_set(err, -errno, "%s cannot be opened: %s", image->plan->path,
                         strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EEXIST, "%s is there, and is no regular file", image->plan->path);
    if (fcntl(image->file, F_OFD_SETLK, &lock) < 0)
        return error_set(err, -EEXIST, "%s is there, but %s%s", image->plan->path,
                         errno == EAGAIN || errno == EACCES ? "is locked by somebody"
                                                            : "cannot be locked: ",
                         errno == EAGAIN || errno == EACCES ? "" : strerror(errno));
    image->device = status.st_dev;
    image->inode = status.st_ino;
    return 0;
}

static bool stop_waiting(void *context)
{
    return !apply_tick(context);
}

static int open_existing(struct apply *apply, struct apply_image *image, struct error *err)
{
    const struct transfer_image *plan = image->plan;
    const struct image_options options = {.format = plan->format,
                                          .allowed = apply->donors.allowed,
                                          .only_top = plan->backing != NULL,
                                          .stopped = stop_waiting,
                                          .context = apply};
    const struct image_layer *layers;
    struct error why = {""};
    size_t count;
    int rc = image_open(plan->path, &options, &image->existing, &why);

    if (rc == -ECANCELED)
        return error_set(err, rc, "stopped");
    if (rc < 0)
        return error_set(err, -EEXIST, "%s is there, and cannot serve: %.300s", plan->path,
                         why.text);
    layers = image_layers(image->existing, &count);
    if (layers[0].device != image->device || layers[0].inode != image->inode)
        return error_set(err, -EEXIST, "%s is replaced just now", plan->path);
    if (image_is_in_use(image->existing))
        return error_set(err, -EEXIST, "%s is there, and somebody writes to it", plan->path);
    if (image_size(image->existing) != plan->virtual_size)
        return error_set(err, -EEXIST,
                         "%s is there with other content: %" PRIu64 " bytes, not %" PRIu64,
                         plan->path, image_size(image->existing), plan->virtual_size);
    return 0;
}

/* An image of the same name may lie on another one, or on none. */
static int compare_backing(const struct apply *apply, const struct apply_image *image,
                           struct error *err)
{
    const struct image_options options = {.format = image->plan->format,
                                          .allowed = apply->donors.allowed};
    const char *backing = image->plan->backing, *has = NULL;
    struct image_layer *layers;
    struct error why = {""};
    struct stat status;
    size_t count;
    bool same;

    if (image_look(image->plan->path, &options, &layers, &count, &why) < 0)
        return error_set(err, -EEXIST, "%s is there, and cannot serve: %.300s", image->plan->path,
                         why.text);
    if (backing == NULL)
        same = count == 1;
    else
        same = count > 1 && stat(backing, &status) == 0 && status.st_dev == layers[1].device &&
               status.st_ino == layers[1].inode;
    if (count > 1)
        has = layers[1].path;
    if (!same)
        error_set(err, -EEXIST, "%s is there, but lies on %.200s, not on %.200s", image->plan->path,
                  has != NULL ? has : "nothing", backing != NULL ? backing : "nothing");
    image_layers_free(layers, count);
    return same ? 0 : -EEXIST;
}

int apply_place_look(struct apply *apply, struct apply_image *image, struct error *err)
{
    struct stat status;
    int rc;

    if (fstatat(image->directory, image->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(err, -errno, "%s: %s", image->plan->path, strerror(errno));
    if (!image->plan->may_exist)
        return error_set(err, -EEXIST, "%s is there already", image->plan->path);
    rc = hold(image, err);
    if (rc == 0)
        rc = open_existing(apply, image, err);
    return rc == 0 ? compare_backing(apply, image, err) : rc;
}

/* ---- room ------------------------------------------------------------------------------ */

/* Of all blocks of the file system, or clusters of the image, in which something is written. */
static uint64_t room_for(const struct transfer_image *image, uint64_t block)
{
    const struct image_write_options options = apply_write_options(image);
    bool zeroes = image_write_zeroes_are_data(&options);
    uint64_t unit = image_write_unit(&options), units = 0, next = 0;

    unit = unit > block ? unit : block;
    for (size_t i = 0; i < image->extent_count; i++) {
        const struct transfer_extent *extent = &image->extents[i];
        uint64_t first = extent->offset / unit, end;

        if (extent->kind == TRANSFER_ZERO && !zeroes)
            continue;
        end = (extent->offset + extent->length - 1) / unit + 1;
        first = first > next ? first : next; /* the extent before it may end in the same one */
        units += end - first;
        next = end;
    }
    return units * unit;
}

int apply_space_check(const struct apply *apply, struct error *err)
{
    size_t count = apply->plan->image_count;
    CLEANUP(cleanup_free) dev_t *devices = calloc(count, sizeof(*devices));

    if (devices == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct stat status;

        if (fstat(apply->images[i].directory, &status) < 0)
            return error_set(err, -errno, "%s: %s", apply->images[i].plan->path, strerror(errno));
        devices[i] = status.st_dev;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t needed = 0, free_bytes, reserve = apply->options->space_reserve_bytes;
        struct statvfs space;

        if (fstatvfs(apply->images[i].directory, &space) < 0)
            return error_set(err, -errno, "%s: %s", apply->images[i].plan->path, strerror(errno));
        for (size_t j = 0; j < count; j++) {
            if (devices[j] == devices[i] && apply->images[j].existing == NULL)
                needed += room_for(apply->images[j].plan, space.f_frsize);
        }
        free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
        if (needed > 0 && (needed > free_bytes || reserve > free_bytes - needed))
            return error_set(err, -ENOSPC,
                             "no room for %s: %" PRIu64 " bytes are needed and %" PRIu64
                             " shall stay free, but the file system has %" PRIu64,
                             apply->images[i].plan->path, needed, reserve, free_bytes);
    }
    return 0;
}

int apply_directory_make(const char *path, struct error *err)
{
    CLEANUP(cleanup_free) char *part = strdup(path);

    if (part == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (char *slash = strchr(part + 1, '/'); part[0] != '\0' && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return error_set(err, -errno, "%s: cannot make %s: %s", path, part, strerror(errno));
        *slash = '/';
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(err, -errno, "%s cannot be made: %s", path, strerror(errno));
    return 0;
}
