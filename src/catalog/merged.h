/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What writer and reader of a merged index share: where its fields lie, tables
 * of keys, sets of hosts. The words for it are in docs/merged-format.md.
 */
#ifndef CATALOG_MERGED_H
#define CATALOG_MERGED_H

#include "setmov/base_bytes.h"
#include "setmov/catalog_merged.h"

#define MERGED_MAGIC       "SETMOVMI"
#define MERGED_MAGIC_BYTES (sizeof(MERGED_MAGIC) - 1)
#define MERGED_VERSION     1
#define MERGED_ALIGNMENT   64 /* of every section */
#define MERGED_NAME_MAX    4095

enum merged_header {
    MERGED_AT_MAGIC = 0,
    MERGED_AT_VERSION = 8,
    MERGED_AT_DIGEST_KIND = 12,
    MERGED_AT_BLOCK_SIZE = 16,
    MERGED_AT_HOST_COUNT = 20,
    MERGED_AT_FILE_LENGTH = 24,
    MERGED_AT_KEY_ID = 32,
    MERGED_AT_NAMES_LENGTH = 40,
    MERGED_AT_SAMPLED_KEYS = 48,
    MERGED_AT_FREQUENT_KEYS = 56,
    MERGED_AT_SAMPLED_BITS = 64,
    MERGED_AT_FREQUENT_BITS = 68,
    MERGED_AT_SET_COUNT = 72,
    MERGED_AT_CODE_BITS = 76,
    MERGED_AT_SET_UNITS = 80,
    MERGED_AT_BODY_CHECKSUM = 88,
    MERGED_AT_CHECKSUM = 96, /* of what stands before it, and of the hosts and names */
    MERGED_HEADER_BYTES = 104,
};

enum merged_host {
    MERGED_HOST_MARK = 0,
    MERGED_HOST_IMAGES = 8,
    MERGED_HOST_NAME = 16, /* where in the names it begins */
    MERGED_HOST_FLAGS = 20,
    MERGED_HOST_BYTES = 24,
};

/* Without digests: what the host lacks is then known, too. */
enum merged_flags { MERGED_HAS_ZERO = 1, MERGED_IS_EMPTY = 2, MERGED_FLAGS_KNOWN = 3 };

/*
 * A key is 64 bits of a digest. The first `bits` of them choose a bucket, and
 * the 32 behind them are kept; the rest is not.
 */
#define MERGED_REMAINDER_BITS 32
#define MERGED_BITS_MAX       28
#define MERGED_BUCKET_KEYS    16 /* of a bucket, on average; half as many to as many */

/* Sampled digests (their first byte is 0, for all), and frequent ones that are not sampled. */
enum merged_kind { MERGED_SAMPLED, MERGED_FREQUENT, MERGED_KINDS };

/* The sections, in the order of the file. */
enum merged_section {
    MERGED_HOSTS,
    MERGED_NAMES,
    MERGED_STARTS, /* of the buckets: u32 each, and one more */
    MERGED_REMAINDERS = MERGED_STARTS + MERGED_KINDS,
    MERGED_CODES = MERGED_REMAINDERS + MERGED_KINDS,
    MERGED_SET_OFFSETS = MERGED_CODES + MERGED_KINDS, /* u32 each, and one more; in units */
    MERGED_SET_HOSTS,                                 /* units: u16 */
    MERGED_SECTIONS,
};

/* What the header tells, and where that puts everything. */
struct merged_layout {
    enum digest_kind kind;
    uint32_t block_size, host_count, set_count, code_bits;
    uint8_t key_id[8];
    uint32_t bits[MERGED_KINDS];
    uint64_t keys[MERGED_KINDS];
    uint64_t names_length, set_units;
    uint64_t offsets[MERGED_SECTIONS], lengths[MERGED_SECTIONS], file_length; /* placed */
};

/* From the counts to offsets and lengths. -EOVERFLOW: too much for a file. */
int merged_layout_place(struct merged_layout *layout);
/* Behind which the body begins: the sections that are not covered by the head's checksum. */
uint64_t merged_head_length(const struct merged_layout *layout);
uint64_t merged_head_checksum(const struct merged_layout *layout, const uint8_t *file);
uint64_t merged_body_checksum(const struct merged_layout *layout, const uint8_t *file);

struct catalog_merged {
    struct merged_layout layout;
    const uint8_t *file;
    const uint8_t *sections[MERGED_SECTIONS];
};

/* A set of all hosts takes a bit each; smaller lists are kept as lists. */
static inline size_t merged_bitmap_units(size_t host_count)
{
    return (host_count + 15) / 16;
}

/* Which 64 bits of a digest are the key: behind the constant first byte, or the first. */
static inline uint64_t merged_key(enum merged_kind kind, const struct digest *digest)
{
    uint64_t key;

    memcpy(&key, digest->bytes + (kind == MERGED_SAMPLED), sizeof(key));
    return be64toh(key);
}

/* How many bits are enough to tell `count` values apart; at least 1. */
static inline uint32_t merged_bits_for(uint64_t count)
{
    uint32_t bits = 1;

    while (bits < 63 && UINT64_C(1) << bits < count)
        bits++;
    return bits;
}

/* ---- for queries -------------------------------------------------------------- */

/* Of digests that a host has: their number, and how many blocks of the query they are. */
enum merged_figure { MERGED_DIGESTS, MERGED_BLOCKS, MERGED_FIGURES };

#define MERGED_PLANES 64 /* bits of a counter */
#define MERGED_BATCH  8  /* bitmaps that are added at a time */

/* Bitmaps that wait, to be added to the counters' bit of the same number. */
struct merged_batch {
    const uint8_t *bitmaps[MERGED_BATCH];
    size_t count;
};

/* What was found with one code. */
struct merged_weight {
    uint32_t code_1; /* code and 1; 0: a free slot */
    uint64_t of[MERGED_FIGURES];
};

/* Weights by code first, then by host. */
struct merged_count {
    const struct catalog_merged *merged;
    struct merged_weight *codes; /* by hash */
    size_t slots;
    uint64_t *planes[MERGED_FIGURES];              /* MERGED_PLANES words for each 64 hosts */
    struct merged_batch (*batches)[MERGED_PLANES]; /* of each figure */
    uint64_t *hosts[MERGED_FIGURES];               /* the result */
};

/* For so many digests at most. -ENOMEM. */
int merged_count_init(struct merged_count *count, const struct catalog_merged *merged,
                      size_t digests, struct error *err);
void merged_count_add(struct merged_count *count, uint32_t code, uint64_t blocks);
/* Sets `hosts`. -EINVAL: the index is damaged. */
int merged_count_finish(struct merged_count *count);
void merged_count_release(struct merged_count *count);

/* ---- for the writer ---------------------------------------------------------- */

/* Different sets of hosts, each once, as the file has them. */
struct merged_sets {
    size_t host_count, count;
    uint16_t *units; /* little-endian */
    size_t unit_count, unit_capacity;
    uint32_t *ends; /* of each set, in units */
    size_t end_capacity;
    uint32_t *hashes;
    size_t hash_capacity;
    uint32_t *slots; /* 0, or a set's number and 1 */
    size_t slot_count;
};

/* `hosts` ascend. Gives the set's number, the same one for the same hosts. -ENOMEM, -EOVERFLOW. */
int merged_sets_add(struct merged_sets *sets, const uint16_t *hosts, size_t count,
                    uint32_t *ret_set);
void merged_sets_release(struct merged_sets *sets);

/* One of the two tables while it is made. A code: a host, or host_count and a set's number. */
struct merged_table {
    uint32_t bits;
    uint32_t *starts; /* 2^bits and one more */
    uint32_t *remainders, *codes;
    size_t count, remainder_capacity, code_capacity;
};

int merged_table_make(enum merged_kind kind, const struct catalog_merged_host *hosts, size_t count,
                      struct merged_sets *sets, struct merged_table *table, struct error *err);
void merged_table_release(struct merged_table *table);

#endif
