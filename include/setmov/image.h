/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage image/: a disk image as the guest sees it, as runs of data. Raw files
 * and block devices are read directly, other formats with the help of qemu-img
 * and through qemu-nbd on a private UNIX socket and libnbd. Effects throughout.
 *
 * Thread safety: image_read, image_next_extent and image_interrupt may be called from
 * several threads on one image; open and close from one, which lives on in between
 * (its qemu-nbd ends with it).
 *
 * Speed: raw files are read as they are, and so is a qcow2 image that nobody writes
 * and that is not compressed: qemu-img says where its data lies. All else comes through
 * qemu-nbd, which serves in one thread, that has enough to do while two threads or more
 * always wait for it.
 */
#ifndef SETMOV_IMAGE_H
#define SETMOV_IMAGE_H

#include "setmov/base.h"

#include <time.h>

#define IMAGE_MAX_LAYERS 64

/*
 * One file of the image, as it was when it was opened: a layer of the backing
 * chain, a data file of qcow2, a part of a split VMDK (behind their layer). Of
 * a block device only number (as `device`) and size are known.
 */
struct image_layer {
    char *path;   /* absolute, symbolic links resolved */
    char *format; /* "raw", "qcow2" ... */
    uint64_t device, inode, size;
    struct timespec modified, changed;
    bool is_block_device;
};

struct image_options {
    const char *format;          /* NULL: raw for block devices and unknown content, else probed */
    bool follow_backing_outside; /* backing files outside the image's own directory and `allowed` */
    const char *const
        *allowed;              /* further directories for backing files, NULL at the end; or NULL */
    uint64_t rate_bytes_per_s; /* 0: as fast as it goes */
    bool keep_cache;           /* do not drop from the page cache what was not there before */
    /*
     * Only the top layer, as if it had no backing image: what it does not hold is
     * IMAGE_HOLE, what it says is zero IMAGE_ZERO; both read as zeroes.
     */
    bool only_top;
    unsigned connections; /* to qemu-nbd; 0: default */
    double patience_s;    /* how long it may be silent; 0: 60 s, and 30 s while it opens */
    /*
     * Asked about ten times a second while image_open() waits, by its thread; true
     * ends it with -ECANCELED. May be NULL. Afterwards there is image_interrupt().
     */
    bool (*stopped)(void *context);
    void *context;
};

struct image;

/*
 * Refuses, with one line that names the path: a directory, a FIFO, a socket,
 * an encrypted image, a backing file outside what is allowed, a loop in the
 * chain, sizes near 2^63; a name in an image that QEMU would take as a
 * protocol, always. An image in use by a running VM is opened all the same,
 * no lock is taken, and image_is_in_use says so. Who knows the format says
 * it: a guest can write a qcow2 header into its raw disk. `options` may be NULL.
 */
int image_open(const char *path, const struct image_options *options, struct image **ret_image,
               struct error *err);
/*
 * For good, and from any thread: reads and questions for extents that are under
 * way, or come later, soon end with -ECANCELED, whatever they wait for but the
 * kernel (a disk that hangs).
 */
void image_interrupt(struct image *image);
/* Ends qemu-nbd and removes the socket. NULL is fine. */
void image_close(struct image *image);

uint64_t image_size(const struct image *image); /* virtual size, bytes */
const char *image_format(const struct image *image);
/*
 * How the top layer is laid out, for image_write_options.settings of an image that
 * shall be alike: "compat=1.1,cluster_size=65536,..." of qcow2; "" of other formats.
 * Kept until the image is closed.
 */
const char *image_settings(const struct image *image);
const struct image_layer *image_layers(const struct image *image,
                                       size_t *ret_count); /* top first */
/* Reading means the files alone; else a process of QEMU's has to be waited for. */
bool image_is_direct(const struct image *image);
bool image_is_in_use(const struct image *image); /* now: somebody holds a write lock on a layer */

enum image_extent_kind { IMAGE_DATA, IMAGE_ZERO, IMAGE_HOLE };

struct image_extent {
    uint64_t offset, length;
    enum image_extent_kind kind;
};

/*
 * The extent that begins at `offset`, as long as its kind lasts (neighbours of
 * one kind may still come one by one). -ENXIO at or behind the end.
 */
int image_next_extent(struct image *image, uint64_t offset, struct image_extent *ret_extent,
                      struct error *err);

/* Reads all `length` bytes at `offset`, within the size. A file cut short meanwhile: -ESTALE. */
int image_read(struct image *image, uint64_t offset, size_t length, void *buffer,
               struct error *err);

/*
 * What image_layers() would say of the image, and the same refusals, but nothing
 * is started and nothing read but headers: to tell whether it is still what it
 * was. The caller frees.
 */
int image_look(const char *path, const struct image_options *options,
               struct image_layer **ret_layers, size_t *ret_count, struct error *err);
void image_layers_free(struct image_layer *layers, size_t count);

/*
 * Does the file or directory lie on a file system without files of its own
 * (/proc, /sys)? What looks like one there has no end, or effects: image_open()
 * refuses it, a search of directories leaves it out.
 */
bool image_is_made_up(int fd);

/*
 * Looks again at every layer: -ESTALE, naming it, when one was changed,
 * replaced, cut short or removed since the open.
 */
int image_check_unchanged(struct image *image, struct error *err);
/*
 * The same, but owner and mode may change (the change time is not looked at):
 * libvirt gives an image to QEMU while somebody else still reads it.
 */
int image_check_content(struct image *image, struct error *err);

#endif
