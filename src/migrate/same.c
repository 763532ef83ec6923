/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of an image of the destination that this host has as well, under whatever name, the
 * exact fingerprint is here already: the head of the other one tells, by the checksums
 * of its sections. Where these mislead, what the hook verifies costs its extent, no more.
 */
#include "migrate/run.h"

static const struct fingerprint_file *find(struct fingerprint_file *const *files, size_t count,
                                           const struct fingerprint_file *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (fingerprint_has_same_blocks(&files[i]->head, &wanted->head))
            return files[i];
    return NULL;
}

bool migration_find_same(const struct migration *migration, size_t kind, const struct catalog *own,
                         const struct fingerprint_file *file, struct migrate_same *ret_same)
{
    const struct fingerprint_file *same;

    for (size_t i = 0; i < migration->image_count; i++) {
        struct fingerprint_file *print = migration->images[i].prints[kind];

        if (find(&print, 1, file) == NULL)
            continue;
        *ret_same = (struct migrate_same){.print = print, .is_borrowed = true};
        return true;
    }
    same = own != NULL ? find(own->files, own->count, file) : NULL;
    if (same == NULL)
        return false;
    *ret_same = (struct migrate_same){.path = same->path};
    return true;
}

int migration_open_same(struct migrate_same *same)
{
    const char *path = same->path;

    same->path = NULL;
    return path == NULL
               ? 0
               : fingerprint_file_open(path, FINGERPRINT_PART_DIGESTS, false, &same->print, NULL);
}

void migration_close_same(struct migrate_same *same)
{
    if (!same->is_borrowed)
        fingerprint_file_close(same->print);
    *same = (struct migrate_same){.path = NULL};
}
