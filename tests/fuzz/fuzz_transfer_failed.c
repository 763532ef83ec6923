/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the hook's records, progress and failed extents, as they come and
 * with a checksum that is right. What is accepted fits the plan, and says the
 * same when it is written and read again.
 */
#include "sealed.h"
#include "setmov/base_bytes.h"
#include "setmov/transfer_plan.h"

#define IMAGES      3
#define EXTENTS     5
#define PARTS       4
#define FAILED_HEAD 32
#define FAILED_SUM  24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_progress(const uint8_t *bytes, size_t size)
{
    struct transfer_progress progress, again;
    uint8_t written[TRANSFER_PROGRESS_BYTES];

    if (transfer_progress_decode(bytes, size, &progress) < 0)
        return;
    must(progress.phase <= TRANSFER_REFUSED && strchr(progress.message, '\n') == NULL);
    transfer_progress_encode(&progress, written);
    must(transfer_progress_decode(written, sizeof(written), &again) == 0);
    must(again.phase == progress.phase && again.failed == progress.failed &&
         again.bytes_done == progress.bytes_done && again.bytes_total == progress.bytes_total &&
         strcmp(again.message, progress.message) == 0);
}

static void try_failed(const uint8_t *bytes, size_t size)
{
    struct transfer_image images[IMAGES] = {
        {.extent_count = EXTENTS}, {.extent_count = 0}, {.extent_count = 1}};
    struct transfer_plan plan = {.images = images, .image_count = IMAGES, .part_count = PARTS};
    struct transfer_failed failed = {0};
    struct error err = {""};
    uint8_t *again = NULL;
    size_t length = 0;

    if (transfer_failed_decode(bytes, size, &plan, &failed, &err) < 0) {
        must(err.text[0] != '\0');
        return;
    }
    must(failed.count <= EXTENTS + 1 && failed.part_count <= PARTS);
    for (size_t i = 0; i < failed.count; i++)
        must(failed.extents[i].extent < images[failed.extents[i].image].extent_count);
    must(transfer_failed_encode(&failed, &again, &length, &err) == 0);
    must(length == size && memcmp(again, bytes, size) == 0);
    free(again);
    transfer_failed_release(&failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fingerprint_checksum sum;
    uint8_t *copy = calloc(1, size + 1);

    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    try_progress(copy, size);
    try_failed(copy, size);
    if (size >= FAILED_HEAD) {
        fingerprint_checksum_init(&sum);
        fingerprint_checksum_add(&sum, copy, FAILED_SUM);
        fingerprint_checksum_add(&sum, copy + FAILED_HEAD, size - FAILED_HEAD);
        put_u64(copy + FAILED_SUM, fingerprint_checksum_value(&sum));
        try_failed(copy, size);
    }
    if (size == TRANSFER_PROGRESS_BYTES) {
        memcpy(copy, data, size);
        put_u64(copy + size - 8, fingerprint_checksum(copy, size - 8));
        try_progress(copy, size);
    }
    free(copy);
    return 0;
}
