/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Units of ascending entries, merged, taken apart, summed and written. */

#include "fingerprint/writer_output.h"

#include <errno.h>

#include "fingerprint/writer_run.h"

/* Digests that go out at once: 256 KiB of them; what is in the works should fit the cache. */
#define ROOM ((size_t)16384)
/* Of the file, that is asked for at once, at most. */
#define STEP ((uint64_t)8 << 20)
/* Of frequent digests, before a file is made. */
#define STREAM_BYTES ((size_t)1 << 20)

/* ---- streams ---- */

static int stream_add(struct stream *stream, const char *temporary, const void *bytes,
                      size_t length, struct error *err)
{
    int rc = 0;

    if (length == 0)
        return 0;
    if (stream->length + length > STREAM_BYTES && stream->length > 0) {
        if (stream->place.fd < 0)
            rc = new_file_nameless(temporary, &stream->place, err);
        if (rc == 0)
            rc =
                new_file_write(&stream->place, stream->bytes, stream->length, stream->written, err);
        if (rc < 0)
            return rc;
        stream->written += stream->length;
        stream->length = 0;
    }
    rc = array_reserve(&stream->bytes, &stream->capacity, stream->length + length, 1);
    if (rc < 0)
        return error_set(err, rc, "no memory for digests that occur often");
    memcpy(stream->bytes + stream->length, bytes, length);
    fingerprint_checksum_add(&stream->sum, bytes, length);
    stream->length += length;
    return 0;
}

static void stream_release(struct stream *stream)
{
    new_file_release(&stream->place);
    free(stream->bytes);
    stream->bytes = NULL;
}

/* ---- what is shared ---- */

void output_init(struct output *output, struct new_file *file, const char *temporary,
                 uint64_t digests_offset, const struct digest *zero_digest)
{
    struct stream empty = {.place = {.fd = -1}};

    fingerprint_checksum_init(&empty.sum);
    *output = (struct output){
        .file = file,
        .temporary = temporary,
        .digests_offset = digests_offset,
        .places = {.fd = -1},
        .zero_digest = *zero_digest,
        .digests_sum = empty.sum,
        .places_sum = empty.sum,
        .sketch_digests_sum = empty.sum,
        .sketch_places_sum = empty.sum,
        .frequent_digests = empty,
        .frequent_multiplicity = empty,
    };
}

int output_places_in_memory(struct output *output, size_t entries, struct error *err)
{
    /* Pages are there only once they are written. */
    output->places_bytes = (entries + 1) * sizeof(uint64_t);
    output->places_memory = pages_new(output->places_bytes);
    if (output->places_memory == NULL)
        return error_set(err, -ENOMEM, "no memory for the places of %zu blocks", entries);
    return 0;
}

int output_places_in_file(struct output *output, struct error *err)
{
    return new_file_nameless(output->temporary, &output->places, err);
}

/* Of what is asked for while digests are written, places take what is left over. */
void output_allocate(struct output *output, uint64_t end)
{
    uint64_t length, least = end / 4 < STEP ? end / 4 : STEP;

    if (end <= output->allocated)
        return;
    length = end - output->allocated;
    if (length < least)
        length = least;
    if (new_file_allocate(output->file, output->allocated, length))
        output->allocated += length;
    else
        output->allocated = UINT64_MAX;
}

void output_release(struct output *output)
{
    pages_free(output->places_memory, output->places_bytes);
    new_file_release(&output->places);
    stream_release(&output->frequent_digests);
    stream_release(&output->frequent_multiplicity);
}

static int write_places(const struct output *output, const uint64_t *places, size_t count,
                        uint64_t before, struct error *err)
{
    if (output->places_memory == NULL)
        return new_file_write(&output->places, places, count * sizeof(*places),
                              before * sizeof(*places), err);
    memcpy(output->places_memory + before * sizeof(*places), places, count * sizeof(*places));
    return 0;
}

/* ---- one thread's part ---- */

int emitter_init(struct emitter *emitter, struct output *output, struct crew *crew,
                 struct error *err)
{
    *emitter = (struct emitter){.output = output, .crew = crew};
    emitter->memory = malloc(ROOM * (sizeof(*emitter->digests) + sizeof(*emitter->places)));
    if (emitter->memory == NULL)
        return error_set(err, -ENOMEM, "no memory for digests on their way to the file");
    emitter->digests = (struct digest *)emitter->memory;
    emitter->places = (uint64_t *)(emitter->memory + ROOM * sizeof(*emitter->digests));
    return 0;
}

void emitter_release(struct emitter *emitter)
{
    free(emitter->memory);
    fingerprint_frequent_release(&emitter->frequent);
}

void emitter_begin(struct emitter *emitter, size_t unit)
{
    emitter->unit = unit;
    emitter->has_turn = false;
}

/* Exactly how often the zero digest occurs, if it is among these. */
static void look_for_zero(const struct emitter *emitter)
{
    struct output *output = emitter->output;
    const struct fingerprint_frequent *frequent = &emitter->frequent;
    size_t at = fingerprint_find(emitter->digests, emitter->count, &output->zero_digest);

    if (at == emitter->count)
        return;
    output->zero = fingerprint_place_multiplicity(le64toh(emitter->places[at]));
    at = fingerprint_find(frequent->digests, frequent->count, &output->zero_digest);
    if (at < frequent->count)
        output->zero = le64toh(frequent->multiplicity[at]);
}

static int account(const struct emitter *emitter, struct error *err)
{
    struct output *output = emitter->output;
    const struct fingerprint_frequent *frequent = &emitter->frequent;
    size_t count = emitter->count, sketch = 0;
    int rc;

    fingerprint_checksum_add(&output->digests_sum, emitter->digests,
                             count * sizeof(*emitter->digests));
    fingerprint_checksum_add(&output->places_sum, emitter->places,
                             count * sizeof(*emitter->places));
    while (sketch < count && emitter->digests[sketch].bytes[0] == 0)
        sketch++;
    fingerprint_checksum_add(&output->sketch_digests_sum, emitter->digests,
                             sketch * sizeof(*emitter->digests));
    fingerprint_checksum_add(&output->sketch_places_sum, emitter->places,
                             sketch * sizeof(*emitter->places));
    look_for_zero(emitter);
    rc = stream_add(&output->frequent_digests, output->temporary, frequent->digests,
                    frequent->count * sizeof(*frequent->digests), err);
    if (rc == 0)
        rc = stream_add(&output->frequent_multiplicity, output->temporary, frequent->multiplicity,
                        frequent->count * sizeof(*frequent->multiplicity), err);
    output->sketch += sketch;
    output->distinct += count;
    output->frequent += frequent->count;
    return rc;
}

static bool flush(struct emitter *emitter, bool is_last)
{
    struct output *output = emitter->output;
    struct error err;
    uint64_t before;
    int rc;

    if (!emitter->has_turn && !crew_wait_turn(emitter->crew, emitter->unit))
        return false;
    emitter->has_turn = true;
    before = output->distinct;
    rc = account(emitter, &err);
    output_allocate(output, output->digests_offset + output->distinct * sizeof(struct digest));
    if (is_last)
        crew_pass_turn(emitter->crew);
    if (rc == 0)
        rc = new_file_write(output->file, emitter->digests,
                            emitter->count * sizeof(*emitter->digests),
                            output->digests_offset + before * sizeof(*emitter->digests), &err);
    if (rc == 0)
        rc = write_places(output, emitter->places, emitter->count, before, &err);
    emitter->count = 0;
    emitter->frequent.count = 0;
    if (rc < 0)
        crew_fail(emitter->crew, rc, &err);
    return rc == 0;
}

/* The last digest that was written occurs often, and as often as is known by now. */
static int note_frequent(struct emitter *emitter, uint64_t times)
{
    struct fingerprint_frequent *frequent = &emitter->frequent;
    const struct digest *digest = &emitter->digests[emitter->count - 1];

    if (frequent->count > 0 &&
        digest_compare(&frequent->digests[frequent->count - 1], digest) == 0) {
        frequent->multiplicity[frequent->count - 1] = htole64(times);
        return 0;
    }
    return fingerprint_frequent_append(frequent, digest, htole64(times));
}

static inline bool are_equal(const struct digest *left, const struct digest *right)
{
    uint64_t a[2], b[2];

    memcpy(a, left, sizeof(a));
    memcpy(b, right, sizeof(b));
    return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

/*
 * Merges equal neighbours and takes the entries apart; there is room. Whether a
 * block is a duplicate is anybody's guess, the CPU's too: so without a branch
 * the last digest is written again and again until another one comes.
 */
static int reduce(struct emitter *emitter, const struct fingerprint_entry *entries, size_t count)
{
    struct digest *digests = emitter->digests;
    uint64_t block = 0, times = 0;
    size_t out = emitter->count;

    for (size_t i = 0; i < count; i++) {
        uint64_t place = entries[i].place, own = fingerprint_place_block(place);
        bool same = i > 0 && are_equal(&entries[i].digest, &entries[i - 1].digest);

        block = same && block < own ? block : own;
        times = (same ? times : 0) + fingerprint_place_multiplicity(place);
        out += !same;
        digests[out - 1] = entries[i].digest;
        emitter->places[out - 1] = htole64(fingerprint_place_make(block, times));
        if (__builtin_expect(times >= FINGERPRINT_FREQUENT, 0)) {
            int rc;

            emitter->count = out;
            rc = note_frequent(emitter, times);
            if (rc < 0)
                return rc;
        }
    }
    emitter->count = out;
    return 0;
}

bool emitter_add(struct emitter *emitter, const struct fingerprint_entry *entries, size_t count)
{
    while (count > 0) {
        size_t part = count < ROOM ? count : ROOM;
        struct error err;
        int rc;

        if (emitter->count + part > ROOM && !flush(emitter, false))
            return false;
        while (part < count && are_equal(&entries[part].digest, &entries[part - 1].digest))
            part++;
        rc = reduce(emitter, entries, part);
        if (rc < 0) {
            crew_fail(emitter->crew, error_set(&err, rc, "no memory for digests that occur often"),
                      &err);
            return false;
        }
        entries += part;
        count -= part;
    }
    return true;
}

bool emitter_end(struct emitter *emitter)
{
    return flush(emitter, true);
}
