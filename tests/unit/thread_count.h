/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests, which have included cmocka: how many threads there are. */
#ifndef THREAD_COUNT_H
#define THREAD_COUNT_H

#include "setmov/base.h"

#include <fcntl.h>
#include <stdio.h>

/* Threads of this process: those of a pool end on their own and leave nothing behind. */
static inline unsigned thread_count(void)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    const char *line;
    unsigned count = 0;

    assert_int_equal(file_read(AT_FDCWD, "/proc/self/status", &buffer), 0);
    line = strstr(buffer.bytes, "\nThreads:");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "\nThreads: %u", &count), 1);
    return count;
}

#endif
