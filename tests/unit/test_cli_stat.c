/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov stat`: its readings over a VM source and a /proc of the test's making, and what it shows. */
#include "cli/stat.h"

#include "usage_assert.h"

#include <unistd.h>

#define UUID "11111111-2fa1-11d2-883f-0016d3cca427"

/* ---- a VM source that says what the test has written down ---- */

/* One answer; the counters and their time make the rates. */
struct answer {
    bool connected, listed, complete;
    double time_s; /* of the CPU's counter; NaN: not read */
    uint64_t cpu_ns;
    bool lost; /* with the event of it */
};

static const struct answer *answers;
static size_t answer_count, asked;
static double freed_after_s;

int vm_source_new(const struct vm_source_options *options, struct vm_source **ret_source,
                  struct error *err)
{
    static char source;

    (void)options;
    (void)err;
    *ret_source = (struct vm_source *)&source;
    return 0;
}

int vm_source_sample(struct vm_source *source, const struct host_interfaces *interfaces,
                     struct vm_set *set)
{
    const struct answer *answer = &answers[asked++];

    (void)source;
    (void)interfaces;
    assert_true(asked <= answer_count);
    set->connected = answer->connected;
    set->listed = answer->listed;
    set->complete = answer->complete;
    set->host_cpus = 1;
    set->count = set->event_count = 0;
    if (answer->lost) {
        assert_int_equal(array_reserve(&set->events, &set->event_capacity, 1, sizeof(*set->events)),
                         0);
        set->events[0] = (struct vm_event){.kind = VM_EVENT_SOURCE_LOST, .text = "gone"};
        set->event_count = 1;
    }
    if (!answer->connected || !answer->listed)
        return 0;
    assert_int_equal(array_reserve(&set->vms, &set->capacity, 1, sizeof(*set->vms)), 0);
    set->vms[0] = (struct vm_sample){
        .name = "web",
        .uuid = UUID,
        .state = VM_STATE_RUNNING,
        .active = true,
        .answering = true,
        .cpu_time_s = answer->time_s,
        .cpu_ns = answer->cpu_ns,
        .vcpu_time_s = NAN,
        .disk_time_s = NAN,
        .interface_time_s = NAN,
        .memory.time_s = NAN,
    };
    set->count = 1;
    return 0;
}

void vm_source_cancel(struct vm_source *source)
{
    (void)source;
}

void vm_source_free(struct vm_source *source, double timeout_s)
{
    (void)source;
    freed_after_s = timeout_s;
}

void vm_set_release(struct vm_set *set)
{
    free(set->vms);
    free(set->events);
    *set = (struct vm_set){0};
}

/* ---- a reading after the other ---- */

struct fixture {
    char root[64];
    struct stat_options options;
    struct stat_sampler sampler;
};

/* Writes <root>/name; NULL takes the file away. */
static void put(const struct fixture *fixture, const char *name, const char *text)
{
    char path[128];

    assert_true(string_format(path, sizeof(path), "%s/%s", fixture->root, name));
    if (!text) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    string_copy(fixture->root, sizeof(fixture->root), "/tmp/setmov-stat-XXXXXX");
    if (!mkdtemp(fixture->root))
        return -1;
    fixture->options = (struct stat_options){
        .vms = true,
        .proc_root = fixture->root,
        .sys_root = "/nonexistent",
        .deadline_s = 3,
        .overhead_bits = 20,
    };
    put(fixture, "stat", "cpu  100 0 0 100\n");
    put(fixture, "meminfo", "MemTotal: 10 kB\nMemFree: 4 kB\n");
    put(fixture, "diskstats", "8 0 sda 1 2 3 4 5 6 7 8 0 9 10\n");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"stat", "meminfo", "diskstats"};
    char path[128];

    stat_sampler_release(&fixture->sampler);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        string_format(path, sizeof(path), "%s/%s", fixture->root, names[i]);
        unlink(path);
    }
    rmdir(fixture->root);
    free(fixture);
    return 0;
}

static void begin(struct fixture *fixture, const struct answer *given, size_t count)
{
    struct error err = {""};

    answers = given;
    answer_count = count;
    asked = 0;
    assert_int_equal(stat_sampler_init(&fixture->sampler, &fixture->options, &err), 0);
}

static struct stat_report take(struct fixture *fixture)
{
    struct error err = {""};

    assert_int_equal(stat_sampler_take(&fixture->sampler, &err), 0);
    return stat_sampler_report(&fixture->sampler);
}

static void expect_json(const struct stat_report *report, const char *part)
{
    CLEANUP(cleanup_free) char *json = NULL;

    assert_int_equal(stat_json(report, &json), 0);
    if (!strstr(json, part))
        fail_msg("no %s in %s", part, json);
}

static void expect_table(const struct stat_report *report, const char *part)
{
    static const struct stat_table_options options = {.all = true};
    CLEANUP(cleanup_free) char *table = NULL;

    assert_int_equal(stat_table(report, &options, &table), 0);
    if (!strstr(table, part))
        fail_msg("no %s in %s", part, table);
}

/* ---- VMs ---- */

static void without_an_answer_nothing_is_told_of_vms(void **state)
{
    struct fixture *fixture = *state;
    static const struct answer given[] = {
        {.connected = true},
        {.connected = true},
        {.connected = true, .lost = true},
        {.connected = true, .listed = true, .complete = true, .time_s = 1},
    };

    begin(fixture, given, ARRAY_LENGTH(given));
    struct stat_report report = take(fixture);
    assert_int_equal(asked, 3);
    expect_json(&report, "\"vms\":null,\"vms_running\":null}");
    expect_table(&report, "  VMs unknown");
    report = take(fixture);
    expect_json(&report, "\"vms\":1,\"vms_running\":1}");
    expect_table(&report, "  1 VM, 1 running");
}

/* Else the first sample would have nothing to compare with. */
static void the_first_reading_waits_for_all_of_the_answer(void **state)
{
    struct fixture *fixture = *state;
    static const struct answer given[] = {
        {.connected = false},
        {.connected = true},
        {.connected = true, .listed = true, .time_s = NAN},
        {.connected = true, .listed = true, .complete = true, .time_s = 10, .cpu_ns = 0},
        {.connected = true, .listed = true, .complete = true, .time_s = 11, .cpu_ns = 500000000},
    };

    begin(fixture, given, ARRAY_LENGTH(given));
    take(fixture);
    assert_int_equal(asked, 4);
    struct stat_report report = take(fixture);
    assert_near(report.vm_usages[0].cpu_percent, 50);
    assert_int_equal(asked, 5);
}

/* A VM that never answers does not keep the others waiting for long. */
static void the_first_reading_gives_up(void **state)
{
    struct fixture *fixture = *state;
    static const struct answer given[] = {
        {.connected = true, .listed = true, .time_s = 1},
        {.connected = true, .listed = true},
        {.connected = true, .listed = true},
        {.connected = true, .listed = true},
        {.connected = true, .listed = true},
    };

    begin(fixture, given, ARRAY_LENGTH(given));
    take(fixture);
    assert_in_range(asked, 2, 4);
}

/* 3 s of CPU time in the 6 s of the gap: the first figures after it are means over it. */
static void a_gap_costs_no_extra_sample(void **state)
{
    struct fixture *fixture = *state;
    static const struct answer given[] = {
        {.connected = true, .listed = true, .complete = true, .time_s = 10, .cpu_ns = 0},
        {.connected = true, .listed = true, .complete = true, .time_s = 12, .cpu_ns = 2000000000},
        {.connected = false, .listed = true, .lost = true},
        {.connected = false, .listed = true},
        {.connected = true, .listed = true, .complete = true, .time_s = 18, .cpu_ns = 5000000000},
        {.connected = true, .listed = true, .complete = true, .time_s = 20, .cpu_ns = 5000000000},
    };

    begin(fixture, given, ARRAY_LENGTH(given));
    take(fixture);
    struct stat_report report = take(fixture);
    assert_near(report.vm_usages[0].cpu_percent, 100);
    for (unsigned i = 0; i < 2; i++) {
        report = take(fixture);
        assert_int_equal(report.set->count, 0);
        expect_json(&report, "\"vms\":null,");
    }
    report = take(fixture);
    assert_near(report.vm_usages[0].cpu_percent, 50);
    report = take(fixture);
    assert_near(report.vm_usages[0].cpu_percent, 0);
}

static void the_end_does_not_wait_for_a_whole_deadline(void **state)
{
    struct fixture *fixture = *state;

    begin(fixture, NULL, 0);
    stat_sampler_release(&fixture->sampler);
    assert_near(freed_after_s, 0.5);
}

/* ---- the host ---- */

static void a_missed_reading_of_the_host_costs_one_sample(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.vms = false;
    begin(fixture, NULL, 0);
    take(fixture);
    put(fixture, "stat", NULL);
    put(fixture, "diskstats", NULL);
    struct stat_report report = take(fixture);
    assert_true(isnan(report.host_usage->cpu.busy));
    assert_near(report.host_usage->memory_percent, 60);
    /* 30 busy and 10 idle since the first reading */
    put(fixture, "stat", "cpu  130 0 0 110\n");
    put(fixture, "diskstats", "8 0 sda 1 2 3 4 5 6 7 8 0 9 10\n");
    report = take(fixture);
    assert_near(report.host_usage->cpu.busy, 75);
    assert_near(report.host_usage->disks[0].read_bytes_per_s, 0);
}

/* ---- names ---- */

/* DEL, C1 and U+202E are escaped, and what they were comes out of it again. */
static void json_holds_no_control_characters(void **state)
{
    struct host_sample host = {.host_name = "a\x7f"
                                            "b\xc2\x9b"
                                            "c\xe2\x80\xae"
                                            "d\xff"
                                            "\xc3\xa9\n"};
    struct host_usage usage = {0};
    struct stat_report report = {.host = &host, .host_usage = &usage};

    (void)state;
    expect_json(&report, "\"name\":\"a\\u007fb\\u009bc\\u202ed\xef\xbf\xbd\xc3\xa9\\n\"");
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(without_an_answer_nothing_is_told_of_vms),
        WITH_FIXTURE(the_first_reading_waits_for_all_of_the_answer),
        WITH_FIXTURE(the_first_reading_gives_up),
        WITH_FIXTURE(a_gap_costs_no_extra_sample),
        WITH_FIXTURE(the_end_does_not_wait_for_a_whole_deadline),
        WITH_FIXTURE(a_missed_reading_of_the_host_costs_one_sample),
        cmocka_unit_test(json_holds_no_control_characters),
    };

    return cmocka_run_group_tests_name("cli, stat", tests, NULL, NULL);
}
