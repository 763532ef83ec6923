/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the recorded answers of tests/data/vm lie; a file compared with what is expected of it. */
#ifndef SETMOV_TESTS_VM_DATA_H
#define SETMOV_TESTS_VM_DATA_H

#include "host_data.h"

static inline void vm_data_path(char *path, size_t size, const char *leaf)
{
    string_format(path, size, "%s/vm/%s", test_data_folder(), leaf);
}

/* The test ends where the file is not there. */
static inline void vm_data_read(const char *leaf, struct file_buffer *buffer)
{
    char path[1024];
    int r;

    vm_data_path(path, sizeof(path), leaf);
    r = file_read(AT_FDCWD, path, buffer);
    if (r < 0)
        fail_msg("%s: %s", path, strerror(-r));
}

/* Compares with NAME.expected; SETMOV_REGENERATE=1 writes that file anew instead. */
static inline void vm_data_expect(const char *name, const char *found)
{
    CLEANUP(file_buffer_release) struct file_buffer expected = {NULL, 0, 0};
    char leaf[256], path[1024];

    string_format(leaf, sizeof(leaf), "%s.expected", name);
    if (getenv("SETMOV_REGENERATE")) {
        FILE *out;

        vm_data_path(path, sizeof(path), leaf);
        out = fopen(path, "we");
        assert_non_null(out);
        fputs(found, out);
        assert_int_equal(fclose(out), 0);
        return;
    }
    vm_data_read(leaf, &expected);
    assert_string_equal(found, expected.bytes);
}

#endif
