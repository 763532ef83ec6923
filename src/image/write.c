/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image that is made: what is asked of it is checked, and handed to the way that writes it. */
#include "image/write.h"

#include "image/header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define SECTOR ((uint64_t)512)
/* Where something was written is known in pieces of so much, or of more where it is large. */
#define TOUCHED_PIECE ((uint64_t)1 << 20)
/* So much is written before the disk is told to begin with it. */
#define WRITEBACK_BYTES ((uint64_t)32 << 20)
#define TOUCHED_MOST    ((uint64_t)1 << 24)

struct image_write {
    char *path;
    struct write_place place;
    const struct write_way *way;
    void *state; /* of the way; NULL: ended */
    uint64_t size;
    bool has_backing, finished, published;
    atomic_bool failed; /* something could not be written */
    atomic_uchar *touched;
    uint64_t touched_piece;
    struct write_cover cover;     /* with a backing image */
    atomic_uint_fast64_t waiting; /* bytes that were written since the disk was told to begin */
};

/* ---- options ---------------------------------------------------------------------------------- */

static bool is_written(const char *format)
{
    static const char *const formats[] = {"raw", "qcow2", "vmdk", "vdi", "vhdx"};

    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        if (strcmp(format, formats[i]) == 0)
            return true;
    }
    return false;
}

static int check_backing(const struct image_write_options *options, struct error *err)
{
    const char *backing = options->backing;

    if (backing == NULL)
        return 0;
    if (strcmp(options->format, "qcow2") != 0)
        return error_set(err, -ENOTSUP, "%s images on a backing image are not made",
                         options->format);
    if (backing[0] != '/' || strlen(backing) >= IMAGE_NAME_ROOM)
        return error_set(err, -EINVAL, "the backing image is named by no absolute path");
    if (options->backing_format == NULL || image_format_find(options->backing_format) == NULL)
        return error_set(err, -EINVAL, "the format of the backing image is not known");
    return image_name_check(backing, err);
}

static int check_options(const struct image_write_options *options, struct error *err)
{
    int rc;

    if (options->format == NULL || !is_written(options->format))
        return error_set(err, -ENOTSUP, "images of format %s are not made",
                         options->format != NULL ? options->format : "(none)");
    if (options->virtual_size > IMAGE_MAX_SIZE)
        return error_set(err, -EFBIG, "its size is absurd: %llu bytes",
                         (unsigned long long)options->virtual_size);
    /* qemu-img would make it larger. */
    if (strcmp(options->format, "raw") != 0 && options->virtual_size % SECTOR != 0)
        return error_set(err, -EINVAL, "a %s image cannot be %llu bytes: no multiple of 512",
                         options->format, (unsigned long long)options->virtual_size);
    if ((options->mode & ~(uint32_t)0777) != 0)
        return error_set(err, -EINVAL, "its mode is none of a file");
    rc = check_backing(options, err);
    return rc < 0 ? rc : write_settings_check(options->format, options->settings, err);
}

/* ---- where something was written ----------------------------------------------------------- */

static int touched_init(struct image_write *image)
{
    image->touched_piece = TOUCHED_PIECE;
    while (image->size / image->touched_piece >= TOUCHED_MOST)
        image->touched_piece *= 2;
    image->touched = calloc((size_t)(image->size / image->touched_piece) + 1, 1);
    return image->touched != NULL ? 0 : -ENOMEM;
}

static void touch(struct image_write *image, uint64_t offset, uint64_t length)
{
    uint64_t last = (offset + length - 1) / image->touched_piece;

    for (uint64_t i = offset / image->touched_piece; i <= last; i++)
        atomic_store(&image->touched[i], 1);
}

static bool is_touched(struct image_write *image, uint64_t offset, uint64_t length)
{
    uint64_t last = (offset + length - 1) / image->touched_piece;

    for (uint64_t i = offset / image->touched_piece; i <= last; i++) {
        if (atomic_load(&image->touched[i]) != 0)
            return true;
    }
    return false;
}

/* ---- the image ---------------------------------------------------------------------------------- */

static int begin(struct image_write *image, const char *path, const char *root,
                 const struct image_write_options *options, struct error *err)
{
    int rc = check_options(options, err);

    if (rc < 0)
        return error_prefix(err, rc, "%s", path);
    image->size = options->virtual_size;
    image->has_backing = options->backing != NULL;
    if (image->has_backing)
        write_cover_init(&image->cover, image->size, write_settings_cluster(options->settings));
    image->path = strdup(path);
    if (image->path == NULL || touched_init(image) < 0)
        return error_set(err, -ENOMEM, "%s: out of memory", path);
    rc = write_place_open(image->path, root, options->mode, &image->place, err);
    if (rc < 0)
        return rc;
    image->way = strcmp(options->format, "raw") == 0 ? &write_way_raw : &write_way_nbd;
    return image->way->begin(&image->place, options, &image->state, err);
}

int image_write_new(const char *path, const char *root, const struct image_write_options *options,
                    struct image_write **ret_image, struct error *err)
{
    struct image_write *image = calloc(1, sizeof(*image));
    int rc;

    if (image == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", path);
    image->place.directory = image->place.fd = -1;
    rc = begin(image, path, root, options, err);
    if (rc < 0)
        image_write_close(image);
    else
        *ret_image = image;
    return rc;
}

static int check_range(const struct image_write *image, uint64_t offset, uint64_t length,
                       struct error *err)
{
    if (image->state == NULL)
        return error_set(err, -EINVAL, "%s: is finished already", image->path);
    if (offset > image->size || length > image->size - offset)
        return error_set(err, -EINVAL, "%s ends at byte %llu", image->path,
                         (unsigned long long)image->size);
    return 0;
}

/* Above a backing image it is told what was written. */
static int cover(struct image_write *image, uint64_t offset, uint64_t length, struct error *err)
{
    int rc = image->has_backing ? write_cover_add(&image->cover, offset, length) : 0;

    return rc < 0 ? error_set(err, rc, "%s: too many clusters are written in part", image->path)
                  : 0;
}

static int note(struct image_write *image, int rc)
{
    if (rc < 0)
        atomic_store(&image->failed, true);
    return rc;
}

/*
 * What is written goes to the disk while more of it comes: else all of it waits,
 * up to a good part of the memory, for a last fsync that takes minutes.
 */
static void begin_writeback(struct image_write *image, size_t length)
{
    if (atomic_fetch_add(&image->waiting, length) + length < WRITEBACK_BYTES)
        return;
    atomic_store(&image->waiting, 0);
    (void)sync_file_range(image->place.fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int image_write_at(struct image_write *image, uint64_t offset, const void *bytes, size_t length,
                   struct error *err)
{
    int rc = check_range(image, offset, length, err);

    if (rc < 0 || length == 0)
        return rc;
    touch(image, offset, length);
    rc = cover(image, offset, length, err);
    if (rc == 0)
        rc = image->way->write(image->state, offset, bytes, length, err);
    if (rc == 0)
        begin_writeback(image, length);
    return note(image, rc);
}

int image_write_zero(struct image_write *image, uint64_t offset, uint64_t length, struct error *err)
{
    int rc = check_range(image, offset, length, err);

    if (rc < 0 || length == 0)
        return rc;
    if (!image->has_backing && !is_touched(image, offset, length))
        return 0;
    rc = cover(image, offset, length, err);
    if (rc == 0)
        rc = image->way->zero(image->state, offset, length, err);
    return note(image, rc);
}

int image_write_read(struct image_write *image, uint64_t offset, size_t length, void *buffer,
                     struct error *err)
{
    int rc = check_range(image, offset, length, err);

    if (rc < 0 || length == 0)
        return rc;
    return image->way->read(image->state, offset, length, buffer, err);
}

int image_write_finish(struct image_write *image, struct error *err)
{
    uint64_t missing;
    int rc;

    if (image->state == NULL)
        return error_set(err, -EINVAL, "%s: is finished already", image->path);
    if (atomic_load(&image->failed))
        return error_set(err, -EIO, "%s: is not whole: a part of it could not be written",
                         image->path);
    if (image->has_backing && !write_cover_is_whole(&image->cover, &missing))
        return error_set(err, -EINVAL, "%s: its cluster at byte %llu was written in part",
                         image->path, (unsigned long long)missing);
    rc = image->way->finish(image->state, err);
    image->way->end(image->state);
    image->state = NULL;
    if (rc == 0)
        rc = write_place_sync(&image->place, err);
    (void)note(image, rc);
    image->finished = rc == 0;
    return rc;
}

int image_write_identity(const struct image_write *image, uint64_t *ret_device, uint64_t *ret_inode)
{
    struct stat status;

    if (fstat(image->place.fd, &status) < 0)
        return -errno;
    *ret_device = status.st_dev;
    *ret_inode = status.st_ino;
    return 0;
}

int image_write_publish(struct image_write *image, struct error *err)
{
    int rc;

    if (!image->finished || image->published)
        return error_set(err, -EINVAL, "%s: %s", image->path,
                         image->published ? "has its name already" : "is not finished");
    rc = write_place_publish(&image->place, err);
    image->published = rc == 0;
    return rc;
}

void image_write_close(struct image_write *image)
{
    if (image == NULL)
        return;
    if (image->state != NULL)
        image->way->end(image->state);
    write_place_release(&image->place);
    write_cover_release(&image->cover);
    free(image->touched);
    free(image->path);
    free(image);
}
