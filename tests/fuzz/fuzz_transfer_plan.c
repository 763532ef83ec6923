/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: plans of transfers, as they come, with a head that is right, and
 * as a body that is compressed here, so that what lies behind is reached.
 * Whatever is accepted holds what the contract says, and says the same when it
 * is written and read again.
 */
#include "sealed.h"
#include "transfer/plan_format.h"

#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(uint8_t *file, size_t length, uint64_t body, uint64_t packed, uint64_t hashes)
{
    struct fingerprint_checksum sum;

    memcpy(file, PLAN_MAGIC, strlen(PLAN_MAGIC));
    put_u32(file + PLAN_AT_VERSION, PLAN_VERSION);
    put_u32(file + PLAN_AT_FLAGS, 0);
    put_u64(file + PLAN_AT_LENGTH, length);
    put_u64(file + PLAN_AT_BODY, body);
    put_u64(file + PLAN_AT_PACKED, packed);
    put_u64(file + PLAN_AT_HASHES, hashes);
    put_u64(file + PLAN_AT_RESERVED, 0);
    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, file, PLAN_AT_CHECKSUM);
    fingerprint_checksum_add(&sum, file + PLAN_HEAD_BYTES, length - PLAN_HEAD_BYTES);
    put_u64(file + PLAN_AT_CHECKSUM, fingerprint_checksum_value(&sum));
}

/* What the hook relies on, in other words than those of the check. */
static void check(const struct transfer_plan *plan)
{
    for (size_t i = 0; i < plan->image_count; i++) {
        const struct transfer_image *image = &plan->images[i];
        uint64_t end = 0;

        must(image->path[0] == '/' && strstr(image->path, "/../") == NULL);
        for (size_t e = 0; e < image->extent_count; e++) {
            const struct transfer_extent *extent = &image->extents[e];

            must(extent->offset >= end && extent->length > 0);
            end = extent->offset + extent->length;
            must(end <= image->virtual_size);
            must(extent->kind != TRANSFER_COPY ||
                 (extent->source < plan->donor_count && extent->hash < plan->hash_count));
            must(extent->kind != TRANSFER_SENT ||
                 (extent->source < plan->part_count &&
                  extent->from + extent->length <= plan->parts[extent->source].raw_length));
            must(extent->kind != TRANSFER_REPLICATE || extent->source < i ||
                 (extent->source == i && extent->from + extent->length <= extent->offset));
        }
    }
}

static void write_and_read(const struct transfer_plan *plan)
{
    struct transfer_plan again = {0};
    struct error err = {""};
    uint8_t *bytes = NULL, *bytes_again = NULL;
    size_t length = 0, length_again = 0;

    must(transfer_plan_encode(plan, &bytes, &length, &err) == 0);
    must(transfer_plan_decode(bytes, length, "again", &again, &err) == 0);
    must(transfer_plan_encode(&again, &bytes_again, &length_again, &err) == 0);
    must(length == length_again && memcmp(bytes, bytes_again, length) == 0);
    transfer_plan_release(&again);
    free(bytes);
    free(bytes_again);
}

static void try_file(const uint8_t *bytes, size_t size)
{
    struct transfer_plan plan = {0};
    struct error err = {""};

    if (transfer_plan_decode(bytes, size, "plan", &plan, &err) < 0) {
        must(strncmp(err.text, "plan: ", 6) == 0 || strncmp(err.text, "plan ", 5) == 0);
        must(strchr(err.text, '\n') == NULL);
        return;
    }
    check(&plan);
    write_and_read(&plan);
    transfer_plan_release(&plan);
}

/* The input is a body; the last byte says how many hashes there are, and how many bytes. */
static void try_body(const uint8_t *data, size_t size)
{
    size_t tail = size > 0 ? data[size - 1] * (size_t)PLAN_ID_BYTES : 0, most, packed, body;
    uint8_t *file;

    body = size > 0 ? size - 1 : 0;
    most = ZSTD_compressBound(body);
    file = calloc(1, PLAN_HEAD_BYTES + most + tail);
    if (file == NULL)
        return;
    packed = ZSTD_compress(file + PLAN_HEAD_BYTES, most, data, body, 1);
    must(!ZSTD_isError(packed));
    memset(file + PLAN_HEAD_BYTES + packed, 7, tail);
    for (uint64_t hashes = 0; hashes <= 3; hashes++) {
        seal(file, PLAN_HEAD_BYTES + packed + tail, body, packed, hashes);
        try_file(file, PLAN_HEAD_BYTES + packed + tail);
    }
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    try_file(data, size);
    try_body(data, size);
    if (size < PLAN_HEAD_BYTES)
        return 0;
    copy = calloc(1, size);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    seal(copy, size, get_u64(data + PLAN_AT_BODY), get_u64(data + PLAN_AT_PACKED),
         get_u64(data + PLAN_AT_HASHES));
    try_file(copy, size);
    free(copy);
    return 0;
}
