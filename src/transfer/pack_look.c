/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A look at a part before it is compressed: is there anything to be gained? */
#include "transfer/pack.h"

#include <errno.h>
#include <zstd.h>

#define SAMPLES      16
#define SAMPLE_BYTES (PACK_LOOK_BYTES / SAMPLES)
#define LOOK_LEVEL   1
#define LEAST_BYTES  ((uint64_t)4 << 20) /* of less even level 19 makes short work */
#define NOISE        0.97                /* of its length */

/* The first SAMPLE_BYTES of every 16th of the part, through all pieces that they lie in. */
static int read_samples(const struct pack_layout *layout, const struct pack_part *part,
                        struct image *const *images, uint8_t *buffer, size_t *ret_filled,
                        struct error *err)
{
    uint64_t stride = part->raw_length / SAMPLES, at = 0;
    size_t filled = 0;

    for (size_t i = 0; i < part->count && filled < PACK_LOOK_BYTES; i++) {
        const struct pack_piece *piece = &layout->pieces[part->first + i];
        uint64_t end = piece->from + piece->length;

        while (at < end && filled < PACK_LOOK_BYTES) {
            uint64_t inside = at % stride, now = SAMPLE_BYTES - inside;
            int rc;

            if (inside >= SAMPLE_BYTES) {
                at += stride - inside;
                continue;
            }
            now = now < end - at ? now : end - at;
            now = now < PACK_LOOK_BYTES - filled ? now : PACK_LOOK_BYTES - filled;
            rc = image_read(images[piece->image], piece->offset + (at - piece->from), (size_t)now,
                            buffer + filled, err);
            if (rc < 0)
                return rc;
            filled += (size_t)now;
            at += now;
        }
    }
    *ret_filled = filled;
    return 0;
}

int pack_look(const struct pack_layout *layout, const struct pack_part *part,
              struct image *const *images, uint8_t *buffer, bool *ret_is_noise, struct error *err)
{
    CLEANUP(cleanup_free) uint8_t *output = NULL;
    size_t filled = 0, length;
    int rc;

    *ret_is_noise = false;
    if (part->raw_length < LEAST_BYTES)
        return 0;
    rc = read_samples(layout, part, images, buffer, &filled, err);
    if (rc < 0)
        return rc;
    output = malloc(ZSTD_compressBound(filled));
    if (output == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    length = ZSTD_compress(output, ZSTD_compressBound(filled), buffer, filled, LOOK_LEVEL);
    *ret_is_noise = !ZSTD_isError(length) && (double)length > NOISE * (double)filled;
    return 0;
}
