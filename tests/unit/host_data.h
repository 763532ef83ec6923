/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the recorded trees of tests/data/host lie, and how to read from them. */
#ifndef SETMOV_TESTS_HOST_DATA_H
#define SETMOV_TESTS_HOST_DATA_H

#include "setmov/host.h"

#include <fcntl.h>
#include <sys/stat.h>

static const char *const host_cases[] = {
    "linux-6.1-kvm",      "linux-2.6.18-cciss", "linux-2.4", "linux-4.19-hotplug",
    "linux-future",       "iowait-backwards-1", "ipv6-only", "stat-only",
    "iowait-backwards-2", "cut-short",          "container",
};

/*
 * The data folder: $SETMOV_TEST_DATA, or tests/data from the root of the
 * repository or from below it.
 */
static inline const char *test_data_folder(void)
{
    static const char *const candidates[] = {"tests/data", "../data", "../tests/data",
                                             "../../tests/data", "../../../tests/data"};
    const char *folder = getenv("SETMOV_TEST_DATA");
    struct stat status;

    for (size_t i = 0; folder == NULL && i < ARRAY_LENGTH(candidates); i++) {
        if (stat(candidates[i], &status) == 0)
            folder = candidates[i];
    }
    return folder != NULL ? folder : "tests/data";
}

static inline void host_case_path(char *path, size_t size, const char *name, const char *leaf)
{
    string_format(path, size, "%s/host/%s/%s", test_data_folder(), name, leaf);
}

/* 0 or negative errno, as file_read. */
static inline int host_case_read(const char *name, const char *leaf, struct file_buffer *buffer)
{
    char path[1024];

    host_case_path(path, sizeof(path), name, leaf);
    return file_read(AT_FDCWD, path, buffer);
}

#endif
