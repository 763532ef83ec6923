/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: what is remembered of a part, as it comes and with the checksum that it should
 * have. What is accepted is encoded to the same bytes.
 */

#include "sealed.h"
#include "setmov/base_bytes.h"
#include "transfer/blocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_file(const uint8_t *bytes, size_t size)
{
    struct transfer_known_part part;
    struct blocks_kind kind;
    struct error err = {""};
    uint8_t *again = NULL;
    size_t length = 0;

    if (blocks_decode(bytes, size, &kind, &part, &err) < 0) {
        must(err.text[0] != '\0');
        return;
    }
    must(blocks_encode(&kind, &part.part, part.digests, part.count, &again, &length, &err) == 0);
    must(length == size && memcmp(again, bytes, length) == 0);
    free(again);
    free(part.digests);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = calloc(1, size > 0 ? size : 1);

    if (bytes == NULL)
        return 0;
    if (size > 0)
        memcpy(bytes, data, size);
    try_file(bytes, size);
    if (size >= BLOCKS_HEADER_BYTES) {
        put_u64(bytes + BLOCKS_AT_CHECKSUM, blocks_checksum(bytes, size));
        try_file(bytes, size);
    }
    free(bytes);
    return 0;
}
