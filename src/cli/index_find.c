/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which images `setmov index` is about: directories, and what libvirt knows. */
#include "index.h"
#include "setmov/vm_storage.h"

#include <errno.h>
#include <fnmatch.h>

/* For connecting and all questions. */
#define LIBVIRT_TIMEOUT_S 60.0

static int find_in_directories(const struct index_options *options, struct catalog_images *images)
{
    struct error err = {""};

    for (int i = 0; i < options->operand_count; i++) {
        if (catalog_images_find(options->operands[i], images, &err) < 0)
            return command_error(INDEX_COMMAND, "%s", err.text);
    }
    return STATUS_OK;
}

static bool lies_in(const char *path, const char *directory)
{
    size_t length = directory ? strlen(directory) : 0;

    return length > 0 && strncmp(path, directory, length) == 0 && path[length] == '/';
}

/*
 * Directories of pools are not taken as searched: libvirt's list of what is in
 * one is as old as the pool's last refresh. What is gone is missed by its file.
 */
static int take_storage(const struct index_options *options, const struct vm_storage *storage,
                        struct catalog_images *images)
{
    CLEANUP(cleanup_free) char *index = realpath(options->directory, NULL);
    CLEANUP(cleanup_free)
    char *incoming = options->offers ? realpath(options->offers->setmov.incoming, NULL) : NULL;
    int rc = 0;

    for (size_t i = 0; i < storage->count && rc == 0; i++) {
        CLEANUP(cleanup_free) char *path = realpath(storage->disks[i].path, NULL);

        /* What is in them is no image, though their directories are pools, too. */
        if (path && (lies_in(path, index) || lies_in(path, incoming)))
            continue;
        rc = catalog_images_add(images, storage->disks[i].path, storage->disks[i].format);
    }
    for (size_t i = 0; i < storage->problem_count && rc == 0; i++) {
        struct error problem;

        error_set(&problem, -EIO, "%s", storage->problems[i]);
        rc = catalog_images_add_problem(images, "", &problem);
    }
    return rc;
}

static int find_in_libvirt(struct index_options *options, struct catalog_images *images)
{
    CLEANUP(vm_storage_release) struct vm_storage storage = {0};
    struct error err = {""};

    if (vm_storage_list(options->uri, LIBVIRT_TIMEOUT_S, &storage, &err) < 0)
        return command_error(INDEX_COMMAND, "%s", err.text);
    if (take_storage(options, &storage, images) < 0)
        return command_error(INDEX_COMMAND, "out of memory");
    /* A disk may well stand on an image in another pool: the administrator made both. */
    for (size_t i = 0; i < storage.directory_count; i++) {
        if (blocks_allow_backing(&options->blocks, storage.directories[i]) < 0)
            return command_error(INDEX_COMMAND, "out of memory");
    }
    return STATUS_OK;
}

static bool is_excluded(const struct index_options *options, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    for (size_t i = 0; i < options->exclude_count; i++) {
        if (fnmatch(options->excludes[i], path, 0) == 0 ||
            fnmatch(options->excludes[i], name, 0) == 0)
            return true;
    }
    return false;
}

static void drop_excluded(const struct index_options *options, struct catalog_images *images)
{
    size_t kept = 0;

    for (size_t i = 0; i < images->count; i++) {
        if (is_excluded(options, images->images[i].path)) {
            free(images->images[i].path);
            free(images->images[i].format);
        } else {
            images->images[kept++] = images->images[i];
        }
    }
    images->count = kept;
}

int index_find(struct index_options *options, struct catalog_images *images)
{
    int status = options->connect ? find_in_libvirt(options, images) : STATUS_OK;

    if (status == STATUS_OK)
        status = find_in_directories(options, images);
    if (status == STATUS_OK)
        drop_excluded(options, images);
    return status;
}
