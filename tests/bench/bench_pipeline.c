/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cost of setmov without libvirt: a recorded bulk answer of 1000 VMs goes
 * through the field parser, the formulas and the plugin's dispatch, to a stub
 * that copies each value list as collectd's does. Prints ms a cycle (to reach:
 * under 5) and fails when memory grows over 10,000 cycles.
 *
 * usage: bench_pipeline [VMS [CYCLES]]
 */
#include "../../plugins/setmov_config.h"
#include "../../plugins/setmov_vm_metrics.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP_CYCLES   100
#define TARGET_MS        5.0
#define GROWTH_MAX_BYTES (1024 * 1024)

/* ---- what collectd would do ------------------------------------------------- */

char *hostname_g = (char[]){"benchhost"};

/* As collectd's queue: one node and one array of values a list, freed when written. */
int plugin_dispatch_values(value_list_t const *vl)
{
    value_list_t *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return -1;
    memcpy(copy, vl, sizeof(*copy));
    copy->values = malloc(vl->values_len * sizeof(*vl->values));
    if (copy->values != NULL)
        memcpy(copy->values, vl->values, vl->values_len * sizeof(*vl->values));
    /* Or the compiler would see that nobody looks. */
    __asm__ volatile("" : : "r"(copy), "r"(copy->values) : "memory");
    free(copy->values);
    free(copy);
    return 0;
}

void plugin_log(int level, const char *format, ...)
{
    (void)level;
    fprintf(stderr, "log: %s\n", format);
}

meta_data_t *meta_data_create(void)
{
    return NULL;
}

void meta_data_destroy(meta_data_t *md)
{
    (void)md;
}

int meta_data_add_string(meta_data_t *md, const char *key, const char *value)
{
    (void)md;
    (void)key;
    (void)value;
    return 0;
}

/* ---- the recorded answer ------------------------------------------------------ */

#define U VM_VALUE_UNSIGNED
#define S VM_VALUE_STRING
#define I VM_VALUE_SIGNED

/* One running guest of libvirt 9.0 with two disks and two taps; `step` a cycle makes it live. */
static const struct recorded {
    const char *field;
    enum vm_value_kind kind;
    uint64_t value;
    uint64_t step;
    const char *string;
} answer[] = {
    {"state.state", I, 1, 0, NULL},
    {"state.reason", I, 1, 0, NULL},
    {"cpu.time", U, 2390000000, 130000000, NULL},
    {"cpu.user", U, 1550000000, 90000000, NULL},
    {"cpu.system", U, 550000000, 40000000, NULL},
    {"cpu.cache.monitor.count", U, 0, 0, NULL},
    {"cpu.haltpoll.success.time", U, 0, 0, NULL},
    {"cpu.haltpoll.fail.time", U, 0, 0, NULL},
    {"balloon.current", U, 131072, 0, NULL},
    {"balloon.maximum", U, 131072, 0, NULL},
    {"balloon.swap_in", U, 0, 0, NULL},
    {"balloon.swap_out", U, 0, 0, NULL},
    {"balloon.major_fault", U, 0, 0, NULL},
    {"balloon.minor_fault", U, 55, 3, NULL},
    {"balloon.unused", U, 66468, 0, NULL},
    {"balloon.available", U, 94788, 0, NULL},
    {"balloon.usable", U, 72116, 0, NULL},
    {"balloon.last-update", U, 1795230777, 1, NULL},
    {"balloon.disk_caches", U, 1372, 0, NULL},
    {"balloon.hugetlb_pgalloc", U, 0, 0, NULL},
    {"balloon.hugetlb_pgfail", U, 0, 0, NULL},
    {"balloon.rss", U, 228236, 0, NULL},
    {"vcpu.current", U, 1, 0, NULL},
    {"vcpu.maximum", U, 1, 0, NULL},
    {"vcpu.0.state", I, 1, 0, NULL},
    {"vcpu.0.time", U, 1830000000, 120000000, NULL},
    {"vcpu.0.wait", U, 0, 0, NULL},
    {"vcpu.0.delay", U, 12033818, 40000, NULL},
    {"net.count", U, 2, 0, NULL},
#define NET(n)                                                                                     \
    {"net." n ".name", S, 0, 0, "vnet" n}, {"net." n ".rx.bytes", U, 266, 70000, NULL},            \
        {"net." n ".rx.pkts", U, 3, 100, NULL}, {"net." n ".rx.errs", U, 0, 0, NULL},              \
        {"net." n ".rx.drop", U, 0, 0, NULL}, {"net." n ".tx.bytes", U, 500000, 1400000, NULL},    \
        {"net." n ".tx.pkts", U, 1000, 1000, NULL}, {"net." n ".tx.errs", U, 0, 0, NULL},          \
    {                                                                                              \
        "net." n ".tx.drop", U, 0, 0, NULL                                                         \
    }
    NET("0"),
    NET("1"),
    {"block.count", U, 2, 0, NULL},
#define BLOCK(n, target)                                                                           \
    {"block." n ".name", S, 0, 0, target},                                                         \
        {"block." n ".path", S, 0, 0, "/var/lib/libvirt/images/guest-" target ".raw"},             \
        {"block." n ".backingIndex", U, 2, 0, NULL}, {"block." n ".rd.reqs", U, 1, 10, NULL},      \
        {"block." n ".rd.bytes", U, 512, 40960, NULL},                                             \
        {"block." n ".rd.times", U, 898809, 2000000, NULL},                                        \
        {"block." n ".wr.reqs", U, 320, 20, NULL},                                                 \
        {"block." n ".wr.bytes", U, 20971520, 1310720, NULL},                                      \
        {"block." n ".wr.times", U, 35841488, 3000000, NULL},                                      \
        {"block." n ".fl.reqs", U, 0, 1, NULL}, {"block." n ".fl.times", U, 0, 1000, NULL},        \
        {"block." n ".allocation", U, 0, 0, NULL}, {"block." n ".capacity", U, 67108864, 0, NULL}, \
    {                                                                                              \
        "block." n ".physical", U, 67108864, 0, NULL                                               \
    }
    BLOCK("0", "vda"),
    BLOCK("1", "vdb"),
    {"dirtyrate.calc_status", I, 0, 0, NULL},
    {"dirtyrate.calc_start_time", I, 0, 0, NULL},
    {"dirtyrate.calc_period", I, 0, 0, NULL},
    {"dirtyrate.calc_mode", S, 0, 0, "page-sampling"},
};

static int parse_answer(struct vm_sample *vm, size_t number, uint64_t cycle)
{
    unsigned groups = 0;
    int status = 0;
    vm_sample_clear(vm);
    string_format(vm->name, sizeof(vm->name), "guest%05zu", number);
    string_format(vm->uuid, sizeof(vm->uuid), "00000000-0000-4000-8000-%012zu", number);
    vm->incarnation = 1;
    vm->active = true;
    vm->answering = true;
    for (size_t i = 0; i < ARRAY_LENGTH(answer) && status == 0; i++) {
        const struct recorded *field = &answer[i];
        struct vm_value value = {.kind = field->kind, .u = field->value + cycle * field->step};
        if (field->kind == VM_VALUE_STRING)
            value.string = field->string;
        status = vm_sample_apply(vm, field->field, &value, &groups);
    }
    vm_sample_finish(vm);
    double time_s = 1000.0 + (double)cycle;
    vm->cpu_time_s = vm->vcpu_time_s = vm->disk_time_s = vm->interface_time_s = time_s;
    vm->memory.time_s = time_s;
    vm->memory.stale = false;
    return status;
}

/* ---- measuring ------------------------------------------------------------------ */

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static long resident_bytes(void)
{
    struct file_buffer buffer = {0};
    uint64_t pages = 0;
    if (file_read(AT_FDCWD, "/proc/self/statm", &buffer) == 0) {
        struct text text = text_of(buffer.bytes, buffer.length);
        struct text word;
        if (text_next_word(&text, &word))
            text_next_u64(&text, &pages);
    }
    file_buffer_release(&buffer);
    return (long)pages * sysconf(_SC_PAGESIZE);
}

struct bench {
    struct setmov_config config;
    struct vm_metrics metrics;
    struct emitter emitter;
    struct vm_set sets[2];
    double parse_s, dispatch_s;
};

static int cycle_once(struct bench *bench, size_t vms, uint64_t cycle)
{
    struct vm_set *after = &bench->sets[cycle % 2];
    struct vm_set *before = &bench->sets[(cycle + 1) % 2];
    double start_s = cpu_s();
    after->connected = after->complete = after->listed = true;
    after->host_cpus = 64;
    after->count = vms;
    for (size_t i = 0; i < vms; i++)
        if (parse_answer(&after->vms[i], i, cycle) < 0)
            return -1;
    double parsed_s = cpu_s();
    if (vm_metrics_update(&bench->metrics, after) < 0)
        return -1;
    emitter_begin(&bench->emitter, TIME_T_TO_CDTIME_T(1000 + (time_t)cycle), TIME_T_TO_CDTIME_T(1));
    if (vm_metrics_dispatch(&bench->metrics, &bench->emitter, before, after) < 0)
        return -1;
    bench->parse_s += parsed_s - start_s;
    bench->dispatch_s += cpu_s() - parsed_s;
    return 0;
}

static int measure(struct bench *bench, size_t vms, uint64_t cycles)
{
    long warm = 0;
    uint64_t dispatched = 0;
    for (uint64_t cycle = 0; cycle < cycles; cycle++) {
        if (cycle == WARM_UP_CYCLES) {
            warm = resident_bytes();
            bench->parse_s = bench->dispatch_s = 0;
            dispatched = bench->emitter.dispatched;
        }
        if (cycle_once(bench, vms, cycle) < 0) {
            fprintf(stderr, "bench_pipeline: cycle %ju failed\n", (uintmax_t)cycle);
            return 1;
        }
    }
    double measured = (double)(cycles - WARM_UP_CYCLES);
    long growth = resident_bytes() - warm;
    double total_ms = (bench->parse_s + bench->dispatch_s) * 1000 / measured;
    printf("%zu VMs, %zu fields each, %.0f values a cycle, %ju cycles, CPU time\n", vms,
           ARRAY_LENGTH(answer), (double)(bench->emitter.dispatched - dispatched) / measured,
           (uintmax_t)cycles);
    printf("  fields to samples        %7.3f ms a cycle\n", bench->parse_s * 1000 / measured);
    printf("  formulas and dispatch    %7.3f ms a cycle\n", bench->dispatch_s * 1000 / measured);
    printf("  together                 %7.3f ms a cycle (target: under %.0f)\n", total_ms,
           TARGET_MS);
    printf("  resident memory          %7ld KiB at cycle %d, %+ld KiB since\n", warm / 1024,
           WARM_UP_CYCLES, growth / 1024);
    /* A missed time is a figure, not a failure: the machine may be busy. Memory that grows is one. */
    if (growth >= GROWTH_MAX_BYTES)
        fprintf(stderr, "bench_pipeline: resident memory grew by %ld KiB\n", growth / 1024);
    return growth < GROWTH_MAX_BYTES ? 0 : 1;
}

int main(int argc, char **argv)
{
    uint64_t vms = 1000;
    uint64_t cycles = 10000;
    struct bench bench = {.metrics = {.vms = 0}};
    struct error err;
    if ((argc > 1 && parse_u64(argv[1], &vms) < 0) ||
        (argc > 2 && parse_u64(argv[2], &cycles) < 0) || vms == 0 || vms > 1000000 ||
        cycles <= WARM_UP_CYCLES) {
        fprintf(stderr, "usage: bench_pipeline [VMS [CYCLES above %d]]\n", WARM_UP_CYCLES);
        return 2;
    }
    setmov_config_init(&bench.config);
    if (setmov_config_complete(&bench.config, 1, &err) < 0)
        return 1;
    bench.metrics.config = &bench.config;
    for (size_t i = 0; i < 2; i++) {
        bench.sets[i].vms = calloc(vms, sizeof(*bench.sets[i].vms));
        bench.sets[i].capacity = vms;
        if (bench.sets[i].vms == NULL)
            return 1;
    }
    int status = measure(&bench, vms, cycles);
    vm_metrics_release(&bench.metrics);
    setmov_config_release(&bench.config);
    for (size_t i = 0; i < 2; i++)
        vm_set_release(&bench.sets[i]);
    return status;
}
