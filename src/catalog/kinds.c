/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which kinds of fingerprints an index directory holds. */
#include "catalog/internal.h"

#include <errno.h>
#include <fcntl.h>

static bool same_kind(const struct catalog_kind *left, const struct catalog_kind *right)
{
    return left->block_size == right->block_size && catalog_kind_fits(left, right);
}

/* The name saves opening the file; files of other names are looked into. */
static int kind_of(const char *directory, const char *name, struct catalog_kind *ret_kind,
                   bool *ret_known)
{
    char hash[CATALOG_HASH_BYTES];
    CLEANUP(cleanup_free) char *path = NULL;
    struct fingerprint_file *file = NULL;
    int rc;

    *ret_known = catalog_name_parse(name, hash, ret_kind);
    if (*ret_known || !catalog_name_is_fingerprint(name))
        return 0;
    path = catalog_path_join(directory, name);
    if (path == NULL)
        return -ENOMEM;
    rc = fingerprint_file_open(path, FINGERPRINT_PART_HEAD, false, &file, NULL);
    *ret_known = rc == 0;
    if (rc < 0)
        return rc == -ENOMEM ? rc : 0;
    *ret_kind = catalog_kind_of_view(&file->view);
    fingerprint_file_close(file);
    return 0;
}

static int gather(const char *directory, char *const *names, size_t count,
                  struct catalog_kind **kinds, size_t *kind_count)
{
    size_t capacity = 0;

    for (size_t i = 0; i < count; i++) {
        struct catalog_kind kind = {.any = false};
        bool known = false;
        int rc = kind_of(directory, names[i], &kind, &known);

        for (size_t j = 0; j < *kind_count && known; j++)
            known = !same_kind(&(*kinds)[j], &kind);
        if (rc == 0 && known)
            rc = array_reserve(kinds, &capacity, *kind_count + 1, sizeof(**kinds));
        if (rc < 0)
            return rc;
        if (known)
            (*kinds)[(*kind_count)++] = kind;
    }
    return 0;
}

int catalog_kinds(const char *directory, struct catalog_kind **ret_kinds, size_t *ret_count,
                  struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct catalog_kind *kinds = NULL;
    char **names = NULL;
    size_t count = 0, kind_count = 0;
    int rc;

    if (fd < 0)
        return error_set(err, -errno, "index directory %s: %s", directory, strerror(errno));
    rc = catalog_list(fd, &names, &count);
    if (rc == 0)
        rc = gather(directory, names, count, &kinds, &kind_count);
    catalog_list_free(names, count);
    if (rc < 0) {
        free(kinds);
        return error_set(err, rc, "index directory %s: %s", directory, strerror(-rc));
    }
    *ret_kinds = kinds;
    *ret_count = kind_count;
    return 0;
}
