/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leases: files that say how long an image that was made here waits for its VM.
 * The lease of an image that is there and serves once more is prolonged, so that
 * setmov gc does not take it away before this VM, too, is here: the image is locked
 * meanwhile, and gc looks at the lease again when it has the lock. What has none is
 * nobody's to remove, and gets none.
 */
#include "transfer/apply.h"

#include "setmov/base_new_file.h"
#include "setmov/catalog.h"
#include "setmov/catalog_request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The lease is found by the image's path. The caller frees; NULL: no memory. */
static char *lease_path(const struct apply *apply, const struct apply_image *image)
{
    char hash[CATALOG_HASH_BYTES];
    char *path;

    catalog_hash(image->plan->path, hash);
    if (asprintf(&path, "%s/%s" CATALOG_LEASE_SUFFIX, apply->options->leases, hash) < 0)
        return NULL;
    return path;
}

static int write_lease(const struct apply *apply, const struct apply_image *image, int64_t made_s,
                       int64_t expires_s, struct error *err)
{
    const struct catalog_lease lease = {.vm = apply->plan->vm,
                                        .path = image->plan->path,
                                        .device = image->device,
                                        .inode = image->inode,
                                        .made_s = made_s,
                                        .expires_s = expires_s};
    CLEANUP(cleanup_free) char *path = lease_path(apply, image);
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    int rc;

    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = catalog_lease_encode(&lease, &text, &length, err);
    return rc == 0 ? new_file_replace(path, text, length, true, err) : rc;
}

static int64_t expiry(const struct apply *apply, int64_t now_s)
{
    uint64_t lease_s = apply->options->lease_s;

    return lease_s > (uint64_t)(INT64_MAX - now_s) ? INT64_MAX : now_s + (int64_t)lease_s;
}

/* The file was made before, which is how setmov gc knows that the lease means it. */
int apply_lease_write(const struct apply *apply, struct apply_image *image, struct error *err)
{
    int64_t now_s = time(NULL);

    image->leased = true; /* it may be there although this fails */
    return write_lease(apply, image, now_s, expiry(apply, now_s), err);
}

void apply_lease_drop(const struct apply *apply, struct apply_image *image)
{
    CLEANUP(cleanup_free) char *path = NULL;

    if (!image->leased)
        return;
    path = lease_path(apply, image);
    if (path != NULL)
        unlink(path);
    image->leased = false;
}

/* ---- of images that serve once more ----------------------------------------------- */

/* True, and the lease: the image has one. */
static bool read_lease(const struct apply *apply, const struct apply_image *image,
                       struct catalog_lease *ret_lease)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {0};
    CLEANUP(cleanup_free) char *path = lease_path(apply, image);
    struct catalog_lease lease;
    struct error why;

    if (path == NULL || file_read(AT_FDCWD, path, &buffer) < 0 ||
        catalog_lease_parse(text_of(buffer.bytes, buffer.length), path, &lease, &why) < 0)
        return false;
    if (lease.device == image->device && lease.inode == image->inode) {
        *ret_lease = lease;
        return true;
    }
    catalog_lease_release(&lease);
    return false;
}

int apply_lease_prolong(const struct apply *apply, const struct apply_image *image,
                        struct error *err)
{
    int64_t expires_s = expiry(apply, time(NULL));
    struct catalog_lease lease;
    int rc = 0;

    if (!read_lease(apply, image, &lease))
        return 0;
    if (lease.expires_s < expires_s)
        rc = write_lease(apply, image, lease.made_s, expires_s, err);
    catalog_lease_release(&lease);
    return rc;
}
