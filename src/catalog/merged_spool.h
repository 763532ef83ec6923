/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sketches of many files on their way into a merged index, one behind the other
 * in a nameless file: all of them mapped one by one would be more mappings than
 * a process may have. Private to catalog/.
 */
#ifndef CATALOG_MERGED_SPOOL_H
#define CATALOG_MERGED_SPOOL_H

#include "setmov/catalog_merged.h"
#include "setmov/fingerprint_file.h"

struct merged_spool;

int merged_spool_new(const char *temporary, struct merged_spool **ret_spool, struct error *err);

/*
 * Copies what a merged index takes of one image of the host that is last. When
 * the file cannot be used nothing of it counts and *ret_why says why, else it
 * is "". Only errors of the spool itself are returned.
 */
int merged_spool_add(struct merged_spool *spool, const struct fingerprint_file *file,
                     struct error *ret_why, struct error *err);

/* Ends the images of one host; name and mark are kept as they are. */
int merged_spool_end_host(struct merged_spool *spool, const char *name, uint64_t mark,
                          struct error *err);

/* Maps what was copied and makes the merged index. */
int merged_spool_encode(struct merged_spool *spool, uint8_t **ret_bytes, size_t *ret_length,
                        struct error *err);
void merged_spool_free(struct merged_spool *spool); /* NULL is fine */

#endif
