/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directories that files of an image may lie in. */
#include "image/places.h"

#include <errno.h>

static bool lies_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    while (length > 1 && directory[length - 1] == '/')
        length--;
    if (length == 1)
        return true;
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

static bool lies_in_resolved(const char *path, const char *directory)
{
    CLEANUP(cleanup_free) char *resolved = realpath(directory, NULL);

    return resolved != NULL && lies_in(path, resolved);
}

bool image_places_allow(const void *context, const char *path)
{
    const struct image_places *places = context;
    const char *const *allowed = places->options->allowed;

    if (places->options->follow_backing_outside)
        return true;
    for (size_t i = 0; i < ARRAY_LENGTH(places->directories); i++) {
        if (places->directories[i] != NULL && lies_in(path, places->directories[i]))
            return true;
    }
    for (; allowed != NULL && *allowed != NULL; allowed++) {
        if (lies_in_resolved(path, *allowed))
            return true;
    }
    return false;
}

/* The part before the last slash: "." where there is none, "/" for the root. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

int image_places_begin(struct image_places *places, const char *name, const char *path)
{
    CLEANUP(cleanup_free) char *named = directory_of(name);

    if (named == NULL)
        return -ENOMEM;
    places->directories[0] = realpath(named, NULL); /* NULL: then only the other counts */
    places->directories[1] = directory_of(path);
    return places->directories[1] != NULL ? 0 : -ENOMEM;
}

void image_places_release(struct image_places *places)
{
    for (size_t i = 0; i < ARRAY_LENGTH(places->directories); i++) {
        free(places->directories[i]);
        places->directories[i] = NULL;
    }
}

int image_places_resolve(const char *image_name, const char *name, char **ret_name)
{
    CLEANUP(cleanup_free) char *directory = NULL;
    char *resolved;
    size_t room;

    if (name[0] == '/') {
        resolved = strdup(name);
    } else {
        directory = directory_of(image_name);
        if (directory == NULL)
            return -ENOMEM;
        room = strlen(directory) + strlen(name) + 2;
        resolved = malloc(room);
        if (resolved != NULL)
            string_format(resolved, room, "%s/%s", directory, name);
    }
    if (resolved == NULL)
        return -ENOMEM;
    *ret_name = resolved;
    return 0;
}
