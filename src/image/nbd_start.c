/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connections to a qemu-nbd that is started, and the end of both. */
#include "image/nbd.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#define DEFAULT_CONNECTIONS 4
#define START_S             30.0 /* until the image is open */

void remote_init(struct nbd *nbd, unsigned connections, double patience_s)
{
    nbd->server = (struct program){.messages = -1, .output = -1};
    nbd->silence_s = patience_s > 0 ? patience_s : NBD_SILENCE_S;
    nbd->count = connections != 0 ? connections : DEFAULT_CONNECTIONS;
    if (nbd->count > MOST_CONNECTIONS)
        nbd->count = MOST_CONNECTIONS;
    pthread_mutex_init(&nbd->lock, NULL);
    pthread_cond_init(&nbd->freed, NULL);
}

void remote_release(struct nbd *nbd)
{
    for (size_t i = 0; i < nbd->count; i++)
        nbd_close(nbd->connections[i].handle);
    program_stop(&nbd->server);
    pthread_cond_destroy(&nbd->freed);
    pthread_mutex_destroy(&nbd->lock);
}

static int make_handles(struct nbd *nbd, int *sockets, struct error *err)
{
    for (size_t i = 0; i < nbd->count; i++) {
        struct nbd_handle *handle = nbd_create();
        int socket = sockets[i];

        if (handle == NULL)
            return error_set(err, -ENOMEM, "libnbd: %s", nbd_get_error());
        nbd->connections[i].handle = handle;
        sockets[i] = -1; /* libnbd's from its call on, whether that succeeds or not */
        if (nbd_add_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
            (nbd->tells_depth && nbd_add_meta_context(handle, REMOTE_DEPTH) < 0) ||
            nbd_set_pread_initialize(handle, false) < 0) {
            close(socket);
            return error_set(err, -EIO, "libnbd: %s", nbd_get_error());
        }
        if (nbd_aio_connect_socket(handle, socket) < 0)
            return connection_lose(nbd, -EIO, "qemu-nbd cannot open it", err);
    }
    return 0;
}

/* Until the server, which has opened the image by then, has answered on that connection. */
static int wait_for_server(struct nbd *nbd, struct nbd_handle *handle, double until_s,
                           struct error *err)
{
    while (!nbd_aio_is_ready(handle)) {
        double left_s = until_s - clock_monotonic_s();

        if (nbd_aio_is_dead(handle) || nbd_aio_is_closed(handle))
            return connection_lose(nbd, -EIO, "qemu-nbd cannot open it", err);
        if (left_s <= 0 || image_stop_is_set(nbd->stop))
            return connection_lose(nbd, -ETIMEDOUT, "qemu-nbd did not open it in time", err);
        if (nbd_poll(handle, (int)ceil(image_stop_slice_s(left_s) * 1000)) < 0)
            return connection_lose(nbd, -EIO, "qemu-nbd cannot open it", err);
    }
    return 0;
}

static int connect_handles(struct nbd *nbd, struct error *err)
{
    double until_s = clock_monotonic_s() + fmin(START_S, nbd->silence_s);
    struct nbd_handle *first = nbd->connections[0].handle;
    int64_t size;

    for (size_t i = 0; i < nbd->count; i++) {
        int rc = wait_for_server(nbd, nbd->connections[i].handle, until_s, err);

        if (rc < 0)
            return rc;
    }
    size = nbd_get_size(first);
    if (size < 0 || (uint64_t)size > IMAGE_MAX_SIZE)
        return error_set(err, -EFBIG, "%s: its size is absurd", nbd->chain->files[0].path);
    nbd->size = (uint64_t)size;
    nbd->tells_status = nbd_can_meta_context(first, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    if (nbd->tells_depth && nbd_can_meta_context(first, REMOTE_DEPTH) != 1)
        return error_set(err, -ENOTSUP, "%s: qemu-nbd does not tell what lies in its own layer",
                         nbd->chain->files[0].path);
    return 0;
}

int remote_start(struct nbd *nbd, struct server_order *order, struct error *err)
{
    int sockets[MOST_CONNECTIONS], rc;

    order->connections = nbd->count;
    nbd->tells_depth = order->mode == SERVER_READS_DEPTH;
    rc = server_start(order, sockets, &nbd->server, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", nbd->chain->files[0].path);
    rc = make_handles(nbd, sockets, err);
    for (size_t i = 0; i < nbd->count; i++)
        cleanup_close(&sockets[i]);
    return rc < 0 ? rc : connect_handles(nbd, err);
}
