/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of a host's disk images. Pure. */
#include "vm/storage_list.h"

#include <errno.h>

static char *owner_of(const char *kind, const char *name)
{
    size_t size = strlen(kind) + strlen(name) + 2;
    char *owner = malloc(size);

    if (owner)
        string_format(owner, size, "%s %s", kind, name);
    return owner;
}

static void release_disk(struct vm_image *disk)
{
    free(disk->path);
    free(disk->format);
    free(disk->owner);
}

int storage_list_add_disk(struct vm_storage *storage, const char *path, const char *format,
                          const char *kind, const char *name)
{
    bool says = format && format[0] != '\0';
    struct vm_image disk = {strdup(path), says ? strdup(format) : NULL, owner_of(kind, name)};

    if (!disk.path || (says && !disk.format) || !disk.owner ||
        array_reserve(&storage->disks, &storage->capacity, storage->count + 1, sizeof(disk)) < 0) {
        release_disk(&disk);
        return -ENOMEM;
    }
    storage->disks[storage->count++] = disk;
    return 0;
}

static int add_line(char ***lines, size_t *count, size_t *capacity, const char *line)
{
    char *copy = strdup(line);

    if (!copy || array_reserve(lines, capacity, *count + 1, sizeof(**lines)) < 0) {
        free(copy);
        return -ENOMEM;
    }
    (*lines)[(*count)++] = copy;
    return 0;
}

int storage_list_add_directory(struct vm_storage *storage, const char *path)
{
    return add_line(&storage->directories, &storage->directory_count, &storage->directory_capacity,
                    path);
}

int storage_list_add_problem(struct vm_storage *storage, const char *line)
{
    return add_line(&storage->problems, &storage->problem_count, &storage->problem_capacity, line);
}

/* Domains before pools: so begin the owners' names. */
static int compare_disks(const void *left, const void *right)
{
    const struct vm_image *a = left, *b = right;
    int order = strcmp(a->path, b->path);

    return order != 0 ? order : strcmp(a->owner, b->owner);
}

void storage_list_finish(struct vm_storage *storage)
{
    size_t kept = 0;

    if (storage->count > 0)
        qsort(storage->disks, storage->count, sizeof(*storage->disks), compare_disks);
    for (size_t i = 0; i < storage->count; i++) {
        if (kept > 0 && strcmp(storage->disks[kept - 1].path, storage->disks[i].path) == 0)
            release_disk(&storage->disks[i]);
        else
            storage->disks[kept++] = storage->disks[i];
    }
    storage->count = kept;
}

void vm_storage_release(struct vm_storage *storage)
{
    if (!storage)
        return;
    for (size_t i = 0; i < storage->count; i++)
        release_disk(&storage->disks[i]);
    for (size_t i = 0; i < storage->directory_count; i++)
        free(storage->directories[i]);
    for (size_t i = 0; i < storage->problem_count; i++)
        free(storage->problems[i]);
    free(storage->disks);
    free(storage->directories);
    free(storage->problems);
    *storage = (struct vm_storage){0};
}
