/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads manifests and fingerprints from a peer's pool, by ranges, within a budget. */
#include "peers/internal.h"

#include <errno.h>

#define FIRST_BYTES ((size_t)64 << 10)
#define CHUNK_BYTES ((size_t)1 << 20)

/* Counted, and within the budget. */
static int read_some(struct peers_source *source, uint64_t offset, void *ret_bytes, size_t size,
                     size_t *ret_length, struct error *err)
{
    size_t length = 0;
    int rc;

    if (size > source->budget_bytes)
        return error_set(err, -EDQUOT, "%s: the budget for this host is used up", source->volume);
    rc = vm_peer_read(source->peer, source->pool, source->volume, offset, ret_bytes, size, &length,
                      err);
    if (rc < 0)
        return rc;
    if (length > size)
        return error_set(err, -EIO, "%s: more was read than asked for", source->volume);
    *source->bytes_read += length;
    if (source->budget_bytes != UINT64_MAX)
        source->budget_bytes -= length;
    *ret_length = length;
    return 0;
}

int peers_read_whole(struct peers_source *source, size_t most, char **ret_bytes, size_t *ret_length,
                     struct error *err)
{
    CLEANUP(cleanup_free) char *bytes = NULL;
    size_t capacity = 0, length = 0, wish = FIRST_BYTES, got = 0;

    do {
        int rc;

        if (length > most)
            return error_set(err, -EFBIG, "%s: has more than %zu bytes", source->volume, most);
        /* The last piece may ask for more than there is. */
        if (wish > source->budget_bytes && source->budget_bytes > 0)
            wish = source->budget_bytes;
        if (array_reserve(&bytes, &capacity, length + wish, 1) < 0)
            return error_set(err, -ENOMEM, "out of memory");
        rc = read_some(source, length, bytes + length, wish, &got, err);
        if (rc < 0)
            return rc;
        length += got;
        if (got == wish)
            wish = CHUNK_BYTES;
        else
            got = 0;
    } while (got > 0);
    *ret_bytes = bytes;
    *ret_length = length;
    bytes = NULL;
    return 0;
}

int peers_read_head(struct peers_source *source,
                    const struct catalog_manifest_fingerprint *fingerprint,
                    uint8_t ret_bytes[FINGERPRINT_HEAD_MAX], struct fingerprint_head *ret_head,
                    struct error *err)
{
    size_t size = fingerprint->length < FINGERPRINT_HEAD_MAX ? (size_t)fingerprint->length
                                                             : FINGERPRINT_HEAD_MAX;
    size_t length = 0;
    int rc = read_some(source, 0, ret_bytes, size, &length, err);

    if (rc < 0)
        return rc;
    if (length != size || fingerprint_checksum(ret_bytes, length) != fingerprint->checksum)
        return error_set(err, -ESTALE, "%s: it is another one than the manifest says",
                         fingerprint->name);
    rc = fingerprint_head_decode(ret_bytes, length, ret_head, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", fingerprint->name);
    if (ret_head->file_length != fingerprint->length)
        return error_set(err, -EINVAL, "%s: its head says another length than the manifest",
                         fingerprint->name);
    return 0;
}

/* What is there already counts for the checksum, too. */
static int add_known(const struct peers_range *range, const struct new_file *file, uint8_t *buffer,
                     struct fingerprint_checksum *sum, struct error *err)
{
    for (uint64_t at = 0; at < range->known;) {
        size_t size = range->known - at < CHUNK_BYTES ? (size_t)(range->known - at) : CHUNK_BYTES;
        int rc = new_file_read(file, buffer, size, range->section.offset + at, err);

        if (rc < 0)
            return rc;
        fingerprint_checksum_add(sum, buffer, size);
        at += size;
    }
    return 0;
}

static int read_range(struct peers_source *source, const struct peers_range *range,
                      const struct new_file *file, uint8_t *buffer, enum peers_fault *ret_fault,
                      struct error *err)
{
    const struct fingerprint_section *section = &range->section;
    struct fingerprint_checksum sum;
    int rc;

    fingerprint_checksum_init(&sum);
    *ret_fault = PEERS_HERE;
    rc = add_known(range, file, buffer, &sum, err);
    for (uint64_t at = range->known; rc == 0 && at < section->length;) {
        size_t size =
            section->length - at < CHUNK_BYTES ? (size_t)(section->length - at) : CHUNK_BYTES;
        size_t length = 0;

        *ret_fault = PEERS_THERE;
        rc = read_some(source, section->offset + at, buffer, size, &length, err);
        if (rc == 0 && length != size)
            rc = error_set(err, -EINVAL, "%s: it is cut short", source->volume);
        if (rc < 0)
            break;
        fingerprint_checksum_add(&sum, buffer, size);
        *ret_fault = PEERS_HERE;
        rc = new_file_write(file, buffer, size, section->offset + at, err);
        at += size;
    }
    if (rc == 0 && fingerprint_checksum_value(&sum) != section->checksum) {
        *ret_fault = PEERS_THERE;
        rc = error_set(err, -EINVAL, "%s: section of kind %u is damaged: its checksum is wrong",
                       source->volume, section->kind);
    }
    return rc;
}

int peers_read_ranges(struct peers_source *source, const struct peers_range *ranges, size_t count,
                      const struct new_file *file, enum peers_fault *ret_fault, struct error *err)
{
    CLEANUP(cleanup_free) uint8_t *buffer = malloc(CHUNK_BYTES);
    int rc = 0;

    *ret_fault = PEERS_HERE;
    if (buffer == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = read_range(source, &ranges[i], file, buffer, ret_fault, err);
    return rc;
}
