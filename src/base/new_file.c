/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that are made: beside their name until they are whole, or without any. */
#include "setmov/base_new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".XXXXXX.tmp"

const char *new_file_directory(const char *wished)
{
    const char *environment = getenv("TMPDIR");

    if (wished != NULL)
        return wished;
    return environment != NULL && environment[0] == '/' ? environment : "/var/tmp";
}

int new_file_nameless(const char *directory, struct new_file *ret_file, struct error *err)
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
    *ret_file = (struct new_file){.fd = fd, .name = directory};
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

int new_file_beside(const char *path, struct new_file *ret_file, struct error *err)
{
    const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
    size_t size = strlen(path) + sizeof("." SUFFIX);
    size_t longest = NAME_MAX - strlen("." SUFFIX), length = strlen(base);
    struct new_file file = {.fd = -1, .name = path, .target = path};
    int rc = check_target(path, base, err);

    if (rc < 0)
        return rc;
    file.beside = malloc(size);
    if (file.beside == NULL)
        return error_set(err, -ENOMEM, "no memory for the name of a file");
    string_format(file.beside, size, "%.*s.%.*s" SUFFIX, (int)(base - path), path,
                  (int)(length < longest ? length : longest), base);
    /* Made by nobody but us (O_EXCL), for nobody but us: it tells what images contain. */
    file.fd = mkostemps(file.beside, (int)strlen(".tmp"), O_CLOEXEC);
    if (file.fd < 0) {
        rc = error_set(err, -errno, "%s: cannot make a file beside it: %s", path, strerror(errno));
        free(file.beside);
        return rc;
    }
    *ret_file = file;
    return 0;
}

int new_file_write(const struct new_file *file, const void *bytes, size_t length, uint64_t offset,
                   struct error *err)
{
    const uint8_t *from = bytes;

    while (length > 0) {
        ssize_t written = pwrite(file->fd, from, length, (off_t)offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            int code = written < 0 ? errno : ENOSPC;

            return error_set(err, -code, "%s: cannot write%s: %s", file->name,
                             file->target == NULL ? " a temporary file there" : "", strerror(code));
        }
        from += written;
        length -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

int new_file_sync(const struct new_file *file, struct error *err)
{
    if (fdatasync(file->fd) < 0)
        return error_set(err, -errno, "%s: cannot be brought to the disk: %s", file->name,
                         strerror(errno));
    return 0;
}

/* Somebody may have made a directory or a device of that name meanwhile. */
int new_file_check(const struct new_file *file, struct error *err)
{
    return file->beside == NULL ? 0 : check_target(file->target, file->target, err);
}

int new_file_publish(struct new_file *file, struct error *err)
{
    int rc = new_file_check(file, err);

    if (rc < 0 || file->beside == NULL)
        return rc;
    if (rename(file->beside, file->target) < 0)
        return error_set(err, -errno, "%s: cannot give the file this name: %s", file->target,
                         strerror(errno));
    free(file->beside);
    file->beside = NULL;
    return 0;
}

void new_file_release(struct new_file *file)
{
    if (file->beside != NULL)
        unlink(file->beside);
    free(file->beside);
    if (file->fd >= 0)
        close(file->fd);
    *file = NEW_FILE_NONE;
}

bool new_file_allocate(const struct new_file *file, uint64_t offset, uint64_t length)
{
    bool got = fallocate(file->fd, 0, (off_t)offset, (off_t)length) == 0;

    /* A full disk may have given what it had, which others need now. */
    if (!got && ftruncate(file->fd, (off_t)offset) < 0)
        return false;
    return got;
}

int new_file_truncate(const struct new_file *file, uint64_t length, struct error *err)
{
    if (ftruncate(file->fd, (off_t)length) < 0)
        return error_set(err, -errno, "%s: cannot be given its length: %s", file->name,
                         strerror(errno));
    return 0;
}

int new_file_read(const struct new_file *file, void *bytes, size_t length, uint64_t offset,
                  struct error *err)
{
    uint8_t *to = bytes;

    while (length > 0) {
        ssize_t got = pread(file->fd, to, length, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int code = got < 0 ? errno : EIO;

            return error_set(err, -code, "%s: cannot read back what was written%s: %s", file->name,
                             file->target == NULL ? " to a temporary file there" : "",
                             strerror(code));
        }
        to += got;
        length -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

int new_file_sync_directory(const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    CLEANUP(cleanup_free) char *directory = NULL;
    CLEANUP(cleanup_close) int fd = -1;

    /* With its slash: of "/NAME", too. */
    directory = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (directory == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_set(err, -errno, "%s: cannot be brought to the disk: %s", directory,
                         strerror(errno));
    return 0;
}

int new_file_replace(const char *path, const void *bytes, size_t length, bool sync,
                     struct error *err)
{
    struct new_file file = NEW_FILE_NONE;
    int rc = new_file_beside(path, &file, err);

    if (rc == 0)
        rc = new_file_write(&file, bytes, length, 0, err);
    if (rc == 0 && sync)
        rc = new_file_sync(&file, err);
    if (rc == 0)
        rc = new_file_publish(&file, err);
    if (rc == 0 && sync)
        rc = new_file_sync_directory(path, err);
    new_file_release(&file);
    return rc;
}

int new_file_make_directory(const char *path, struct error *err)
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
