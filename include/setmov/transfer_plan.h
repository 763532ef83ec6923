/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plan of a transfer: how a host builds the images of a VM from what it has
 * (donors: images in its own index) and from the parts that were sent to it. A
 * plan is one file in the pool for what arrives, NAME.plan; its SHA-256 stands in
 * the XML of the domain that is on its way, so that nobody can exchange it. The
 * format is described in docs/plan-format.md. Pure.
 *
 * An image is cut into pieces of TRANSFER_PIECE_BYTES; no extent reaches over the
 * end of a piece, so that pieces can be built by themselves and at the same time.
 * What no extent covers is a hole: zeroes, or, where the image has a backing
 * image, what that one has.
 */
#ifndef SETMOV_TRANSFER_PLAN_H
#define SETMOV_TRANSFER_PLAN_H

#include "setmov/base_uuid.h"
#include "setmov/digest.h"

#define TRANSFER_PIECE_BYTES ((uint32_t)1 << 20)
#define TRANSFER_COPY_MAX                                                                          \
    ((uint32_t)256 << 10) /* longest copied extent: what one changed byte costs */
#define TRANSFER_HASH_BYTES 32

/* Names in the pool for what arrives; NAME: transfer_name_is_valid(). */
#define TRANSFER_PLAN_SUFFIX     ".plan"
#define TRANSFER_PROGRESS_SUFFIX ".progress" /* the hook writes it: transfer_progress_encode() */
#define TRANSFER_FAILED_SUFFIX   ".failed"   /* so does it: extents that did not hold */
#define TRANSFER_CANCEL_SUFFIX   ".cancel"   /* it is there: the hook ends */
#define TRANSFER_PART_PREFIX     "part-"     /* then 64 hexadecimal digits: SHA-256 of the file */

/* An image that was built waits so long for its VM; then setmov gc may take it. */
#define TRANSFER_LEASE_S 86400

#define TRANSFER_PLAN_MAX_BYTES   ((size_t)1 << 30)
#define TRANSFER_PLAN_MAX_EXTENTS ((uint64_t)1 << 26)
#define TRANSFER_PLAN_MAX_IMAGES  1024
#define TRANSFER_PLAN_MAX_DONORS  65536
#define TRANSFER_PLAN_MAX_PARTS   1048576

enum transfer_kind {
    TRANSFER_ZERO = 0, /* written as zeroes: hides a backing image */
    TRANSFER_COPY = 1, /* from a donor; verified by SHA-256 */
    TRANSFER_REPLICATE =
        2,             /* from an earlier place of this image or of an earlier one of the plan */
    TRANSFER_SENT = 3, /* from a part */
};

struct transfer_extent {
    uint64_t offset; /* in the image */
    uint32_t length; /* bytes, not 0 */
    uint32_t source; /* donor, image or part (index); 0 of ZERO */
    uint64_t from;   /* byte there: of a donor or image its guest-visible content, of a part what
                         it decompresses to; behind the end of a donor are zeroes */
    uint64_t hash;   /* COPY: number of its SHA-256 in hashes; else 0 */
    enum transfer_kind kind;
};

/* An image of the destination's index. */
struct transfer_donor {
    char
        id[33]; /* catalog_hash() of its path: the fingerprint's name is made of it and plan.kind */
};

struct transfer_part {
    uint8_t sha256[TRANSFER_HASH_BYTES]; /* of the file */
    uint64_t length;                     /* of the file */
    uint64_t raw_length;                 /* of what it decompresses to */
};

struct transfer_image {
    char *path;     /* absolute, at the destination */
    char *format;   /* "raw", "qcow2" */
    char *settings; /* of the format (image_write.h); NULL */
    uint64_t virtual_size;
    char *backing, *backing_format; /* path of the image below; NULL */
    bool may_exist; /* shared by several VMs: one that is there and has this content serves */
    uint8_t content[TRANSFER_HASH_BYTES]; /* transfer_content_value() */
    struct transfer_extent *extents;      /* ascending, not overlapping */
    size_t extent_count, extent_capacity;
};

struct transfer_plan {
    struct uuid vm;
    char *vm_name; /* for messages */
    int64_t made_s;
    enum digest_kind kind; /* with block_size: which fingerprints of the donors were used */
    uint32_t block_size;
    uint8_t key_id[8];
    struct transfer_donor *donors;
    size_t donor_count, donor_capacity;
    struct transfer_part *parts;
    size_t part_count, part_capacity;
    struct transfer_image *images; /* backing images before those that lie on them */
    size_t image_count, image_capacity;
    uint8_t (*hashes)[TRANSFER_HASH_BYTES];
    size_t hash_count, hash_capacity;
};

void transfer_plan_release(struct transfer_plan *plan);

/* Letters, digits and hyphens, 1 to 100, a letter or digit first: no path, nothing hidden. */
bool transfer_name_is_valid(const char *name);

/* "part-HEX" of a part. */
#define TRANSFER_PART_NAME_BYTES (sizeof(TRANSFER_PART_PREFIX) + 2 * (size_t)TRANSFER_HASH_BYTES)
void transfer_part_name(const uint8_t sha256[TRANSFER_HASH_BYTES],
                        char ret_name[TRANSFER_PART_NAME_BYTES]);
bool transfer_part_name_parse(const char *name, uint8_t ret_sha256[TRANSFER_HASH_BYTES]);

/*
 * Checks all that is said above (order, overlap, ends, references, sizes: no sum
 * overflows, paths absolute, a backing image that is an earlier one or may
 * exist, REPLICATE from what lies before it: an earlier image, or the same one
 * with from + length <= offset) and encodes; the body compressed. The caller
 * frees. -EINVAL with what is wrong, -EFBIG, -ENOMEM.
 */
int transfer_plan_encode(const struct transfer_plan *plan, uint8_t **ret_bytes, size_t *ret_length,
                         struct error *err);

/* Hostile bytes. `what` begins the message. -EINVAL: damaged, or fails a check; -ENOTSUP: another
   version; -EFBIG: above a limit; -ENOMEM. */
int transfer_plan_decode(const void *bytes, size_t length, const char *what,
                         struct transfer_plan *ret_plan, struct error *err);
/* The same; -ENOMEM before more than `memory` bytes are taken, those of the file counted. */
int transfer_plan_decode_within(const void *bytes, size_t length, const char *what, uint64_t memory,
                                struct transfer_plan *ret_plan, struct error *err);
/* That the extents and hashes of a plan take. */
uint64_t transfer_plan_memory(const struct transfer_plan *plan);

/* Of whole files: 32 bytes, what `sha256sum` prints. */
void transfer_sha256(const void *bytes, size_t length, uint8_t ret_sha256[TRANSFER_HASH_BYTES]);

/* ---- content: SHA-256 over the pieces' SHA-256 --------------------------------------- */

/*
 * Of an image's whole guest-visible content (of its own layer alone, where it has
 * a backing image): the SHA-256 of each piece, the last one as long as it is,
 * one behind the other, then the virtual size as 8 little-endian bytes; of all
 * that the SHA-256. Pieces of zeroes need not be read. May be added by several
 * threads, for pieces that differ.
 */
struct transfer_content {
    uint64_t virtual_size;
    uint8_t (*pieces)[TRANSFER_HASH_BYTES]; /* zeroes' at first */
    size_t count;
};
int transfer_content_init(struct transfer_content *content, uint64_t virtual_size); /* -ENOMEM */
void transfer_content_piece(struct transfer_content *content, size_t piece, const void *bytes,
                            size_t length);
void transfer_content_value(const struct transfer_content *content,
                            uint8_t ret_value[TRANSFER_HASH_BYTES]);
void transfer_content_release(struct transfer_content *content);

/* ---- what the hook tells whoever waits for it ----------------------------------------- */

enum transfer_phase {
    TRANSFER_WAITING = 0, /* as the source made it: no hook has begun */
    TRANSFER_BEGUN = 1,
    TRANSFER_BUILDING = 2,
    TRANSFER_PUBLISHED = 3, /* all images have their names */
    TRANSFER_REFUSED = 4,   /* with a message; `failed` extents and parts are listed */
};

struct transfer_progress {
    enum transfer_phase phase;
    uint64_t bytes_done, bytes_total; /* of extents built */
    uint64_t failed;                  /* extents and parts that did not hold */
    char message[400];                /* one line */
};

/* One record of exactly so many bytes, always written whole and in place. */
#define TRANSFER_PROGRESS_BYTES 512
void transfer_progress_encode(const struct transfer_progress *progress,
                              uint8_t ret_bytes[TRANSFER_PROGRESS_BYTES]);
/* -EINVAL: torn or none (read it again), never more. */
int transfer_progress_decode(const void *bytes, size_t length,
                             struct transfer_progress *ret_progress);

/*
 * NAME.failed: the extents whose donor, or part, does not have what the plan says; or,
 * where an image came out wrong though all have it, those of which any may be wrong.
 */
struct transfer_failed_extent {
    uint32_t image;  /* index in the plan */
    uint32_t extent; /* index in that image's extents */
};
struct transfer_failed {
    struct transfer_failed_extent *extents;
    size_t count, capacity;
    uint32_t *parts; /* parts (index) that are missing or not what their name says */
    size_t part_count, part_capacity;
};
void transfer_failed_release(struct transfer_failed *failed);
int transfer_failed_encode(const struct transfer_failed *failed, uint8_t **ret_bytes,
                           size_t *ret_length, struct error *err);
/* Checked against the plan: -EINVAL for an index that it has not, or one twice. */
int transfer_failed_decode(const void *bytes, size_t length, const struct transfer_plan *plan,
                           struct transfer_failed *ret_failed, struct error *err);

#endif
