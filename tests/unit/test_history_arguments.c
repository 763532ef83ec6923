/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The very arguments that librrd gets, for one graph of rows and two of devices. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph_kind_of.h"
#include "setmov/history.h"

static const struct graph_frame frame = {
    .start = 1000,
    .end = 4600,
    .width = 640,
    .height = 200,
    .period = "10:00 to 11:00",
    .format = "SVG",
};

/* Plans, changes the first series as asked, and compares from the first DEF on. */
static void expect_arguments(struct history_subject *subject, const char *suffix,
                             const char *const metrics[], size_t metric_count, bool extremes,
                             bool unknown, const char *const expected[], size_t expected_count)
{
    CLEANUP(graph_plan_release) struct graph_plan plan = {0};
    CLEANUP(history_strings_release) struct history_strings arguments = {0};
    size_t first = 0;

    for (size_t i = 0; i < metric_count; i++)
        assert_int_equal(history_strings_add(&subject->metrics, "%s", metrics[i]), 0);
    assert_int_equal(graph_plan_make(kind_of(subject->kind, suffix), subject, &plan), 0);
    graph_plan_trim(&plan);
    plan.series[0].extremes = extremes;
    plan.series[0].down_unknown = plan.series[0].up_unknown = unknown;
    assert_int_equal(graph_arguments(&plan, &frame, &arguments), 0);
    while (first < arguments.count && strncmp(arguments.items[first], "DEF:", 4) != 0)
        first++;
    for (size_t i = 0; i < expected_count && first + i < arguments.count; i++)
        assert_string_equal(arguments.items[first + i], expected[i]);
    assert_int_equal(arguments.count - first, expected_count);
    history_strings_release(&subject->metrics);
}

#define PAD4  "    "
#define PAD8  PAD4 PAD4
#define PAD12 PAD8 PAD4
#define PAD24 PAD12 PAD12

static void options_come_from_frame_and_kind(void **state)
{
    char directory[] = "/r", name[] = "a:b\n%";
    struct history_subject host = {.kind = HISTORY_HOST, .name = name, .directory = directory};
    CLEANUP(graph_plan_release) struct graph_plan plan = {0};
    CLEANUP(history_strings_release) struct history_strings arguments = {0};
    static const char *const expected[] = {
        "graph",
        "-",
        "--imgformat=SVG",
        "--start=1000",
        "--end=4600",
        "--width=640",
        "--height=200",
        "--title=Host a:b?%: CPU",
        "--vertical-label=% of all CPUs",
        "--base=1000",
    };
    static const char *const wanted[] = {"--lower-limit=0", "--upper-limit=100", "--rigid",
                                         "--left-axis-format=%.0lf %%"};

    (void)state;
    assert_int_equal(history_strings_add(&host.metrics, "percent-cpu"), 0);
    assert_int_equal(graph_plan_make(kind_of(HISTORY_HOST, "cpu"), &host, &plan), 0);
    assert_int_equal(graph_arguments(&plan, &frame, &arguments), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(expected); i++)
        assert_string_equal(arguments.items[i], expected[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++) {
        size_t j = 0;
        while (j < arguments.count && strcmp(arguments.items[j], wanted[i]) != 0)
            j++;
        assert_true(j < arguments.count);
    }
    history_strings_release(&host.metrics);
}

static void rows_are_stacked_and_the_headline_is_a_line(void **state)
{
    static const char *const metrics[] = {"percent-cpu", "percent-cpu_system", "percent-cpu_user"};
    static const char *const expected[] = {
        "DEF:a0=/r\\:1/percent-cpu_user.rrd:value:AVERAGE",
        "DEF:n0=/r\\:1/percent-cpu_user.rrd:value:MIN",
        "DEF:x0=/r\\:1/percent-cpu_user.rrd:value:MAX",
        "DEF:a1=/r\\:1/percent-cpu_system.rrd:value:AVERAGE",
        "DEF:n1=/r\\:1/percent-cpu_system.rrd:value:MIN",
        "DEF:x1=/r\\:1/percent-cpu_system.rrd:value:MAX",
        "DEF:a2=/r\\:1/percent-cpu.rrd:value:AVERAGE",
        "DEF:n2=/r\\:1/percent-cpu.rrd:value:MIN",
        "DEF:x2=/r\\:1/percent-cpu.rrd:value:MAX",
        "COMMENT:  " PAD24,
        "COMMENT:        min",
        "COMMENT:        avg",
        "COMMENT:        max",
        "COMMENT:       last\\l",
        "AREA:a0#0072B2:user" PAD12 PAD8,
        "GPRINT:n0:MIN:%10.2lf%%",
        "GPRINT:a0:AVERAGE:%10.2lf%%",
        "GPRINT:x0:MAX:%10.2lf%%",
        "GPRINT:a0:LAST:%10.2lf%%\\l",
        "AREA:a1#D55E00:system" PAD12 "      :STACK",
        "GPRINT:n1:MIN:%10.2lf%%",
        "GPRINT:a1:AVERAGE:%10.2lf%%",
        "GPRINT:x1:MAX:%10.2lf%%",
        "GPRINT:a1:LAST:%10.2lf%%\\l",
        "LINE1.25:a2#000000:busy (100 - idle)       ",
        "GPRINT:n2:MIN:%10.2lf%%",
        "GPRINT:a2:AVERAGE:%10.2lf%%",
        "GPRINT:x2:MAX:%10.2lf%%",
        "GPRINT:a2:LAST:%10.2lf%%\\l",
        "COMMENT: \\l",
        "COMMENT:  10\\:00 to 11\\:00. Gaps\\: unknown.\\l",
    };
    char directory[] = "/r:1", name[] = "n";
    struct history_subject host = {.kind = HISTORY_HOST, .name = name, .directory = directory};

    (void)state;
    expect_arguments(&host, "cpu", metrics, ARRAY_LENGTH(metrics), true, false, expected,
                     ARRAY_LENGTH(expected));
}

static void one_device_is_mirrored_and_the_unknown_is_called_so(void **state)
{
    static const char *const metrics[] = {"setmov_disk-vd:a"};
    static const char *const expected[] = {
        "DEF:ua0=/r/setmov_disk-vd\\:a.rrd:read:AVERAGE",
        "DEF:un0=/r/setmov_disk-vd\\:a.rrd:read:AVERAGE",
        "DEF:ux0=/r/setmov_disk-vd\\:a.rrd:read:AVERAGE",
        "DEF:da0=/r/setmov_disk-vd\\:a.rrd:write:AVERAGE",
        "DEF:dn0=/r/setmov_disk-vd\\:a.rrd:write:AVERAGE",
        "DEF:dx0=/r/setmov_disk-vd\\:a.rrd:write:AVERAGE",
        "CDEF:mda0=da0,-1,*",
        "COMMENT:  " PAD24,
        "COMMENT:          min",
        "COMMENT:          avg",
        "COMMENT:          max",
        "COMMENT:         last\\l",
        "AREA:ua0#0072B2:read  vd\\:a" PAD12 "  ",
        "COMMENT:      unknown\\l",
        "AREA:mda0#D55E00:write vd\\:a" PAD12 "  ",
        "COMMENT:      unknown\\l",
        "HRULE:0#404040",
        "COMMENT:  read is drawn upwards, write downwards from zero.\\l",
        "COMMENT: \\l",
        "COMMENT:  10\\:00 to 11\\:00. Gaps\\: unknown.\\l",
    };
    char directory[] = "/r", name[] = "n";
    struct history_subject vm = {.kind = HISTORY_VM, .name = name, .directory = directory};

    (void)state;
    expect_arguments(&vm, "disk", metrics, ARRAY_LENGTH(metrics), false, true, expected,
                     ARRAY_LENGTH(expected));
}

static const char *find(const struct history_strings *arguments, const char *start)
{
    for (size_t i = 0; i < arguments->count; i++)
        if (strncmp(arguments->items[i], start, strlen(start)) == 0)
            return arguments->items[i];
    return NULL;
}

static void a_vms_devices_are_stacked_and_summed(void **state)
{
    char directory[] = "/r", name[] = "n";
    struct history_subject subject = {.kind = HISTORY_VM, .name = name, .directory = directory};
    CLEANUP(graph_plan_release) struct graph_plan vm = {0}, host = {0};
    CLEANUP(history_strings_release) struct history_strings of_vm = {0}, of_host = {0};

    (void)state;
    assert_int_equal(history_strings_add(&subject.metrics, "setmov_bits-a"), 0);
    assert_int_equal(history_strings_add(&subject.metrics, "setmov_bits-b"), 0);
    assert_int_equal(graph_plan_make(kind_of(HISTORY_VM, "network"), &subject, &vm), 0);
    graph_plan_trim(&vm);
    assert_int_equal(graph_arguments(&vm, &frame, &of_vm), 0);
    assert_string_equal(find(&of_vm, "CDEF:uasum"), "CDEF:uasum=ua0,ua1,ADDNAN");
    assert_string_equal(find(&of_vm, "CDEF:mdasum"), "CDEF:mdasum=dasum,-1,*");
    assert_non_null(strstr(find(&of_vm, "AREA:ua1#"), ":STACK"));
    assert_null(strstr(find(&of_vm, "AREA:mda0#"), ":STACK"));

    /* A host's interfaces overlap: lines, and no sum. */
    subject.kind = HISTORY_HOST;
    assert_int_equal(graph_plan_make(kind_of(HISTORY_HOST, "network"), &subject, &host), 0);
    graph_plan_trim(&host);
    assert_int_equal(graph_arguments(&host, &frame, &of_host), 0);
    assert_null(find(&of_host, "AREA:"));
    assert_null(find(&of_host, "CDEF:uasum"));
    assert_non_null(find(&of_host, "LINE1.25:ua1#E69F00:"));
    assert_non_null(find(&of_host, "LINE1.25:mda1#E69F00:"));
    history_strings_release(&subject.metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_come_from_frame_and_kind),
        cmocka_unit_test(rows_are_stacked_and_the_headline_is_a_line),
        cmocka_unit_test(one_device_is_mirrored_and_the_unknown_is_called_so),
        cmocka_unit_test(a_vms_devices_are_stacked_and_summed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
