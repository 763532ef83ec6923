/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads each recorded tree of tests/data/host and compares all of the sample
 * with the file "expected" beside it. SETMOV_REGENERATE=1 writes those files
 * anew; look at the difference before you keep it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host_data.h"

#include <inttypes.h>
#include <math.h>

static void put(FILE *out, const char *name, uint64_t value)
{
    if (value == UNKNOWN_U64)
        fprintf(out, " %s=-", name);
    else
        fprintf(out, " %s=%" PRIu64, name, value);
}

static void put_times(FILE *out, const struct cpu_times *t)
{
    const uint64_t values[] = {t->user, t->nice,    t->system, t->idle,  t->iowait,
                               t->irq,  t->softirq, t->steal,  t->guest, t->guest_nice};
    static const char *const names[] = {"user", "nice",    "system", "idle",  "iowait",
                                        "irq",  "softirq", "steal",  "guest", "guest_nice"};

    for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
        put(out, names[i], values[i]);
    fprintf(out, " fields=%u\n", t->fields);
}

static void put_disk(FILE *out, const struct host_disk *disk)
{
    static const char *const kinds[] = {"whole", "partition", "stacked", "memory"};
    static const char *const names[] = {
        "read_ops",     "read_merged",   "read_sectors",   "read_ms",         "write_ops",
        "write_merged", "write_sectors", "write_ms",       "in_flight",       "io_ms",
        "weighted_ms",  "discard_ops",   "discard_merged", "discard_sectors", "discard_ms",
        "flush_ops",    "flush_ms"};
    uint64_t values[ARRAY_LENGTH(names)];

    assert_int_equal(sizeof(values), sizeof(disk->counters));
    memcpy(values, &disk->counters, sizeof(values));
    fprintf(out, "disk %s %u:%u %s", disk->name, disk->major, disk->minor, kinds[disk->kind]);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        put(out, names[i], values[i]);
    fputc('\n', out);
}

static void put_interface(FILE *out, const struct host_interface *interface)
{
    static const char *const names[] = {
        "rx_bytes",      "rx_packets",    "rx_errors",  "rx_dropped",   "rx_fifo",   "rx_frame",
        "rx_compressed", "rx_multicast",  "tx_bytes",   "tx_packets",   "tx_errors", "tx_dropped",
        "tx_fifo",       "tx_collisions", "tx_carrier", "tx_compressed"};
    uint64_t values[ARRAY_LENGTH(names)];

    assert_int_equal(sizeof(values), sizeof(interface->counters));
    memcpy(values, &interface->counters, sizeof(values));
    fprintf(out, "interface %s mac=%s", interface->name, interface->mac);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        put(out, names[i], values[i]);
    fputc('\n', out);
}

static void put_group(FILE *out, const char *name, double time_s)
{
    fprintf(out, "%s %s\n", name, isnan(time_s) ? "unknown" : "known");
}

static void put_sample(FILE *out, const struct host_sample *sample)
{
    const struct host_memory *m = &sample->memory;

    fprintf(out, "host_name %s\naddress %s\n", sample->host_name, sample->address);
    put_group(out, "cpu", sample->cpu.time_s);
    fprintf(out, "cpu all");
    put_times(out, &sample->cpu.all);
    for (size_t i = 0; i < sample->cpu.cpu_count; i++) {
        fprintf(out, "cpu %u", sample->cpu.cpus[i].number);
        put_times(out, &sample->cpu.cpus[i].times);
    }
    put_group(out, "memory", m->time_s);
    fprintf(out, "memory");
    put(out, "total", m->total);
    put(out, "free", m->free);
    put(out, "available", m->available);
    put(out, "buffers", m->buffers);
    put(out, "cached", m->cached);
    put(out, "slab_reclaimable", m->slab_reclaimable);
    put(out, "swap_total", m->swap_total);
    put(out, "swap_free", m->swap_free);
    fputc('\n', out);
    put_group(out, "disks", sample->disks.time_s);
    for (size_t i = 0; i < sample->disks.count; i++)
        put_disk(out, &sample->disks.disks[i]);
    put_group(out, "interfaces", sample->interfaces.time_s);
    for (size_t i = 0; i < sample->interfaces.count; i++)
        put_interface(out, &sample->interfaces.interfaces[i]);
}

/* The message names the tree by a path that depends on where the test runs. */
static void put_error(FILE *out, const struct error *err, const char *proc)
{
    const char *at = err->text, *hit;

    fputs("error ", out);
    while ((hit = strstr(at, proc)) != NULL) {
        fprintf(out, "%.*sPROC", (int)(hit - at), at);
        at = hit + strlen(proc);
    }
    fprintf(out, "%s\n", at);
}

/* All of what two readings of the tree give, as text; the second is to equal the first. */
static char *describe_tree(const char *name)
{
    struct host_sample samples[2] = {0};
    char proc[1024], sys[1024], *texts[2] = {NULL, NULL};
    struct host_reader *reader = NULL;
    struct error err = {{0}};

    host_case_path(proc, sizeof(proc), name, "proc");
    host_case_path(sys, sizeof(sys), name, "sys");
    assert_int_equal(host_reader_new(proc, sys, &reader, &err), 0);
    for (size_t i = 0; i < 2; i++) {
        size_t length;
        FILE *out = open_memstream(&texts[i], &length);

        assert_non_null(out);
        assert_int_equal(host_reader_read(reader, &samples[i], &err), 0);
        put_sample(out, &samples[i]);
        put_error(out, &err, proc);
        fclose(out);
        host_sample_release(&samples[i]);
    }
    assert_string_equal(texts[0], texts[1]);
    host_reader_free(reader);
    free(texts[1]);
    return texts[0];
}

static void tree_gives_what_is_expected(void **state)
{
    const char *name = *state;
    CLEANUP(file_buffer_release) struct file_buffer expected = {0};
    CLEANUP(cleanup_free) char *found = describe_tree(name);

    if (getenv("SETMOV_REGENERATE") != NULL) {
        char path[1024];
        FILE *out;

        host_case_path(path, sizeof(path), name, "expected");
        out = fopen(path, "we");
        assert_non_null(out);
        fputs(found, out);
        assert_int_equal(fclose(out), 0);
        return;
    }
    assert_int_equal(host_case_read(name, "expected", &expected), 0);
    assert_string_equal(found, expected.bytes);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_LENGTH(host_cases)];

    for (size_t i = 0; i < ARRAY_LENGTH(host_cases); i++) {
        tests[i] = (struct CMUnitTest){
            .name = host_cases[i],
            .test_func = tree_gives_what_is_expected,
            .initial_state = (void *)(uintptr_t)host_cases[i],
        };
    }
    return cmocka_run_group_tests_name("host trees", tests, NULL, NULL);
}
