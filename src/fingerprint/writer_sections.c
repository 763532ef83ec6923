/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What follows the digests in the file, once their number is known: the Bloom
 * filter, made in windows from the digests that were just written, places and
 * frequent digests copied from where they waited, and the head.
 */

#include "fingerprint/writer_finish.h"

#include <errno.h>

#define WINDOW_BYTES   ((size_t)256 << 10) /* of the filter; of digests read and bytes copied too */
#define WINDOW_DIGESTS (WINDOW_BYTES / sizeof(struct digest))

struct sections {
    struct output *output;
    uint64_t bloom_offset, places_offset;
    size_t bloom_bytes, bloom_windows;
    struct fingerprint_checksum bloom_sum; /* changed in turn */
};

/* ---- Bloom filter ---- */

static int read_digests(const struct output *output, uint64_t first, size_t count,
                        struct digest *digests, struct error *err)
{
    return new_file_read(output->file, digests, count * sizeof(*digests),
                         output->digests_offset + first * sizeof(*digests), err);
}

/* The first digest whose block of the filter begins at `at` or behind it. */
static int find_digest(const struct sections *sections, size_t at, uint64_t *ret_first,
                       struct error *err)
{
    uint64_t low = 0, high = at > 0 ? sections->output->distinct : 0;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct digest digest;
        int rc = read_digests(sections->output, middle, 1, &digest, err);

        if (rc < 0)
            return rc;
        if (fingerprint_bloom_block(sections->bloom_bytes, &digest) < at)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_first = low;
    return 0;
}

/* fingerprint_bloom_add() for a window; a word at a time is faster than a byte. */
static inline void set_bits(uint8_t *block, uint64_t bits)
{
    for (size_t i = 0; i < FINGERPRINT_BLOOM_BLOCK / 8; i++, bits >>= 6) {
        uint64_t word;

        memcpy(&word, block + i * 8, sizeof(word));
        word |= htole64(UINT64_C(1) << (bits & 63));
        memcpy(block + i * 8, &word, sizeof(word));
    }
}

/* The part of the filter from `at`, `length` bytes of it. */
static int fill_window(const struct sections *sections, size_t at, size_t length, uint8_t *window,
                       struct digest *digests, struct error *err)
{
    uint64_t first = 0, distinct = sections->output->distinct;
    int rc = find_digest(sections, at, &first, err);

    memset(window, 0, length);
    while (rc == 0 && first < distinct) {
        size_t count =
            distinct - first < WINDOW_DIGESTS ? (size_t)(distinct - first) : WINDOW_DIGESTS;

        rc = read_digests(sections->output, first, count, digests, err);
        if (rc < 0)
            return rc;
        for (size_t i = 0; i < count; i++) {
            size_t block = fingerprint_bloom_block(sections->bloom_bytes, &digests[i]);

            if (block - at >= length)
                return 0;
            set_bits(window + (block - at), fingerprint_bloom_bits(&digests[i]));
        }
        first += count;
    }
    return rc;
}

static int make_window(struct crew *crew, struct sections *sections, size_t unit, uint8_t *memory,
                       struct error *err)
{
    size_t at = unit * WINDOW_BYTES, left = sections->bloom_bytes - at;
    size_t length = left < WINDOW_BYTES ? left : WINDOW_BYTES;
    int rc =
        fill_window(sections, at, length, memory, (struct digest *)(memory + WINDOW_BYTES), err);

    if (rc < 0)
        return rc;
    if (!crew_wait_turn(crew, unit))
        return 0;
    fingerprint_checksum_add(&sections->bloom_sum, memory, length);
    crew_pass_turn(crew);
    return new_file_write(sections->output->file, memory, length, sections->bloom_offset + at, err);
}

/* ---- copies ---- */

static int copy_places(const struct sections *sections, size_t part, uint8_t *memory,
                       struct error *err)
{
    const struct output *output = sections->output;
    uint64_t at = (uint64_t)part * WINDOW_BYTES, left = output->distinct * sizeof(uint64_t) - at;
    size_t length = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
    int rc = 0;

    if (output->places_memory != NULL)
        memory = output->places_memory + at;
    else
        rc = new_file_read(&output->places, memory, length, at, err);
    if (rc < 0)
        return rc;
    return new_file_write(output->file, memory, length, sections->places_offset + at, err);
}

static int copy_stream(const struct stream *stream, const struct new_file *file, uint64_t offset,
                       struct error *err)
{
    CLEANUP(cleanup_free) uint8_t *memory = malloc(WINDOW_BYTES);
    int rc = 0;

    if (memory == NULL)
        return error_set(err, -ENOMEM, "no memory to copy what occurs often");
    for (uint64_t at = 0; rc == 0 && at < stream->written; at += WINDOW_BYTES) {
        uint64_t left = stream->written - at;
        size_t length = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;

        rc = new_file_read(&stream->place, memory, length, at, err);
        if (rc == 0)
            rc = new_file_write(file, memory, length, offset + at, err);
    }
    if (rc == 0)
        rc = new_file_write(file, stream->bytes, stream->length, offset + stream->written, err);
    return rc;
}

static void work(struct crew *crew, unsigned member, void *context)
{
    struct sections *sections = context;
    CLEANUP(cleanup_free) uint8_t *memory = malloc(2 * WINDOW_BYTES);
    struct error err;
    size_t unit;

    if (memory == NULL) {
        crew_fail(crew, error_set(&err, -ENOMEM, "no memory for a part of the filter"), &err);
        return;
    }
    while (crew_take(crew, member, &unit)) {
        int rc;

        if (unit < sections->bloom_windows)
            rc = make_window(crew, sections, unit, memory, &err);
        else
            rc = copy_places(sections, unit - sections->bloom_windows, memory, &err);
        if (rc < 0)
            crew_fail(crew, rc, &err);
    }
}

/* ---- head ---- */

/* A section behind those that are there; returns its offset. */
static uint64_t lay(struct fingerprint_head *head, enum fingerprint_section_kind kind,
                    uint64_t length)
{
    uint64_t offset = (head->file_length + FINGERPRINT_ALIGNMENT - 1) / FINGERPRINT_ALIGNMENT *
                      FINGERPRINT_ALIGNMENT;

    if (length == 0)
        return offset;
    head->sections[head->section_count++] =
        (struct fingerprint_section){.kind = kind, .offset = offset, .length = length};
    head->file_length = offset + length;
    return offset;
}

static void lay_beginning(struct fingerprint_head *head, enum fingerprint_section_kind kind,
                          uint64_t offset, uint64_t length)
{
    if (length > 0)
        head->sections[head->section_count++] =
            (struct fingerprint_section){.kind = kind, .offset = offset, .length = length};
}

static void set_sum(struct fingerprint_head *head, enum fingerprint_section_kind kind,
                    const struct fingerprint_checksum *sum)
{
    for (size_t i = 0; i < head->section_count; i++) {
        if (head->sections[i].kind == kind)
            head->sections[i].checksum = fingerprint_checksum_value(sum);
    }
}

static void set_sums(struct fingerprint_head *head, const struct sections *sections,
                     const uint8_t *layers, size_t layers_length)
{
    const struct output *output = sections->output;
    struct fingerprint_checksum sum;

    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, layers, layers_length);
    set_sum(head, FINGERPRINT_LAYERS, &sum);
    set_sum(head, FINGERPRINT_DIGESTS, &output->digests_sum);
    set_sum(head, FINGERPRINT_PLACES, &output->places_sum);
    set_sum(head, FINGERPRINT_FREQUENT_DIGESTS, &output->frequent_digests.sum);
    set_sum(head, FINGERPRINT_FREQUENT_MULTIPLICITY, &output->frequent_multiplicity.sum);
    set_sum(head, FINGERPRINT_BLOOM, &sections->bloom_sum);
    set_sum(head, FINGERPRINT_SKETCH_DIGESTS, &output->sketch_digests_sum);
    set_sum(head, FINGERPRINT_SKETCH_PLACES, &output->sketch_places_sum);
}

int finish_sections(struct crew *crew, struct output *output, struct fingerprint_head *head,
                    const uint8_t *layers, size_t layers_length, struct error *err)
{
    struct sections sections = {.output = output,
                                .bloom_bytes = fingerprint_bloom_bytes(output->distinct)};
    uint8_t bytes[FINGERPRINT_HEAD_MAX] = {0};
    uint64_t layers_offset, frequent_offset, multiplicity_offset, digests, parts;
    int rc;

    fingerprint_checksum_init(&sections.bloom_sum);
    digests = output->distinct * sizeof(struct digest);
    head->section_count = 0;
    head->file_length = FINGERPRINT_HEAD_MAX;
    layers_offset = lay(head, FINGERPRINT_LAYERS, layers_length);
    lay(head, FINGERPRINT_DIGESTS, digests); /* where they are already: output->digests_offset */
    sections.places_offset = lay(head, FINGERPRINT_PLACES, digests / 2);
    frequent_offset =
        lay(head, FINGERPRINT_FREQUENT_DIGESTS, output->frequent * sizeof(struct digest));
    multiplicity_offset =
        lay(head, FINGERPRINT_FREQUENT_MULTIPLICITY, output->frequent * sizeof(uint64_t));
    sections.bloom_offset = lay(head, FINGERPRINT_BLOOM, sections.bloom_bytes);
    lay_beginning(head, FINGERPRINT_SKETCH_DIGESTS, output->digests_offset,
                  output->sketch * sizeof(struct digest));
    lay_beginning(head, FINGERPRINT_SKETCH_PLACES, sections.places_offset,
                  output->sketch * sizeof(uint64_t));
    sections.bloom_windows = (sections.bloom_bytes + WINDOW_BYTES - 1) / WINDOW_BYTES;
    parts = (digests / 2 + WINDOW_BYTES - 1) / WINDOW_BYTES;
    output_allocate(output, head->file_length);
    crew_reach(crew, 1);
    rc = crew_run(crew, sections.bloom_windows + (size_t)parts, work, &sections, err);
    if (rc == 0)
        rc = copy_stream(&output->frequent_digests, output->file, frequent_offset, err);
    if (rc == 0)
        rc = copy_stream(&output->frequent_multiplicity, output->file, multiplicity_offset, err);
    if (rc == 0)
        rc = new_file_write(output->file, layers, layers_length, layers_offset, err);
    if (rc == 0)
        rc = new_file_truncate(output->file, head->file_length, err);
    if (rc < 0)
        return rc;
    set_sums(head, &sections, layers, layers_length);
    fingerprint_head_encode(head, bytes);
    return new_file_write(output->file, bytes, sizeof(bytes), 0, err);
}
