/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of all instruction sets share: the kernels' names, the
 * constants of the steps, and what md5_lanes.h and sha256_lanes.h build upon.
 */
#ifndef SETMOV_DIGEST_LANES_H
#define SETMOV_DIGEST_LANES_H

#include "setmov/digest.h"

digest_group digest_md5_portable, digest_md5_sse2, digest_md5_avx2, digest_md5_avx512,
    digest_md5_neon;
digest_group digest_sha256_portable, digest_sha256_avx2, digest_sha256_shani, digest_sha256_avx512,
    digest_sha256_neon;

#define DIGEST_GROUP_SHANI 4

/*
 * The kernels read the constants from memory, not from immediates that would
 * have to pass through a general register: a load that fills a vector is free.
 */
extern const uint32_t digest_md5_constants[64];
extern const uint32_t digest_sha256_constants[64];

#define UNROLL_FULLY _Pragma("GCC unroll 64")

/* Where the next chunk of all blocks, and the cache lines after it, come from. */
struct lanes_source {
    const uint8_t *const *blocks;
    size_t offset;
    const uint8_t *const *prefetch;
    size_t prefetch_offset;
};

/* Chunks are prefetched by eights: the smallest block has that many, the others multiples. */
#define PREFETCH_CHUNKS ((size_t)8)

/*
 * What is fetched while chunk `chunk` of `chunks` is worked on: the chunk after
 * it (behind the last one: that again, for nothing), and an eighth of the next
 * eight chunks of all blocks, or of the first eight of the next ones. All eight
 * of one block come before those of another: memory and address translation
 * answer such runs faster than one line each of many blocks (measured: an
 * eighth more with MD5). To ask for a part of a run and leave the rest to the
 * hardware costs half of the speed.
 */
static inline struct lanes_source lanes_source_at(const uint8_t *const *blocks,
                                                  const uint8_t *const *next, size_t chunk,
                                                  size_t chunks, size_t group)
{
    size_t following = chunk + 1 < chunks ? chunk + 1 : chunk;
    size_t turn = chunk % PREFETCH_CHUNKS, distant = chunk - turn + PREFETCH_CHUNKS;
    bool beyond = distant == chunks;

    return (struct lanes_source){blocks, 64 * following,
                                 (beyond ? next : blocks) + turn * group / PREFETCH_CHUNKS,
                                 beyond ? 0 : 64 * distant};
}

/*
 * Lines `first` to `end` of as many as there are blocks in the group. To the level-2 cache:
 * lines at one stride share sets of level 1, which what is worked on would have to leave.
 */
static inline void lanes_prefetch(const struct lanes_source *source, size_t first, size_t end)
{
    UNROLL_FULLY for (size_t line = first; line < end; line++)
        __builtin_prefetch(source->prefetch[line / PREFETCH_CHUNKS] + source->prefetch_offset +
                               64 * (line % PREFETCH_CHUNKS),
                           0, 2);
}

#endif
