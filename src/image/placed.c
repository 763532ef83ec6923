/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 images whose data lies in their files as it is: QEMU says where, and it
 * is read there, without the way through qemu-nbd. What lies there only
 * compressed is left to qemu-nbd, and so is all of an image that is being
 * written: where its parts lie changes.
 */
#include "image/backend.h"

#include "image/cache.h"
#include "image/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

#define ASK_S 30.0 /* until QEMU has said all */
/*
 * The kernel reads on by itself where the file goes on. Where the image goes on elsewhere in it,
 * the kernel is asked for the beginning of what comes next, so far ahead in the image: a disk
 * can look for several parts at once.
 */
#define AHEAD_BYTES ((uint64_t)2 << 20)
#define AHEAD_PARTS 64
#define JUMP_BYTES  ((uint64_t)256 << 10)
/* It goes on there as well after a gap of so much; looked for so many parts back. */
#define NEAR_BYTES ((uint64_t)256 << 10)
#define NEAR_PARTS 4

struct placed {
    const struct image_chain *chain;
    struct image_layout layout;
    _Atomic uint64_t asked; /* up to there the kernel was asked for what comes next */
    void *rest; /* image_backend_nbd's state, for data that is not placed; NULL: there is none */
};

static void placed_close(void *state)
{
    struct placed *placed = state;

    if (placed->rest != NULL)
        image_backend_nbd.close(placed->rest);
    image_layout_release(&placed->layout);
    free(placed);
}

static int ask(struct placed *placed, const struct image_options *options, bool *ret_has_rest)
{
    const struct image_chain *chain = placed->chain;
    double patience_s = options->patience_s > 0 ? fmin(ASK_S, options->patience_s) : ASK_S;
    uint64_t in_files, others;
    int rc;

    if (strcmp(chain->nodes[0].format, "qcow2") != 0 || image_chain_is_locked(chain))
        return -EOPNOTSUPP;
    rc = image_layout_ask(chain, options->only_top, patience_s, &placed->layout);
    if (rc < 0)
        return rc;
    image_layout_count(&placed->layout, &in_files, &others);
    /* Who began to write meanwhile may have moved what was told already. */
    if ((in_files == 0 && others > 0) || image_chain_is_locked(chain))
        return -EOPNOTSUPP;
    *ret_has_rest = others > 0;
    return 0;
}

static int open_rest(struct placed *placed, const struct image_options *options, struct error *err)
{
    uint64_t size;
    int rc = image_backend_nbd.open(placed->chain, options, &placed->rest, &size, err);

    return rc == 0 && size != placed->layout.end ? -EOPNOTSUPP : rc;
}

static int placed_open(const struct image_chain *chain, const struct image_options *options,
                       void **ret_state, uint64_t *ret_size, struct error *err)
{
    struct placed *placed = calloc(1, sizeof(*placed));
    bool has_rest;
    int rc;

    if (placed == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    placed->chain = chain;
    rc = ask(placed, options, &has_rest);
    if (rc < 0 && rc != -ECANCELED)
        rc = -EOPNOTSUPP;
    if (rc == 0 && has_rest)
        rc = open_rest(placed, options, err);
    if (rc < 0) {
        placed_close(placed);
        return rc;
    }
    for (size_t i = 0; i < chain->count; i++)
        (void)posix_fadvise(chain->fds[i], 0, 0, POSIX_FADV_SEQUENTIAL);
    *ret_state = placed;
    *ret_size = placed->layout.end;
    return 0;
}

/* The data before it in the image lies before it in the file as well. */
static bool lies_behind(const struct image_layout *layout, const struct layout_part *part)
{
    const struct layout_part *before = part;

    while (before > layout->parts && part - before < NEAR_PARTS) {
        uint64_t end;

        before--;
        end = before->place + (before[1].offset - before->offset);
        if (before->is_placed)
            return before->where == part->where && part->place >= end &&
                   part->place - end <= NEAR_BYTES;
    }
    return false;
}

static void ask_for(const struct placed *placed, const struct layout_part *part, uint64_t length)
{
    if (length > JUMP_BYTES)
        length = JUMP_BYTES;
    if (cache_guard_lacked(placed->chain->guards[part->where], part->place, length))
        (void)posix_fadvise(placed->chain->fds[part->where], (off_t)part->place, (off_t)length,
                            POSIX_FADV_WILLNEED);
}

/*
 * Asks for parts that begin behind `offset`. Several readers may ask for one
 * at the same time, which does no harm.
 */
static void ask_ahead(struct placed *placed, uint64_t offset)
{
    uint64_t asked = placed->asked, at = offset, left = AHEAD_BYTES;

    if (placed->chain->guards == NULL)
        return;
    for (int parts = 0; at < placed->layout.end && left > 0 && parts < AHEAD_PARTS; parts++) {
        uint64_t end;
        const struct layout_part *part = image_layout_find(&placed->layout, at, &end);
        uint64_t length = end - at;

        if (part->is_placed && part->offset == at && at >= asked &&
            !lies_behind(&placed->layout, part))
            ask_for(placed, part, length);
        if (part->kind == IMAGE_DATA)
            left -= length < left ? length : left;
        at = end;
    }
    if (at > asked)
        placed->asked = at;
}

/* What lies behind the end that the file had from the beginning are zeroes, as QEMU sees it. */
static int read_file(const struct placed *placed, const struct layout_part *part, uint64_t skip,
                     size_t length, char *buffer, struct error *err)
{
    const struct image_layer *file = &placed->chain->files[part->where];
    uint64_t place = part->place + skip;
    size_t done = 0;

    while (done < length && place + done < file->size) {
        uint64_t at = place + done;
        ssize_t got =
            pread(placed->chain->fds[part->where], buffer + done, length - done, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, -errno, "%s cannot be read at byte %llu: %s", file->path,
                             (unsigned long long)at, strerror(errno));
        if (got == 0)
            return error_set(err, -ESTALE, "%s was cut short while it was read", file->path);
        done += (size_t)got;
    }
    memset(buffer + done, 0, length - done);
    return 0;
}

static int placed_read(void *state, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    struct placed *placed = state;
    size_t done = 0;
    int rc = 0;

    ask_ahead(placed, offset + length);
    while (done < length && rc == 0) {
        uint64_t at = offset + done, end;
        const struct layout_part *part = image_layout_find(&placed->layout, at, &end);
        size_t piece = end - at < length - done ? (size_t)(end - at) : length - done;

        if (part->is_placed)
            rc = read_file(placed, part, at - part->offset, piece, (char *)buffer + done, err);
        else if (part->kind == IMAGE_DATA)
            rc = image_backend_nbd.read(placed->rest, at, piece, (char *)buffer + done, err);
        else
            memset((char *)buffer + done, 0, piece);
        done += piece;
    }
    cache_guards_after(placed->chain, length);
    /* What is read beyond the first loss of a file would be something else. */
    return rc < 0 ? rc : image_chain_check_sizes(placed->chain, err);
}

static int placed_next_extent(void *state, uint64_t offset, struct image_extent *ret_extent,
                              struct error *err)
{
    const struct placed *placed = state;
    uint64_t end;
    const struct layout_part *part = image_layout_find(&placed->layout, offset, &end);

    (void)err;
    *ret_extent = (struct image_extent){offset, end - offset, part->kind};
    return 0;
}

static bool placed_is_direct(const void *state)
{
    const struct placed *placed = state;

    return placed->rest == NULL;
}

const struct image_backend image_backend_placed = {
    .name = "placed",
    .open = placed_open,
    .close = placed_close,
    .is_direct = placed_is_direct,
    .next_extent = placed_next_extent,
    .read = placed_read,
};
