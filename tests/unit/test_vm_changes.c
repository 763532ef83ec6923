/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happened between two cycles: rows of before, after and the events that
 * lead from one to the other.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/changes.h"

#include <libvirt/libvirt.h>

/* A VM in short; name NULL ends a list. `silent`: it does not answer. */
struct vm {
    const char *name;
    enum vm_state state;
    int reason;
    uint64_t incarnation;
    bool silent;
    char uuid; /* '\0' is as good as any */
};

struct row {
    const char *what;
    struct vm before[4], after[4];
    const char *events; /* a line of text each */
    enum vm_event_kind kinds[4];
    enum vm_stop_cause cause; /* that the lifecycle events told, of every VM */
};

#define RUNS(name)                                                                                 \
    {                                                                                              \
        (name), VM_STATE_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, 1, false, 0                           \
    }
#define RUNS_AGAIN(name)                                                                           \
    {                                                                                              \
        (name), VM_STATE_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, 2, false, 0                           \
    }
#define SILENT(name)                                                                               \
    {                                                                                              \
        (name), VM_STATE_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, 1, true, 0                            \
    }
#define IS(name, state, reason)                                                                    \
    {                                                                                              \
        (name), VM_STATE_##state, VIR_DOMAIN_##state##_##reason, 1, false, 0                       \
    }

static const struct row rows[] = {
    {"nothing", {{0}}, {{0}}, "", {0}, 0},
    {"nothing new",
     {RUNS("a"), IS("b", SHUTOFF, DESTROYED)},
     {RUNS("a"), IS("b", SHUTOFF, DESTROYED)},
     "",
     {0},
     0},
    {"a new VM runs", {{0}}, {RUNS("a")}, "VM a started\n", {VM_EVENT_STARTED}, 0},
    {"a new VM is defined", {{0}}, {IS("a", SHUTOFF, UNKNOWN)}, "", {0}, 0},
    {"a defined VM starts",
     {IS("a", SHUTOFF, UNKNOWN)},
     {RUNS("a")},
     "VM a started\n",
     {VM_EVENT_STARTED},
     0},
    {"a VM starts paused", {{0}}, {IS("a", PAUSED, USER)}, "VM a started\n", {VM_EVENT_STARTED}, 0},
    {"a defined VM stops",
     {RUNS("a")},
     {IS("a", SHUTOFF, SHUTDOWN)},
     "VM a stopped\n",
     {VM_EVENT_STOPPED},
     0},
    {"a defined VM is destroyed",
     {RUNS("a")},
     {IS("a", SHUTOFF, DESTROYED)},
     "VM a stopped\n",
     {VM_EVENT_STOPPED},
     0},
    {"a defined VM crashes",
     {RUNS("a")},
     {IS("a", SHUTOFF, CRASHED)},
     "VM a crashed\n",
     {VM_EVENT_CRASHED},
     0},
    {"a defined VM fails",
     {RUNS("a")},
     {IS("a", SHUTOFF, FAILED)},
     "VM a crashed\n",
     {VM_EVENT_CRASHED},
     0},
    {"a defined VM migrates",
     {RUNS("a")},
     {IS("a", SHUTOFF, MIGRATED)},
     "VM a migrated to another host\n",
     {VM_EVENT_MIGRATED_OUT},
     0},
    {"a stopped VM is undefined", {IS("a", SHUTOFF, SHUTDOWN)}, {{0}}, "", {0}, VM_STOP_CRASHED},
    {"a VM is gone", {RUNS("a")}, {{0}}, "VM a stopped\n", {VM_EVENT_STOPPED}, VM_STOP_UNKNOWN},
    {"a VM shut down and is gone",
     {RUNS("a")},
     {{0}},
     "VM a stopped\n",
     {VM_EVENT_STOPPED},
     VM_STOP_SHUTDOWN},
    {"a VM crashed and is gone",
     {RUNS("a")},
     {{0}},
     "VM a crashed\n",
     {VM_EVENT_CRASHED},
     VM_STOP_CRASHED},
    {"a VM migrated and is gone",
     {RUNS("a")},
     {{0}},
     "VM a migrated to another host\n",
     {VM_EVENT_MIGRATED_OUT},
     VM_STOP_MIGRATED},
    {"a VM comes from another host",
     {{0}},
     {IS("a", RUNNING, MIGRATED)},
     "VM a migrated to this host\n",
     {VM_EVENT_MIGRATED_IN},
     0},
    {"a defined VM comes from another host",
     {IS("a", SHUTOFF, MIGRATED)},
     {IS("a", RUNNING, MIGRATED)},
     "VM a migrated to this host\n",
     {VM_EVENT_MIGRATED_IN},
     0},
    {"a VM is on its way here", {{0}}, {IS("a", PAUSED, MIGRATION)}, "", {0}, 0},
    {"a VM arrives",
     {IS("a", PAUSED, MIGRATION)},
     {IS("a", RUNNING, MIGRATED)},
     "VM a migrated to this host\n",
     {VM_EVENT_MIGRATED_IN},
     0},
    {"a VM arrives before its memory",
     {IS("a", PAUSED, MIGRATION)},
     {IS("a", RUNNING, POSTCOPY)},
     "VM a migrated to this host\n",
     {VM_EVENT_MIGRATED_IN},
     0},
    {"its memory arrives too",
     {IS("a", RUNNING, POSTCOPY)},
     {IS("a", RUNNING, MIGRATED)},
     "",
     {0},
     0},
    {"a VM is about to leave", {RUNS("a")}, {IS("a", PAUSED, MIGRATION)}, "", {0}, 0},
    {"it leaves",
     {IS("a", PAUSED, MIGRATION)},
     {{0}},
     "VM a migrated to another host\n",
     {VM_EVENT_MIGRATED_OUT},
     VM_STOP_MIGRATED},
    {"it stays after all",
     {IS("a", PAUSED, MIGRATION)},
     {IS("a", RUNNING, MIGRATION_CANCELED)},
     "",
     {0},
     0},
    {"its guest crashes on the way",
     {IS("a", PAUSED, MIGRATION)},
     {IS("a", CRASHED, PANICKED)},
     "VM a: its guest crashed\n",
     {VM_EVENT_CRASHED},
     0},
    {"a VM was restarted",
     {RUNS("a")},
     {RUNS_AGAIN("a")},
     "VM a stopped\nVM a started\n",
     {VM_EVENT_STOPPED, VM_EVENT_STARTED},
     0},
    {"a VM crashed and was restarted",
     {RUNS("a")},
     {RUNS_AGAIN("a")},
     "VM a crashed\nVM a started\n",
     {VM_EVENT_CRASHED, VM_EVENT_STARTED},
     VM_STOP_CRASHED},
    {"a restarted VM is not resumed",
     {IS("a", PAUSED, USER)},
     {RUNS_AGAIN("a")},
     "VM a stopped\nVM a started\n",
     {VM_EVENT_STOPPED, VM_EVENT_STARTED},
     0},
    {"pause", {RUNS("a")}, {IS("a", PAUSED, USER)}, "VM a paused\n", {VM_EVENT_PAUSED}, 0},
    {"pause by a full disk",
     {RUNS("a")},
     {IS("a", PAUSED, IOERROR)},
     "VM a paused by an I/O error\n",
     {VM_EVENT_PAUSED},
     0},
    {"still paused", {IS("a", PAUSED, USER)}, {IS("a", PAUSED, SAVE)}, "", {0}, 0},
    {"resume",
     {IS("a", PAUSED, USER)},
     {IS("a", RUNNING, UNPAUSED)},
     "VM a resumed\n",
     {VM_EVENT_RESUMED},
     0},
    {"it begins to run", {IS("a", PAUSED, STARTING_UP)}, {IS("a", RUNNING, BOOTED)}, "", {0}, 0},
    {"the guest sleeps",
     {RUNS("a")},
     {{"a", VM_STATE_SUSPENDED, 0, 1, false, 0}},
     "VM a suspended by its guest\n",
     {VM_EVENT_PAUSED},
     0},
    {"the guest wakes",
     {{"a", VM_STATE_SUSPENDED, 0, 1, false, 0}},
     {IS("a", RUNNING, WAKEUP)},
     "VM a resumed\n",
     {VM_EVENT_RESUMED},
     0},
    {"the guest panics",
     {RUNS("a")},
     {IS("a", PAUSED, CRASHED)},
     "VM a: its guest crashed\n",
     {VM_EVENT_CRASHED},
     0},
    {"the guest panics for good",
     {RUNS("a")},
     {IS("a", CRASHED, PANICKED)},
     "VM a: its guest crashed\n",
     {VM_EVENT_CRASHED},
     0},
    {"a shutdown begins", {RUNS("a")}, {IS("a", SHUTDOWN, USER)}, "", {0}, 0},
    {"a VM hangs",
     {RUNS("a")},
     {SILENT("a")},
     "VM a does not answer\n",
     {VM_EVENT_NOT_ANSWERING},
     0},
    {"it still hangs", {SILENT("a")}, {SILENT("a")}, "", {0}, 0},
    {"it answers", {SILENT("a")}, {RUNS("a")}, "VM a answers again\n", {VM_EVENT_ANSWERING}, 0},
    {"a hanging VM is killed",
     {SILENT("a")},
     {{0}},
     "VM a stopped\n",
     {VM_EVENT_STOPPED},
     VM_STOP_SHUTDOWN},
    {"paused, and hangs",
     {RUNS("a")},
     {{"a", VM_STATE_PAUSED, VIR_DOMAIN_PAUSED_USER, 1, true, 0}},
     "VM a paused\nVM a does not answer\n",
     {VM_EVENT_PAUSED, VM_EVENT_NOT_ANSWERING},
     0},
    {"several at once",
     {RUNS("a"), RUNS("b"), RUNS("d")},
     {RUNS("b"), RUNS("c"), IS("d", PAUSED, USER)},
     "VM a stopped\nVM c started\nVM d paused\n",
     {VM_EVENT_STOPPED, VM_EVENT_STARTED, VM_EVENT_PAUSED},
     0},
    {"the last and the first",
     {RUNS("c")},
     {RUNS("a"), RUNS("c"), RUNS("d")},
     "VM a started\nVM d started\n",
     {VM_EVENT_STARTED, VM_EVENT_STARTED},
     0},
    {"another VM under the name",
     {{"a", VM_STATE_RUNNING, 1, 1, false, '1'}},
     {{"a", VM_STATE_RUNNING, 1, 1, false, '2'}},
     "VM a stopped\nVM a started\n",
     {VM_EVENT_STOPPED, VM_EVENT_STARTED},
     0},
    {"two under a name, one pauses",
     {{"a", VM_STATE_RUNNING, 1, 1, false, '1'}, {"a", VM_STATE_RUNNING, 1, 2, false, '2'}},
     {{"a", VM_STATE_RUNNING, 1, 1, false, '1'}, {"a", VM_STATE_PAUSED, 1, 2, false, '2'}},
     "VM a paused\n",
     {VM_EVENT_PAUSED},
     0},
};

static size_t samples_of(const struct vm *vms, struct vm_sample *samples)
{
    size_t count = 0;

    for (; count < 4 && vms[count].name; count++) {
        const struct vm *vm = &vms[count];
        struct vm_sample *sample = &samples[count];

        vm_sample_clear(sample);
        string_copy(sample->name, sizeof(sample->name), vm->name);
        string_format(sample->uuid, sizeof(sample->uuid), "uuid-%s-%c", vm->name,
                      vm->uuid ? vm->uuid : '0');
        sample->state = vm->state;
        sample->reason = vm->reason;
        sample->incarnation = vm->incarnation;
        sample->answering = !vm->silent;
        /* A VM whose guest panicked keeps its process, and so its id. */
        sample->active = vm->state != VM_STATE_SHUTOFF;
    }
    return count;
}

static enum vm_stop_cause told_cause(const char *uuid, void *context)
{
    const struct row *row = context;

    assert_true(strncmp(uuid, "uuid-", 5) == 0);
    return row->cause;
}

static void row_gives_its_events(void **state)
{
    const struct row *row = *state;
    struct vm_sample before[4] = {{.name = ""}}, after[4] = {{.name = ""}};
    size_t before_count = samples_of(row->before, before);
    struct vm_set set = {.vms = after, .count = samples_of(row->after, after)};
    char text[1024] = "";

    assert_int_equal(vm_changes(before, before_count, told_cause, (void *)(uintptr_t)row, &set), 0);
    for (size_t i = 0; i < set.event_count; i++) {
        const struct vm_event *event = &set.events[i];
        char uuid[8];

        string_format(text + strlen(text), sizeof(text) - strlen(text), "%s\n", event->text);
        assert_true(i < 4);
        assert_int_equal(event->kind, row->kinds[i]);
        string_format(uuid, sizeof(uuid), "uuid-%s-", event->name);
        assert_int_equal(strncmp(event->uuid, uuid, strlen(uuid)), 0);
    }
    free(set.events);
    assert_string_equal(text, row->events);
}

/* Without libvirt's events every VM that is gone has stopped. */
static void without_causes_a_vm_that_is_gone_stopped(void **state)
{
    struct vm_sample before[4] = {{.name = ""}};
    struct vm_set set = {.vms = NULL};
    const struct vm vms[4] = {RUNS("a")};

    (void)state;
    samples_of(vms, before);
    assert_int_equal(vm_changes(before, 1, NULL, NULL, &set), 0);
    assert_int_equal(set.event_count, 1);
    assert_int_equal(set.events[0].kind, VM_EVENT_STOPPED);
    free(set.events);
}

/* A text is one line of bounded length, whatever the name. */
static void a_name_longer_than_the_text_is_cut(void **state)
{
    struct vm_set set = {.vms = NULL};
    struct vm_sample vm;

    (void)state;
    memset(&vm, 0, sizeof(vm));
    memset(vm.name, 'x', sizeof(vm.name) - 1);
    assert_int_equal(vm_set_add_event(&set, VM_EVENT_STARTED, &vm, "VM %s started", vm.name), 0);
    assert_int_equal(strlen(set.events[0].text), sizeof(set.events[0].text) - 1);
    assert_int_equal(strlen(set.events[0].name), sizeof(vm.name) - 1);
    free(set.events);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_LENGTH(rows) + 2] = {
        cmocka_unit_test(without_causes_a_vm_that_is_gone_stopped),
        cmocka_unit_test(a_name_longer_than_the_text_is_cut),
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        tests[2 + i] = (struct CMUnitTest){
            .name = rows[i].what,
            .test_func = row_gives_its_events,
            .initial_state = (void *)(uintptr_t)&rows[i],
        };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
