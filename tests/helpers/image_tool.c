/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens an image as the program does and does what its standard input says,
 * a command a line, an answer of one line each: "ok ..." or "error CODE TEXT".
 *
 *   image_tool [-f FORMAT] [-a DIRECTORY]... [-o] [-l] [-k] [-c CONNECTIONS] [-r RATE] [-d FILE] [-t MILLISECONDS]
 *              [-s BYTES] IMAGE
 *
 * Commands: info, extents, in-use, check, read OFFSET LENGTH (a checksum),
 * copy FILE (data extents into a sparse file), all FILE (everything, holes
 * read as well), speed THREADS BYTES (reads all, BYTES a call).
 *
 * -l: the top layer alone. -t: how long qemu-nbd may be silent. -d: what the kernel is asked to drop from the page cache is written to FILE,
 * a line "INODE OFFSET LENGTH" each: a page that the kernel gave up of its own
 * accord and one that we had it drop look alike afterwards. -s: the kernel gives
 * at most so many bytes at once, as it may.
 */
#include "setmov/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECE ((size_t)4 << 20)

static FILE *dropped;

/* In place of the C library's, for all of this program. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc abbreviates */
int posix_fadvise(int fd, off_t offset, off_t length, int advice)
{
    struct stat status;

    if (dropped != NULL && advice == POSIX_FADV_DONTNEED && fstat(fd, &status) == 0)
        fprintf(dropped, "%ju %jd %jd\n", (uintmax_t)status.st_ino, (intmax_t)offset,
                (intmax_t)length);
    return syscall(SYS_fadvise64, fd, offset, length, advice) == 0 ? 0 : errno;
}

static uint64_t most_at_once = UINT64_MAX;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc abbreviates */
ssize_t pread(int fd, void *buffer, size_t length, off_t offset)
{
    return syscall(SYS_pread64, fd, buffer, length < most_at_once ? length : most_at_once, offset);
}

static int answer(int rc, const struct error *err)
{
    if (rc < 0)
        printf("error %d %s\n", -rc, err->text);
    return rc;
}

static void show_info(const struct image *image)
{
    size_t count;
    const struct image_layer *layers = image_layers(image, &count);

    printf("ok {\"size\":%" PRIu64 ",\"format\":\"%s\",\"settings\":\"%s\",\"layers\":[",
           image_size(image), image_format(image), image_settings(image));
    for (size_t i = 0; i < count; i++)
        printf("%s{\"path\":\"%s\",\"format\":\"%s\",\"size\":%" PRIu64 ",\"inode\":%" PRIu64
               ",\"block_device\":%s}",
               i > 0 ? "," : "", layers[i].path, layers[i].format, layers[i].size, layers[i].inode,
               layers[i].is_block_device ? "true" : "false");
    printf("]}\n");
}

/* Calls `visit` for each extent; it may fail. */
static int walk(struct image *image,
                int (*visit)(struct image *, const struct image_extent *, void *, struct error *),
                void *user_data, struct error *err)
{
    uint64_t offset = 0;

    while (offset < image_size(image)) {
        struct image_extent extent;
        int rc = image_next_extent(image, offset, &extent, err);

        if (rc < 0)
            return rc;
        if (extent.offset != offset || extent.length == 0 ||
            extent.length > image_size(image) - offset)
            return error_set(err, -EPROTO, "bad extent at %" PRIu64, offset);
        rc = visit(image, &extent, user_data, err);
        if (rc < 0)
            return rc;
        offset += extent.length;
    }
    return 0;
}

struct merged {
    struct image_extent extent;
    bool first;
};

static void print_extent(struct merged *merged)
{
    static const char *const names[] = {"data", "zero", "hole"};

    if (merged->extent.length > 0)
        printf("%s[%" PRIu64 ",%" PRIu64 ",\"%s\"]", merged->first ? "" : ",",
               merged->extent.offset, merged->extent.length, names[merged->extent.kind]);
    if (merged->extent.length > 0)
        merged->first = false;
}

static int show_extent(struct image *image, const struct image_extent *extent, void *user_data,
                       struct error *err)
{
    struct merged *merged = user_data;

    (void)image;
    (void)err;
    if (merged->extent.length > 0 && merged->extent.kind == extent->kind) {
        merged->extent.length += extent->length;
        return 0;
    }
    print_extent(merged);
    merged->extent = *extent;
    return 0;
}

static int pass_over(struct image *image, const struct image_extent *extent, void *user_data,
                     struct error *err)
{
    (void)image;
    (void)extent;
    (void)user_data;
    (void)err;
    return 0;
}

static void show_extents(struct image *image)
{
    struct merged merged = {.first = true};
    struct error err = {0};

    if (answer(walk(image, pass_over, NULL, &err), &err) < 0)
        return;
    printf("ok [");
    (void)walk(image, show_extent, &merged, &err);
    print_extent(&merged);
    printf("]\n");
}

struct copy {
    int fd;
    bool all;
    char *buffer;
};

static int copy_extent(struct image *image, const struct image_extent *extent, void *user_data,
                       struct error *err)
{
    struct copy *copy = user_data;

    if (extent->kind != IMAGE_DATA && !copy->all)
        return 0;
    for (uint64_t done = 0; done < extent->length;) {
        size_t piece = extent->length - done < PIECE ? (size_t)(extent->length - done) : PIECE;
        int rc = image_read(image, extent->offset + done, piece, copy->buffer, err);

        if (rc < 0)
            return rc;
        if (pwrite(copy->fd, copy->buffer, piece, (off_t)(extent->offset + done)) != (ssize_t)piece)
            return error_set(err, -errno, "writing: %s", strerror(errno));
        done += piece;
    }
    return 0;
}

static void copy_image(struct image *image, const char *path, bool all)
{
    struct copy copy = {.all = all, .buffer = malloc(PIECE)};
    struct error err = {0};
    int rc;

    copy.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (copy.fd < 0 || copy.buffer == NULL || ftruncate(copy.fd, (off_t)image_size(image)) < 0)
        rc = error_set(&err, -errno, "%s: %s", path, strerror(errno));
    else
        rc = walk(image, copy_extent, &copy, &err);
    if (answer(rc, &err) == 0)
        printf("ok\n");
    if (copy.fd >= 0)
        close(copy.fd);
    free(copy.buffer);
}

static void read_range(struct image *image, const char *arguments)
{
    uint64_t offset, length, sum = 0;
    struct error err = {0};
    uint8_t *buffer;
    int rc;

    if (sscanf(arguments, "%" SCNu64 " %" SCNu64, &offset, &length) != 2) {
        printf("error 0 usage\n");
        return;
    }
    buffer = malloc(length + 1);
    rc = image_read(image, offset, length, buffer, &err);
    if (answer(rc, &err) == 0) {
        for (uint64_t i = 0; i < length; i++)
            sum = sum * 31 + buffer[i];
        printf("ok %" PRIu64 "\n", sum);
    }
    free(buffer);
}

struct share {
    struct image *image;
    pthread_t thread;
    uint64_t start, end, sum, read;
    size_t piece;
    int rc;
    struct error err;
};

static void *read_share(void *argument)
{
    struct share *share = argument;
    uint64_t *buffer = aligned_alloc(4096, share->piece), offset = share->start;

    while (offset < share->end && share->rc == 0) {
        struct image_extent extent;

        share->rc = image_next_extent(share->image, offset, &extent, &share->err);
        if (share->rc < 0)
            break;
        if (extent.length > share->end - offset)
            extent.length = share->end - offset;
        for (uint64_t done = 0; extent.kind == IMAGE_DATA && done < extent.length;) {
            size_t piece =
                extent.length - done < share->piece ? (size_t)(extent.length - done) : share->piece;

            share->rc = image_read(share->image, offset + done, piece, buffer, &share->err);
            if (share->rc < 0)
                break;
            for (size_t i = 0; i < piece / sizeof(*buffer); i++)
                share->sum += buffer[i];
            share->read += piece;
            done += piece;
        }
        offset += extent.length;
    }
    free(buffer);
    return NULL;
}

static void measure(struct image *image, const char *arguments)
{
    struct share shares[64] = {{0}};
    uint64_t piece, size = image_size(image), sum = 0, read = 0;
    unsigned threads;
    double begin = clock_monotonic_s(), seconds;

    if (sscanf(arguments, "%u %" SCNu64, &threads, &piece) != 2 || threads > 64 || threads == 0) {
        printf("error 0 usage\n");
        return;
    }
    for (unsigned i = 0; i < threads; i++) {
        shares[i].image = image;
        shares[i].piece = piece;
        shares[i].start = size / threads / piece * piece * i;
        shares[i].end = i + 1 == threads ? size : size / threads / piece * piece * (i + 1);
        pthread_create(&shares[i].thread, NULL, read_share, &shares[i]);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(shares[i].thread, NULL);
    seconds = clock_monotonic_s() - begin;
    for (unsigned i = 0; i < threads; i++) {
        if (answer(shares[i].rc, &shares[i].err) < 0)
            return;
        sum += shares[i].sum;
        read += shares[i].read;
    }
    printf("ok %.3f s, %.2f GB/s of %" PRIu64 " bytes, sum %" PRIu64 "\n", seconds,
           (double)read / seconds / 1e9, read, sum);
}

static void obey(struct image *image, const char *line)
{
    struct error err = {0};

    if (strcmp(line, "info") == 0)
        show_info(image);
    else if (strcmp(line, "extents") == 0)
        show_extents(image);
    else if (strcmp(line, "in-use") == 0)
        printf("ok %s\n", image_is_in_use(image) ? "yes" : "no");
    else if (strcmp(line, "check") == 0 && answer(image_check_unchanged(image, &err), &err) == 0)
        printf("ok\n");
    else if (strncmp(line, "read ", 5) == 0)
        read_range(image, line + 5);
    else if (strncmp(line, "copy ", 5) == 0)
        copy_image(image, line + 5, false);
    else if (strncmp(line, "all ", 4) == 0)
        copy_image(image, line + 4, true);
    else if (strncmp(line, "speed ", 6) == 0)
        measure(image, line + 6);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *allowed[16] = {NULL};
    struct image_options options = {.allowed = allowed};
    size_t allowed_count = 0;
    struct image *image;
    struct error err = {0};
    uint64_t number = 0;
    char line[4352];
    int option;

    while ((option = getopt(argc, argv, "f:a:olkc:r:d:t:s:")) != -1) {
        if (option == 'f')
            options.format = optarg;
        else if (option == 'a' && allowed_count < ARRAY_LENGTH(allowed) - 1)
            allowed[allowed_count++] = optarg;
        else if (option == 'o')
            options.follow_backing_outside = true;
        else if (option == 'l')
            options.only_top = true;
        else if (option == 'k')
            options.keep_cache = true;
        else if (option == 'c' && parse_u64(optarg, &number) == 0)
            options.connections = (unsigned)number;
        else if (option == 'r' && parse_u64(optarg, &number) == 0)
            options.rate_bytes_per_s = number;
        else if (option == 't' && parse_u64(optarg, &number) == 0)
            options.patience_s = (double)number / 1000;
        else if (option == 's' && parse_u64(optarg, &number) == 0)
            most_at_once = number;
        else if (option == 'd')
            dropped = fopen(optarg, "we");
        else
            return 2;
    }
    if (optind != argc - 1)
        return 2;
    if (answer(image_open(argv[optind], &options, &image, &err), &err) < 0)
        return 1;
    printf("ok\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(image, line);
    }
    image_close(image);
    if (dropped != NULL)
        fclose(dropped);
    return 0;
}
