/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage fingerprint/: what blocks an image has. A fingerprint file holds the
 * image's identity and totals, its distinct digests in ascending order, each
 * with the block where it lies first and how often it occurs, and, as sections
 * of their own, what can be read by itself from afar: the digests that occur
 * often, and a Bloom filter. The sketch (all digests below a threshold) is the
 * beginning of the sorted digests; it has its own line in the table of
 * sections, with its own checksum, so it can be read alone too.
 * Every byte: docs/fingerprint-format.md.
 *
 * The format is encoded and decoded in memory (pure); builder and files are
 * the effectful side. A struct fingerprint_view only points into memory that
 * somebody else keeps.
 *
 * Thread safety: nothing here keeps state; what is only read may be shared.
 */
#ifndef SETMOV_FINGERPRINT_H
#define SETMOV_FINGERPRINT_H

#include <endian.h>
#include <string.h>

#include "setmov/digest.h"

#define FINGERPRINT_VERSION 1
/* Bytes of a distinct block: digest, 40 bits of block number, 24 of multiplicity. */
#define FINGERPRINT_ENTRY_BYTES 24
/* Blocks are numbered below this: 512 TiB of 512-byte blocks. */
#define FINGERPRINT_MAX_BLOCKS (UINT64_C(1) << 40)
/* A place that says this many, or more, has the exact number among the frequent ones. */
#define FINGERPRINT_SATURATED ((UINT64_C(1) << 24) - 1)
/* Digests that occur at least so often are kept exactly in the section of frequent ones. */
#define FINGERPRINT_FREQUENT 8
/* The sketch: digests whose first byte is 0, one of 256. */
#define FINGERPRINT_SKETCH_ONE_OF      256
#define FINGERPRINT_BLOOM_BITS_PER_KEY 10
#define FINGERPRINT_BLOOM_BLOCK        64 /* bytes; the filter is a row of these */
/* The header and the table of sections always lie in so many bytes at the beginning. */
#define FINGERPRINT_HEAD_MAX     2048
#define FINGERPRINT_MAX_SECTIONS 32
#define FINGERPRINT_MAX_LAYERS   256
#define FINGERPRINT_ALIGNMENT    64 /* of every section in the file */

/* One file below the image, as it was when it was read. Strings are not owned here. */
struct fingerprint_layer {
    const char *path, *format;
    uint64_t device, inode, size;
    int64_t modified_s, changed_s;
    uint32_t modified_ns, changed_ns;
    bool is_block_device;
};

struct fingerprint_identity {
    const struct fingerprint_layer *layers; /* top first */
    size_t layer_count;
    uint64_t virtual_size;   /* bytes */
    bool provisional;        /* somebody held the image for writing while it was read */
    bool has_content_sha256; /* of the whole guest-visible content */
    uint8_t content_sha256[32];
    int64_t made_s; /* when the reading began: seconds since 1970 */
};

/* Counting rules: SIMILARITY.md's: a block is what is allocated, even in part. */
struct fingerprint_totals {
    uint64_t blocks;   /* allocated, zero blocks included */
    uint64_t zero;     /* of them, all zeroes */
    uint64_t distinct; /* digests, the zero block's included where there is one */
};

struct fingerprint_view {
    enum digest_kind kind;
    uint32_t block_size;
    uint8_t key_id[8];         /* which key, for DIGEST_KEYED_SHA256; zeroes else */
    struct digest zero_digest; /* digest of a block of zeroes under this plan */
    struct fingerprint_identity identity;
    struct fingerprint_totals totals;
    const struct digest *digests;          /* totals.distinct, ascending */
    const uint8_t *places;                 /* 8 bytes each: fingerprint_place_...() */
    size_t sketch_count;                   /* the first so many digests have 0 as first byte */
    const struct digest *frequent;         /* ascending */
    const uint64_t *frequent_multiplicity; /* little-endian */
    size_t frequent_count;
    const uint8_t *bloom; /* split-block filter; NULL: not there */
    size_t bloom_bytes;
    struct fingerprint_layer *owned_layers; /* what fingerprint_view_release() frees */
};

/* ---- the file --------------------------------------------------------------- */

enum fingerprint_section_kind {
    FINGERPRINT_LAYERS = 1,
    FINGERPRINT_DIGESTS = 2,
    FINGERPRINT_PLACES = 3,
    FINGERPRINT_FREQUENT_DIGESTS = 4,
    FINGERPRINT_FREQUENT_MULTIPLICITY = 5,
    FINGERPRINT_BLOOM = 6,
    FINGERPRINT_SKETCH_DIGESTS = 7, /* the beginning of FINGERPRINT_DIGESTS */
    FINGERPRINT_SKETCH_PLACES = 8,  /* the beginning of FINGERPRINT_PLACES */
};

struct fingerprint_section {
    uint32_t kind; /* unknown ones are passed over */
    uint64_t offset, length;
    uint64_t checksum; /* fingerprint_checksum() of the section's bytes */
};

/* What the first FINGERPRINT_HEAD_MAX bytes (or fewer) of a file tell. */
struct fingerprint_head {
    struct fingerprint_view view; /* no pointers, no layers yet */
    uint64_t file_length;
    size_t section_count;
    struct fingerprint_section sections[FINGERPRINT_MAX_SECTIONS];
};

/*
 * Do two fingerprints say the same of their blocks: digests and places, by length and
 * checksum? The checksum is against damage, not against intent. False too where there
 * are no blocks.
 */
bool fingerprint_has_same_blocks(const struct fingerprint_head *a,
                                 const struct fingerprint_head *b);

/*
 * Lays out the sections that the view asks for (all that have bytes) behind
 * the head, `layers_length` being the length of the encoded layers: sets
 * sections, their offsets and lengths, and file_length; checksums stay 0.
 * -EOVERFLOW: more than fits.
 */
int fingerprint_layout(const struct fingerprint_view *view, size_t layers_length,
                       struct fingerprint_head *ret_head);

/*
 * Writes header and table of sections. Returns their length, at most
 * FINGERPRINT_HEAD_MAX. The sections' offsets need not be those of
 * fingerprint_layout(), only valid ones.
 */
size_t fingerprint_head_encode(const struct fingerprint_head *head,
                               uint8_t ret_bytes[FINGERPRINT_HEAD_MAX]);

/*
 * The section FINGERPRINT_LAYERS; the caller frees. -EINVAL: too many layers, a
 * path or format that is too long.
 */
int fingerprint_layers_encode(const struct fingerprint_identity *identity, uint8_t **ret_bytes,
                              size_t *ret_length, struct error *err);

/* A whole file in memory, for what is small enough; the caller frees. */
int fingerprint_encode(const struct fingerprint_view *view, uint8_t **ret_bytes, size_t *ret_length,
                       struct error *err);

/*
 * Header and table of sections from the first bytes of a file, of which
 * `length` are here: FINGERPRINT_HEAD_MAX, or the whole file where it is
 * shorter. All totals, offsets and lengths are checked against one another.
 * -EINVAL: no fingerprint, or damaged. -ENOTSUP: another version.
 */
int fingerprint_head_decode(const void *bytes, size_t length, struct fingerprint_head *ret_head,
                            struct error *err);

/* NULL when the file has none of that kind. */
const struct fingerprint_section *fingerprint_section_find(const struct fingerprint_head *head,
                                                           enum fingerprint_section_kind kind);

/* Are these the bytes of that section? For one that was read by range. -EINVAL: no. */
int fingerprint_section_check(const struct fingerprint_section *section, const void *bytes,
                              size_t length, struct error *err);

/*
 * Lays a view over a whole file in memory (aligned to 8 bytes, as malloc and
 * mmap do), which must stay there as long as the view is used. Everything is
 * checked, every section's checksum too, but for the order of digests.
 * The caller calls fingerprint_view_release().
 */
int fingerprint_decode(const void *bytes, size_t length, struct fingerprint_view *ret_view,
                       struct error *err);
void fingerprint_view_release(struct fingerprint_view *view);

/*
 * Are the digests in ascending order, the sketch as long as it should be, the
 * frequent ones those that the places tell, and do all numbers add up to the
 * totals? A view that was decoded is safe to use without this; its figures may
 * then be wrong. -EINVAL with what is wrong.
 */
int fingerprint_verify_order(const struct fingerprint_view *view, struct error *err);

/* What `key_id` says of a key: eight bytes of its digest of a certain block. */
void fingerprint_key_id(const uint8_t key[DIGEST_KEY_BYTES], uint8_t ret_id[8]);

/* ---- what a view holds ------------------------------------------------------ */

static inline int digest_compare(const struct digest *left, const struct digest *right)
{
    return memcmp(left->bytes, right->bytes, DIGEST_BYTES);
}

/* The i-th place: number of the block (virtual offset / block size) | multiplicity << 40. */
static inline uint64_t fingerprint_place(const struct fingerprint_view *view, size_t i)
{
    uint64_t place;

    memcpy(&place, view->places + i * sizeof(place), sizeof(place));
    return le64toh(place);
}

/* Of one place: the lowest number of a block that has the digest. */
static inline uint64_t fingerprint_place_block(uint64_t place)
{
    return place & (FINGERPRINT_MAX_BLOCKS - 1);
}

/* Of one place: how often the digest occurs; at FINGERPRINT_SATURATED, so often or more. */
static inline uint64_t fingerprint_place_multiplicity(uint64_t place)
{
    return place >> 40;
}

static inline uint64_t fingerprint_place_make(uint64_t block, uint64_t multiplicity)
{
    if (multiplicity > FINGERPRINT_SATURATED)
        multiplicity = FINGERPRINT_SATURATED;
    return block | multiplicity << 40;
}

/* How often the i-th digest occurs, exactly. */
uint64_t fingerprint_multiplicity(const struct fingerprint_view *view, size_t i);

/* Where a digest is among `count` ascending ones, or `count`. */
size_t fingerprint_find(const struct digest *digests, size_t count, const struct digest *digest);

/* ---- checksums -------------------------------------------------------------- */

struct fingerprint_checksum {
    uint64_t lanes[8];
    uint64_t length;
    uint8_t waiting[64]; /* what does not fill the lanes yet: length % 64 bytes */
};

/* For finding damage, not for security; 64 bits, about 20 GB/s. */
void fingerprint_checksum_init(struct fingerprint_checksum *sum);
void fingerprint_checksum_add(struct fingerprint_checksum *sum, const void *bytes, size_t length);
/* What was added up to now; more may be added after. */
uint64_t fingerprint_checksum_value(const struct fingerprint_checksum *sum);
uint64_t fingerprint_checksum(const void *bytes, size_t length);

/* ---- Bloom filter ----------------------------------------------------------- */

/*
 * Split-block: the digest's first 8 bytes choose one 64-byte block of the
 * filter, its last 8 bytes one bit in each of the block's eight words. The
 * blocks are in the order of digests, so that to add or probe sorted digests
 * walks through the filter once, and a sketch needs only its beginning.
 */

/* Bytes of a filter for so many keys; at least one block. */
size_t fingerprint_bloom_bytes(uint64_t keys);
/* `bloom` is zeroed first by the caller; `bytes` as above. */
void fingerprint_bloom_add(uint8_t *bloom, size_t bytes, const struct digest *digest);

/* Where in the filter the digest's block begins. */
static inline size_t fingerprint_bloom_block(size_t bytes, const struct digest *digest)
{
    uint64_t first;

    /* Digests are uniform bits already: a fraction of 1, times the number of blocks. */
    memcpy(&first, digest->bytes, sizeof(first));
    first = be64toh(first);
    return (size_t)(((unsigned __int128)first * (bytes / FINGERPRINT_BLOOM_BLOCK)) >> 64) *
           FINGERPRINT_BLOOM_BLOCK;
}

/* Six bits for each of the block's words, the first word's lowest. */
static inline uint64_t fingerprint_bloom_bits(const struct digest *digest)
{
    uint64_t last;

    memcpy(&last, digest->bytes + DIGEST_BYTES - sizeof(last), sizeof(last));
    return be64toh(last);
}

/* False: surely never added. True for all that were, and about 1.3 % of others. */
static inline bool fingerprint_bloom_has(const uint8_t *bloom, size_t bytes,
                                         const struct digest *digest)
{
    const uint8_t *block = bloom + fingerprint_bloom_block(bytes, digest);
    uint64_t bits = fingerprint_bloom_bits(digest), all = 1;

    /* Without branches: probes do not wait for each other. */
    for (size_t i = 0; i < FINGERPRINT_BLOOM_BLOCK / 8; i++, bits >>= 6) {
        uint64_t word;

        memcpy(&word, block + i * 8, sizeof(word));
        all &= le64toh(word) >> (bits & 63);
    }
    return all != 0;
}

/* ---- from blocks to sorted digests ------------------------------------------ */

/* One block, or several equal ones; on their way to a fingerprint. Host byte order. */
struct fingerprint_entry {
    struct digest digest;
    uint64_t place; /* fingerprint_place_make() */
};

/* Digests that occur FINGERPRINT_FREQUENT times or more, ascending; zeroed at first. */
struct fingerprint_frequent {
    struct digest *digests;
    uint64_t *multiplicity; /* host byte order */
    size_t count, digests_capacity, multiplicity_capacity;
};
void fingerprint_frequent_release(struct fingerprint_frequent *frequent);
int fingerprint_frequent_append(struct fingerprint_frequent *frequent, const struct digest *digest,
                                uint64_t multiplicity);

#endif
