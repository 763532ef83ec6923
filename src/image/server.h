/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qemu-nbd of our own: read-only, on a socket in a directory that only we
 * may enter and that is gone again before the process starts. It ends when
 * its last connection is closed, when it is stopped here, and when the thread
 * that started it ends.
 */
#ifndef SETMOV_IMAGE_SERVER_H
#define SETMOV_IMAGE_SERVER_H

#include "setmov/base.h"

#include <sys/types.h>

struct server {
    pid_t pid;    /* 0: none */
    int messages; /* its standard error, does not block */
};

/*
 * Starts it for the image that `description` tells, with the descriptors
 * `fds` passed on under their numbers (10 and above), and gives `connections`
 * connected sockets. It may not have answered yet, nor even opened the image.
 */
int server_start(const char *description, const int *fds, size_t fd_count, int *ret_sockets,
                 size_t connections, struct server *ret_server, struct error *err);

/* Ends the process and forgets it; NULL and a stopped one are fine. */
void server_stop(struct server *server);

/* Adds what the server said last to the message: "message: reason". Returns `code`. */
int server_explain(struct server *server, int code, struct error *err);

/* Has the process ended? Then `ret_status` is as of waitpid. */
bool server_has_ended(struct server *server, int *ret_status);

#endif
