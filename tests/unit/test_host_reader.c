/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holds host_reader to its contract: caches, failing groups, other roots. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host_data.h"
#include "remove_tree.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#define NET_HEAD "Inter-| Receive | Transmit\n face |bytes packets|bytes packets\n"

struct tree {
    char root[64];
    char proc[80], sys[80];
    struct host_reader *reader;
    struct host_sample sample;
};

/* Writes a file of the tree; makes the folders on its way. */
static void put(const struct tree *tree, const char *path, const char *text)
{
    char full[512];
    FILE *out;

    assert_true(string_format(full, sizeof(full), "%s/%s", tree->root, path));
    for (char *slash = full + strlen(tree->root) + 1; (slash = strchr(slash, '/')) != NULL;
         slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    out = fopen(full, "we");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static void take_away(const struct tree *tree, const char *path)
{
    char full[512];

    assert_true(string_format(full, sizeof(full), "%s/%s", tree->root, path));
    assert_int_equal(remove(full), 0);
}

static int make_tree(void **state)
{
    struct tree *tree = calloc(1, sizeof(*tree));

    string_copy(tree->root, sizeof(tree->root), "/tmp/setmov-host-XXXXXX");
    if (mkdtemp(tree->root) == NULL)
        return -1;
    string_format(tree->proc, sizeof(tree->proc), "%s/proc", tree->root);
    string_format(tree->sys, sizeof(tree->sys), "%s/sys", tree->root);
    put(tree, "proc/stat", "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
    put(tree, "proc/meminfo", "MemTotal: 10 kB\nMemFree: 4 kB\n");
    put(tree, "proc/diskstats", "8 0 sda 1 2 3 4\n8 1 sda1 1 2 3 4\n");
    put(tree, "proc/net/dev", NET_HEAD "eth0: 100 2 0 0 0 0 0 0 50 6 0 0 0 0 0 0\n");
    put(tree, "sys/class/net/eth0/address", "02:00:00:00:00:01\n");
    *state = tree;
    return 0;
}

static int end_tree(void **state)
{
    struct tree *tree = *state;

    host_reader_free(tree->reader);
    host_sample_release(&tree->sample);
    remove_tree(tree->root);
    free(tree);
    return 0;
}

static void open_reader(struct tree *tree)
{
    struct error err = {{0}};

    assert_int_equal(host_reader_new(tree->proc, tree->sys, &tree->reader, &err), 0);
    assert_string_equal(err.text, "");
}

static void read_well(struct tree *tree)
{
    struct error err = {"old"};

    assert_int_equal(host_reader_read(tree->reader, &tree->sample, &err), 0);
    assert_string_equal(err.text, "");
}

static const char *mac_of(const struct tree *tree, const char *name)
{
    const struct host_interface *found = host_find_interface(&tree->sample.interfaces, name, NULL);

    assert_non_null(found);
    return found->mac;
}

static void a_root_without_stat_is_refused(void **state)
{
    struct tree *tree = *state;
    struct error err = {{0}};
    char path[128];

    assert_int_equal(host_reader_new("/nonexistent", NULL, &tree->reader, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent"));
    take_away(tree, "proc/stat");
    assert_int_equal(host_reader_new(tree->proc, NULL, &tree->reader, &err), -ENOENT);
    string_format(path, sizeof(path), "%s/stat", tree->proc);
    assert_non_null(strstr(err.text, path));
    assert_null(tree->reader);
}

static void a_group_that_fails_leaves_the_others_good(void **state)
{
    struct tree *tree = *state;
    struct error err;

    open_reader(tree);
    read_well(tree);
    take_away(tree, "proc/meminfo");
    put(tree, "proc/diskstats", "rubbish\n");
    put(tree, "proc/net/dev", "rubbish\n");
    assert_int_equal(host_reader_read(tree->reader, &tree->sample, &err), 0);
    assert_non_null(strstr(err.text, "meminfo"));
    assert_non_null(strstr(err.text, "/proc/diskstats"));
    assert_non_null(strstr(err.text, "/proc/net/dev"));
    assert_true(isnan(tree->sample.memory.time_s) && tree->sample.memory.total == UNKNOWN_U64);
    assert_true(isnan(tree->sample.disks.time_s) && tree->sample.disks.count == 0);
    assert_true(isnan(tree->sample.interfaces.time_s) && tree->sample.interfaces.count == 0);
    assert_true(tree->sample.cpu.time_s > 0 && tree->sample.cpu.cpu_count == 1);
    put(tree, "proc/meminfo", "MemTotal: 10 kB\nMemFree: 4 kB\n");
    put(tree, "proc/diskstats", "8 0 sda 1 2 3 4\n");
    put(tree, "proc/net/dev", NET_HEAD "eth0: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
    read_well(tree);
    assert_int_equal(tree->sample.interfaces.count, 1);
    take_away(tree, "proc/diskstats");
    take_away(tree, "proc/net/dev");
    assert_int_equal(host_reader_read(tree->reader, &tree->sample, &err), 0);
    assert_true(isnan(tree->sample.disks.time_s) && tree->sample.disks.count == 0);
    assert_true(isnan(tree->sample.interfaces.time_s) && tree->sample.interfaces.count == 0);
    put(tree, "proc/diskstats", "8 0 sda 1 2 3 4\n");
    put(tree, "proc/net/dev", NET_HEAD);
    read_well(tree);
    assert_int_equal(tree->sample.memory.free, 4096);
    assert_int_equal(tree->sample.disks.count, 1);
}

static void without_stat_the_rest_is_read(void **state)
{
    struct tree *tree = *state;
    struct error err;

    open_reader(tree);
    put(tree, "proc/stat", "cpu  1 2\n");
    assert_int_equal(host_reader_read(tree->reader, &tree->sample, &err), 0);
    assert_non_null(strstr(err.text, "/proc/stat"));
    assert_true(isnan(tree->sample.cpu.time_s));
    assert_int_equal(tree->sample.cpu.cpu_count, 0);
    assert_int_equal(tree->sample.memory.total, 10240);
    assert_int_equal(tree->sample.disks.count, 2);
    /* A reader that fails once is good again. err may be NULL. */
    put(tree, "proc/stat", "cpu  1 2 3 4\n");
    assert_int_equal(host_reader_read(tree->reader, &tree->sample, NULL), 0);
    assert_int_equal(tree->sample.cpu.all.idle, 4);
}

static void without_any_group_the_reading_fails(void **state)
{
    struct tree *tree = *state;
    struct error err;

    open_reader(tree);
    put(tree, "proc/stat", "cpu  1 2\n");
    take_away(tree, "proc/meminfo");
    take_away(tree, "proc/diskstats");
    assert_int_equal(host_reader_read(tree->reader, &tree->sample, &err), 0);
    take_away(tree, "proc/net/dev");
    assert_int_equal(host_reader_read(tree->reader, &tree->sample, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "/proc/stat"));
    assert_non_null(strstr(err.text, "; "));
}

static void groups_have_times_of_their_own_in_the_order_of_reading(void **state)
{
    struct tree *tree = *state;
    double before = clock_monotonic_s();

    open_reader(tree);
    read_well(tree);
    assert_true(before <= tree->sample.cpu.time_s);
    assert_true(tree->sample.cpu.time_s < tree->sample.memory.time_s);
    assert_true(tree->sample.memory.time_s < tree->sample.disks.time_s);
    assert_true(tree->sample.disks.time_s < tree->sample.interfaces.time_s);
    assert_true(tree->sample.interfaces.time_s <= clock_monotonic_s());
}

static void macs_are_remembered(void **state)
{
    struct tree *tree = *state;

    open_reader(tree);
    read_well(tree);
    assert_string_equal(mac_of(tree, "eth0"), "02:00:00:00:00:01");
    /* No file is opened for it again: it is not even missed. */
    take_away(tree, "sys/class/net/eth0/address");
    put(tree, "proc/net/dev", NET_HEAD "eth0: 101 3 0 0 0 0 0 0 51 7 0 0 0 0 0 0\n");
    read_well(tree);
    assert_string_equal(mac_of(tree, "eth0"), "02:00:00:00:00:01");
}

static void an_interface_made_anew_between_two_samples_shows_its_mac(void **state)
{
    struct tree *tree = *state;

    open_reader(tree);
    read_well(tree);
    put(tree, "sys/class/net/eth0/address", "02:00:00:00:00:02\n");
    put(tree, "proc/net/dev", NET_HEAD "eth0: 200 2 0 0 0 0 0 0 50 5 0 0 0 0 0 0\n");
    read_well(tree);
    assert_string_equal(mac_of(tree, "eth0"), "02:00:00:00:00:02");
}

static void an_interface_that_was_away_for_a_sample_shows_its_mac(void **state)
{
    struct tree *tree = *state;

    open_reader(tree);
    read_well(tree);
    put(tree, "proc/net/dev", NET_HEAD "eth1: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
    read_well(tree);
    assert_string_equal(mac_of(tree, "eth1"), "");
    put(tree, "sys/class/net/eth0/address", "02:00:00:00:00:02\n");
    put(tree, "proc/net/dev", NET_HEAD "eth0: 900 9 0 0 0 0 0 0 950 9 0 0 0 0 0 0\n");
    read_well(tree);
    assert_string_equal(mac_of(tree, "eth0"), "02:00:00:00:00:02");
}

static void a_mac_that_is_none_is_unknown(void **state)
{
    struct tree *tree = *state;
    static const char *const bad[] = {
        "", "\n", "hello\n", "02:00\033[0m\n",
        "02:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\n"};

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        put(tree, "sys/class/net/eth0/address", bad[i]);
        open_reader(tree);
        read_well(tree);
        assert_string_equal(mac_of(tree, "eth0"), "");
        host_reader_free(tree->reader);
        tree->reader = NULL;
    }
}

static void names_cannot_lead_out_of_sys(void **state)
{
    struct tree *tree = *state;

    put(tree, "address", "02:00:00:00:00:07\n");
    put(tree, "sys/class/address", "02:00:00:00:00:07\n");
    put(tree, "proc/net/dev",
        NET_HEAD
        "..: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n../../..: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
    open_reader(tree);
    read_well(tree);
    assert_string_equal(mac_of(tree, ".."), "");
    assert_string_equal(mac_of(tree, "../../.."), "");
}

static void thousands_of_interfaces_come_and_go(void **state)
{
    struct tree *tree = *state;

    open_reader(tree);
    for (unsigned round = 0; round < 4; round++) {
        CLEANUP(cleanup_free) char *text = NULL;
        size_t length, count = 0;
        FILE *out = open_memstream(&text, &length);

        fputs(NET_HEAD, out);
        for (unsigned i = 0; i < 3000; i++) {
            if (i % 4 == round)
                continue;
            fprintf(out, "vnet%u: %u 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", i, i);
            count++;
        }
        fputs("eth0: 100 2 0 0 0 0 0 0 50 6 0 0 0 0 0 0\n", out);
        fclose(out);
        put(tree, "proc/net/dev", text);
        read_well(tree);
        assert_int_equal(tree->sample.interfaces.count, count + 1);
        assert_string_equal(mac_of(tree, "eth0"), "02:00:00:00:00:01");
        assert_string_equal(mac_of(tree, round == 3 ? "vnet2998" : "vnet2999"), "");
    }
}

static void a_disk_with_another_number_is_looked_up_again(void **state)
{
    struct tree *tree = *state;

    put(tree, "sys/block/sda/dev", "8:0\n");
    put(tree, "sys/class/block/sda1/partition", "1\n");
    open_reader(tree);
    read_well(tree);
    assert_int_equal(tree->sample.disks.disks[0].kind, DISK_WHOLE);
    assert_int_equal(tree->sample.disks.disks[1].kind, DISK_PARTITION);
    take_away(tree, "sys/class/block/sda1/partition");
    put(tree, "sys/block/sda1/dev", "9:1\n");
    put(tree, "sys/block/sda/slaves/sdx/dev", "9:9\n");
    read_well(tree);
    assert_int_equal(tree->sample.disks.disks[0].kind, DISK_WHOLE);
    assert_int_equal(tree->sample.disks.disks[1].kind, DISK_PARTITION);
    put(tree, "proc/diskstats", "8 16 sda 1 2 3 4\n9 1 sda1 1 2 3 4\n");
    read_well(tree);
    assert_int_equal(tree->sample.disks.disks[0].kind, DISK_STACKED);
    assert_int_equal(tree->sample.disks.disks[1].kind, DISK_WHOLE);
}

static void a_fifo_in_the_tree_does_not_hang(void **state)
{
    struct tree *tree = *state;
    struct error err;
    char path[128];

    open_reader(tree);
    take_away(tree, "proc/meminfo");
    string_format(path, sizeof(path), "%s/meminfo", tree->proc);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(host_reader_read(tree->reader, &tree->sample, &err), 0);
    assert_non_null(strstr(err.text, path));
}

static void this_host_is_read_and_counters_do_not_fall(void **state)
{
    struct host_sample first = {0}, second = {0};
    struct host_reader *reader = NULL;
    struct error err = {{0}};
    char name[HOST_NAME_MAX_BYTES];

    (void)state;
    assert_int_equal(host_reader_new(NULL, NULL, &reader, &err), 0);
    assert_int_equal(host_reader_read(reader, &first, &err), 0);
    assert_int_equal(host_reader_read(reader, &second, &err), 0);
    assert_int_equal(gethostname(name, sizeof(name)), 0);
    assert_string_equal(first.host_name, name);
    assert_true(first.cpu.all.fields >= 4 && first.cpu.cpu_count > 0);
    assert_true(second.cpu.all.user >= first.cpu.all.user);
    assert_true(second.cpu.time_s > first.cpu.time_s);
    assert_true(first.memory.total > first.memory.free);
    assert_non_null(host_find_interface(&first.interfaces, "lo", NULL));
    host_reader_free(reader);
    host_sample_release(&first);
    host_sample_release(&second);
    assert_null(first.cpu.cpus);
    host_sample_release(&second);
    host_sample_release(NULL);
    host_reader_free(NULL);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, make_tree, end_tree)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TREE(a_root_without_stat_is_refused),
        WITH_TREE(a_group_that_fails_leaves_the_others_good),
        WITH_TREE(without_stat_the_rest_is_read),
        WITH_TREE(without_any_group_the_reading_fails),
        WITH_TREE(groups_have_times_of_their_own_in_the_order_of_reading),
        WITH_TREE(macs_are_remembered),
        WITH_TREE(an_interface_made_anew_between_two_samples_shows_its_mac),
        WITH_TREE(an_interface_that_was_away_for_a_sample_shows_its_mac),
        WITH_TREE(a_mac_that_is_none_is_unknown),
        WITH_TREE(names_cannot_lead_out_of_sys),
        WITH_TREE(thousands_of_interfaces_come_and_go),
        WITH_TREE(a_disk_with_another_number_is_looked_up_again),
        WITH_TREE(a_fifo_in_the_tree_does_not_hang),
        cmocka_unit_test(this_host_is_read_and_counters_do_not_fall),
    };

    return cmocka_run_group_tests_name("host reader", tests, NULL, NULL);
}
