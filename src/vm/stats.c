/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bulk answers into VM samples, field by field. Pure.
 *
 * A host with 1000 VMs sends about 100,000 fields a second, so the name of a
 * field is taken apart once, from left to right: group, index, then a short
 * table of the group's own names. Fields of an index that never gets a name
 * ("net.count=1" alone) are dropped at the end.
 */
#include "vm/sample.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>

/* No VM has more devices of a kind; a larger index in an answer is a broken answer. */
#define MAX_INDEX 4096

const char *vm_state_text(enum vm_state state)
{
    static const char *const texts[] = {
        [VM_STATE_UNKNOWN] = "unknown",      [VM_STATE_RUNNING] = "running",
        [VM_STATE_BLOCKED] = "blocked",      [VM_STATE_PAUSED] = "paused",
        [VM_STATE_SHUTDOWN] = "in shutdown", [VM_STATE_SHUTOFF] = "shut off",
        [VM_STATE_CRASHED] = "crashed",      [VM_STATE_SUSPENDED] = "suspended",
    };
    return (unsigned)state < ARRAY_LENGTH(texts) ? texts[state] : texts[VM_STATE_UNKNOWN];
}

void vm_sample_release(struct vm_sample *vm)
{
    if (!vm)
        return;
    free(vm->vcpus);
    free(vm->disks);
    free(vm->interfaces);
    memset(vm, 0, sizeof(*vm));
}

void vm_memory_clear(struct vm_memory *memory)
{
    memset(memory, 0xff, sizeof(*memory)); /* every byte set is UNKNOWN_U64 */
    memory->time_s = NAN;
    memory->stale = true;
}

void vm_sample_clear(struct vm_sample *vm)
{
    vm->name[0] = vm->uuid[0] = '\0';
    vm->incarnation = 0;
    vm->state = VM_STATE_UNKNOWN;
    vm->reason = 0;
    vm->active = false;
    vm->answering = true;
    vm->cpu_time_s = vm->vcpu_time_s = vm->disk_time_s = vm->interface_time_s = NAN;
    vm->cpu_ns = UNKNOWN_U64;
    vm->vcpu_current = 0;
    vm->vcpu_count = vm->disk_count = vm->interface_count = 0;
    vm_memory_clear(&vm->memory);
}

/* ---- values ---------------------------------------------------------------- */

static bool value_u64(const struct vm_value *value, uint64_t *ret)
{
    if (value->kind == VM_VALUE_UNSIGNED)
        *ret = value->u;
    else if (value->kind == VM_VALUE_SIGNED && value->s >= 0)
        *ret = (uint64_t)value->s;
    else
        return false;
    return true;
}

/* KiB in the answer, bytes in the sample. */
static bool value_kib(const struct vm_value *value, uint64_t *ret)
{
    uint64_t kib;

    if (!value_u64(value, &kib) || kib > UINT64_MAX / 1024)
        return false;
    *ret = kib * 1024;
    return true;
}

/* A group's own names: where in its struct the number goes. */
struct field {
    const char *name;
    size_t offset;
    bool (*take)(const struct vm_value *value, uint64_t *ret);
};

static bool take_field(const struct field *fields, size_t count, const char *name,
                       const struct vm_value *value, void *object)
{
    uint64_t number;

    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) != 0)
            continue;
        if (!fields[i].take(value, &number))
            return false;
        memcpy((char *)object + fields[i].offset, &number, sizeof(number));
        return true;
    }
    return false;
}

static const struct field balloon_fields[] = {
    {"current", offsetof(struct vm_memory, current), value_kib},
    {"maximum", offsetof(struct vm_memory, maximum), value_kib},
    {"rss", offsetof(struct vm_memory, rss), value_kib},
    {"available", offsetof(struct vm_memory, available), value_kib},
    {"unused", offsetof(struct vm_memory, unused), value_kib},
    {"usable", offsetof(struct vm_memory, usable), value_kib},
    {"disk_caches", offsetof(struct vm_memory, disk_caches), value_kib},
    {"swap_in", offsetof(struct vm_memory, swap_in), value_kib},
    {"swap_out", offsetof(struct vm_memory, swap_out), value_kib},
    {"major_fault", offsetof(struct vm_memory, major_fault), value_u64},
    {"minor_fault", offsetof(struct vm_memory, minor_fault), value_u64},
    {"last-update", offsetof(struct vm_memory, last_update), value_u64},
};

static const struct field disk_fields[] = {
    {"rd.bytes", offsetof(struct vm_disk, read_bytes), value_u64},
    {"rd.reqs", offsetof(struct vm_disk, read_ops), value_u64},
    {"rd.times", offsetof(struct vm_disk, read_ns), value_u64},
    {"wr.bytes", offsetof(struct vm_disk, write_bytes), value_u64},
    {"wr.reqs", offsetof(struct vm_disk, write_ops), value_u64},
    {"wr.times", offsetof(struct vm_disk, write_ns), value_u64},
    {"fl.reqs", offsetof(struct vm_disk, flush_ops), value_u64},
    {"fl.times", offsetof(struct vm_disk, flush_ns), value_u64},
    {"allocation", offsetof(struct vm_disk, allocation), value_u64},
    {"capacity", offsetof(struct vm_disk, capacity), value_u64},
    {"physical", offsetof(struct vm_disk, physical), value_u64},
    {"errors", offsetof(struct vm_disk, errors), value_u64},
};

static const struct field interface_fields[] = {
    {"rx.bytes", offsetof(struct vm_interface, rx_bytes), value_u64},
    {"rx.pkts", offsetof(struct vm_interface, rx_packets), value_u64},
    {"rx.errs", offsetof(struct vm_interface, rx_errors), value_u64},
    {"rx.drop", offsetof(struct vm_interface, rx_dropped), value_u64},
    {"tx.bytes", offsetof(struct vm_interface, tx_bytes), value_u64},
    {"tx.pkts", offsetof(struct vm_interface, tx_packets), value_u64},
    {"tx.errs", offsetof(struct vm_interface, tx_errors), value_u64},
    {"tx.drop", offsetof(struct vm_interface, tx_dropped), value_u64},
};

static const struct field vcpu_fields[] = {
    {"time", offsetof(struct vm_vcpu, time_ns), value_u64},
    {"wait", offsetof(struct vm_vcpu, wait_ns), value_u64},
    {"delay", offsetof(struct vm_vcpu, delay_ns), value_u64},
};

/* ---- entries of a list ------------------------------------------------------- */

/* "12.rd.bytes" -> index 12, rest "rd.bytes". */
static bool split_index(const char *text, unsigned *ret_index, const char **ret_rest)
{
    unsigned index = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        index = index * 10 + (unsigned)(*at - '0');
        if (index > MAX_INDEX)
            return false;
    }
    if (at == text || *at != '.')
        return false;
    *ret_index = index;
    *ret_rest = at + 1;
    return true;
}

/*
 * The index-th item, the list lengthened up to it; new items are all ones
 * (every number unknown) with empty names. NULL when out of memory.
 */
#define LIST_ITEM(vm, list, index)                                                                 \
    list_item(&(vm)->list##s, &(vm)->list##_count, &(vm)->list##_capacity, sizeof(*(vm)->list##s), \
              (index))

static void *list_item(void *list, size_t *count, size_t *capacity, size_t size, unsigned index)
{
    char *items;

    if (array_reserve(list, capacity, (size_t)index + 1, size) < 0)
        return NULL;
    memcpy(&items, list, sizeof(items));
    for (; *count <= index; (*count)++) {
        memset(items + *count * size, 0xff, size);
        items[*count * size] = '\0'; /* disks and interfaces begin with their name */
    }
    return items + index * size;
}

struct vm_disk *vm_sample_disk(struct vm_sample *vm, unsigned index)
{
    size_t had = vm->disk_count;
    struct vm_disk *disk = LIST_ITEM(vm, disk, index);

    for (; disk && had < vm->disk_count; had++)
        vm->disks[had].path[0] = '\0';
    return disk;
}

struct vm_interface *vm_sample_interface(struct vm_sample *vm, unsigned index)
{
    size_t had = vm->interface_count;
    struct vm_interface *interface = LIST_ITEM(vm, interface, index);

    for (; interface && had < vm->interface_count; had++)
        vm->interfaces[had].mac[0] = '\0';
    return interface;
}

struct vm_vcpu *vm_sample_vcpu(struct vm_sample *vm, unsigned number)
{
    size_t had = vm->vcpu_count;
    struct vm_vcpu *vcpu = LIST_ITEM(vm, vcpu, number);

    for (; vcpu && had < vm->vcpu_count; had++)
        vm->vcpus[had].number = (unsigned)had;
    return vcpu;
}

/* ---- groups -------------------------------------------------------------------- */

static int apply_state(struct vm_sample *vm, const char *name, const struct vm_value *value,
                       unsigned *groups)
{
    if (value->kind != VM_VALUE_SIGNED)
        return 0;
    if (strcmp(name, "state") == 0) {
        vm->state = value->s > 0 && value->s <= VM_STATE_SUSPENDED ? (enum vm_state)value->s
                                                                   : VM_STATE_UNKNOWN;
        *groups |= VM_GROUP_STATE;
    } else if (strcmp(name, "reason") == 0) {
        vm->reason = (int)value->s;
    }
    return 0;
}

static int apply_cpu(struct vm_sample *vm, const char *name, const struct vm_value *value,
                     unsigned *groups)
{
    if (strcmp(name, "time") == 0 && value_u64(value, &vm->cpu_ns))
        *groups |= VM_GROUP_CPU;
    return 0;
}

static int apply_balloon(struct vm_sample *vm, const char *name, const struct vm_value *value,
                         unsigned *groups)
{
    if (take_field(balloon_fields, ARRAY_LENGTH(balloon_fields), name, value, &vm->memory))
        *groups |= VM_GROUP_BALLOON;
    return 0;
}

static int apply_vcpu(struct vm_sample *vm, const char *name, const struct vm_value *value,
                      unsigned *groups)
{
    unsigned number;
    uint64_t current;
    const char *rest;
    struct vm_vcpu *vcpu;

    if (strcmp(name, "current") == 0 && value_u64(value, &current) && current <= MAX_INDEX) {
        vm->vcpu_current = (unsigned)current;
        *groups |= VM_GROUP_VCPU;
    }
    if (!split_index(name, &number, &rest))
        return 0;
    vcpu = vm_sample_vcpu(vm, number);
    if (!vcpu)
        return -ENOMEM;
    if (take_field(vcpu_fields, ARRAY_LENGTH(vcpu_fields), rest, value, vcpu))
        *groups |= VM_GROUP_VCPU;
    return 0;
}

static int apply_block(struct vm_sample *vm, const char *name, const struct vm_value *value,
                       unsigned *groups)
{
    unsigned index;
    const char *rest;
    struct vm_disk *disk;

    *groups |= VM_GROUP_BLOCK;
    if (!split_index(name, &index, &rest))
        return 0;
    disk = vm_sample_disk(vm, index);
    if (!disk)
        return -ENOMEM;
    if (value->kind != VM_VALUE_STRING)
        take_field(disk_fields, ARRAY_LENGTH(disk_fields), rest, value, disk);
    else if (strcmp(rest, "name") == 0)
        string_copy(disk->name, sizeof(disk->name), value->string);
    else if (strcmp(rest, "path") == 0)
        string_copy(disk->path, sizeof(disk->path), value->string);
    return 0;
}

static int apply_net(struct vm_sample *vm, const char *name, const struct vm_value *value,
                     unsigned *groups)
{
    unsigned index;
    const char *rest;
    struct vm_interface *interface;

    *groups |= VM_GROUP_INTERFACE;
    if (!split_index(name, &index, &rest))
        return 0;
    interface = vm_sample_interface(vm, index);
    if (!interface)
        return -ENOMEM;
    if (value->kind != VM_VALUE_STRING)
        take_field(interface_fields, ARRAY_LENGTH(interface_fields), rest, value, interface);
    else if (strcmp(rest, "name") == 0)
        string_copy(interface->name, sizeof(interface->name), value->string);
    return 0;
}

int vm_sample_apply(struct vm_sample *vm, const char *field, const struct vm_value *value,
                    unsigned *groups)
{
    static const struct {
        const char *prefix;
        size_t length;
        int (*apply)(struct vm_sample *vm, const char *name, const struct vm_value *value,
                     unsigned *groups);
    } table[] = {
        {"block.", 6, apply_block}, {"net.", 4, apply_net},         {"vcpu.", 5, apply_vcpu},
        {"cpu.", 4, apply_cpu},     {"balloon.", 8, apply_balloon}, {"state.", 6, apply_state},
    };

    if (value->kind == VM_VALUE_STRING && !value->string)
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++)
        if (strncmp(field, table[i].prefix, table[i].length) == 0)
            return table[i].apply(vm, field + table[i].length, value, groups);
    return 0;
}

void vm_sample_finish(struct vm_sample *vm)
{
    size_t kept = 0;

    for (size_t i = 0; i < vm->disk_count; i++)
        /* The images below a disk's own come behind it under the same name. */
        if (vm->disks[i].name[0] != '\0' &&
            (kept == 0 || strcmp(vm->disks[i].name, vm->disks[kept - 1].name) != 0)) {
            if (kept != i)
                vm->disks[kept] = vm->disks[i];
            kept++;
        }
    vm->disk_count = kept;
    kept = 0;
    for (size_t i = 0; i < vm->interface_count; i++)
        if (vm->interfaces[i].name[0] != '\0') {
            if (kept != i)
                vm->interfaces[kept] = vm->interfaces[i];
            kept++;
        }
    vm->interface_count = kept;
    kept = 0;
    for (size_t i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpus[i].time_ns != UNKNOWN_U64) {
            if (kept != i)
                vm->vcpus[kept] = vm->vcpus[i];
            kept++;
        }
    vm->vcpu_count = kept;
    vm->active = vm->state != VM_STATE_SHUTOFF && vm->state != VM_STATE_UNKNOWN &&
                 vm->state != VM_STATE_CRASHED;
}

bool vm_sample_has_disk_counters(const struct vm_sample *vm)
{
    for (size_t i = 0; i < vm->disk_count; i++)
        if (vm->disks[i].read_bytes != UNKNOWN_U64)
            return true;
    return false;
}
