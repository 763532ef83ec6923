/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is an image in use? Answered from what is known; knowing is gc_use.c's. */
#include "peers/gc.h"

#include <errno.h>

int gc_uses_add(struct gc_uses *uses, const struct gc_use *use)
{
    struct gc_use copy = *use;

    copy.path = strdup(use->path);
    copy.user = use->user != NULL ? strdup(use->user) : NULL;
    if (copy.path == NULL || (use->user != NULL && copy.user == NULL) ||
        array_reserve(&uses->uses, &uses->capacity, uses->count + 1, sizeof(*uses->uses)) < 0) {
        free(copy.path);
        free(copy.user);
        return -ENOMEM;
    }
    uses->uses[uses->count++] = copy;
    return 0;
}

void gc_uses_release(struct gc_uses *uses)
{
    for (size_t i = 0; i < uses->count; i++) {
        free(uses->uses[i].path);
        free(uses->uses[i].user);
    }
    free(uses->uses);
    *uses = (struct gc_uses){NULL, 0, 0};
}

static bool lies_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    while (length > 0 && directory[length - 1] == '/')
        length--;
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

static bool is_named(const struct gc_use *use, const char *path)
{
    return strcmp(path, use->path) == 0 || (use->is_directory && lies_in(path, use->path));
}

const struct gc_use *gc_uses_find(const struct gc_uses *uses, const struct gc_suspect *suspect)
{
    for (size_t i = 0; i < uses->count; i++) {
        const struct gc_use *use = &uses->uses[i];

        if (use->inode != 0 && use->inode == suspect->inode && use->device == suspect->device)
            return use;
        if (is_named(use, suspect->path) || is_named(use, suspect->resolved))
            return use;
    }
    return NULL;
}

bool gc_lies_below(const char *path, const char *const *directories, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (lies_in(path, directories[i]))
            return true;
    }
    return false;
}

bool gc_is_unfinished(const char *name)
{
    size_t length = strlen(name), end = strlen(".XXXXXX.tmp");

    return name[0] == '.' && length > end + 1 && name[length - end] == '.' &&
           strcmp(name + length - strlen(".tmp"), ".tmp") == 0;
}
