/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A merged index in a file: mapped, and asked. */
#include "catalog/merged_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file --------------------------------------------------------------------- */

int merged_file_make_room(struct catalog_merged_file *file, size_t count, struct error *err)
{
    file->rows = calloc(count + 1, sizeof(*file->rows));
    file->codes = calloc(count + 1, sizeof(*file->codes));
    file->rows_of = calloc(count + 1, sizeof(*file->rows_of));
    if (file->rows == NULL || file->codes == NULL || file->rows_of == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    file->host_count = count;
    return 0;
}

void merged_file_unmap(struct catalog_merged_file *file)
{
    catalog_merged_release(file->merged);
    file->merged = NULL;
    file_guard_remove(file->guard);
    file->guard = NULL;
    if (file->mapped != NULL)
        munmap(file->mapped, file->length);
    file->mapped = NULL;
}

static int map(int fd, struct catalog_merged_file *file, struct error *err)
{
    void *bytes = mmap(NULL, file->length, PROT_READ, MAP_SHARED, fd, 0);

    if (bytes == MAP_FAILED)
        return error_set(err, -errno, "%s: %s", file->path, strerror(errno));
    file->mapped = bytes;
    file->guard = file_guard_add(bytes, file->length);
    return file->guard != NULL ? 0 : error_set(err, -ENOMEM, "%s: out of memory", file->path);
}

int merged_file_load(struct catalog_merged_file *file, struct error *err)
{
    CLEANUP(cleanup_close)
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    ssize_t got;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, -errno, "%s: %s", file->path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EEXIST, "%s is not a regular file", file->path);
    got = pread(fd, file->magic, sizeof(file->magic), 0);
    if (got < 0)
        return error_set(err, -errno, "%s: %s", file->path, strerror(errno));
    file->magic_length = (size_t)got;
    file->length = (size_t)status.st_size;
    return file->length > 0 ? map(fd, file, err) : 0;
}

/* ---- as it is ---------------------------------------------------------------------- */

/* Each row is a host. */
static int map_as_it_is(struct catalog_merged_file *file, const char *path, struct error *err)
{
    int rc;

    file->path = strdup(path);
    if (file->path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = merged_file_load(file, err);
    if (rc < 0)
        return rc == -EEXIST ? -EINVAL : rc;
    rc = catalog_merged_decode(file->mapped, file->length, &file->merged, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", path);
    rc = merged_file_make_room(file, catalog_merged_host_count(file->merged), err);
    for (size_t i = 0; rc == 0 && i < file->host_count; i++)
        file->rows[i].host = file->rows_of[i] = i;
    file->row_count = file->host_count;
    if (rc == 0 && file_guard_lost(file->guard))
        rc = error_set(err, -EIO, "%s was cut short while it was read", path);
    return rc;
}

int catalog_merged_file_map(const char *path, struct catalog_merged_file **ret_file,
                            struct error *err)
{
    struct catalog_merged_file *file = calloc(1, sizeof(*file));
    int rc;

    if (file == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = map_as_it_is(file, path, err);
    if (rc < 0)
        catalog_merged_file_close(file);
    else
        *ret_file = file;
    return rc;
}

int catalog_merged_file_map_kind(const char *cache, const struct catalog_kind *kind,
                                 struct catalog_merged_file **ret_file, struct error *err)
{
    CLEANUP(cleanup_free) char *path = NULL;
    char name[CATALOG_NAME_BYTES];

    catalog_merged_name(kind, name);
    if (asprintf(&path, "%s/%s", cache, name) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return catalog_merged_file_map(path, ret_file, err);
}

int catalog_merged_file_verify(const struct catalog_merged_file *file, struct error *err)
{
    int rc = file->merged != NULL ? catalog_merged_verify(file->merged, err) : 0;

    if (rc < 0)
        return error_prefix(err, rc, "%s", file->path);
    if (file->guard != NULL && file_guard_lost(file->guard))
        return error_set(err, -EIO, "%s was cut short while it was read", file->path);
    return 0;
}

bool catalog_merged_file_is_current(const struct catalog_merged_file *file, size_t host,
                                    const char *directory, const struct catalog_kind *kind)
{
    uint64_t checksum;
    bool is_racy; /* the mark of one that was so then is 0, and that of none */

    return file->codes[host] == 0 && merged_glance(directory, kind, &checksum, &is_racy) == 0 &&
           catalog_merged_host_mark(file->merged, file->rows_of[host]) >> 24 == checksum;
}

/* ---- hosts ------------------------------------------------------------------------- */

struct named {
    const char *name;
    size_t host;
};

static int by_name(const void *left, const void *right)
{
    const struct named *l = left, *r = right;

    return strcmp(l->name, r->name);
}

int catalog_merged_file_find(const struct catalog_merged_file *file, const char *const *names,
                             size_t count, size_t *ret_hosts)
{
    CLEANUP(cleanup_free) struct named *all = calloc(file->host_count + 1, sizeof(*all));
    size_t there = 0;

    if (all == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < file->host_count; i++) {
        const char *name = catalog_merged_file_host_name(file, i);

        if (name != NULL)
            all[there++] = (struct named){name, i};
    }
    qsort(all, there, sizeof(*all), by_name);
    for (size_t i = 0; i < count; i++) {
        const struct named wanted = {.name = names[i]};
        const struct named *found = bsearch(&wanted, all, there, sizeof(*all), by_name);

        ret_hosts[i] = found != NULL ? found->host : file->host_count;
    }
    return 0;
}

size_t catalog_merged_file_host_count(const struct catalog_merged_file *file)
{
    return file->host_count;
}

const char *catalog_merged_file_host_name(const struct catalog_merged_file *file, size_t host)
{
    return file->codes[host] == 0 ? catalog_merged_host_name(file->merged, file->rows_of[host])
                                  : NULL;
}

bool catalog_merged_file_is_new(const struct catalog_merged_file *file)
{
    return file->made != NULL;
}

struct catalog_merged_state catalog_merged_file_state(const struct catalog_merged_file *file,
                                                      size_t host)
{
    struct catalog_merged_state state = {.code = file->codes[host]};
    uint64_t mark;

    if (state.code != 0)
        return state;
    mark = catalog_merged_host_mark(file->merged, file->rows_of[host]);
    state.images = mark >> 8 & MERGED_MOST_IMAGES;
    state.problems = (mark & SEEN_PROBLEMS) != 0;
    state.other_kinds = (mark & SEEN_OTHER_KINDS) != 0;
    state.provisional = (mark & SEEN_PROVISIONAL) != 0;
    state.images_only = (mark & SEEN_ELSE) != 0;
    return state;
}

int catalog_merged_file_query(const struct catalog_merged_file *file,
                              const struct fingerprint_view *query,
                              struct similarity_estimate *ret_all, struct error *err)
{
    CLEANUP(cleanup_free)
    struct similarity_estimate *all = calloc(file->row_count + 1, sizeof(*all));
    int rc = 0;

    if (all == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (file->row_count > 0)
        rc = catalog_merged_query(file->merged, query, all, err);
    if (rc == 0 && file->guard != NULL && file_guard_lost(file->guard))
        rc = error_set(err, -EIO, "%s was cut short while it was read", file->path);
    if (rc < 0)
        return rc;
    memset(ret_all, 0, file->host_count * sizeof(*ret_all));
    for (size_t i = 0; i < file->row_count; i++)
        ret_all[file->rows[i].host] = all[i];
    return 0;
}
