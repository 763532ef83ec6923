/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares two cycles and names what happened to each VM. Pure. */
#include "vm/changes.h"

#include <errno.h>
#include <stdarg.h>

/* virDomain*Reason, libvirt-domain.h; numbers of a stable interface. */
#define REASON_RUNNING_MIGRATED 2
#define REASON_RUNNING_POSTCOPY 10
#define REASON_PAUSED_MIGRATION 2
#define REASON_PAUSED_IOERROR   5
#define REASON_PAUSED_CRASHED   10
#define REASON_PAUSED_STARTING  11
#define REASON_PAUSED_POSTCOPY  12
#define REASON_SHUTOFF_CRASHED  3
#define REASON_SHUTOFF_MIGRATED 4
#define REASON_SHUTOFF_FAILED   6

int vm_sample_compare(const struct vm_sample *a, const struct vm_sample *b)
{
    int order = strcmp(a->name, b->name);

    return order != 0 ? order : strcmp(a->uuid, b->uuid);
}

int vm_set_add_event(struct vm_set *set, enum vm_event_kind kind, const struct vm_sample *vm,
                     const char *format, ...)
{
    struct vm_event *event;
    va_list arguments;
    int r = array_reserve(&set->events, &set->event_capacity, set->event_count + 1,
                          sizeof(*set->events));

    if (r < 0)
        return r;
    event = &set->events[set->event_count++];
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    if (vm) {
        string_copy(event->name, sizeof(event->name), vm->name);
        string_copy(event->uuid, sizeof(event->uuid), vm->uuid);
    }
    va_start(arguments, format);
    vsnprintf(event->text, sizeof(event->text), format, arguments);
    va_end(arguments);
    text_make_one_line(event->text); /* names come from a peer */
    return 0;
}

/*
 * Held by a migration under way: at the destination until the VM runs there,
 * at the source for its last moments. Nobody paused it.
 */
static bool held_by_migration(const struct vm_sample *vm)
{
    return vm->state == VM_STATE_PAUSED &&
           (vm->reason == REASON_PAUSED_MIGRATION || vm->reason == REASON_PAUSED_POSTCOPY);
}

static bool runs_after_migration(const struct vm_sample *vm)
{
    return vm->state == VM_STATE_RUNNING &&
           (vm->reason == REASON_RUNNING_MIGRATED || vm->reason == REASON_RUNNING_POSTCOPY);
}

static int began(struct vm_set *set, const struct vm_sample *vm)
{
    if (held_by_migration(vm)) /* told when it arrives */
        return 0;
    if (runs_after_migration(vm))
        return vm_set_add_event(set, VM_EVENT_MIGRATED_IN, vm, "VM %s migrated to this host",
                                vm->name);
    return vm_set_add_event(set, VM_EVENT_STARTED, vm, "VM %s started", vm->name);
}

static int ended(struct vm_set *set, const struct vm_sample *vm, enum vm_stop_cause cause)
{
    switch (cause) {
    case VM_STOP_CRASHED:
        return vm_set_add_event(set, VM_EVENT_CRASHED, vm, "VM %s crashed", vm->name);
    case VM_STOP_MIGRATED:
        return vm_set_add_event(set, VM_EVENT_MIGRATED_OUT, vm, "VM %s migrated to another host",
                                vm->name);
    case VM_STOP_SHUTDOWN:
    case VM_STOP_UNKNOWN:
        break;
    }
    return vm_set_add_event(set, VM_EVENT_STOPPED, vm, "VM %s stopped", vm->name);
}

/* The cause as the state of a VM that is still defined tells it. */
static enum vm_stop_cause cause_of_state(const struct vm_sample *vm)
{
    if (vm->state == VM_STATE_CRASHED || vm->reason == REASON_SHUTOFF_CRASHED ||
        vm->reason == REASON_SHUTOFF_FAILED)
        return VM_STOP_CRASHED;
    return vm->reason == REASON_SHUTOFF_MIGRATED ? VM_STOP_MIGRATED : VM_STOP_SHUTDOWN;
}

/* It was told to have started, and does not run yet: what it does then is no news. */
static bool is_starting(const struct vm_sample *vm)
{
    return vm->state == VM_STATE_PAUSED && vm->reason == REASON_PAUSED_STARTING;
}

static int changed_while_active(struct vm_set *set, const struct vm_sample *before,
                                const struct vm_sample *after)
{
    int r = 0;

    if (held_by_migration(before) && runs_after_migration(after)) {
        r = vm_set_add_event(set, VM_EVENT_MIGRATED_IN, after, "VM %s migrated to this host",
                             after->name);
    } else if (before->state != after->state && !held_by_migration(after)) {
        if (after->state == VM_STATE_CRASHED ||
            (after->state == VM_STATE_PAUSED && after->reason == REASON_PAUSED_CRASHED))
            r = vm_set_add_event(set, VM_EVENT_CRASHED, after, "VM %s: its guest crashed",
                                 after->name);
        else if (after->state == VM_STATE_PAUSED)
            r = vm_set_add_event(set, VM_EVENT_PAUSED, after, "VM %s paused%s", after->name,
                                 after->reason == REASON_PAUSED_IOERROR ? " by an I/O error" : "");
        else if (after->state == VM_STATE_SUSPENDED)
            r = vm_set_add_event(set, VM_EVENT_PAUSED, after, "VM %s suspended by its guest",
                                 after->name);
        else if (after->state == VM_STATE_RUNNING && !held_by_migration(before) &&
                 !is_starting(before) &&
                 (before->state == VM_STATE_PAUSED || before->state == VM_STATE_SUSPENDED))
            r = vm_set_add_event(set, VM_EVENT_RESUMED, after, "VM %s resumed", after->name);
    }
    if (r == 0 && before->answering && !after->answering)
        r = vm_set_add_event(set, VM_EVENT_NOT_ANSWERING, after, "VM %s does not answer",
                             after->name);
    else if (r == 0 && !before->answering && after->answering)
        r = vm_set_add_event(set, VM_EVENT_ANSWERING, after, "VM %s answers again", after->name);
    return r;
}

static int gone(struct vm_set *set, const struct vm_sample *before, vm_stop_cause_of cause_of,
                void *context)
{
    return before->active
               ? ended(set, before, cause_of ? cause_of(before->uuid, context) : VM_STOP_UNKNOWN)
               : 0;
}

static int in_both(struct vm_set *set, const struct vm_sample *before,
                   const struct vm_sample *after, vm_stop_cause_of cause_of, void *context)
{
    int r = 0;

    if (before->active && after->active && before->incarnation == after->incarnation)
        return changed_while_active(set, before, after);
    if (before->active && after->active) /* its state is that of the new run already */
        r = gone(set, before, cause_of, context);
    else if (before->active)
        r = ended(set, after, cause_of_state(after));
    if (r == 0 && after->active)
        r = began(set, after);
    return r;
}

int vm_changes(const struct vm_sample *before, size_t before_count, vm_stop_cause_of cause_of,
               void *context, struct vm_set *set)
{
    size_t old = 0, new = 0;
    int r = 0;

    while (r == 0 && (old < before_count || new < set->count)) {
        int order = old == before_count ? 1
                    : new == set->count ? -1
                                        : vm_sample_compare(&before[old], &set->vms[new]);

        if (order < 0) {
            r = gone(set, &before[old++], cause_of, context);
        } else if (order > 0) {
            if (set->vms[new].active)
                r = began(set, &set->vms[new]);
            new ++;
        } else {
            r = in_both(set, &before[old++], &set->vms[new ++], cause_of, context);
        }
    }
    return r;
}
