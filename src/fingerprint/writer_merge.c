/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unsorted entries in memory, or sorted runs on disk, become units of the output. */

#include "fingerprint/writer_finish.h"

#include <errno.h>

#include "fingerprint/sort.h"

/* Entries that one thread has in the works at once, where memory allows: they fit its cache. */
#define UNIT_ENTRIES ((size_t)24576)
/* Of a run's part of a range: smaller reads cost more than what they bring. */
#define PIECE_ENTRIES ((size_t)2730) /* 64 KiB */

/* ---- from memory ---- */

struct from_memory {
    struct output *output;
    struct run **runs;
    size_t count, buckets, buckets_per_unit;
    unsigned bits;
};

static bool emit_bucket(const struct from_memory *from, struct emitter *emitter, size_t bucket,
                        struct run_pair *pair)
{
    size_t total = 0, at = 0;

    for (size_t i = 0; i < from->count; i++)
        total += run_bucket_count(from->runs[i], bucket);
    if (total == 0)
        return true;
    if (total > UINT32_MAX || run_pair_reserve(pair, total) < 0) {
        struct error err;

        crew_fail(emitter->crew, error_set(&err, -ENOMEM, "no memory to sort %zu digests", total),
                  &err);
        return false;
    }
    for (size_t i = 0; i < from->count; i++) {
        run_gather(from->runs[i], bucket, pair->from + at);
        at += run_bucket_count(from->runs[i], bucket);
    }
    fingerprint_sort_into(pair->from, pair->to, total, from->bits);
    return emitter_add(emitter, pair->to, total);
}

static void work_from_memory(struct crew *crew, unsigned member, void *context)
{
    const struct from_memory *from = context;
    struct run_pair pair = {0};
    struct emitter emitter;
    struct error err;
    size_t unit;
    int rc = emitter_init(&emitter, from->output, crew, &err);

    if (rc < 0)
        crew_fail(crew, rc, &err);
    while (crew_take(crew, member, &unit)) {
        size_t begin = unit * from->buckets_per_unit, end = begin + from->buckets_per_unit, bucket;
        bool good = true;

        emitter_begin(&emitter, unit);
        end = end < from->buckets ? end : from->buckets;
        for (bucket = begin; good && bucket < end; bucket++)
            good = emit_bucket(from, &emitter, bucket, &pair);
        if (!good || !emitter_end(&emitter))
            break;
        /* It had its turn, so all before it had theirs. */
        for (size_t i = 0; i < from->count; i++)
            run_release(from->runs[i], begin, end);
    }
    run_pair_release(&pair);
    emitter_release(&emitter);
}

int finish_from_memory(struct crew *crew, struct output *output, struct run **runs, size_t count,
                       unsigned bits, struct error *err)
{
    struct from_memory from = {
        .output = output, .runs = runs, .count = count, .bits = bits, .buckets = (size_t)1 << bits};
    size_t entries = 1;
    int rc;

    for (size_t i = 0; i < count; i++)
        entries += run_count(runs[i]);
    rc = output_places_in_memory(output, entries, err);
    if (rc < 0)
        return rc;
    from.buckets_per_unit = from.buckets * UNIT_ENTRIES / entries;
    if (from.buckets_per_unit < 1)
        from.buckets_per_unit = 1;
    crew_reach(crew, 0.7);
    return crew_run(crew, (from.buckets + from.buckets_per_unit - 1) / from.buckets_per_unit,
                    work_from_memory, &from, err);
}

/* ---- from disk ---- */

size_t finish_interval(size_t entries)
{
    size_t interval = entries / 64;

    if (interval < 16)
        interval = 16;
    return interval < PIECE_ENTRIES ? interval : PIECE_ENTRIES;
}

/* So large that every run has a good piece of it; memory permitting. */
static size_t range_entries(size_t runs, size_t entries)
{
    size_t slack = runs * finish_interval(entries);
    size_t most = entries > 2 * slack ? entries - slack : entries / 2;
    size_t wanted = 4 * runs * PIECE_ENTRIES;

    if (wanted < UNIT_ENTRIES)
        wanted = UNIT_ENTRIES;
    return wanted < most ? wanted : most;
}

struct from_disk {
    struct output *output;
    struct merge merge;
};

static void work_from_disk(struct crew *crew, unsigned member, void *context)
{
    const struct from_disk *from = context;
    struct run_pair pair = {0};
    struct emitter emitter;
    struct error err;
    size_t unit, count = 0;
    int rc = emitter_init(&emitter, from->output, crew, &err);

    if (rc < 0)
        crew_fail(crew, rc, &err);
    while (crew_take(crew, member, &unit)) {
        emitter_begin(&emitter, unit);
        rc = merge_load(&from->merge, unit, &pair, &count, &err);
        if (rc < 0)
            crew_fail(crew, rc, &err);
        if (rc < 0 || !emitter_add(&emitter, pair.to, count) || !emitter_end(&emitter))
            break;
    }
    run_pair_release(&pair);
    emitter_release(&emitter);
}

/* ---- runs to fewer runs ---- */

struct level {
    const struct spill_run **runs;
    size_t count, at_once, entries, interval;
    struct spill *spills; /* one a thread */
};

static int merge_group(const struct level *level, size_t group, struct crew *crew, unsigned member,
                       struct run_pair *pair, struct error *err)
{
    struct spill *spill = &level->spills[member];
    size_t first = group * level->at_once;
    size_t runs = level->count - first < level->at_once ? level->count - first : level->at_once;
    struct merge merge;
    size_t count = 0;
    int rc = merge_plan(&merge, &level->runs[first], runs, level->interval,
                        range_entries(runs, level->entries), err);

    if (rc < 0)
        return rc;
    rc = spill_begin(spill, err);
    for (size_t range = 0; rc == 0 && range < merge.ranges; range++) {
        if (crew_is_over(crew, member))
            break;
        rc = merge_load(&merge, range, pair, &count, err);
        if (rc == 0)
            rc = spill_add(spill, pair->to, run_merge_equal(pair->to, count), err);
    }
    merge_release(&merge);
    return rc;
}

static void work_level(struct crew *crew, unsigned member, void *context)
{
    struct run_pair pair = {0};
    struct error err;
    size_t group;

    while (crew_take(crew, member, &group)) {
        int rc = merge_group(context, group, crew, member, &pair, &err);

        if (rc < 0)
            crew_fail(crew, rc, &err);
    }
    run_pair_release(&pair);
}

/* All runs of all spills; the caller frees. */
static const struct spill_run **list_runs(const struct spill *spills, size_t count,
                                          size_t *ret_runs)
{
    const struct spill_run **runs;
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += spills[i].count;
    runs = calloc(total + 1, sizeof(*runs));
    if (runs == NULL)
        return NULL;
    total = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < spills[i].count; j++)
            runs[total++] = &spills[i].runs[j];
    }
    *ret_runs = total;
    return runs;
}

/* Merges groups of runs, until there are few. `spills` hold the result in the end. */
static int merge_levels(struct crew *crew, struct spill *spills, size_t count, size_t entries,
                        const char *temporary, struct error *err)
{
    size_t interval = finish_interval(entries), at_once = entries / (2 * interval), left = 0;
    int rc = 0;

    at_once = at_once < 2 ? 2 : at_once;
    while (rc == 0) {
        CLEANUP(cleanup_free) const struct spill_run **runs = list_runs(spills, count, &left);
        CLEANUP(cleanup_free) struct spill *merged = calloc(count, sizeof(*merged));
        struct level level = {runs, left, at_once, entries, interval, merged};

        if (runs == NULL || merged == NULL)
            return error_set(err, -ENOMEM, "no memory for the list of runs");
        if (left <= at_once)
            return 0;
        for (size_t i = 0; i < count; i++)
            spill_init(&merged[i], temporary, interval);
        crew_reach(crew, (crew->share + 0.4) / 2);
        rc = crew_run(crew, (left + at_once - 1) / at_once, work_level, &level, err);
        for (size_t i = 0; i < count; i++) {
            spill_release(&spills[i]);
            spills[i] = merged[i];
        }
    }
    return rc;
}

int finish_from_disk(struct crew *crew, struct output *output, struct spill *spills, size_t count,
                     size_t entries, struct error *err)
{
    CLEANUP(cleanup_free) const struct spill_run **runs = NULL;
    struct from_disk from = {.output = output};
    size_t left = 0;
    int rc = merge_levels(crew, spills, count, entries, output->temporary, err);

    if (rc < 0)
        return rc;
    runs = list_runs(spills, count, &left);
    if (runs == NULL)
        return error_set(err, -ENOMEM, "no memory for the list of runs");
    rc = output_places_in_file(output, err);
    if (rc < 0)
        return rc;
    rc = merge_plan(&from.merge, runs, left, finish_interval(entries), range_entries(left, entries),
                    err);
    crew_reach(crew, 0.7);
    if (rc == 0)
        rc = crew_run(crew, from.merge.ranges, work_from_disk, &from, err);
    merge_release(&from.merge);
    for (size_t i = 0; i < count; i++)
        spill_release(&spills[i]);
    return rc;
}
