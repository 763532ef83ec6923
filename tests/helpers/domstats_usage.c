/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints "NAME CPU-PERCENT" for two recorded `virsh domstats` answers: FILE FILE SECONDS CORES. */
#include <fcntl.h>
#include <stdio.h>

#include "setmov/usage.h"
#include "setmov/vm.h"

static int read_set(const char *path, double time_s, struct vm_set *set)
{
    struct error err = {{0}};
    struct file_buffer buffer = {0};
    int status = file_read(AT_FDCWD, path, &buffer);
    if (status == 0)
        status = vm_parse_domstats(text_of(buffer.bytes, buffer.length), &set->vms, &set->count,
                                   &set->capacity, &err);
    file_buffer_release(&buffer);
    for (size_t i = 0; i < set->count; i++)
        set->vms[i].cpu_time_s = time_s;
    if (status < 0)
        fprintf(stderr, "%s: %s (%d)\n", path, err.text, status);
    return status;
}

int main(int argc, char **argv)
{
    struct vm_set before = {0};
    struct vm_set after = {0};
    struct vm_usage usage = {0};
    double elapsed_s = 0;
    uint64_t cores = 0;
    if (argc != 5 || parse_double(argv[3], &elapsed_s) < 0 || parse_u64(argv[4], &cores) < 0)
        return 2;
    if (read_set(argv[1], 1000, &before) < 0 || read_set(argv[2], 1000 + elapsed_s, &after) < 0)
        return 1;
    /* Recorded text has names only. */
    for (size_t i = 0; i < after.count && i < before.count; i++) {
        if (usage_vm(&before.vms[i], &after.vms[i], (unsigned)cores, 20, &usage) < 0)
            return 1;
        printf("%s %.6f\n", after.vms[i].name, usage.cpu_percent);
    }
    vm_usage_release(&usage);
    vm_set_release(&before);
    vm_set_release(&after);
    return 0;
}
