/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a fingerprint still true of the files that are there now? Pure. */
#include "catalog/internal.h"

static bool same_layer(const struct fingerprint_layer *then, const struct image_layer *now)
{
    return then->is_block_device == now->is_block_device && then->device == now->device &&
           then->inode == now->inode && then->size == now->size &&
           then->modified_s == now->modified.tv_sec &&
           (long)then->modified_ns == now->modified.tv_nsec &&
           then->changed_s == now->changed.tv_sec &&
           (long)then->changed_ns == now->changed.tv_nsec && strcmp(then->path, now->path) == 0 &&
           strcmp(then->format, now->format) == 0;
}

bool catalog_identity_holds(const struct fingerprint_identity *identity,
                            const struct image_layer *layers, size_t count)
{
    int64_t trusted_s;

    if (identity->provisional || identity->layer_count != count || count == 0 ||
        __builtin_sub_overflow(identity->made_s, CATALOG_RACY_S, &trusted_s))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct fingerprint_layer *then = &identity->layers[i];

        /* What is behind a device changes without a trace. */
        if (then->is_block_device || !same_layer(then, &layers[i]))
            return false;
        /*
         * A second change within one tick of the clock leaves the times as the
         * first one set them, and whoever read in between saw only that.
         */
        if (then->changed_s >= trusted_s)
            return false;
    }
    return true;
}

bool catalog_lies_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    while (length > 0 && directory[length - 1] == '/')
        length--;
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}
