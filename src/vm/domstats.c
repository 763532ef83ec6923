/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text that `virsh domstats` prints, as VM samples: for recorded answers. Pure. */
#include "setmov/vm.h"

#include <errno.h>

#define MAX_FIELD_BYTES 128
#define MAX_VALUE_BYTES 4096

/* Numbers as libvirt types them: state fields are signed, all others unsigned. */
static void value_of(const char *field, const char *text, struct vm_value *ret_value)
{
    uint64_t number;

    if (parse_u64(text, &number) == 0) {
        if (strncmp(field, "state.", 6) == 0 && number <= INT64_MAX)
            *ret_value = (struct vm_value){.kind = VM_VALUE_SIGNED, .s = (int64_t)number};
        else
            *ret_value = (struct vm_value){.kind = VM_VALUE_UNSIGNED, .u = number};
    } else {
        *ret_value = (struct vm_value){.kind = VM_VALUE_STRING, .string = text};
    }
}

/* "Domain: 'name'": a new sample. */
static int begin_domain(struct text line, struct vm_sample **vms, size_t *count, size_t *capacity,
                        struct vm_sample **ret_vm)
{
    size_t had = *capacity;
    struct vm_sample *vm;

    if (array_reserve(vms, capacity, *count + 1, sizeof(**vms)) < 0)
        return -ENOMEM;
    memset(*vms + had, 0, (*capacity - had) * sizeof(**vms));
    vm = *vms + (*count)++;
    vm_sample_clear(vm);
    line.at += strlen("Domain: ");
    if (text_length(line) >= 2 && *line.at == '\'' && line.end[-1] == '\'') {
        line.at++;
        line.end--;
    }
    text_copy(line, vm->name, sizeof(vm->name));
    *ret_vm = vm;
    return 0;
}

/* "  field=value" */
static int apply_line(struct vm_sample *vm, struct text line, unsigned *groups)
{
    char field[MAX_FIELD_BYTES], text[MAX_VALUE_BYTES];
    struct vm_value value;
    const char *equals;

    while (line.at < line.end && (*line.at == ' ' || *line.at == '\t'))
        line.at++;
    equals = memchr(line.at, '=', text_length(line));
    if (!equals)
        return 0;
    if (!text_copy((struct text){line.at, equals}, field, sizeof(field)) ||
        !text_copy((struct text){equals + 1, line.end}, text, sizeof(text)))
        return 0;
    value_of(field, text, &value);
    return vm_sample_apply(vm, field, &value, groups);
}

int vm_parse_domstats(struct text text, struct vm_sample **vms, size_t *count, size_t *capacity,
                      struct error *err)
{
    struct vm_sample *vm = NULL;
    struct text line;
    unsigned groups = 0;
    int r;

    *count = 0;
    while (text_next_line(&text, &line)) {
        if (text_starts_with(line, "Domain: ")) {
            if (vm)
                vm_sample_finish(vm);
            r = begin_domain(line, vms, count, capacity, &vm);
        } else {
            r = vm ? apply_line(vm, line, &groups) : 0;
        }
        if (r < 0)
            return error_set(err, r, "domstats: out of memory");
    }
    if (!vm)
        return error_set(err, -EBADMSG, "domstats: no line \"Domain: 'NAME'\"");
    vm_sample_finish(vm);
    return 0;
}
