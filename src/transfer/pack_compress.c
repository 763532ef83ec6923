/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One part as one frame of zstd. */
#include "setmov/base_bytes.h"
#include "transfer/level.h"
#include "transfer/pack.h"

#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

/* A frame of its own making: its header, and that of each block (RFC 8878, 3.1.1). */
#define MAGIC            UINT32_C(0xfd2fb528)
#define DESCRIPTOR       0xe0 /* the length of the content in 8 bytes, in one segment */
#define HEADER_BYTES     13
#define BLOCK_HEADER     3
#define BLOCK_MAX        ((size_t)128 << 10)
#define BLOCK_SIZE_SHIFT 3
#define BLOCK_LAST       1

struct pack_compressor {
    ZSTD_CCtx *context;
    bool stored;
    uint64_t raw_length, added;
    uint8_t *bytes;
    size_t length, capacity;
};

static int fail(size_t code, struct error *err)
{
    return error_set(err,
                     ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? -ENOMEM : -EINVAL,
                     "zstd: %s", ZSTD_getErrorName(code));
}

int pack_compressor_new(struct pack_compressor **ret_compressor, struct error *err)
{
    struct pack_compressor *compressor = calloc(1, sizeof(*compressor));

    if (compressor != NULL)
        compressor->context = ZSTD_createCCtx();
    if (compressor == NULL || compressor->context == NULL) {
        pack_compressor_free(compressor);
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret_compressor = compressor;
    return 0;
}

void pack_compressor_free(struct pack_compressor *compressor)
{
    if (compressor == NULL)
        return;
    ZSTD_freeCCtx(compressor->context);
    free(compressor->bytes);
    free(compressor);
}

static size_t bound(const struct pack_compressor *compressor)
{
    size_t raw = (size_t)compressor->raw_length;

    if (compressor->stored)
        return HEADER_BYTES + raw + (raw / BLOCK_MAX + 1) * BLOCK_HEADER;
    return ZSTD_compressBound(raw);
}

static int set_level(struct pack_compressor *compressor, int level, struct error *err)
{
    size_t code = transfer_level_set(compressor->context, level);

    /* The frame says its length, and the window is not larger than it. */
    if (!ZSTD_isError(code))
        code = ZSTD_CCtx_setPledgedSrcSize(compressor->context, compressor->raw_length);
    return ZSTD_isError(code) ? fail(code, err) : 0;
}

int pack_compressor_begin(struct pack_compressor *compressor, int level, uint64_t raw_length,
                          struct error *err)
{
    free(compressor->bytes);
    compressor->bytes = NULL;
    compressor->length = compressor->capacity = 0;
    compressor->raw_length = raw_length;
    compressor->added = 0;
    compressor->stored = level == TRANSFER_LEVEL_STORED;
    if (raw_length == 0 || raw_length > TRANSFER_PART_MAX_RAW)
        return error_set(err, -EINVAL, "a part cannot have %llu bytes",
                         (unsigned long long)raw_length);
    compressor->bytes = malloc(bound(compressor));
    if (compressor->bytes == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    compressor->capacity = bound(compressor);
    if (!compressor->stored)
        return set_level(compressor, level, err);
    put_u32(compressor->bytes, MAGIC);
    compressor->bytes[sizeof(uint32_t)] = DESCRIPTOR;
    put_u64(compressor->bytes + sizeof(uint32_t) + 1, raw_length);
    compressor->length = HEADER_BYTES;
    return 0;
}

/* Fills blocks; the header of one is written when it ends. */
static void store(struct pack_compressor *compressor, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        size_t filled = (size_t)(compressor->added % BLOCK_MAX);
        size_t now = length < BLOCK_MAX - filled ? length : BLOCK_MAX - filled;
        uint8_t header[sizeof(uint32_t)];

        if (filled == 0)
            compressor->length += BLOCK_HEADER;
        memcpy(compressor->bytes + compressor->length, bytes, now);
        compressor->length += now;
        compressor->added += now;
        bytes += now;
        length -= now;
        filled += now;
        put_u32(header, (uint32_t)filled << BLOCK_SIZE_SHIFT |
                            (compressor->added == compressor->raw_length ? BLOCK_LAST : 0));
        memcpy(compressor->bytes + compressor->length - filled - BLOCK_HEADER, header,
               BLOCK_HEADER);
    }
}

static int compress(struct pack_compressor *compressor, const void *bytes, size_t length,
                    ZSTD_EndDirective directive, struct error *err)
{
    ZSTD_inBuffer input = {bytes, length, 0};
    size_t left;

    do {
        ZSTD_outBuffer output = {compressor->bytes, compressor->capacity, compressor->length};

        left = ZSTD_compressStream2(compressor->context, &output, &input, directive);
        if (ZSTD_isError(left))
            return fail(left, err);
        /* The buffer has room for the worst; a library that thinks otherwise is not waited for. */
        if (output.pos == compressor->length && left > 0 && output.pos == output.size)
            return error_set(err, -EINVAL, "zstd: makes more of a part than it says");
        compressor->length = output.pos;
    } while (input.pos < input.size || (directive == ZSTD_e_end && left > 0));
    compressor->added += length;
    return 0;
}

int pack_compressor_add(struct pack_compressor *compressor, const void *bytes, size_t length,
                        struct error *err)
{
    if (length > compressor->raw_length - compressor->added)
        return error_set(err, -EINVAL, "more bytes than a part was to have");
    if (!compressor->stored)
        return compress(compressor, bytes, length, ZSTD_e_continue, err);
    store(compressor, bytes, length);
    return 0;
}

int pack_compressor_finish(struct pack_compressor *compressor, uint8_t **ret_bytes,
                           size_t *ret_length, struct error *err)
{
    uint8_t *bytes;
    int rc = 0;

    if (compressor->added != compressor->raw_length)
        return error_set(err, -EINVAL, "fewer bytes than a part was to have");
    if (!compressor->stored)
        rc = compress(compressor, NULL, 0, ZSTD_e_end, err);
    if (rc < 0)
        return rc;
    /* Several finished parts may wait: only for what they are. */
    bytes = realloc(compressor->bytes, compressor->length);
    if (bytes != NULL)
        compressor->bytes = bytes;
    *ret_bytes = compressor->bytes;
    *ret_length = compressor->length;
    compressor->bytes = NULL;
    compressor->length = compressor->capacity = 0;
    return 0;
}
