/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sorted end of a writer: units of ascending entries become sections.
 * Several threads make units, each in memory of its own; only to count and to
 * sum do they take turns. Private.
 */
#ifndef FINGERPRINT_WRITER_OUTPUT_H
#define FINGERPRINT_WRITER_OUTPUT_H

#include "fingerprint/writer_crew.h"
#include "setmov/base_new_file.h"
#include "setmov/fingerprint.h"

/* Bytes that come one behind the other; in memory while they are few. */
struct stream {
    struct new_file place; /* fd -1: none yet */
    uint8_t *bytes;
    size_t length, capacity;
    uint64_t written; /* in the file, before `bytes` */
    struct fingerprint_checksum sum;
};

/* What all threads share; changed in turn. */
struct output {
    struct new_file *file;
    const char *temporary;
    uint64_t digests_offset;
    uint64_t allocated; /* the file has room up to here; UINT64_MAX: it cannot be asked for */
    /* Places wait until theirs is known: in memory where that has room, else in a file. */
    uint8_t *places_memory;
    size_t places_bytes; /* of that memory */
    struct new_file places;
    uint64_t distinct, sketch, frequent;
    uint64_t zero; /* multiplicity of the zero digest */
    struct digest zero_digest;
    struct fingerprint_checksum digests_sum, places_sum, sketch_digests_sum, sketch_places_sum;
    struct stream frequent_digests, frequent_multiplicity;
};

void output_init(struct output *output, struct new_file *file, const char *temporary,
                 uint64_t digests_offset, const struct digest *zero_digest);
/* Where places wait; all of them are in memory when there is room for that many entries. */
int output_places_in_memory(struct output *output, size_t entries, struct error *err);
int output_places_in_file(struct output *output, struct error *err);
/* Before something is written up to there; what is left over is cut off in the end. */
void output_allocate(struct output *output, uint64_t end);
void output_release(struct output *output);

/* One thread's. */
struct emitter {
    struct output *output;
    struct crew *crew;
    size_t unit;
    bool has_turn;
    uint8_t *memory;
    struct digest *digests;
    uint64_t *places; /* as the file has them */
    size_t count;
    struct fingerprint_frequent frequent; /* among them */
};

int emitter_init(struct emitter *emitter, struct output *output, struct crew *crew,
                 struct error *err);
void emitter_release(struct emitter *emitter);

void emitter_begin(struct emitter *emitter, size_t unit);
/*
 * Ascending entries behind all that came before in this unit and in units
 * before it; equal ones come in one call. False: failed, the crew knows.
 */
bool emitter_add(struct emitter *emitter, const struct fingerprint_entry *entries, size_t count);
bool emitter_end(struct emitter *emitter);

#endif
