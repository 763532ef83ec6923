/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads what an index directory holds. */
#include "catalog/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int add_file(struct catalog *catalog, struct fingerprint_file *file)
{
    int rc = array_reserve(&catalog->files, &catalog->capacity, catalog->count + 1,
                           sizeof(struct fingerprint_file *));

    if (rc == 0)
        catalog->files[catalog->count++] = file;
    return rc;
}

static int add_problem(struct catalog *catalog, const char *path, const struct error *error)
{
    struct catalog_problem problem = {.path = strdup(path), .error = *error};
    int rc = array_reserve(&catalog->problems, &catalog->problem_capacity,
                           catalog->problem_count + 1, sizeof(*catalog->problems));

    if (problem.path == NULL || rc < 0) {
        free(problem.path);
        return rc < 0 ? rc : -ENOMEM;
    }
    catalog->problems[catalog->problem_count++] = problem;
    return 0;
}

static int take_file(struct catalog *catalog, const char *name, const struct catalog_kind *kind,
                     unsigned parts)
{
    CLEANUP(cleanup_free) char *path = catalog_path_join(catalog->directory, name);
    struct fingerprint_file *file = NULL;
    char hash[CATALOG_HASH_BYTES];
    struct catalog_kind have;
    struct error error = {""};
    int rc;

    if (path == NULL)
        return -ENOMEM;
    /* The name saves opening the file; files of other names are looked into. */
    if (catalog_name_parse(name, hash, &have) && !catalog_kind_fits(kind, &have)) {
        catalog->other_kinds++;
        return 0;
    }
    rc = fingerprint_file_open(path, parts, false, &file, &error);
    if (rc == -ENOENT || rc == -ENOMEM)
        return rc == -ENOMEM ? rc : 0; /* dropped since the directory was read */
    if (rc < 0)
        return add_problem(catalog, path, &error);
    have = catalog_kind_of_view(&file->view);
    if (!catalog_kind_fits(kind, &have)) {
        catalog->other_kinds++;
        fingerprint_file_close(file);
        return 0;
    }
    rc = add_file(catalog, file);
    if (rc < 0)
        fingerprint_file_close(file);
    return rc;
}

static const char *image_path(const struct fingerprint_file *file)
{
    const struct fingerprint_identity *identity = &file->view.identity;

    return identity->layer_count > 0 ? identity->layers[0].path : "";
}

static int compare_files(const void *left, const void *right)
{
    const struct fingerprint_file *a = *(struct fingerprint_file *const *)left;
    const struct fingerprint_file *b = *(struct fingerprint_file *const *)right;
    int order = strcmp(image_path(a), image_path(b));

    if (order != 0)
        return order;
    if (a->view.block_size != b->view.block_size)
        return a->view.block_size < b->view.block_size ? -1 : 1;
    return strcmp(a->path, b->path);
}

static int fill(struct catalog *catalog, int fd, const struct catalog_kind *kind, unsigned parts)
{
    char **names = NULL;
    size_t count = 0;
    int rc = catalog_list(fd, &names, &count);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (catalog_name_is_fingerprint(names[i]))
            rc = take_file(catalog, names[i], kind, parts);
    }
    catalog_list_free(names, count);
    if (rc == 0 && catalog->count > 0)
        qsort(catalog->files, catalog->count, sizeof(struct fingerprint_file *), compare_files);
    return rc;
}

int catalog_open(const char *directory, const struct catalog_kind *kind, unsigned parts,
                 struct catalog **ret_catalog, struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct catalog *catalog;
    int rc;

    if (fd < 0)
        return error_set(err, -errno, "index directory %s: %s", directory, strerror(errno));
    catalog = calloc(1, sizeof(*catalog));
    if (catalog == NULL)
        return error_set(err, -ENOMEM, "index directory %s: out of memory", directory);
    catalog->directory = strdup(directory);
    rc = catalog->directory != NULL ? fill(catalog, fd, kind, parts) : -ENOMEM;
    if (rc < 0) {
        catalog_close(catalog);
        return error_set(err, rc, "index directory %s: %s", directory, strerror(-rc));
    }
    *ret_catalog = catalog;
    return 0;
}

void catalog_close(struct catalog *catalog)
{
    if (catalog == NULL)
        return;
    for (size_t i = 0; i < catalog->count; i++)
        fingerprint_file_close(catalog->files[i]);
    for (size_t i = 0; i < catalog->problem_count; i++)
        free(catalog->problems[i].path);
    free(catalog->files);
    free(catalog->problems);
    free(catalog->directory);
    free(catalog);
}
