/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encodes and checks what is remembered of a part's blocks. Pure. */
#include "transfer/blocks.h"
#include "setmov/base_bytes.h"

#include <errno.h>

uint64_t blocks_checksum(const uint8_t *bytes, size_t length)
{
    static const uint8_t zeroes[sizeof(uint64_t)];
    struct fingerprint_checksum sum;

    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, BLOCKS_AT_CHECKSUM);
    fingerprint_checksum_add(&sum, zeroes, sizeof(zeroes));
    fingerprint_checksum_add(&sum, bytes + BLOCKS_HEADER_BYTES, length - BLOCKS_HEADER_BYTES);
    return fingerprint_checksum_value(&sum);
}

static bool is_block_size(uint32_t size)
{
    return size >= DIGEST_BLOCK_MIN && size <= DIGEST_BLOCK_MAX && (size & (size - 1)) == 0;
}

static bool is_kind(uint32_t kind)
{
    return kind == DIGEST_MD5 || kind == DIGEST_SHA256 || kind == DIGEST_KEYED_SHA256;
}

/* A digest for each block, and all of it blocks. */
static bool fits(const struct transfer_part *part, uint32_t block_size, uint64_t count)
{
    return part->length > 0 && part->raw_length > 0 && part->raw_length <= TRANSFER_PART_MAX_RAW &&
           part->raw_length % block_size == 0 && part->raw_length / block_size == count;
}

int blocks_encode(const struct blocks_kind *kind, const struct transfer_part *part,
                  const struct digest *digests, size_t count, uint8_t **ret_bytes,
                  size_t *ret_length, struct error *err)
{
    size_t length = BLOCKS_HEADER_BYTES + count * sizeof(*digests);
    uint8_t *bytes;

    if (!is_kind(kind->kind) || !is_block_size(kind->block_size) ||
        !fits(part, kind->block_size, count))
        return error_set(err, -EINVAL, "the digests of a part do not fit it");
    bytes = calloc(1, length);
    if (bytes == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    memcpy(bytes, BLOCKS_MAGIC, strlen(BLOCKS_MAGIC));
    put_u32(bytes + BLOCKS_AT_VERSION, BLOCKS_VERSION);
    put_u32(bytes + BLOCKS_AT_KIND, kind->kind);
    put_u32(bytes + BLOCKS_AT_SIZE, kind->block_size);
    memcpy(bytes + BLOCKS_AT_KEY_ID, kind->key_id, sizeof(kind->key_id));
    memcpy(bytes + BLOCKS_AT_SHA256, part->sha256, sizeof(part->sha256));
    put_u64(bytes + BLOCKS_AT_LENGTH, part->length);
    put_u64(bytes + BLOCKS_AT_RAW, part->raw_length);
    put_u64(bytes + BLOCKS_AT_COUNT, count);
    memcpy(bytes + BLOCKS_HEADER_BYTES, digests, count * sizeof(*digests));
    put_u64(bytes + BLOCKS_AT_CHECKSUM, blocks_checksum(bytes, length));
    *ret_bytes = bytes;
    *ret_length = length;
    return 0;
}

static int check_head(const uint8_t *bytes, size_t length, struct error *err)
{
    if (length < BLOCKS_HEADER_BYTES || memcmp(bytes, BLOCKS_MAGIC, strlen(BLOCKS_MAGIC)) != 0)
        return error_set(err, -EINVAL, "is no list of a part's blocks");
    if (get_u32(bytes + BLOCKS_AT_VERSION) != BLOCKS_VERSION)
        return error_set(err, -ENOTSUP, "has version %u, known is %d",
                         get_u32(bytes + BLOCKS_AT_VERSION), BLOCKS_VERSION);
    if (get_u64(bytes + BLOCKS_AT_CHECKSUM) != blocks_checksum(bytes, length))
        return error_set(err, -EINVAL, "is damaged: its checksum is wrong");
    if (!is_kind(get_u32(bytes + BLOCKS_AT_KIND)) ||
        !is_block_size(get_u32(bytes + BLOCKS_AT_SIZE)) || get_u32(bytes + BLOCKS_AT_RESERVED) != 0)
        return error_set(err, -EINVAL, "is damaged: kind or size of the blocks");
    return 0;
}

int blocks_decode(const void *bytes, size_t length, struct blocks_kind *ret_kind,
                  struct transfer_known_part *ret_part, struct error *err)
{
    const uint8_t *from = bytes;
    struct transfer_known_part known = {.count = 0};
    struct blocks_kind kind;
    uint64_t count;
    int rc = check_head(from, length, err);

    if (rc < 0)
        return rc;
    kind.kind = get_u32(from + BLOCKS_AT_KIND);
    kind.block_size = get_u32(from + BLOCKS_AT_SIZE);
    memcpy(kind.key_id, from + BLOCKS_AT_KEY_ID, sizeof(kind.key_id));
    memcpy(known.part.sha256, from + BLOCKS_AT_SHA256, sizeof(known.part.sha256));
    known.part.length = get_u64(from + BLOCKS_AT_LENGTH);
    known.part.raw_length = get_u64(from + BLOCKS_AT_RAW);
    count = get_u64(from + BLOCKS_AT_COUNT);
    if (!fits(&known.part, kind.block_size, count) ||
        length - BLOCKS_HEADER_BYTES != count * sizeof(*known.digests))
        return error_set(err, -EINVAL, "is damaged: its lengths do not fit together");
    known.count = (size_t)count;
    known.digests = malloc(known.count * sizeof(*known.digests));
    if (known.digests == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    memcpy(known.digests, from + BLOCKS_HEADER_BYTES, known.count * sizeof(*known.digests));
    *ret_kind = kind;
    *ret_part = known;
    return 0;
}
