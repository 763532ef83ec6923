/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranks hosts by a merged index of their sketches: 1000 hosts with 100 images
 * each (or as many as the arguments say: HOSTS IMAGES). The images are made up
 * (made_hosts.h), half a million distinct 512-byte blocks each. Prints what the
 * index costs, a query warm and cold, and beside it what it takes only to read
 * all sketches.
 */

#include "made_hosts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define RUNS 11

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
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
