/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qemu-nbd of our own, on a socket in a directory that only we
 * may enter and that is gone again before the process starts. It ends when
 * its last connection is closed, when it is stopped here, and when the thread
 * that started it ends.
 */
#ifndef SETMOV_IMAGE_SERVER_H
#define SETMOV_IMAGE_SERVER_H

#include "image/program.h"

enum server_mode {
    SERVER_READS,
    SERVER_READS_DEPTH, /* and tells which layer data lies in */
    SERVER_WRITES,      /* nothing is on the disk before the file is brought there */
};

struct server_order {
    const char *description; /* of the image, in QEMU's words */
    const int *fds;          /* passed on under their numbers (10 and above) */
    size_t fd_count;
    size_t connections;
    enum server_mode mode;
};

/*
 * Starts it and gives `connections` connected sockets. It may not have answered
 * yet, nor even opened the image.
 */
int server_start(const struct server_order *order, int *ret_sockets, struct program *ret_server,
                 struct error *err);

/* Adds what the server said last to the message: "message: reason". Returns `code`. */
int server_explain(struct program *server, int code, struct error *err);

#endif
