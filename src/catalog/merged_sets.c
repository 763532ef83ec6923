/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets of hosts while a merged index is made: equal ones are kept once. */

#include "catalog/merged.h"

#include <errno.h>

#define SLOTS_AT_FIRST 1024

void merged_sets_release(struct merged_sets *sets)
{
    free(sets->units);
    free(sets->ends);
    free(sets->hashes);
    free(sets->slots);
    *sets = (struct merged_sets){0};
}

/* As list or as bitmap, whichever is shorter, into the room behind the last set. */
static size_t put_set(uint16_t *units, size_t host_count, const uint16_t *hosts, size_t count)
{
    size_t bitmap = merged_bitmap_units(host_count);

    if (count < bitmap) {
        for (size_t i = 0; i < count; i++)
            units[i] = htole16(hosts[i]);
        return count;
    }
    memset(units, 0, bitmap * sizeof(*units));
    for (size_t i = 0; i < count; i++)
        units[hosts[i] / 16] |= htole16((uint16_t)(1U << hosts[i] % 16));
    return bitmap;
}

static void put_slot(struct merged_sets *sets, uint32_t hash, uint32_t set)
{
    size_t at = hash & (sets->slot_count - 1);

    while (sets->slots[at] != 0)
        at = (at + 1) & (sets->slot_count - 1);
    sets->slots[at] = set + 1;
}

/* Twice the slots when half of them are taken. */
static int reserve_slots(struct merged_sets *sets)
{
    size_t wanted = sets->slot_count > 0 ? sets->slot_count * 2 : SLOTS_AT_FIRST;
    uint32_t *slots;

    if (sets->count < sets->slot_count / 2)
        return 0;
    slots = calloc(wanted, sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    free(sets->slots);
    sets->slots = slots;
    sets->slot_count = wanted;
    for (size_t set = 0; set < sets->count; set++)
        put_slot(sets, sets->hashes[set], (uint32_t)set);
    return 0;
}

static int reserve_set(struct merged_sets *sets)
{
    size_t bitmap = merged_bitmap_units(sets->host_count);
    int rc = reserve_slots(sets);

    if (rc == 0 && (sets->unit_count + bitmap > UINT32_MAX || sets->count >= UINT32_MAX / 2))
        rc = -EOVERFLOW;
    if (rc == 0)
        rc = array_reserve(&sets->units, &sets->unit_capacity, sets->unit_count + bitmap,
                           sizeof(*sets->units));
    if (rc == 0)
        rc = array_reserve(&sets->ends, &sets->end_capacity, sets->count + 1, sizeof(*sets->ends));
    if (rc == 0)
        rc = array_reserve(&sets->hashes, &sets->hash_capacity, sets->count + 1,
                           sizeof(*sets->hashes));
    return rc;
}

static bool is_set(const struct merged_sets *sets, uint32_t set, const uint16_t *units,
                   size_t length)
{
    size_t start = set > 0 ? sets->ends[set - 1] : 0;

    return sets->ends[set] - start == length &&
           memcmp(sets->units + start, units, length * sizeof(*units)) == 0;
}

int merged_sets_add(struct merged_sets *sets, const uint16_t *hosts, size_t count,
                    uint32_t *ret_set)
{
    int rc = reserve_set(sets);
    uint16_t *units;
    uint32_t hash;
    size_t length;

    if (rc < 0)
        return rc;
    units = sets->units + sets->unit_count;
    length = put_set(units, sets->host_count, hosts, count);
    hash = (uint32_t)fingerprint_checksum(units, length * sizeof(*units));
    for (size_t at = hash & (sets->slot_count - 1); sets->slots[at] != 0;
         at = (at + 1) & (sets->slot_count - 1)) {
        uint32_t set = sets->slots[at] - 1;

        if (sets->hashes[set] == hash && is_set(sets, set, units, length)) {
            *ret_set = set;
            return 0;
        }
    }
    put_slot(sets, hash, (uint32_t)sets->count);
    sets->hashes[sets->count] = hash;
    sets->unit_count += length;
    sets->ends[sets->count] = (uint32_t)sets->unit_count;
    *ret_set = (uint32_t)sets->count++;
    return 0;
}
