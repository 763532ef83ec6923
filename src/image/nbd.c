/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that QEMU has to interpret: qemu-nbd and libnbd, over several
 * connections, many requests in flight on each.
 */
#include "image/nbd.h"

#include <errno.h>

static int nbd_read(void *state, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    const struct remote_work work = {REMOTE_READ, offset, length, buffer};
    struct nbd *nbd = state;
    int rc = remote_do(nbd, &work, err);

    cache_guards_after(nbd->chain, length);
    if (rc < 0)
        return rc;
    /* QEMU reads what a file has lost as zeroes. */
    return image_chain_check_sizes(nbd->chain, err);
}

/* ---- opening ----------------------------------------------------------------------------------- */

static int start_server(struct nbd *nbd, bool only_top, struct error *err)
{
    CLEANUP(cleanup_free) char *description = NULL;
    CLEANUP(cleanup_free) int *fds = NULL;
    const struct image_chain *chain = nbd->chain;
    struct server_order order = {.fd_count = chain->count,
                                 .mode = only_top ? SERVER_READS_DEPTH : SERVER_READS};
    int rc = image_chain_describe(chain, &description);

    fds = calloc(chain->count + chain->node_count, sizeof(*fds));
    if (rc < 0 || fds == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    memcpy(fds, chain->fds, chain->count * sizeof(*fds));
    for (size_t i = 0; i < chain->node_count; i++) {
        if (chain->nodes[i].descriptor_fd >= 0)
            fds[order.fd_count++] = chain->nodes[i].descriptor_fd;
    }
    order.description = description;
    order.fds = fds;
    return remote_start(nbd, &order, err);
}

static void nbd_end(void *state)
{
    struct nbd *nbd = state;

    remote_release(nbd);
    for (size_t i = 0; i < STATUS_ANSWERS; i++)
        free(nbd->answers[i].extents);
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
    remote_init(nbd, options->connections, options->patience_s);
    rc = start_server(nbd, options->only_top, err);
    if (rc < 0) {
        nbd_end(nbd);
        return rc;
    }
    *ret_state = nbd;
    *ret_size = nbd->size;
    return 0;
}

static bool nbd_is_direct(const void *state)
{
    (void)state;
    return false;
}

const struct image_backend image_backend_nbd = {
    .name = "nbd",
    .open = nbd_begin,
    .close = nbd_end,
    .is_direct = nbd_is_direct,
    .next_extent = remote_next_extent,
    .read = nbd_read,
};
