/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of images that should be in an index. Pure. */
#include "setmov/catalog.h"

#include <errno.h>

int catalog_images_add(struct catalog_images *images, const char *path, const char *format)
{
    struct catalog_image image = {
        .path = strdup(path),
        .format = format != NULL ? strdup(format) : NULL,
    };
    int rc = array_reserve(&images->images, &images->capacity, images->count + 1,
                           sizeof(*images->images));

    if (rc < 0 || image.path == NULL || (format != NULL && image.format == NULL)) {
        free(image.path);
        free(image.format);
        return rc < 0 ? rc : -ENOMEM;
    }
    images->images[images->count++] = image;
    return 0;
}

int catalog_images_add_scope(struct catalog_images *images, const char *directory)
{
    char *copy = strdup(directory);
    int rc = array_reserve(&images->scopes, &images->scope_capacity, images->scope_count + 1,
                           sizeof(*images->scopes));

    if (rc < 0 || copy == NULL) {
        free(copy);
        return rc < 0 ? rc : -ENOMEM;
    }
    images->scopes[images->scope_count++] = copy;
    return 0;
}

int catalog_images_add_problem(struct catalog_images *images, const char *path,
                               const struct error *error)
{
    struct catalog_problem problem = {.path = strdup(path), .error = *error};
    int rc = array_reserve(&images->problems, &images->problem_capacity, images->problem_count + 1,
                           sizeof(*images->problems));

    if (rc < 0 || problem.path == NULL) {
        free(problem.path);
        return rc < 0 ? rc : -ENOMEM;
    }
    images->problems[images->problem_count++] = problem;
    return 0;
}

void catalog_images_release(struct catalog_images *images)
{
    if (images == NULL)
        return;
    for (size_t i = 0; i < images->count; i++) {
        free(images->images[i].path);
        free(images->images[i].format);
    }
    for (size_t i = 0; i < images->problem_count; i++)
        free(images->problems[i].path);
    for (size_t i = 0; i < images->scope_count; i++)
        free(images->scopes[i]);
    free(images->images);
    free(images->problems);
    free(images->scopes);
    *images = (struct catalog_images){0};
}
