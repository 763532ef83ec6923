/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a writer: from unsorted entries to sections and the head. Private. */
#ifndef FINGERPRINT_WRITER_FINISH_H
#define FINGERPRINT_WRITER_FINISH_H

#include "fingerprint/writer_output.h"
#include "fingerprint/writer_spill.h"

/* Entries that are all in memory: several runs with the same buckets. */
int finish_from_memory(struct crew *crew, struct output *output, struct run **runs, size_t count,
                       unsigned bits, struct error *err);

/*
 * Entries that are all on disk, in `count` spills, which are released on the
 * way; `entries` fit into the memory of each thread, twice.
 */
int finish_from_disk(struct crew *crew, struct output *output, struct spill *spills, size_t count,
                     size_t entries, struct error *err);

/* Sections behind the digests, and the head; the sections of `head` are made here. */
int finish_sections(struct crew *crew, struct output *output, struct fingerprint_head *head,
                    const uint8_t *layers, size_t layers_length, struct error *err);

/* Between two samples of a run, where so many entries fit into memory. */
size_t finish_interval(size_t entries);

#endif
