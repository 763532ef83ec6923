/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: bulk answers as `virsh domstats` prints them, taken twice into the same memory. */

#include "setmov/vm.h"
#include "vm/sample.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
    if (!truth)
        abort();
}

static void check_vm(const struct vm_sample *vm)
{
    check(memchr(vm->name, '\0', sizeof(vm->name)) != NULL);
    check(vm_state_text(vm->state)[0] != '\0');
    check(isnan(vm->cpu_time_s) && isnan(vm->memory.time_s));
    for (size_t i = 0; i < vm->disk_count; i++) {
        check(vm->disks[i].name[0] != '\0');
        check(memchr(vm->disks[i].name, '\0', sizeof(vm->disks[i].name)) != NULL);
        check(memchr(vm->disks[i].path, '\0', sizeof(vm->disks[i].path)) != NULL);
    }
    for (size_t i = 0; i < vm->interface_count; i++) {
        check(vm->interfaces[i].name[0] != '\0' && vm->interfaces[i].mac[0] == '\0');
        check(memchr(vm->interfaces[i].name, '\0', sizeof(vm->interfaces[i].name)) != NULL);
    }
    for (size_t i = 1; i < vm->vcpu_count; i++)
        check(vm->vcpus[i].number > vm->vcpus[i - 1].number);
    vm_sample_has_disk_counters(vm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = text_of((const char *)data, size);
    struct vm_sample *vms = NULL;
    size_t count = 0, capacity = 0;
    struct error err = {""};

    for (int round = 0; round < 2; round++) {
        int r = vm_parse_domstats(text, &vms, &count, &capacity, &err);

        check(count <= capacity && (r == 0) == (err.text[0] == '\0'));
        for (size_t i = 0; i < count; i++)
            check_vm(&vms[i]);
    }
    for (size_t i = 0; i < capacity; i++)
        vm_sample_release(&vms[i]);
    free(vms);
    return 0;
}
