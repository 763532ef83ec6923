/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A raw image is a file, which is as long as the disk and sparse. */
#include "image/write.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#define ZEROES_BYTES ((size_t)64 << 10)

static int raw_begin(const struct write_place *place, const struct image_write_options *options,
                     void **ret_state, struct error *err)
{
    if (ftruncate(place->fd, (off_t)options->virtual_size) < 0)
        return error_set(err, -errno, "%s: cannot be %llu bytes long: %s", place->path,
                         (unsigned long long)options->virtual_size, strerror(errno));
    *ret_state = (void *)place; /* it needs nothing else, and does not change it */
    return 0;
}

static int raw_write(void *state, uint64_t offset, const void *bytes, size_t length,
                     struct error *err)
{
    const struct write_place *place = state;
    size_t done = 0;

    while (done < length) {
        uint64_t at = offset + done;
        ssize_t written = pwrite(place->fd, (const char *)bytes + done, length - done, (off_t)at);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            int code = written < 0 ? errno : ENOSPC;

            return error_set(err, -code, "%s: cannot be written at byte %llu: %s", place->path,
                             (unsigned long long)at, strerror(code));
        }
        done += (size_t)written;
    }
    return 0;
}

static int raw_zero(void *state, uint64_t offset, uint64_t length, struct error *err)
{
    static const char zeroes[ZEROES_BYTES];
    const struct write_place *place = state;
    int rc = 0;

    if (length == 0 || fallocate(place->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 (off_t)offset, (off_t)length) == 0)
        return 0;
    /* Not every file system makes holes. */
    while (length > 0 && rc == 0) {
        size_t piece = length < sizeof(zeroes) ? (size_t)length : sizeof(zeroes);

        rc = raw_write(state, offset, zeroes, piece, err);
        offset += piece;
        length -= piece;
    }
    return rc;
}

static int raw_read(void *state, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    const struct write_place *place = state;
    size_t done = 0;

    while (done < length) {
        uint64_t at = offset + done;
        ssize_t got = pread(place->fd, (char *)buffer + done, length - done, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_set(err, got < 0 ? -errno : -EIO, "%s: cannot be read back at byte %llu",
                             place->path, (unsigned long long)at);
        done += (size_t)got;
    }
    return 0;
}

static int raw_finish(void *state, struct error *err)
{
    (void)state;
    (void)err;
    return 0;
}

static void raw_end(void *state)
{
    (void)state;
}

const struct write_way write_way_raw = {
    .begin = raw_begin,
    .write = raw_write,
    .zero = raw_zero,
    .read = raw_read,
    .finish = raw_finish,
    .end = raw_end,
};
