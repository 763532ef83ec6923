/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranks hosts. Two are compared by one criterion after the other until one of
 * them tells them apart; who is eligible at all is the first of them. What
 * will weigh as well one day is a row more in the table.
 */
#include "setmov/placement.h"

#include "placement/reasons.h"

#include <errno.h>

/* Less than 0: the left one is the better. */
typedef int criterion(const struct placement_host *left, const struct placement_host *right);

static int fewer(uint64_t left, uint64_t right)
{
    return (left > right) - (left < right);
}

static bool is_eligible(const struct placement_host *host)
{
    return host->unusable == NULL;
}

static int by_eligible(const struct placement_host *left, const struct placement_host *right)
{
    return is_eligible(right) - is_eligible(left);
}

static int by_bytes(const struct placement_host *left, const struct placement_host *right)
{
    if (!is_eligible(left))
        return 0; /* then neither is, and nothing is known of them */
    return fewer(left->all.likely.bytes_to_send, right->all.likely.bytes_to_send);
}

/* All hosts are asked about one image: shares compare as their numerators do. */
static int by_share(const struct placement_host *left, const struct placement_host *right)
{
    const struct similarity_figures *l = &left->all.likely, *r = &right->all.likely;
    int order;

    if (!is_eligible(left))
        return 0;
    order = fewer(r->identical_distinct, l->identical_distinct);
    return order != 0 ? order : fewer(r->identical_with_duplicates, l->identical_with_duplicates);
}

static int by_name(const struct placement_host *left, const struct placement_host *right)
{
    return strcmp(left->name, right->name);
}

static criterion *const criteria[] = {by_eligible, by_bytes, by_share, by_name};

static int compare_hosts(const void *left, const void *right)
{
    const struct placement_host *l = *(const struct placement_host *const *)left;
    const struct placement_host *r = *(const struct placement_host *const *)right;

    for (size_t i = 0; i < ARRAY_LENGTH(criteria); i++) {
        int order = criteria[i](l, r);

        if (order != 0)
            return order;
    }
    return (l > r) - (l < r); /* two of one name: as they were given */
}

/* Who has the best donor of all: among equal ones the one that is ranked best. */
static const struct placement_host *best_donor_of(const struct placement_host *const *sorted,
                                                  size_t count)
{
    const struct placement_host *best = NULL;

    for (size_t i = 0; i < count; i++) {
        if (sorted[i]->donor != NULL &&
            (best == NULL ||
             sorted[i]->donor_figures.identical_distinct > best->donor_figures.identical_distinct))
            best = sorted[i];
    }
    return best;
}

int placement_rank(const struct placement_host *hosts, size_t count, uint64_t image_bytes,
                   struct placement_rank *ret_ranks, size_t *ret_eligible)
{
    CLEANUP(cleanup_free)
    const struct placement_host **sorted = calloc(count + 1, sizeof(*sorted));
    struct reasons_input input = {.image_bytes = image_bytes};
    size_t eligible = 0;
    int rc = 0;

    if (sorted == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &hosts[i];
        eligible += is_eligible(&hosts[i]);
    }
    qsort(sorted, count, sizeof(*sorted), compare_hosts);
    input.leader = sorted[0];
    input.donor = best_donor_of(sorted, eligible);
    for (size_t i = 1; i < eligible; i++)
        input.level_with_leader += reasons_level(sorted[0], sorted[i]);
    for (size_t i = 0; i < count; i++) {
        int written;

        ret_ranks[i] = (struct placement_rank){
            .host = (size_t)(sorted[i] - hosts),
            .eligible = is_eligible(sorted[i]),
        };
        input.host = sorted[i];
        written = reasons_write(&input, &ret_ranks[i]);
        rc = rc < 0 ? rc : written;
    }
    if (rc < 0)
        placement_ranks_release(ret_ranks, count);
    else
        *ret_eligible = eligible;
    return rc;
}

void placement_ranks_release(struct placement_rank *ranks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < ranks[i].reason_count; j++)
            free(ranks[i].reasons[j].text);
        ranks[i] = (struct placement_rank){0};
    }
}

size_t placement_best_donor(const struct similarity_estimate *each, size_t count)
{
    size_t best = count;
    uint64_t most = 0;

    for (size_t i = 0; i < count; i++) {
        if (each[i].likely.identical_distinct > most) {
            most = each[i].likely.identical_distinct;
            best = i;
        }
    }
    return best;
}
