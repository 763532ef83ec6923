/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The blocks that a plan sends, compressed into parts: files that are named by
 * their SHA-256, so that one that is at the destination already need not be sent
 * again. Each part is one zstd frame by itself (window up to
 * 2^TRANSFER_WINDOW_LOG, long-distance matching).
 */
#ifndef SETMOV_TRANSFER_PACK_H
#define SETMOV_TRANSFER_PACK_H

#include "setmov/image.h"
#include "setmov/transfer.h"
#include "setmov/transfer_make.h"

#define TRANSFER_PART_MAX_RAW ((uint64_t)128 << 20) /* what one part may decompress to */

/* In a frame of zstd too, but not compressed: where the line is faster than any compressing. */
#define TRANSFER_LEVEL_STORED (-1000)

/* ---- making ---------------------------------------------------------------------------- */

/* One finished part. Bytes and digests are the caller's only during the call. */
struct transfer_packed {
    struct transfer_part part;
    const void *bytes;            /* part.length */
    const struct digest *digests; /* of its whole blocks, in order, where the plan's block size fits
                                     everywhere; NULL: it holds pieces of other lengths */
    size_t digest_count;
};

struct transfer_pack_options {
    /* Of zstd; 0: begins with transfer_level() and adapts to how fast `sink` is. Parts that no
       level makes smaller get 1. */
    int level;
    uint64_t bandwidth_bits_per_s; /* of the line, 0: not known: where `level` is 0 */
    uint64_t part_bytes;           /* uncompressed; 0: default */
    unsigned threads;              /* 0: as fingerprint_build() */
    const uint8_t *key;            /* of the digests, for DIGEST_KEYED_SHA256 */
    /*
     * Takes each part as it is finished, one at a time and in order, in the thread that called;
     * the next ones are compressed meanwhile. Negative errno ends the packing with it.
     */
    int (*sink)(void *context, const struct transfer_packed *packed, struct error *err);
    void (*progress)(void *context, uint64_t done, uint64_t total); /* raw bytes; may be NULL */
    bool (*stopped)(void *context);                                 /* may be NULL */
    void *context;
};

struct transfer_pack_result {
    uint64_t raw_bytes, packed_bytes;
    size_t parts;
    int level_lowest, level_highest; /* that were used */
};

/*
 * Packs all extents of the plan's images that are SENT from UINT32_MAX, in their
 * order (whole blocks before pieces that are none: no other order packed better,
 * docs/benchmarks.md), and gives them their parts (an extent may be cut where a
 * part ends). images[i] is open for plan->images[i]; NULL where
 * nothing of it is sent. The images must not have changed since transfer_make():
 * what is packed is not compared, but the hook finds by the content what differs.
 */
int transfer_pack(struct transfer_plan *plan, struct image *const *images,
                  const struct transfer_pack_options *options,
                  struct transfer_pack_result *ret_result, struct error *err);

/* ---- reading: hostile files ------------------------------------------------------------- */

struct transfer_part_reader;

/*
 * Opens part by part of a directory (descriptor) as they are asked for: a regular
 * file, not behind a symbolic link, of the length and SHA-256 that the plan says,
 * before anything of it is decompressed, and decompresses to raw_length exactly.
 * Keeps some uncompressed parts in memory (at most `memory_bytes`, 0: 256 MiB;
 * one at least). May be used by several threads.
 */
int transfer_part_reader_new(int directory, const struct transfer_part *parts, size_t count,
                             uint64_t memory_bytes, struct transfer_part_reader **ret_reader,
                             struct error *err);
/* Before the first one is read: no more than so many bytes are decompressed, those of parts that
   are not kept each time anew. */
void transfer_part_reader_limit(struct transfer_part_reader *reader, uint64_t bytes);
/* -ENOENT: it is not there; -EBADMSG: it is not what its name says. For good. -EFBIG: the limit. */
int transfer_part_read(struct transfer_part_reader *reader, uint32_t part, uint64_t from,
                       void *ret_bytes, size_t length, struct error *err);
void transfer_part_reader_free(struct transfer_part_reader *reader); /* NULL is fine */

/* ---- what a host that sends remembers of its parts ---------------------------------------- */

/*
 * HEX.blocks in a directory: the digests of a part's blocks, with kind, block
 * size and part lengths; written whole. Effects.
 */
int transfer_blocks_save(const char *directory, const struct transfer_plan *plan,
                         const struct transfer_packed *packed, struct error *err);
/* All of that kind whose part `has` says is there (may be NULL: all); the caller releases. */
struct transfer_known_parts {
    struct transfer_known_part *parts;
    size_t count, capacity;
};
int transfer_blocks_load(const char *directory, enum digest_kind kind, uint32_t block_size,
                         const uint8_t key_id[8],
                         bool (*has)(void *context, const struct transfer_part *part),
                         void *context, struct transfer_known_parts *ret_parts, struct error *err);
void transfer_known_parts_release(struct transfer_known_parts *parts);

#endif
