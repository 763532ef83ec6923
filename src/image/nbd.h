/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An image read through qemu-nbd, as the files nbd*.c share it. (libnbd has
 * the prefix nbd_ for itself.)
 */
#ifndef SETMOV_IMAGE_NBD_H
#define SETMOV_IMAGE_NBD_H

#include "image/backend.h"
#include "image/cache.h"
#include "image/server.h"

#include <libnbd.h>

#define MOST_CONNECTIONS 64
#define STATUS_ANSWERS   8
#define NBD_SILENCE_S    60.0 /* without any answer */

/* How many layers down the data lies, from 1; 0: nowhere. */
#define REMOTE_DEPTH "qemu:allocation-depth"

/* An answer to a question for extents; together they cover [start, end). */
struct answer {
    uint64_t start, end;
    struct image_extent *extents;
    size_t count, capacity;
};

struct connection {
    struct nbd_handle *handle;
    bool busy;
};

struct nbd {
    const struct image_chain *chain;
    struct image_stop *stop;
    struct program server;
    uint64_t size;
    bool tells_status;
    bool tells_depth; /* only the top layer is looked at */
    double silence_s; /* so long no answer may come */
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct connection connections[MOST_CONNECTIONS];
    size_t count;
    int failed;            /* negative errno once the server is lost */
    struct error loss;     /* why */
    uint64_t status_bytes; /* how much the next question for extents is about */
    struct answer answers[STATUS_ANSWERS];
    size_t next_answer;
};

/* ---- nbd_start.c: the beginning and the end ----------------------------------------------- */

/* `connections`, `patience_s`: 0: default. All else of `nbd` is zero, or set already. */
void remote_init(struct nbd *nbd, unsigned connections, double patience_s);
/* Starts the server and connects; `connections` of the order is filled in. To be released even where it fails. */
int remote_start(struct nbd *nbd, struct server_order *order, struct error *err);
void remote_release(struct nbd *nbd); /* all but what nbd.c and nbd_extents.c keep */

/* ---- nbd_work.c ------------------------------------------------------------------------------ */

struct remote_work {
    enum { REMOTE_READ, REMOTE_WRITE, REMOTE_ZERO, REMOTE_FLUSH } kind;
    uint64_t offset, length; /* of FLUSH: 0 and 1 */
    void *bytes; /* read into or written, which does not change them; NULL for the others */
};

/* Does it on a connection of its own. */
int remote_do(struct nbd *nbd, const struct remote_work *work, struct error *err);

/* ---- nbd_connection.c: a connection for one call, and what a lost server leads to --------- */

/* The server is of no use any more; the first reason is told to all. Returns its code. */
int connection_lose(struct nbd *nbd, int code, const char *message, struct error *err);

/* Waits for a free one. Its handle is NULL where it was broken. */
void connection_take(struct nbd *nbd, struct connection **ret_connection);
void connection_give(struct nbd *nbd, struct connection *connection);

/* Closing also makes sure that no late answer is written to a buffer that is not ours any more. */
int connection_break(struct nbd *nbd, struct connection *connection, int code, const char *message,
                     struct error *err);
bool connection_is_broken(const struct connection *connection);

/* Moves the connection on; fails when it is dead or has been silent for too long, or at a stop. */
int connection_turn(struct nbd *nbd, struct connection *connection, struct error *err);

/* Requests under way on one connection; reading_done() is the callback of each. */
struct reading {
    unsigned in_flight;
    int failed; /* errno of a request */
};

int reading_done(void *user_data, int *error);

/* ---- nbd_extents.c ------------------------------------------------------------------------ */

/* As next_extent of struct image_backend. */
int remote_next_extent(void *state, uint64_t offset, struct image_extent *ret_extent,
                       struct error *err);

#endif
