/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage_host(): whole host samples, devices that come and go, thousands of them. */
#include "usage_assert.h"

#define DISKS(array)                                                                               \
    {                                                                                              \
        .time_s = 0, .disks = (array), .count = ARRAY_LENGTH(array)                                \
    }
#define INTERFACES(array)                                                                          \
    {                                                                                              \
        .time_s = 0, .interfaces = (array), .count = ARRAY_LENGTH(array)                           \
    }

static void set_times(struct host_sample *sample, double time_s)
{
    sample->cpu.time_s = time_s;
    sample->memory.time_s = time_s;
    sample->disks.time_s = time_s;
    sample->interfaces.time_s = time_s;
}

static const struct disk_usage *find_disk(const struct host_usage *usage, const char *name)
{
    for (size_t i = 0; i < usage->disk_count; i++)
        if (strcmp(usage->disks[i].name, name) == 0)
            return &usage->disks[i];
    fail_msg("no disk %s", name);
    return NULL;
}

/*
 * In 2 s: 4000 sectors read by 100 operations in 500 ms, 2000 written by 50 in
 * 1000 ms, 800 ms busy. 4000 * 512 / 2 = 1,024,000 bytes/s; 512,000 bytes/s.
 */
static void disk_figures(void **state)
{
    (void)state;
    struct host_disk before_disks[] = {{.name = "sda",
                                        .counters = {.read_ops = 1,
                                                     .read_sectors = 10,
                                                     .read_ms = 5,
                                                     .write_ops = 2,
                                                     .write_sectors = 20,
                                                     .write_ms = 7,
                                                     .io_ms = 100}}};
    struct host_disk after_disks[] = {{.name = "sda",
                                       .counters = {.read_ops = 101,
                                                    .read_sectors = 4010,
                                                    .read_ms = 505,
                                                    .write_ops = 52,
                                                    .write_sectors = 2020,
                                                    .write_ms = 1007,
                                                    .io_ms = 900}}};
    struct host_sample before = {.disks = DISKS(before_disks)};
    struct host_sample after = {.disks = DISKS(after_disks)};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 102);

    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_int_equal(usage.disk_count, 1);
    const struct disk_usage *disk = &usage.disks[0];
    assert_ptr_equal(disk->name, after_disks[0].name);
    assert_near(disk->read_bytes_per_s, 1024000);
    assert_near(disk->write_bytes_per_s, 512000);
    assert_near(disk->read_ops_per_s, 50);
    assert_near(disk->write_ops_per_s, 25);
    assert_near(disk->read_latency_s, 0.005);
    assert_near(disk->write_latency_s, 0.020);
    assert_near(disk->busy_percent, 40);
    host_usage_release(&usage);
}

static void idle_disk_has_no_latency_and_busy_ends_at_100(void **state)
{
    (void)state;
    struct host_disk before_disks[] = {{.name = "sda"}};
    struct host_disk after_disks[] = {{.name = "sda", .counters = {.io_ms = 1004}}};
    struct host_sample before = {.disks = DISKS(before_disks)};
    struct host_sample after = {.disks = DISKS(after_disks)};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 101);

    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_near(usage.disks[0].read_bytes_per_s, 0);
    assert_unknown(usage.disks[0].read_latency_s);
    assert_unknown(usage.disks[0].write_latency_s);
    assert_near(usage.disks[0].busy_percent, 100);
    host_usage_release(&usage);
}

/* 10 sectors each in 1 s: only the two whole disks count, 2 * 10 * 512. */
static void total_counts_whole_disks_once(void **state)
{
    (void)state;
    struct host_disk before_disks[] = {{.name = "sda", .minor = 0},
                                       {.name = "sda1", .minor = 1, .kind = DISK_PARTITION},
                                       {.name = "nvme0n1", .major = 259},
                                       {.name = "dm-0", .major = 253, .kind = DISK_STACKED},
                                       {.name = "loop0", .major = 7, .kind = DISK_MEMORY}};
    struct host_disk after_disks[ARRAY_LENGTH(before_disks)];
    memcpy(after_disks, before_disks, sizeof(after_disks));
    for (size_t i = 0; i < ARRAY_LENGTH(after_disks); i++)
        after_disks[i].counters.read_sectors += 10;
    struct host_sample before = {.disks = DISKS(before_disks)};
    struct host_sample after = {.disks = DISKS(after_disks)};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 101);

    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_near(usage.disk_read_bytes_per_s, 10240);
    assert_near(usage.disk_write_bytes_per_s, 0);
    assert_near(find_disk(&usage, "dm-0")->read_bytes_per_s, 5120);
    host_usage_release(&usage);
}

/* sdb is new, sda restarted, sdd went: each unknown by itself, sdc known. */
static void disks_come_go_and_restart_without_a_spike(void **state)
{
    (void)state;
    struct host_disk before_disks[] = {{.name = "sda", .counters = {.read_sectors = 1000}},
                                       {.name = "sdd", .counters = {.read_sectors = 1000}},
                                       {.name = "sdc", .counters = {.read_sectors = 1000}}};
    struct host_disk after_disks[] = {{.name = "sda", .counters = {.read_sectors = 7}},
                                      {.name = "sdb", .counters = {.read_sectors = 99999999}},
                                      {.name = "sdc", .counters = {.read_sectors = 1002}}};
    struct host_sample before = {.disks = DISKS(before_disks)};
    struct host_sample after = {.disks = DISKS(after_disks)};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 101);

    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_unknown(usage.disks[0].read_bytes_per_s);
    assert_unknown(usage.disks[1].read_bytes_per_s);
    assert_unknown(usage.disks[1].read_latency_s);
    assert_unknown(usage.disks[1].busy_percent);
    assert_near(usage.disks[2].read_bytes_per_s, 1024);
    assert_near(usage.disk_read_bytes_per_s, 1024);
    host_usage_release(&usage);
}

static void a_name_that_means_another_device_is_new(void **state)
{
    (void)state;
    struct host_disk before_disks[] = {{.name = "sda", .major = 8, .minor = 0}};
    struct host_disk after_disks[] = {
        {.name = "sda", .major = 8, .minor = 16, .counters = {.read_sectors = 99999999}}};
    struct host_sample before = {.disks = DISKS(before_disks)};
    struct host_sample after = {.disks = DISKS(after_disks)};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 101);
    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_unknown(usage.disks[0].read_bytes_per_s);
    assert_unknown(usage.disk_read_bytes_per_s);
    host_usage_release(&usage);
}

/* Kernels before 4.18 print no discards, 2.6 partitions no times at all. */
static void absent_fields_are_unknown_alone(void **state)
{
    (void)state;
    const uint64_t none = UNKNOWN_U64;
    struct host_disk before_disks[] = {{.name = "hda1",
                                        .counters = {.read_ops = 1,
                                                     .read_merged = none,
                                                     .read_sectors = 8,
                                                     .read_ms = none,
                                                     .write_ms = none,
                                                     .io_ms = none}}};
    struct host_disk after_disks[] = {{.name = "hda1",
                                       .counters = {.read_ops = 3,
                                                    .read_merged = none,
                                                    .read_sectors = 24,
                                                    .read_ms = none,
                                                    .write_ms = none,
                                                    .io_ms = none}}};
    struct host_sample before = {.disks = DISKS(before_disks)};
    struct host_sample after = {.disks = DISKS(after_disks)};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 101);
    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_near(usage.disks[0].read_bytes_per_s, 8192);
    assert_near(usage.disks[0].read_ops_per_s, 2);
    assert_unknown(usage.disks[0].read_latency_s);
    assert_unknown(usage.disks[0].busy_percent);
    host_usage_release(&usage);
}

static void first_sample_knows_memory_alone(void **state)
{
    (void)state;
    struct host_disk disks[] = {{.name = "sda", .counters = {.read_ops = 5, .read_ms = 50}}};
    struct host_interface interfaces[] = {{.name = "eth0"}};
    struct host_cpu_one cpus[] = {{0, {.user = 50, .idle = 50, .fields = 10}}};
    struct host_sample after = {
        .cpu = {.all = {.user = 50, .idle = 50, .fields = 10}, .cpus = cpus, .cpu_count = 1},
        .memory = {.total = 1000, .free = 400},
        .disks = DISKS(disks),
        .interfaces = INTERFACES(interfaces)};
    static const struct host_sample zeroed;
    const struct host_sample *befores[] = {NULL, &zeroed};
    set_times(&after, 100);

    for (size_t i = 0; i < ARRAY_LENGTH(befores); i++) {
        struct host_usage usage = {0};
        assert_int_equal(usage_host(befores[i], &after, 20, &usage), 0);
        assert_unknown(usage.elapsed_s);
        assert_near(usage.memory_percent, 60);
        assert_unknown(usage.cpu.busy);
        assert_int_equal(usage.cpu_count, 1);
        assert_unknown(usage.cpus[0].usage.busy);
        assert_unknown(usage.disks[0].read_bytes_per_s);
        assert_unknown(usage.disks[0].read_latency_s);
        assert_unknown(usage.disk_read_bytes_per_s);
        assert_unknown(usage.interfaces[0].rx.packets_per_s);
        assert_unknown(usage.interfaces[0].rx_errors_per_s);
        host_usage_release(&usage);
    }
}

/* The groups of a sample are read at times of their own. */
static void each_group_has_its_own_time(void **state)
{
    (void)state;
    struct host_disk before_disks[] = {{.name = "sda"}};
    struct host_disk after_disks[] = {{.name = "sda", .counters = {.write_sectors = 1000}}};
    struct host_interface before_interfaces[] = {{.name = "eth0"}};
    struct host_interface after_interfaces[] = {{.name = "eth0", .counters = {.rx_packets = 1000}}};
    struct host_sample before = {.disks = DISKS(before_disks),
                                 .interfaces = INTERFACES(before_interfaces)};
    struct host_sample after = {.disks = DISKS(after_disks),
                                .interfaces = INTERFACES(after_interfaces)};
    struct host_usage usage = {0};
    before.cpu.all.fields = after.cpu.all.fields = 10;
    before.cpu.time_s = 100, after.cpu.time_s = 101;
    before.disks.time_s = 100, after.disks.time_s = 100.5;
    before.interfaces.time_s = 100, after.interfaces.time_s = 104;
    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_near(usage.elapsed_s, 1);
    assert_near(usage.disks[0].write_bytes_per_s, 1024000);
    assert_near(usage.interfaces[0].rx.packets_per_s, 250);
    host_usage_release(&usage);
}

static void a_group_that_was_not_read_is_unknown(void **state)
{
    (void)state;
    struct host_disk disks[] = {{.name = "sda"}};
    struct host_sample before = {.disks = DISKS(disks)};
    struct host_sample after = {.disks = DISKS(disks)};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 101);
    after.memory = (struct host_memory){.time_s = NAN, .total = 1000, .free = 1};
    after.disks.time_s = NAN;
    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_unknown(usage.memory_percent);
    assert_unknown(usage.disks[0].read_bytes_per_s);
    assert_unknown(usage.disk_read_bytes_per_s);
    host_usage_release(&usage);
}

/* CPU 1 went offline, 2 stayed, 3 came. */
static void cpus_come_and_go(void **state)
{
    (void)state;
    struct host_cpu_one before_cpus[] = {
        {0, {.fields = 10}}, {1, {.fields = 10}}, {2, {.fields = 10}}};
    struct host_cpu_one after_cpus[] = {{0, {.user = 10, .idle = 90, .fields = 10}},
                                        {2, {.user = 70, .idle = 30, .fields = 10}},
                                        {3, {.user = 70, .idle = 30, .fields = 10}}};
    struct host_sample before = {
        .cpu = {.all = {.fields = 10}, .cpus = before_cpus, .cpu_count = 3}};
    struct host_sample after = {.cpu = {.all = {.user = 80, .idle = 120, .fields = 10},
                                        .cpus = after_cpus,
                                        .cpu_count = 3}};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 101);
    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_near(usage.cpu.busy, 40);
    assert_int_equal(usage.cpu_count, 3);
    assert_near(usage.cpus[0].usage.busy, 10);
    assert_int_equal(usage.cpus[1].number, 2);
    assert_near(usage.cpus[1].usage.busy, 70);
    assert_unknown(usage.cpus[2].usage.busy);
    host_usage_release(&usage);
}

/* eth0: 100 packets of 125 bytes in, 10 of 50 out, 3 errors, 4 drops, in 2 s. */
static void interface_figures(void **state)
{
    (void)state;
    struct host_interface before_interfaces[] = {{.name = "eth0", .mac = "52:54:00:00:00:01"}};
    struct host_interface after_interfaces[] = {{.name = "eth0",
                                                 .mac = "52:54:00:00:00:01",
                                                 .counters = {.rx_bytes = 12500,
                                                              .rx_packets = 100,
                                                              .rx_errors = 2,
                                                              .rx_dropped = 4,
                                                              .tx_bytes = 500,
                                                              .tx_packets = 10,
                                                              .tx_errors = 1}}};
    struct host_sample before = {.interfaces = INTERFACES(before_interfaces)};
    struct host_sample after = {.interfaces = INTERFACES(after_interfaces)};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 102);
    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    const struct interface_usage *interface = &usage.interfaces[0];
    assert_string_equal(interface->mac, "52:54:00:00:00:01");
    assert_near(interface->rx.packets_per_s, 50);
    assert_near(interface->rx.packet_bits, 1020);
    assert_near(interface->rx.bits_per_s, 51000);
    assert_near(interface->tx.packets_per_s, 5);
    assert_near(interface->tx.packet_bits, 420);
    assert_near(interface->tx.bits_per_s, 2100);
    assert_near(interface->rx_errors_per_s, 1);
    assert_near(interface->tx_errors_per_s, 0.5);
    assert_near(interface->rx_dropped_per_s, 2);
    assert_near(interface->tx_dropped_per_s, 0);
    host_usage_release(&usage);
}

/* ---- many, shuffled, doubled names ---- */

static void name_interface(struct host_interface *interface, size_t number, uint64_t packets)
{
    *interface = (struct host_interface){.counters = {.rx_packets = packets}};
    string_format(interface->name, sizeof(interface->name), "tap%zu", number);
}

/*
 * 5000 interfaces; every tenth went, 500 others came, and the order is another
 * one. Number n received n packets in the second, from a start of 1000 * n.
 */
static void thousands_of_interfaces_match_in_any_order(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct host_interface *before_interfaces = calloc(COUNT, sizeof(*before_interfaces));
    struct host_interface *after_interfaces = calloc(COUNT, sizeof(*after_interfaces));
    assert_non_null(before_interfaces);
    assert_non_null(after_interfaces);
    for (size_t i = 0; i < COUNT; i++)
        name_interface(&before_interfaces[i], i, 1000 * i);
    for (size_t i = 0; i < COUNT; i++) {
        size_t number = i * 7919 % COUNT; /* 7919 is prime: each number once */
        number = number % 10 == 0 ? number + COUNT : number;
        name_interface(&after_interfaces[i], number, 1001 * number);
    }
    struct host_sample before = {.interfaces = {.interfaces = before_interfaces, .count = COUNT}};
    struct host_sample after = {.interfaces = {.interfaces = after_interfaces, .count = COUNT}};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 101);

    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_int_equal(usage.interface_count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t number = after_interfaces[i].counters.rx_packets / 1001;
        if (number >= COUNT)
            assert_unknown(usage.interfaces[i].rx.packets_per_s);
        else
            assert_near(usage.interfaces[i].rx.packets_per_s, (double)number);
    }
    host_usage_release(&usage);
    free(before_interfaces);
    free(after_interfaces);
}

/* In the same order each is its own; out of order nobody can tell which is which. */
static void doubled_names_do_not_mix(void **state)
{
    (void)state;
    struct host_interface before_interfaces[3], same_order[3], other_order[3];
    name_interface(&before_interfaces[0], 1, 10);
    name_interface(&before_interfaces[1], 1, 5000000);
    name_interface(&before_interfaces[2], 2, 10);
    name_interface(&same_order[0], 1, 11);
    name_interface(&same_order[1], 1, 5000002);
    name_interface(&same_order[2], 2, 13);
    name_interface(&other_order[0], 2, 13);
    name_interface(&other_order[1], 1, 5000002);
    name_interface(&other_order[2], 1, 11);
    struct host_sample before = {.interfaces = INTERFACES(before_interfaces)};
    struct host_sample after = {.interfaces = INTERFACES(same_order)};
    struct host_usage usage = {0};
    set_times(&before, 100);
    set_times(&after, 101);

    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_near(usage.interfaces[0].rx.packets_per_s, 1);
    assert_near(usage.interfaces[1].rx.packets_per_s, 2);
    assert_near(usage.interfaces[2].rx.packets_per_s, 3);

    after.interfaces.interfaces = other_order;
    assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
    assert_near(usage.interfaces[0].rx.packets_per_s, 3);
    assert_unknown(usage.interfaces[1].rx.packets_per_s);
    assert_unknown(usage.interfaces[2].rx.packets_per_s);
    host_usage_release(&usage);
}

/* 200 packets between second 0 and 2; the reading of second 1 was missed. */
static void keep_makes_a_missed_group_cost_one_sample(void **state)
{
    (void)state;
    struct host_interface first_interfaces[] = {{.name = "eth0"}};
    struct host_interface last_interfaces[] = {{.name = "eth0", .counters = {.rx_packets = 200}}};
    struct host_disk disks[] = {{.name = "sda", .counters = {.read_ops = 7}}};
    struct host_sample first = {.interfaces = INTERFACES(first_interfaces), .disks = DISKS(disks)};
    struct host_sample missed = {.disks = DISKS(disks)};
    struct host_sample last = {.interfaces = INTERFACES(last_interfaces), .disks = DISKS(disks)};
    struct host_usage usage = {0};
    first.cpu.all = (struct cpu_times){.user = 10, .idle = 10, .fields = 4};
    last.cpu.all = (struct cpu_times){.user = 40, .idle = 20, .fields = 4};
    set_times(&first, 100);
    set_times(&missed, NAN);
    missed.disks.time_s = 101;
    set_times(&last, 102);

    usage_host_keep(&first, &missed);
    assert_near(missed.disks.time_s, 101); /* read, so not the older one */
    assert_int_equal(usage_host(&missed, &last, 20, &usage), 0);
    assert_near(usage.interfaces[0].rx.packets_per_s, 100);
    assert_near(usage.cpu.busy, 75);
    assert_near(usage.elapsed_s, 2);
    host_usage_release(&usage);
}

static void no_time_or_time_backwards_is_unknown(void **state)
{
    (void)state;
    struct host_interface before_interfaces[1], after_interfaces[1];
    name_interface(&before_interfaces[0], 1, 10);
    name_interface(&after_interfaces[0], 1, 20);
    struct host_disk before_disks[] = {{.name = "sda"}};
    struct host_disk after_disks[] = {
        {.name = "sda", .counters = {.read_ops = 5, .read_ms = 50, .io_ms = 50}}};
    struct host_sample before = {.disks = DISKS(before_disks),
                                 .interfaces = INTERFACES(before_interfaces)};
    struct host_sample after = {.disks = DISKS(after_disks),
                                .interfaces = INTERFACES(after_interfaces)};
    static const double times_s[] = {100, 99, NAN, INFINITY};
    struct host_usage usage = {0};
    set_times(&before, 100);
    for (size_t i = 0; i < ARRAY_LENGTH(times_s); i++) {
        set_times(&after, times_s[i]);
        assert_int_equal(usage_host(&before, &after, 20, &usage), 0);
        assert_unknown(usage.interfaces[0].rx.packets_per_s);
        assert_unknown(usage.disks[0].read_ops_per_s);
        assert_unknown(usage.disks[0].read_latency_s);
        assert_unknown(usage.disks[0].busy_percent);
    }
    host_usage_release(&usage);
}

static void release_takes_null_and_leaves_zero(void **state)
{
    (void)state;
    struct host_usage usage = {0};
    host_usage_release(NULL);
    host_usage_release(&usage);
    assert_null(usage.disks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_figures),
        cmocka_unit_test(idle_disk_has_no_latency_and_busy_ends_at_100),
        cmocka_unit_test(total_counts_whole_disks_once),
        cmocka_unit_test(disks_come_go_and_restart_without_a_spike),
        cmocka_unit_test(a_name_that_means_another_device_is_new),
        cmocka_unit_test(absent_fields_are_unknown_alone),
        cmocka_unit_test(first_sample_knows_memory_alone),
        cmocka_unit_test(each_group_has_its_own_time),
        cmocka_unit_test(a_group_that_was_not_read_is_unknown),
        cmocka_unit_test(cpus_come_and_go),
        cmocka_unit_test(interface_figures),
        cmocka_unit_test(thousands_of_interfaces_match_in_any_order),
        cmocka_unit_test(doubled_names_do_not_mix),
        cmocka_unit_test(keep_makes_a_missed_group_cost_one_sample),
        cmocka_unit_test(no_time_or_time_backwards_is_unknown),
        cmocka_unit_test(release_takes_null_and_leaves_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
