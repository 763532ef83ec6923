/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: the XML of a domain that arrives. What is taken is fit to be used, what is refused is named. */

#include "setmov/vm_incoming.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
    if (!truth)
        abort();
}

static void check_no_control(const char *string)
{
    for (; *string != '\0'; string++)
        check((unsigned char)*string >= 0x20 && *string != 0x7f);
}

static void check_path(const char *path)
{
    size_t length = strlen(path);

    check(path[0] == '/' && path[length - 1] != '/' && length < 4096);
    check(!strstr(path, "/../") && !strstr(path, "/./"));
    check(length < 3 || strcmp(path + length - 3, "/..") != 0);
    check(strcmp(path + length - 2, "/.") != 0);
    check_no_control(path);
}

static void check_vm(const struct vm_incoming *vm)
{
    check(vm->name[0] != '\0' && !strchr(vm->name, '/'));
    check_no_control(vm->name);
    check(vm->memory_bytes != UNKNOWN_U64 && vm->vcpus > 0);
    check(vm->disk_count + vm->other_disks <= VM_INCOMING_MAX_DISKS);
    if (vm->plan_name) {
        check(vm->plan_name[0] != '\0');
        check_no_control(vm->plan_name);
    }
    for (size_t i = 0; i < vm->disk_count; i++) {
        check_path(vm->disks[i].path);
        check(vm->disks[i].target[0] != '\0' && !strchr(vm->disks[i].target, '/'));
        check(vm->disks[i].format[0] != '\0' && !strchr(vm->disks[i].format, '/'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vm_incoming vm = {.name = NULL};
    struct error err = {""};

    if (vm_incoming_parse(text_of((const char *)data, size), &vm, &err) < 0) {
        check(!vm.name && !vm.disks);
        check(err.text[0] != '\0');
        check_no_control(err.text);
    } else {
        check_vm(&vm);
    }
    vm_incoming_release(&vm);
    return 0;
}
