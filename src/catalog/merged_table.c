/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table of keys while a merged index is made. All digests of all images at
 * once would take several times the memory of the result, so they are taken
 * part by part of the range of keys: each image's digests ascend, so each part
 * is a stretch of them. A part is sorted by key, then host, as one number of
 * 64 bits: the 48 bits behind those that all keys of the part have in common,
 * and 16 bits of the host's number.
 */

#include "catalog/merged.h"

#include <errno.h>

#define HOST_BITS 16
#define HOST_MASK UINT64_C(0xffff)
#define PART_ITEMS                                                                                 \
    (UINT64_C(1) << 20) /* so many at a time, where digests are what they should be */
#define PART_BITS_MAX 16
#define DIGIT_BITS    11

/* One image's digests; the first so many were taken. */
struct source {
    const struct digest *digests;
    size_t count, taken;
    uint16_t host;
};

struct maker {
    enum merged_kind kind;
    const struct catalog_merged_host *hosts;
    struct source *sources;
    size_t source_count, source_capacity;
    uint32_t part_bits;
    uint64_t part_count; /* 2^part_bits */
    uint64_t kept;       /* bits of a key */
    uint64_t *items, *scratch;
    size_t item_count, item_capacity, scratch_capacity;
    uint16_t *members; /* hosts of one key */
    struct merged_sets *sets;
    struct merged_table *table;
};

void merged_table_release(struct merged_table *table)
{
    free(table->starts);
    free(table->remainders);
    free(table->codes);
    *table = (struct merged_table){0};
}

static void maker_release(struct maker *maker)
{
    free(maker->sources);
    free(maker->items);
    free(maker->scratch);
    free(maker->members);
}

static uint64_t part_of(const struct maker *maker, uint64_t key)
{
    return maker->part_bits > 0 ? key >> (64 - maker->part_bits) : 0;
}

/* ---- what is taken from the images ---- */

static int add_source(struct maker *maker, size_t host, const struct fingerprint_view *view)
{
    struct source source = {.digests = view->digests, .count = view->sketch_count};
    int rc;

    if (maker->kind == MERGED_FREQUENT) {
        source.digests = view->frequent;
        source.count = view->frequent_count;
        /* Those that are sampled are among the others. */
        while (source.taken < source.count && source.digests[source.taken].bytes[0] == 0)
            source.taken++;
        source.digests += source.taken;
        source.count -= source.taken;
        source.taken = 0;
    }
    if (source.count == 0)
        return 0;
    source.host = (uint16_t)host;
    rc = array_reserve(&maker->sources, &maker->source_capacity, maker->source_count + 1,
                       sizeof(*maker->sources));
    if (rc == 0)
        maker->sources[maker->source_count++] = source;
    return rc;
}

/* The part's digests of one image. -EINVAL: they do not ascend. */
static int take(struct maker *maker, struct source *source, uint64_t part)
{
    uint64_t before =
        source->taken > 0 ? merged_key(maker->kind, &source->digests[source->taken - 1]) : 0;

    for (; source->taken < source->count; source->taken++) {
        const struct digest *digest = &source->digests[source->taken];
        uint64_t key = merged_key(maker->kind, digest);

        if (key < before || (digest->bytes[0] == 0) != (maker->kind == MERGED_SAMPLED))
            return -EINVAL;
        if (part_of(maker, key) > part)
            break;
        before = key;
        if (maker->item_count == maker->item_capacity) {
            int rc = array_reserve(&maker->items, &maker->item_capacity, maker->item_count + 1,
                                   sizeof(*maker->items));

            if (rc < 0)
                return rc;
        }
        maker->items[maker->item_count++] =
            ((key & maker->kept) << maker->part_bits & ~HOST_MASK) | source->host;
    }
    return 0;
}

/* Least digit first, over the bits that keys of a part can differ in. */
static int sort_items(struct maker *maker, uint32_t key_bits)
{
    uint32_t passes = (key_bits + DIGIT_BITS - 1) / DIGIT_BITS;
    uint32_t width = (key_bits + passes - 1) / passes, shift = 64 - key_bits;
    int rc = array_reserve(&maker->scratch, &maker->scratch_capacity, maker->item_count,
                           sizeof(*maker->scratch));

    for (uint32_t pass = 0; rc == 0 && pass < passes; pass++, shift += width) {
        size_t starts[1 << DIGIT_BITS] = {0}, sum = 0, capacity = maker->item_capacity;
        uint64_t *items = maker->items, mask = (UINT64_C(1) << width) - 1;

        for (size_t i = 0; i < maker->item_count; i++)
            starts[items[i] >> shift & mask]++;
        for (size_t i = 0; i <= mask; i++) {
            size_t count = starts[i];

            starts[i] = sum;
            sum += count;
        }
        for (size_t i = 0; i < maker->item_count; i++)
            maker->scratch[starts[items[i] >> shift & mask]++] = items[i];
        maker->items = maker->scratch;
        maker->item_capacity = maker->scratch_capacity;
        maker->scratch = items;
        maker->scratch_capacity = capacity;
    }
    return rc;
}

/* All images' digests of one part, sorted. */
static int gather(struct maker *maker, uint64_t part, uint32_t key_bits, struct error *err)
{
    maker->item_count = 0;
    for (size_t i = 0; i < maker->source_count; i++) {
        struct source *source = &maker->sources[i];
        int rc = take(maker, source, part);

        if (rc == -EINVAL)
            return error_set(err, rc, "host %s: an image's %s digests are not in ascending order",
                             maker->hosts[source->host].name,
                             maker->kind == MERGED_SAMPLED ? "sampled" : "frequent");
        if (rc < 0)
            return error_set(err, rc, "no memory for the digests of %zu images",
                             maker->source_count);
    }
    if (maker->item_count == 0 || sort_items(maker, key_bits) == 0)
        return 0;
    return error_set(err, -ENOMEM, "no memory to sort %zu digests", maker->item_count);
}

/* ---- what goes into the table ---- */

static int add_key(struct maker *maker, uint64_t key, size_t members)
{
    struct merged_table *table = maker->table;
    uint32_t code = maker->members[0];
    int rc = array_reserve(&table->remainders, &table->remainder_capacity, table->count + 1,
                           sizeof(*table->remainders));

    if (rc == 0)
        rc = array_reserve(&table->codes, &table->code_capacity, table->count + 1,
                           sizeof(*table->codes));
    if (rc == 0 && table->count == UINT32_MAX)
        rc = -EOVERFLOW;
    if (rc == 0 && members > 1) {
        rc = merged_sets_add(maker->sets, maker->members, members, &code);
        code += (uint32_t)maker->sets->host_count;
    }
    if (rc < 0)
        return rc;
    table->remainders[table->count] = (uint32_t)(key >> (64 - table->bits - MERGED_REMAINDER_BITS));
    table->codes[table->count++] = code;
    return 0;
}

/* A sorted part's keys, each with the hosts that have it. */
static int add_part(struct maker *maker, uint64_t part, uint64_t *next_bucket)
{
    struct merged_table *table = maker->table;
    uint64_t above = part * (UINT64_MAX / maker->part_count + 1); /* 2^64: 0, of one part */

    for (size_t i = 0; i < maker->item_count;) {
        uint64_t key = above | (maker->items[i] & ~HOST_MASK) >> maker->part_bits;
        uint64_t bucket = table->bits > 0 ? key >> (64 - table->bits) : 0, number;
        size_t members = 0;
        int rc;

        for (number = maker->items[i] >> HOST_BITS;
             i < maker->item_count && maker->items[i] >> HOST_BITS == number; i++) {
            uint16_t host = (uint16_t)(maker->items[i] & HOST_MASK);

            if (members == 0 || maker->members[members - 1] != host)
                maker->members[members++] = host;
        }
        while (*next_bucket <= bucket)
            table->starts[(*next_bucket)++] = (uint32_t)table->count;
        rc = add_key(maker, key, members);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Buckets for the keys that there will be, going by those of the first part. */
static uint32_t choose_bits(const struct maker *maker)
{
    uint64_t keys = 0;
    uint32_t bits = 0;

    for (size_t i = 0; i < maker->item_count; i++)
        keys += i == 0 || maker->items[i] >> HOST_BITS != maker->items[i - 1] >> HOST_BITS;
    keys *= maker->part_count;
    while (bits < MERGED_BITS_MAX && bits < maker->part_bits + HOST_BITS &&
           keys >> bits > MERGED_BUCKET_KEYS)
        bits++;
    return bits;
}

static int prepare(struct maker *maker, size_t host_count, struct error *err)
{
    uint64_t digests = 0;
    int rc = 0;

    for (size_t host = 0; rc == 0 && host < host_count; host++) {
        for (size_t i = 0; rc == 0 && i < maker->hosts[host].count; i++)
            rc = add_source(maker, host, maker->hosts[host].views[i]);
    }
    for (size_t i = 0; i < maker->source_count; i++)
        digests += maker->sources[i].count;
    while (maker->part_bits < PART_BITS_MAX && digests >> maker->part_bits > PART_ITEMS)
        maker->part_bits++;
    maker->part_count = UINT64_C(1) << maker->part_bits;
    maker->members = calloc(host_count + 1, sizeof(*maker->members));
    if (rc < 0 || maker->members == NULL)
        return error_set(err, -ENOMEM, "no memory to merge the sketches of %zu hosts", host_count);
    /* A look at the first part, with all bits that there is room for. */
    maker->kept = UINT64_MAX << (64 - 48 - maker->part_bits);
    rc = gather(maker, 0, 48, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < maker->source_count; i++)
        maker->sources[i].taken = 0;
    maker->table->bits = choose_bits(maker);
    maker->kept = UINT64_MAX << (64 - MERGED_REMAINDER_BITS - maker->table->bits);
    maker->table->starts =
        malloc(((UINT64_C(1) << maker->table->bits) + 1) * sizeof(*maker->table->starts));
    if (maker->table->starts == NULL)
        return error_set(err, -ENOMEM, "no memory for a table of digests");
    return 0;
}

int merged_table_make(enum merged_kind kind, const struct catalog_merged_host *hosts, size_t count,
                      struct merged_sets *sets, struct merged_table *table, struct error *err)
{
    CLEANUP(maker_release)
    struct maker maker = {.kind = kind, .hosts = hosts, .sets = sets, .table = table};
    uint64_t next_bucket = 0;
    uint32_t key_bits;
    int rc = prepare(&maker, count, err);

    if (rc < 0)
        return rc;
    key_bits = table->bits + MERGED_REMAINDER_BITS - maker.part_bits;
    for (uint64_t part = 0; part < maker.part_count; part++) {
        rc = gather(&maker, part, key_bits, err);
        if (rc < 0)
            return rc;
        rc = add_part(&maker, part, &next_bucket);
        if (rc < 0)
            return error_set(err, rc, "too many digests, or no memory for them: %zu up to now",
                             table->count);
    }
    while (next_bucket <= UINT64_C(1) << table->bits)
        table->starts[next_bucket++] = (uint32_t)table->count;
    return 0;
}
