/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: /proc/meminfo. */

#include "setmov/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct host_memory memory = {0};
    struct error err;

    if (host_parse_meminfo(text_of((const char *)data, size), &memory, &err) < 0) {
        if (err.text[0] == '\0' || memory.total != 0)
            abort();
    } else if (memory.total % 1024 != 0 || memory.free % 1024 != 0) {
        abort(); /* also when one of them is unknown */
    }
    return 0;
}
