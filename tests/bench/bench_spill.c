/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a very large image costs: feeds the writer with the digests of as many
 * 512-byte blocks as an image of some GiB has, all different, with little
 * memory, so that they go through the disk; prints time, memory and the size.
 *
 *     bench_spill [GiB of the image [MiB of memory]]
 */

#include "fingerprint/writer.h"
#include "made_numbers.h"

#include <sys/resource.h>
#include <sys/statvfs.h>

#define BLOCK_BYTES 512

static uint64_t argument(char **argv, int argc, int number, uint64_t otherwise)
{
    uint64_t value = otherwise;

    if (number < argc && (parse_u64(argv[number], &value) < 0 || value == 0 || value > 4096)) {
        fprintf(stderr, "bench_spill: '%s' is not a number from 1 to 4096\n", argv[number]);
        exit(2);
    }
    return value;
}

static int feed(struct fingerprint_writer *writer, uint64_t blocks, struct error *err)
{
    uint64_t state = 1;

    for (uint64_t done = 0; done < blocks; done += FINGERPRINT_WRITER_BATCH) {
        struct fingerprint_entry *entries = NULL;
        int rc = fingerprint_writer_room(writer, 0, FINGERPRINT_WRITER_BATCH, &entries, err);

        if (rc < 0)
            return rc;
        for (size_t i = 0; i < FINGERPRINT_WRITER_BATCH; i++) {
            uint64_t words[2] = {random_u64(&state), random_u64(&state)};

            memcpy(entries[i].digest.bytes, words, DIGEST_BYTES);
            entries[i].place = fingerprint_place_make(done + i, 1);
        }
        fingerprint_writer_commit(writer, 0, FINGERPRINT_WRITER_BATCH);
    }
    return 0;
}

static int run(uint64_t gib, uint64_t mib, const char *directory)
{
    const struct fingerprint_writer_settings settings = {
        .kind = DIGEST_MD5,
        .block_size = BLOCK_BYTES,
        .temporary = directory,
        .workers = 1,
        .memory_bytes = (size_t)mib << 20,
        .blocks_expected = (gib << 30) / BLOCK_BYTES,
    };
    const struct fingerprint_writer_end end = {.identity = {.virtual_size = gib << 30}};
    struct fingerprint_writer *writer = NULL;
    struct fingerprint_file *file = NULL;
    struct error err = {""};
    struct rusage usage;
    double begin_s = clock_monotonic_s(), fed_s, end_s;

    if (fingerprint_writer_new(&settings, &writer, &err) < 0 ||
        feed(writer, settings.blocks_expected, &err) < 0)
        goto failed;
    fed_s = clock_monotonic_s();
    if (fingerprint_writer_finish(writer, &end, &err) < 0)
        goto failed;
    end_s = clock_monotonic_s();
    /* Before it is mapped: mapped pages of the file would count as ours. */
    getrusage(RUSAGE_SELF, &usage);
    if (fingerprint_writer_open(writer, &file, &err) < 0)
        goto failed;
    printf("%llu GiB at %d bytes, %llu MiB of memory: %llu distinct, %.1f bytes each\n"
           "  fed %.1f s, finished %.1f s (%.0f ns a block in all), peak resident %ld MiB\n",
           (unsigned long long)gib, BLOCK_BYTES, (unsigned long long)mib,
           (unsigned long long)file->view.totals.distinct,
           (double)file->file_length / (double)file->view.totals.distinct, fed_s - begin_s,
           end_s - fed_s, 1e9 * (end_s - begin_s) / (double)settings.blocks_expected,
           usage.ru_maxrss >> 10);
    fingerprint_file_close(file);
    fingerprint_writer_free(writer);
    return 0;
failed:
    fprintf(stderr, "bench_spill: %s\n", err.text);
    fingerprint_writer_free(writer);
    return 1;
}

int main(int argc, char **argv)
{
    const char *directory = getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp";
    uint64_t gib = argument(argv, argc, 1, 32), mib = argument(argv, argc, 2, 64);
    /* The entries, the file, and as much again on the way from one to the other. */
    uint64_t needed = (gib << 30) / BLOCK_BYTES * 24 * 3;
    struct statvfs space;

    if (statvfs(directory, &space) < 0 || (uint64_t)space.f_bavail * space.f_frsize < needed) {
        printf("there is no room for %llu GB in %s\n", (unsigned long long)(needed / 1000000000),
               directory);
        return 77;
    }
    return run(gib, mib, directory);
}
