/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes files in the pools of a host. */
#include "vm/peer.h"

#include "setmov/vm_migrate.h"

#include "vm/xml_escape.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <string.h>
#include <time.h>

#define SEND_BYTES       ((size_t)256 << 10)
#define LEAST_SEND_BYTES ((size_t)4 << 10)
#define PIECES_A_SECOND  10
/* So often at least is said what was sent. */
#define TOLD_BYTES ((uint64_t)1 << 20)
#define TOLD_S     0.25

static void cleanup_stream(virStreamPtr *stream)
{
    if (*stream)
        virStreamFree(*stream);
}

/* ---- a new volume ----------------------------------------------------------------- */

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

/* ---- sending ---------------------------------------------------------------------- */

struct sending {
    uint64_t bytes_per_s; /* 0: no limit */
    int (*sent)(void *context, uint64_t bytes);
    void *context;
    double began_s, told_s;
    uint64_t done, told;
};

/* Small pieces on a slow line: what waits in between is short, and who looks on is told in time. */
static size_t piece_of(const struct sending *sending, size_t left)
{
    uint64_t piece = SEND_BYTES;

    if (sending->bytes_per_s > 0 && sending->bytes_per_s / PIECES_A_SECOND < piece)
        piece = sending->bytes_per_s / PIECES_A_SECOND;
    if (piece < LEAST_SEND_BYTES)
        piece = LEAST_SEND_BYTES;
    return left < piece ? left : (size_t)piece;
}

/* As long as what was sent should have taken. */
static void keep_to_rate(const struct sending *sending)
{
    struct timespec pause;
    double ahead_s;

    if (sending->bytes_per_s == 0)
        return;
    ahead_s = sending->began_s + (double)sending->done / (double)sending->bytes_per_s -
              clock_monotonic_s();
    if (ahead_s <= 0)
        return;
    pause.tv_sec = (time_t)ahead_s;
    pause.tv_nsec = (long)((ahead_s - (double)pause.tv_sec) * 1e9);
    nanosleep(&pause, NULL);
}

static int tell(struct sending *sending, bool at_once)
{
    double now_s = clock_monotonic_s();

    if (!sending->sent || sending->told == sending->done)
        return 0;
    if (!at_once && sending->done - sending->told < TOLD_BYTES && now_s - sending->told_s < TOLD_S)
        return 0;
    sending->told = sending->done;
    sending->told_s = now_s;
    return sending->sent(sending->context, sending->done);
}

/* 1: libvirt says why it failed. */
static int send_all(virStreamPtr stream, const char *bytes, size_t length, struct sending *sending)
{
    int r = 0;

    sending->began_s = sending->told_s = clock_monotonic_s();
    while (length > 0 && r == 0) {
        int sent = virStreamSend(stream, bytes, piece_of(sending, length));

        if (sent <= 0)
            return 1;
        bytes += sent;
        length -= (size_t)sent;
        sending->done += (uint64_t)sent;
        keep_to_rate(sending);
        r = tell(sending, length == 0);
    }
    return r;
}

static int upload(const struct vm_peer *peer, virStorageVolPtr volume, const void *bytes,
                  size_t length, struct sending *sending, const char *what, struct error *err)
{
    CLEANUP(cleanup_stream) virStreamPtr stream = virStreamNew(peer->connection, 0);
    int r;

    if (!stream || virStorageVolUpload(volume, stream, 0, length, 0) < 0)
        return peer_error(err, "writing %s", what);
    r = send_all(stream, bytes, length, sending);
    if (r != 0) {
        r = r > 0 ? peer_error(err, "writing %s", what)
                  : error_set(err, r, "writing %s: ended", what);
        virStreamAbort(stream);
        return r;
    }
    return virStreamFinish(stream) < 0 ? peer_error(err, "writing %s", what) : 0;
}

int vm_volume_send(struct vm_peer *peer, const char *pool_name, const char *volume_name,
                   const void *bytes, size_t length, uint64_t bytes_per_s,
                   int (*sent)(void *context, uint64_t bytes), void *context, struct error *err)
{
    struct sending sending = {.bytes_per_s = bytes_per_s, .sent = sent, .context = context};
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
        r = upload(peer, volume, bytes, length, &sending, what, err);
    if (r < 0)
        virStorageVolDelete(volume, 0);
    return r;
}

int vm_peer_write(struct vm_peer *peer, const char *pool_name, const char *volume_name,
                  const void *bytes, size_t length, struct error *err)
{
    return vm_volume_send(peer, pool_name, volume_name, bytes, length, 0, NULL, NULL, err);
}
