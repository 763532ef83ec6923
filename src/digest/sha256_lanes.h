/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SHA-256 of WAYS x LANES blocks at once, cut to 128 bits: a template, built
 * like md5_lanes.h (which explains the idea) over the same vectors. Before it
 * stand, of the names listed there, WAYS and SHA256_NAME.
 *
 * A round has far more work beside its chain than a step of MD5, so two ways
 * fill a core, and the state of two is what the registers hold. The message
 * schedule runs in the 16 words of the chunk, in place. Its 48 rounds are a loop:
 * unrolled, they outgrow the caches of instructions.
 */
#ifdef SHA256_NAME

#include "digest/lanes.h"
#include "digest/sha256_steps.h"

#define GROUP      ((size_t)(WAYS) * (LANES))
#define ALL_PIECES ((size_t)(WAYS) * (GATHER_PIECES))

/* One chunk of every block: way w's vector of word i. */
struct sha256_words {
    vector of[WAYS][16];
};

struct sha256_state {
    vector a[WAYS], b[WAYS], c[WAYS], d[WAYS], e[WAYS], f[WAYS], g[WAYS], h[WAYS];
};

#define EACH_WAY UNROLL_FULLY for (size_t w = 0; w < (WAYS); w++)

#define SUM_OF(v, first, second, third)                                                            \
    vector_xor3(vector_rotate_right(v, first), vector_rotate_right(v, second),                     \
                vector_rotate_right(v, third))
#define SCHEDULE_OF(v, first, second, third)                                                       \
    vector_xor3(vector_rotate_right(v, first), vector_rotate_right(v, second),                     \
                vector_shift_right(v, third))

/* `constant_and_word`: what comes from outside the state. */
#define ROUND(a, b, c, d, e, f, g, h, constant_and_word)                                           \
    {                                                                                              \
        vector sum = vector_add(s.h[w], constant_and_word);                                        \
                                                                                                   \
        vector_pin(sum);                                                                           \
        sum = vector_add(sum, vector_select(s.e[w], s.f[w], s.g[w]));                              \
        sum = vector_add(sum, SUM_OF(s.e[w], 6, 11, 25));                                          \
        s.d[w] = vector_add(s.d[w], sum);                                                          \
        sum = vector_add(sum, vector_majority(s.a[w], s.b[w], s.c[w]));                            \
        s.h[w] = vector_add(sum, SUM_OF(s.a[w], 2, 13, 22));                                       \
    }

#define ROUND_OF_DATA(a, b, c, d, e, f, g, h, i)                                                   \
    EACH_WAY                                                                                       \
    ROUND(a, b, c, d, e, f, g, h, vector_add(vector_all(constants[i]), words->of[w][i]))

#define ROUND_OF_SCHEDULE(a, b, c, d, e, f, g, h, i)                                               \
    EACH_WAY                                                                                       \
    {                                                                                              \
        vector *word = words->of[w];                                                               \
        vector new = vector_add(word[i], word[((i) + 9) % 16]);                                    \
                                                                                                   \
        new = vector_add(new, SCHEDULE_OF(word[((i) + 1) % 16], 7, 18, 3));                        \
        new = vector_add(new, SCHEDULE_OF(word[((i) + 14) % 16], 17, 19, 10));                     \
        word[i] = new;                                                                             \
        ROUND(a, b, c, d, e, f, g, h, vector_add(vector_all(constants[i]), new))                   \
    }

#define ROUND_OF_PADDING(a, b, c, d, e, f, g, h, i)                                                \
    EACH_WAY                                                                                       \
    ROUND(a, b, c, d, e, f, g, h, vector_all(constants[i]))

/* What is done beside each `part` of four of the rounds. */
static inline void sha256_ahead(struct sha256_words *ret_words, const struct lanes_source *source,
                                size_t part)
{
    _Static_assert(ALL_PIECES % 4 == 0, "the parts are alike");
    if (GROUP >= PREFETCH_CHUNKS)
        lanes_prefetch(source, part * GROUP / 4, part * GROUP / 4 + GROUP / 4);
    UNROLL_FULLY for (size_t i = 0; i < ALL_PIECES / 4; i++)
    {
        size_t piece = part * (ALL_PIECES / 4) + i, way = piece / GATHER_PIECES;

        gather_piece(ret_words->of[way], source->blocks + way * LANES, source->offset,
                     piece % GATHER_PIECES);
    }
}

static inline struct sha256_state sha256_sum(struct sha256_state s,
                                             const struct sha256_state *before)
{
    EACH_WAY
    {
        s.a[w] = vector_add(s.a[w], before->a[w]);
        s.b[w] = vector_add(s.b[w], before->b[w]);
        s.c[w] = vector_add(s.c[w], before->c[w]);
        s.d[w] = vector_add(s.d[w], before->d[w]);
        s.e[w] = vector_add(s.e[w], before->e[w]);
        s.f[w] = vector_add(s.f[w], before->f[w]);
        s.g[w] = vector_add(s.g[w], before->g[w]);
        s.h[w] = vector_add(s.h[w], before->h[w]);
    }
    return s;
}

/* The rounds over `words`, while those of the chunk after it are gathered into `ret_next`. */
/* NOLINTNEXTLINE(readability-function-size): short, but its macros are not */
static void sha256_chunk(struct sha256_state *state, struct sha256_words *words,
                         struct sha256_words *ret_next, const struct lanes_source *source)
{
    const uint32_t *constants = digest_sha256_constants;
    struct sha256_state s = *state;

    SHA256_ROUNDS_16(ROUND_OF_DATA)
    sha256_ahead(ret_next, source, 0);
    for (size_t part = 1; part < 4; part++) {
        constants += 16;
        SHA256_ROUNDS_16(ROUND_OF_SCHEDULE)
        sha256_ahead(ret_next, source, part);
    }
    *state = sha256_sum(s, state);
}

static void sha256_last(struct sha256_state *state, const uint32_t padding[64])
{
    struct sha256_state s = *state;

    for (const uint32_t *constants = padding; constants < padding + 64; constants += 16) {
        SHA256_ROUNDS_16(ROUND_OF_PADDING)
    }
    *state = sha256_sum(s, state);
}

static struct sha256_state sha256_start(const uint32_t state[8])
{
    struct sha256_state s;

    EACH_WAY
    {
        s.a[w] = vector_all(state[0]);
        s.b[w] = vector_all(state[1]);
        s.c[w] = vector_all(state[2]);
        s.d[w] = vector_all(state[3]);
        s.e[w] = vector_all(state[4]);
        s.f[w] = vector_all(state[5]);
        s.g[w] = vector_all(state[6]);
        s.h[w] = vector_all(state[7]);
    }
    return s;
}

void SHA256_NAME(const struct digest_plan *plan, const uint8_t *const *blocks,
                 const uint8_t *const *next, struct digest *ret_digests)
{
    struct sha256_state state = sha256_start(plan->state);
    size_t chunks = plan->block_size / 64;
    struct sha256_words words[2];

    EACH_WAY
    {
        for (size_t piece = 0; piece < GATHER_PIECES; piece++)
            gather_piece(words[0].of[w], blocks + w * LANES, 0, piece);
    }
    for (size_t chunk = 0; chunk < chunks; chunk++) {
        struct lanes_source source = lanes_source_at(blocks, next, chunk, chunks, GROUP);

        sha256_chunk(&state, &words[chunk % 2], &words[(chunk + 1) % 2], &source);
    }
    sha256_last(&state, plan->padding);
    EACH_WAY
    {
        scatter(vector_swap_bytes(state.a[w]), vector_swap_bytes(state.b[w]),
                vector_swap_bytes(state.c[w]), vector_swap_bytes(state.d[w]),
                ret_digests + w * LANES);
    }
}

#endif
