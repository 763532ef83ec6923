/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's files about a VM's process and its control group, as text. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/kernel_text.h"

#include <errno.h>

#define UUID "40d69c3c-b24c-435d-944a-84a08cace467"

static struct text text(const char *string)
{
    return text_of(string, strlen(string));
}

#define STAT_REST                                                                                  \
    " 1 95 95 0 -1 138412416 18531 0 0 0 224 100 0 0 20 0 4 0 269219 1611767808 55951 1844674"

static void stat_is_read_behind_the_name(void **state)
{
    static const char *const names[] = {
        "qemu-system-x86", "a b", "a) R 1 2", "(", ")", "", "\n) S"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct process_stat stat;
        char line[512];

        string_format(line, sizeof(line), "96 (%s) T" STAT_REST, names[i]);
        assert_int_equal(process_parse_stat(text(line), &stat), 0);
        assert_int_equal(stat.state, 'T');
        assert_int_equal(stat.user_ticks, 224);
        assert_int_equal(stat.system_ticks, 100);
        assert_int_equal(stat.start_ticks, 269219);
        assert_int_equal(stat.rss_pages, 55951);
    }
}

static void stat_that_is_none_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "96",
        "96 (x",
        "96 (x)",
        "96 (x) S",
        "96 (x) S 1 95 95 0 -1 1 1 0 0 0 a 100 0 0 20 0 4 0 2 1 5 ",
        "96 (x) S 1 95 95 0 -1 1 1 0 0 0 1 100 0 0 20 0 4 0 2 1 -5 ",
        "96 (x) S 1 95 95 0 -1 1 1 0 0 0 1 100 0 0 20 0 4 0 2 1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        struct process_stat stat = {.state = '?'};

        assert_int_equal(process_parse_stat(text(texts[i]), &stat), -EBADMSG);
        assert_int_equal(stat.state, '?');
    }
}

static void the_vms_own_group_is_found(void **state)
{
    static const struct {
        const char *what, *text, *path, *controllers; /* path NULL: -ENOENT */
    } rows[] = {
        {"version 2 under systemd",
         "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator\n",
         "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt", ""},
        {"version 2, the process in its scope",
         "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope\n",
         "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", ""},
        {"version 2 without systemd", "0::/machine/qemu-1-vm.libvirt-qemu/emulator\n",
         "/machine/qemu-1-vm.libvirt-qemu", ""},
        {"version 1 under systemd",
         "11:memory:/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator\n"
         "4:cpu,cpuacct:/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/emulator\n1:name=systemd:/"
         "machine.slice/machine-qemu\\x2d1\\x2dvm.scope\n",
         "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", "cpu,cpuacct"},
        {"version 1 without systemd",
         "2:cpuacct:/machine/qemu-1-vm.libvirt-qemu/emulator\n1:cpu:/machine/"
         "qemu-1-vm.libvirt-qemu/emulator\n",
         "/machine/qemu-1-vm.libvirt-qemu", "cpuacct"},
        {"both, version 1 counts",
         "0::/machine.slice/machine-qemu\\x2d1.scope/libvirt/emulator\n3:cpuacct,cpu:/machine/"
         "qemu-1-vm.libvirt-qemu/vcpu0\n",
         "/machine/qemu-1-vm.libvirt-qemu", "cpuacct,cpu"},
        {"hybrid, version 1 without cpuacct",
         "3:memory:/machine/qemu-1-vm.libvirt-qemu\n0::/machine.slice/machine-qemu\\x2d1.scope/"
         "libvirt/iothread1\n",
         "/machine.slice/machine-qemu\\x2d1.scope/libvirt", ""},
        {"hybrid, version 1's is not libvirt's",
         "3:cpuacct:/\n0::/machine.slice/machine-qemu\\x2d1.scope/libvirt/emulator\n",
         "/machine.slice/machine-qemu\\x2d1.scope/libvirt", ""},
        {"no newline at the end", "0::/machine/qemu-1-vm.libvirt-qemu/emulator",
         "/machine/qemu-1-vm.libvirt-qemu", ""},
        {"only the part below is cut", "0::/machine/qemu-1-emulator.libvirt-qemu\n",
         "/machine/qemu-1-emulator.libvirt-qemu", ""},
        {"a controller that only resembles",
         "2:xcpuacct,cpuacctx:/machine/qemu-1-vm.libvirt-qemu\n", NULL, NULL},
        {"not libvirt's", "0::/user.slice/session-1.scope\n", NULL, NULL},
        {"the root", "2:cpuacct:/\n0::/\n", NULL, NULL},
        {"up and away", "0::/machine.slice/machine-qemu/../../../../etc/emulator\n", NULL, NULL},
        {"outside of our namespace",
         "0::/../machine.slice/machine-qemu\\x2d1.scope/libvirt/emulator\n", NULL, NULL},
        {"nothing", "", NULL, NULL},
        {"no colons", "machine-qemu\n:\n0:machine-qemu\n", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        char path[256] = "untouched", controllers[64] = "untouched";
        int r = process_parse_cgroup(text(rows[i].text), path, sizeof(path), controllers,
                                     sizeof(controllers));

        if (r != (rows[i].path ? 0 : -ENOENT))
            fail_msg("%s: %d", rows[i].what, r);
        assert_string_equal(path, rows[i].path ? rows[i].path : "untouched");
        assert_string_equal(controllers, rows[i].path ? rows[i].controllers : "untouched");
    }
}

static void a_group_longer_than_its_room_is_refused(void **state)
{
    static const char group[] = "2:cpuacct:/machine/qemu-1-vm.libvirt-qemu/emulator\n";
    char path[33], controllers[8];
    const size_t length = strlen("/machine/qemu-1-vm.libvirt-qemu");

    (void)state;
    assert_int_equal(process_parse_cgroup(text(group), path, length + 1, controllers, 8), 0);
    assert_int_equal(process_parse_cgroup(text(group), path, length, controllers, 8),
                     -ENAMETOOLONG);
    assert_int_equal(process_parse_cgroup(text(group), path, length + 1, controllers, 7),
                     -ENAMETOOLONG);
}

static void cpu_stat_is_read(void **state)
{
    uint64_t us = 5;

    (void)state;
    assert_int_equal(
        cgroup_parse_cpu_stat(text("nr_periods 3\nusage_usec 12345678901\nuser_usec 1\n"), &us), 0);
    assert_true(us == 12345678901);
    assert_int_equal(cgroup_parse_cpu_stat(text("usage_usec\nuser_usec 1\n"), &us), -EBADMSG);
    assert_int_equal(cgroup_parse_cpu_stat(text("usage_usecs 1\n"), &us), -EBADMSG);
    assert_int_equal(cgroup_parse_cpu_stat(text("usage_usec -1\n"), &us), -EBADMSG);
    assert_int_equal(cgroup_parse_cpu_stat(text(""), &us), -EBADMSG);
    assert_true(us == 12345678901);
}

static void schedstat_is_read(void **state)
{
    uint64_t run = 1, delay = 2;

    (void)state;
    assert_int_equal(process_parse_schedstat(text("2801960519 1352880902 12365\n"), &run, &delay),
                     0);
    assert_true(run == 2801960519 && delay == 1352880902);
    assert_int_equal(process_parse_schedstat(text("1\n2 3\n"), &run, &delay), -EBADMSG);
    assert_int_equal(process_parse_schedstat(text("x 2 3\n"), &run, &delay), -EBADMSG);
    assert_int_equal(process_parse_schedstat(text(""), &run, &delay), -EBADMSG);
    assert_true(run == 2801960519 && delay == 1352880902);
}

static void wait_sum_is_read_in_both_spellings(void **state)
{
    uint64_t ns = 7;

    (void)state;
    assert_int_equal(
        process_parse_sched_wait(text("CPU 0/KVM (5, #threads: 9)\n-----\nwait_max   :  "
                                      "9.1\nwait_sum                 :             12.345678\n"),
                                 &ns),
        0);
    assert_true(ns == 12345678);
    assert_int_equal(process_parse_sched_wait(
                         text("se.statistics.wait_sum          :      4294967296.000001\n"), &ns),
                     0);
    assert_true(ns == 4294967296000001);
    assert_int_equal(process_parse_sched_wait(text("wait_sum : 5\n"), &ns), 0);
    assert_true(ns == 5000000);
    assert_int_equal(process_parse_sched_wait(text("wait_sum : 5.02\n"), &ns), 0);
    assert_true(ns == 5020000);
    assert_int_equal(process_parse_sched_wait(text("wait_sums : 5\nmy wait_sum : 5\n"), &ns),
                     -ENOENT);
    assert_int_equal(process_parse_sched_wait(text(""), &ns), -ENOENT);
    assert_int_equal(process_parse_sched_wait(text("wait_sum 5\n"), &ns), -EBADMSG);
    assert_int_equal(process_parse_sched_wait(text("wait_sum : .5\n"), &ns), -EBADMSG);
    assert_int_equal(process_parse_sched_wait(text("wait_sum : 5.x\n"), &ns), -EBADMSG);
    assert_int_equal(process_parse_sched_wait(text("wait_sum : 18446744073709551615.0\n"), &ns),
                     -EBADMSG);
    assert_true(ns == 5020000);
}

static void vcpu_threads_are_known_by_name(void **state)
{
    static const char *const others[] = {
        "qemu-system-x86\n", "CPU /KVM\n",      "CPU x/KVM\n",  "CPU 1\n", "cpu 1/KVM\n",
        "CPU 1 2/KVM\n",     "CPU 99999/KVM\n", "CPU -1/KVM\n", "",        "worker"};
    unsigned number = 9;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        assert_int_equal(process_parse_vcpu_comm(text(others[i]), &number), -ENOENT);
    assert_int_equal(number, 9);
    assert_int_equal(process_parse_vcpu_comm(text("CPU 3/KVM\n"), &number), 0);
    assert_int_equal(number, 3);
    assert_int_equal(process_parse_vcpu_comm(text("CPU 127/TCG"), &number), 0);
    assert_int_equal(number, 127);
}

#define ARGUMENTS(string) text_of((string), sizeof(string) - 1)

static void the_uuid_is_an_argument_of_its_own(void **state)
{
    (void)state;
    assert_true(process_cmdline_has_uuid(ARGUMENTS("qemu\0-uuid\0" UUID "\0-S\0"), UUID));
    assert_true(process_cmdline_has_uuid(ARGUMENTS("-uuid\0" UUID), UUID));
    assert_true(process_cmdline_has_uuid(ARGUMENTS("-uuid\0-uuid\0" UUID), UUID));
    assert_false(process_cmdline_has_uuid(ARGUMENTS(""), UUID));
    assert_false(process_cmdline_has_uuid(ARGUMENTS("qemu\0-uuid\0"), UUID));
    assert_false(process_cmdline_has_uuid(ARGUMENTS("qemu\0-name\0" UUID "\0"), UUID));
    assert_false(process_cmdline_has_uuid(ARGUMENTS("vi\0-uuid " UUID "\0"), UUID));
    assert_false(process_cmdline_has_uuid(ARGUMENTS("-uuid\0\0" UUID "\0"), UUID));
    assert_false(process_cmdline_has_uuid(ARGUMENTS("-uuid\0" UUID "0\0"), UUID));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_is_read_behind_the_name),
        cmocka_unit_test(stat_that_is_none_is_refused),
        cmocka_unit_test(the_vms_own_group_is_found),
        cmocka_unit_test(a_group_longer_than_its_room_is_refused),
        cmocka_unit_test(cpu_stat_is_read),
        cmocka_unit_test(schedstat_is_read),
        cmocka_unit_test(wait_sum_is_read_in_both_spellings),
        cmocka_unit_test(vcpu_threads_are_known_by_name),
        cmocka_unit_test(the_uuid_is_an_argument_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
