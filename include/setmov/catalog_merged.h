/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sketches of many hosts in one: each sampled digest with the hosts that
 * have it, so that a query costs its own samples and not the hosts' number.
 *
 * A merged index is one block of memory, or a mapped file: encoding, decoding
 * and queries are pure. Figures are those of the sketch engine for the union of
 * what each host holds (similarity.h), but without the hosts' Bloom filters:
 * digests that occur often in the query are known exactly only where they are
 * sampled, or occur often in an image of the host; intervals say so. Format:
 * docs/merged-format.md.
 *
 * Of a digest so many bits are kept that another one is taken for it once in
 * 10^8 lookups (16 digests of a bucket, 32 bits each): in one query of 100,000
 * with 2000 samples, and then a host has one sample more. Who makes digests
 * that collide distorts an estimate, as he could with any false fingerprint.
 *
 * Thread safety: queries may run in several threads.
 */
#ifndef SETMOV_CATALOG_MERGED_H
#define SETMOV_CATALOG_MERGED_H

#include "setmov/similarity.h"

#define CATALOG_MERGED_MAX_HOSTS 65535

/* What one host brings: the sketches of its images (any order), all of one kind. */
struct catalog_merged_host {
    const char *name;
    const struct fingerprint_view *const *views; /* need FINGERPRINT_PART_SKETCH */
    size_t count;
    uint64_t mark; /* whatever tells whether the host's index changed since; kept as it is */
};

struct catalog_merged; /* decoded: points into memory that somebody else keeps */

/*
 * Makes the index; the caller frees. -EINVAL: views that do not compare with
 * one another, naming two; digests that do not ascend; no hosts, too many, a
 * name of more than 4095 bytes. -EOVERFLOW: 2^32 different digests, or more.
 * Memory: about the result, twice, and 40 bytes an image. The order of a host's
 * images does not matter.
 */
int catalog_merged_encode(const struct catalog_merged_host *hosts, size_t count,
                          uint8_t **ret_bytes, size_t *ret_length, struct error *err);

/*
 * Lays an index over bytes that must stay there, unchanged, until it is
 * released; any alignment. Checked here: the head with its checksum, the hosts'
 * list, and that all sections lie in the bytes; it takes no longer for a large
 * index. What a query follows is checked when it follows it, so that no file
 * makes it crash or hang; damage that is not noticed so makes figures wrong, and
 * catalog_merged_verify() finds it. -EINVAL: no merged index, or damaged.
 * -ENOTSUP: another version.
 */
int catalog_merged_decode(const void *bytes, size_t length, struct catalog_merged **ret_merged,
                          struct error *err);
void catalog_merged_release(struct catalog_merged *merged); /* NULL is fine */

/* Reads all of it: is the body's checksum right? -EINVAL: no. */
int catalog_merged_verify(const struct catalog_merged *merged, struct error *err);

size_t catalog_merged_host_count(const struct catalog_merged *merged);
const char *catalog_merged_host_name(const struct catalog_merged *merged, size_t host);
uint64_t catalog_merged_host_mark(const struct catalog_merged *merged, size_t host);

/*
 * The query against every host: ret_all has room for all of them.
 * -EINVAL: another digest, block size or key; the index is damaged. -ENOMEM.
 */
int catalog_merged_query(const struct catalog_merged *merged, const struct fingerprint_view *query,
                         struct similarity_estimate *ret_all, struct error *err);

#endif
