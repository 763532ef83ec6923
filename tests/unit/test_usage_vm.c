/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage_vm(): whole VM samples, restarts, hot-plug, missed readings. */
#include "usage_assert.h"

static void set_times(struct vm_sample *vm, double time_s)
{
    vm->cpu_time_s = vm->vcpu_time_s = vm->disk_time_s = vm->interface_time_s = time_s;
    vm->memory.time_s = time_s;
}

static struct vm_sample make_vm(double time_s, uint64_t cpu_ns, unsigned vcpus)
{
    struct vm_sample vm = {.incarnation = 1, .active = true, .answering = true};
    vm.cpu_ns = cpu_ns;
    vm.vcpu_current = vcpus;
    vm.memory = (struct vm_memory){.available = UNKNOWN_U64, .unused = UNKNOWN_U64, .stale = true};
    set_times(&vm, time_s);
    return vm;
}

static void give_vcpus(struct vm_sample *vm, struct vm_vcpu *vcpus, size_t count)
{
    vm->vcpus = vcpus;
    vm->vcpu_count = count;
}

/* 3 s of CPU time in 2 s: 100 * 3 / (2 * 8) = 18.75 % of 8 CPUs, 75 % of 2 vCPUs. */
static void cpu_of_host_and_of_own_vcpus(void **state)
{
    (void)state;
    struct vm_sample before = make_vm(100, 5000000000, 2);
    struct vm_sample after = make_vm(102, 8000000000, 2);
    struct vm_usage usage = {0};
    assert_int_equal(usage_vm(&before, &after, 8, 20, &usage), 0);
    assert_near(usage.cpu_percent, 18.75);
    assert_near(usage.vcpu_percent, 75);
    assert_unknown(usage.steal_percent);
    assert_unknown(usage.wait_percent);
    vm_usage_release(&usage);
}

/* vCPU 0 ran 1.5 of 2 s, waited 0.2, was robbed of 0.1; vCPU 1 ran 0.5, robbed of 0.3. */
static void vcpu_times_are_the_better_source(void **state)
{
    (void)state;
    struct vm_vcpu before_vcpus[] = {{0, 1000000000, 10000000, 0}, {1, 2000000000, UNKNOWN_U64, 5}};
    struct vm_vcpu after_vcpus[] = {{0, 2500000000, 210000000, 100000000},
                                    {1, 2500000000, UNKNOWN_U64, 300000005}};
    struct vm_sample before = make_vm(100, 0, 2);
    struct vm_sample after = make_vm(102, 3000000000, 2);
    struct vm_usage usage = {0};
    give_vcpus(&before, before_vcpus, 2);
    give_vcpus(&after, after_vcpus, 2);
    assert_int_equal(usage_vm(&before, &after, 2, 20, &usage), 0);
    assert_int_equal(usage.vcpu_count, 2);
    assert_near(usage.vcpus[0].busy_percent, 75);
    assert_near(usage.vcpus[0].wait_percent, 10);
    assert_near(usage.vcpus[0].steal_percent, 5);
    assert_near(usage.vcpus[1].busy_percent, 25);
    assert_unknown(usage.vcpus[1].wait_percent);
    assert_near(usage.vcpus[1].steal_percent, 15);
    assert_near(usage.cpu_percent, 75);
    assert_near(usage.vcpu_percent, 50);
    assert_near(usage.steal_percent, 10);
    assert_near(usage.wait_percent, 10);
    vm_usage_release(&usage);
}

static void sixty_four_busy_vcpus(void **state)
{
    (void)state;
    struct vm_vcpu before_vcpus[64], after_vcpus[64];
    for (unsigned i = 0; i < 64; i++) {
        before_vcpus[i] = (struct vm_vcpu){i, 1ull << 50, UNKNOWN_U64, UNKNOWN_U64};
        after_vcpus[i] = (struct vm_vcpu){i, (1ull << 50) + 1500000000, UNKNOWN_U64, UNKNOWN_U64};
    }
    struct vm_sample before = make_vm(100, 1ull << 58, 64);
    struct vm_sample after = make_vm(101.5, (1ull << 58) + 96000000000, 64);
    struct vm_usage usage = {0};
    give_vcpus(&before, before_vcpus, 64);
    give_vcpus(&after, after_vcpus, 64);
    assert_int_equal(usage_vm(&before, &after, 128, 20, &usage), 0);
    assert_near(usage.cpu_percent, 50);
    assert_near(usage.vcpu_percent, 100);
    assert_near(usage.vcpus[63].busy_percent, 100);
    vm_usage_release(&usage);
}

/* vCPU 1 was plugged in: it is unknown, and the mean is that of the others. */
static void hotplugged_vcpu_is_unknown(void **state)
{
    (void)state;
    struct vm_vcpu before_vcpus[] = {{0, 0, 0, 0}, {2, 0, 0, 0}};
    struct vm_vcpu after_vcpus[] = {
        {0, 400000000, 0, 0}, {1, 9000000000000, 0, 0}, {2, 600000000, 0, 0}};
    struct vm_sample before = make_vm(100, 0, 2);
    struct vm_sample after = make_vm(101, 0, 3);
    struct vm_usage usage = {0};
    give_vcpus(&before, before_vcpus, 2);
    give_vcpus(&after, after_vcpus, 3);
    assert_int_equal(usage_vm(&before, &after, 4, 20, &usage), 0);
    assert_unknown(usage.vcpus[1].busy_percent);
    assert_near(usage.vcpus[2].busy_percent, 60);
    assert_near(usage.vcpu_percent, 50);
    vm_usage_release(&usage);
}

static void memory_needs_a_fresh_report(void **state)
{
    (void)state;
    struct vm_sample vm = make_vm(100, 0, 1);
    struct vm_usage usage = {0};
    vm.memory.available = 4000, vm.memory.unused = 1000;
    vm.memory.stale = true;
    assert_int_equal(usage_vm(NULL, &vm, 4, 20, &usage), 0);
    assert_unknown(usage.memory_percent);
    vm.memory.stale = false;
    assert_int_equal(usage_vm(NULL, &vm, 4, 20, &usage), 0);
    assert_near(usage.memory_percent, 75);
    vm.memory.time_s = NAN;
    assert_int_equal(usage_vm(NULL, &vm, 4, 20, &usage), 0);
    assert_unknown(usage.memory_percent);
    vm.memory.time_s = 100;
    vm.memory.unused = UNKNOWN_U64;
    assert_int_equal(usage_vm(NULL, &vm, 4, 20, &usage), 0);
    assert_unknown(usage.memory_percent);
    vm_usage_release(&usage);
}

/* In 0.5 s: 8 reads of 4096 bytes in 16 ms; 4 writes of 1 MiB in 100 ms. */
static struct vm_disk busy_disk(const char *name, uint64_t times)
{
    struct vm_disk disk = {.read_ops = 8 * times,
                           .read_bytes = 32768 * times,
                           .read_ns = 16000000 * times,
                           .write_ops = 4 * times,
                           .write_bytes = 4194304 * times,
                           .write_ns = 100000000 * times};
    string_copy(disk.name, sizeof(disk.name), name);
    return disk;
}

static void disk_figures_with_devices_that_come_and_go(void **state)
{
    (void)state;
    struct vm_disk before_disks[] = {busy_disk("vda", 3), busy_disk("vdb", 3)};
    struct vm_disk after_disks[] = {busy_disk("vdb", 4), busy_disk("vdc", 1000),
                                    busy_disk("vda", 4)};
    struct vm_sample before = make_vm(100, 0, 1);
    struct vm_sample after = make_vm(100.5, 0, 1);
    struct vm_usage usage = {0};
    before.disks = before_disks, before.disk_count = 2;
    after.disks = after_disks, after.disk_count = 3;
    assert_int_equal(usage_vm(&before, &after, 4, 20, &usage), 0);
    assert_int_equal(usage.disk_count, 3);
    for (size_t i = 0; i < 3; i += 2) {
        assert_near(usage.disks[i].read_bytes_per_s, 65536);
        assert_near(usage.disks[i].write_bytes_per_s, 8388608);
        assert_near(usage.disks[i].read_ops_per_s, 16);
        assert_near(usage.disks[i].write_ops_per_s, 8);
        assert_near(usage.disks[i].read_latency_s, 0.002);
        assert_near(usage.disks[i].write_latency_s, 0.025);
        assert_unknown(usage.disks[i].busy_percent);
    }
    assert_string_equal(usage.disks[1].name, "vdc");
    assert_unknown(usage.disks[1].read_bytes_per_s);
    assert_unknown(usage.disks[1].read_latency_s);
    vm_usage_release(&usage);
}

/* 10 packets of 1000 bytes received in 0.5 s: 20/s, 8020 bits each. */
static void interface_figures(void **state)
{
    (void)state;
    struct vm_interface before_interfaces[] = {
        {.name = "vnet0", .tx_bytes = UNKNOWN_U64, .tx_packets = UNKNOWN_U64}};
    struct vm_interface after_interfaces[] = {{.name = "vnet0",
                                               .mac = "52:54:00:aa:bb:cc",
                                               .rx_bytes = 10000,
                                               .rx_packets = 10,
                                               .rx_dropped = 1,
                                               .tx_bytes = UNKNOWN_U64,
                                               .tx_packets = UNKNOWN_U64}};
    struct vm_sample before = make_vm(100, 0, 1);
    struct vm_sample after = make_vm(100.5, 0, 1);
    struct vm_usage usage = {0};
    before.interfaces = before_interfaces, before.interface_count = 1;
    after.interfaces = after_interfaces, after.interface_count = 1;
    assert_int_equal(usage_vm(&before, &after, 4, 20, &usage), 0);
    assert_near(usage.interfaces[0].rx.packets_per_s, 20);
    assert_near(usage.interfaces[0].rx.packet_bits, 8020);
    assert_near(usage.interfaces[0].rx.bits_per_s, 160400);
    assert_near(usage.interfaces[0].rx_dropped_per_s, 2);
    assert_unknown(usage.interfaces[0].tx.packets_per_s);
    assert_unknown(usage.interfaces[0].tx.bits_per_s);
    assert_string_equal(usage.interfaces[0].mac, "52:54:00:aa:bb:cc");
    vm_usage_release(&usage);
}

/* Counters of the new run are already above the old ones: still never subtracted. */
static void restarted_vm_is_unknown_even_where_counters_grew(void **state)
{
    (void)state;
    struct vm_disk before_disks[] = {busy_disk("vda", 1)};
    struct vm_disk after_disks[] = {busy_disk("vda", 1000)};
    struct vm_vcpu before_vcpus[] = {{0, 1, 1, 1}};
    struct vm_vcpu after_vcpus[] = {{0, 900000000, 900000000, 900000000}};
    struct vm_interface before_interfaces[] = {{.name = "vnet0"}};
    struct vm_interface after_interfaces[] = {{.name = "vnet0", .rx_packets = 1, .rx_bytes = 1}};
    struct vm_sample before = make_vm(100, 1000, 1);
    struct vm_sample after = make_vm(101, 900000000, 1);
    struct vm_usage usage = {0};
    give_vcpus(&before, before_vcpus, 1);
    give_vcpus(&after, after_vcpus, 1);
    before.disks = before_disks, before.disk_count = 1;
    after.disks = after_disks, after.disk_count = 1;
    before.interfaces = before_interfaces, before.interface_count = 1;
    after.interfaces = after_interfaces, after.interface_count = 1;
    after.incarnation = 2;
    after.memory = (struct vm_memory){.time_s = 101, .available = 100, .unused = 50};
    assert_int_equal(usage_vm(&before, &after, 4, 20, &usage), 0);
    assert_unknown(usage.cpu_percent);
    assert_unknown(usage.vcpu_percent);
    assert_unknown(usage.steal_percent);
    assert_unknown(usage.disks[0].read_bytes_per_s);
    assert_unknown(usage.disks[0].read_latency_s);
    assert_unknown(usage.interfaces[0].rx.packets_per_s);
    assert_near(usage.memory_percent, 50);
    vm_usage_release(&usage);
}

static void a_group_that_was_not_read_is_unknown_alone(void **state)
{
    (void)state;
    struct vm_disk before_disks[] = {busy_disk("vda", 1)};
    struct vm_disk after_disks[] = {busy_disk("vda", 2)};
    struct vm_sample before = make_vm(100, 0, 1);
    struct vm_sample after = make_vm(101, 500000000, 1);
    struct vm_usage usage = {0};
    before.disks = before_disks, before.disk_count = 1;
    after.disks = after_disks, after.disk_count = 1;
    after.disk_time_s = NAN;
    assert_int_equal(usage_vm(&before, &after, 4, 20, &usage), 0);
    assert_near(usage.cpu_percent, 12.5);
    assert_unknown(usage.disks[0].read_bytes_per_s);
    assert_unknown(usage.disks[0].read_latency_s);
    vm_usage_release(&usage);
}

static void unknown_host_cpus_leave_the_vcpus_figure(void **state)
{
    (void)state;
    struct vm_sample before = make_vm(100, 0, 2);
    struct vm_sample after = make_vm(101, 1000000000, 2);
    struct vm_usage usage = {0};
    assert_int_equal(usage_vm(&before, &after, 0, 20, &usage), 0);
    assert_unknown(usage.cpu_percent);
    assert_near(usage.vcpu_percent, 50);
    after.vcpu_current = 0;
    assert_int_equal(usage_vm(&before, &after, 4, 20, &usage), 0);
    assert_near(usage.cpu_percent, 25);
    assert_unknown(usage.vcpu_percent);
    vm_usage_release(&usage);
}

/* A reading missed at 101 costs that sample; the one at 102 spans both seconds. */
static void keep_makes_a_missed_reading_cost_one_sample(void **state)
{
    (void)state;
    struct vm_disk before_disks[] = {busy_disk("vda", 1)};
    struct vm_disk after_disks[] = {busy_disk("vda", 5)};
    struct vm_sample first = make_vm(100, 0, 1);
    struct vm_sample missed = make_vm(NAN, UNKNOWN_U64, 1);
    struct vm_sample last = make_vm(102, 1000000000, 1);
    struct vm_usage usage = {0};
    first.disks = before_disks, first.disk_count = 1;
    last.disks = after_disks, last.disk_count = 1;

    usage_vm_keep(&first, &missed);
    assert_int_equal(usage_vm(&missed, &last, 1, 20, &usage), 0);
    assert_near(usage.cpu_percent, 50);
    assert_near(usage.disks[0].read_bytes_per_s, 65536);
    assert_ptr_equal(missed.disks, before_disks);
    assert_null(first.disks); /* swapped: released once each */

    struct vm_sample other_run = make_vm(NAN, UNKNOWN_U64, 1);
    other_run.incarnation = 2;
    usage_vm_keep(&missed, &other_run);
    assert_unknown(other_run.cpu_time_s);
    assert_null(other_run.disks);
    vm_usage_release(&usage);
}

static void find_by_uuid_with_a_hint(void **state)
{
    (void)state;
    struct vm_sample vms[3] = {{.uuid = "a"}, {.uuid = "b"}, {.uuid = "c"}};
    struct vm_set set = {.vms = vms, .count = 3};
    struct vm_set empty = {0};
    size_t hint = 0;
    assert_ptr_equal(vm_set_find(&set, "a", &hint), &vms[0]);
    assert_int_equal(hint, 1);
    assert_ptr_equal(vm_set_find(&set, "c", &hint), &vms[2]);
    assert_ptr_equal(vm_set_find(&set, "a", &hint), &vms[0]);
    assert_null(vm_set_find(&set, "d", &hint));
    assert_ptr_equal(vm_set_find(&set, "b", NULL), &vms[1]);
    hint = SIZE_MAX;
    assert_ptr_equal(vm_set_find(&set, "b", &hint), &vms[1]);
    assert_null(vm_set_find(&empty, "a", &hint));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_of_host_and_of_own_vcpus),
        cmocka_unit_test(vcpu_times_are_the_better_source),
        cmocka_unit_test(sixty_four_busy_vcpus),
        cmocka_unit_test(hotplugged_vcpu_is_unknown),
        cmocka_unit_test(memory_needs_a_fresh_report),
        cmocka_unit_test(disk_figures_with_devices_that_come_and_go),
        cmocka_unit_test(interface_figures),
        cmocka_unit_test(restarted_vm_is_unknown_even_where_counters_grew),
        cmocka_unit_test(a_group_that_was_not_read_is_unknown_alone),
        cmocka_unit_test(unknown_host_cpus_leave_the_vcpus_figure),
        cmocka_unit_test(keep_makes_a_missed_reading_cost_one_sample),
        cmocka_unit_test(find_by_uuid_with_a_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
