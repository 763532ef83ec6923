/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: fingerprint files, as they come and with checksums that are
 * right, so that what lies behind them is reached. Whatever is accepted can be
 * read to its end, and says the same when it is written and read again.
 */

#include "fingerprint/format.h"
#include "setmov/similarity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The checksums that the file's own table asks for. */
static void mend(uint8_t *bytes, size_t size)
{
    struct fingerprint_checksum sum;
    size_t head_length, count;

    if (size < HEADER_BYTES)
        return;
    count = get_u32(bytes + AT_SECTION_COUNT);
    head_length = HEADER_BYTES + count * SECTION_BYTES;
    if (count > FINGERPRINT_MAX_SECTIONS || head_length > size)
        return;
    for (uint8_t *line = bytes + HEADER_BYTES; line < bytes + head_length; line += SECTION_BYTES) {
        uint64_t offset = get_u64(line + SECTION_OFFSET), length = get_u64(line + SECTION_LENGTH);

        if (offset >= head_length && offset <= size && length <= size - offset)
            put_u64(line + SECTION_CHECKSUM, fingerprint_checksum(bytes + offset, length));
    }
    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, AT_CHECKSUM);
    fingerprint_checksum_add(&sum, bytes + HEADER_BYTES, head_length - HEADER_BYTES);
    put_u64(bytes + AT_CHECKSUM, fingerprint_checksum_value(&sum));
}

static void write_and_read(const struct fingerprint_view *view)
{
    struct fingerprint_view again;
    struct error err = {0};
    uint8_t *bytes;
    size_t length;

    if (fingerprint_encode(view, &bytes, &length, &err) < 0 ||
        fingerprint_decode(bytes, length, &again, &err) < 0)
        abort();
    if (memcmp(&again.totals, &view->totals, sizeof(again.totals)) != 0 ||
        again.sketch_count != view->sketch_count || again.frequent_count != view->frequent_count ||
        again.identity.layer_count != view->identity.layer_count ||
        (fingerprint_verify_order(view, NULL) == 0) !=
            (fingerprint_verify_order(&again, NULL) == 0))
        abort();
    fingerprint_view_release(&again);
    free(bytes);
}

/* Every engine, with an image that has all of itself. */
static void compare(const struct fingerprint_view *view)
{
    bool honest = fingerprint_verify_order(view, NULL) == 0;

    for (enum similarity_engine engine = SIMILARITY_EXACT; engine <= SIMILARITY_SKETCH; engine++) {
        struct similarity_estimate each, all;

        if (similarity_compare(engine, view, &view, 1, &each, &all, NULL) < 0)
            continue;
        if (all.best.identical_with_duplicates > all.best.total ||
            all.best.identical_distinct > all.best.distinct)
            abort();
        if (honest && engine == SIMILARITY_EXACT &&
            (all.best.identical_distinct != all.best.distinct ||
             all.best.identical_with_duplicates != all.best.total || all.best.bytes_to_send != 0))
            abort();
    }
}

static void try_file(const uint8_t *bytes, size_t size)
{
    struct fingerprint_view view;
    struct error err = {0};
    uint64_t blocks = 0;

    if (fingerprint_decode(bytes, size, &view, &err) < 0) {
        if (err.text[0] == '\0')
            abort();
        return;
    }
    for (size_t i = 0; i < view.totals.distinct; i++) {
        blocks += fingerprint_multiplicity(&view, i);
        if (view.bloom != NULL)
            blocks += fingerprint_bloom_has(view.bloom, view.bloom_bytes, &view.digests[i]);
    }
    for (size_t i = 0; i < view.identity.layer_count; i++)
        blocks += strlen(view.identity.layers[i].path) + strlen(view.identity.layers[i].format);
    if (fingerprint_verify_order(&view, &err) < 0 && err.text[0] == '\0')
        abort();
    if (blocks == 0 && view.totals.distinct > 0 && fingerprint_verify_order(&view, &err) == 0)
        abort();
    write_and_read(&view);
    compare(&view);
    fingerprint_view_release(&view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fingerprint_head head;
    uint8_t *bytes = calloc(1, size + 1); /* aligned, and of hardly more than its own length */

    if (bytes == NULL)
        return 0;
    if (size > 0)
        memcpy(bytes, data, size);
    try_file(bytes, size);
    mend(bytes, size);
    fingerprint_head_decode(bytes, size < FINGERPRINT_HEAD_MAX ? size : FINGERPRINT_HEAD_MAX, &head,
                            NULL);
    try_file(bytes, size);
    free(bytes);
    return 0;
}
