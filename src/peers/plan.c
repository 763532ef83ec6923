/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a peer's fingerprints is read, dropped, refused; which bytes of one. Pure. */
#include "peers/internal.h"

#include <errno.h>

void peers_cached_release(struct peers_cached_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].name);
    free(list->items);
    *list = (struct peers_cached_list){0};
}

void peers_plan_release(struct peers_plan *plan)
{
    free(plan->read);
    free(plan->gone);
    *plan = (struct peers_plan){0};
}

/* ---- which fingerprints ------------------------------------------------------- */

/* Two lists by name, walked side by side. */
struct walk {
    const struct catalog_manifest *manifest;
    const struct peers_cached *const *cached; /* by name */
    size_t cached_count, cached_at;
    uint64_t bytes; /* that the peer claims, up to here */
};

struct wanted {
    size_t index;
    int64_t since_s; /* INT64_MIN: it is missing */
};

static int compare_cached(const void *left, const void *right)
{
    return strcmp((*(const struct peers_cached *const *)left)->name,
                  (*(const struct peers_cached *const *)right)->name);
}

/* So that one that changes all the time does not keep others from being read within a budget. */
static int compare_wanted(const void *left, const void *right)
{
    const struct wanted *a = left, *b = right;

    if (a->since_s != b->since_s)
        return a->since_s < b->since_s ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Why not, or "". */
static void judge(const struct walk *walk, const struct catalog_manifest_fingerprint *fingerprint,
                  struct error *ret_why)
{
    char hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;

    ret_why->text[0] = '\0';
    if (!catalog_name_parse(fingerprint->name, hash, &kind))
        error_set(ret_why, -EINVAL, "'%s' is no name of a fingerprint in an index",
                  fingerprint->name);
    else if (fingerprint->length > PEERS_FINGERPRINT_MAX_BYTES)
        error_set(ret_why, -EFBIG, "%s is said to have %llu bytes, which is not believed",
                  fingerprint->name, (unsigned long long)fingerprint->length);
    else if (fingerprint->length > PEERS_HOST_MAX_BYTES - walk->bytes)
        error_set(ret_why, -EFBIG,
                  "%s: all fingerprints together are said to have more than %llu bytes, which is "
                  "not believed",
                  fingerprint->name, (unsigned long long)PEERS_HOST_MAX_BYTES);
}

/* The cached one of that name, or NULL; those before it are gone. */
static const struct peers_cached *advance(struct walk *walk, const struct peers_cached_list *list,
                                          const char *name, struct peers_plan *plan)
{
    int order = -1;

    while (walk->cached_at < walk->cached_count) {
        const struct peers_cached *cached = walk->cached[walk->cached_at];

        order = name != NULL ? strcmp(cached->name, name) : -1;
        if (order > 0)
            return NULL;
        walk->cached_at++;
        if (order == 0)
            return cached;
        plan->gone[plan->gone_count++] = (size_t)(cached - list->items);
    }
    return NULL;
}

static void take(struct walk *walk, const struct peers_cached_list *list, size_t index,
                 struct wanted *wanted, struct peers_plan *plan)
{
    const struct catalog_manifest_fingerprint *fingerprint = &walk->manifest->fingerprints[index];
    const struct peers_cached *cached = advance(walk, list, fingerprint->name, plan);
    struct error why;

    judge(walk, fingerprint, &why);
    if (why.text[0] != '\0') {
        if (plan->refused++ == 0)
            plan->why = why;
        if (cached != NULL)
            plan->gone[plan->gone_count++] = (size_t)(cached - list->items);
        return;
    }
    walk->bytes += fingerprint->length;
    plan->accepted++;
    if (cached == NULL || cached->length != fingerprint->length ||
        cached->checksum != fingerprint->checksum)
        wanted[plan->read_count++] =
            (struct wanted){index, cached != NULL ? cached->changed_s : INT64_MIN};
}

int peers_plan_make(const struct catalog_manifest *manifest, const struct peers_cached_list *cached,
                    struct peers_plan *ret_plan)
{
    CLEANUP(cleanup_free)
    const struct peers_cached **sorted = calloc(cached->count + 1, sizeof(*sorted));
    CLEANUP(cleanup_free)
    struct wanted *wanted = calloc(manifest->fingerprint_count + 1, sizeof(*wanted));
    struct walk walk = {
        .manifest = manifest,
        .cached = sorted,
        .cached_count = cached->count,
    };
    struct peers_plan plan = {
        .read = calloc(manifest->fingerprint_count + 1, sizeof(*plan.read)),
        .gone = calloc(cached->count + 1, sizeof(*plan.gone)),
    };

    if (sorted == NULL || wanted == NULL || plan.read == NULL || plan.gone == NULL) {
        peers_plan_release(&plan);
        return -ENOMEM;
    }
    for (size_t i = 0; i < cached->count; i++)
        sorted[i] = &cached->items[i];
    qsort(sorted, cached->count, sizeof(*sorted), compare_cached);
    for (size_t i = 0; i < manifest->fingerprint_count; i++)
        take(&walk, cached, i, wanted, &plan);
    advance(&walk, cached, NULL, &plan);
    qsort(wanted, plan.read_count, sizeof(*wanted), compare_wanted);
    for (size_t i = 0; i < plan.read_count; i++)
        plan.read[i] = wanted[i].index;
    *ret_plan = plan;
    return 0;
}

/* ---- which bytes of one ----------------------------------------------------------- */

static bool is_of_sketch(uint32_t kind)
{
    switch (kind) {
    case FINGERPRINT_LAYERS:
    case FINGERPRINT_SKETCH_DIGESTS:
    case FINGERPRINT_SKETCH_PLACES:
    case FINGERPRINT_FREQUENT_DIGESTS:
    case FINGERPRINT_FREQUENT_MULTIPLICITY:
        return true;
    default:
        return false;
    }
}

size_t peers_sketch_ranges(const struct fingerprint_head *head, struct peers_range *ret_ranges)
{
    size_t count = 0;

    for (size_t i = 0; i < head->section_count; i++) {
        if (is_of_sketch(head->sections[i].kind))
            ret_ranges[count++] = (struct peers_range){.section = head->sections[i]};
    }
    return count;
}

static uint64_t length_of(const struct fingerprint_head *head, enum fingerprint_section_kind kind)
{
    const struct fingerprint_section *section = fingerprint_section_find(head, kind);

    return section != NULL ? section->length : 0;
}

/* Kinds that this program does not know are not read: nobody here would look at them. */
size_t peers_exact_ranges(const struct fingerprint_head *head, struct peers_range *ret_ranges)
{
    size_t count = 0;

    for (size_t i = 0; i < head->section_count; i++) {
        struct peers_range range = {.section = head->sections[i]};

        if (range.section.kind == FINGERPRINT_DIGESTS)
            range.known = length_of(head, FINGERPRINT_SKETCH_DIGESTS);
        else if (range.section.kind == FINGERPRINT_PLACES)
            range.known = length_of(head, FINGERPRINT_SKETCH_PLACES);
        else if (range.section.kind != FINGERPRINT_BLOOM)
            continue;
        ret_ranges[count++] = range;
    }
    return count;
}

uint64_t peers_ranges_bytes(const struct peers_range *ranges, size_t count)
{
    uint64_t bytes = 0;

    /* Each lies in a file whose length was checked, so that no sum overflows. */
    for (size_t i = 0; i < count; i++)
        bytes += ranges[i].section.length - ranges[i].known;
    return bytes;
}
