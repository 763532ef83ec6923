/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sorted runs on disk. Runs are not merged entry by entry: the digests are cut
 * into ranges, so that what all runs have of one range fits into memory, and
 * that is read in large pieces and sorted, which is as fast as a merge of many
 * runs, and threads need not wait for each other. Where to cut is known from
 * every so many-th digest of each run, kept in memory.
 */

#include "fingerprint/writer_spill.h"

#include <errno.h>
#include <fcntl.h>

#include "fingerprint/sort.h"

#define ENTRY_BYTES sizeof(struct fingerprint_entry)

/* ---- writing runs ---- */

void spill_init(struct spill *spill, const char *temporary, size_t interval)
{
    *spill = (struct spill){.temporary = temporary, .interval = interval, .place = {.fd = -1}};
}

void spill_release(struct spill *spill)
{
    if (spill->temporary == NULL)
        return;
    for (size_t i = 0; i < spill->count; i++)
        free(spill->runs[i].samples);
    free(spill->runs);
    new_file_release(&spill->place);
    *spill = (struct spill){.place = {.fd = -1}};
}

int spill_begin(struct spill *spill, struct error *err)
{
    int rc = 0;

    if (spill->place.fd < 0)
        rc = new_file_nameless(spill->temporary, &spill->place, err);
    if (rc < 0)
        return rc;
    rc = array_reserve(&spill->runs, &spill->capacity, spill->count + 1, sizeof(*spill->runs));
    if (rc < 0)
        return error_set(err, rc, "no memory for the list of runs");
    spill->runs[spill->count++] = (struct spill_run){.file = spill->place, .first = spill->entries};
    return 0;
}

int spill_add(struct spill *spill, const struct fingerprint_entry *entries, size_t count,
              struct error *err)
{
    struct spill_run *run = &spill->runs[spill->count - 1];
    size_t skipped = (size_t)(run->count % spill->interval);
    int rc = new_file_write(&spill->place, entries, count * ENTRY_BYTES,
                            spill->entries * ENTRY_BYTES, err);

    if (rc < 0)
        return rc;
    for (size_t i = skipped == 0 ? 0 : spill->interval - skipped; i < count; i += spill->interval) {
        rc = array_reserve(&run->samples, &run->sample_capacity, run->sample_count + 1,
                           sizeof(*run->samples));
        if (rc < 0)
            return error_set(err, rc, "no memory for samples of digests");
        run->samples[run->sample_count++] = entries[i].digest;
    }
    run->count += count;
    spill->entries += count;
    return 0;
}

/* ---- where to cut ---- */

static int compare_digests(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct digest));
}

static int cut(struct merge *merge, struct digest *samples, size_t count, size_t every,
               struct error *err)
{
    qsort(samples, count, sizeof(*samples), compare_digests);
    merge->ranges = 1;
    for (size_t i = every; i < count; i += every) {
        int rc;

        if (merge->ranges > 1 && digest_compare(&merge->cuts[merge->ranges - 2], &samples[i]) == 0)
            continue;
        rc = array_reserve(&merge->cuts, &merge->cut_capacity, merge->ranges, sizeof(*merge->cuts));
        if (rc < 0)
            return error_set(err, rc, "no memory for ranges of digests");
        merge->cuts[merge->ranges++ - 1] = samples[i];
    }
    return 0;
}

/* The first entry of the run whose digest is not below `digest`; at least `from`. */
static int find_in_run(const struct spill_run *run, size_t interval, const struct digest *digest,
                       uint64_t from, uint64_t *ret_at, struct error *err)
{
    size_t low_sample = 0, high_sample = run->sample_count;
    uint64_t low, high;

    while (low_sample < high_sample) {
        size_t middle = low_sample + (high_sample - low_sample) / 2;

        if (digest_compare(&run->samples[middle], digest) < 0)
            low_sample = middle + 1;
        else
            high_sample = middle;
    }
    /* The sample before is below, this one is not. */
    low = low_sample == 0 ? 0 : (uint64_t)(low_sample - 1) * interval + 1;
    high = low_sample == run->sample_count ? run->count : (uint64_t)low_sample * interval;
    low = low < from ? from : low;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct digest found;
        int rc = new_file_read(&run->file, &found, sizeof(found),
                               (run->first + middle) * ENTRY_BYTES, err);

        if (rc < 0)
            return rc;
        if (digest_compare(&found, digest) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_at = low;
    return 0;
}

static int find_positions(struct merge *merge, size_t interval, struct error *err)
{
    merge->positions = calloc((merge->ranges + 1) * merge->count, sizeof(*merge->positions));
    if (merge->positions == NULL)
        return error_set(err, -ENOMEM, "no memory for ranges of digests");
    for (size_t i = 0; i < merge->count; i++) {
        merge->positions[merge->ranges * merge->count + i] = merge->runs[i]->count;
        for (size_t range = 1; range < merge->ranges; range++) {
            uint64_t *at = &merge->positions[range * merge->count + i];
            int rc = find_in_run(merge->runs[i], interval, &merge->cuts[range - 1],
                                 at[-(ptrdiff_t)merge->count], at, err);

            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

int merge_plan(struct merge *merge, const struct spill_run **runs, size_t count, size_t interval,
               size_t wanted, struct error *err)
{
    CLEANUP(cleanup_free) struct digest *samples = NULL;
    size_t total = 0, at = 0;
    int rc;

    *merge = (struct merge){.runs = runs, .count = count};
    for (size_t i = 0; i < count; i++)
        total += runs[i]->sample_count;
    samples = malloc((total + 1) * sizeof(*samples));
    if (samples == NULL)
        return error_set(err, -ENOMEM, "no memory for samples of digests");
    for (size_t i = 0; i < count; i++) {
        memcpy(samples + at, runs[i]->samples, runs[i]->sample_count * sizeof(*samples));
        at += runs[i]->sample_count;
    }
    rc = cut(merge, samples, total, wanted / interval + 1, err);
    if (rc == 0)
        rc = find_positions(merge, interval, err);
    if (rc < 0)
        merge_release(merge);
    return rc;
}

void merge_release(struct merge *merge)
{
    free(merge->cuts);
    free(merge->positions);
    *merge = (struct merge){0};
}

/* ---- one range ---- */

static unsigned leading_equal_bits(const struct digest *left, const struct digest *right)
{
    unsigned bits = 0;

    for (size_t i = 0; i < DIGEST_BYTES; i++, bits += 8) {
        unsigned differing = left->bytes[i] ^ right->bytes[i];

        if (differing != 0)
            return bits + (unsigned)__builtin_clz(differing) - (unsigned)(sizeof(int) - 1) * 8;
    }
    return bits;
}

int merge_load(const struct merge *merge, size_t range, struct run_pair *pair, size_t *ret_count,
               struct error *err)
{
    const uint64_t *begin = &merge->positions[range * merge->count], *end = begin + merge->count;
    struct digest lowest, highest;
    size_t total = 0, at = 0;
    int rc;

    for (size_t i = 0; i < merge->count; i++)
        total += (size_t)(end[i] - begin[i]);
    if (total > UINT32_MAX || run_pair_reserve(pair, total) < 0)
        return error_set(err, -ENOMEM, "no memory to merge %zu digests", total);
    memset(&lowest, 0xff, sizeof(lowest));
    memset(&highest, 0, sizeof(highest));
    for (size_t i = 0; i < merge->count; i++) {
        const struct spill_run *run = merge->runs[i];
        size_t here = (size_t)(end[i] - begin[i]);
        uint64_t offset = (run->first + begin[i]) * ENTRY_BYTES;

        if (here == 0)
            continue;
        rc = new_file_read(&run->file, pair->from + at, here * ENTRY_BYTES, offset, err);
        if (rc < 0)
            return rc;
        /* It is not read again: gives back the disk, and the page cache. */
        (void)fallocate(run->file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                        (off_t)(here * ENTRY_BYTES));
        if (digest_compare(&pair->from[at].digest, &lowest) < 0)
            lowest = pair->from[at].digest;
        at += here;
        if (digest_compare(&pair->from[at - 1].digest, &highest) > 0)
            highest = pair->from[at - 1].digest;
    }
    if (total > 0)
        fingerprint_sort_into(pair->from, pair->to, total, leading_equal_bits(&lowest, &highest));
    *ret_count = total;
    return 0;
}
