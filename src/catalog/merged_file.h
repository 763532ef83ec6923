/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A merged index that is kept in a file: what making it and asking it share.
 *
 * The mark that the file keeps of a host, from the highest bit on: 40 bits of
 * a checksum over what was seen of its directory and the kind of fingerprints,
 * 16 bits the number of images (65535: so many or more), 8 bits enum merged_seen.
 */
#ifndef SETMOV_CATALOG_MERGED_FILE_INTERNAL_H
#define SETMOV_CATALOG_MERGED_FILE_INTERNAL_H

#include "catalog/merged.h"
#include "setmov/catalog_merged_file.h"

#define MERGED_MOST_IMAGES 0xffff

enum merged_seen {
    SEEN_PROBLEMS = 1 << 0,
    SEEN_OTHER_KINDS = 1 << 1,
    SEEN_PROVISIONAL = 1 << 2,
    SEEN_ELSE = 1 << 3, /* no fingerprint, but other files: images, perhaps */
};

/* One host that has a directory: a row of the merged index. */
struct merged_row {
    size_t host;
    const struct catalog_merged_source *source;
    uint64_t checksum; /* 40 bits; 0: not to be relied on, so that the next run looks again */
    bool is_racy;
};

struct catalog_merged_file {
    char *path; /* of the file itself, behind symbolic links */
    size_t host_count;
    int *codes;      /* of each host's directory */
    size_t *rows_of; /* the row of each host that has one */
    struct merged_row *rows;
    size_t row_count;
    char magic[MERGED_MAGIC_BYTES]; /* of what was there */
    size_t magic_length;
    void *mapped;
    struct file_guard *guard; /* of the mapping */
    uint8_t *made;            /* or it was just made */
    size_t length;
    struct catalog_merged *merged;
};

/* ---- the file (merged_map.c) ------------------------------------------------------- */

int merged_file_make_room(struct catalog_merged_file *file, size_t count, struct error *err);

/*
 * Maps what lies at file->path; an empty file is not mapped. -ENOENT; -EEXIST:
 * something else than a file.
 */
int merged_file_load(struct catalog_merged_file *file, struct error *err);
void merged_file_unmap(struct catalog_merged_file *file);

/* ---- directories (merged_glance.c) ------------------------------------------------- */

/*
 * What tells whether the directory is as it was: 40 bits, not 0. is_racy: it
 * changed so lately that it may change again within one tick of a clock. A
 * negative errno: it cannot be used.
 */
int merged_glance(const char *directory, const struct catalog_kind *kind, uint64_t *ret_checksum,
                  bool *ret_is_racy);

#endif
