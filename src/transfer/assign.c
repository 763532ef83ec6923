/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ranks blocks by where they lie, and finds the sources that make the smallest plan. */
#include "transfer/assign.h"
#include "setmov/transfer.h"

#include <errno.h>

#define MOST_DIGESTS ((size_t)UINT32_MAX)
/* Digests behind one entry of the index, about. */
#define INDEX_STEP 8

/* ---- ranks ---- */

static bool bit_of(const uint64_t *bits, size_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

static size_t rank_of(const struct assign *assign, uint64_t block)
{
    const struct assign_page *page = assign->pages[block / ASSIGN_PAGE_BLOCKS];
    size_t word = block % ASSIGN_PAGE_BLOCKS / 64;
    uint64_t below = page->bits[word] & ((UINT64_C(1) << block % 64) - 1);

    return (size_t)(page->base + page->before[word] + (unsigned)__builtin_popcountll(below));
}

static uint64_t own_block(const struct assign *assign, size_t i)
{
    return fingerprint_place_block(fingerprint_place(assign->own, i));
}

static int mark_blocks(struct assign *assign)
{
    size_t distinct = (size_t)assign->own->totals.distinct;
    uint64_t most = 0;

    for (size_t i = 0; i < distinct; i++)
        most = own_block(assign, i) > most ? own_block(assign, i) : most;
    assign->page_count = (size_t)(most / ASSIGN_PAGE_BLOCKS) + 1;
    assign->pages = calloc(assign->page_count, sizeof(struct assign_page *));
    if (assign->pages == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < distinct; i++) {
        uint64_t block = own_block(assign, i);
        struct assign_page **page = &assign->pages[block / ASSIGN_PAGE_BLOCKS];

        if (i == assign->zero)
            continue;
        if (*page == NULL && (*page = calloc(1, sizeof(**page))) == NULL)
            return -ENOMEM;
        (*page)->bits[block % ASSIGN_PAGE_BLOCKS / 64] |= UINT64_C(1) << block % 64;
    }
    return 0;
}

static void count_ranks(struct assign *assign)
{
    uint64_t base = 0;

    for (size_t p = 0; p < assign->page_count; p++) {
        struct assign_page *page = assign->pages[p];
        unsigned before = 0;

        if (page == NULL)
            continue;
        page->base = base;
        for (size_t w = 0; w < ARRAY_LENGTH(page->bits); w++) {
            page->before[w] = (uint16_t)before;
            before += (unsigned)__builtin_popcountll(page->bits[w]);
        }
        base += before;
    }
    assign->count = (size_t)base;
}

static void mark_breaks(struct assign *assign)
{
    struct assign_walk walk = assign_walk(assign);
    uint64_t block, source, next = UINT64_MAX;

    for (size_t rank = 0; assign_next(&walk, &block, &source); rank++) {
        if (block != next)
            assign->breaks[rank / 64] |= UINT64_C(1) << rank % 64;
        next = block + 1;
    }
}

/* ---- finding ---- */

static uint64_t first_bytes(const struct digest *digest)
{
    uint64_t first;

    memcpy(&first, digest->bytes, sizeof(first));
    return be64toh(first);
}

static size_t entry_of(const struct assign *assign, const struct digest *digest)
{
    return (size_t)(first_bytes(digest) >> (64 - assign->index_bits));
}

static int make_index(struct assign *assign)
{
    size_t distinct = (size_t)assign->own->totals.distinct, entries, next = 0;

    assign->index_bits = 1;
    while (assign->index_bits < 32 && distinct >> assign->index_bits >= INDEX_STEP)
        assign->index_bits++;
    entries = (size_t)1 << assign->index_bits;
    assign->index = malloc((entries + 1) * sizeof(*assign->index));
    if (assign->index == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < distinct; i++) {
        for (size_t entry = entry_of(assign, &assign->own->digests[i]); next <= entry; next++)
            assign->index[next] = (uint32_t)i;
    }
    for (; next <= entries; next++)
        assign->index[next] = (uint32_t)distinct;
    return 0;
}

size_t assign_find(const struct assign *assign, const struct digest *digest)
{
    size_t entry = entry_of(assign, digest), start = assign->index[entry];
    size_t count = assign->index[entry + 1] - start;
    size_t at = fingerprint_find(assign->own->digests + start, count, digest);

    return at < count ? start + at : (size_t)assign->own->totals.distinct;
}

void assign_prefetch(const struct assign *assign, const struct digest *digest)
{
    const struct digest *at = assign->own->digests + assign->index[entry_of(assign, digest)];

    __builtin_prefetch(at);
    __builtin_prefetch(at + INDEX_STEP / 2);
}

uint64_t assign_source_of(const struct assign *assign, size_t i)
{
    return assign->sources[rank_of(assign, own_block(assign, i))];
}

bool assign_next(struct assign_walk *walk, uint64_t *ret_block, uint64_t *ret_source)
{
    const struct assign *assign = walk->assign;

    while (walk->bits == 0) {
        if (walk->page == assign->page_count)
            return false;
        if (assign->pages[walk->page] == NULL || walk->word == ASSIGN_PAGE_BLOCKS / 64) {
            walk->page++;
            walk->word = 0;
            continue;
        }
        walk->bits = assign->pages[walk->page]->bits[walk->word++];
    }
    *ret_block = walk->page * ASSIGN_PAGE_BLOCKS + (walk->word - 1) * 64 +
                 (unsigned)__builtin_ctzll(walk->bits);
    *ret_source = assign->sources[walk->rank++];
    walk->bits &= walk->bits - 1;
    return true;
}

/* ---- beginning and end ---- */

int assign_init(struct assign *assign, const struct fingerprint_view *own, struct error *err)
{
    size_t distinct = (size_t)own->totals.distinct;
    int rc = -ENOMEM;

    *assign = (struct assign){.own = own};
    if (own->totals.distinct < MOST_DIGESTS) {
        assign->zero = fingerprint_find(own->digests, distinct, &own->zero_digest);
        rc = mark_blocks(assign);
    }
    if (rc == 0) {
        count_ranks(assign);
        assign->sources = calloc(assign->count + 1, sizeof(*assign->sources));
        assign->candidates = calloc(assign->count + 1, sizeof(*assign->candidates));
        assign->breaks = calloc(assign->count / 64 + 1, sizeof(*assign->breaks));
        rc = assign->sources != NULL && assign->candidates != NULL && assign->breaks != NULL
                 ? make_index(assign)
                 : -ENOMEM;
    }
    if (rc < 0) {
        assign_release(assign);
        return error_set(err, rc, "out of memory");
    }
    mark_breaks(assign);
    return 0;
}

void assign_release(struct assign *assign)
{
    for (size_t p = 0; assign->pages != NULL && p < assign->page_count; p++)
        free(assign->pages[p]);
    free(assign->pages);
    free(assign->sources);
    free(assign->candidates);
    free(assign->breaks);
    free(assign->index);
    *assign = (struct assign){0};
}

/* ---- runs ---- */

/* Bytes of plan that an extent takes. */
static unsigned cost_of(uint64_t source)
{
    return assign_kind_of(source) == ASSIGN_DONOR
               ? TRANSFER_EXTENT_BYTES + TRANSFER_EXTENT_HASH_BYTES
               : TRANSFER_EXTENT_BYTES;
}

/* Is the rank the first of a segment: neighbours with sources that follow each other? */
static bool begins(const struct assign *assign, size_t rank)
{
    return rank == 0 || rank >= assign->count || bit_of(assign->breaks, rank) ||
           !assign_follows(assign->sources[rank - 1], assign->sources[rank]);
}

static size_t segment_end(const struct assign *assign, size_t rank, size_t most)
{
    do
        rank++;
    while (rank < most && !begins(assign, rank));
    return rank;
}

static void take_over(struct assign *assign, size_t rank, size_t end, bool all)
{
    for (; rank < end; rank++) {
        if (all || assign->sources[rank] == 0)
            assign->sources[rank] = assign->candidates[rank];
    }
}

/* A run of candidates: fills what has no source, or replaces what is there. */
static void settle(struct assign *assign, size_t start, size_t end)
{
    unsigned cost = cost_of(assign->candidates[start]);
    uint64_t filling = 0, replaced = 0;
    size_t first = end, last = start;

    for (size_t rank = start, next; rank < end; rank = next) {
        uint64_t source = assign->sources[rank];

        next = segment_end(assign, rank, end);
        if (source == 0)
            filling += cost;
        else if (begins(assign, rank) && begins(assign, next))
            replaced += cost_of(source);
        else
            continue; /* it reaches out of the run: what is outside costs the same */
        first = rank < first ? rank : first;
        last = next;
    }
    take_over(assign, first, last, cost < filling + replaced);
}

static void settle_all(struct assign *assign)
{
    for (size_t rank = 0, end; rank < assign->count; rank = end) {
        end = rank + 1;
        if (assign->candidates[rank] == 0)
            continue;
        while (end < assign->count && !bit_of(assign->breaks, end) &&
               assign->candidates[end] != 0 &&
               assign_follows(assign->candidates[end - 1], assign->candidates[end]))
            end++;
        settle(assign, rank, end);
    }
    memset(assign->candidates, 0, assign->count * sizeof(*assign->candidates));
}

/* ---- joins ---- */

static bool is_zero(const struct assign *assign, size_t i)
{
    return i == assign->zero;
}

void assign_view(struct assign *assign, enum assign_kind kind, uint32_t number,
                 const struct fingerprint_view *view, uint64_t limit)
{
    const struct fingerprint_view *own = assign->own;
    size_t count = (size_t)own->totals.distinct, others = (size_t)view->totals.distinct;
    bool found = false;

    /* Both ascend; where another's does not, less is found. */
    for (size_t i = 0, j = 0; i < count && j < others;) {
        int order = digest_compare(&own->digests[i], &view->digests[j]);

        if (order == 0 && !is_zero(assign, i)) {
            uint64_t block = fingerprint_place_block(fingerprint_place(view, j));

            if (block < limit) {
                assign->candidates[rank_of(assign, own_block(assign, i))] =
                    assign_source(kind, number, block);
                found = true;
            }
        }
        i += order <= 0;
        j += order >= 0;
    }
    if (found)
        settle_all(assign);
}

void assign_digests(struct assign *assign, uint32_t number, const struct digest *digests,
                    size_t count)
{
    bool found = false;

    for (size_t j = 0; j < count && j < FINGERPRINT_MAX_BLOCKS; j++) {
        size_t i = assign_find(assign, &digests[j]);

        if (i < assign->own->totals.distinct && !is_zero(assign, i)) {
            assign->candidates[rank_of(assign, own_block(assign, i))] =
                assign_source(ASSIGN_PART, number, j);
            found = true;
        }
    }
    if (found)
        settle_all(assign);
}
