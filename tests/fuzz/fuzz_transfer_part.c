/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: a part's file, under the name that it ought to have, for the length that its
 * frame says, and for one byte more or less. What is accepted has just the length that was said.
 */

#include "sealed.h"
#include "transfer/part.h"

#include <errno.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAW_MAX ((uint64_t)1 << 20) /* more says nothing more */

static void try_part(struct part_decompressor *decompressor, const uint8_t *data, size_t size,
                     uint64_t raw_length, bool is_said)
{
    struct transfer_part part = {.length = size, .raw_length = raw_length};
    uint8_t *raw = malloc(raw_length > 0 && raw_length <= RAW_MAX ? (size_t)raw_length : 1);
    struct error err = {""};
    int rc;

    must(raw != NULL);
    transfer_sha256(data, size, part.sha256);
    if (raw_length <= RAW_MAX || raw_length > TRANSFER_PART_MAX_RAW) {
        rc = part_decode(decompressor, &part, data, size, raw, &err);
        must(rc == 0 || (rc == -EBADMSG && err.text[0] != '\0'));
        must(rc < 0 || is_said);
        part.sha256[0] ^= 1;
        must(part_decode(decompressor, &part, data, size, raw, &err) == -EBADMSG);
    }
    free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct part_decompressor *decompressor = NULL;
    struct error err = {""};
    uint64_t said = ZSTD_getFrameContentSize(data, size);

    if (part_decompressor_new(&decompressor, &err) < 0)
        return 0;
    try_part(decompressor, data, size, said, true);
    try_part(decompressor, data, size, said + 1, false);
    try_part(decompressor, data, size, said - 1, false);
    try_part(decompressor, data, size, 4096, said == 4096);
    part_decompressor_free(decompressor);
    return 0;
}
