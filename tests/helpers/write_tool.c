/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes an image as the program does and does what its standard input says, a
 * command a line, an answer of one line each: "ok ..." or "error CODE TEXT".
 *
 *   write_tool [-f FORMAT] [-b BACKING -F FORMAT] [-s SETTINGS] [-m MODE] [-r ROOT] [-n] [-N] PATH SIZE
 *
 * -n: as on a file system without nameless files. -N: and without second names.
 * Commands: write OFFSET LENGTH BYTE, zero OFFSET LENGTH, read OFFSET LENGTH (in
 * hexadecimal), copy THREADS PIECE FILE (data of a raw file to the same places, by
 * so many threads), same FILE (is what can be read back that file?), finish,
 * identity, publish. At the end of its input it closes what is not published.
 */
#include "setmov/image_write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)

static bool no_nameless, no_links;

/* In place of the C library's, for all of this program. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc abbreviates */
int openat(int directory, const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list arguments;

    va_start(arguments, flags);
    if ((flags & (O_CREAT | O_TMPFILE)) != 0)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (no_nameless && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, directory, path, flags, mode);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc abbreviates */
int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    if (no_links) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
}

static void answer(int rc, const struct error *err)
{
    if (rc < 0)
        printf("error %d %s\n", -rc, err->text);
    else
        printf("ok\n");
}

static void write_bytes(struct image_write *image, const char *arguments)
{
    struct error err = {0};
    uint64_t offset, length;
    unsigned byte;
    char *bytes;

    if (sscanf(arguments, "%" SCNu64 " %" SCNu64 " %u", &offset, &length, &byte) != 3 ||
        (bytes = malloc(length + 1)) == NULL) {
        printf("error 0 usage\n");
        return;
    }
    memset(bytes, (int)byte, length);
    answer(image_write_at(image, offset, bytes, length, &err), &err);
    free(bytes);
}

static void zero(struct image_write *image, const char *arguments)
{
    struct error err = {0};
    uint64_t offset, length;

    if (sscanf(arguments, "%" SCNu64 " %" SCNu64, &offset, &length) != 2)
        printf("error 0 usage\n");
    else
        answer(image_write_zero(image, offset, length, &err), &err);
}

static void read_bytes(struct image_write *image, const char *arguments)
{
    struct error err = {0};
    uint64_t offset, length;
    uint8_t bytes[512];
    int rc;

    if (sscanf(arguments, "%" SCNu64 " %" SCNu64, &offset, &length) != 2 ||
        length > sizeof(bytes)) {
        printf("error 0 usage\n");
        return;
    }
    rc = image_write_read(image, offset, length, bytes, &err);
    if (rc < 0) {
        answer(rc, &err);
        return;
    }
    printf("ok ");
    for (uint64_t i = 0; i < length; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

struct copy {
    struct image_write *image;
    int fd;
    uint64_t size;
    size_t piece;
    atomic_uint_fast64_t next;
    atomic_int rc;
    struct error err;
};

static void *copy_pieces(void *argument)
{
    struct copy *copy = argument;
    char *bytes = malloc(copy->piece);
    struct error err = {0};
    int rc = 0;

    while (rc == 0) {
        uint64_t at = atomic_fetch_add(&copy->next, copy->piece);
        uint64_t left = at < copy->size ? copy->size - at : 0;
        size_t length = left < copy->piece ? (size_t)left : copy->piece;
        bool empty = true;

        if (length == 0)
            break;
        if (pread(copy->fd, bytes, length, (off_t)at) != (ssize_t)length)
            rc = error_set(&err, -EIO, "reading");
        for (size_t i = 0; i < length && empty; i++)
            empty = bytes[i] == 0;
        if (rc == 0 && !empty)
            rc = image_write_at(copy->image, at, bytes, length, &err);
    }
    if (rc < 0 && atomic_exchange(&copy->rc, rc) == 0)
        copy->err = err;
    free(bytes);
    return NULL;
}

static void copy_file(struct image_write *image, const char *arguments)
{
    struct copy copy = {.image = image, .fd = -1};
    pthread_t threads[64];
    struct stat status;
    char path[4096];
    unsigned count;

    if (sscanf(arguments, "%u %zu %4095s", &count, &copy.piece, path) == 3)
        copy.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (copy.fd < 0 || fstat(copy.fd, &status) < 0 || count > ARRAY_LENGTH(threads)) {
        printf("error 0 usage\n");
        return;
    }
    copy.size = (uint64_t)status.st_size;
    for (unsigned i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, copy_pieces, &copy);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    close(copy.fd);
    answer(atomic_load(&copy.rc), &copy.err);
}

static void compare(struct image_write *image, const char *path)
{
    char *ours = malloc(PIECE), *theirs = malloc(PIECE);
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    struct error err = {0};
    uint64_t at = 0;

    while (rc == 0) {
        ssize_t got = pread(fd, theirs, PIECE, (off_t)at);

        if (got <= 0)
            break;
        rc = image_write_read(image, at, (size_t)got, ours, &err);
        if (rc == 0 && memcmp(ours, theirs, (size_t)got) != 0)
            rc = error_set(&err, -EILSEQ, "differs behind byte %" PRIu64, at);
        at += (uint64_t)got;
    }
    answer(rc, &err);
    free(ours);
    free(theirs);
    if (fd >= 0)
        close(fd);
}

static void tell_identity(struct image_write *image)
{
    uint64_t device, inode;

    if (image_write_identity(image, &device, &inode) < 0)
        printf("error 0 no identity\n");
    else
        printf("ok %" PRIu64 " %" PRIu64 "\n", device, inode);
}

static void obey(struct image_write *image, const char *line)
{
    struct error err = {0};

    if (strncmp(line, "write ", 6) == 0)
        write_bytes(image, line + 6);
    else if (strncmp(line, "zero ", 5) == 0)
        zero(image, line + 5);
    else if (strncmp(line, "read ", 5) == 0)
        read_bytes(image, line + 5);
    else if (strncmp(line, "copy ", 5) == 0)
        copy_file(image, line + 5);
    else if (strncmp(line, "same ", 5) == 0)
        compare(image, line + 5);
    else if (strcmp(line, "finish") == 0)
        answer(image_write_finish(image, &err), &err);
    else if (strcmp(line, "identity") == 0)
        tell_identity(image);
    else if (strcmp(line, "publish") == 0)
        answer(image_write_publish(image, &err), &err);
    else
        printf("error 0 usage\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct image_write_options options = {.format = "raw"};
    const char *root = "/";
    struct image_write *image;
    struct error err = {0};
    char line[4352];
    int option, rc;

    while ((option = getopt(argc, argv, "f:b:F:s:m:r:nN")) != -1) {
        if (option == 'f')
            options.format = optarg;
        else if (option == 'b')
            options.backing = optarg;
        else if (option == 'F')
            options.backing_format = optarg;
        else if (option == 's')
            options.settings = optarg;
        else if (option == 'm')
            options.mode = (uint32_t)strtoul(optarg, NULL, 8);
        else if (option == 'r')
            root = optarg;
        else if (option == 'n')
            no_nameless = true;
        else if (option == 'N')
            no_nameless = no_links = true;
        else
            return 2;
    }
    if (optind != argc - 2 || parse_u64(argv[optind + 1], &options.virtual_size) < 0)
        return 2;
    rc = image_write_new(argv[optind], root, &options, &image, &err);
    answer(rc, &err);
    fflush(stdout);
    if (rc < 0)
        return 1;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(image, line);
    }
    image_write_close(image);
    return 0;
}
