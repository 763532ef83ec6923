/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The key of keyed digests, from its file. (Effects: reads it.) */
#include "setmov/fingerprint_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_DIGITS ((size_t)2 * DIGEST_KEY_BYTES)

/* 32 bytes as they are, or as 64 digits in a line. */
static int parse_key(const char *bytes, size_t length, uint8_t ret_key[DIGEST_KEY_BYTES])
{
    uint8_t key[DIGEST_KEY_BYTES];

    if (length == DIGEST_KEY_BYTES) {
        memcpy(ret_key, bytes, DIGEST_KEY_BYTES);
        return 0;
    }
    if (length == KEY_DIGITS + 1 && bytes[KEY_DIGITS] == '\n')
        length--;
    if (length != KEY_DIGITS)
        return -EINVAL;
    for (size_t i = 0; i < DIGEST_KEY_BYTES; i++) {
        int high = hexadecimal_digit(bytes[2 * i]), low = hexadecimal_digit(bytes[2 * i + 1]);

        if (high < 0 || low < 0)
            return -EINVAL;
        key[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_key, key, sizeof(key));
    explicit_bzero(key, sizeof(key));
    return 0;
}

int fingerprint_key_read(const char *path, uint8_t ret_key[DIGEST_KEY_BYTES], struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    char bytes[KEY_DIGITS + 8];
    size_t length = 0;
    int rc = 0;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, -errno, "key file %s: %s", path, strerror(errno));
    /* Whoever is at the other end of a pipe may never write. */
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "key file %s is no regular file", path);
    while (length < sizeof(bytes)) {
        ssize_t got = read(fd, bytes + length, sizeof(bytes) - length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = error_set(err, -errno, "key file %s: %s", path, strerror(errno));
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    if (rc == 0 && parse_key(bytes, length, ret_key) < 0)
        rc = error_set(err, -EINVAL,
                       "key file %s has neither %d bytes nor %zu hexadecimal digits in one line",
                       path, DIGEST_KEY_BYTES, KEY_DIGITS);
    explicit_bzero(bytes, sizeof(bytes));
    return rc;
}
