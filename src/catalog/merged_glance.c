/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a host's directory tells whether a merged index is still true of it. */
#include "catalog/merged_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Directories that changed later than so long ago may change again within one tick of a clock. */
#define RACY_SECONDS 2

/* All that is compared, without holes between. */
struct glance {
    uint64_t device, inode, size, modified_s, modified_ns, changed_s, changed_ns;
    uint64_t kind, block_size, key_id;
};

static uint64_t checksum_of(const struct stat *status, const struct catalog_kind *kind)
{
    struct glance glance = {
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = (uint64_t)status->st_size,
        .modified_s = (uint64_t)status->st_mtim.tv_sec,
        .modified_ns = (uint64_t)status->st_mtim.tv_nsec,
        .changed_s = (uint64_t)status->st_ctim.tv_sec,
        .changed_ns = (uint64_t)status->st_ctim.tv_nsec,
        .kind = kind->kind,
        .block_size = kind->block_size,
    };
    uint64_t checksum;

    memcpy(&glance.key_id, kind->key_id, sizeof(glance.key_id));
    checksum = fingerprint_checksum(&glance, sizeof(glance)) >> 24;
    return checksum > 0 ? checksum : 1;
}

int merged_glance(const char *directory, const struct catalog_kind *kind, uint64_t *ret_checksum,
                  bool *ret_is_racy)
{
    CLEANUP(cleanup_close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    time_t now = time(NULL);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    *ret_checksum = checksum_of(&status, kind);
    *ret_is_racy = status.st_ctim.tv_sec > now - RACY_SECONDS;
    return 0;
}
