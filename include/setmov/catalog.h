/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage catalog/: which host holds what. An index directory is flat and holds
 * fingerprint files, one for each image, digest and block size, named by what
 * they describe, a lock, what is being written, what it tells other hosts, and
 * the requests of hooks:
 *
 *   5f0c...e1.sha256-4096.fingerprint   SHA-256 of the image's path (first 128 bits, hex),
 *                                       digest ("md5", "sha256", "keyed-KEYID"), block size;
 *                                       the path is resolved: that of the top layer
 *   lock                                held (flock) by whoever changes the directory
 *   .NAME.XXXXXX.tmp                    unfinished; removed by the next holder of the lock
 *   manifest                            names and checksums of the fingerprints, and the VMs, for
 *                                       other hosts (catalog_manifest.h)
 *   UUID.request                        that VM should move (catalog_request.h)
 *
 * On this host nothing depends on a list that could disagree with the
 * fingerprints: the directory is the index, each file complete in itself,
 * replaced only by rename. All of it may be read by the peers; leases, which
 * concern nobody else, lie elsewhere.
 *
 * Thread safety: a struct catalog may be read by several threads.
 */
#ifndef SETMOV_CATALOG_H
#define SETMOV_CATALOG_H

#include "setmov/fingerprint_file.h"

#define CATALOG_SUFFIX ".fingerprint"
/* A merged index (catalog_merged.h) that is so named is not taken for an image. */
#define CATALOG_MERGED_SUFFIX ".merged"

/* ---- reading ---------------------------------------------------------------- */

/* Which fingerprints: only those of one kind compare. */
struct catalog_kind {
    enum digest_kind kind;
    uint32_t block_size; /* 0: any */
    uint8_t key_id[8];   /* for DIGEST_KEYED_SHA256 */
    bool any;            /* whatever there is */
};

/* ---- names (pure) ---- */

#define CATALOG_HASH_BYTES 33 /* 32 hexadecimal digits and a NUL */
#define CATALOG_NAME_BYTES 96

/* What stands for an image's (resolved) path in the names of its fingerprints: its id in manifests. */
void catalog_hash(const char *path, char ret_hash[CATALOG_HASH_BYTES]);

/* "HASH.sha256-4096.fingerprint"; the kind is a whole one: not any, block size not 0. */
void catalog_name_make(const char *hash, const struct catalog_kind *kind,
                       char ret_name[CATALOG_NAME_BYTES]);

/* False when it is no such name; one that is can be no path. */
bool catalog_name_parse(const char *name, char ret_hash[CATALOG_HASH_BYTES],
                        struct catalog_kind *ret_kind);

/* "sha256-4096.merged": the merged index of a whole kind in a cache (catalog_known.h). */
void catalog_merged_name(const struct catalog_kind *kind, char ret_name[CATALOG_NAME_BYTES]);

/* Does a fingerprint of kind `have` (a whole one) answer a question for `want`? */
bool catalog_kind_fits(const struct catalog_kind *want, const struct catalog_kind *have);

/* A fingerprint that could not be used, and why. */
struct catalog_problem {
    char *path;
    struct error error;
};

/* What an index directory holds of one kind. */
struct catalog {
    char *directory;
    struct fingerprint_file **files; /* by path of the image, ascending */
    size_t count, capacity;
    struct catalog_problem *problems;
    size_t problem_count, problem_capacity;
    size_t other_kinds; /* fingerprints that were passed over for their kind */
};

/*
 * Opens the fingerprints of a directory with the parts that are asked for. A
 * damaged one becomes a problem, not an error. -ENOENT, -ENOTDIR, -EACCES ... of
 * the directory itself.
 */
int catalog_open(const char *directory, const struct catalog_kind *kind, unsigned parts,
                 struct catalog **ret_catalog, struct error *err);
void catalog_close(struct catalog *catalog); /* NULL is fine */

/*
 * Which kinds of fingerprints a directory holds, each once, going by their
 * names where they have those that an index gives them. The caller frees.
 */
int catalog_kinds(const char *directory, struct catalog_kind **ret_kinds, size_t *ret_count,
                  struct error *err);

/*
 * Is a fingerprint of that identity true of an image whose files are `layers`
 * now? False too where it cannot be known: block devices, provisional ones,
 * files that were changed just before they were read.
 */
bool catalog_identity_holds(const struct fingerprint_identity *identity,
                            const struct image_layer *layers, size_t count);

/* ---- finding images --------------------------------------------------------- */

/* An image that should be in the index. */
struct catalog_image {
    char *path;
    char *format; /* what its owner says it is; NULL: looked at */
};

struct catalog_images {
    struct catalog_image *images;
    size_t count, capacity;
    struct catalog_problem *problems; /* directories and files that could not be looked at */
    size_t problem_count, problem_capacity;
    char **scopes; /* directories that were searched to their end: what is gone there is gone */
    size_t scope_count, scope_capacity;
};

int catalog_images_add(struct catalog_images *images, const char *path, const char *format);
int catalog_images_add_scope(struct catalog_images *images, const char *directory);
int catalog_images_add_problem(struct catalog_images *images, const char *path,
                               const struct error *error);
void catalog_images_release(struct catalog_images *images);

/*
 * Adds all images below a directory, or the one that `path` is: regular files
 * and block devices, by symbolic links or directly; not hidden names,
 * fingerprints, merged indexes, manifests, requests and leases, what is smaller
 * than a sector, nor what the kernel makes up (/proc, /sys). Symbolic links to directories are not followed below `path`.
 * A directory that cannot be read, and a `path` that is no image, become
 * problems. Only -ENOMEM is an error.
 */
int catalog_images_find(const char *path, struct catalog_images *images, struct error *err);

/* ---- updating --------------------------------------------------------------- */

enum catalog_event {
    CATALOG_BEGUN,     /* an image is about to be read */
    CATALOG_READ,      /* it was read, its fingerprints are there */
    CATALOG_UNCHANGED, /* its fingerprints are still true */
    CATALOG_FAILED,    /* with the error; its old fingerprints, if any, were dropped */
    CATALOG_DROPPED,   /* it vanished */
    CATALOG_WAITING,   /* somebody else holds the lock; `path` is the directory */
    CATALOG_SAME,      /* another name of an image that is dealt with under its own */
    CATALOG_PROBLEM,   /* an entry of the index that cannot be removed, with the error */
};

struct catalog_report {
    enum catalog_event event;
    const char *path;
    const char *same_as;       /* CATALOG_SAME: the image's own name */
    const struct error *error; /* CATALOG_FAILED, CATALOG_PROBLEM */
    uint64_t bytes;            /* CATALOG_READ: of data */
    bool provisional;          /* CATALOG_READ: somebody held it for writing */
};

struct catalog_update_options {
    struct image_options image;
    struct fingerprint_build_options build; /* `context` belongs to both and to `event` */
    bool reread;                            /* unchanged ones too */
    bool no_wait;                           /* -EBUSY rather than wait for the lock */
    void (*event)(void *context, const struct catalog_report *report); /* may be NULL */
};

struct catalog_summary {
    size_t images; /* read + unchanged + failed */
    size_t read, unchanged, failed, dropped;
    size_t same;         /* further names of images */
    uint64_t bytes_read; /* of data, of those that were read */
    size_t problems;     /* entries of the index that cannot be removed */
};

/*
 * Brings an index directory (made if it is missing, mode 0700) up to date with
 * `images`: those whose layers (path, format, device, inode, size, times) are
 * as their fingerprints say, and these whole, are not read; block devices, provisional ones and
 * files changed less than two seconds before they were read always are.
 * Fingerprints of images that vanished are dropped: those in a searched scope
 * that are not among `images`, and those whose file is gone, unless it looks as
 * if its file system were only not mounted (not the device that it was, and
 * nothing in its place); those of other kinds than the wishes' too, where their
 * image is read anew. An image that fails costs itself, and what fingerprints
 * it had unless they are still true. `wishes` have no paths. Returns 0 even if
 * images failed (see the summary); -ECANCELED when stopped; errors of the
 * directory itself. Where nothing can be written there any more (-ENOSPC,
 * -EDQUOT, -EROFS, -EIO) no further image is read; all the rest is done.
 */
int catalog_update(const char *directory, const struct catalog_images *images,
                   const struct fingerprint_wish *wishes, size_t wish_count,
                   const struct catalog_update_options *options,
                   struct catalog_summary *ret_summary, struct error *err);

#endif
