/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of answers, and records of libvirt taken into them. */
#include "vm/answer.h"

#include "vm/changes.h"

static bool value_of(const virTypedParameter *parameter, struct vm_value *ret_value)
{
    switch (parameter->type) {
    case VIR_TYPED_PARAM_INT:
        *ret_value = (struct vm_value){.kind = VM_VALUE_SIGNED, .s = parameter->value.i};
        return true;
    case VIR_TYPED_PARAM_UINT:
        *ret_value = (struct vm_value){.kind = VM_VALUE_UNSIGNED, .u = parameter->value.ui};
        return true;
    case VIR_TYPED_PARAM_LLONG:
        *ret_value = (struct vm_value){.kind = VM_VALUE_SIGNED, .s = parameter->value.l};
        return true;
    case VIR_TYPED_PARAM_ULLONG:
        *ret_value = (struct vm_value){.kind = VM_VALUE_UNSIGNED, .u = parameter->value.ul};
        return true;
    case VIR_TYPED_PARAM_DOUBLE:
        *ret_value = (struct vm_value){.kind = VM_VALUE_DOUBLE, .d = parameter->value.d};
        return true;
    case VIR_TYPED_PARAM_BOOLEAN:
        *ret_value = (struct vm_value){.kind = VM_VALUE_BOOLEAN, .b = parameter->value.b != 0};
        return true;
    case VIR_TYPED_PARAM_STRING:
        *ret_value = (struct vm_value){.kind = VM_VALUE_STRING, .string = parameter->value.s};
        return true;
    default:
        return false;
    }
}

int vm_answer_apply(const virDomainStatsRecord *record, struct vm_sample *vm, unsigned *groups)
{
    struct vm_value value;
    int r = 0;

    for (int i = 0; i < record->nparams && r == 0; i++)
        if (value_of(&record->params[i], &value))
            r = vm_sample_apply(vm, record->params[i].field, &value, groups);
    return r;
}

struct vm_answer *vm_answers_append(struct vm_answers *answers, virDomainPtr domain)
{
    const char *name = virDomainGetName(domain);
    unsigned id = virDomainGetID(domain);
    struct vm_answer *answer;

    if (array_reserve(&answers->list, &answers->capacity, answers->count + 1,
                      sizeof(*answers->list)) < 0)
        return NULL;
    answer = &answers->list[answers->count++];
    memset(answer, 0, sizeof(*answer));
    vm_sample_clear(&answer->vm);
    string_copy(answer->vm.name, sizeof(answer->vm.name), name ? name : "");
    if (virDomainGetUUIDString(domain, answer->vm.uuid) < 0)
        answer->vm.uuid[0] = '\0';
    answer->vm.incarnation = id;
    if (virDomainRef(domain) == 0)
        answer->domain = domain;
    return answer;
}

void vm_answers_release(struct vm_answers *answers)
{
    for (size_t i = 0; i < answers->count; i++) {
        vm_sample_release(&answers->list[i].vm);
        if (answers->list[i].domain)
            virDomainFree(answers->list[i].domain);
    }
    free(answers->list);
    memset(answers, 0, sizeof(*answers));
}

static int compare(const void *a, const void *b)
{
    const struct vm_answer *one = a, *other = b;

    return vm_sample_compare(&one->vm, &other->vm);
}

void vm_answers_sort(struct vm_answers *answers)
{
    if (answers->count > 1)
        qsort(answers->list, answers->count, sizeof(*answers->list), compare);
}

struct vm_answer *vm_answers_find(const struct vm_answers *answers, const struct vm_answer *same)
{
    return answers->count == 0
               ? NULL
               : bsearch(same, answers->list, answers->count, sizeof(*answers->list), compare);
}
