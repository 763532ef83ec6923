/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small files in the pools of a host: reads ranges of them, has pools looked at anew. */
#include "vm/peer.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <string.h>

static void cleanup_stream(virStreamPtr *stream)
{
    if (*stream)
        virStreamFree(*stream);
}

/* What was found is the caller's to free, also when this fails (freeing forgets libvirt's error). */
static int find_volume(const struct vm_peer *peer, const char *pool_name, const char *volume_name,
                       virStoragePoolPtr *ret_pool, virStorageVolPtr *ret_volume, struct error *err)
{
    *ret_pool = virStoragePoolLookupByName(peer->connection, pool_name);
    if (!*ret_pool)
        return peer_error(err, "pool \"%s\"", pool_name);
    *ret_volume = virStorageVolLookupByName(*ret_pool, volume_name);
    if (!*ret_volume)
        return peer_error(err, "volume \"%s\" of pool \"%s\"", volume_name, pool_name);
    return 0;
}

/* ---- reading ---------------------------------------------------------------------- */

/*
 * Takes what comes until the end of the stream. The other side is not bound to
 * send what was asked for: one byte of room more shows when it sends too much.
 */
static int receive(virStreamPtr stream, char *bytes, size_t size, size_t *ret_length)
{
    size_t length = 0;

    for (;;) {
        char beyond;
        bool full = length == size;
        int got = virStreamRecv(stream, full ? &beyond : bytes + length, full ? 1 : size - length);

        if (got == 0)
            break;
        if (got < 0)
            return -EIO;
        if (full)
            return -EMSGSIZE;
        length += (size_t)got;
    }
    *ret_length = length;
    return 0;
}

static int download(const struct vm_peer *peer, virStorageVolPtr volume, uint64_t offset,
                    void *bytes, size_t size, size_t *ret_length, const char *what,
                    struct error *err)
{
    CLEANUP(cleanup_stream) virStreamPtr stream = virStreamNew(peer->connection, 0);
    size_t length = 0;
    int r;

    if (!stream || virStorageVolDownload(volume, stream, offset, size, 0) < 0)
        return peer_error(err, "reading %s", what);
    r = receive(stream, bytes, size, &length);
    if (r == -EMSGSIZE) {
        virStreamAbort(stream);
        return error_set(err, -EIO, "reading %s: more came than the %zu bytes asked for", what,
                         size);
    }
    if (r < 0) { /* libvirt has ended the stream */
        r = peer_error(err, "reading %s", what);
        virStreamAbort(stream);
        return r;
    }
    if (virStreamFinish(stream) < 0)
        return peer_error(err, "reading %s", what);
    *ret_length = length;
    return 0;
}

int vm_peer_read(struct vm_peer *peer, const char *pool_name, const char *volume_name,
                 uint64_t offset, void *ret_bytes, size_t size, size_t *ret_length,
                 struct error *err)
{
    CLEANUP(cleanup_pool) virStoragePoolPtr pool = NULL;
    CLEANUP(cleanup_volume) virStorageVolPtr volume = NULL;
    char what[512];
    int r = find_volume(peer, pool_name, volume_name, &pool, &volume, err);

    if (r < 0)
        return r;
    if (size == 0) { /* for libvirt, no length is all of it */
        *ret_length = 0;
        return 0;
    }
    string_format(what, sizeof(what), "volume \"%s\" of pool \"%s\"", volume_name, pool_name);
    return download(peer, volume, offset, ret_bytes, size, ret_length, what, err);
}

int vm_peer_refresh(struct vm_peer *peer, const char *pool_name, struct error *err)
{
    CLEANUP(cleanup_pool)
    virStoragePoolPtr pool = virStoragePoolLookupByName(peer->connection, pool_name);

    if (!pool || virStoragePoolRefresh(pool, 0) < 0)
        return peer_error(err, "refreshing pool \"%s\"", pool_name);
    return 0;
}
