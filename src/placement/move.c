/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a VM should go: who is eligible, the scores of those that are, their
 * order. Each property is weighed by a row of a table.
 */
#include "placement/move.h"

#include <errno.h>
#include <math.h>

/* Of the best: who is not so far behind it gets a part of the weight. */
#define LEAST_SPAN 0.25

/* A property of a candidate of which more is better; NaN: not known. */
typedef double property(const struct placement_vm *vm, const struct placement_candidate *candidate);

static double known(uint64_t value)
{
    return value == UNKNOWN_U64 ? NAN : (double)value;
}

static double cpu_idle(const struct placement_vm *vm, const struct placement_candidate *candidate)
{
    (void)vm;
    return 100 - candidate->cpu_percent;
}

static double memory_left(const struct placement_vm *vm,
                          const struct placement_candidate *candidate)
{
    return known(candidate->memory_free_bytes) - (double)vm->memory_bytes;
}

static double space_left(const struct placement_vm *vm, const struct placement_candidate *candidate)
{
    return known(candidate->pool_free_bytes) - (double)vm->space_bytes;
}

/* From 0 (all of the image) to 1 (nothing), whatever the others have to get. */
static double bytes_spared(const struct placement_vm *vm,
                           const struct placement_candidate *candidate)
{
    double share;

    if (vm->image_bytes == 0)
        return 1;
    share = (double)candidate->figures.likely.bytes_to_send / (double)vm->image_bytes;
    return fmax(1 - share, 0);
}

struct weigher {
    property *of;
    double weight;
    bool is_share; /* is between 0 and 1 as it is */
};

/* Adds the property's part to the score of each eligible one. */
static void weigh(const struct weigher *weigher, const struct placement_vm *vm,
                  const struct placement_candidate *candidates, struct placement_move_rank *ranks,
                  size_t count)
{
    double least = INFINITY, most = -INFINITY, span;

    for (size_t i = 0; i < count; i++) {
        double value = weigher->of(vm, &candidates[ranks[i].candidate]);

        if (!ranks[i].eligible || isnan(value))
            continue;
        least = fmin(least, value);
        most = fmax(most, value);
    }
    span = fmax(most - least, most * LEAST_SPAN);
    for (size_t i = 0; i < count; i++) {
        double value = weigher->of(vm, &candidates[ranks[i].candidate]);

        if (!ranks[i].eligible || isnan(value))
            continue;
        if (!weigher->is_share)
            value = span > 0 ? 1 - (most - value) / span : 1;
        ranks[i].score += weigher->weight * value;
    }
}

static void score(const struct placement_vm *vm, const struct placement_candidate *candidates,
                  const struct placement_rules *rules, struct placement_move_rank *ranks,
                  size_t count)
{
    const struct weigher weighers[] = {
        {bytes_spared, rules->weight_bytes, true},
        {cpu_idle, rules->weight_cpu, false},
        {memory_left, rules->weight_memory, false},
        {space_left, rules->weight_space, false},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(weighers); i++)
        weigh(&weighers[i], vm, candidates, ranks, count);
}

/* A rank with what it is ordered by. */
struct sorted {
    struct placement_move_rank rank;
    uint64_t bytes;
    const char *name;
};

static int compare(const void *left, const void *right)
{
    const struct sorted *l = left, *r = right;
    int order;

    if (l->rank.eligible != r->rank.eligible)
        return r->rank.eligible - l->rank.eligible;
    if (l->rank.eligible && l->rank.score != r->rank.score)
        return l->rank.score > r->rank.score ? -1 : 1;
    if (l->rank.eligible && l->bytes != r->bytes)
        return l->bytes < r->bytes ? -1 : 1;
    order = strcmp(l->name, r->name);
    if (order != 0)
        return order;
    return (l->rank.candidate > r->rank.candidate) - (l->rank.candidate < r->rank.candidate);
}

static int sort(const struct placement_candidate *candidates, struct placement_move_rank *ranks,
                size_t count)
{
    CLEANUP(cleanup_free) struct sorted *sorted = calloc(count + 1, sizeof(*sorted));

    if (sorted == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct placement_candidate *candidate = &candidates[ranks[i].candidate];

        sorted[i] =
            (struct sorted){ranks[i], candidate->figures.likely.bytes_to_send, candidate->name};
    }
    qsort(sorted, count, sizeof(*sorted), compare);
    for (size_t i = 0; i < count; i++)
        ranks[i] = sorted[i].rank;
    return 0;
}

static double seconds_of(const struct placement_candidate *candidate)
{
    uint64_t bytes = candidate->wire_bytes != UNKNOWN_U64 ? candidate->wire_bytes
                                                          : candidate->figures.likely.bytes_to_send;

    if (candidate->bandwidth_bits_per_s == 0 || candidate->unusable != NULL)
        return NAN;
    return (double)bytes * 8 / (double)candidate->bandwidth_bits_per_s;
}

static int rank_all(const struct placement_vm *vm, const struct placement_candidate *candidates,
                    const struct placement_rules *rules, struct placement_move *move)
{
    struct move_context context = {vm, candidates, move};
    int rc;

    for (size_t i = 0; i < move->count; i++) {
        struct placement_move_rank *rank = &move->ranks[i];

        rank->candidate = i;
        rank->seconds = seconds_of(&candidates[i]);
        rc = move_filter(vm, &candidates[i], rules, rank);
        if (rc < 0)
            return rc;
        rank->eligible = rank->reason_count == 0;
        move->eligible += rank->eligible;
    }
    score(vm, candidates, rules, move->ranks, move->count);
    rc = sort(candidates, move->ranks, move->count);
    for (size_t i = 0; i < move->eligible && rc == 0; i++)
        rc = move_explain(&context, i);
    for (size_t i = 0; i < move->count && rc == 0; i++) {
        const struct placement_candidate *candidate = &candidates[move->ranks[i].candidate];

        for (size_t j = 0; j < candidate->note_count && rc == 0; j++)
            rc = move_say(&move->ranks[i], "%s", candidate->notes[j]);
    }
    return rc < 0 ? rc : move_stay(&context, move);
}

int placement_move(const struct placement_vm *vm, const struct placement_candidate *candidates,
                   size_t count, const struct placement_rules *rules,
                   struct placement_move *ret_move, struct error *err)
{
    struct placement_move move = {.ranks = calloc(count + 1, sizeof(*move.ranks)), .count = count};

    if (move.ranks == NULL || rank_all(vm, candidates, rules, &move) < 0) {
        placement_move_release(&move);
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret_move = move;
    return 0;
}

void placement_move_release(struct placement_move *move)
{
    for (size_t i = 0; move->ranks != NULL && i < move->count; i++) {
        for (size_t j = 0; j < move->ranks[i].reason_count; j++)
            free(move->ranks[i].reasons[j]);
        free(move->ranks[i].reasons);
    }
    free(move->ranks);
    free(move->stay_reason);
    *move = (struct placement_move){0};
}

/* ---- sums over disks ---- */

static uint64_t add_limited(uint64_t left, uint64_t right)
{
    uint64_t sum;

    return __builtin_add_overflow(left, right, &sum) ? UINT64_MAX : sum;
}

static void add_figures(struct similarity_figures *sum, const struct similarity_figures *disk)
{
    *sum = (struct similarity_figures){
        .total = add_limited(sum->total, disk->total),
        .zero = add_limited(sum->zero, disk->zero),
        .distinct = add_limited(sum->distinct, disk->distinct),
        .internal_duplicates = add_limited(sum->internal_duplicates, disk->internal_duplicates),
        .identical_with_duplicates =
            add_limited(sum->identical_with_duplicates, disk->identical_with_duplicates),
        .identical_distinct = add_limited(sum->identical_distinct, disk->identical_distinct),
        .bytes_to_send = add_limited(sum->bytes_to_send, disk->bytes_to_send),
    };
}

void placement_add(struct similarity_estimate *sum, const struct similarity_estimate *disk)
{
    add_figures(&sum->best, &disk->best);
    add_figures(&sum->low, &disk->low);
    add_figures(&sum->high, &disk->high);
    add_figures(&sum->likely, &disk->likely);
}
