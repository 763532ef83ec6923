/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of known hosts in a cache directory, mapped. */

#include "catalog/internal.h"
#include "catalog/known.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that is mapped, until it belongs to a struct catalog_known. */
struct mapping {
    void *bytes; /* NULL: none */
    size_t length;
    struct file_guard *guard;
};

static void unmap(const struct mapping *mapping)
{
    file_guard_remove(mapping->guard);
    if (mapping->bytes != NULL)
        munmap(mapping->bytes, mapping->length);
}

static int map(const char *path, struct mapping *mapping, struct error *err)
{
    CLEANUP(cleanup_close)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    uint8_t head[KNOWN_HEADER_BYTES];
    struct stat status;
    ssize_t got;
    void *bytes;
    int rc;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(err, S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL,
                         "%s is not a regular file", path);
    if (status.st_size == 0)
        return error_set(err, -EINVAL, "%s is empty", path);
    got = pread(fd, head, sizeof(head), 0);
    if (got < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    rc = known_check_head(head, (size_t)got, (uint64_t)status.st_size, path, err);
    if (rc < 0)
        return rc;
    /* All of it is read for the checksum: at once is quicker than page by page. */
    bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    mapping->bytes = bytes;
    mapping->length = (size_t)status.st_size;
    mapping->guard = file_guard_add(bytes, mapping->length);
    return mapping->guard != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int catalog_known_open(const char *cache, struct catalog_known **ret_known, struct error *err)
{
    CLEANUP(cleanup_free) char *path = catalog_path_join(cache, CATALOG_KNOWN_NAME);
    struct mapping mapping = {.bytes = NULL};
    struct catalog_known *known = NULL;
    int rc;

    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = map(path, &mapping, err);
    if (rc == 0)
        rc = catalog_known_decode(mapping.bytes, mapping.length, path, &known, err);
    if (mapping.guard != NULL && file_guard_lost(mapping.guard)) {
        known_release(known);
        known = NULL;
        rc = error_set(err, -EIO, "%s was cut short while it was read", path);
    }
    if (known == NULL) {
        unmap(&mapping);
        return rc;
    }
    known->mapped = mapping.bytes;
    known->guard = mapping.guard;
    known->is_lost = file_guard_lost;
    *ret_known = known;
    return 0;
}

void catalog_known_close(struct catalog_known *known)
{
    if (known == NULL)
        return;
    unmap(&(struct mapping){known->mapped, known->length, known->guard});
    known_release(known);
}
