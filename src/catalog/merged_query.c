/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A query of a merged index: each of the query's digests that is known gives a
 * code, codes are counted for hosts, and the sketch engine makes estimates.
 *
 * What is read is not trusted: every number is checked where it is followed,
 * and buckets are searched in steps that halve, so nothing takes longer than
 * the query's length times the number of hosts.
 */

#include "catalog/merged.h"

#include <errno.h>

/* What the query's digests are. */
enum class {
    SAMPLE,      /* what the sketch's estimate stands on */
    FREQUENT_IN, /* frequent, and sampled: hosts have it, or surely not */
    FREQUENT_OUT,
    CLASSES,
};

/* ---- from digests to codes ---- */

static const uint32_t no_code = UINT32_MAX;

static uint32_t code_at(const struct catalog_merged *merged, enum merged_kind kind, uint64_t i)
{
    uint64_t at = i * merged->layout.code_bits;
    uint64_t word = get_u64(merged->sections[MERGED_CODES + kind] + at / 8);

    return (uint32_t)(word >> at % 8 & ((UINT64_C(1) << merged->layout.code_bits) - 1));
}

/* -EINVAL: damaged. */
static int find(const struct catalog_merged *merged, enum merged_kind kind,
                const struct digest *digest, uint32_t *ret_code)
{
    const uint8_t *remainders = merged->sections[MERGED_REMAINDERS + kind];
    uint32_t bits = merged->layout.bits[kind];
    uint64_t key = merged_key(kind, digest);
    uint64_t bucket = bits > 0 ? key >> (64 - bits) : 0;
    const uint8_t *start = merged->sections[MERGED_STARTS + kind] + bucket * 4;
    uint64_t low = get_u32(start), high = get_u32(start + 4), end = high;
    uint32_t wanted = (uint32_t)(key >> (64 - bits - MERGED_REMAINDER_BITS));

    if (low > high || high > merged->layout.keys[kind])
        return -EINVAL;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (get_u32(remainders + middle * 4) < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_code =
        low < end && get_u32(remainders + low * 4) == wanted ? code_at(merged, kind, low) : no_code;
    return 0;
}

static int look_up(struct merged_count *count, enum merged_kind kind, const struct digest *digest,
                   uint64_t blocks)
{
    uint32_t code;
    int rc = find(count->merged, kind, digest, &code);

    if (rc == 0 && code != no_code)
        merged_count_add(count, code, blocks);
    return rc;
}

/* ---- figures ---- */

struct query {
    const struct catalog_merged *merged;
    const struct fingerprint_view *view;
    struct merged_count counts[CLASSES];
    uint64_t unknown[MERGED_FIGURES]; /* of FREQUENT_OUT, wherever they are */
};

static void query_release(struct query *query)
{
    for (size_t i = 0; i < CLASSES; i++)
        merged_count_release(&query->counts[i]);
}

static int look_up_all(struct query *query)
{
    const struct fingerprint_view *view = query->view;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < view->sketch_count; i++) {
        uint64_t blocks = similarity_sample_times(view, i);

        if (blocks > 0)
            rc = look_up(&query->counts[SAMPLE], MERGED_SAMPLED, &view->digests[i], blocks);
    }
    for (size_t i = 0; rc == 0 && i < view->frequent_count; i++) {
        const struct digest *digest = &view->frequent[i];
        uint64_t blocks = le64toh(view->frequent_multiplicity[i]);

        if (digest_compare(digest, &view->zero_digest) == 0)
            continue;
        if (digest->bytes[0] == 0) {
            rc = look_up(&query->counts[FREQUENT_IN], MERGED_SAMPLED, digest, blocks);
            continue;
        }
        query->unknown[MERGED_DIGESTS]++;
        query->unknown[MERGED_BLOCKS] += blocks;
        rc = look_up(&query->counts[FREQUENT_OUT], MERGED_FREQUENT, digest, blocks);
    }
    for (size_t i = 0; rc == 0 && i < CLASSES; i++)
        rc = merged_count_finish(&query->counts[i]);
    return rc;
}

/* A damaged index may name a host twice: nobody has more than there is. */
static double at_most(uint64_t value, double most)
{
    return (double)value < most ? (double)value : most;
}

static void add_found(const struct query *query, enum merged_figure figure, size_t host, bool empty,
                      struct similarity_sums *sums)
{
    double asked = (double)query->unknown[figure];
    double out = at_most(query->counts[FREQUENT_OUT].hosts[figure][host], asked);

    sums->seen_hits = at_most(query->counts[SAMPLE].hosts[figure][host], sums->seen);
    sums->present = (double)query->counts[FREQUENT_IN].hosts[figure][host] + out;
    sums->unknown = empty ? 0 : asked - out;
}

static void estimate_all(const struct query *query, struct similarity_estimate *ret_all)
{
    const struct similarity_tally of_query = similarity_tally_of(query->view);
    const uint8_t *line = query->merged->sections[MERGED_HOSTS];

    for (size_t host = 0; host < query->merged->layout.host_count; host++) {
        uint32_t flags = get_u32(line + host * MERGED_HOST_BYTES + MERGED_HOST_FLAGS);
        bool empty = (flags & MERGED_IS_EMPTY) != 0;
        struct similarity_tally tally = of_query;

        add_found(query, MERGED_DIGESTS, host, empty, &tally.digests);
        add_found(query, MERGED_BLOCKS, host, empty, &tally.blocks);
        ret_all[host] =
            similarity_tally_estimate(query->view, &tally, (flags & MERGED_HAS_ZERO) != 0, 0);
    }
}

static int check_kind(const struct catalog_merged *merged, const struct fingerprint_view *view,
                      struct error *err)
{
    struct fingerprint_view ours = {.kind = merged->layout.kind,
                                    .block_size = merged->layout.block_size};
    int rc;

    if (merged->layout.kind == 0)
        return 0;
    memcpy(ours.key_id, merged->layout.key_id, sizeof(ours.key_id));
    rc = similarity_comparable(view, &ours, err);
    return rc < 0 ? error_prefix(err, rc, "the image and the merged index") : 0;
}

int catalog_merged_query(const struct catalog_merged *merged, const struct fingerprint_view *query,
                         struct similarity_estimate *ret_all, struct error *err)
{
    CLEANUP(query_release) struct query run = {.merged = merged, .view = query};
    int rc = check_kind(merged, query, err);

    for (size_t i = 0; rc == 0 && i < CLASSES; i++)
        rc = merged_count_init(&run.counts[i], merged,
                               i == SAMPLE ? query->sketch_count : query->frequent_count, err);
    if (rc != 0)
        return rc;
    if (look_up_all(&run) < 0)
        return error_set(err, -EINVAL, "the merged index is damaged");
    estimate_all(&run, ret_all);
    return 0;
}
