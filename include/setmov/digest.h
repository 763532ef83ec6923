/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage digest/: blocks of equal length to digests, many at a time, and the
 * test for blocks of zeroes. Pure, but for the choice of the implementation.
 *
 * MD5 (RFC 1321) is the 2010 paper's digest; it finds candidates and proves
 * nothing. SHA-256 (FIPS 180-4) is cut to its first 128 bits. The keyed digest
 * is SHA-256 over a 64-byte key block (the key, then zeroes) followed by the
 * block, cut alike: all messages of one fingerprint have one length, so nothing
 * can be appended to one; without the key a digest tells nothing of known files.
 *
 * Thread safety: everything may be called from any thread; digest_choose() is
 * for before they start, and not needed where the best implementation is wanted.
 */
#ifndef SETMOV_DIGEST_H
#define SETMOV_DIGEST_H

#include "setmov/base.h"

#define DIGEST_BYTES     16
#define DIGEST_KEY_BYTES 32
#define DIGEST_BLOCK_MIN 512
#define DIGEST_BLOCK_MAX 65536 /* powers of two only */

enum digest_kind { DIGEST_MD5 = 1, DIGEST_SHA256 = 2, DIGEST_KEYED_SHA256 = 3 };

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

/* What is hashed how: made once, then read only; may be shared by threads. */
struct digest_plan {
    enum digest_kind kind;
    uint32_t block_size;
    uint32_t state[8]; /* before the first chunk: with a key, what SHA-256 has after its block */
    uint32_t
        padding[64]; /* constant + message word of each step over the padding, the same for all */
};

/* `key` only for DIGEST_KEYED_SHA256, else NULL. -EINVAL: block size or key do not fit. */
int digest_plan_init(struct digest_plan *plan, enum digest_kind kind, uint32_t block_size,
                     const uint8_t key[DIGEST_KEY_BYTES], struct error *err);

/*
 * ret_digests[i] = digest of the i-th of `count` blocks that lie one behind
 * the other at `blocks` (any alignment). Fastest with count a multiple of 64.
 */
void digest_blocks(const struct digest_plan *plan, const void *blocks, size_t count,
                   struct digest *ret_digests);

/*
 * The same for blocks that lie anywhere: blocks[i] points to the i-th. For
 * callers that leave out blocks of zeroes between the others.
 */
void digest_scattered(const struct digest_plan *plan, const void *const *blocks, size_t count,
                      struct digest *ret_digests);

/* Are all `length` bytes 0? */
bool digest_is_zero(const void *bytes, size_t length);

/* ---- one long message --------------------------------------------------------- */

/* SHA-256, all of it, of bytes that come in order, piece by piece. */
struct digest_content {
    /* The way chosen at first: asking the CPU takes microseconds in a VM. */
    void (*run)(uint32_t state[8], const uint8_t *bytes, size_t chunks);
    uint32_t state[8];
    uint64_t length;     /* bytes up to now */
    uint8_t waiting[64]; /* what does not fill a chunk yet: length % 64 bytes */
};

void digest_content_init(struct digest_content *content);
void digest_content_add(struct digest_content *content, const void *bytes, size_t length);
/* Of what was added up to now; more may be added after. */
void digest_content_value(const struct digest_content *content, uint8_t ret_value[32]);

/* ---- implementations -------------------------------------------------------- */

/*
 * Digests of one group of blocks, as many as struct digest_lanes says. `next`:
 * as many blocks that will be asked for next, brought nearer meanwhile; they
 * may be the same ones.
 */
typedef void digest_group(const struct digest_plan *plan, const uint8_t *const *blocks,
                          const uint8_t *const *next, struct digest *ret_digests);

struct digest_lanes {
    size_t group; /* at most DIGEST_GROUP_MAX */
    digest_group *run;
};

#define DIGEST_GROUP_MAX 64

/* One row a CPU feature set; chosen once: by default the fastest that the CPU has. */
struct digest_implementation {
    const char *name; /* "portable", "sse2", "avx2", "avx2+sha", "avx512", "neon" */
    bool (*supported)(void);
    struct digest_lanes md5;
    struct digest_lanes sha256;
};

/* All rows that were compiled in, NULL name at the end; for tests and the bench. */
const struct digest_implementation *digest_implementations(void);

/*
 * Chooses by name, NULL: the best, which is also the choice of who never calls
 * this. -ENOENT unknown, -ENOTSUP: this CPU lacks it; then the choice is as before.
 */
int digest_choose(const char *name);
const char *digest_chosen(void);

#endif
