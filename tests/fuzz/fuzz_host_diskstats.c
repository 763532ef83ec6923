/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: /proc/diskstats, with the kinds of the disks. */

#include "setmov/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct host_disks disks = {0};
    struct error err;

    for (int i = 0; i < 2; i++) {
        if (host_parse_diskstats(text_of((const char *)data, size), &disks, &err) < 0 &&
            (disks.count != 0 || err.text[0] == '\0'))
            abort();
    }
    for (size_t i = 0; i < disks.count; i++) {
        if (disks.disks[i].name[0] == '\0' ||
            memchr(disks.disks[i].name, '\0', DISK_NAME_BYTES) == NULL)
            abort();
    }
    free(disks.disks);
    return 0;
}
