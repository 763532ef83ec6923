/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holds the parsers of /proc/stat and /proc/meminfo to their contract. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host_data.h"

#include <errno.h>

static int parse_stat(const char *text, struct host_cpu *cpu, struct error *err)
{
    return host_parse_stat(text_of(text, strlen(text)), cpu, err);
}

static void stat_fields_are_counted(void **state)
{
    struct host_cpu cpu = {0};

    (void)state;
    assert_int_equal(parse_stat("cpu  1 2 3 4\n", &cpu, NULL), 0);
    assert_int_equal(cpu.all.fields, 4);
    assert_int_equal(cpu.all.idle, 4);
    assert_int_equal(cpu.all.iowait, 0);
    assert_int_equal(parse_stat("cpu  1 2 3 4 5 6 7 8\n", &cpu, NULL), 0);
    assert_int_equal(cpu.all.fields, 8);
    assert_int_equal(cpu.all.steal, 8);
    assert_int_equal(cpu.all.guest, 0);
    assert_int_equal(parse_stat("cpu  1 2 3 4 5 6 7 8 9 \n", &cpu, NULL), 0);
    assert_int_equal(cpu.all.fields, 9);
    assert_int_equal(cpu.all.guest, 9);
    assert_int_equal(parse_stat("cpu  1 2 3 4 5 6 7 8 9 10 11 x\n", &cpu, NULL), 0);
    assert_int_equal(cpu.all.fields, 10);
    assert_int_equal(cpu.all.guest_nice, 10);
    assert_null(cpu.cpus);
}

static void stat_without_a_whole_cpu_line_names_the_file(void **state)
{
    static const char *const bad[] = {"",
                                      "\n",
                                      "cpu  1 2 3 4",
                                      "cpu  1 2 3\n",
                                      "cpu  1 2 3 4 x\n",
                                      "cpu  1 2 3 -4 5\n",
                                      "cpu\n",
                                      "cpu0 1 2 3 4\n",
                                      "intr 1\nctxt 2\n",
                                      "cpu  1 2 3 99999999999999999999\n"};
    struct host_cpu cpu = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct error err = {{0}};

        assert_int_equal(parse_stat(bad[i], &cpu, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "/proc/stat"));
        assert_int_equal(cpu.cpu_count, 0);
    }
    free(cpu.cpus);
}

static void stat_keeps_gaps_and_restores_the_order(void **state)
{
    struct host_cpu cpu = {0};

    (void)state;
    assert_int_equal(
        parse_stat("cpu  9 9 9 9\ncpu0 1 1 1 1\ncpu2 1 1 1 2\ncpu7 1 1 1 7\n", &cpu, NULL), 0);
    assert_int_equal(cpu.cpu_count, 3);
    assert_int_equal(cpu.cpus[1].number, 2);
    assert_int_equal(cpu.cpus[2].number, 7);
    assert_int_equal(
        parse_stat("cpu  9 9 9 9\ncpu7 1 1 1 7\ncpu2 1 1 1 2\ncpu7 1 1 1 7\ncpu0 1 1 1 1\n", &cpu,
                   NULL),
        0);
    assert_int_equal(cpu.cpu_count, 3);
    assert_int_equal(cpu.cpus[0].number, 0);
    assert_int_equal(cpu.cpus[1].number, 2);
    assert_int_equal(cpu.cpus[1].times.idle, 2);
    assert_int_equal(cpu.cpus[2].number, 7);
    free(cpu.cpus);
}

static void stat_leaves_out_cpus_without_a_good_number(void **state)
{
    struct host_cpu cpu = {0};

    (void)state;
    assert_int_equal(parse_stat("cpu  9 9 9 9\ncpux 1 1 1 1\ncpu-1 1 1 1 1\ncpu4294967296 1 1 1 1\n"
                                "cpu99999999999999999999 1 1 1 1\ncpu3 1 1 1\ncpu4 1 1 1 4\n",
                                &cpu, NULL),
                     0);
    assert_int_equal(cpu.cpu_count, 1);
    assert_int_equal(cpu.cpus[0].number, 4);
    free(cpu.cpus);
}

static void stat_of_a_thousand_cpus_that_shrinks_forgets_the_gone(void **state)
{
    struct host_cpu cpu = {0};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    (void)state;
    fputs("cpu  1 2 3 4\n", out);
    for (unsigned i = 0; i < 1000; i++)
        fprintf(out, "cpu%u 1 2 3 %u\n", i, i);
    fclose(out);
    assert_int_equal(parse_stat(text, &cpu, NULL), 0);
    assert_int_equal(cpu.cpu_count, 1000);
    assert_int_equal(cpu.cpus[999].times.idle, 999);
    assert_int_equal(parse_stat("cpu  1 2 3 4\ncpu5 1 2 3 4\n", &cpu, NULL), 0);
    assert_int_equal(cpu.cpu_count, 1);
    free(text);
    free(cpu.cpus);
}

static void meminfo_is_in_bytes_and_absent_lines_are_unknown(void **state)
{
    static const char text[] =
        "MemTotal:       16 kB\nHugePages_Total:  7\nMemFree:\t 8 kB\nMemFree: 9 kB\n"
        "MemAvailable:  12\nBuffers: 18014398509481984 kB\nCached: 1 MB\nSwapCached: 5 kB\n";
    struct host_memory memory = {.time_s = 3.5};

    (void)state;
    assert_int_equal(host_parse_meminfo(text_of(text, strlen(text)), &memory, NULL), 0);
    assert_int_equal(memory.total, 16384);
    assert_int_equal(memory.free, 8192);
    assert_true(memory.available == UNKNOWN_U64); /* no unit: cut */
    assert_true(memory.buffers == UNKNOWN_U64);   /* 2^64 bytes */
    assert_true(memory.cached == UNKNOWN_U64);    /* no such unit */
    assert_true(memory.swap_total == UNKNOWN_U64);
    assert_true(memory.time_s == 3.5);
}

static void meminfo_without_total_or_free_is_refused(void **state)
{
    static const char *const bad[] = {"", "MemTotal: 1 kB\n", "MemFree: 1 kB\n",
                                      "MemTotal: 1 kB\nMemFree: 1 kB",
                                      "memtotal: 1 kB\nMemFree: 1 kB\n"};
    struct host_memory memory = {.total = 5};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct error err = {{0}};

        assert_int_equal(host_parse_meminfo(text_of(bad[i], strlen(bad[i])), &memory, &err),
                         -EBADMSG);
        assert_non_null(strstr(err.text, "/proc/meminfo"));
        assert_int_equal(memory.total, 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_fields_are_counted),
        cmocka_unit_test(stat_without_a_whole_cpu_line_names_the_file),
        cmocka_unit_test(stat_keeps_gaps_and_restores_the_order),
        cmocka_unit_test(stat_leaves_out_cpus_without_a_good_number),
        cmocka_unit_test(stat_of_a_thousand_cpus_that_shrinks_forgets_the_gone),
        cmocka_unit_test(meminfo_is_in_bytes_and_absent_lines_are_unknown),
        cmocka_unit_test(meminfo_without_total_or_free_is_refused),
    };

    return cmocka_run_group_tests_name("host cpu and memory", tests, NULL, NULL);
}
