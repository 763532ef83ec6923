/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: merged indexes, as they come and with a head whose checksum is
 * right, so that what lies behind it is reached. Whatever is accepted answers
 * a query that knows every key there can be in a small one, and says no more
 * than the query has.
 */

#include "catalog/merged.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIGESTS 512

/* The query of one length of input: its digests come from the input's own keys. */
struct asked {
    struct digest digests[DIGESTS], frequent[DIGESTS];
    uint64_t places[DIGESTS], often[DIGESTS];
    struct fingerprint_view view;
};

/* The checksum that the head should have, where it is plain enough to say. */
static void mend(uint8_t *bytes, size_t size)
{
    struct merged_layout layout = {0};

    if (size < MERGED_HEADER_BYTES)
        return;
    layout.host_count = get_u32(bytes + MERGED_AT_HOST_COUNT);
    layout.names_length = get_u64(bytes + MERGED_AT_NAMES_LENGTH);
    /* The place of the body follows from these two alone. */
    if (merged_layout_place(&layout) == 0 && merged_head_length(&layout) <= size) {
        put_u64(bytes + MERGED_AT_FILE_LENGTH, size);
        put_u64(bytes + MERGED_AT_CHECKSUM, merged_head_checksum(&layout, bytes));
    }
}

/* A digest whose key lies in the given bucket with the given rest. */
static struct digest digest_of(enum merged_kind kind, uint32_t bits, uint64_t bucket, uint32_t rest)
{
    uint64_t key = (bits > 0 ? bucket << (64 - bits) : 0) | (uint64_t)rest << (32 - bits);
    struct digest digest = {{0}};

    key = htobe64(key);
    memcpy(digest.bytes + (kind == MERGED_SAMPLED), &key, sizeof(key));
    return digest;
}

/* Keys of the index, the first of them, with the buckets that its starts tell. */
static size_t keys_of(const struct catalog_merged *merged, enum merged_kind kind,
                      struct digest *ret_digests)
{
    const uint8_t *starts = merged->sections[MERGED_STARTS + kind];
    uint64_t keys = merged->layout.keys[kind], bucket = 0;
    size_t count = 0;

    for (; count < DIGESTS && count < keys; count++) {
        const uint8_t *rest = merged->sections[MERGED_REMAINDERS + kind] + count * 4;

        while (bucket + 1 < UINT64_C(1) << merged->layout.bits[kind] &&
               get_u32(starts + (bucket + 1) * 4) <= count)
            bucket++;
        ret_digests[count] = digest_of(kind, merged->layout.bits[kind], bucket, get_u32(rest));
    }
    return count;
}

static void query(const struct catalog_merged *merged)
{
    struct asked *asked = calloc(1, sizeof(*asked));
    size_t hosts = catalog_merged_host_count(merged);
    struct similarity_estimate *all = calloc(hosts, sizeof(*all));
    struct error err = {0};
    int rc;

    if (asked == NULL || all == NULL)
        abort();
    asked->view = (struct fingerprint_view){.kind = merged->layout.kind,
                                            .block_size = merged->layout.block_size,
                                            .digests = asked->digests,
                                            .places = (const uint8_t *)asked->places,
                                            .frequent = asked->frequent,
                                            .frequent_multiplicity = asked->often};
    memcpy(asked->view.key_id, merged->layout.key_id, sizeof(asked->view.key_id));
    memset(asked->view.zero_digest.bytes, 0xff, DIGEST_BYTES);
    asked->view.sketch_count = keys_of(merged, MERGED_SAMPLED, asked->digests);
    asked->view.frequent_count = keys_of(merged, MERGED_FREQUENT, asked->frequent);
    for (size_t i = 0; i < DIGESTS; i++) {
        asked->places[i] = htole64(fingerprint_place_make(i, 1 + i % 3));
        asked->often[i] = htole64(8 + i);
    }
    asked->view.totals.distinct = asked->view.sketch_count * 300 + asked->view.frequent_count;
    asked->view.totals.blocks = asked->view.totals.distinct * 3 + 9 * DIGESTS;
    rc = catalog_merged_query(merged, &asked->view, all, &err);
    if (rc < 0 && err.text[0] == '\0')
        abort();
    for (size_t i = 0; rc == 0 && i < hosts; i++) {
        if (all[i].high.identical_distinct > all[i].high.distinct ||
            all[i].best.identical_distinct > all[i].high.identical_distinct ||
            all[i].low.identical_distinct > all[i].best.identical_distinct ||
            all[i].high.identical_with_duplicates > all[i].high.total)
            abort();
    }
    free(all);
    free(asked);
}

static void try_file(const uint8_t *bytes, size_t size)
{
    struct catalog_merged *merged;
    struct error err = {0};
    uint64_t sum = 0;

    if (catalog_merged_decode(bytes, size, &merged, &err) < 0) {
        if (err.text[0] == '\0')
            abort();
        return;
    }
    for (size_t i = 0; i < catalog_merged_host_count(merged); i++)
        sum += strlen(catalog_merged_host_name(merged, i)) + catalog_merged_host_mark(merged, i);
    if (catalog_merged_verify(merged, &err) < 0 && err.text[0] == '\0')
        abort();
    if (sum != UINT64_MAX)
        query(merged);
    catalog_merged_release(merged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = calloc(1, size > 0 ? size : 1);

    if (bytes == NULL)
        return 0;
    if (size > 0)
        memcpy(bytes, data, size);
    try_file(bytes, size);
    mend(bytes, size);
    try_file(bytes, size);
    free(bytes);
    return 0;
}
