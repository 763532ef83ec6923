/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pure side of history/: directories, names, file names, plans, SVG. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph_kind_of.h"
#include "setmov/history.h"

#define UUID "c7a5fdbd-cdaf-9455-926a-d65c16db1809"

static void expect_place(const char *host, const char *plugin, bool has_host, int kind,
                         const char *name, const char *of_host)
{
    enum history_kind got_kind = HISTORY_HOST;
    const char *got_name = NULL, *got_host = NULL;

    if (kind < 0) {
        assert_false(history_classify(host, plugin, has_host, &got_kind, &got_name, &got_host));
        return;
    }
    assert_true(history_classify(host, plugin, has_host, &got_kind, &got_name, &got_host));
    assert_int_equal(got_kind, kind);
    assert_string_equal(got_name, name);
    if (of_host)
        assert_string_equal(got_host, of_host);
    else
        assert_null(got_host);
}

static void directories_tell_hosts_from_vms(void **state)
{
    (void)state;
    expect_place("node1", "setmov-host", true, HISTORY_HOST, "node1", NULL);
    expect_place("web01", "setmov", false, HISTORY_VM, "web01", NULL);
    expect_place("node1", "setmov-web01", true, HISTORY_VM, "web01", "node1");
    expect_place("node1", "setmov-web01", false, HISTORY_VM, "web01", "node1");
    expect_place("node1", "setmov-a-b", true, HISTORY_VM, "a-b", "node1");
    expect_place("web01", "setmov-" UUID, false, HISTORY_VM, "web01", NULL);
    expect_place("node1", "setmov-" UUID, true, HISTORY_VM, UUID, "node1");
    expect_place("node1", "setmov-self", true, -1, NULL, NULL);
    expect_place("node1", "setmov-", true, -1, NULL, NULL);
    expect_place("node1", "setmovx", true, -1, NULL, NULL);
    expect_place("node1", "cpu-0", true, -1, NULL, NULL);
}

static void add_subject(struct history_list *list, enum history_kind kind, const char *name,
                        const char *host)
{
    struct history_subject *subject;

    assert_int_equal(
        array_reserve(&list->subjects, &list->capacity, list->count + 1, sizeof(*list->subjects)),
        0);
    subject = &list->subjects[list->count++];
    *subject = (struct history_subject){.kind = kind, .name = strdup(name)};
    subject->host = host ? strdup(host) : NULL;
    subject->directory = strdup("/rrd");
}

static void every_subject_gets_a_file_name_of_its_own(void **state)
{
    CLEANUP(history_list_release) struct history_list list = {0};

    (void)state;
    add_subject(&list, HISTORY_VM, "web", "node2");
    add_subject(&list, HISTORY_VM, "web", "node1");
    add_subject(&list, HISTORY_VM, "node1", NULL);
    add_subject(&list, HISTORY_HOST, "node1", NULL);
    add_subject(&list, HISTORY_VM, "a b", NULL);
    add_subject(&list, HISTORY_VM, "a:b", NULL);
    add_subject(&list, HISTORY_VM, "a%b", NULL);
    assert_int_equal(history_list_finish(&list), 0);

    assert_int_equal(list.subjects[0].kind, HISTORY_HOST);
    assert_string_equal(list.subjects[0].stem, "node1");
    assert_string_equal(list.subjects[1].name, "a b");
    assert_string_equal(list.subjects[1].stem, "a_b");
    assert_string_equal(list.subjects[2].stem, "a_b-vm");
    assert_string_equal(list.subjects[3].stem, "a_b-2");
    assert_string_equal(list.subjects[4].name, "node1");
    assert_string_equal(list.subjects[4].stem, "node1-vm");
    assert_string_equal(list.subjects[5].stem, "web");
    assert_string_equal(list.subjects[6].stem, "node2-web");
}

static void expect_stem(const char *name, const char *expected)
{
    CLEANUP(cleanup_free) char *stem = history_safe_stem(name);

    assert_non_null(stem);
    assert_string_equal(stem, expected);
}

static void file_names_are_safe(void **state)
{
    char longest[400];
    CLEANUP(cleanup_free) char *stem = NULL;

    (void)state;
    expect_stem("web-01.example.org", "web-01.example.org");
    expect_stem("..", "_.");
    expect_stem("-rf", "_rf");
    expect_stem("", "_");
    expect_stem("a b:c%d\ne'f\"g$h\\i*j", "a_b_c_d_e_f_g_h_i_j");
    expect_stem("café", "café");
    expect_stem("caf\xe9", "caf_");
    expect_stem((char[]){'a', '\xe2', '\x80', '\xae', 'b', '\0'}, "a_b"); /* right to left */
    expect_stem((char[]){'a', '\xd8', '\x9c', 'b', '\0'}, "a_b");         /* U+061C: a mark of it */
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    stem = history_safe_stem(longest);
    assert_non_null(stem);
    assert_int_equal(strlen(stem), 200);
}

static void expect_shown(const char *name, size_t columns, bool legend, const char *expected)
{
    char shown[64];

    if (legend)
        history_show_legend(name, columns, shown, sizeof(shown));
    else
        history_show(name, columns, shown, sizeof(shown));
    assert_string_equal(shown, expected);
}

static void names_are_shown_without_what_has_a_meaning(void **state)
{
    char tiny[4];

    (void)state;
    expect_shown("web01", 10, false, "web01");
    expect_shown("a:b\\c%d<e>&", 20, false, "a:b\\c%d<e>&");
    expect_shown("a:b\\c%d<e>&", 20, true, "a\\:b∖c%d<e>&");
    expect_shown("a\nb\x1b[31m\x7f", 20, false, "a?b?[31m?");
    expect_shown("bad\xff\xc0\x80"
                 "end\xe2\x82",
                 20, false, "bad???end??");
    expect_shown("\xed\xa0\x80", 20, false, "???"); /* a surrogate */
    expect_shown("\xf0\x9f\x90\xa7", 20, false, "\xf0\x9f\x90\xa7");
    expect_shown("0123456789", 10, false, "0123456789");
    expect_shown("0123456789a", 10, false, "012345678…");
    history_show("0123456789", 10, tiny, sizeof(tiny));
    assert_string_equal(tiny, "…");
}

static void paths_are_escaped_for_librrd(void **state)
{
    CLEANUP(cleanup_free) char *escaped = history_escape_path("/r/a:b\\c=%s/x.rrd");

    (void)state;
    assert_non_null(escaped);
    assert_string_equal(escaped, "/r/a\\:b\\c=%s/x.rrd");
}

static void an_svg_gets_title_and_description(void **state)
{
    static const char svg[] = "<?xml version=\"1.0\"?>\n<svg width=\"1\">\n<g/></svg>";
    size_t length = 0;
    CLEANUP(cleanup_free)
    char *described = history_describe_svg(svg, strlen(svg), "a<b>&c", "when", &length);

    (void)state;
    assert_non_null(described);
    assert_string_equal(described,
                        "<?xml version=\"1.0\"?>\n<svg width=\"1\">\n"
                        "<title>a&lt;b&gt;&amp;c</title>\n<desc>when</desc>\n<g/></svg>");
    assert_int_equal(length, strlen(described));
    assert_null(history_describe_svg("<svg", 4, "t", "d", &length));
    assert_null(history_describe_svg("<svg/>", 6, "t", "d", &length));
    assert_null(history_describe_svg("\x89PNG", 4, "t", "d", &length));
}

/* A subject in /r whose metrics are `prefix` and a number of two digits, and "total". */
static void make_devices(struct history_subject *subject, const char *prefix, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(history_strings_add(&subject->metrics, "%s%02u", prefix, i), 0);
    assert_int_equal(history_strings_add(&subject->metrics, "%stotal", prefix), 0);
}

static void too_many_devices_leave_the_heaviest(void **state)
{
    char directory[] = "/r", name[] = "n";
    struct history_subject host = {.kind = HISTORY_HOST, .name = name, .directory = directory};
    CLEANUP(graph_plan_release) struct graph_plan plan = {0};

    (void)state;
    make_devices(&host, "setmov_disk-", 50);
    assert_int_equal(graph_plan_make(kind_of(HISTORY_HOST, "disk"), &host, &plan), 0);
    assert_int_equal(plan.count, 51);
    assert_string_equal(plan.series[7].path, "/r/setmov_disk-07.rrd");
    for (size_t i = 0; i < plan.count; i++)
        plan.series[i].weight = i % 7 == 3 ? (double)(100 + i) : i == 5 ? NAN : 0;
    graph_plan_trim(&plan);

    assert_int_equal(plan.count, GRAPH_DEVICES_MAX + 1);
    assert_int_equal(plan.left_out, 44);
    assert_string_equal(plan.series[0].device, "total");
    assert_string_equal(plan.series[1].device, "45");
    assert_string_equal(plan.series[2].device, "38");
    assert_string_equal(plan.series[6].device, "10");
    history_strings_release(&host.metrics);
}

static void a_vms_sum_counts_devices_that_are_not_drawn(void **state)
{
    char directory[] = "/r", name[] = "n";
    struct history_subject vm = {.kind = HISTORY_VM, .name = name, .directory = directory};
    CLEANUP(graph_plan_release) struct graph_plan plan = {0};

    (void)state;
    make_devices(&vm, "setmov_bits-", 9);
    assert_int_equal(graph_plan_make(kind_of(HISTORY_VM, "network"), &vm, &plan), 0);
    graph_plan_trim(&plan);
    assert_int_equal(plan.count, 10);
    assert_int_equal(plan.left_out, 4);
    assert_true(plan.complete);
    assert_false(plan.series[GRAPH_DEVICES_MAX - 1].hidden);
    assert_true(plan.series[GRAPH_DEVICES_MAX].hidden);
    history_strings_release(&vm.metrics);
}

static void a_subject_without_the_metric_has_no_plan(void **state)
{
    char directory[] = "/r", name[] = "n";
    struct history_subject vm = {.kind = HISTORY_VM, .name = name, .directory = directory};
    CLEANUP(graph_plan_release) struct graph_plan plan = {0};

    (void)state;
    assert_int_equal(history_strings_add(&vm.metrics, "setmov_disk-"), 0);
    assert_int_equal(graph_plan_make(kind_of(HISTORY_VM, "disk"), &vm, &plan), 0);
    assert_int_equal(plan.count, 0);
    history_strings_release(&vm.metrics);
}

static void suffixes_keep_file_names_apart(void **state)
{
    size_t count;
    const struct graph_kind *kinds = graph_kinds(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_null(strchr(kinds[i].suffix, '-'));
        assert_int_equal(!kinds[i].rows, !!kinds[i].pair);
        for (size_t j = 0; j < i; j++)
            assert_false(kinds[i].subject == kinds[j].subject &&
                         strcmp(kinds[i].suffix, kinds[j].suffix) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directories_tell_hosts_from_vms),
        cmocka_unit_test(every_subject_gets_a_file_name_of_its_own),
        cmocka_unit_test(file_names_are_safe),
        cmocka_unit_test(names_are_shown_without_what_has_a_meaning),
        cmocka_unit_test(paths_are_escaped_for_librrd),
        cmocka_unit_test(an_svg_gets_title_and_description),
        cmocka_unit_test(too_many_devices_leave_the_heaviest),
        cmocka_unit_test(a_vms_sum_counts_devices_that_are_not_drawn),
        cmocka_unit_test(a_subject_without_the_metric_has_no_plan),
        cmocka_unit_test(suffixes_keep_file_names_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
