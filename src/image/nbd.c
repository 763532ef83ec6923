/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that QEMU has to interpret: qemu-nbd and libnbd, over several
 * connections, many requests in flight on each.
 */
#include "image/nbd.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#define DEFAULT_CONNECTIONS 4
#define REQUEST_BYTES       ((size_t)256 << 10)
#define IN_FLIGHT           16
#define START_S             30.0 /* until the image is open */
#define SILENCE_S           60.0 /* without any answer */

/* ---- reading ------------------------------------------------------------------------------- */

static int issue(struct connection *connection, struct reading *reading, uint64_t offset,
                 size_t length, void *buffer)
{
    nbd_completion_callback done = {.callback = reading_done, .user_data = reading};

    reading->in_flight++;
    if (nbd_aio_pread(connection->handle, buffer, length, offset, done, 0) < 0) {
        reading->in_flight--;
        return -EIO;
    }
    return 0;
}

static int read_pieces(struct nbd *nbd, struct connection *connection, uint64_t offset,
                       size_t length, char *buffer, struct error *err)
{
    struct reading reading = {0};
    size_t issued = 0;
    int rc;

    if (connection->handle == NULL)
        return connection_lose(nbd, -EIO, "the connection to qemu-nbd broke", err);
    while (issued < length || reading.in_flight > 0) {
        while (issued < length && reading.in_flight < IN_FLIGHT && reading.failed == 0) {
            size_t piece = length - issued < REQUEST_BYTES ? length - issued : REQUEST_BYTES;

            if (issue(connection, &reading, offset + issued, piece, buffer + issued) < 0)
                return connection_break(nbd, connection, -EIO, "the connection to qemu-nbd broke",
                                        err);
            issued += piece;
        }
        if (reading.in_flight == 0)
            break;
        rc = connection_turn(nbd, connection, err);
        if (rc < 0)
            return rc;
    }
    if (reading.failed == 0)
        return 0;
    if (connection_is_broken(connection)) /* libnbd fails all requests by itself then */
        return connection_break(nbd, connection, -EIO, "the connection to qemu-nbd broke", err);
    pthread_mutex_lock(&nbd->lock);
    error_set(err, -reading.failed, "%s cannot be read at byte %llu: %s", nbd->chain->files[0].path,
              (unsigned long long)offset, strerror(reading.failed));
    server_explain(&nbd->server, -reading.failed, err);
    pthread_mutex_unlock(&nbd->lock);
    return -reading.failed;
}

static int nbd_read(void *state, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    struct nbd *nbd = state;
    struct connection *connection;
    int rc;

    connection_take(nbd, &connection);
    rc = read_pieces(nbd, connection, offset, length, buffer, err);
    connection_give(nbd, connection);
    for (size_t i = 0; nbd->guards != NULL && i < nbd->chain->count; i++)
        cache_guard_after(nbd->guards[i], offset, length);
    if (rc < 0)
        return rc;
    /* QEMU reads what a file has lost as zeroes. */
    return image_chain_check_sizes(nbd->chain, err);
}

/* ---- opening ----------------------------------------------------------------------------------- */

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
    return 0;
}

static int start_server(struct nbd *nbd, struct error *err)
{
    CLEANUP(cleanup_free) char *description = NULL;
    CLEANUP(cleanup_free) int *fds = NULL;
    const struct image_chain *chain = nbd->chain;
    int sockets[MOST_CONNECTIONS];
    size_t fd_count = chain->count;
    int rc;

    rc = image_chain_describe(chain, &description);
    fds = calloc(chain->count + chain->node_count, sizeof(*fds));
    if (rc < 0 || fds == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    memcpy(fds, chain->fds, chain->count * sizeof(*fds));
    for (size_t i = 0; i < chain->node_count; i++) {
        if (chain->nodes[i].descriptor_fd >= 0)
            fds[fd_count++] = chain->nodes[i].descriptor_fd;
    }
    rc = server_start(description, fds, fd_count, sockets, nbd->count, &nbd->server, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", chain->files[0].path);
    rc = make_handles(nbd, sockets, err);
    for (size_t i = 0; i < nbd->count; i++)
        cleanup_close(&sockets[i]);
    return rc < 0 ? rc : connect_handles(nbd, err);
}

static void watch_cache(struct nbd *nbd)
{
    nbd->guards = calloc(nbd->chain->count, sizeof(struct cache_guard *));
    for (size_t i = 0; nbd->guards != NULL && i < nbd->chain->count; i++)
        nbd->guards[i] = cache_guard_new_whole(nbd->chain->fds[i], nbd->chain->files[i].size);
}

static void nbd_end(void *state)
{
    struct nbd *nbd = state;

    for (size_t i = 0; i < nbd->count; i++)
        nbd_close(nbd->connections[i].handle);
    server_stop(&nbd->server);
    for (size_t i = 0; nbd->guards != NULL && i < nbd->chain->count; i++)
        cache_guard_free(nbd->guards[i]);
    free(nbd->guards);
    for (size_t i = 0; i < STATUS_ANSWERS; i++)
        free(nbd->answers[i].extents);
    pthread_cond_destroy(&nbd->freed);
    pthread_mutex_destroy(&nbd->lock);
    free(nbd);
}

static int nbd_begin(const struct image_chain *chain, const struct image_options *options,
                     void **ret_state, uint64_t *ret_size, struct error *err)
{
    struct nbd *nbd = calloc(1, sizeof(*nbd));
    int rc;

    if (nbd == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    nbd->chain = chain;
    nbd->stop = chain->stop;
    nbd->server.messages = -1;
    nbd->silence_s = options->patience_s > 0 ? options->patience_s : SILENCE_S;
    nbd->count = options->connections != 0 ? options->connections : DEFAULT_CONNECTIONS;
    if (nbd->count > MOST_CONNECTIONS)
        nbd->count = MOST_CONNECTIONS;
    pthread_mutex_init(&nbd->lock, NULL);
    pthread_cond_init(&nbd->freed, NULL);
    if (!options->keep_cache)
        watch_cache(nbd);
    rc = image_chain_check_whole(chain, err);
    if (rc == 0)
        rc = start_server(nbd, err);
    if (rc < 0) {
        nbd_end(nbd);
        return rc;
    }
    *ret_state = nbd;
    *ret_size = nbd->size;
    return 0;
}

const struct image_backend image_backend_nbd = {
    .name = "nbd",
    .open = nbd_begin,
    .close = nbd_end,
    .next_extent = remote_next_extent,
    .read = nbd_read,
};
