/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a plan costs: its making beside fingerprinting the same image, and its
 * bytes. Prints seconds, extents by kind and the file's length by extent.
 *
 * usage: bench_plan IMAGE DONOR... (raw images; 77 without them)
 */
#include "setmov/fingerprint_file.h"
#include "setmov/transfer.h"
#include "setmov/transfer_make.h"

#include <inttypes.h>
#include <stdio.h>

#define DONORS 32

struct bench {
    struct image *image;
    struct fingerprint_file *own, *donor_files[DONORS];
    const struct fingerprint_view *donors[DONORS];
    char ids[DONORS][33];
    size_t donor_count;
    uint32_t block_size;
};

static void fail(const struct error *err)
{
    fprintf(stderr, "bench_plan: %s\n", err->text);
    exit(1);
}

static struct image *open_raw(const char *path)
{
    struct image_options options = {.format = "raw", .keep_cache = true};
    struct image *image = NULL;
    struct error err = {""};

    if (image_open(path, &options, &image, &err) < 0)
        fail(&err);
    return image;
}

static struct fingerprint_file *fingerprint_of(struct image *image, uint32_t block_size)
{
    struct fingerprint_wish wish = {DIGEST_SHA256, block_size, NULL, NULL};
    struct fingerprint_file *file = NULL;
    struct error err = {""};

    if (fingerprint_build(image, &wish, 1, NULL, &file, &err) < 0)
        fail(&err);
    return file;
}

/* ---- what comes of it ---- */

static void print_extents(const struct transfer_image *image, double length)
{
    static const char *const names[] = {"zero", "copied", "replicated", "sent"};
    size_t counts[ARRAY_LENGTH(names)] = {0};
    double hashes;

    for (size_t i = 0; i < image->extent_count; i++)
        counts[image->extents[i].kind]++;
    hashes = (double)counts[TRANSFER_COPY] * TRANSFER_HASH_BYTES;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        printf(" %zu %s", counts[i], names[i]);
    printf("; %.0f bytes, %.2f an extent without hashes\n", length,
           (length - hashes) / (double)(image->extent_count > 0 ? image->extent_count : 1));
}

/* As if what is sent were one part, in the order of the image. */
static void give_part(struct transfer_plan *plan)
{
    struct transfer_image *image = &plan->images[0];
    uint64_t from = 0;

    for (size_t i = 0; i < image->extent_count; i++) {
        struct transfer_extent *extent = &image->extents[i];

        if (extent->kind == TRANSFER_SENT) {
            extent->source = 0;
            extent->from = from;
            from += extent->length;
        }
    }
    if (from == 0)
        return;
    plan->parts = calloc(1, sizeof(*plan->parts));
    plan->parts[0] = (struct transfer_part){{1}, 1, from};
    plan->part_count = 1;
}

static void print_estimate(const struct bench *bench)
{
    struct transfer_missing missing = {0};
    struct error err = {""};
    double begin_s = clock_monotonic_s();

    if (transfer_missing_find(&bench->own->view, bench->donors, bench->donor_count, &missing,
                              &err) < 0)
        fail(&err);
    printf("  choose: %" PRIu64 " copied, %" PRIu64 " sent extents; %" PRIu64
           " bytes of plan; %zu blocks missing; %.2f s\n",
           missing.copied_extents, missing.sent_extents, transfer_plan_bytes(&missing),
           missing.count, clock_monotonic_s() - begin_s);
    transfer_missing_release(&missing);
}

static void encode(struct transfer_plan *plan)
{
    struct transfer_plan again = {0};
    struct error err = {""};
    uint8_t *bytes = NULL;
    size_t length = 0;
    double begin_s = clock_monotonic_s(), encoded_s;

    give_part(plan);
    if (transfer_plan_encode(plan, &bytes, &length, &err) < 0)
        fail(&err);
    encoded_s = clock_monotonic_s();
    if (transfer_plan_decode(bytes, length, "plan", &again, &err) < 0)
        fail(&err);
    printf("  encoded %.2f s, decoded %.2f s:", encoded_s - begin_s,
           clock_monotonic_s() - encoded_s);
    print_extents(&plan->images[0], (double)length);
    free(bytes);
    transfer_plan_release(&again);
}

/* ---- making it ---- */

static void measure(const struct bench *bench)
{
    struct transfer_sources sources = {
        .donors = bench->donors, .donor_ids = bench->ids, .donor_count = bench->donor_count};
    struct transfer_image described = {.path = (char *)"/image", .format = (char *)"raw"};
    struct transfer_plan plan = {.kind = DIGEST_SHA256, .block_size = bench->block_size};
    struct transfer_figures figures = {0}, foreseen = {0};
    struct error err = {""};
    double begin_s = clock_monotonic_s(), foreseen_s;

    plan.vm_name = strdup("bench");
    if (transfer_foresee(&bench->own->view, &sources, &foreseen, &err) < 0)
        fail(&err);
    foreseen_s = clock_monotonic_s();
    if (transfer_make(bench->image, &bench->own->view, &sources, &described, NULL, &plan, &figures,
                      &err) < 0)
        fail(&err);
    printf("  plan made %.2f s (foreseen %.2f s): %" PRIu64 " local %" PRIu64 " replicated %" PRIu64
           " sent bytes\n",
           clock_monotonic_s() - foreseen_s, foreseen_s - begin_s, figures.local,
           figures.replicated, figures.sent);
    encode(&plan);
    print_estimate(bench);
    transfer_plan_release(&plan);
}

static void run(const char *path, char **donors, size_t count, uint32_t block_size)
{
    struct bench bench = {.donor_count = count, .block_size = block_size};
    double begin_s;

    for (size_t i = 0; i < count; i++) {
        struct image *image = open_raw(donors[i]);

        bench.donor_files[i] = fingerprint_of(image, block_size);
        bench.donors[i] = &bench.donor_files[i]->view;
        (void)string_format(bench.ids[i], sizeof(bench.ids[i]), "%032zx", i);
        image_close(image);
    }
    bench.image = open_raw(path);
    fingerprint_file_close(fingerprint_of(bench.image, block_size)); /* into the page cache */
    begin_s = clock_monotonic_s();
    bench.own = fingerprint_of(bench.image, block_size);
    printf("%s, blocks of %" PRIu32 ": fingerprint %.2f s\n", path, block_size,
           clock_monotonic_s() - begin_s);
    measure(&bench);
    fingerprint_file_close(bench.own);
    for (size_t i = 0; i < count; i++)
        fingerprint_file_close(bench.donor_files[i]);
    image_close(bench.image);
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 2 + DONORS) {
        puts("usage: bench_plan IMAGE DONOR...");
        return 77;
    }
    run(argv[1], argv + 2, (size_t)argc - 2, 512);
    run(argv[1], argv + 2, (size_t)argc - 2, 4096);
    return 0;
}
