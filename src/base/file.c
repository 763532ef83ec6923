/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading of small files of /proc and /sys (effects: open, read). */

#include "setmov/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_CAPACITY    4096
#define LARGEST_FILE      ((size_t)64 << 20)
#define ROOM_FOR_ONE_READ 4096 /* seq_file hands out a page at a time */

static int read_all(int fd, struct file_buffer *buffer)
{
    size_t length = 0;

    for (;;) {
        size_t room;
        ssize_t got;
        int rc;

        if (length > LARGEST_FILE)
            return -EFBIG;
        /* One byte is kept for the NUL. */
        rc = array_reserve(&buffer->bytes, &buffer->capacity, length + ROOM_FOR_ONE_READ + 1, 1);
        if (rc < 0)
            return rc;
        room = buffer->capacity - length - 1;
        got = read(fd, buffer->bytes + length, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    buffer->bytes[length] = '\0';
    buffer->length = length;
    return 0;
}

int file_read(int directory, const char *path, struct file_buffer *buffer)
{
    CLEANUP(cleanup_close) int fd = -1;
    struct stat status;
    int rc;

    buffer->length = 0;
    rc = array_reserve(&buffer->bytes, &buffer->capacity, FIRST_CAPACITY, 1);
    if (rc < 0)
        return rc;
    buffer->bytes[0] = '\0';
    /* Without O_NONBLOCK the open of a FIFO would wait for a writer. */
    fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    rc = read_all(fd, buffer);
    if (rc < 0)
        buffer->bytes[0] = '\0';
    return rc;
}

void file_buffer_release(struct file_buffer *buffer)
{
    if (buffer == NULL)
        return;
    free(buffer->bytes);
    *buffer = (struct file_buffer){0};
}

int file_read_up_to(int fd, void *bytes, size_t size, size_t *ret_length)
{
    size_t length = 0;

    while (length < size) {
        ssize_t got = read(fd, (char *)bytes + length, size - length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    *ret_length = length;
    return 0;
}
