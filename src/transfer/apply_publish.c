/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole images get their leases, and then their names: all of them or none. */
#include "transfer/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Only the file that was made here. False: it may still be there, or come back. */
static bool unname(const struct apply_image *image)
{
    CLEANUP(cleanup_close) int directory = -1;
    struct stat status;

    if (image->published &&
        fstatat(image->directory, image->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_dev == image->device && status.st_ino == image->inode &&
        unlinkat(image->directory, image->name, 0) < 0)
        return false;
    /* The one that is held was not opened for that. */
    directory = openat(image->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory >= 0 && fsync(directory) == 0;
}

/* The lease goes last: setmov gc removes what has one. */
static void take_back(const struct apply *apply, struct apply_image *image)
{
    if (image->leased && unname(image))
        apply_lease_drop(apply, image);
    image->published = false;
}

static int finish_all(struct apply *apply, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < apply->plan->image_count && rc == 0; i++) {
        struct apply_image *image = &apply->images[i];

        if (image->write == NULL)
            continue;
        if (!apply_tick(apply))
            return error_set(err, -ECANCELED, "stopped");
        rc = image_write_finish(image->write, err);
        apply_moved(apply);
        if (rc == 0)
            rc = image_write_identity(image->write, &image->device, &image->inode);
    }
    return rc;
}

static int lease_all(struct apply *apply, struct error *err)
{
    int rc = apply_directory_make(apply->options->leases, err);

    for (size_t i = 0; i < apply->plan->image_count && rc == 0; i++) {
        rc = apply->images[i].write != NULL ? apply_lease_write(apply, &apply->images[i], err)
                                            : apply_lease_prolong(apply, &apply->images[i], err);
    }
    return rc;
}

static int name_all(struct apply *apply, struct error *err)
{
    struct transfer_apply_result *result = apply->result;
    int rc = array_reserve(&result->made, &result->made_capacity, apply->plan->image_count,
                           sizeof(*result->made));

    if (rc < 0)
        return error_set(err, rc, "out of memory");
    for (size_t i = 0; i < apply->plan->image_count && rc == 0; i++) {
        struct apply_image *image = &apply->images[i];

        if (image->write == NULL)
            continue;
        rc = image_write_publish(image->write, err);
        if (rc == 0) {
            image->published = true;
            result->made[result->made_count++] =
                (struct transfer_applied){(uint32_t)i, image->device, image->inode};
        }
    }
    return rc;
}

int apply_publish(struct apply *apply, struct error *err)
{
    int rc = finish_all(apply, err);

    if (rc == 0)
        rc = lease_all(apply, err);
    if (rc == 0 && !apply_tick(apply))
        rc = error_set(err, -ECANCELED, "stopped");
    if (rc == 0)
        rc = name_all(apply, err);
    if (rc == 0)
        return 0;
    for (size_t i = 0; i < apply->plan->image_count; i++)
        take_back(apply, &apply->images[i]);
    apply->result->made_count = 0;
    return rc;
}
