/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Made-up hosts with sketches of made-up images, of which one of 256 blocks is
 * sampled: most of a release that many have, something of an edition and of an
 * application, and a quarter of its own. The numbers of an image's digests are
 * divided by MADE_SMALLER (1).
 */
#ifndef SETMOV_BENCH_MADE_HOSTS_H
#define SETMOV_BENCH_MADE_HOSTS_H

#include "made_numbers.h"
#include "setmov/catalog_merged.h"

#include <inttypes.h>

#ifndef MADE_SMALLER
#define MADE_SMALLER    1
#define MADE_KIND       DIGEST_MD5
#define MADE_BLOCK_SIZE 512
#endif

#define RELEASES          40
#define EDITIONS          8 /* of each release */
#define APPLICATIONS      2000
#define OF_RELEASE        (1250 / MADE_SMALLER) /* sampled digests to choose from; an image has 7 of 8 */
#define OF_EDITION        (400 / MADE_SMALLER)
#define OF_APPLICATION    (230 / MADE_SMALLER)
#define OF_OWN            (500 / MADE_SMALLER)
#define FREQUENT_RELEASE  (1000 / MADE_SMALLER) /* digests that occur often */
#define FREQUENT_OWN      (100 / MADE_SMALLER)
#define MOST_SAMPLES      (OF_RELEASE + OF_EDITION + OF_APPLICATION + OF_OWN)
#define MOST_FREQUENT     (FREQUENT_RELEASE + FREQUENT_OWN)
#define SAMPLED           256 /* blocks that one sample stands for */
#define FAMILIES_OF_LARGE 13

struct image {
    struct fingerprint_view view;
    struct digest *digests, *frequent;
};

struct pool {
    struct digest *digests;
    size_t count;
};

static struct pool releases[RELEASES], frequent_of[RELEASES], editions[RELEASES][EDITIONS],
    applications[APPLICATIONS];

static void *memory(size_t bytes)
{
    void *block = malloc(bytes + 1);

    if (block == NULL) {
        puts("there is no memory for that many sketches");
        exit(77);
    }
    return block;
}

/* ---- made-up images ---- */

/* The i-th of `count` digests that ascend, evenly strewn: all sampled, or none of them. */
static struct digest strewn(uint64_t *state, size_t i, size_t count, bool sampled)
{
    uint64_t least = sampled ? 0 : UINT64_C(1) << 56, width = (UINT64_MAX - least) / count;
    uint64_t first = htobe64(least + width * i + random_u64(state) % width);
    uint64_t last = random_u64(state);
    struct digest digest = {{0}};

    memcpy(digest.bytes + 8, &last, sizeof(last));
    memcpy(digest.bytes + (sampled ? 1 : 0), &first, sizeof(first));
    return digest;
}

static struct pool make_pool(uint64_t *state, size_t count, bool sampled)
{
    struct pool pool = {memory(count * sizeof(*pool.digests)), count};

    for (size_t i = 0; i < count; i++)
        pool.digests[i] = strewn(state, i, count, sampled);
    return pool;
}

/* Merges into `into`, which ascends: each of the pool's, or 7 of 8. */
static size_t merge(struct digest *into, size_t count, struct pool pool, bool all, uint64_t *state)
{
    struct digest before[MOST_SAMPLES * FAMILIES_OF_LARGE];
    size_t from = 0, merged = 0;

    memcpy(before, into, count * sizeof(*into));
    for (size_t i = 0; i < pool.count; i++) {
        if (!all && random_u64(state) % 8 == 0)
            continue;
        while (from < count && digest_compare(&before[from], &pool.digests[i]) < 0)
            into[merged++] = before[from++];
        if (from == count || digest_compare(&before[from], &pool.digests[i]) != 0)
            into[merged++] = pool.digests[i];
    }
    while (from < count)
        into[merged++] = before[from++];
    return merged;
}

/* The nth harmonic way to choose: the first are common, the last are rare. */
static size_t popular(uint64_t *state, size_t count)
{
    uint64_t a = random_u64(state) % count, b = random_u64(state) % count;

    return a < b ? a : b;
}

static void finish(struct image *image, size_t samples, size_t frequent)
{
    struct fingerprint_view *view = &image->view;

    view->kind = MADE_KIND;
    view->block_size = MADE_BLOCK_SIZE;
    view->totals.distinct = samples * SAMPLED;
    view->totals.blocks = view->totals.distinct + frequent * 31;
    view->digests = image->digests;
    view->sketch_count = samples;
    view->frequent = image->frequent;
    view->frequent_count = frequent;
}

/* An image of one release, or of several for a larger one; `samples` and `often` for its digests. */
static struct image make_image(uint64_t *state, size_t families, struct digest *samples,
                               struct digest *often)
{
    struct image image = {.digests = samples, .frequent = often};
    struct digest own[OF_OWN * FAMILIES_OF_LARGE];
    size_t count = 0, frequent = 0;

    for (size_t i = 0; i < families; i++) {
        size_t release = popular(state, RELEASES);
        struct pool pool = {own, FREQUENT_OWN};

        count = merge(samples, count, releases[release], false, state);
        count = merge(samples, count, editions[release][popular(state, EDITIONS)], false, state);
        count = merge(samples, count, applications[popular(state, APPLICATIONS)], false, state);
        frequent = merge(often, frequent, frequent_of[release], false, state);
        for (size_t at = 0; at < FREQUENT_OWN; at++)
            own[at] = strewn(state, at, FREQUENT_OWN, false);
        frequent = merge(often, frequent, pool, true, state);
    }
    for (size_t i = 0; i < OF_OWN * families; i++)
        own[i] = strewn(state, i, OF_OWN * families, true);
    count = merge(samples, count, (struct pool){own, OF_OWN * families}, true, state);
    finish(&image, count, frequent);
    return image;
}

static struct image make_query(uint64_t *state, size_t families)
{
    struct image image =
        make_image(state, families, memory(families * MOST_SAMPLES * sizeof(struct digest)),
                   memory(families * MOST_FREQUENT * sizeof(struct digest)));
    uint8_t *places = memory(image.view.sketch_count * 8);
    uint64_t *often = memory(image.view.frequent_count * 8);

    for (size_t i = 0; i < image.view.sketch_count; i++) {
        uint64_t place = htole64(fingerprint_place_make(i, 1 + random_u64(state) % 8 / 6));

        memcpy(places + i * 8, &place, 8);
    }
    for (size_t i = 0; i < image.view.frequent_count; i++)
        often[i] = htole64(32);
    image.view.places = places;
    image.view.frequent_multiplicity = often;
    return image;
}

/* ---- hosts ---- */

struct park {
    size_t hosts, images; /* images of each host */
    struct image *all;
    const struct fingerprint_view **views;
    struct catalog_merged_host *list;
    char (*names)[16];
    uint64_t samples, frequent;
};

static void make_pools(uint64_t *state)
{
    for (size_t i = 0; i < RELEASES; i++) {
        releases[i] = make_pool(state, OF_RELEASE, true);
        frequent_of[i] = make_pool(state, FREQUENT_RELEASE, false);
        for (size_t j = 0; j < EDITIONS; j++)
            editions[i][j] = make_pool(state, OF_EDITION, true);
    }
    for (size_t i = 0; i < APPLICATIONS; i++)
        applications[i] = make_pool(state, OF_APPLICATION, true);
}

static inline struct park make_park(uint64_t *state, size_t hosts, size_t images)
{
    struct park park = {.hosts = hosts, .images = images};
    static struct digest samples[MOST_SAMPLES], often[MOST_FREQUENT];

    park.all = memory(hosts * images * sizeof(*park.all));
    park.views = memory(hosts * images * sizeof(struct fingerprint_view *));
    park.list = memory(hosts * sizeof(*park.list));
    park.names = memory(hosts * sizeof(*park.names));
    for (size_t i = 0; i < hosts * images; i++) {
        struct image *image = &park.all[i];

        *image = make_image(state, 1, samples, often);
        image->digests = memory(image->view.sketch_count * sizeof(struct digest));
        image->frequent = memory(image->view.frequent_count * sizeof(struct digest));
        memcpy(image->digests, samples, image->view.sketch_count * sizeof(struct digest));
        memcpy(image->frequent, often, image->view.frequent_count * sizeof(struct digest));
        image->view.digests = image->digests;
        image->view.frequent = image->frequent;
        park.views[i] = &image->view;
        park.samples += image->view.sketch_count;
        park.frequent += image->view.frequent_count;
    }
    for (size_t i = 0; i < hosts; i++) {
        string_format(park.names[i], sizeof(park.names[i]), "host-%zu", i);
        park.list[i] = (struct catalog_merged_host){
            .name = park.names[i], .views = park.views + i * images, .count = images};
    }
    return park;
}

/* Half as much again as the sketches take, in bytes; less is not measured. */
static inline void need_memory(size_t images)
{
    uint64_t needed = (uint64_t)images * (MOST_SAMPLES + MOST_FREQUENT) * DIGEST_BYTES / 2 * 3;
    FILE *file = fopen("/proc/meminfo", "re");
    uint64_t available = UINT64_MAX, value;
    char line[128], name[32];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "%31[^:]: %" SCNu64, name, &value) == 2 &&
            strcmp(name, "MemAvailable") == 0)
            available = value * 1024;
    }
    if (file != NULL)
        fclose(file);
    if (available < needed) {
        printf("needs %.1f GB of memory, there are %.1f\n", 1e-9 * (double)needed,
               1e-9 * (double)available);
        exit(77);
    }
}

#endif
