/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Did an image vanish, or is its file system only not mounted? A file that is
 * missing from the file system it was on is gone. Where another file system is
 * in its place (the mount point's), or the same under a new number, only a
 * directory that was searched and is not empty speaks for it.
 */
#include "catalog/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The nearest directory above `path` that exists: its descriptor. */
static int open_ancestor(const char *path)
{
    CLEANUP(cleanup_free) char *above = strdup(path);
    char *slash;
    int fd = -1;

    if (above == NULL)
        return -ENOMEM;
    do {
        slash = strrchr(above, '/');
        if (slash == NULL)
            return -ENOENT;
        slash[slash == above] = '\0';
        fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    } while (fd < 0 && (errno == ENOENT || errno == ENOTDIR) && above[1] != '\0');
    return fd >= 0 ? fd : -errno;
}

static bool has_entries(int fd)
{
    char **names = NULL;
    size_t count = 0;

    if (catalog_list(fd, &names, &count) < 0)
        return false;
    catalog_list_free(names, count);
    return count > 0;
}

bool catalog_is_gone(const struct fingerprint_layer *top, bool in_scope)
{
    CLEANUP(cleanup_close) int above = -1;
    struct stat status;

    if (top->path[0] != '/')
        return true; /* none that was found, ever */
    if (lstat(top->path, &status) == 0)
        return in_scope;
    if (errno != ENOENT && errno != ENOTDIR)
        return false;
    above = open_ancestor(top->path);
    if (above < 0 || fstat(above, &status) < 0)
        return false;
    if (!top->is_block_device && status.st_dev == top->device)
        return true;
    return (in_scope || top->is_block_device) && has_entries(above);
}
