/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The extents of one piece of an image. */
#include "transfer/make.h"

#include <errno.h>
#include <inttypes.h>

/* In `found`; no index of a digest is so large. */
#define FOUND_ZERO SIZE_MAX

void make_draft_release(struct make_draft *draft)
{
    free(draft->extents);
    free(draft->hashes);
    free(draft->records);
    draft->extents = NULL;
    draft->hashes = NULL;
    draft->records = NULL;
}

/* ---- which blocks there are ---- */

/* The whole blocks of a range of data; behind the image's end a block is padded. */
struct blocks {
    uint32_t start, end; /* bytes: before and behind are parts of blocks */
};

static struct blocks whole_blocks(const struct make_piece *piece, const struct make_range *range,
                                  uint32_t block_size)
{
    struct blocks blocks = {(range->start + block_size - 1) & ~(block_size - 1), range->end};

    if (range->end != piece->length)
        blocks.end &= ~(block_size - 1);
    if (blocks.start >= blocks.end)
        blocks.start = blocks.end = range->end;
    return blocks;
}

static size_t wait_for_digests(struct make_draft *draft, const struct make_facts *facts,
                               const struct make_piece *piece)
{
    uint32_t block_size = facts->digest->block_size;
    size_t count = 0;

    for (size_t r = 0; r < piece->range_count; r++) {
        const struct make_range *range = &piece->ranges[r];
        struct blocks blocks = whole_blocks(piece, range, block_size);

        for (uint32_t at = blocks.start; at < blocks.end && !range->zero; at += block_size) {
            uint32_t block = at / block_size;

            draft->found[block] = FOUND_ZERO;
            if (digest_is_zero(piece->bytes + at, block_size))
                continue;
            draft->waiting[count] = piece->bytes + at;
            draft->waiting_blocks[count++] = block;
        }
    }
    return count;
}

static int find_blocks(struct make_draft *draft, const struct make_facts *facts,
                       const struct make_piece *piece, struct error *err)
{
    const struct assign *assign = facts->assign;
    size_t count = wait_for_digests(draft, facts, piece);

    digest_scattered(facts->digest, draft->waiting, count, draft->digests);
    for (size_t i = 0; i < count; i++)
        assign_prefetch(assign, &draft->digests[i]);
    for (size_t i = 0; i < count; i++) {
        size_t found = assign_find(assign, &draft->digests[i]);

        if (found >= assign->own->totals.distinct || found == assign->zero)
            return error_set(err, -ESTALE,
                             "at byte %" PRIu64 " it is not what its fingerprint says",
                             piece->number * TRANSFER_PIECE_BYTES +
                                 (uint64_t)draft->waiting_blocks[i] * facts->digest->block_size);
        draft->found[draft->waiting_blocks[i]] = found;
    }
    return 0;
}

/* ---- extents ---- */

/* The last extent of this piece; NULL: there is none yet. */
static struct transfer_extent *last_extent(const struct make_draft *draft)
{
    const struct make_record *record = &draft->records[draft->record_count];

    return draft->extent_count > record->first ? &draft->extents[draft->extent_count - 1] : NULL;
}

static bool continues(const struct transfer_extent *last, const struct transfer_extent *extent)
{
    uint64_t length;

    if (last == NULL || last->kind != extent->kind || last->source != extent->source ||
        last->offset + last->length != extent->offset)
        return false;
    length = (uint64_t)last->length + extent->length;
    if (extent->kind == TRANSFER_ZERO ||
        (extent->kind == TRANSFER_SENT && extent->source == UINT32_MAX))
        return true;
    return last->from + last->length == extent->from &&
           (extent->kind != TRANSFER_COPY || length <= TRANSFER_COPY_MAX);
}

static int put(struct make_draft *draft, const struct transfer_extent *extent)
{
    struct transfer_extent *last = last_extent(draft);
    int rc;

    if (continues(last, extent)) {
        last->length += extent->length;
        return 0;
    }
    rc = array_reserve(&draft->extents, &draft->extent_capacity, draft->extent_count + 1,
                       sizeof(*draft->extents));
    if (rc == 0)
        draft->extents[draft->extent_count++] = *extent;
    return rc;
}

static void from_source(const struct make_facts *facts, uint64_t source,
                        struct transfer_extent *extent)
{
    static const enum transfer_kind kinds[] = {TRANSFER_SENT, TRANSFER_COPY, TRANSFER_SENT,
                                               TRANSFER_REPLICATE};

    extent->kind = kinds[assign_kind_of(source)];
    extent->source = source == 0 ? UINT32_MAX : assign_number_of(source);
    extent->from = assign_block_of(source) * facts->digest->block_size;
}

static void count_block(struct transfer_figures *figures, const struct transfer_extent *extent)
{
    if (extent->kind == TRANSFER_COPY)
        figures->local += extent->length;
    else if (extent->kind == TRANSFER_REPLICATE)
        figures->replicated += extent->length;
    else if (extent->kind == TRANSFER_ZERO)
        figures->zero += extent->length;
    else if (extent->source == UINT32_MAX)
        figures->sent += extent->length;
    else
        figures->reused += extent->length;
}

/*
 * Where a later block of its kind is replicated from: the first one, or, where the
 * same block stands many times in a row, what stands before it, twice as much each
 * time.
 */
static uint64_t replica_from(const struct make_draft *draft, const struct transfer_extent *extent,
                             uint64_t first)
{
    const struct transfer_extent *last = last_extent(draft);

    if (extent->offset == draft->run_start)
        return first;
    if (last != NULL && last->kind == TRANSFER_REPLICATE && last->source == extent->source &&
        last->offset + last->length == extent->offset && last->from >= draft->run_start &&
        last->from + last->length + extent->length <= last->offset)
        return last->from + last->length;
    return draft->run_start;
}

/*
 * A block whose digest has the number `found`. A later one of its kind is
 * replicated, but for where that would break off a longer extent. First ones
 * never lie in an extent of later ones, so none reaches into what it comes from.
 */
static int put_block(struct make_draft *draft, const struct make_facts *facts,
                     struct transfer_extent extent, size_t found, struct error *err)
{
    const struct fingerprint_view *own = facts->assign->own;
    uint32_t block_size = facts->digest->block_size;
    uint64_t first = fingerprint_place_block(fingerprint_place(own, found));
    uint64_t block = extent.offset / block_size;

    if (first > block)
        return error_set(err, -ESTALE, "at byte %" PRIu64 " it is not what its fingerprint says",
                         extent.offset);
    from_source(facts, assign_source_of(facts->assign, found), &extent);
    if (draft->run_found != found || draft->run_end != extent.offset)
        draft->run_start = extent.offset;
    draft->run_found = found;
    draft->run_end = extent.offset + block_size;
    if (first < block && ((extent.kind == TRANSFER_SENT && extent.source == UINT32_MAX) ||
                          !continues(last_extent(draft), &extent))) {
        extent.kind = TRANSFER_REPLICATE;
        extent.source = facts->image;
        extent.from = replica_from(draft, &extent, first * block_size);
    }
    count_block(&draft->figures, &extent);
    return put(draft, &extent);
}

/* Bytes that are not a whole block, of a layer that lies on another, and zeroes of such a one. */
static int put_plain(struct make_draft *draft, const struct make_facts *facts,
                     const struct make_piece *piece, uint32_t start, uint32_t end, bool zero)
{
    struct transfer_extent extent = {
        .offset = piece->number * TRANSFER_PIECE_BYTES + start,
        .length = end - start,
        .source = UINT32_MAX,
        .kind = TRANSFER_SENT,
    };

    if (start == end)
        return 0;
    if (zero || digest_is_zero(piece->bytes + start, end - start)) {
        extent.kind = TRANSFER_ZERO;
        extent.source = 0;
    }
    count_block(&draft->figures, &extent);
    return facts->is_layer || extent.kind != TRANSFER_ZERO ? put(draft, &extent) : 0;
}

static int put_range(struct make_draft *draft, const struct make_facts *facts,
                     const struct make_piece *piece, const struct make_range *range,
                     struct error *err)
{
    uint32_t block_size = facts->digest->block_size;
    struct blocks blocks = whole_blocks(piece, range, block_size);
    int rc;

    if (range->zero)
        return put_plain(draft, facts, piece, range->start, range->end, true);
    rc = put_plain(draft, facts, piece, range->start, blocks.start, false);
    for (uint32_t at = blocks.start; at < blocks.end && rc == 0; at += block_size) {
        uint32_t end = at + block_size < blocks.end ? at + block_size : blocks.end;
        size_t found = draft->found[at / block_size];

        if (found == FOUND_ZERO)
            rc = put_plain(draft, facts, piece, at, end, true);
        else
            rc = put_block(draft, facts,
                           (struct transfer_extent){
                               .offset = piece->number * TRANSFER_PIECE_BYTES + at,
                               .length = end - at,
                           },
                           found, err);
    }
    return rc == 0 ? put_plain(draft, facts, piece, blocks.end, range->end, false) : rc;
}

/* ---- the piece ---- */

static int hash_copies(struct make_draft *draft, const struct make_facts *facts,
                       const struct make_piece *piece, size_t first)
{
    for (size_t i = first; i < draft->extent_count; i++) {
        struct transfer_extent *extent = &draft->extents[i];
        struct digest_content hash = facts->empty;
        int rc;

        if (extent->kind != TRANSFER_COPY)
            continue;
        rc = array_reserve(&draft->hashes, &draft->hash_capacity, draft->hash_count + 1,
                           TRANSFER_HASH_BYTES);
        if (rc < 0)
            return rc;
        digest_content_add(&hash,
                           piece->bytes + (extent->offset - piece->number * TRANSFER_PIECE_BYTES),
                           extent->length);
        digest_content_value(&hash, draft->hashes[draft->hash_count]);
        extent->hash = draft->hash_count++;
    }
    return 0;
}

static int draft_piece(struct make_draft *draft, const struct make_facts *facts,
                       const struct make_piece *piece, struct error *err)
{
    struct make_record *record;
    int rc = array_reserve(&draft->records, &draft->record_capacity, draft->record_count + 1,
                           sizeof(*draft->records));

    if (rc < 0)
        return rc;
    record = &draft->records[draft->record_count];
    *record = (struct make_record){piece->number, draft->extent_count, 0};
    draft->run_end = UINT64_MAX; /* or the plan would depend on who took which piece */
    rc = find_blocks(draft, facts, piece, err);
    for (size_t r = 0; r < piece->range_count && rc == 0; r++)
        rc = put_range(draft, facts, piece, &piece->ranges[r], err);
    if (rc == 0)
        rc = hash_copies(draft, facts, piece, record->first);
    record->count = draft->extent_count - record->first;
    draft->record_count += rc == 0;
    return rc;
}

int make_draft_piece(struct make_draft *draft, const struct make_facts *facts,
                     const struct make_piece *piece, struct error *err)
{
    int rc = draft_piece(draft, facts, piece, err);

    return rc == -ENOMEM || rc == -EOVERFLOW ? error_set(err, -ENOMEM, "out of memory") : rc;
}
