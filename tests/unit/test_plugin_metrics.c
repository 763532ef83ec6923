/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the plugin dispatches for samples made by hand: names, values, gaps, notifications. */
#include "../plugin/collectd_stub.h"

#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../plugins/setmov_host_metrics.h"
#include "../../plugins/setmov_notify.h"
#include "../../plugins/setmov_vm_metrics.h"

#define UUID_1 "11111111-2fa1-11d2-883f-0016d3cca427"
#define UUID_2 "22222222-2fa1-11d2-883f-0016d3cca427"

struct fixture {
    struct setmov_config config;
    struct emitter emitter;
    struct host_metrics host_metrics;
    struct vm_metrics vm_metrics;
    struct host_sample hosts[2];
    struct vm_set sets[2];
    unsigned latest;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    setmov_config_init(&fixture->config);
    fixture->host_metrics.config = &fixture->config;
    fixture->vm_metrics.config = &fixture->config;
    emitter_begin(&fixture->emitter, TIME_T_TO_CDTIME_T(1000), TIME_T_TO_CDTIME_T(1));
    stub_reset();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    host_metrics_release(&fixture->host_metrics);
    vm_metrics_release(&fixture->vm_metrics);
    for (size_t i = 0; i < 2; i++) {
        host_sample_release(&fixture->hosts[i]);
        vm_set_release(&fixture->sets[i]);
    }
    setmov_config_release(&fixture->config);
    free(fixture);
    return 0;
}

/* ---- looking at what was dispatched --------------------------------------------- */

/* Never NULL: a name that was not dispatched fails the test. */
static const struct stub_values *values_of(const char *name)
{
    static const struct stub_values none;
    const struct stub_values *values = stub_find(name);

    if (values != NULL)
        return values;
    fail_msg("no values for %s", name);
    return &none;
}

static double gauge_of(const char *name, size_t index)
{
    const struct stub_values *values = values_of(name);

    assert_true(index < values->count);
    return values->values[index].gauge;
}

static void assert_gauge(const char *name, double expected)
{
    double value = gauge_of(name, 0);

    if (!(fabs(value - expected) < 1e-9))
        fail_msg("%s is %.15g, not %.15g", name, value, expected);
}

static void assert_gauges(const char *name, double first, double second)
{
    assert_gauge(name, first);
    if (!(fabs(gauge_of(name, 1) - second) < 1e-9))
        fail_msg("the second of %s is %.15g, not %.15g", name, gauge_of(name, 1), second);
}

static void assert_counters(const char *name, int64_t first, int64_t second)
{
    const struct stub_values *values = values_of(name);

    assert_int_equal(values->count, 2);
    assert_int_equal(values->values[0].derive, first);
    assert_int_equal(values->values[1].derive, second);
}

static void assert_unknown(const char *name)
{
    double value = gauge_of(name, 0);

    assert_true(isnan(value) && !signbit(value));
}

static void assert_absent(const char *name)
{
    if (stub_find(name) != NULL)
        fail_msg("%s was dispatched", name);
}

/* ---- samples ------------------------------------------------------------------------ */

static struct text text(const char *string)
{
    return text_of(string, strlen(string));
}

static void fill_host(struct host_sample *sample, double time_s, const char *stat,
                      const char *diskstats, const char *net_dev)
{
    assert_int_equal(host_parse_stat(text(stat), &sample->cpu, NULL), 0);
    assert_int_equal(host_parse_meminfo(text("MemTotal: 1000 kB\nMemFree: 250 kB\n"
                                             "MemAvailable: 600 kB\nBuffers: 50 kB\n"
                                             "Cached: 200 kB\n"),
                                        &sample->memory, NULL),
                     0);
    assert_int_equal(host_parse_diskstats(text(diskstats), &sample->disks, NULL), 0);
    host_classify_disks(&sample->disks);
    assert_int_equal(host_parse_net_dev(text(net_dev), &sample->interfaces, NULL), 0);
    sample->cpu.time_s = sample->memory.time_s = time_s;
    sample->disks.time_s = sample->interfaces.time_s = time_s;
    string_copy(sample->interfaces.interfaces[0].mac, MAC_BYTES, "52:54:00:12:34:56");
    string_copy(sample->address, sizeof(sample->address), "192.0.2.7");
}

#define NET_HEADER                                                                                 \
    "Inter-|   Receive                                                |  Transmit\n"               \
    " face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo " \
    "colls carrier compressed\n"

static void host_two_cycles(struct fixture *fixture)
{
    fill_host(&fixture->hosts[0], 10.0,
              "cpu 100 0 100 800 0 0 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0 0 0\n",
              "8 0 sda 10 1 200 30 20 2 400 60 0 50 90\n8 1 sda1 5 0 100 15 10 0 200 30 0 25 45\n",
              NET_HEADER "eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n");
    fill_host(&fixture->hosts[1], 12.0,
              "cpu 150 0 100 850 0 0 0 0 40 0\ncpu0 150 0 100 850 0 0 0 0 40 0\n",
              "8 0 sda 14 1 208 38 20 2 400 60 0 1050 90\n8 1 sda1 5 0 100 15 10 0 200 30 0 25 "
              "45\n",
              NET_HEADER "eth0: 3000 20 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n");
    assert_int_equal(host_metrics_dispatch(&fixture->host_metrics, &fixture->emitter,
                                           &fixture->hosts[0], &fixture->hosts[1]),
                     0);
}

/* One VM with two vCPUs, a disk and an interface, after `step` steps of 2 s. */
static void fill_vm(struct vm_sample *vm, const char *name, const char *uuid, unsigned step)
{
    struct vm_value value = {.kind = VM_VALUE_UNSIGNED};
    struct vm_value string = {.kind = VM_VALUE_STRING};
    double time_s = 100.0 + 2.0 * step;
    unsigned groups = 0;
    struct {
        const char *field;
        uint64_t start, per_step;
    } fields[] = {
        {"block.count", 1, 0},
        {"block.0.rd.reqs", 100, 10},
        {"block.0.rd.bytes", 1000, 4096},
        {"block.0.rd.times", 0, 50000000},
        {"block.0.wr.reqs", 5, 0},
        {"block.0.wr.bytes", 7000, 0},
        {"block.0.wr.times", 0, 0},
        {"block.0.capacity", 1 << 30, 0},
        {"net.count", 1, 0},
        {"vcpu.current", 2, 0},
        {"vcpu.maximum", 2, 0},
        {"vcpu.0.time", 0, 1000000000},
        {"vcpu.1.time", 0, 500000000},
    };

    vm_sample_clear(vm);
    string_copy(vm->name, sizeof(vm->name), name);
    string_copy(vm->uuid, sizeof(vm->uuid), uuid);
    vm->state = VM_STATE_RUNNING;
    vm->reason = 1;
    vm->active = vm->answering = true;
    vm->incarnation = 7;
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
        value.u = fields[i].start + fields[i].per_step * step;
        assert_int_equal(vm_sample_apply(vm, fields[i].field, &value, &groups), 0);
    }
    string.string = "vda";
    assert_int_equal(vm_sample_apply(vm, "block.0.name", &string, &groups), 0);
    string.string = "/img/a.qcow2";
    assert_int_equal(vm_sample_apply(vm, "block.0.path", &string, &groups), 0);
    string.string = "vnet0";
    assert_int_equal(vm_sample_apply(vm, "net.0.name", &string, &groups), 0);
    vm_sample_finish(vm);
    vm->cpu_ns = 1600000000ULL * step;
    vm->interfaces[0].rx_bytes = 100ULL * step;
    vm->interfaces[0].rx_packets = step;
    vm->interfaces[0].tx_bytes = vm->interfaces[0].tx_packets = 0;
    vm->interfaces[0].rx_errors = vm->interfaces[0].tx_errors = 0;
    vm->interfaces[0].rx_dropped = vm->interfaces[0].tx_dropped = 0;
    string_copy(vm->interfaces[0].mac, MAC_BYTES, "52:54:00:00:00:01");
    vm->cpu_time_s = vm->vcpu_time_s = vm->disk_time_s = vm->interface_time_s = time_s;
    vm->memory.time_s = time_s;
    vm->memory.current = 512 << 20;
    vm->memory.stale = true;
}

/* The set of the next cycle, with `count` VMs called vm1, vm2 ... */
static struct vm_set *next_set(struct fixture *fixture, const char *const *names, size_t count,
                               unsigned step)
{
    struct vm_set *set = &fixture->sets[1 - fixture->latest];

    size_t room = set->capacity;

    assert_int_equal(array_reserve(&set->vms, &set->capacity, count, sizeof(*set->vms)), 0);
    memset(set->vms + room, 0, (set->capacity - room) * sizeof(*set->vms));
    set->count = count;
    set->connected = set->complete = set->listed = true;
    set->host_cpus = 4;
    for (size_t i = 0; i < count; i++)
        fill_vm(&set->vms[i], names[i], i == 0 ? UUID_1 : UUID_2, step);
    return set;
}

/* An interface whose address libvirt has not told yet. */
static void add_interface_before(struct vm_sample *vm, const char *name)
{
    assert_int_equal(array_reserve(&vm->interfaces, &vm->interface_capacity,
                                   vm->interface_count + 1, sizeof(*vm->interfaces)),
                     0);
    memmove(vm->interfaces + 1, vm->interfaces, vm->interface_count * sizeof(*vm->interfaces));
    vm->interface_count++;
    string_copy(vm->interfaces[0].name, sizeof(vm->interfaces[0].name), name);
    vm->interfaces[0].mac[0] = '\0';
}

static void dispatch_set(struct fixture *fixture, struct vm_set *set)
{
    stub_reset();
    assert_int_equal(vm_metrics_update(&fixture->vm_metrics, set), 0);
    assert_int_equal(vm_metrics_dispatch(&fixture->vm_metrics, &fixture->emitter,
                                         &fixture->sets[fixture->latest], set),
                     0);
    fixture->latest = 1 - fixture->latest;
}

static const char *const one_vm[] = {"vm1"};

static void cycle(struct fixture *fixture, unsigned step)
{
    dispatch_set(fixture, next_set(fixture, one_vm, 1, step));
}

/* ---- host ----------------------------------------------------------------------------- */

static void test_host_figures(void **state)
{
    host_two_cycles(*state);
    assert_gauge("node1/setmov-host/percent-cpu", 50);
    assert_gauge("node1/setmov-host/percent-cpu_guest", 40);
    assert_gauge("node1/setmov-host/percent-cpu_user", 10);
    assert_gauge("node1/setmov-host/percent-cpu_idle", 50);
    assert_gauge("node1/setmov-host/percent-cpu0", 50);
    assert_gauge("node1/setmov-host/percent-memory", 75);
    assert_gauge("node1/setmov-host/memory-total", 1024000);
    assert_gauge("node1/setmov-host/memory-used", 512000);
    assert_gauges("node1/setmov-host/setmov_disk-sda", 2048, 0);
    assert_gauges("node1/setmov-host/setmov_disk-total", 2048, 0);
    assert_gauge("node1/setmov-host/setmov_latency-sda", 0.002);
    assert_true(isnan(gauge_of("node1/setmov-host/setmov_latency-sda", 1)));
    assert_gauge("node1/setmov-host/percent-disk_busy-sda", 50);
    assert_gauges("node1/setmov-host/setmov_packets-eth0", 5, 0);
    assert_gauge("node1/setmov-host/setmov_packet_size-eth0", 1620);
    assert_gauges("node1/setmov-host/setmov_bits-eth0", 8100, 0);
}

static void test_host_counters(void **state)
{
    host_two_cycles(*state);
    assert_int_equal(values_of("node1/setmov-host/cpu-user")->values[0].derive, 150);
    assert_int_equal(values_of("node1/setmov-host/cpu-wait")->values[0].derive, 0);
    assert_counters("node1/setmov-host/disk_octets-sda", 208 * 512, 400 * 512);
    assert_counters("node1/setmov-host/disk_ops-sda", 14, 20);
    assert_counters("node1/setmov-host/disk_merged-sda", 1, 2);
    assert_counters("node1/setmov-host/disk_time-sda", 38, 60);
    assert_counters("node1/setmov-host/disk_io_time-sda", 1050, 90);
    assert_counters("node1/setmov-host/if_octets-eth0", 3000, 2000);
    assert_counters("node1/setmov-host/if_packets-eth0", 20, 20);
    assert_counters("node1/setmov-host/if_errors-eth0", 1, 3);
    assert_counters("node1/setmov-host/if_dropped-eth0", 2, 4);
    /* Meta data: the host's address, the interface's MAC address. */
    assert_string_equal(values_of("node1/setmov-host/percent-cpu")->meta->value, "192.0.2.7");
    assert_string_equal(values_of("node1/setmov-host/if_octets-eth0")->meta->value,
                        "52:54:00:12:34:56");
    assert_null(values_of("node1/setmov-host/if_packets-eth0")->meta);
    assert_true(values_of("node1/setmov-host/cpu-user")->time == TIME_T_TO_CDTIME_T(1000));
    assert_true(values_of("node1/setmov-host/cpu-user")->interval == TIME_T_TO_CDTIME_T(1));
}

static void test_host_filters(void **state)
{
    struct fixture *fixture = *state;

    fixture->config.host_disks.ignore_selected = true;
    assert_int_equal(filter_add(&fixture->config.host_disks, "/^sda[0-9]/", NULL), 0);
    assert_int_equal(filter_add(&fixture->config.host_interfaces, "eth1", NULL), 0);
    fixture->config.per_cpu = false;
    host_two_cycles(fixture);
    assert_absent("node1/setmov-host/disk_ops-sda1");
    assert_absent("node1/setmov-host/if_octets-eth0");
    assert_absent("node1/setmov-host/percent-cpu0");
    assert_gauges("node1/setmov-host/setmov_disk-sda", 2048, 0);
}

/* ---- VMs -------------------------------------------------------------------------------- */

static void test_vm_figures(void **state)
{
    cycle(*state, 0);
    assert_unknown("vm1/setmov/setmov_disk-vda");
    assert_absent("vm1/setmov/setmov_percent-cpu"); /* begins when it is known */
    cycle(*state, 1);
    assert_gauges("vm1/setmov/domain_state", 1, 1);
    assert_string_equal(values_of("vm1/setmov/domain_state")->meta->value, UUID_1);
    assert_gauge("vm1/setmov/setmov_percent-cpu", 20);
    assert_gauge("vm1/setmov/setmov_percent-vcpu", 37.5);
    assert_gauge("vm1/setmov/setmov_percent-vcpu0", 50);
    assert_gauge("vm1/setmov/setmov_percent-vcpu1", 25);
    assert_int_equal(values_of("vm1/setmov/virt_cpu_total")->values[0].derive, 1600000000);
    assert_int_equal(values_of("vm1/setmov/virt_vcpu-1")->values[0].derive, 500000000);
    assert_gauges("vm1/setmov/setmov_disk-vda", 2048, 0);
    assert_gauge("vm1/setmov/setmov_latency-vda", 0.005);
    assert_counters("vm1/setmov/disk_octets-vda", 5096, 7000);
    assert_gauge("vm1/setmov/disk_capacity-vda", 1 << 30);
    assert_absent("vm1/setmov/disk_physical-vda");
    assert_gauges("vm1/setmov/setmov_packets-vnet0", 0.5, 0);
    assert_gauge("vm1/setmov/setmov_packet_size-vnet0", 820);
    assert_gauges("vm1/setmov/setmov_bits-vnet0", 410, 0);
    assert_gauge("vm1/setmov/memory-actual_balloon", 512 << 20);
}

static void test_guest_memory_begins_when_it_is_known(void **state)
{
    struct fixture *fixture = *state;
    struct vm_set *set;

    cycle(fixture, 0);
    assert_absent("vm1/setmov/percent-memory");
    set = next_set(fixture, one_vm, 1, 1);
    set->vms[0].memory.available = 1000;
    set->vms[0].memory.unused = 400;
    set->vms[0].memory.stale = false;
    dispatch_set(fixture, set);
    assert_gauge("vm1/setmov/percent-memory", 60);
    assert_gauge("vm1/setmov/memory-unused", 400);
    cycle(fixture, 2); /* stale again */
    assert_unknown("vm1/setmov/percent-memory");
    assert_absent("vm1/setmov/memory-unused");
}

static void test_stopped_vm_has_its_state_only(void **state)
{
    struct fixture *fixture = *state;
    struct vm_set *set;

    cycle(fixture, 0);
    set = next_set(fixture, one_vm, 1, 1);
    set->vms[0].active = false;
    set->vms[0].state = VM_STATE_SHUTOFF;
    dispatch_set(fixture, set);
    assert_gauges("vm1/setmov/domain_state", 5, 1);
    assert_int_equal(stub_value_count, 1);
}

static void test_missed_reading_costs_one_sample(void **state)
{
    struct fixture *fixture = *state;
    struct vm_set *set;

    cycle(fixture, 0);
    cycle(fixture, 1);
    set = next_set(fixture, one_vm, 1, 2);
    set->vms[0].answering = false;
    set->vms[0].disk_time_s = set->vms[0].cpu_time_s = NAN;
    set->vms[0].disk_count = 0;
    dispatch_set(fixture, set);
    assert_unknown("vm1/setmov/setmov_percent-cpu");
    assert_absent("vm1/setmov/setmov_disk-vda");
    cycle(fixture, 3);
    assert_gauge("vm1/setmov/setmov_percent-cpu", 20);
    assert_gauges("vm1/setmov/setmov_disk-vda", 2048, 0);
}

static void test_new_run_of_a_vm_is_no_spike(void **state)
{
    struct fixture *fixture = *state;
    struct vm_set *set;

    cycle(fixture, 0);
    cycle(fixture, 1);
    set = next_set(fixture, one_vm, 1, 2);
    set->vms[0].incarnation = 8;
    dispatch_set(fixture, set);
    assert_unknown("vm1/setmov/setmov_percent-cpu");
    assert_unknown("vm1/setmov/setmov_disk-vda");
}

static void test_filters_select_vms_and_devices(void **state)
{
    static const char *const two_vms[] = {"vm1", "vm2"};
    struct fixture *fixture = *state;

    assert_int_equal(filter_add(&fixture->config.domains, "vm2", NULL), 0);
    assert_int_equal(filter_add(&fixture->config.block_devices, "vm2:vdb", NULL), 0);
    fixture->config.report_network_interfaces = false;
    dispatch_set(fixture, next_set(fixture, two_vms, 2, 0));
    assert_absent("vm1/setmov/domain_state");
    assert_non_null(stub_find("vm2/setmov/domain_state"));
    assert_absent("vm2/setmov/disk_ops-vda");
    assert_absent("vm2/setmov/if_octets-vnet0");
    assert_true(fixture->vm_metrics.vms == 1 && fixture->vm_metrics.vms_running == 1);
}

static void test_device_formats(void **state)
{
    struct fixture *fixture = *state;

    fixture->config.block_device_format = BLOCK_DEVICE_SOURCE;
    fixture->config.interface_format = INTERFACE_ADDRESS;
    cycle(fixture, 0);
    assert_non_null(stub_find("vm1/setmov/disk_ops-img_a.qcow2"));
    assert_non_null(stub_find("vm1/setmov/if_octets-52:54:00:00:00:01"));
}

static void test_address_that_is_to_come_is_no_series_of_another_name(void **state)
{
    static const char *const series = "vm1/setmov/if_octets-52:54:00:00:00:01";
    struct fixture *fixture = *state;
    struct vm_set *set = next_set(fixture, one_vm, 1, 0);
    char mac[MAC_BYTES];

    fixture->config.interface_format = INTERFACE_ADDRESS;
    string_copy(mac, sizeof(mac), set->vms[0].interfaces[0].mac);
    set->vms[0].interfaces[0].mac[0] = '\0';
    dispatch_set(fixture, set);
    assert_absent("vm1/setmov/if_octets-vnet0");
    assert_absent("vm1/setmov/if_octets");
    cycle(fixture, 1);
    assert_non_null(stub_find(series));
    /* A new interface before it, whose address is not known: the old one goes on. */
    set = next_set(fixture, one_vm, 1, 2);
    add_interface_before(&set->vms[0], "vnet9");
    dispatch_set(fixture, set);
    assert_absent("vm1/setmov/if_octets-vnet9");
    assert_non_null(stub_find(series));
    assert_string_equal(stub_log, "");
}

static void test_names_in_log_lines_have_no_control_characters(void **state)
{
    static const char *const names[] = {"a\033\nb", "a\033/b"};
    struct fixture *fixture = *state;
    struct vm_set *set = next_set(fixture, names, 2, 0);

    stub_reset();
    assert_int_equal(vm_metrics_update(&fixture->vm_metrics, set), 0);
    assert_string_equal(stub_log, "4 setmov plugin: the name of VM `a /b' is in use; it is called "
                                  "`a__b-22222222/setmov'\n");
    set = next_set(fixture, names, 1, 1);
    add_interface_before(&set->vms[0], "vnet0");
    dispatch_set(fixture, set);
    assert_string_equal(stub_log, "4 setmov plugin: two devices of `a  b' are called `vnet0'; only "
                                  "the first is collected\n");
}

static void test_vm_called_host_does_not_hide_the_host(void **state)
{
    static const char *const names[] = {"host"};
    struct fixture *fixture = *state;

    fixture->config.hostname_format = (struct identity_format){{IDENTITY_HOSTNAME}, 1};
    fixture->config.plugin_instance_format = (struct identity_format){{IDENTITY_NAME}, 1};
    dispatch_set(fixture, next_set(fixture, names, 1, 0));
    assert_absent("node1/setmov-host/domain_state");
    assert_non_null(stub_find("node1/setmov-host-11111111/domain_state"));
}

static void test_vms_of_one_name_stay_two(void **state)
{
    static const char *const names[] = {"a/b", "a_b"};
    struct fixture *fixture = *state;
    struct vm_set *set = next_set(fixture, names, 2, 0);

    stub_reset();
    assert_int_equal(vm_metrics_update(&fixture->vm_metrics, set), 0);
    assert_string_equal(stub_log, "4 setmov plugin: the name of VM `a_b' is in use; it is called "
                                  "`a_b-22222222/setmov'\n");
    dispatch_set(fixture, set);
    assert_non_null(stub_find("a_b/setmov/domain_state"));
    assert_non_null(stub_find("a_b-22222222/setmov/domain_state"));
    assert_string_equal(stub_log, ""); /* said once */
}

static void test_counters_that_are_not_told_are_left_out(void **state)
{
    struct fixture *fixture = *state;
    struct vm_set *set;

    cycle(fixture, 0);
    set = next_set(fixture, one_vm, 1, 1);
    set->vms[0].disks[0].read_bytes = UINT64_MAX - 1; /* does not fit a DERIVE */
    set->vms[0].disks[0].write_ops = UNKNOWN_U64;
    dispatch_set(fixture, set);
    assert_absent("vm1/setmov/disk_octets-vda");
    assert_absent("vm1/setmov/disk_ops-vda");
    assert_non_null(stub_find("vm1/setmov/disk_time-vda"));
}

static void test_counts_are_unknown_without_a_connection(void **state)
{
    struct fixture *fixture = *state;
    struct vm_set none = {.connected = false};
    struct vm_set unlisted = {.connected = true}; /* libvirt has not answered yet */

    cycle(fixture, 0);
    assert_int_equal(vm_metrics_update(&fixture->vm_metrics, &none), 0);
    assert_true(isnan(fixture->vm_metrics.vms) && isnan(fixture->vm_metrics.vms_running));
    assert_int_equal(fixture->vm_metrics.record_count, 0);
    fixture->vm_metrics.vms = fixture->vm_metrics.vms_running = 0;
    assert_int_equal(vm_metrics_update(&fixture->vm_metrics, &unlisted), 0);
    assert_true(isnan(fixture->vm_metrics.vms) && isnan(fixture->vm_metrics.vms_running));
    unlisted.listed = true;
    assert_int_equal(vm_metrics_update(&fixture->vm_metrics, &unlisted), 0);
    assert_true(fixture->vm_metrics.vms == 0 && fixture->vm_metrics.vms_running == 0);
}

static void test_ten_thousand_cycles_need_no_more_memory(void **state)
{
    struct fixture *fixture = *state;
    size_t used = 0;

    stub_discards = true;
    for (unsigned step = 0; step < 10000; step++) {
        cycle(fixture, step);
        if (step == 10)
            used = mallinfo2().uordblks;
    }
    stub_discards = false;
    assert_int_equal(mallinfo2().uordblks, used);
}

/* ---- the plugin itself, notifications ------------------------------------------------------- */

static void test_self_metrics(void **state)
{
    struct fixture *fixture = *state;
    const struct self_metrics self = {.collects_vms = true,
                                      .up = true,
                                      .silent_vms = 2,
                                      .rpc_count = 3,
                                      .missed_cycles = 4,
                                      .started_s = clock_monotonic_s() - 10};

    host_metrics_dispatch_self(&fixture->emitter, &self);
    assert_gauge("node1/setmov-self/gauge-up", 1);
    assert_gauge("node1/setmov-self/count-silent_vms", 2);
    assert_gauge("node1/setmov-self/count-rpc", 3);
    assert_gauge("node1/setmov-self/count-missed_cycles", 4);
    assert_true(gauge_of("node1/setmov-self/duration-cycle", 0) >= 10);
    /* The duration ends with the last value. */
    assert_string_equal(stub_values[stub_value_count - 1].name, "node1/setmov-self/duration-cycle");
}

static void test_events_become_notifications(void **state)
{
    static const struct {
        enum vm_event_kind kind;
        int severity;
        const char *meta;
    } cases[] = {
        {VM_EVENT_STARTED, NOTIF_OKAY, "event=started uuid=" UUID_1 " "},
        {VM_EVENT_STOPPED, NOTIF_WARNING, "event=stopped uuid=" UUID_1 " "},
        {VM_EVENT_CRASHED, NOTIF_FAILURE, "event=crashed uuid=" UUID_1 " "},
        {VM_EVENT_PAUSED, NOTIF_WARNING, "event=paused uuid=" UUID_1 " "},
        {VM_EVENT_RESUMED, NOTIF_OKAY, "event=resumed uuid=" UUID_1 " "},
        {VM_EVENT_MIGRATED_IN, NOTIF_OKAY, "event=migrated-in uuid=" UUID_1 " "},
        {VM_EVENT_MIGRATED_OUT, NOTIF_OKAY, "event=migrated-out uuid=" UUID_1 " "},
        {VM_EVENT_NOT_ANSWERING, NOTIF_FAILURE, "event=not-answering uuid=" UUID_1 " "},
        {VM_EVENT_ANSWERING, NOTIF_OKAY, "event=answering uuid=" UUID_1 " "},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct vm_event event = {cases[i].kind, "gone", UUID_1, "what happened"};
        const struct vm_set set = {.connected = true, .events = &event, .event_count = 1};

        stub_reset();
        notify_events(&set, &fixture->vm_metrics, TIME_T_TO_CDTIME_T(77));
        assert_int_equal(stub_notification_count, 1);
        assert_int_equal(stub_notifications[0].severity, cases[i].severity);
        assert_string_equal(stub_notifications[0].host, "gone");
        assert_string_equal(stub_notifications[0].plugin, "setmov");
        assert_string_equal(stub_notifications[0].type, "domain_state");
        assert_string_equal(stub_notifications[0].message, "what happened");
        assert_true(stub_notifications[0].time == TIME_T_TO_CDTIME_T(77));
        assert_string_equal(stub_notification_meta[0], cases[i].meta);
        assert_string_equal(stub_log, "");
    }
}

static void test_connection_events_become_log_lines(void **state)
{
    struct fixture *fixture = *state;
    struct vm_event events[] = {{VM_EVENT_SOURCE_LOST, "", "", "no libvirt"},
                                {VM_EVENT_SOURCE_RETURNED, "", "", "libvirt is back"},
                                {VM_EVENT_BALLOON_REFUSED, "vm1", UUID_1, "no period"}};
    const struct vm_set set = {.events = events, .event_count = 3};

    notify_events(&set, &fixture->vm_metrics, 0);
    assert_int_equal(stub_notification_count, 0);
    assert_string_equal(stub_log, "4 setmov plugin: no libvirt\n5 setmov plugin: libvirt is back\n"
                                  "4 setmov plugin: no period\n");
}

static void test_events_of_vms_left_out_are_not_notified(void **state)
{
    struct fixture *fixture = *state;
    struct vm_event event = {VM_EVENT_CRASHED, "vm1", UUID_1, "crashed"};
    const struct vm_set set = {.connected = true, .events = &event, .event_count = 1};

    assert_int_equal(filter_add(&fixture->config.domains, "vm2", NULL), 0);
    notify_events(&set, &fixture->vm_metrics, 0);
    assert_int_equal(stub_notification_count, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_host_figures),
        TEST(test_host_counters),
        TEST(test_host_filters),
        TEST(test_vm_figures),
        TEST(test_guest_memory_begins_when_it_is_known),
        TEST(test_stopped_vm_has_its_state_only),
        TEST(test_missed_reading_costs_one_sample),
        TEST(test_new_run_of_a_vm_is_no_spike),
        TEST(test_filters_select_vms_and_devices),
        TEST(test_device_formats),
        TEST(test_address_that_is_to_come_is_no_series_of_another_name),
        TEST(test_names_in_log_lines_have_no_control_characters),
        TEST(test_vm_called_host_does_not_hide_the_host),
        TEST(test_vms_of_one_name_stay_two),
        TEST(test_counters_that_are_not_told_are_left_out),
        TEST(test_counts_are_unknown_without_a_connection),
        TEST(test_ten_thousand_cycles_need_no_more_memory),
        TEST(test_self_metrics),
        TEST(test_events_become_notifications),
        TEST(test_connection_events_become_log_lines),
        TEST(test_events_of_vms_left_out_are_not_notified),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
