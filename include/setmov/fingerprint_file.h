/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The effectful side of fingerprint/: an image is read once and becomes one
 * fingerprint file or several, and fingerprint files are mapped.
 *
 * Thread safety: a struct fingerprint_file is only read and may be shared;
 * fingerprint_build() makes its own threads and ends them before it returns.
 */
#ifndef SETMOV_FINGERPRINT_FILE_H
#define SETMOV_FINGERPRINT_FILE_H

#include "setmov/fingerprint.h"
#include "setmov/image.h"

/* ---- files ------------------------------------------------------------------ */

/* What of a fingerprint is wanted; only so much is read and has its checksum compared. */
enum fingerprint_parts {
    FINGERPRINT_PART_HEAD = 0,        /* header, table of sections, layers: always */
    FINGERPRINT_PART_SKETCH = 1 << 0, /* beginning of digests and places, the frequent ones */
    FINGERPRINT_PART_BLOOM = 1 << 1,
    FINGERPRINT_PART_DIGESTS = 1 << 2, /* all digests and places, the frequent ones */
    FINGERPRINT_PART_ALL = 7,
};

struct fingerprint_file {
    struct fingerprint_view view; /* pointers of parts that were not asked for are NULL */
    struct fingerprint_head head;
    char *path; /* as it was given; NULL of a nameless file */
    uint64_t file_length;
    bool in_part; /* only the sketch's digests are here, not totals.distinct */
};

/* Is it a fingerprint file, judged by its first bytes? False too where it cannot be read. */
bool fingerprint_file_is(const char *path);

/*
 * Maps a fingerprint file. With FINGERPRINT_PART_SKETCH alone view.digests and
 * view.places hold only view.sketch_count digests. `verify_order` as well:
 * fingerprint_verify_order(), for files that somebody else made (only with
 * FINGERPRINT_PART_ALL). -EINVAL: none, or damaged; -ENOTSUP: another version;
 * -EISDIR, -EINVAL for what is no regular file; never waits for a FIFO. The
 * message names the path.
 */
int fingerprint_file_open(const char *path, unsigned parts, bool verify_order,
                          struct fingerprint_file **ret_file, struct error *err);

/* NULL is fine. */
void fingerprint_file_close(struct fingerprint_file *file);

/*
 * A mapped file that somebody cuts short would kill the process (SIGBUS). A
 * program that calls this once at its start is spared: what is lost reads as
 * zeroes, and fingerprint_file_check() says so afterwards. Faults of other
 * mappings end the process as ever. A library's user who has a handler of his
 * own does not call this.
 */
int fingerprint_file_guard_install(struct error *err);

/* The same for another mapping of a file, which is guarded from here on. */
struct file_guard;
struct file_guard *file_guard_add(const void *base, size_t length); /* NULL: no memory */
/* Was something of it read that is not there any more? */
bool file_guard_lost(const struct file_guard *guard);
/* Before the mapping goes. NULL is fine. */
void file_guard_remove(struct file_guard *guard);

/* Did all that was read of the file come from the file? -EIO: it was cut short meanwhile. */
int fingerprint_file_check(const struct fingerprint_file *file, struct error *err);

/* ---- the key of keyed digests -------------------------------------------------- */

/*
 * That a regular file holds: 32 bytes as they are, or 64 hexadecimal digits in
 * one line. Never waits for what stands there instead.
 */
int fingerprint_key_read(const char *path, uint8_t ret_key[DIGEST_KEY_BYTES], struct error *err);

/* ---- building --------------------------------------------------------------- */

/* One fingerprint to make. */
struct fingerprint_wish {
    enum digest_kind kind;
    uint32_t block_size;
    const uint8_t *key; /* DIGEST_KEY_BYTES, for DIGEST_KEYED_SHA256, else NULL */
    /*
     * Written beside it (".NAME.XXXXXX.tmp") and renamed, over what is there,
     * only when all is well. NULL: a nameless file in the temporary directory.
     */
    const char *path;
};

struct fingerprint_progress {
    uint64_t bytes_done; /* of data, that is, without holes */
    uint64_t
        bytes_known; /* data to read as far as is known by now; grows while extents are found */
    uint64_t offset; /* up to here everything was looked at, of virtual_size */
    uint64_t virtual_size;
    double finishing; /* 0 while there is something to read; then up to 1: sorted and written */
};

/* More threads than these are not made. */
#define FINGERPRINT_MAX_THREADS 64

struct fingerprint_build_options {
    /*
     * That read and digest; 0: one a processor this process may use, at most 8. Two more
     * read where QEMU interprets the image.
     */
    unsigned threads;
    size_t memory_bytes; /* for digests that are not on disk; 0: 512 MiB; at least 16 MiB is used */
    const char
        *temporary; /* directory of spilled runs and nameless files; NULL: $TMPDIR or /var/tmp */
    bool sync; /* a file is on the disk before it gets its name: whole after a power failure too */
    bool content_sha256; /* of the whole guest-visible content too: takes longer */
    /* Called about ten times a second, from the thread that called; may be NULL. */
    void (*progress)(void *context, const struct fingerprint_progress *progress);
    /* Asked as often; true ends the work with -ECANCELED. May be NULL. */
    bool (*stopped)(void *context);
    void *context;
};

/*
 * Reads the image once and makes all fingerprints that are wished for. On
 * failure none of the files is new, but for a rename that fails after others
 * went well, which takes a fault of the filesystem; and the image is good for
 * nothing but being closed. `options` may be NULL;
 * ret_files (may be NULL) gets one mapped file a wish, to be closed by the
 * caller. -ESTALE: the image changed while it was read and no VM holds it; one
 * that a VM writes becomes a provisional fingerprint instead. -ENOSPC and
 * other errors of writing name the path.
 */
int fingerprint_build(struct image *image, const struct fingerprint_wish *wishes, size_t count,
                      const struct fingerprint_build_options *options,
                      struct fingerprint_file **ret_files, struct error *err);

#endif
