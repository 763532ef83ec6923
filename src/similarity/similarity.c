/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engines' table, what can be compared, and the figures that all engines share. */

#include "similarity/engines.h"

#include <errno.h>
#include <math.h>

static const struct {
    const char *name;
    similarity_run *run;
} engines[] = {
    [SIMILARITY_EXACT] = {"exact", similarity_run_exact},
    [SIMILARITY_BLOOM] = {"bloom", similarity_run_bloom},
    [SIMILARITY_SKETCH] = {"sketch", similarity_run_sketch},
};

int similarity_engine_parse(const char *name, enum similarity_engine *ret_engine)
{
    for (size_t i = 0; i < ARRAY_LENGTH(engines); i++) {
        if (strcmp(engines[i].name, name) == 0) {
            *ret_engine = (enum similarity_engine)i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *similarity_engine_name(enum similarity_engine engine)
{
    return (size_t)engine < ARRAY_LENGTH(engines) ? engines[engine].name : NULL;
}

static const char *digest_name(enum digest_kind kind)
{
    return kind == DIGEST_MD5 ? "md5" : kind == DIGEST_SHA256 ? "sha256" : "keyed sha256";
}

int similarity_comparable(const struct fingerprint_view *a, const struct fingerprint_view *b,
                          struct error *err)
{
    if (a->kind != b->kind)
        return error_set(err, -EINVAL, "one has digests of %s, the other of %s",
                         digest_name(a->kind), digest_name(b->kind));
    if (a->block_size != b->block_size)
        return error_set(err, -EINVAL, "one has blocks of %u bytes, the other of %u", a->block_size,
                         b->block_size);
    if (memcmp(a->key_id, b->key_id, sizeof(a->key_id)) != 0)
        return error_set(err, -EINVAL, "their digests were made with different keys");
    return 0;
}

int similarity_compare(enum similarity_engine engine, const struct fingerprint_view *a,
                       const struct fingerprint_view *const *others, size_t count,
                       struct similarity_estimate *ret_each, struct similarity_estimate *ret_union,
                       struct error *err)
{
    if ((size_t)engine >= ARRAY_LENGTH(engines))
        return error_set(err, -EINVAL, "there is no engine %u", (unsigned int)engine);
    for (size_t i = 0; i < count; i++) {
        int rc = similarity_comparable(a, others[i], err);

        if (rc < 0)
            return rc;
    }
    return engines[engine].run(a, others, count, ret_each, ret_union, err);
}

struct similarity_figures similarity_figures_of(const struct fingerprint_view *a)
{
    return (struct similarity_figures){
        .total = a->totals.blocks,
        .zero = a->totals.zero,
        .distinct = a->totals.distinct,
        .internal_duplicates = a->totals.blocks - a->totals.distinct,
    };
}

uint64_t similarity_clamp(double value, uint64_t most)
{
    if (!(value > 0))
        return 0;
    value = round(value);
    return value < (double)most ? (uint64_t)value : most;
}

static double share(uint64_t part, uint64_t total)
{
    return total > 0 ? 100.0 * (double)part / (double)total : 0;
}

double similarity_share_distinct(const struct similarity_figures *figures)
{
    return share(figures->identical_distinct, figures->total);
}

double similarity_share_with_duplicates(const struct similarity_figures *figures)
{
    return share(figures->identical_with_duplicates, figures->total);
}
