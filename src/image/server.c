/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting qemu-nbd. The listening socket is handed over as
 * systemd does it (LISTEN_FDS), with our connections already waiting in its
 * queue: nothing is polled for, and no socket lies about if we are killed.
 */
#include "image/server.h"

#include "image/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PROGRAM       "qemu-nbd"
#define SOCKET_NAME   "nbd"
#define MESSAGES_ROOM 8192

/* ---- the socket --------------------------------------------------------------------------- */

static int new_socket(int *ret_fd)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    fd = image_fd_raise(fd);
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

/* `directory` is reached by descriptor: a long TMPDIR would not fit a socket's address. */
static int connect_all(int directory, int *ret_listener, int *sockets, size_t connections)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc = new_socket(ret_listener);

    if (rc < 0)
        return rc;
    string_format(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
                  directory);
    if (bind(*ret_listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(*ret_listener, (int)connections + 1) < 0)
        return -errno;
    for (size_t i = 0; i < connections; i++) {
        rc = new_socket(&sockets[i]);
        if (rc < 0)
            return rc;
        if (connect(sockets[i], (struct sockaddr *)&address, sizeof(address)) < 0)
            return -errno;
    }
    return 0;
}

static int make_sockets(int *ret_listener, int *sockets, size_t connections, struct error *err)
{
    CLEANUP(cleanup_close) int directory = -1;
    const char *parent = getenv("TMPDIR");
    char path[4096];
    int rc;

    if (parent == NULL || parent[0] != '/')
        parent = "/tmp";
    if (!string_format(path, sizeof(path), "%s/setmov-XXXXXX", parent))
        return error_set(err, -ENAMETOOLONG, "TMPDIR is too long");
    if (mkdtemp(path) == NULL)
        return error_set(err, -errno, "directory for a socket, %s: %s", path, strerror(errno));
    directory = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rc = directory < 0 ? -errno : connect_all(directory, ret_listener, sockets, connections);
    if (directory >= 0)
        (void)unlinkat(directory, SOCKET_NAME, 0);
    (void)rmdir(path);
    return rc < 0 ? error_set(err, rc, "socket for " PROGRAM ": %s", strerror(-rc)) : 0;
}

static int start(const struct server_order *order, int listener, struct program *server,
                 struct error *err)
{
    static const char *const modes[][2] = {
        [SERVER_READS] = {"--read-only", "--cache=writeback"},
        [SERVER_READS_DEPTH] = {"--read-only", "--allocation-depth"},
        [SERVER_WRITES] = {"--discard=unmap", "--cache=unsafe"},
    };
    char shared[32];
    const char *arguments[] = {
        PROGRAM, modes[order->mode][0], modes[order->mode][1], shared, "--", order->description,
        NULL};
    const struct program_order program = {.arguments = arguments,
                                          .fds = order->fds,
                                          .fd_count = order->fd_count,
                                          .listener = listener};

    string_format(shared, sizeof(shared), "--shared=%zu", order->connections);
    return program_start(&program, server, err);
}

int server_start(const struct server_order *order, int *ret_sockets, struct program *ret_server,
                 struct error *err)
{
    CLEANUP(cleanup_close) int listener = -1;
    struct program server = {.messages = -1, .output = -1};
    int rc;

    for (size_t i = 0; i < order->connections; i++)
        ret_sockets[i] = -1;
    rc = make_sockets(&listener, ret_sockets, order->connections, err);
    if (rc == 0)
        rc = start(order, listener, &server, err);
    if (rc < 0) {
        for (size_t i = 0; i < order->connections; i++)
            cleanup_close(&ret_sockets[i]);
        program_stop(&server);
        return rc;
    }
    *ret_server = server;
    return 0;
}

/* ---- what it said ------------------------------------------------------------------------------- */

/* "qemu-nbd: Failed to blk_new_open 'json:{...}': Could not open ...: reason": the reason. */
static struct text reason_of(struct text line)
{
    static const char program[] = PROGRAM ": ", quoted_end[] = "}': ";
    const char *end;

    if (text_starts_with(line, program))
        line.at += sizeof(program) - 1;
    end = memmem(line.at, text_length(line), quoted_end, sizeof(quoted_end) - 1);
    if (end != NULL)
        line.at = end + sizeof(quoted_end) - 1;
    return line;
}

int server_explain(struct program *server, int code, struct error *err)
{
    char bytes[MESSAGES_ROOM], reason[256] = "";
    size_t length = 0;
    struct text all, line;

    while (server->messages >= 0 && length < sizeof(bytes)) {
        ssize_t got = read(server->messages, bytes + length, sizeof(bytes) - length);

        if (got <= 0)
            break;
        length += (size_t)got;
    }
    all = text_of(bytes, length);
    while (text_next_line(&all, &line)) {
        line = reason_of(line);
        if (text_length(line) > 0 && !text_starts_with(line, "Disconnect client"))
            text_copy(line, reason, sizeof(reason));
    }
    if (reason[0] != '\0') {
        struct error message = *err;

        return error_set(err, code, "%s: %s", message.text, reason);
    }
    return code;
}
