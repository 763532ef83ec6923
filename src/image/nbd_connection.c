/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections to a qemu-nbd: a reader takes one for the time of a call. Every
 * wait has a bound.
 */
#include "image/nbd.h"

#include <errno.h>
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

/* A server that is already dead leaves its reason so soon after its connection. */
#define LAST_WORDS_MS 200

int connection_lose(struct nbd *nbd, int code, const char *message, struct error *err)
{
    if (image_stop_is_set(nbd->stop))
        return error_set(err, -ECANCELED, "%s: stopped", nbd->chain->files[0].path);
    pthread_mutex_lock(&nbd->lock);
    if (nbd->failed == 0) {
        int status = 0;
        bool ended = false;

        for (int waited = 0; waited < LAST_WORDS_MS && !ended; waited++) {
            ended = program_has_ended(&nbd->server, &status);
            if (!ended)
                usleep(1000);
        }
        nbd->failed = code;
        if (ended && WIFSIGNALED(status))
            error_set(&nbd->loss, code, "%s: qemu-nbd was killed by signal %d",
                      nbd->chain->files[0].path, WTERMSIG(status));
        else
            error_set(&nbd->loss, code, "%s: %s", nbd->chain->files[0].path, message);
        server_explain(&nbd->server, code, &nbd->loss);
    }
    code = error_set(err, nbd->failed, "%s", nbd->loss.text);
    pthread_mutex_unlock(&nbd->lock);
    return code;
}

void connection_take(struct nbd *nbd, struct connection **ret_connection)
{
    struct connection *found = NULL;

    pthread_mutex_lock(&nbd->lock);
    while (found == NULL) {
        for (size_t i = 0; i < nbd->count && found == NULL; i++) {
            if (!nbd->connections[i].busy)
                found = &nbd->connections[i];
        }
        if (found == NULL)
            pthread_cond_wait(&nbd->freed, &nbd->lock);
    }
    found->busy = true;
    pthread_mutex_unlock(&nbd->lock);
    *ret_connection = found;
}

void connection_give(struct nbd *nbd, struct connection *connection)
{
    pthread_mutex_lock(&nbd->lock);
    connection->busy = false;
    pthread_cond_signal(&nbd->freed);
    pthread_mutex_unlock(&nbd->lock);
}

int connection_break(struct nbd *nbd, struct connection *connection, int code, const char *message,
                     struct error *err)
{
    nbd_close(connection->handle);
    connection->handle = NULL;
    return connection_lose(nbd, code, message, err);
}

bool connection_is_broken(const struct connection *connection)
{
    return nbd_aio_is_dead(connection->handle) || nbd_aio_is_closed(connection->handle);
}

int connection_turn(struct nbd *nbd, struct connection *connection, struct error *err)
{
    double until_s = clock_monotonic_s() + nbd->silence_s, left_s = nbd->silence_s;
    int moved = 0;

    while (moved == 0 && left_s > 0 && !image_stop_is_set(nbd->stop)) {
        moved = nbd_poll(connection->handle, (int)ceil(image_stop_slice_s(left_s) * 1000));
        left_s = until_s - clock_monotonic_s();
    }
    if (moved == 0)
        return connection_break(nbd, connection, -ETIMEDOUT, "qemu-nbd does not answer", err);
    if (moved < 0 || connection_is_broken(connection))
        return connection_break(nbd, connection, -EIO, "the connection to qemu-nbd broke", err);
    return 0;
}

int reading_done(void *user_data, int *error)
{
    struct reading *reading = user_data;

    reading->in_flight--;
    if (*error != 0 && reading->failed == 0)
        reading->failed = *error;
    return 1; /* libnbd need not keep it for us */
}
