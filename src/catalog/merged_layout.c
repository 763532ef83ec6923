/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the sections of a merged index lie, and its checksums. */

#include "catalog/merged.h"

#include <errno.h>

static bool times(uint64_t count, uint64_t size, uint64_t *ret_bytes)
{
    return !__builtin_mul_overflow(count, size, ret_bytes);
}

/* Codes are packed; eight bytes more, so that each can be read as part of a word. */
static bool packed(uint64_t count, uint32_t bits, uint64_t *ret_bytes)
{
    if (!times(count, bits, ret_bytes))
        return false;
    *ret_bytes = *ret_bytes / 8 + 1 + sizeof(uint64_t);
    return true;
}

int merged_layout_place(struct merged_layout *layout)
{
    uint64_t *lengths = layout->lengths, end = MERGED_HEADER_BYTES;
    bool fits = times(layout->host_count, MERGED_HOST_BYTES, &lengths[MERGED_HOSTS]) &&
                times(layout->set_units, 2, &lengths[MERGED_SET_HOSTS]);

    lengths[MERGED_NAMES] = layout->names_length;
    lengths[MERGED_SET_OFFSETS] = ((uint64_t)layout->set_count + 1) * 4;
    for (size_t kind = 0; kind < MERGED_KINDS; kind++) {
        lengths[MERGED_STARTS + kind] = ((UINT64_C(1) << layout->bits[kind]) + 1) * 4;
        fits = fits && times(layout->keys[kind], 4, &lengths[MERGED_REMAINDERS + kind]) &&
               packed(layout->keys[kind], layout->code_bits, &lengths[MERGED_CODES + kind]);
    }
    for (size_t i = 0; fits && i < MERGED_SECTIONS; i++) {
        fits = !__builtin_add_overflow(end, MERGED_ALIGNMENT - 1, &end);
        end -= end % MERGED_ALIGNMENT;
        layout->offsets[i] = end;
        fits = fits && !__builtin_add_overflow(end, lengths[i], &end);
    }
    layout->file_length = end;
    return fits && end <= SIZE_MAX / 2 ? 0 : -EOVERFLOW;
}

uint64_t merged_head_length(const struct merged_layout *layout)
{
    return layout->offsets[MERGED_STARTS];
}

uint64_t merged_head_checksum(const struct merged_layout *layout, const uint8_t *file)
{
    struct fingerprint_checksum sum;

    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, file, MERGED_AT_CHECKSUM);
    fingerprint_checksum_add(&sum, file + MERGED_HEADER_BYTES,
                             merged_head_length(layout) - MERGED_HEADER_BYTES);
    return fingerprint_checksum_value(&sum);
}

uint64_t merged_body_checksum(const struct merged_layout *layout, const uint8_t *file)
{
    uint64_t head = merged_head_length(layout);

    return fingerprint_checksum(file + head, layout->file_length - head);
}
