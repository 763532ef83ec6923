/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For fuzz targets: text as it came, and with a last line that makes it whole. */
#ifndef FUZZ_SEALED_H
#define FUZZ_SEALED_H

#include "setmov/fingerprint.h"

#include <inttypes.h>

#define SEAL_BYTES 26 /* "checksum", 16 digits and what stands around them */

/*
 * The input, its last line replaced where that is one of a checksum, else
 * behind all that is there. Of its very size; the caller frees.
 */
static inline char *fuzz_seal(const uint8_t *data, size_t size, size_t *ret_size)
{
    char seal[SEAL_BYTES + 1];
    char *text;

    if (size >= SEAL_BYTES && memcmp(data + size - SEAL_BYTES, "checksum ", 9) == 0)
        size -= SEAL_BYTES;
    text = malloc(size + SEAL_BYTES);
    if (text == NULL || !string_format(seal, sizeof(seal), "checksum %016" PRIx64 "\n",
                                       fingerprint_checksum(data, size)))
        abort();
    if (size > 0)
        memcpy(text, data, size);
    memcpy(text + size, seal, SEAL_BYTES);
    *ret_size = size + SEAL_BYTES;
    return text;
}

static inline void must(bool condition)
{
    if (!condition)
        abort();
}

#endif
