/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files an image consists of, without opening it for reading. */
#include "image/chain.h"

#include <errno.h>

int image_look(const char *path, const struct image_options *options,
               struct image_layer **ret_layers, size_t *ret_count, struct error *err)
{
    static const struct image_options defaults;
    CLEANUP(cleanup_free) struct image_chain *chain = calloc(1, sizeof(*chain));
    int rc;

    if (chain == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", path);
    rc = image_chain_open(path, options != NULL ? options : &defaults, chain, err);
    if (rc < 0)
        return rc;
    *ret_layers = chain->files;
    *ret_count = chain->count;
    chain->files = NULL;
    /* The descriptors are left to close. */
    for (size_t i = 0; i < chain->count; i++)
        cleanup_close(&chain->fds[i]);
    chain->count = 0;
    image_chain_release(chain);
    return 0;
}

void image_layers_free(struct image_layer *layers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(layers[i].path);
        free(layers[i].format);
    }
    free(layers);
}
