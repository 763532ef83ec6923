/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small files in the pools of a host: reads ranges of them, makes them, has pools looked at anew. */
#include "vm/peer.h"

#include "vm/xml_escape.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <string.h>

#define SEND_BYTES ((size_t)256 << 10)

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

/* ---- writing ---------------------------------------------------------------------- */

/* No path, and nothing that the other side would take for one. */
static bool is_file_name(const char *name)
{
    return name[0] != '\0' && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int volume_xml(const char *name, size_t length, char **ret_xml)
{
    static const char format[] = "<volume><name>%s</name><capacity unit='bytes'>%zu</capacity>"
                                 "<target><format type='raw'/></target></volume>";
    CLEANUP(cleanup_free) char *escaped = NULL;
    char *xml;
    size_t size;
    int r = xml_escape(name, &escaped);

    if (r < 0)
        return r;
    size = strlen(escaped) + sizeof(format) + 32;
    xml = malloc(size);
    if (!xml)
        return -ENOMEM;
    string_format(xml, size, format, escaped, length);
    *ret_xml = xml;
    return 0;
}

/* What the pool has of that name goes away. */
static int remove_volume(virStoragePoolPtr pool, const char *name, const char *what,
                         struct error *err)
{
    CLEANUP(cleanup_volume) virStorageVolPtr old = virStorageVolLookupByName(pool, name);

    if (old ? virStorageVolDelete(old, 0) == 0 : virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    return peer_error(err, "removing the old %s", what);
}

static int make_volume(virStoragePoolPtr pool, const char *name, const char *xml, const char *what,
                       virStorageVolPtr *ret_volume, struct error *err)
{
    virStorageVolPtr volume = NULL;
    int r = remove_volume(pool, name, what, err);

    if (r == 0)
        volume = virStorageVolCreateXML(pool, xml, 0);
    if (!volume) {
        /* The pool may not know yet of a file that is there, or that one it knows of is gone. */
        if (r == 0)
            r = peer_error(err, "making %s", what);
        if (virStoragePoolRefresh(pool, 0) < 0)
            return r;
        r = remove_volume(pool, name, what, err);
        if (r < 0)
            return r;
        volume = virStorageVolCreateXML(pool, xml, 0);
        if (!volume)
            return peer_error(err, "making %s", what);
    }
    *ret_volume = volume;
    return 0;
}

static int send_all(virStreamPtr stream, const char *bytes, size_t length)
{
    while (length > 0) {
        int sent = virStreamSend(stream, bytes, length < SEND_BYTES ? length : SEND_BYTES);

        if (sent <= 0)
            return -EIO;
        bytes += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int upload(const struct vm_peer *peer, virStorageVolPtr volume, const void *bytes,
                  size_t length, const char *what, struct error *err)
{
    CLEANUP(cleanup_stream) virStreamPtr stream = virStreamNew(peer->connection, 0);

    if (!stream || virStorageVolUpload(volume, stream, 0, length, 0) < 0)
        return peer_error(err, "writing %s", what);
    if (send_all(stream, bytes, length) < 0) {
        int r = peer_error(err, "writing %s", what);

        virStreamAbort(stream);
        return r;
    }
    return virStreamFinish(stream) < 0 ? peer_error(err, "writing %s", what) : 0;
}

int vm_peer_write(struct vm_peer *peer, const char *pool_name, const char *volume_name,
                  const void *bytes, size_t length, struct error *err)
{
    CLEANUP(cleanup_pool) virStoragePoolPtr pool = NULL;
    CLEANUP(cleanup_volume) virStorageVolPtr volume = NULL;
    CLEANUP(cleanup_free) char *xml = NULL;
    char what[512];
    int r = is_file_name(volume_name) ? volume_xml(volume_name, length, &xml) : -EINVAL;

    if (r < 0)
        return error_set(err, r, "\"%s\" cannot be the name of a volume", volume_name);
    pool = virStoragePoolLookupByName(peer->connection, pool_name);
    if (!pool)
        return peer_error(err, "pool \"%s\"", pool_name);
    string_format(what, sizeof(what), "volume \"%s\" of pool \"%s\"", volume_name, pool_name);
    r = make_volume(pool, volume_name, xml, what, &volume, err);
    if (r < 0)
        return r;
    if (length > 0) /* for libvirt, no length is all of it */
        r = upload(peer, volume, bytes, length, what, err);
    if (r < 0)
        virStorageVolDelete(volume, 0);
    return r;
}
