/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page cache guards of an image whose files QEMU reads as it likes. */
#include "image/cache.h"

#include "image/chain.h"

void cache_guards_begin(struct image_chain *chain)
{
    chain->guards = calloc(chain->count, sizeof(struct cache_guard *));
    for (size_t i = 0; chain->guards != NULL && i < chain->count; i++)
        chain->guards[i] = cache_guard_new_whole(chain->fds[i], chain->files[i].size);
}

void cache_guards_after(const struct image_chain *chain, uint64_t length)
{
    for (size_t i = 0; chain->guards != NULL && i < chain->count; i++)
        cache_guard_after(chain->guards[i], 0, length);
}

void cache_guards_free(struct image_chain *chain)
{
    for (size_t i = 0; chain->guards != NULL && i < chain->count; i++)
        cache_guard_free(chain->guards[i]);
    free(chain->guards);
    chain->guards = NULL;
}
