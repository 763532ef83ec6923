/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes fingerprints of an image through the library and tells how it went, in
 * lines: "ok SECONDS" or "error CODE TEXT".
 *
 *   fingerprint_tool [-f FORMAT] [-r RATE] [-t THREADS] [-m MEMORY] [-T DIRECTORY] [-c] [-k]
 *                    [-w BYTES] [-s BYTES] [-o] IMAGE [KIND:BLOCK:PATH]...
 *
 * KIND: md5, sha256, keyed (the key is 32 bytes of 'k'), keyed2 (of 'l'). PATH may be empty: no
 * name. -c: the content's SHA-256 too; -k: leave the page cache alone; -w: says "reached" when so
 * many bytes are done, and waits for a line; -s: stops then; -o: ret_files are asked for, and
 * "file BLOCKS ZERO DISTINCT" told of each.
 */
#include "setmov/fingerprint_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define MOST_WISHES 16

struct watch {
    uint64_t wait_at, stop_at, done, last_offset;
    bool waits, stops, waited, wrong;
};

static void progress(void *context, const struct fingerprint_progress *now)
{
    struct watch *watch = context;
    char line[8];

    /* What it tells never goes back, and never beyond what there is. */
    if (now->bytes_done < watch->done || now->bytes_done > now->bytes_known ||
        now->offset < watch->last_offset || now->offset > now->virtual_size ||
        now->bytes_known > now->virtual_size)
        watch->wrong = true;
    watch->done = now->bytes_done;
    watch->last_offset = now->offset;
    if (!watch->waits || watch->waited || watch->done < watch->wait_at)
        return;
    watch->waited = true;
    printf("reached %" PRIu64 "\n", watch->done);
    fflush(stdout);
    if (fgets(line, sizeof(line), stdin) == NULL)
        watch->wrong = true;
}

static bool stopped(void *context)
{
    const struct watch *watch = context;

    return watch->stops && watch->done >= watch->stop_at;
}

static int parse_wish(char *text, struct fingerprint_wish *ret_wish)
{
    static const uint8_t keys[2][DIGEST_KEY_BYTES] = {"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
                                                      "llllllllllllllllllllllllllllllll"};
    char *size = strchr(text, ':'), *path = size != NULL ? strchr(size + 1, ':') : NULL;
    uint64_t block_size;

    if (path == NULL)
        return -EINVAL;
    *size++ = '\0';
    *path++ = '\0';
    if (parse_u64(size, &block_size) < 0)
        return -EINVAL;
    *ret_wish = (struct fingerprint_wish){.block_size = (uint32_t)block_size,
                                          .path = path[0] != '\0' ? path : NULL};
    if (strcmp(text, "md5") == 0)
        ret_wish->kind = DIGEST_MD5;
    else if (strcmp(text, "sha256") == 0)
        ret_wish->kind = DIGEST_SHA256;
    else
        ret_wish->kind = DIGEST_KEYED_SHA256;
    if (ret_wish->kind == DIGEST_KEYED_SHA256)
        ret_wish->key = keys[strcmp(text, "keyed2") == 0];
    return 0;
}

static int answer(int rc, const struct error *err)
{
    printf("error %d %s\n", -rc, err->text);
    return 1;
}

struct settings {
    struct image_options image;
    struct fingerprint_build_options build;
    struct watch watch;
    bool open;
};

static int build(const char *path, const struct settings *settings,
                 const struct fingerprint_wish *wishes, size_t count)
{
    struct fingerprint_file *files[MOST_WISHES] = {NULL};
    struct error err = {0};
    struct image *image;
    double begin_s;
    int rc = image_open(path, &settings->image, &image, &err);

    if (rc < 0)
        return answer(rc, &err);
    begin_s = clock_monotonic_s();
    rc = fingerprint_build(image, wishes, count, &settings->build, settings->open ? files : NULL,
                           &err);
    begin_s = clock_monotonic_s() - begin_s;
    image_close(image);
    if (rc < 0)
        return answer(rc, &err);
    for (size_t i = 0; i < count && settings->open; i++) {
        rc = fingerprint_verify_order(&files[i]->view, &err);
        if (rc < 0)
            return answer(rc, &err);
        printf("file %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", files[i]->view.totals.blocks,
               files[i]->view.totals.zero, files[i]->view.totals.distinct);
        fingerprint_file_close(files[i]);
    }
    if (settings->watch.wrong) {
        printf("error 0 the progress that was told makes no sense\n");
        return 1;
    }
    printf("ok %.3f\n", begin_s);
    return 0;
}

static bool parse_number(const char *text, uint64_t *ret_number)
{
    return parse_u64(text, ret_number) == 0;
}

static bool parse_options(int argc, char **argv, struct settings *settings)
{
    struct watch *watch = &settings->watch;
    uint64_t number = 0;
    bool good = true;
    int option;

    while (good && (option = getopt(argc, argv, "f:r:t:m:T:ckw:s:o")) != -1) {
        if (strchr("rtmws", option) != NULL)
            good = parse_number(optarg, &number);
        if (option == 'f')
            settings->image.format = optarg;
        else if (option == 'r')
            settings->image.rate_bytes_per_s = number;
        else if (option == 't')
            settings->build.threads = (unsigned)number;
        else if (option == 'm')
            settings->build.memory_bytes = (size_t)number;
        else if (option == 'T')
            settings->build.temporary = optarg;
        else if (option == 'c')
            settings->build.content_sha256 = true;
        else if (option == 'k')
            settings->image.keep_cache = true;
        else if (option == 'w')
            watch->wait_at = number, watch->waits = true;
        else if (option == 's')
            watch->stop_at = number, watch->stops = true;
        else if (option == 'o')
            settings->open = true;
        else
            good = false;
    }
    return good && optind < argc && argc - optind <= MOST_WISHES + 1;
}

int main(int argc, char **argv)
{
    struct fingerprint_wish wishes[MOST_WISHES];
    struct settings settings = {.image = {0}};
    size_t count = 0;

    if (!parse_options(argc, argv, &settings)) {
        fprintf(stderr, "usage: fingerprint_tool [OPTIONS] IMAGE [KIND:BLOCK:PATH]...\n");
        return 2;
    }
    settings.build.progress = progress;
    settings.build.stopped = stopped;
    settings.build.context = &settings.watch;
    for (char **argument = argv + optind + 1; *argument != NULL; argument++) {
        if (parse_wish(*argument, &wishes[count++]) < 0)
            return 2;
    }
    return build(argv[optind], &settings, wishes, count);
}
