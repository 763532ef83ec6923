/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One fingerprint file in the making. Each worker has a run of entries in
 * memory, dealt into buckets as they come. If they all fit, the buckets are
 * sorted one after the other, those of all workers together, and go straight
 * to the file. Else a run that is full is sorted and goes to a nameless file;
 * then in the end all runs are cut into ranges of digests, which are sorted
 * and go the same way.
 */

#include "fingerprint/writer.h"

#include <errno.h>

#include "fingerprint/file.h"
#include "fingerprint/format.h"
#include "fingerprint/sort.h"
#include "fingerprint/writer_finish.h"

/* A bucket of so many entries is sorted within a core's own cache. */
#define BUCKET_ENTRIES ((size_t)2048)
#define MOST_BITS      10
/* Chunks and small buffers that are begun should be few beside the entries. */
#define ENTRIES_FOR_BUCKET ((size_t)512)
/* Of one thread while it merges from disk, whatever memory there is. */
#define LEAST_MERGED ((size_t)1024)

struct worker {
    struct run *run;      /* made when it adds its first entry */
    struct run_pair pair; /* to sort what is spilled */
    uint64_t blocks;
};

struct fingerprint_writer {
    struct fingerprint_writer_settings settings; /* without strings */
    char *path, *temporary;
    struct new_file file;
    unsigned bits; /* 2^bits buckets */
    struct worker *workers;
    struct spill *spills; /* one a worker */
};

/* ---- making ---- */

static size_t entries_of(const struct fingerprint_writer *writer, size_t bytes_each)
{
    return writer->settings.memory_bytes / writer->settings.workers / bytes_each;
}

static size_t merged_entries(const struct fingerprint_writer *writer)
{
    size_t entries = entries_of(writer, 2 * sizeof(struct fingerprint_entry) + 8);

    return entries > LEAST_MERGED ? entries : LEAST_MERGED;
}

static unsigned choose_bits(const struct fingerprint_writer *writer)
{
    uint64_t expected = writer->settings.blocks_expected;
    size_t most = entries_of(writer, sizeof(struct fingerprint_entry));
    unsigned bits = 0;

    if (expected > 0 && expected / writer->settings.workers < most)
        most = (size_t)(expected / writer->settings.workers);
    while (bits < MOST_BITS && most >> bits > 2 * ENTRIES_FOR_BUCKET)
        bits++;
    return bits;
}

int fingerprint_writer_new(const struct fingerprint_writer_settings *settings,
                           struct fingerprint_writer **ret_writer, struct error *err)
{
    struct fingerprint_writer *writer;
    int rc;

    if (settings->workers == 0)
        return error_set(err, -EINVAL, "a fingerprint needs somebody who writes it");
    writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return error_set(err, -ENOMEM, "no memory for a fingerprint");
    writer->settings = *settings;
    writer->file.fd = -1;
    writer->path = settings->path != NULL ? strdup(settings->path) : NULL;
    writer->temporary = strdup(settings->temporary);
    writer->workers = calloc(settings->workers, sizeof(*writer->workers));
    writer->spills = calloc(settings->workers, sizeof(*writer->spills));
    if ((settings->path != NULL && writer->path == NULL) || writer->temporary == NULL ||
        writer->workers == NULL || writer->spills == NULL) {
        fingerprint_writer_free(writer);
        return error_set(err, -ENOMEM, "no memory for a fingerprint");
    }
    writer->settings.path = writer->path;
    writer->settings.temporary = writer->temporary;
    writer->bits = choose_bits(writer);
    for (unsigned i = 0; i < settings->workers; i++)
        spill_init(&writer->spills[i], writer->temporary, finish_interval(merged_entries(writer)));
    if (writer->path != NULL)
        rc = new_file_beside(writer->path, &writer->file, err);
    else
        rc = new_file_nameless(writer->temporary, &writer->file, err);
    if (rc < 0) {
        fingerprint_writer_free(writer);
        return rc;
    }
    *ret_writer = writer;
    return 0;
}

void fingerprint_writer_free(struct fingerprint_writer *writer)
{
    if (writer == NULL)
        return;
    for (unsigned i = 0; writer->workers != NULL && i < writer->settings.workers; i++) {
        run_free(writer->workers[i].run);
        run_pair_release(&writer->workers[i].pair);
    }
    for (unsigned i = 0; writer->spills != NULL && i < writer->settings.workers; i++)
        spill_release(&writer->spills[i]);
    new_file_release(&writer->file);
    free(writer->workers);
    free(writer->spills);
    free(writer->path);
    free(writer->temporary);
    free(writer);
}

/* ---- entries ---- */

/* The worker's run goes to disk, sorted. */
static int spill_run(const struct fingerprint_writer *writer, size_t number, struct error *err)
{
    struct worker *worker = &writer->workers[number];
    struct spill *spill = &writer->spills[number];
    int rc = spill_begin(spill, err);

    for (size_t bucket = 0; rc == 0 && bucket < (size_t)1 << writer->bits; bucket++) {
        size_t count = run_bucket_count(worker->run, bucket);

        if (count == 0)
            continue;
        if (run_pair_reserve(&worker->pair, count) < 0)
            return error_set(err, -ENOMEM, "no memory to sort %zu digests", count);
        run_gather(worker->run, bucket, worker->pair.from);
        fingerprint_sort_into(worker->pair.from, worker->pair.to, count, writer->bits);
        rc = spill_add(spill, worker->pair.to, run_merge_equal(worker->pair.to, count), err);
    }
    if (rc == 0)
        run_clear(worker->run);
    return rc;
}

int fingerprint_writer_room(struct fingerprint_writer *writer, unsigned worker, size_t count,
                            struct fingerprint_entry **ret_entries, struct error *err)
{
    struct worker *own = &writer->workers[worker];
    struct fingerprint_entry *entries;
    int rc = 0;

    if (own->run == NULL)
        rc = run_new(writer->settings.memory_bytes / writer->settings.workers, writer->bits,
                     writer->settings.workers, &own->run);
    if (rc < 0)
        return error_set(err, rc, "no memory for digests");
    if (run_is_full(own->run, count)) {
        rc = spill_run(writer, worker, err);
        if (rc < 0)
            return rc;
    }
    entries = run_room(own->run, count);
    if (entries == NULL)
        return error_set(err, -ENOMEM, "no memory for digests");
    *ret_entries = entries;
    return 0;
}

void fingerprint_writer_commit(struct fingerprint_writer *writer, unsigned worker, size_t count)
{
    struct worker *own = &writer->workers[worker];

    if (count > 0)
        own->blocks += run_add(own->run, count);
}

/* ---- the end ---- */

/* Blocks of zeroes, as so many entries as their number needs. */
static int add_zeroes(struct fingerprint_writer *writer, const struct fingerprint_writer_end *end,
                      struct error *err)
{
    uint64_t left = end->zero_blocks;

    while (left > 0) {
        uint64_t times = left < FINGERPRINT_SATURATED ? left : FINGERPRINT_SATURATED - 1;
        struct fingerprint_entry *entry = NULL;
        int rc = fingerprint_writer_room(writer, 0, 1, &entry, err);

        if (rc < 0 || entry == NULL)
            return rc;
        entry->digest = writer->settings.zero_digest;
        entry->place = fingerprint_place_make(end->first_zero_block, times);
        fingerprint_writer_commit(writer, 0, 1);
        left -= times;
    }
    return 0;
}

static void work_last_spills(struct crew *crew, unsigned member, void *context)
{
    struct fingerprint_writer *writer = context;
    size_t unit;

    while (crew_take(crew, member, &unit)) {
        struct worker *worker = &writer->workers[unit];
        struct error err;
        int rc = 0;

        if (worker->run != NULL && run_count(worker->run) > 0)
            rc = spill_run(writer, unit, &err);
        if (rc < 0)
            crew_fail(crew, rc, &err);
        run_free(worker->run);
        worker->run = NULL;
        run_pair_release(&worker->pair);
    }
}

static int from_disk(struct fingerprint_writer *writer, struct crew *crew, struct output *output,
                     struct error *err)
{
    unsigned count = writer->settings.workers;
    int rc;

    crew_reach(crew, 0.1);
    rc = crew_run(crew, count, work_last_spills, writer, err);
    if (rc < 0)
        return rc;
    return finish_from_disk(crew, output, writer->spills, count, merged_entries(writer), err);
}

static int from_memory(struct fingerprint_writer *writer, struct crew *crew, struct output *output,
                       struct error *err)
{
    CLEANUP(cleanup_free)
    struct run **runs = calloc((size_t)writer->settings.workers + 1, sizeof(*runs));
    size_t count = 0;
    int rc;

    if (runs == NULL)
        return error_set(err, -ENOMEM, "no memory for the list of runs");
    for (unsigned i = 0; i < writer->settings.workers; i++) {
        if (writer->workers[i].run != NULL)
            runs[count++] = writer->workers[i].run;
    }
    rc = finish_from_memory(crew, output, runs, count, writer->bits, err);
    for (unsigned i = 0; i < writer->settings.workers; i++) {
        run_free(writer->workers[i].run);
        writer->workers[i].run = NULL;
    }
    return rc;
}

/* Digests are in the file and everything is counted. */
static int finish_head(struct fingerprint_writer *writer, struct crew *crew, struct output *output,
                       const struct fingerprint_identity *identity, const uint8_t *layers,
                       size_t layers_length, struct error *err)
{
    struct fingerprint_head head = {
        .view = {.kind = writer->settings.kind,
                 .block_size = writer->settings.block_size,
                 .zero_digest = writer->settings.zero_digest,
                 .identity = *identity,
                 .totals = {.zero = output->zero, .distinct = output->distinct}}};
    int rc;

    memcpy(head.view.key_id, writer->settings.key_id, sizeof(head.view.key_id));
    for (unsigned i = 0; i < writer->settings.workers; i++)
        head.view.totals.blocks += writer->workers[i].blocks;
    rc = fingerprint_totals_check(&head.view, err);
    if (rc < 0)
        return rc;
    return finish_sections(crew, output, &head, layers, layers_length, err);
}

static int finish(struct fingerprint_writer *writer, const struct fingerprint_identity *identity,
                  struct crew *crew, struct output *output, struct error *err)
{
    CLEANUP(cleanup_free) uint8_t *layers = NULL;
    size_t layers_length = 0;
    uint64_t offset;
    bool is_spilled = false;
    int rc = fingerprint_layers_encode(identity, &layers, &layers_length, err);

    if (rc < 0)
        return rc;
    offset = (FINGERPRINT_HEAD_MAX + layers_length + FINGERPRINT_ALIGNMENT - 1) /
             FINGERPRINT_ALIGNMENT * FINGERPRINT_ALIGNMENT;
    output_init(output, &writer->file, writer->temporary, offset, &writer->settings.zero_digest);
    for (unsigned i = 0; i < writer->settings.workers; i++)
        is_spilled = is_spilled || writer->spills[i].count > 0;
    if (is_spilled)
        rc = from_disk(writer, crew, output, err);
    else
        rc = from_memory(writer, crew, output, err);
    if (rc < 0)
        return rc;
    return finish_head(writer, crew, output, identity, layers, layers_length, err);
}

int fingerprint_writer_finish(struct fingerprint_writer *writer,
                              const struct fingerprint_writer_end *end, struct error *err)
{
    struct output output = {.file = NULL,
                            .places = {.fd = -1},
                            .frequent_digests = {.place = {.fd = -1}},
                            .frequent_multiplicity = {.place = {.fd = -1}}};
    struct crew crew;
    int rc = add_zeroes(writer, end, err);

    if (rc < 0)
        return rc;
    crew_init(&crew, writer->settings.workers, &writer->settings.caller);
    rc = finish(writer, &end->identity, &crew, &output, err);
    output_release(&output);
    crew_destroy(&crew);
    if (rc == 0 && writer->settings.sync)
        rc = new_file_sync(&writer->file, err);
    if (rc == 0 && writer->settings.caller.progress != NULL)
        writer->settings.caller.progress(writer->settings.caller.context, 1);
    return rc;
}

int fingerprint_writer_check_name(const struct fingerprint_writer *writer, struct error *err)
{
    return new_file_check(&writer->file, err);
}

int fingerprint_writer_publish(struct fingerprint_writer *writer, struct error *err)
{
    return new_file_publish(&writer->file, err);
}

int fingerprint_writer_open(struct fingerprint_writer *writer, struct fingerprint_file **ret_file,
                            struct error *err)
{
    return file_map(writer->file.fd, writer->path, FINGERPRINT_PART_ALL, FILE_TRUSTED, ret_file,
                    err);
}
