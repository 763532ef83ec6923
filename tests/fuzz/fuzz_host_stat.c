/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: /proc/stat. */

#include "setmov/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct host_cpu cpu = {0};
    struct error err;

    /* Twice, so that the memory is used again. */
    for (int i = 0; i < 2; i++) {
        if (host_parse_stat(text_of((const char *)data, size), &cpu, &err) < 0 &&
            (cpu.cpu_count != 0 || err.text[0] == '\0'))
            abort();
        for (size_t n = 1; n < cpu.cpu_count; n++) {
            if (cpu.cpus[n].number <= cpu.cpus[n - 1].number || cpu.cpus[n].times.fields < 4)
                abort();
        }
    }
    free(cpu.cpus);
    return 0;
}
