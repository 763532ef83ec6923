/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks a part's file and decompresses it. Pure; the bytes may be anybody's. */
#include "transfer/part.h"

#include <errno.h>
#include <inttypes.h>
#include <zstd.h>
#include <zstd_errors.h>

struct part_decompressor {
    ZSTD_DCtx *context;
};

int part_decompressor_new(struct part_decompressor **ret_decompressor, struct error *err)
{
    struct part_decompressor *decompressor = calloc(1, sizeof(*decompressor));

    if (decompressor != NULL)
        decompressor->context = ZSTD_createDCtx();
    if (decompressor == NULL || decompressor->context == NULL ||
        ZSTD_isError(ZSTD_DCtx_setParameter(decompressor->context, ZSTD_d_windowLogMax,
                                            TRANSFER_WINDOW_LOG))) {
        part_decompressor_free(decompressor);
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret_decompressor = decompressor;
    return 0;
}

void part_decompressor_free(struct part_decompressor *decompressor)
{
    if (decompressor == NULL)
        return;
    ZSTD_freeDCtx(decompressor->context);
    free(decompressor);
}

int part_check_sizes(const struct transfer_part *part, struct error *err)
{
    if (part->raw_length == 0 || part->raw_length > TRANSFER_PART_MAX_RAW)
        return error_set(err, -EBADMSG, "%" PRIu64 " bytes uncompressed, not 1 to %" PRIu64,
                         part->raw_length, TRANSFER_PART_MAX_RAW);
    if (part->length == 0 || part->length > ZSTD_compressBound((size_t)part->raw_length))
        return error_set(err, -EBADMSG, "%" PRIu64 " bytes for %" PRIu64 " uncompressed ones",
                         part->length, part->raw_length);
    return 0;
}

static int decompress(struct part_decompressor *decompressor, const struct transfer_part *part,
                      const void *bytes, size_t length, void *ret_raw, struct error *err)
{
    size_t got;

    /* What the frame says is asked first: nothing is begun that cannot end well. */
    if (ZSTD_getFrameContentSize(bytes, length) != part->raw_length ||
        ZSTD_findFrameCompressedSize(bytes, length) != length)
        return error_set(err, -EBADMSG, "is not one frame of %" PRIu64 " bytes", part->raw_length);
    got = ZSTD_decompressDCtx(decompressor->context, ret_raw, (size_t)part->raw_length, bytes,
                              length);
    if (ZSTD_isError(got))
        return error_set(
            err, ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation ? -ENOMEM : -EBADMSG,
            "zstd: %s", ZSTD_getErrorName(got));
    if (got != part->raw_length)
        return error_set(err, -EBADMSG, "decompresses to %zu bytes, not %" PRIu64, got,
                         part->raw_length);
    return 0;
}

int part_decode(struct part_decompressor *decompressor, const struct transfer_part *part,
                const void *bytes, size_t length, void *ret_raw, struct error *err)
{
    uint8_t sha256[TRANSFER_HASH_BYTES];
    int rc = part_check_sizes(part, err);

    if (rc < 0)
        return rc;
    if (length != part->length)
        return error_set(err, -EBADMSG, "has %zu bytes, not %" PRIu64, length, part->length);
    transfer_sha256(bytes, length, sha256);
    if (memcmp(sha256, part->sha256, sizeof(sha256)) != 0)
        return error_set(err, -EBADMSG, "its SHA-256 is not the one in its name");
    return decompress(decompressor, part, bytes, length, ret_raw, err);
}
