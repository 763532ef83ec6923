/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image: its files, the way to read them, and the checks that the ways share. */
#include "image/backend.h"

#include "image/cache.h"

#include <errno.h>

struct image {
    struct image_chain chain;
    const struct image_backend *backend;
    void *state;
    uint64_t size;
    struct image_rate rate;
    struct image_stop stop;
};

static int open_by(struct image *image, const struct image_backend *backend,
                   const struct image_options *options, struct error *err)
{
    int rc = backend->open(&image->chain, options, &image->state, &image->size, err);

    if (rc == 0)
        image->backend = backend;
    return rc;
}

/* Raw on its own needs no interpreter; everything else is QEMU's. */
static int open_backend(struct image *image, const struct image_options *options, struct error *err)
{
    struct image_chain *chain = &image->chain;
    int rc;

    if (strcmp(chain->nodes[0].format, "raw") == 0)
        return open_by(image, &image_backend_raw, options, err);
    if (!options->keep_cache)
        cache_guards_begin(chain);
    rc = image_chain_check_whole(chain, err);
    if (rc == 0)
        rc = open_by(image, &image_backend_placed, options, err);
    return rc == -EOPNOTSUPP ? open_by(image, &image_backend_nbd, options, err) : rc;
}

/* Whatever failed when all was to end: that is the reason. */
static int tell_stop(struct image *image, const char *path, int rc, struct error *err)
{
    if (rc < 0 && image_stop_is_set(&image->stop))
        return error_set(err, -ECANCELED, "%s: stopped", path);
    return rc;
}

int image_open(const char *path, const struct image_options *options, struct image **ret_image,
               struct error *err)
{
    static const struct image_options defaults;
    struct image *image = calloc(1, sizeof(*image));
    int rc;

    if (image == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", path);
    if (options == NULL)
        options = &defaults;
    image_rate_init(&image->rate, options->rate_bytes_per_s);
    image->stop.stopped = options->stopped;
    image->stop.context = options->context;
    rc = image_chain_open(path, options, &image->chain, err);
    if (rc == 0) {
        image->chain.stop = &image->stop;
        rc = open_backend(image, options, err);
    }
    rc = tell_stop(image, path, rc, err);
    image->stop.stopped = NULL;
    if (rc < 0) {
        image_close(image);
        return rc;
    }
    *ret_image = image;
    return 0;
}

void image_interrupt(struct image *image)
{
    atomic_store(&image->stop.interrupted, true);
}

void image_close(struct image *image)
{
    if (image == NULL)
        return;
    if (image->state != NULL)
        image->backend->close(image->state);
    cache_guards_free(&image->chain);
    image_chain_release(&image->chain);
    image_rate_destroy(&image->rate);
    free(image);
}

uint64_t image_size(const struct image *image)
{
    return image->size;
}

const char *image_format(const struct image *image)
{
    return image->chain.nodes[0].format;
}

const char *image_settings(const struct image *image)
{
    return image->chain.top_settings;
}

const struct image_layer *image_layers(const struct image *image, size_t *ret_count)
{
    *ret_count = image->chain.count;
    return image->chain.files;
}

bool image_is_direct(const struct image *image)
{
    return image->backend->is_direct(image->state);
}

bool image_is_in_use(const struct image *image)
{
    return image_chain_is_locked(&image->chain);
}

int image_next_extent(struct image *image, uint64_t offset, struct image_extent *ret_extent,
                      struct error *err)
{
    struct image_extent extent;
    int rc;

    if (offset >= image->size)
        return error_set(err, -ENXIO, "%s ends at byte %llu", image->chain.files[0].path,
                         (unsigned long long)image->size);
    rc = image_stop_is_set(&image->stop) ? -ECANCELED : 0;
    if (rc == 0)
        rc = image->backend->next_extent(image->state, offset, &extent, err);
    if (rc == 0)
        *ret_extent = extent;
    return tell_stop(image, image->chain.files[0].path, rc, err);
}

int image_read(struct image *image, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    int rc;

    if (offset > image->size || length > image->size - offset)
        return error_set(err, -EINVAL, "%s ends at byte %llu", image->chain.files[0].path,
                         (unsigned long long)image->size);
    rc = image_rate_wait(&image->rate, length, &image->stop);
    if (rc == 0)
        rc = image->backend->read(image->state, offset, length, buffer, err);
    return tell_stop(image, image->chain.files[0].path, rc, err);
}

int image_check_unchanged(struct image *image, struct error *err)
{
    return image_chain_check(&image->chain, false, err);
}

int image_check_content(struct image *image, struct error *err)
{
    return image_chain_check(&image->chain, true, err);
}
