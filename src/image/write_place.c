/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where an image is made: its directory is found without a symbolic link and
 * then held by its descriptor, and the file has no name there until it is whole.
 */
#include "image/write.h"

#include "image/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HIDDEN_TRIES  64
#define HIDDEN_RANDOM 6
#define HIDDEN_ENDING ".tmp"

/* ---- the path --------------------------------------------------------------------------------- */

/* Absolute, and every part a name of its own: so what lies below what can be seen from the text. */
static bool is_plain(const char *path)
{
    const char *part = path;

    if (path[0] != '/')
        return false;
    while (*part == '/') {
        size_t length = strcspn(++part, "/");

        if (length == 0 || length > NAME_MAX || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += length;
    }
    return true;
}

/* What is left of the path below `root`: "a/b/NAME"; NULL where it does not lie there. */
static const char *below(const char *path, const char *root)
{
    size_t length = strlen(root);

    while (length > 0 && root[length - 1] == '/')
        length--;
    if (root[0] != '/' || strncmp(path, root, length) != 0 || path[length] != '/')
        return NULL;
    return path + length + 1;
}

static int open_below(int root, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(__NR_openat2, root, path, &how, sizeof(how));

    return fd >= 0 ? fd : -errno;
}

/* The directory that the path's last part lies in. */
static int open_directory(const char *path, const char *root, struct error *err)
{
    CLEANUP(cleanup_close) int top = -1;
    CLEANUP(cleanup_free) char *directory = NULL;
    const char *rest = below(path, root), *slash;
    int fd;

    if (!is_plain(path))
        return error_set(err, -EINVAL, "%s: is no absolute path without . and ..", path);
    if (rest == NULL)
        return error_set(err, -EINVAL, "%s: does not lie in %s", path, root);
    slash = strrchr(rest, '/');
    directory = slash != NULL ? strndup(rest, (size_t)(slash - rest)) : strdup(".");
    if (directory == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", path);
    top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return error_set(err, -errno, "%s: its directory %s: %s", path, root, strerror(errno));
    fd = open_below(top, directory);
    if (fd == -ELOOP)
        return error_set(err, fd, "%s: a part of the path below %s is a symbolic link", path, root);
    if (fd < 0)
        return error_set(err, fd, "%s: its directory cannot be opened: %s", path, strerror(-fd));
    return fd;
}

/* ---- the file --------------------------------------------------------------------------------- */

static bool lacks_nameless(int code)
{
    return code == EOPNOTSUPP || code == EISDIR || code == EINVAL || code == ENOENT;
}

/* ".NAME.XXXXXX.tmp", made by nobody but us. */
static int open_hidden(struct write_place *place)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    size_t most = NAME_MAX - strlen("..") - HIDDEN_RANDOM - strlen(HIDDEN_ENDING);
    char name[NAME_MAX + 1], mark[HIDDEN_RANDOM + 1] = "";
    uint8_t bytes[HIDDEN_RANDOM];

    for (int i = 0; i < HIDDEN_TRIES; i++) {
        int fd;

        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
            return -EIO;
        for (size_t k = 0; k < sizeof(bytes); k++)
            mark[k] = letters[bytes[k] % (sizeof(letters) - 1)];
        string_format(name, sizeof(name), ".%.*s.%s" HIDDEN_ENDING, (int)most, place->name, mark);
        fd = openat(place->directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    S_IRUSR | S_IWUSR);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0)
            return -errno;
        place->hidden = strdup(name);
        if (place->hidden != NULL)
            return fd;
        (void)unlinkat(place->directory, name, 0);
        close(fd);
        return -ENOMEM;
    }
    return -EEXIST;
}

static int open_file(struct write_place *place, uint32_t mode, struct error *err)
{
    int fd = openat(place->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);

    if (fd < 0 && lacks_nameless(errno))
        fd = open_hidden(place);
    else if (fd < 0)
        fd = -errno;
    if (fd >= 0)
        fd = image_fd_raise(fd);
    if (fd < 0)
        return error_set(err, fd, "%s: no file can be made there: %s", place->path, strerror(-fd));
    place->fd = fd;
    if (fchmod(fd, (mode_t)mode) < 0)
        return error_set(err, -errno, "%s: its mode cannot be set: %s", place->path,
                         strerror(errno));
    return 0;
}

static int tell_taken(const struct write_place *place, struct error *err)
{
    return error_set(err, -EEXIST, "%s: is there already", place->path);
}

int write_place_open(const char *path, const char *root, uint32_t mode,
                     struct write_place *ret_place, struct error *err)
{
    struct write_place place = {.path = path, .directory = -1, .fd = -1};
    struct stat status;
    int rc = open_directory(path, root, err);

    if (rc < 0)
        return rc;
    place.directory = rc;
    place.name = strrchr(path, '/') + 1;
    if (fstatat(place.directory, place.name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        rc = tell_taken(&place, err);
    else if (errno != ENOENT)
        rc = error_set(err, -errno, "%s: %s", path, strerror(errno));
    else
        rc = open_file(&place, mode != 0 ? mode : S_IRUSR | S_IWUSR, err);
    if (rc < 0)
        write_place_release(&place);
    else
        *ret_place = place;
    return rc;
}

int write_place_sync(const struct write_place *place, struct error *err)
{
    if (fsync(place->fd) < 0)
        return error_set(err, -errno, "%s: cannot be brought to the disk: %s", place->path,
                         strerror(errno));
    return 0;
}

/* ---- the name --------------------------------------------------------------------------------- */

static int link_nameless(const struct write_place *place)
{
    char self[32];

    string_format(self, sizeof(self), "/proc/self/fd/%d", place->fd);
    if (linkat(AT_FDCWD, self, place->directory, place->name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != ENOENT)
        return -errno;
    /* Without /proc; this way needs a capability. */
    return linkat(place->fd, "", place->directory, place->name, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

/* Both names are there for a moment: the new one is never seen half. */
static int link_hidden(struct write_place *place)
{
    int rc = 0;

    if (linkat(place->directory, place->hidden, place->directory, place->name, 0) == 0)
        (void)unlinkat(place->directory, place->hidden, 0);
    else if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
        rc = -errno;
    /* A file system without second names. */
    else if (renameat2(place->directory, place->hidden, place->directory, place->name,
                       RENAME_NOREPLACE) < 0)
        rc = -errno;
    if (rc == 0) {
        free(place->hidden);
        place->hidden = NULL;
    }
    return rc;
}

/* Only ours is removed. */
static void take_back(const struct write_place *place)
{
    struct stat ours, there;

    if (fstat(place->fd, &ours) == 0 &&
        fstatat(place->directory, place->name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        (void)unlinkat(place->directory, place->name, 0);
}

int write_place_publish(struct write_place *place, struct error *err)
{
    int rc = place->hidden != NULL ? link_hidden(place) : link_nameless(place);

    if (rc == -EEXIST)
        return tell_taken(place, err);
    if (rc < 0)
        return error_set(err, rc, "%s: cannot be given its name: %s", place->path, strerror(-rc));
    if (fsync(place->directory) < 0) {
        rc = error_set(err, -errno, "%s: its name cannot be brought to the disk: %s", place->path,
                       strerror(errno));
        take_back(place);
    }
    return rc;
}

void write_place_release(struct write_place *place)
{
    if (place == NULL)
        return;
    if (place->hidden != NULL)
        (void)unlinkat(place->directory, place->hidden, 0);
    free(place->hidden);
    cleanup_close(&place->fd);
    cleanup_close(&place->directory);
    *place = (struct write_place){.directory = -1, .fd = -1};
}
