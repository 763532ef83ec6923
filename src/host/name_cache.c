/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was looked up for the names of devices, remembered from sample to sample. Pure. */

#include "internal.h"

#include <errno.h>

static void link_entry(struct name_cache *cache, size_t i)
{
    uint32_t *chain = &cache->chains[cache->entries[i].hash & (cache->chain_count - 1)];

    cache->entries[i].next = *chain;
    *chain = (uint32_t)i + 1;
}

static void link_all(struct name_cache *cache)
{
    memset(cache->chains, 0, cache->chain_count * sizeof(*cache->chains));
    for (size_t i = 0; i < cache->count; i++)
        link_entry(cache, i);
}

/* As many chains as entries at least, a power of two. */
static int grow_chains(struct name_cache *cache)
{
    size_t wanted = cache->chain_count == 0 ? 64 : cache->chain_count * 2;

    if (cache->count < cache->chain_count)
        return 0;
    if (array_reserve(&cache->chains, &cache->chain_capacity, wanted, sizeof(*cache->chains)) < 0)
        return cache->chain_count > 0 ? 0 : -ENOMEM; /* longer chains still work */
    cache->chain_count = wanted;
    link_all(cache);
    return 0;
}

struct name_entry *name_cache_get(struct name_cache *cache, const char *name)
{
    uint32_t hash = hash_bytes(name, strlen(name));
    struct name_entry *entry;

    for (uint32_t i = cache->chain_count == 0 ? 0 : cache->chains[hash & (cache->chain_count - 1)];
         i != 0; i = cache->entries[i - 1].next) {
        entry = &cache->entries[i - 1];
        if (entry->hash != hash || strcmp(entry->name, name) != 0)
            continue;
        if (entry->round != cache->round) {
            entry->round = cache->round;
            cache->asked++;
        }
        return entry;
    }
    if (cache->count >= UINT32_MAX - 1 || grow_chains(cache) < 0 ||
        array_reserve(&cache->entries, &cache->capacity, cache->count + 1,
                      sizeof(*cache->entries)) < 0)
        return NULL;
    entry = &cache->entries[cache->count];
    *entry = (struct name_entry){.hash = hash, .round = cache->round};
    string_copy(entry->name, sizeof(entry->name), name);
    link_entry(cache, cache->count++);
    cache->asked++;
    return entry;
}

void name_cache_end_round(struct name_cache *cache)
{
    size_t kept = 0;

    if (cache->asked != cache->count) {
        for (size_t i = 0; i < cache->count; i++) {
            if (cache->entries[i].round == cache->round)
                cache->entries[kept++] = cache->entries[i];
        }
        cache->count = kept;
        link_all(cache);
    }
    cache->round++;
    cache->asked = 0;
}

void name_cache_release(struct name_cache *cache)
{
    if (cache == NULL)
        return;
    free(cache->entries);
    free(cache->chains);
    *cache = (struct name_cache){0};
}
