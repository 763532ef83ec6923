/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of an image file that say where its clusters lie, as far as is
 * needed to see whether the file was cut short. QEMU reads what lies behind
 * the end of a file as zeroes, without a word. Pure; the bytes are a
 * stranger's.
 *
 * Known are the formats that QEMU does not check so itself: qcow2, qcow, vmdk
 * (sparse, with its directory in front), vdi, parallels.
 */
#ifndef SETMOV_IMAGE_MAP_H
#define SETMOV_IMAGE_MAP_H

#include "setmov/base.h"

/* So many bytes of the header are enough. */
#define IMAGE_MAP_HEADER_BYTES 512

/* More tables than any sound image has that QEMU opens. */
#define IMAGE_MAP_MOST_TABLES ((uint64_t)4 << 20)

struct image_map {
    /* How far an entry that names a cluster reaches (see below). */
    uint64_t (*reach)(const struct image_map *map, const uint8_t *entry);
    /* Where the table lies that an entry of the directory names; 0: none. NULL: one level only. */
    uint64_t (*table)(const struct image_map *map, const uint8_t *entry);
    uint64_t directory_at, directory_bytes;
    uint64_t table_bytes; /* of each */
    uint64_t refcounts_at;
    uint32_t directory_entry_bytes, table_entry_bytes;
    uint64_t unit, base; /* of numbers of clusters, where they are no offsets */
    unsigned cluster_bits;
    bool has_data_file; /* the clusters lie in another file */
};

/*
 * Reads the header, of which `length` bytes are there. False: no such format,
 * or QEMU refuses a header like that.
 */
bool image_map_parse(const char *format, const uint8_t *header, size_t length,
                     struct image_map *ret_map);

/*
 * How many bytes the file must have that holds the clusters: up to the first
 * byte of each that the table names, or of the last piece of it that is
 * stored; 0 where it names none that is read. The last cluster may be there
 * in part only: some writers end a file so.
 */
uint64_t image_map_reach(const struct image_map *map, const uint8_t *table, size_t length);

#endif
