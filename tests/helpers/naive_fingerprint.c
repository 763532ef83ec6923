/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a fingerprint costs as one would write it first: read a block of 512
 * bytes, let OpenSSL digest it with MD5, qsort all digests, write them.
 *
 *   naive_fingerprint IMAGE OUTPUT
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK  512
#define DIGEST 16

static int compare(const void *left, const void *right)
{
    return memcmp(left, right, DIGEST);
}

static int write_all(const char *path, const unsigned char *digests, size_t count)
{
    FILE *file = fopen(path, "wbe");

    if (file == NULL)
        return -1;
    if (fwrite(digests, DIGEST, count, file) != count) {
        fclose(file);
        return -1;
    }
    return fclose(file);
}

int main(int argc, char **argv)
{
    unsigned char block[BLOCK], *digests;
    struct stat status;
    size_t count = 0, room;
    int fd;

    if (argc != 3)
        return 2;
    fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        perror(argv[1]);
        return 1;
    }
    room = (size_t)status.st_size / BLOCK;
    digests = malloc(room * DIGEST + 1);
    while (digests != NULL && count < room && read(fd, block, BLOCK) == BLOCK) {
        EVP_Digest(block, BLOCK, digests + count * DIGEST, NULL, EVP_md5(), NULL);
        count++;
    }
    close(fd);
    if (digests == NULL || count != room)
        return 1;
    qsort(digests, count, DIGEST, compare);
    if (write_all(argv[2], digests, count) != 0) {
        perror(argv[2]);
        return 1;
    }
    free(digests);
    return 0;
}
