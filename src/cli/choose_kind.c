/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov choose`: which digest and block size an image is read with that has none of its own. */
#include "choose.h"

#include <errno.h>

#define KINDS 4 /* enum digest_kind, from 1 */

/* Block sizes as bits: they are powers of two themselves. */
struct held {
    uint32_t block_sizes[KINDS];
};

static void note_held(const struct catalog_kind *kinds, size_t count, struct held *held)
{
    for (size_t i = 0; i < count; i++) {
        if ((size_t)kinds[i].kind < KINDS)
            held->block_sizes[kinds[i].kind] |= kinds[i].block_size;
    }
}

/* Most hosts first, then the smallest blocks, then the digest that proves more. */
static void take_most_held(size_t (*hosts)[KINDS][32], struct blocks_settings *settings)
{
    enum digest_kind kind = settings->kind;
    size_t most = 0;
    unsigned size_bit = 0;

    for (unsigned bit = 0; bit < 32; bit++) {
        if (settings->block_size_given && settings->block_sizes[0] != UINT32_C(1) << bit)
            continue;
        for (unsigned i = KINDS - 1; i > 0; i--) {
            bool fits = settings->kind_given ? i == settings->kind : i != DIGEST_KEYED_SHA256;

            if (fits && (*hosts)[i][bit] > most) {
                most = (*hosts)[i][bit];
                kind = (enum digest_kind)i;
                size_bit = bit;
            }
        }
    }
    if (most == 0)
        return;
    settings->kind = kind;
    settings->block_sizes[0] = UINT32_C(1) << size_bit;
}

int choose_adopt_kind(const struct choose_hosts *hosts, struct blocks_settings *settings,
                      struct error *err)
{
    size_t count[KINDS][32] = {{0}};

    if (settings->kind_given && settings->block_size_given)
        return 0;
    for (size_t h = 0; h < hosts->count; h++) {
        CLEANUP(cleanup_free) struct catalog_kind *kinds = NULL;
        struct held held = {{0}};
        size_t kind_count = 0;
        int rc = catalog_kinds(hosts->hosts[h].directory, &kinds, &kind_count, NULL);

        if (rc == -ENOMEM)
            return error_set(err, rc, "out of memory");
        note_held(kinds, kind_count, &held);
        for (unsigned i = 0; i < KINDS; i++) {
            for (unsigned bit = 0; bit < 32; bit++)
                count[i][bit] += held.block_sizes[i] >> bit & 1;
        }
        if (blocks_stopped(NULL))
            return -ECANCELED;
    }
    take_most_held(&count, settings);
    return 0;
}
