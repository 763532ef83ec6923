/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that a writer makes: beside their name until they are whole, or without any. */

#include "fingerprint/writer_place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".XXXXXX.tmp"

/* ---- making ---- */

int place_nameless(const char *directory, struct place *ret_place, struct error *err)
{
    CLEANUP(cleanup_free) char *path = NULL;
    size_t size = strlen(directory) + sizeof("/.setmov" SUFFIX);
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, S_IRUSR | S_IWUSR);

    /* Not every filesystem has files without a name. */
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        path = malloc(size);
        if (path == NULL)
            return error_set(err, -ENOMEM, "no memory for the name of a file");
        string_format(path, size, "%s/.setmov" SUFFIX, directory);
        fd = mkostemps(path, (int)strlen(".tmp"), O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        return error_set(err, -errno, "%s: cannot make a temporary file there: %s", directory,
                         strerror(errno));
    *ret_place = (struct place){.fd = fd, .name = directory};
    return 0;
}

/* A rename would replace a device or a FIFO as well, which nobody means. */
static int check_target(const char *path, const char *base, struct error *err)
{
    struct stat status;

    if (base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return error_set(err, -EISDIR, "%s: is no name of a file", path);
    if (lstat(path, &status) < 0 || S_ISREG(status.st_mode))
        return 0;
    if (S_ISLNK(status.st_mode) && (stat(path, &status) < 0 || S_ISREG(status.st_mode)))
        return 0; /* the link is what is replaced */
    if (S_ISDIR(status.st_mode))
        return error_set(err, -EISDIR, "%s: is a directory", path);
    return error_set(err, -EEXIST, "%s: is there, and is no regular file", path);
}

int place_beside(const char *path, struct place *ret_place, struct error *err)
{
    const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
    size_t size = strlen(path) + sizeof("." SUFFIX);
    size_t longest = NAME_MAX - strlen("." SUFFIX), length = strlen(base);
    struct place place = {.fd = -1, .name = path, .target = path};
    int rc = check_target(path, base, err);

    if (rc < 0)
        return rc;
    place.beside = malloc(size);
    if (place.beside == NULL)
        return error_set(err, -ENOMEM, "no memory for the name of a file");
    string_format(place.beside, size, "%.*s.%.*s" SUFFIX, (int)(base - path), path,
                  (int)(length < longest ? length : longest), base);
    /* Made by nobody but us (O_EXCL), for nobody but us: it tells what an image contains. */
    place.fd = mkostemps(place.beside, (int)strlen(".tmp"), O_CLOEXEC);
    if (place.fd < 0) {
        rc = error_set(err, -errno, "%s: cannot make a file beside it: %s", path, strerror(errno));
        free(place.beside);
        return rc;
    }
    *ret_place = place;
    return 0;
}

int place_sync(const struct place *place, struct error *err)
{
    if (fdatasync(place->fd) < 0)
        return error_set(err, -errno, "%s: cannot be brought to the disk: %s", place->name,
                         strerror(errno));
    return 0;
}

int place_publish(struct place *place, struct error *err)
{
    int rc;

    if (place->beside == NULL)
        return 0;
    /* Somebody may have made a directory or a device of that name meanwhile. */
    rc = check_target(place->target, place->target, err);
    if (rc < 0)
        return rc;
    if (rename(place->beside, place->target) < 0)
        return error_set(err, -errno, "%s: cannot give the file this name: %s", place->target,
                         strerror(errno));
    free(place->beside);
    place->beside = NULL;
    return 0;
}

void place_release(struct place *place)
{
    if (place->beside != NULL)
        unlink(place->beside);
    free(place->beside);
    if (place->fd >= 0)
        close(place->fd);
    *place = (struct place){.fd = -1};
}

/* ---- bytes ---- */

int place_write(const struct place *place, const void *bytes, size_t length, uint64_t offset,
                struct error *err)
{
    const uint8_t *from = bytes;

    while (length > 0) {
        ssize_t written = pwrite(place->fd, from, length, (off_t)offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            int code = written < 0 ? errno : ENOSPC;

            return error_set(err, -code, "%s: cannot write%s: %s", place->name,
                             place->target == NULL ? " a temporary file there" : "",
                             strerror(code));
        }
        from += written;
        length -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

int place_read(const struct place *place, void *bytes, size_t length, uint64_t offset,
               struct error *err)
{
    uint8_t *to = bytes;

    while (length > 0) {
        ssize_t got = pread(place->fd, to, length, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int code = got < 0 ? errno : EIO;

            return error_set(err, -code, "%s: cannot read back what was written%s: %s", place->name,
                             place->target == NULL ? " to a temporary file there" : "",
                             strerror(code));
        }
        to += got;
        length -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}
