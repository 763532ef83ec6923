/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole cycles on libvirt's embedded test driver, whose bulk call tells only states. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_source_test.h"

#include "vm/link.h"
#include "vm/stats_job.h"

#include <math.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---- figures -------------------------------------------------------------------------- */

static void check_times(const struct vm_set *set, const struct vm_sample *vm)
{
    const double times[] = {vm->cpu_time_s, vm->disk_time_s, vm->interface_time_s,
                            vm->memory.time_s};

    for (size_t i = 0; i < ARRAY_LENGTH(times); i++) {
        assert_false(isnan(times[i]));
        assert_true(times[i] >= set->started_s && times[i] <= set->finished_s);
    }
}

/* Every counter that calls for one VM tell. */
static void check_all_known(const struct vm_sample *vm)
{
    const struct vm_disk *disk = &vm->disks[0];
    const struct vm_interface *interface = &vm->interfaces[0];
    const uint64_t values[] = {
        disk->read_ops,        disk->read_bytes,       disk->write_ops,        disk->write_bytes,
        disk->errors,          interface->rx_bytes,    interface->rx_packets,  interface->rx_errors,
        interface->rx_dropped, interface->tx_bytes,    interface->tx_packets,  interface->tx_errors,
        interface->tx_dropped, vm->memory.available,   vm->memory.unused,      vm->memory.usable,
        vm->memory.rss,        vm->memory.disk_caches, vm->memory.last_update,
    };

    for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
        if (values[i] == UNKNOWN_U64)
            fail_msg("value %zu is unknown", i);
    /* As the test driver makes them up: shares of the time of day. */
    assert_true(disk->read_bytes > disk->write_bytes);
    assert_true(interface->rx_bytes > interface->rx_packets);
    assert_true(interface->rx_errors > interface->rx_dropped);
    assert_true(interface->tx_errors > interface->tx_dropped);
}

static void the_default_machine_is_filled_vm_by_vm(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source = new_source("test:///default", PATIENT_S);
    uint64_t cpu_ns = 0;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const struct vm_sample *vm;

        cycle(source, &set);
        assert_int_equal(set.event_count, 0);
        assert_int_equal(set.count, 1);
        assert_int_equal(set.silent_count, 0);
        assert_int_equal(set.host_cpus, 16);
        assert_true(set.rpc_count > 0);
        vm = &set.vms[0];
        assert_string_equal(vm->name, "test");
        assert_string_equal(vm->uuid, "6695eb01-f6a4-8304-79aa-97f2502e193f");
        assert_true(vm->active && vm->answering);
        assert_int_equal(vm->state, VM_STATE_RUNNING);
        check_times(&set, vm);
        assert_true(vm->cpu_ns != UNKNOWN_U64 && vm->cpu_ns >= cpu_ns);
        cpu_ns = vm->cpu_ns;
        assert_int_equal(vm->vcpu_current, 2);
        assert_true(vm->memory.maximum == (uint64_t)8 << 30);
        assert_true(vm->memory.current == (uint64_t)2 << 30);
        assert_int_equal(vm->disk_count, 1);
        assert_string_equal(vm->disks[0].name, "vda");
        assert_string_equal(vm->disks[0].path, "/guest/diskimage1");
        check_all_known(vm);
        assert_int_equal(vm->interface_count, 1);
        assert_string_equal(vm->interfaces[0].name, "testnet0");
        assert_string_equal(vm->interfaces[0].mac, "aa:bb:cc:dd:ee:ff");
    }
    vm_source_free(source, PATIENT_S);
}

static void a_machine_of_several_vms_is_filled(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source;
    const struct vm_sample *alpha, *beta, *off;
    char uri[600];

    (void)state;
    write_machine(uri, sizeof(uri));
    source = new_source(uri, PATIENT_S);
    for (unsigned i = 0; i < 2; i++)
        cycle(source, &set);
    assert_int_equal(set.count, 3);
    alpha = &set.vms[0];
    beta = &set.vms[1];
    off = &set.vms[2];
    assert_string_equal(alpha->name, "alpha"); /* in order of name */
    assert_string_equal(beta->name, "beta");
    assert_string_equal(off->name, "off");
    check_times(&set, alpha);
    assert_int_equal(alpha->disk_count, 3);
    assert_string_equal(alpha->disks[1].name, "vdb");
    assert_string_equal(alpha->disks[1].path, "/dev/a1");
    assert_string_equal(alpha->disks[2].path, "");
    assert_int_equal(alpha->interface_count, 2);
    assert_string_equal(alpha->interfaces[0].mac, "52:54:00:00:01:01");
    assert_string_equal(alpha->interfaces[1].name, "testnet8");
    assert_int_equal(alpha->vcpu_current, 4);
    assert_true(alpha->memory.current == (uint64_t)32 << 20);
    assert_int_equal(beta->disk_count, 1);
    assert_int_equal(beta->interface_count, 0);
    assert_true(isnan(beta->interface_time_s) && !isnan(beta->disk_time_s));
    assert_false(off->active);
    assert_true(off->answering);
    assert_int_equal(off->state, VM_STATE_SHUTOFF);
    assert_true(isnan(off->cpu_time_s) && isnan(off->disk_time_s) && isnan(off->memory.time_s));
    vm_source_free(source, PATIENT_S);
}

/* ---- drivers without bulk ------------------------------------------------------------- */

static struct link *open_link(struct lifecycle *lifecycle)
{
    struct connect_job *job = connect_job_new("test:///default", true, lifecycle);
    struct link *link;

    assert_non_null(job);
    job->job.run(&job->job);
    link = job->link;
    job->link = NULL;
    job->job.free(&job->job);
    assert_non_null(link);
    assert_string_equal(link->type, "TEST");
    assert_true(link->local && !link->session);
    return link;
}

#define EVERYTHING                                                                                 \
    (VM_GROUP_STATE | VM_GROUP_CPU | VM_GROUP_BALLOON | VM_GROUP_INTERFACE | VM_GROUP_BLOCK)

static void without_a_bulk_call_vms_are_listed(void **state)
{
    struct lifecycle *lifecycle;
    struct link *link;
    struct stats_job *job;

    (void)state;
    assert_int_equal(lifecycle_new(&lifecycle), 0);
    link = open_link(lifecycle);
    job = stats_job_new(link, EVERYTHING, false);
    job->no_bulk = true;
    job->job.run(&job->job);
    assert_int_equal(job->result, 0);
    assert_true(job->no_bulk);
    assert_int_equal(job->answers.count, 1);
    assert_int_equal(job->answers.list[0].groups & EVERYTHING, EVERYTHING);
    assert_string_equal(job->answers.list[0].vm.name, "test");
    assert_true(job->answers.list[0].vm.active);
    assert_int_equal(job->answers.list[0].vm.state, VM_STATE_RUNNING);
    assert_int_equal(job->answers.list[0].vm.disk_count, 1);
    job->job.free(&job->job);
    link_unref(link);
    lifecycle_unref(lifecycle);
}

/* What a driver without memory statistics (Xen) tells of memory all the same. */
static void sizes_come_without_memory_statistics(void **state)
{
    struct lifecycle *lifecycle;
    struct link *link;
    struct stats_job *job;
    const struct vm_answer *answer;

    (void)state;
    assert_int_equal(lifecycle_new(&lifecycle), 0);
    link = open_link(lifecycle);
    job = stats_job_new(link, EVERYTHING, false);
    job->unsupported = VM_GROUP_BALLOON | VM_GROUP_BLOCK;
    job->job.run(&job->job);
    assert_int_equal(job->result, 0);
    answer = &job->answers.list[0];
    assert_int_equal(answer->groups & EVERYTHING, EVERYTHING & ~VM_GROUP_BLOCK);
    assert_false(isnan(answer->vm.memory.time_s));
    assert_true(answer->vm.memory.current == (uint64_t)2 << 30);
    assert_true(answer->vm.memory.unused == UNKNOWN_U64);
    assert_int_equal(answer->vm.disk_count, 0);
    job->job.free(&job->job);
    link_unref(link);
    lifecycle_unref(lifecycle);
}

/* ---- changes -------------------------------------------------------------------------- */

static void check_event(const struct vm_set *set, enum vm_event_kind kind, const char *text)
{
    if (set->event_count != 1)
        fail_msg("%zu events, not only \"%s\"", set->event_count, text);
    assert_int_equal(set->events[0].kind, kind);
    assert_string_equal(set->events[0].text, text);
    assert_string_equal(set->events[0].name, "test");
    assert_string_equal(set->events[0].uuid, "6695eb01-f6a4-8304-79aa-97f2502e193f");
}

/* All connections of a process to test:///default share one machine. */
static void what_happens_to_a_vm_is_told_once(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source = new_source("test:///default", PATIENT_S);
    virConnectPtr connection;
    virDomainPtr domain;
    uint64_t incarnation;

    (void)state;
    cycle(source, &set);
    assert_int_equal(set.event_count, 0);
    incarnation = set.vms[0].incarnation;
    connection = virConnectOpen("test:///default");
    assert_non_null(connection);
    domain = virDomainLookupByName(connection, "test");
    assert_non_null(domain);

    assert_int_equal(virDomainSuspend(domain), 0);
    cycle(source, &set);
    check_event(&set, VM_EVENT_PAUSED, "VM test paused");
    assert_false(isnan(set.vms[0].cpu_time_s)); /* paused VMs have figures too */
    cycle(source, &set);
    assert_int_equal(set.event_count, 0);
    assert_int_equal(virDomainResume(domain), 0);
    cycle(source, &set);
    check_event(&set, VM_EVENT_RESUMED, "VM test resumed");
    assert_int_equal(virDomainDestroy(domain), 0);
    cycle(source, &set);
    check_event(&set, VM_EVENT_STOPPED, "VM test stopped");
    assert_int_equal(set.count, 1);
    assert_false(set.vms[0].active);
    assert_true(isnan(set.vms[0].cpu_time_s));
    assert_int_equal(virDomainCreate(domain), 0);
    cycle(source, &set);
    check_event(&set, VM_EVENT_STARTED, "VM test started");
    assert_true(set.vms[0].incarnation != incarnation);
    virDomainFree(domain);
    virConnectClose(connection);
    vm_source_free(source, PATIENT_S);
}

/* ---- memory ------------------------------------------------------------------------------ */

static uint64_t resident_kib(void)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    const char *line;
    unsigned long kib = 0;

    assert_int_equal(file_read(-100, "/proc/self/status", &buffer), 0);
    line = strstr(buffer.bytes, "\nVmRSS:");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "\nVmRSS: %lu", &kib), 1);
    return kib;
}

static void thousands_of_cycles_do_not_grow(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source = new_source("test:///default", PATIENT_S);
    uint64_t before;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        cycle(source, &set);
    before = resident_kib();
    for (unsigned i = 0; i < 2000; i++)
        cycle(source, &set);
    /* A domain object that is not let go of would be 300 bytes a cycle. */
    if (!SANITIZED)
        assert_in_range(resident_kib(), 0, before + 256);
    vm_source_free(source, PATIENT_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_machine_is_filled_vm_by_vm),
        WITH_DIRECTORY(a_machine_of_several_vms_is_filled),
        cmocka_unit_test(without_a_bulk_call_vms_are_listed),
        cmocka_unit_test(sizes_come_without_memory_statistics),
        cmocka_unit_test(what_happens_to_a_vm_is_told_once),
        cmocka_unit_test(thousands_of_cycles_do_not_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
