/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MD5 of WAYS x LANES blocks at once: a template, included once by one file an
 * instruction set, behind that set's lanes_*.h; without those it is empty.
 *
 * A vector holds the same word of LANES messages. MD5 is one long chain: each
 * of its 64 steps is four operations that wait for each other, of one or two
 * cycles each, while a core can start four a cycle. So WAYS vectors go through
 * the steps side by side; how many is bounded by the registers. While the steps
 * of one 64-byte chunk run, the words of the next are gathered: some pieces of
 * its transposition behind every eight steps, where loads and shuffles fill the
 * slots that the chains leave free. For the same reason what comes after is
 * prefetched a few cache lines at a time: the hardware's prefetcher gives up on
 * WAYS x LANES streams.
 *
 * All messages are whole chunks of one length, so the last chunk (0x80,
 * zeroes, length) is constant: its words are already added to the constants
 * of the steps in plan->padding.
 *
 * Before it stand
 *   LANES, WAYS                   blocks in a vector, vectors side by side
 *   MD5_NAME                      the function to make, a digest_group
 *   vector, vector_all(u32), vector_add, vector_rotate_left(v, constant), vector_pin(v),
 *   vector_select, vector_choose, vector_xor3, vector_xor_or_not
 *   GATHER_PIECES, gather_piece(words, blocks, offset, piece)
 *                                 a part of the transposition of 64 bytes of LANES
 *                                 blocks into 16 vectors
 *   scatter(a, b, c, d, ret)      the way back, for LANES digests
 * and before lanes_*.h
 *   WORD_ORDER(v)                 what gather_piece() does to the bytes of a word
 */
#ifdef MD5_NAME

#include "digest/lanes.h"
#include "digest/md5_steps.h"

#define GROUP      ((size_t)(WAYS) * (LANES))
#define ALL_PIECES ((size_t)(WAYS) * (GATHER_PIECES))

/* One chunk of every block: way w's vector of word i. */
struct md5_words {
    vector of[WAYS][16];
};

struct md5_state {
    vector a[WAYS], b[WAYS], c[WAYS], d[WAYS];
};

#define md5_f(b, c, d) vector_select(b, c, d)
#define md5_g(b, c, d) vector_choose(d, b, c)
#define md5_h(b, c, d) vector_xor3(b, c, d)
#define md5_i(b, c, d) vector_xor_or_not(c, b, d)

#define EACH_WAY UNROLL_FULLY for (size_t w = 0; w < (WAYS); w++)

/*
 * vector_pin() keeps the compilers from adding in another order: what does not
 * depend on the step before must be summed before its result is there.
 */
#define STEP_OF_DATA(function, a, b, c, d, step, index, constant, rotation)                        \
    EACH_WAY                                                                                       \
    {                                                                                              \
        vector sum = vector_add(s.a[w], vector_all(digest_md5_constants[step]));                   \
                                                                                                   \
        sum = vector_add(sum, words->of[w][index]);                                                \
        vector_pin(sum);                                                                           \
        sum = vector_add(sum, function(s.b[w], s.c[w], s.d[w]));                                   \
        s.a[w] = vector_add(vector_rotate_left(sum, rotation), s.b[w]);                            \
    }

#define STEP_OF_PADDING(function, a, b, c, d, step, index, constant, rotation)                     \
    EACH_WAY                                                                                       \
    {                                                                                              \
        vector sum = vector_add(s.a[w], vector_all(padding[step]));                                \
                                                                                                   \
        vector_pin(sum);                                                                           \
        sum = vector_add(sum, function(s.b[w], s.c[w], s.d[w]));                                   \
        s.a[w] = vector_add(vector_rotate_left(sum, rotation), s.b[w]);                            \
    }

/* What is done beside the `part`th of the eight lists of steps. */
static inline void md5_ahead(struct md5_words *ret_words, const struct lanes_source *source,
                             size_t part)
{
    if (GROUP >= PREFETCH_CHUNKS)
        lanes_prefetch(source, part * GROUP / 8, (part + 1) * GROUP / 8);
    UNROLL_FULLY for (size_t i = part * ALL_PIECES / 8; i < (part + 1) * ALL_PIECES / 8; i++)
        gather_piece(ret_words->of[i / GATHER_PIECES], source->blocks + i / GATHER_PIECES * LANES,
                     source->offset, i % GATHER_PIECES);
}

static inline struct md5_state md5_sum(struct md5_state s, const struct md5_state *before)
{
    EACH_WAY
    {
        s.a[w] = vector_add(s.a[w], before->a[w]);
        s.b[w] = vector_add(s.b[w], before->b[w]);
        s.c[w] = vector_add(s.c[w], before->c[w]);
        s.d[w] = vector_add(s.d[w], before->d[w]);
    }
    return s;
}

/* The steps over `words`, while those of the chunk after it are gathered into `ret_next`. */
/* NOLINTNEXTLINE(readability-function-size): short, but its macros are not */
static void md5_chunk(struct md5_state *state, const struct md5_words *words,
                      struct md5_words *ret_next, const struct lanes_source *source)
{
    struct md5_state s = *state;

    MD5_STEPS_0(STEP_OF_DATA)
    md5_ahead(ret_next, source, 0);
    MD5_STEPS_1(STEP_OF_DATA)
    md5_ahead(ret_next, source, 1);
    MD5_STEPS_2(STEP_OF_DATA)
    md5_ahead(ret_next, source, 2);
    MD5_STEPS_3(STEP_OF_DATA)
    md5_ahead(ret_next, source, 3);
    MD5_STEPS_4(STEP_OF_DATA)
    md5_ahead(ret_next, source, 4);
    MD5_STEPS_5(STEP_OF_DATA)
    md5_ahead(ret_next, source, 5);
    MD5_STEPS_6(STEP_OF_DATA)
    md5_ahead(ret_next, source, 6);
    MD5_STEPS_7(STEP_OF_DATA)
    md5_ahead(ret_next, source, 7);
    *state = md5_sum(s, state);
}

/* NOLINTNEXTLINE(readability-function-size): short, but its macros are not */
static void md5_last(struct md5_state *state, const uint32_t padding[64])
{
    struct md5_state s = *state;

    MD5_STEPS(STEP_OF_PADDING)
    *state = md5_sum(s, state);
}

void MD5_NAME(const struct digest_plan *plan, const uint8_t *const *blocks,
              const uint8_t *const *next, struct digest *ret_digests)
{
    struct md5_words words[2];
    struct md5_state state;
    size_t chunks = plan->block_size / 64;

    EACH_WAY
    {
        state.a[w] = vector_all(plan->state[0]);
        state.b[w] = vector_all(plan->state[1]);
        state.c[w] = vector_all(plan->state[2]);
        state.d[w] = vector_all(plan->state[3]);
        for (size_t piece = 0; piece < GATHER_PIECES; piece++)
            gather_piece(words[0].of[w], blocks + w * LANES, 0, piece);
    }
    for (size_t chunk = 0; chunk < chunks; chunk++) {
        struct lanes_source source = lanes_source_at(blocks, next, chunk, chunks, GROUP);

        md5_chunk(&state, &words[chunk % 2], &words[(chunk + 1) % 2], &source);
    }
    md5_last(&state, plan->padding);
    EACH_WAY
    scatter(state.a[w], state.b[w], state.c[w], state.d[w], ret_digests + w * LANES);
}

#endif
