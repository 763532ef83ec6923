/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz target over the files named on the command line and over the
 * files below the folders named there, without libFuzzer: so that a corpus is
 * a test. Prints how many files it replayed; none is a failure.
 */

#include "setmov/base.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replayed;

static int replay_file(const char *path)
{
    CLEANUP(file_buffer_release) struct file_buffer file = {0};
    CLEANUP(cleanup_free) uint8_t *copy = NULL;
    int rc = file_read(AT_FDCWD, path, &file);

    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(-rc));
        return rc;
    }
    /* In memory of just its size, so that reading beyond it is seen. */
    copy = malloc(file.length > 0 ? file.length : 1);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, file.bytes, file.length);
    LLVMFuzzerTestOneInput(copy, file.length);
    replayed++;
    return 0;
}

static int visit(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)walk;
    if (type == FTW_F)
        return replay_file(path);
    if (type == FTW_D || type == FTW_DP)
        return 0;
    fprintf(stderr, "%s: cannot be read\n", path);
    return -EIO;
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        if (nftw(arguments[i], visit, 16, FTW_PHYS) != 0) {
            fprintf(stderr, "%s: not replayed\n", arguments[i]);
            return EXIT_FAILURE;
        }
    }
    printf("%zu files replayed\n", replayed);
    return replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
