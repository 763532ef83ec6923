/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw files and block devices, read directly. pread, not a mapping: a mapped
 * file that is cut short kills the program, and the copy costs little.
 *
 * SEEK_DATA tells holes, but in a range that was allocated and never written
 * (fallocate) its answer depends on which pages happen to be cached. There
 * FIEMAP decides, after one flush; and since a guest may write at any time,
 * what is called data there is looked at before it is called a hole.
 */
#include "image/backend.h"

#include "image/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAPPED_EXTENTS 64
/* What is looked at of an unwritten range at once. */
#define LOOK_BYTES ((size_t)64 << 10)
#define LOOK_GRAIN ((size_t)4096)
/* The kernel is asked for what lies so far ahead of the reading, in steps that it does not cut. */
#define AHEAD_BYTES ((uint64_t)2 << 20)
#define AHEAD_STEP  ((uint64_t)128 << 10)

struct raw {
    const struct image_layer *file;
    int fd;
    atomic_bool no_map;  /* FIEMAP is not to be had, or a block device */
    atomic_bool flushed; /* FIEMAP's answers are good: the file was flushed once */
    struct cache_guard *guard;
};

static int raw_open(const struct image_chain *chain, const struct image_options *options,
                    void **ret_state, uint64_t *ret_size, struct error *err)
{
    struct raw *raw = calloc(1, sizeof(*raw));

    if (raw == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    raw->file = &chain->files[0];
    raw->fd = chain->fds[0];
    raw->no_map = raw->file->is_block_device;
    if (!options->keep_cache)
        raw->guard = cache_guard_new(raw->fd, raw->file->size);
    (void)posix_fadvise(raw->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *ret_state = raw;
    *ret_size = raw->file->size;
    return 0;
}

static void raw_close(void *state)
{
    struct raw *raw = state;

    cache_guard_free(raw->guard);
    free(raw);
}

/* ---- reading -------------------------------------------------------------------------- */

static int cut_short(const struct raw *raw, struct error *err)
{
    return error_set(err, -ESTALE, "%s was cut short while it was read", raw->file->path);
}

static int read_all(const struct raw *raw, uint64_t offset, size_t length, void *buffer,
                    struct error *err)
{
    size_t done = 0;

    while (done < length) {
        ssize_t got = pread(raw->fd, (char *)buffer + done, length - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            uint64_t at = offset + done;

            return error_set(err, -errno, "%s cannot be read at byte %llu: %s", raw->file->path,
                             (unsigned long long)at, strerror(errno));
        }
        if (got == 0)
            return cut_short(raw, err);
        done += (size_t)got;
    }
    return 0;
}

/*
 * Several readers share the descriptor, which spoils the kernel's own guesses.
 * Each reads on where it stopped, so all but the end of what lies ahead was
 * asked for before; pages that are there are not asked for, which costs as well.
 */
static void ask_ahead(const struct raw *raw, uint64_t offset, size_t length)
{
    uint64_t size = raw->file->size, end;

    if (size - offset <= AHEAD_BYTES)
        return;
    offset += AHEAD_BYTES;
    end = length < size - offset ? offset + length : size;
    for (offset = (offset + AHEAD_STEP - 1) / AHEAD_STEP * AHEAD_STEP; offset < end;
         offset += AHEAD_STEP) {
        if (cache_guard_lacked(raw->guard, offset, AHEAD_STEP))
            (void)posix_fadvise(raw->fd, (off_t)offset, (off_t)AHEAD_STEP, POSIX_FADV_WILLNEED);
    }
}

static int raw_read(void *state, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    struct raw *raw = state;
    int rc;

    cache_guard_before(raw->guard, offset, length);
    ask_ahead(raw, offset, length);
    rc = read_all(raw, offset, length, buffer, err);
    cache_guard_after(raw->guard, offset, length);
    return rc;
}

/* ---- extents --------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *bytes, size_t length)
{
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/*
 * The first unwritten range in [offset, end): true and its bounds, which are
 * within. False: none up to *ret_start, which is then how far was looked.
 */
static bool find_unwritten(struct raw *raw, uint64_t offset, uint64_t end, uint64_t *ret_start,
                           uint64_t *ret_end)
{
    union {
        struct fiemap map;
        char room[sizeof(struct fiemap) + MAPPED_EXTENTS * sizeof(struct fiemap_extent)];
    } answer = {
        .map = {.fm_start = offset, .fm_length = end - offset, .fm_extent_count = MAPPED_EXTENTS}};
    const struct fiemap_extent *extents = answer.map.fm_extents;
    uint64_t looked = offset;

    *ret_start = end;
    if (raw->no_map)
        return false;
    if (ioctl(raw->fd, FS_IOC_FIEMAP, &answer.map) < 0) {
        raw->no_map = true;
        return false;
    }
    for (uint32_t i = 0; i < answer.map.fm_mapped_extents; i++) {
        uint64_t start = extents[i].fe_logical, stop = start + extents[i].fe_length;

        if (stop <= offset || start >= end)
            continue;
        looked = stop < end ? stop : end;
        if ((extents[i].fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0) {
            *ret_start = start > offset ? start : offset;
            *ret_end = looked;
            return true;
        }
    }
    if (answer.map.fm_mapped_extents == MAPPED_EXTENTS && looked > offset)
        *ret_start = looked;
    return false;
}

/* A range that is cached although it was never written: by its content, LOOK_BYTES at most. */
static int look_at_content(struct raw *raw, uint64_t offset, uint64_t end,
                           struct image_extent *ret_extent, struct error *err)
{
    uint8_t bytes[LOOK_BYTES];
    size_t length = end - offset < LOOK_BYTES ? (size_t)(end - offset) : LOOK_BYTES, at = 0;
    bool zero = false;
    int rc = raw_read(raw, offset, length, bytes, err);

    if (rc < 0)
        return rc;
    while (at < length) {
        size_t grain = LOOK_GRAIN - (size_t)((offset + at) % LOOK_GRAIN);
        bool this_zero;

        if (grain > length - at)
            grain = length - at;
        this_zero = is_zero(bytes + at, grain);
        if (at > 0 && this_zero != zero)
            break;
        zero = this_zero;
        at += grain;
    }
    *ret_extent = (struct image_extent){offset, at, zero ? IMAGE_HOLE : IMAGE_DATA};
    return 0;
}

/* [offset, end) is data as SEEK_DATA sees it. */
static int split_data(struct raw *raw, uint64_t offset, uint64_t end,
                      struct image_extent *ret_extent, struct error *err)
{
    uint64_t start, stop;
    bool found = find_unwritten(raw, offset, end, &start, &stop);

    if (found && !atomic_exchange(&raw->flushed, true)) {
        /* What was written and is not on the disk yet still counts as unwritten. */
        struct fiemap map = {.fm_length = UINT64_MAX, .fm_flags = FIEMAP_FLAG_SYNC};

        (void)ioctl(raw->fd, FS_IOC_FIEMAP, &map);
        found = find_unwritten(raw, offset, end, &start, &stop);
    }
    if (found && start == offset)
        return look_at_content(raw, offset, stop, ret_extent, err);
    *ret_extent = (struct image_extent){offset, start - offset, IMAGE_DATA};
    return 0;
}

static int raw_next_extent(void *state, uint64_t offset, struct image_extent *ret_extent,
                           struct error *err)
{
    struct raw *raw = state;
    uint64_t size = raw->file->size;
    off_t data, hole;
    struct stat status;

    *ret_extent = (struct image_extent){offset, size - offset, IMAGE_DATA};
    if (raw->file->is_block_device)
        return 0;
    data = lseek(raw->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
        if (fstat(raw->fd, &status) == 0 && (uint64_t)status.st_size < size)
            return cut_short(raw, err);
        ret_extent->kind = IMAGE_HOLE;
        return 0;
    }
    if (data < 0) /* a file system without SEEK_DATA */
        return 0;
    if ((uint64_t)data > offset) {
        ret_extent->kind = IMAGE_HOLE;
        if ((uint64_t)data < size)
            ret_extent->length = (uint64_t)data - offset;
        return 0;
    }
    hole = lseek(raw->fd, (off_t)offset, SEEK_HOLE);
    if (hole <= (off_t)offset || (uint64_t)hole > size)
        hole = (off_t)size;
    return split_data(raw, offset, (uint64_t)hole, ret_extent, err);
}

static bool raw_is_direct(const void *state)
{
    (void)state;
    return true;
}

const struct image_backend image_backend_raw = {
    .name = "raw",
    .open = raw_open,
    .close = raw_close,
    .is_direct = raw_is_direct,
    .next_extent = raw_next_extent,
    .read = raw_read,
};
