/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranks hosts by a merged index of their sketches: 1000 hosts with 100 images
 * each (or as many as the arguments say: HOSTS IMAGES). The images are made up,
 * half a million distinct 512-byte blocks each, of which one of 256 is sampled:
 * most of a release that many have, something of an edition and of an
 * application, and a quarter of its own. Prints what the index costs, a query
 * warm and cold, and beside it what it takes only to read all sketches.
 */

#include "made_numbers.h"
#include "setmov/catalog_merged.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define RELEASES          40
#define EDITIONS          8 /* of each release */
#define APPLICATIONS      2000
#define OF_RELEASE        1250 /* sampled digests to choose from; an image has 7 of 8 */
#define OF_EDITION        400
#define OF_APPLICATION    230
#define OF_OWN            500
#define FREQUENT_RELEASE  1000 /* digests that occur often */
#define FREQUENT_OWN      100
#define MOST_SAMPLES      (OF_RELEASE + OF_EDITION + OF_APPLICATION + OF_OWN)
#define MOST_FREQUENT     (FREQUENT_RELEASE + FREQUENT_OWN)
#define SAMPLED           256 /* blocks that one sample stands for */
#define FAMILIES_OF_LARGE 13
#define RUNS              11

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

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

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

    view->kind = DIGEST_MD5;
    view->block_size = 512;
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

/* An image of which the hosts have next to nothing: intervals near 0 take longest. */
static struct image make_foreign(uint64_t *state)
{
    struct image image = make_query(state, 1);

    for (size_t i = 0; i < image.view.sketch_count; i++) {
        if (i % 64 != 0)
            image.digests[i].bytes[5] ^= 0x55;
    }
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

static struct park make_park(uint64_t *state, size_t hosts, size_t images)
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
static void need_memory(size_t images)
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

/* ---- what is measured ---- */

static double peak_gb(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024 / 1e9;
}

/* All separate sketches, one word of each 16 bytes; not even compared. */
static double read_sketches(const struct park *park)
{
    double started = cpu_seconds();
    volatile uint64_t kept;
    uint64_t sum = 0;

    for (size_t i = 0; i < park->hosts * park->images; i++) {
        const struct fingerprint_view *view = &park->all[i].view;

        for (size_t j = 0; j < view->sketch_count; j++) {
            uint64_t word;

            memcpy(&word, view->digests[j].bytes + 8, 8);
            sum ^= word;
        }
    }
    kept = sum;
    (void)kept;
    return cpu_seconds() - started;
}

/* One of a hundred hosts by the sketch engine, and from that all of them. */
static double compare_sketches(const struct park *park, const struct fingerprint_view *query)
{
    size_t hosts = park->hosts >= 100 ? park->hosts / 100 : 1;
    double started = cpu_seconds();

    for (size_t i = 0; i < hosts; i++) {
        struct similarity_estimate all;

        if (similarity_compare(SIMILARITY_SKETCH, query, park->list[i].views, park->list[i].count,
                               NULL, &all, NULL) < 0)
            exit(1);
    }
    return (cpu_seconds() - started) * (double)park->hosts / (double)hosts;
}

/* Of five hosts: is it what the sketch engine says of them? */
static void check_figures(const struct park *park, const struct fingerprint_view *query,
                          const struct similarity_estimate *estimates)
{
    for (size_t i = 0; i < park->hosts; i += park->hosts / 5 + 1) {
        struct similarity_estimate all;

        if (similarity_compare(SIMILARITY_SKETCH, query, park->list[i].views, park->list[i].count,
                               NULL, &all, NULL) < 0)
            exit(1);
        if (memcmp(&all, &estimates[i], sizeof(all)) != 0) {
            fprintf(stderr, "host %zu: %llu bytes to send, by the sketch engine %llu\n", i,
                    (unsigned long long)estimates[i].best.bytes_to_send,
                    (unsigned long long)all.best.bytes_to_send);
            exit(1);
        }
    }
}

static double ask(const struct catalog_merged *merged, const struct fingerprint_view *query,
                  struct similarity_estimate *estimates)
{
    double started = now_s();

    if (catalog_merged_query(merged, query, estimates, NULL) < 0)
        exit(1);
    return now_s() - started;
}

static int by_value(const void *left, const void *right)
{
    const double *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static double median_of(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), by_value);
    return values[count / 2];
}

/* Maps, asks once, unmaps. */
static double ask_fresh(int fd, size_t length, const struct fingerprint_view *query,
                        struct similarity_estimate *estimates, bool whole)
{
    double started = now_s(), took;
    struct catalog_merged *merged;
    void *bytes;

    if (whole)
        readahead(fd, 0, length);
    bytes = mmap(NULL, length, PROT_READ, MAP_SHARED | (whole ? MAP_POPULATE : 0), fd, 0);
    if (bytes == MAP_FAILED || catalog_merged_decode(bytes, length, &merged, NULL) < 0)
        exit(1);
    if (!whole)
        madvise(bytes, length, MADV_RANDOM);
    ask(merged, query, estimates);
    took = now_s() - started;
    catalog_merged_release(merged);
    munmap(bytes, length);
    return took;
}

static void drop(int fd)
{
    if (fsync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        puts("  (the page cache could not be dropped)");
}

static int temporary_file(const uint8_t *bytes, size_t length)
{
    char path[] = "/var/tmp/bench_hosts.XXXXXX";
    int fd = mkstemp(path);

    if (fd < 0 || unlink(path) < 0)
        exit(1);
    for (size_t at = 0; at < length;) {
        ssize_t wrote = write(fd, bytes + at, length - at);

        if (wrote <= 0) {
            puts("there is no room for the index in /var/tmp");
            exit(77);
        }
        at += (size_t)wrote;
    }
    return fd;
}

static void measure(const struct park *park, int fd, size_t length, const char *what,
                    const struct image *query)
{
    struct similarity_estimate *estimates = memory(park->hosts * sizeof(*estimates));
    const struct fingerprint_view *view = &query->view;
    double times[RUNS], warm, mapped, reading, comparing;
    struct catalog_merged *merged;
    void *bytes = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);

    if (bytes == MAP_FAILED || catalog_merged_decode(bytes, length, &merged, NULL) < 0)
        exit(1);
    printf("%s: %zu samples, %zu frequent digests (%.1f million blocks)\n", what,
           view->sketch_count, view->frequent_count, 1e-6 * (double)view->totals.blocks);
    ask(merged, view, estimates);
    check_figures(park, view, estimates);
    for (size_t i = 0; i < RUNS; i++)
        times[i] = ask(merged, view, estimates);
    warm = median_of(times, RUNS);
    catalog_merged_release(merged);
    munmap(bytes, length);
    for (size_t i = 0; i < RUNS; i++)
        times[i] = ask_fresh(fd, length, view, estimates, false);
    mapped = median_of(times, RUNS);
    reading = read_sketches(park);
    comparing = compare_sketches(park, view);
    printf("  warm                                   %9.2f ms\n", 1e3 * warm);
    printf("  mapped anew, in the page cache         %9.2f ms\n", 1e3 * mapped);
    drop(fd);
    printf("  cold: page cache dropped, read whole   %9.2f ms\n",
           1e3 * ask_fresh(fd, length, view, estimates, true));
    printf("  only reading the separate sketches     %9.2f ms   %.0f times warm\n", 1e3 * reading,
           reading / warm);
    printf("  comparing with them (1 %% of the hosts) %9.2f ms   %.0f times warm\n",
           1e3 * comparing, comparing / warm);
    free(estimates);
}

int main(int count, char **arguments)
{
    uint64_t state = 1, hosts = 1000, images = 100;
    double started = now_s(), cpu, before;
    struct image small, large, foreign;
    struct park park;
    uint8_t *bytes;
    size_t length;
    struct error err;
    int fd;

    if ((count > 1 && parse_u64(arguments[1], &hosts) < 0) ||
        (count > 2 && parse_u64(arguments[2], &images) < 0))
        return 2;
    need_memory(hosts * images);
    make_pools(&state);
    park = make_park(&state, hosts, images);
    small = make_query(&state, 1);
    large = make_query(&state, FAMILIES_OF_LARGE);
    foreign = make_foreign(&state);
    before = peak_gb();
    printf("%zu hosts with %zu images each: %.1f million samples, %.1f million frequent digests "
           "(made in %.1f s)\n",
           park.hosts, park.images, 1e-6 * (double)park.samples, 1e-6 * (double)park.frequent,
           now_s() - started);
    cpu = cpu_seconds();
    if (catalog_merged_encode(park.list, park.hosts, &bytes, &length, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    cpu = cpu_seconds() - cpu;
    printf("merged index: %.1f MB, 1/%.1f of the sketches; made in %.2f s of CPU time, with %.2f "
           "times its size of memory\n",
           1e-6 * (double)length, (double)(park.samples + park.frequent) * 16 / (double)length, cpu,
           (peak_gb() - before) * 1e9 / (double)length);
    fd = temporary_file(bytes, length);
    free(bytes);
    measure(&park, fd, length, "an image of the same kind", &small);
    measure(&park, fd, length, "a large one, of several kinds", &large);
    measure(&park, fd, length, "one that hosts hardly know", &foreign);
    close(fd);
    return 0;
}
