/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading and writing through a qemu-nbd, in pieces of which many are under way. */
#include "image/nbd.h"

#include <errno.h>

#define REQUEST_BYTES ((size_t)256 << 10)
/* Of zeroes more: they cost little where the format knows them. */
#define ZERO_BYTES ((size_t)64 << 20)
#define IN_FLIGHT  16

static int issue(struct connection *connection, struct reading *reading,
                 const struct remote_work *work, uint64_t done, size_t length)
{
    nbd_completion_callback completion = {.callback = reading_done, .user_data = reading};
    char *bytes = work->bytes != NULL ? (char *)work->bytes + done : NULL;
    uint64_t offset = work->offset + done;
    int64_t rc = -1;

    reading->in_flight++;
    switch (work->kind) {
    case REMOTE_READ:
        rc = nbd_aio_pread(connection->handle, bytes, length, offset, completion, 0);
        break;
    case REMOTE_WRITE:
        rc = nbd_aio_pwrite(connection->handle, bytes, length, offset, completion, 0);
        break;
    case REMOTE_ZERO:
        rc = nbd_aio_zero(connection->handle, length, offset, completion, 0);
        break;
    case REMOTE_FLUSH:
        rc = nbd_aio_flush(connection->handle, completion, 0);
        break;
    }
    if (rc >= 0)
        return 0;
    reading->in_flight--;
    return -EIO;
}

static int tell_failure(struct nbd *nbd, const struct remote_work *work, int code,
                        struct error *err)
{
    static const char *const words[] = {[REMOTE_READ] = "read",
                                        [REMOTE_WRITE] = "written",
                                        [REMOTE_ZERO] = "written",
                                        [REMOTE_FLUSH] = "written to its end"};

    pthread_mutex_lock(&nbd->lock);
    error_set(err, code, "%s cannot be %s at byte %llu: %s", nbd->chain->files[0].path,
              words[work->kind], (unsigned long long)work->offset, strerror(-code));
    server_explain(&nbd->server, code, err);
    pthread_mutex_unlock(&nbd->lock);
    return code;
}

static int work_on(struct nbd *nbd, struct connection *connection, const struct remote_work *work,
                   struct error *err)
{
    static const char broken[] = "the connection to qemu-nbd broke";
    uint64_t most = work->kind == REMOTE_ZERO ? ZERO_BYTES : REQUEST_BYTES, issued = 0;
    struct reading reading = {0};

    if (connection->handle == NULL)
        return connection_lose(nbd, -EIO, broken, err);
    while (issued < work->length || reading.in_flight > 0) {
        int rc;

        while (issued < work->length && reading.in_flight < IN_FLIGHT && reading.failed == 0) {
            uint64_t left = work->length - issued, piece = left < most ? left : most;

            if (issue(connection, &reading, work, issued, (size_t)piece) < 0)
                return connection_break(nbd, connection, -EIO, broken, err);
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
        return connection_break(nbd, connection, -EIO, broken, err);
    return tell_failure(nbd, work, -reading.failed, err);
}

int remote_do(struct nbd *nbd, const struct remote_work *work, struct error *err)
{
    struct connection *connection;
    int rc;

    connection_take(nbd, &connection);
    rc = work_on(nbd, connection, work, err);
    connection_give(nbd, connection);
    return rc;
}
