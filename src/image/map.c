/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of clusters of the formats that QEMU reads without looking at the file's end. */
#include "image/map.h"

#include "image/bytes.h"

#define SECTOR ((uint64_t)512)

/* `base + number * unit`, or as far as numbers go. */
static uint64_t place_of(uint64_t number, uint64_t unit, uint64_t base)
{
    uint64_t place;

    if (__builtin_mul_overflow(number, unit, &place) || __builtin_add_overflow(place, base, &place))
        return UINT64_MAX - 1;
    return place;
}

static uint64_t divide_up(uint64_t value, uint64_t unit)
{
    return value / unit + (value % unit != 0);
}

/* ---- qcow2 ------------------------------------------------------------------------- */

#define QCOW2_OFFSET       0x00fffffffffffe00u
#define QCOW2_COPIED       ((uint64_t)1 << 63)
#define QCOW2_COMPRESSED   ((uint64_t)1 << 62)
#define QCOW2_ZERO         ((uint64_t)1)
#define QCOW2_DATA_FILE    ((uint64_t)1 << 2)
#define QCOW2_EXTENDED     ((uint64_t)1 << 4)
#define QCOW2_SUBCLUSTERS  5 /* bits */
#define QCOW2_ENTRY        8
#define QCOW2_ENTRY_LONGER 16

/* An offset in bytes and how many sectors follow the one that it lies in. */
static uint64_t qcow2_reach_compressed(const struct image_map *map, uint64_t entry)
{
    unsigned bits = map->cluster_bits - 8, shift = 62 - bits;
    uint64_t offset = entry & (((uint64_t)1 << shift) - 1);
    uint64_t sectors = (entry >> shift) & (((uint64_t)1 << bits) - 1);

    if (map->has_data_file) /* there are none */
        return 0;
    return sectors == 0 ? offset + 1 : offset / SECTOR * SECTOR + sectors * SECTOR + 1;
}

/* Does the entry name a cluster in the file (an external one may have it at 0)? */
static bool qcow2_is_placed(const struct image_map *map, uint64_t entry)
{
    return (entry & QCOW2_OFFSET) != 0 || (map->has_data_file && (entry & QCOW2_COPIED) != 0);
}

static uint64_t qcow2_reach(const struct image_map *map, const uint8_t *at)
{
    uint64_t entry = bytes_big64(at);

    if ((entry & QCOW2_COMPRESSED) != 0)
        return qcow2_reach_compressed(map, entry);
    /* One of zeroes may have a place that is never read. */
    if ((entry & QCOW2_ZERO) != 0 || !qcow2_is_placed(map, entry))
        return 0;
    return (entry & QCOW2_OFFSET) + 1;
}

/* A bit for each of 32 parts says whether it is stored. */
static uint64_t qcow2_reach_extended(const struct image_map *map, const uint8_t *at)
{
    uint64_t entry = bytes_big64(at), part = (uint64_t)1 << (map->cluster_bits - QCOW2_SUBCLUSTERS);
    uint32_t stored = bytes_big32(at + 12);

    if ((entry & QCOW2_COMPRESSED) != 0)
        return qcow2_reach_compressed(map, entry);
    if (stored == 0 || !qcow2_is_placed(map, entry))
        return 0;
    return (entry & QCOW2_OFFSET) + (uint64_t)(31 - __builtin_clz(stored)) * part + 1;
}

static uint64_t qcow2_table(const struct image_map *map, const uint8_t *at)
{
    uint64_t offset = bytes_big64(at) & QCOW2_OFFSET;

    /* QEMU reads none that lies amiss. */
    return offset % map->table_bytes == 0 ? offset : 0;
}

static bool parse_qcow2(const uint8_t *header, struct image_map *map)
{
    uint32_t version = bytes_big32(header + 4), bits = bytes_big32(header + 20);
    uint64_t features = version == 3 ? bytes_big64(header + 72) : 0;

    if (version < 2 || version > 3 || bits < 9 || bits > 21)
        return false;
    map->cluster_bits = bits;
    map->has_data_file = (features & QCOW2_DATA_FILE) != 0;
    map->reach = (features & QCOW2_EXTENDED) != 0 ? qcow2_reach_extended : qcow2_reach;
    map->table_entry_bytes = (features & QCOW2_EXTENDED) != 0 ? QCOW2_ENTRY_LONGER : QCOW2_ENTRY;
    map->table = qcow2_table;
    map->table_bytes = (uint64_t)1 << bits;
    map->directory_entry_bytes = QCOW2_ENTRY;
    map->directory_bytes = (uint64_t)bytes_big32(header + 36) * QCOW2_ENTRY;
    map->directory_at = bytes_big64(header + 40);
    map->refcounts_at = bytes_big64(header + 48);
    return true;
}

/* ---- qcow --------------------------------------------------------------------------- */

#define QCOW_COMPRESSED ((uint64_t)1 << 63)

static uint64_t qcow_reach(const struct image_map *map, const uint8_t *at)
{
    uint64_t entry = bytes_big64(at), length;
    unsigned shift = 63 - map->cluster_bits;

    if ((entry & QCOW_COMPRESSED) == 0)
        return entry == 0 ? 0 : entry + 1;
    length = (entry & ~QCOW_COMPRESSED) >> shift;
    return (entry & (((uint64_t)1 << shift) - 1)) + (length > 0 ? length : 1);
}

static uint64_t qcow_table(const struct image_map *map, const uint8_t *at)
{
    (void)map;
    return bytes_big64(at);
}

static bool parse_qcow(const uint8_t *header, struct image_map *map)
{
    unsigned cluster_bits = header[32], table_bits = header[33];

    if (cluster_bits < 9 || cluster_bits > 16 || table_bits < 6 || table_bits > 13)
        return false;
    map->cluster_bits = cluster_bits;
    map->reach = qcow_reach;
    map->table = qcow_table;
    map->table_entry_bytes = map->directory_entry_bytes = 8;
    map->table_bytes = (uint64_t)8 << table_bits;
    map->directory_at = bytes_big64(header + 40);
    map->directory_bytes =
        8 * divide_up(bytes_big64(header + 24), (uint64_t)1 << (cluster_bits + table_bits));
    return true;
}

/* ---- vmdk, vdi, parallels: numbers of 32 bits ------------------------------------------- */

/* Sectors; 1 stands for zeroes. */
static uint64_t vmdk_reach(const struct image_map *map, const uint8_t *at)
{
    uint32_t entry = bytes_little32(at);

    (void)map;
    return entry <= 1 ? 0 : entry * SECTOR + 1;
}

static uint64_t vmdk_table(const struct image_map *map, const uint8_t *at)
{
    (void)map;
    return bytes_little32(at) * SECTOR;
}

static bool parse_vmdk(const uint8_t *header, struct image_map *map)
{
    uint64_t grain = bytes_little64(header + 20), directory = bytes_little64(header + 56);
    uint32_t grains = bytes_little32(header + 44);

    /* A directory at the end of the file is told by a footer, which QEMU misses by itself. */
    if (memcmp(header, "KDMV", 4) != 0 || directory == UINT64_MAX || grain == 0 ||
        grain > 0x200000 || grains == 0 || grains > 512)
        return false;
    map->reach = vmdk_reach;
    map->table = vmdk_table;
    map->table_entry_bytes = map->directory_entry_bytes = 4;
    map->table_bytes = (uint64_t)4 * grains;
    map->directory_at = place_of(directory, SECTOR, 0);
    map->directory_bytes = place_of(divide_up(bytes_little64(header + 12), grain * grains), 4, 0);
    return true;
}

/* Two numbers stand for "none" and "zeroes". */
static uint64_t vdi_reach(const struct image_map *map, const uint8_t *at)
{
    uint32_t entry = bytes_little32(at);

    return entry >= UINT32_MAX - 1 ? 0 : place_of(entry, map->unit, map->base) + 1;
}

static bool parse_vdi(const uint8_t *header, struct image_map *map)
{
    map->reach = vdi_reach;
    map->directory_entry_bytes = 4;
    map->directory_at = bytes_little32(header + 340);
    map->directory_bytes = (uint64_t)4 * bytes_little32(header + 384);
    map->base = bytes_little32(header + 344);
    map->unit = bytes_little32(header + 376);
    return true;
}

static uint64_t parallels_reach(const struct image_map *map, const uint8_t *at)
{
    uint32_t entry = bytes_little32(at);

    return entry == 0 ? 0 : place_of(entry, map->unit, 0) + 1;
}

static bool parse_parallels(const uint8_t *header, struct image_map *map)
{
    bool counts_sectors = memcmp(header, "WithoutFreeSpace", 16) == 0;

    map->reach = parallels_reach;
    map->directory_entry_bytes = 4;
    map->directory_at = 64;
    map->directory_bytes = (uint64_t)4 * bytes_little32(header + 32);
    map->unit = counts_sectors ? SECTOR : bytes_little32(header + 28) * SECTOR;
    return true;
}

/* ---- all of them -------------------------------------------------------------------------- */

bool image_map_parse(const char *format, const uint8_t *header, size_t length,
                     struct image_map *ret_map)
{
    static const struct {
        const char *format;
        size_t length;
        bool (*parse)(const uint8_t *header, struct image_map *map);
    } formats[] = {
        {"qcow2", 104, parse_qcow2}, {"qcow", 48, parse_qcow},           {"vmdk", 79, parse_vmdk},
        {"vdi", 392, parse_vdi},     {"parallels", 64, parse_parallels},
    };
    struct image_map map = {0};

    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        if (strcmp(format, formats[i].format) != 0)
            continue;
        if (length < formats[i].length || !formats[i].parse(header, &map))
            return false;
        *ret_map = map;
        return true;
    }
    return false;
}

uint64_t image_map_reach(const struct image_map *map, const uint8_t *table, size_t length)
{
    size_t step = map->table != NULL ? map->table_entry_bytes : map->directory_entry_bytes;
    uint64_t most = 0;

    for (size_t at = 0; at + step <= length; at += step) {
        uint64_t reach = map->reach(map, table + at);

        most = reach > most ? reach : most;
    }
    return most;
}
