/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From names of images to images: each is dealt with once, whatever it is called. */
#include "catalog/update.h"

#include <errno.h>
#include <sys/stat.h>

static int compare_identities(const struct work *a, const struct work *b)
{
    if (a->is_block_device != b->is_block_device)
        return a->is_block_device ? 1 : -1;
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    return a->inode == b->inode ? 0 : (a->inode < b->inode ? -1 : 1);
}

/* Names of one file side by side; first the one whose format somebody knows. */
static int compare_works(const void *left, const void *right)
{
    const struct work *a = left, *b = right;
    int order = compare_identities(a, b);

    if (order == 0 && (a->image->format == NULL) != (b->image->format == NULL))
        order = a->image->format == NULL ? 1 : -1;
    return order != 0 ? order : strcmp(a->image->path, b->image->path);
}

static int compare_paths(const void *left, const void *right)
{
    const struct work *a = left, *b = right;

    return strcmp(a->image->path, b->image->path);
}

static void identify(struct work *work)
{
    struct stat status;

    if (stat(work->image->path, &status) < 0)
        return; /* all zeroes: told apart by name */
    work->is_block_device = S_ISBLK(status.st_mode);
    work->device = work->is_block_device ? status.st_rdev : status.st_dev;
    work->inode = work->is_block_device ? 0 : status.st_ino;
}

/* The same path once more says nothing new. */
static void note_another_name(struct update *update, struct work *work, const struct work *first)
{
    CLEANUP(cleanup_free) char *resolved = realpath(work->image->path, NULL);

    work->outcome = ANOTHER_NAME;
    if (resolved != NULL)
        catalog_hash(resolved, work->hash);
    if (strcmp(work->image->path, first->image->path) == 0)
        return;
    update->summary.same++;
    update_report(update, &(struct catalog_report){.event = CATALOG_SAME,
                                                   .path = work->image->path,
                                                   .same_as = first->image->path});
}

int update_gather(struct update *update, const struct catalog_images *images, struct error *err)
{
    const struct work *first = NULL;

    update->works = calloc(images->count + 1, sizeof(*update->works));
    if (update->works == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    update->count = images->count;
    for (size_t i = 0; i < update->count; i++) {
        update->works[i].image = &images->images[i];
        identify(&update->works[i]);
    }
    qsort(update->works, update->count, sizeof(*update->works), compare_works);
    for (size_t i = 0; i < update->count; i++) {
        struct work *work = &update->works[i];
        bool known = work->is_block_device || work->inode != 0;

        if (first != NULL && compare_identities(first, work) == 0 &&
            (known || strcmp(first->image->path, work->image->path) == 0))
            note_another_name(update, work, first);
        else
            first = work;
    }
    qsort(update->works, update->count, sizeof(*update->works), compare_paths);
    return 0;
}
