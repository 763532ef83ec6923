/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: /proc/partitions against /proc/diskstats. The input is the
 * one, a byte 0, and the other; without a byte 0 the disks are fixed ones.
 */

#include "setmov/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char some_disks[] = "8 0 sda 1 1 1 1\n8 1 sda1 1 1 1 1\n8 16 sdb 1 1 1 1\n"
                                     "7 0 loop0 1 1 1 1\n253 0 dm-0 1 1 1 1\n";
    const uint8_t *split = size > 0 ? memchr(data, '\0', size) : NULL;
    struct text partitions = text_of((const char *)data, size);
    struct text diskstats = text_of(some_disks, strlen(some_disks));
    struct host_disks disks = {0};
    size_t before;

    if (split != NULL) {
        partitions.end = (const char *)split;
        diskstats = text_of((const char *)split + 1, size - (size_t)(split + 1 - data));
    }
    host_parse_diskstats(diskstats, &disks, NULL);
    before = disks.count;
    host_keep_partitions(&disks, partitions);
    if (disks.count > before)
        abort();
    before = disks.count;
    /* What was kept once is kept again. */
    host_keep_partitions(&disks, partitions);
    if (disks.count != before)
        abort();
    free(disks.disks);
    return 0;
}
