/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of HEX.blocks: what a host that sends remembers of one part.
 *
 * All numbers little-endian. Header: magic, version, kind, block size, id of the
 * key, SHA-256, length and raw_length of the part, how many digests follow,
 * checksum (fingerprint_checksum() of the file with these 8 bytes zero). Then the digests.
 */
#ifndef TRANSFER_BLOCKS_H
#define TRANSFER_BLOCKS_H

#include "setmov/fingerprint.h"
#include "setmov/transfer_pack.h"

#define BLOCKS_SUFFIX       ".blocks"
#define BLOCKS_MAGIC        "setmovPB"
#define BLOCKS_VERSION      1
#define BLOCKS_AT_VERSION   8
#define BLOCKS_AT_KIND      12
#define BLOCKS_AT_SIZE      16 /* of a block */
#define BLOCKS_AT_RESERVED  20 /* 4 bytes of zeroes */
#define BLOCKS_AT_KEY_ID    24
#define BLOCKS_AT_SHA256    32
#define BLOCKS_AT_LENGTH    64
#define BLOCKS_AT_RAW       72
#define BLOCKS_AT_COUNT     80
#define BLOCKS_AT_CHECKSUM  88
#define BLOCKS_HEADER_BYTES 96
#define BLOCKS_MAX_BYTES                                                                           \
    (BLOCKS_HEADER_BYTES + (size_t)(TRANSFER_PART_MAX_RAW / DIGEST_BLOCK_MIN) * DIGEST_BYTES)

struct blocks_kind {
    enum digest_kind kind;
    uint32_t block_size;
    uint8_t key_id[8];
};

uint64_t blocks_checksum(const uint8_t *bytes, size_t length);

/* The caller frees. -EINVAL: digests do not fit the part. */
int blocks_encode(const struct blocks_kind *kind, const struct transfer_part *part,
                  const struct digest *digests, size_t count, uint8_t **ret_bytes,
                  size_t *ret_length, struct error *err);

/* Doubtful bytes. -EINVAL: damaged; -ENOTSUP: another version. The caller frees the digests. */
int blocks_decode(const void *bytes, size_t length, struct blocks_kind *ret_kind,
                  struct transfer_known_part *ret_part, struct error *err);

#endif
