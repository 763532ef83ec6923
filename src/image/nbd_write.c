/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that QEMU has to write: qemu-img makes an empty one, qemu-nbd fills it.
 * The backing image is never opened: it may not be there yet.
 */
#include "image/nbd.h"
#include "image/write.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sys/wait.h>

#define DESCRIPTION_ROOM 256
#define ZEROES_BYTES     ((size_t)256 << 10)

struct remote {
    struct image_layer file;
    struct image_chain chain; /* of that file alone, for messages */
    struct nbd nbd;
    bool zeroes_are_data; /* QEMU would leave them out: it does not see the backing image */
};

static void remote_end(void *state)
{
    struct remote *remote = state;

    remote_release(&remote->nbd);
    free(remote);
}

static int begin_server(struct remote *remote, const struct write_place *place,
                        const struct image_write_options *options, struct error *err)
{
    char description[DESCRIPTION_ROOM];
    struct server_order order = {
        .description = description, .fds = &place->fd, .fd_count = 1, .mode = SERVER_WRITES};
    int rc;

    if (!image_written_describe(options->format, place->fd, description, sizeof(description)))
        return error_set(err, -EINVAL, "%s: its format is too long a name", place->path);
    rc = remote_start(&remote->nbd, &order, err);
    if (rc < 0)
        return rc;
    if (remote->nbd.size != options->virtual_size)
        return error_set(err, -EIO, "%s: qemu-img made it %llu bytes instead of %llu", place->path,
                         (unsigned long long)remote->nbd.size,
                         (unsigned long long)options->virtual_size);
    return 0;
}

static int remote_begin(const struct write_place *place, const struct image_write_options *options,
                        void **ret_state, struct error *err)
{
    struct remote *remote;
    int rc = write_create(place, options, err);

    if (rc < 0)
        return rc;
    remote = calloc(1, sizeof(*remote));
    if (remote == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", place->path);
    remote->file.path = (char *)place->path; /* borrowed, and only read */
    remote->chain.files = &remote->file;
    remote->chain.count = 1;
    remote->nbd.chain = &remote->chain;
    remote->zeroes_are_data = image_write_zeroes_are_data(options);
    remote_init(&remote->nbd, 0, 0);
    rc = begin_server(remote, place, options, err);
    if (rc < 0)
        remote_end(remote);
    else
        *ret_state = remote;
    return rc;
}

static int remote_write(void *state, uint64_t offset, const void *bytes, size_t length,
                        struct error *err)
{
    const struct remote_work work = {REMOTE_WRITE, offset, length, (void *)bytes};
    struct remote *remote = state;

    return remote_do(&remote->nbd, &work, err);
}

static int write_zeroes(void *state, uint64_t offset, uint64_t length, struct error *err)
{
    static const char zeroes[ZEROES_BYTES];
    int rc = 0;

    while (length > 0 && rc == 0) {
        size_t piece = length < sizeof(zeroes) ? (size_t)length : sizeof(zeroes);

        rc = remote_write(state, offset, zeroes, piece, err);
        offset += piece;
        length -= piece;
    }
    return rc;
}

static int remote_zero(void *state, uint64_t offset, uint64_t length, struct error *err)
{
    const struct remote_work work = {REMOTE_ZERO, offset, length, NULL};
    struct remote *remote = state;

    if (remote->zeroes_are_data)
        return write_zeroes(state, offset, length, err);
    return remote_do(&remote->nbd, &work, err);
}

static int remote_read(void *state, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    const struct remote_work work = {REMOTE_READ, offset, length, buffer};
    struct remote *remote = state;

    return remote_do(&remote->nbd, &work, err);
}

/* It ends by itself behind its last connection, and closes the image as a whole one. */
static int wait_for_end(struct remote *remote, struct error *err)
{
    struct nbd *nbd = &remote->nbd;
    double until_s = clock_monotonic_s() + nbd->silence_s;
    int status = 0;

    while (!program_has_ended(&nbd->server, &status)) {
        if (clock_monotonic_s() >= until_s)
            return error_set(err, -ETIMEDOUT, "%s: qemu-nbd does not end", remote->file.path);
        (void)poll(NULL, 0, 1);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    error_set(err, -EIO, "%s: qemu-nbd failed at its end", remote->file.path);
    return server_explain(&nbd->server, -EIO, err);
}

static int remote_finish(void *state, struct error *err)
{
    const struct remote_work work = {REMOTE_FLUSH, 0, 1, NULL};
    struct remote *remote = state;
    int rc = remote_do(&remote->nbd, &work, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < remote->nbd.count; i++) {
        nbd_close(remote->nbd.connections[i].handle);
        remote->nbd.connections[i].handle = NULL;
    }
    return wait_for_end(remote, err);
}

const struct write_way write_way_nbd = {
    .begin = remote_begin,
    .write = remote_write,
    .zero = remote_zero,
    .read = remote_read,
    .finish = remote_finish,
    .end = remote_end,
};
