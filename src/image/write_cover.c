/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Above a backing image a cluster that is written in part would be filled up with
 * what the backing image has there, which is not opened. So each must be written
 * whole in the end; what is still missing of one is counted here.
 */
#include "image/write.h"

#include <errno.h>

/* Writers go through an image piece by piece: few clusters are begun at any time. */
#define MOST_BEGUN 4096

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void write_cover_init(struct write_cover *cover, uint64_t size, uint64_t cluster)
{
    *cover = (struct write_cover){.size = size, .cluster = cluster};
    pthread_mutex_init(&cover->lock, NULL);
}

/* So many bytes of the cluster that begins there, fewer than all. */
static int add_part(struct write_cover *cover, uint64_t start, uint64_t bytes)
{
    uint64_t whole = least(cover->cluster, cover->size - start);
    size_t i = 0;
    int rc;

    if (bytes >= whole) /* the last one of the image */
        return 0;
    while (i < cover->count && cover->begun[i].start != start)
        i++;
    if (i == cover->count) {
        if (cover->count >= MOST_BEGUN)
            return -E2BIG;
        rc =
            array_reserve(&cover->begun, &cover->capacity, cover->count + 1, sizeof(*cover->begun));
        if (rc < 0)
            return rc;
        cover->begun[cover->count++] = (struct write_begun){start, 0};
    }
    cover->begun[i].bytes += bytes;
    if (cover->begun[i].bytes >= whole)
        cover->begun[i] = cover->begun[--cover->count];
    return 0;
}

int write_cover_add(struct write_cover *cover, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;
    int rc = 0;

    pthread_mutex_lock(&cover->lock);
    while (offset < end && rc == 0) {
        uint64_t skip = offset % cover->cluster, left = end - offset;

        if (skip == 0 && left >= cover->cluster) {
            offset = end - end % cover->cluster;
        } else {
            uint64_t part = least(cover->cluster - skip, left);

            rc = add_part(cover, offset - skip, part);
            offset += part;
        }
    }
    pthread_mutex_unlock(&cover->lock);
    return rc;
}

bool write_cover_is_whole(struct write_cover *cover, uint64_t *ret_missing)
{
    bool whole;

    pthread_mutex_lock(&cover->lock);
    whole = cover->count == 0;
    if (!whole)
        *ret_missing = cover->begun[0].start;
    pthread_mutex_unlock(&cover->lock);
    return whole;
}

void write_cover_release(struct write_cover *cover)
{
    if (cover->cluster == 0)
        return;
    pthread_mutex_destroy(&cover->lock);
    free(cover->begun);
    *cover = (struct write_cover){.cluster = 0};
}
