/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recorded answers of virConnectGetAllDomainStats, as `virsh domstats` prints
 * them, against all of the sample that comes of them (NAME.expected beside
 * NAME.domstats in tests/data/vm; SETMOV_REGENERATE=1 writes those anew), and
 * single fields of every type.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_data.h"

#include "setmov/vm.h"
#include "vm/sample.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

static const char *const recorded[] = {
    "running", "paused", "hung", "backing", "shut-off", "test-driver", "broken", "new-fields",
};

struct answer {
    struct vm_sample *vms;
    size_t count, capacity;
};

static void release_answer(struct answer *answer)
{
    for (size_t i = 0; i < answer->capacity; i++)
        vm_sample_release(&answer->vms[i]);
    free(answer->vms);
}

static void put(FILE *out, const char *name, uint64_t value)
{
    if (value == UNKNOWN_U64)
        fprintf(out, " %s=-", name);
    else
        fprintf(out, " %s=%" PRIu64, name, value);
}

static void put_memory(FILE *out, const struct vm_memory *m)
{
    fprintf(out, "memory");
    put(out, "current", m->current);
    put(out, "maximum", m->maximum);
    put(out, "available", m->available);
    put(out, "unused", m->unused);
    put(out, "usable", m->usable);
    put(out, "disk_caches", m->disk_caches);
    put(out, "rss", m->rss);
    put(out, "swap_in", m->swap_in);
    put(out, "swap_out", m->swap_out);
    put(out, "major_fault", m->major_fault);
    put(out, "minor_fault", m->minor_fault);
    put(out, "last_update", m->last_update);
    fputc('\n', out);
}

static void put_disk(FILE *out, const struct vm_disk *d)
{
    fprintf(out, "disk %s path=%s", d->name, d->path);
    put(out, "read_ops", d->read_ops);
    put(out, "read_bytes", d->read_bytes);
    put(out, "read_ns", d->read_ns);
    put(out, "write_ops", d->write_ops);
    put(out, "write_bytes", d->write_bytes);
    put(out, "write_ns", d->write_ns);
    put(out, "flush_ops", d->flush_ops);
    put(out, "flush_ns", d->flush_ns);
    put(out, "errors", d->errors);
    put(out, "allocation", d->allocation);
    put(out, "capacity", d->capacity);
    put(out, "physical", d->physical);
    fputc('\n', out);
}

static void put_interface(FILE *out, const struct vm_interface *n)
{
    fprintf(out, "interface %s mac=%s", n->name, n->mac);
    put(out, "rx_bytes", n->rx_bytes);
    put(out, "rx_packets", n->rx_packets);
    put(out, "rx_errors", n->rx_errors);
    put(out, "rx_dropped", n->rx_dropped);
    put(out, "tx_bytes", n->tx_bytes);
    put(out, "tx_packets", n->tx_packets);
    put(out, "tx_errors", n->tx_errors);
    put(out, "tx_dropped", n->tx_dropped);
    fputc('\n', out);
}

static void put_vm(FILE *out, const struct vm_sample *vm)
{
    fprintf(out, "vm \"%s\" %s reason=%d%s counters=%s\ncpu", vm->name, vm_state_text(vm->state),
            vm->reason, vm->active ? " active" : "",
            vm_sample_has_disk_counters(vm) ? "yes" : "no");
    put(out, "ns", vm->cpu_ns);
    fprintf(out, " vcpus=%u\n", vm->vcpu_current);
    for (size_t i = 0; i < vm->vcpu_count; i++) {
        fprintf(out, "vcpu %u", vm->vcpus[i].number);
        put(out, "ns", vm->vcpus[i].time_ns);
        put(out, "wait_ns", vm->vcpus[i].wait_ns);
        put(out, "delay_ns", vm->vcpus[i].delay_ns);
        fputc('\n', out);
    }
    put_memory(out, &vm->memory);
    for (size_t i = 0; i < vm->disk_count; i++)
        put_disk(out, &vm->disks[i]);
    for (size_t i = 0; i < vm->interface_count; i++)
        put_interface(out, &vm->interfaces[i]);
}

static void recorded_answer_gives_what_is_expected(void **state)
{
    const char *name = *state;
    CLEANUP(file_buffer_release) struct file_buffer text = {NULL, 0, 0};
    CLEANUP(release_answer) struct answer answer = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *found = NULL;
    size_t length;
    char leaf[256];
    FILE *out;

    string_format(leaf, sizeof(leaf), "%s.domstats", name);
    vm_data_read(leaf, &text);
    assert_int_equal(vm_parse_domstats(text_of(text.bytes, text.length), &answer.vms, &answer.count,
                                       &answer.capacity, NULL),
                     0);
    out = open_memstream(&found, &length);
    assert_non_null(out);
    for (size_t i = 0; i < answer.count; i++)
        put_vm(out, &answer.vms[i]);
    assert_int_equal(fclose(out), 0);
    vm_data_expect(leaf, found);
}

/* What must hold of any sample, whatever the text. */
static void check_sound(const struct vm_sample *vm)
{
    assert_true(strnlen(vm->name, sizeof(vm->name)) < sizeof(vm->name));
    assert_true(isnan(vm->cpu_time_s) && isnan(vm->disk_time_s) && isnan(vm->interface_time_s));
    for (size_t i = 0; i < vm->disk_count; i++) {
        assert_in_range(strnlen(vm->disks[i].name, VM_DEVICE_NAME_BYTES), 1,
                        VM_DEVICE_NAME_BYTES - 1);
        assert_true(strnlen(vm->disks[i].path, VM_PATH_BYTES) < VM_PATH_BYTES);
    }
    for (size_t i = 0; i < vm->interface_count; i++)
        assert_in_range(strnlen(vm->interfaces[i].name, VM_DEVICE_NAME_BYTES), 1,
                        VM_DEVICE_NAME_BYTES - 1);
    for (size_t i = 0; i < vm->vcpu_count; i++)
        assert_true(vm->vcpus[i].time_ns != UNKNOWN_U64);
}

/* Each length in memory of just that size, so that a sanitizer sees a step beyond it. */
static void text_cut_short_anywhere_is_sound(void **state)
{
    CLEANUP(file_buffer_release) struct file_buffer text = {NULL, 0, 0};
    CLEANUP(release_answer) struct answer answer = {NULL, 0, 0};
    size_t answers = 0;

    (void)state;
    vm_data_read("running.domstats", &text);
    for (size_t length = 0; length <= text.length; length++) {
        char *copy = malloc(length + !length);
        struct error err = {""};
        int r;

        memcpy(copy, text.bytes, length);
        r = vm_parse_domstats(text_of(copy, length), &answer.vms, &answer.count, &answer.capacity,
                              &err);
        free(copy);
        assert_int_equal(r, length < strlen("Domain: ") ? -EBADMSG : 0);
        assert_int_equal(err.text[0] != '\0', r < 0);
        for (size_t i = 0; i < answer.count; i++)
            check_sound(&answer.vms[i]);
        answers += answer.count;
    }
    assert_true(answers > 1000);
}

/* ---- single fields, typed as libvirt types them ---------------------------------------- */

static unsigned apply(struct vm_sample *vm, const char *field, struct vm_value value)
{
    unsigned groups = 0;

    assert_int_equal(vm_sample_apply(vm, field, &value, &groups), 0);
    return groups;
}

#define UNSIGNED(n) ((struct vm_value){.kind = VM_VALUE_UNSIGNED, .u = (n)})
#define SIGNED(n)   ((struct vm_value){.kind = VM_VALUE_SIGNED, .s = (n)})
#define STRING(t)   ((struct vm_value){.kind = VM_VALUE_STRING, .string = (t)})
#define DOUBLE(n)   ((struct vm_value){.kind = VM_VALUE_DOUBLE, .d = (n)})
#define BOOLEAN(n)  ((struct vm_value){.kind = VM_VALUE_BOOLEAN, .b = (n)})

static void groups_are_told(void **state)
{
    CLEANUP(vm_sample_release) struct vm_sample vm = {.name = ""};

    (void)state;
    vm_sample_clear(&vm);
    assert_int_equal(apply(&vm, "state.state", SIGNED(1)), VM_GROUP_STATE);
    assert_int_equal(apply(&vm, "cpu.time", UNSIGNED(1)), VM_GROUP_CPU);
    assert_int_equal(apply(&vm, "balloon.unused", UNSIGNED(1)), VM_GROUP_BALLOON);
    assert_int_equal(apply(&vm, "vcpu.current", UNSIGNED(1)), VM_GROUP_VCPU);
    assert_int_equal(apply(&vm, "vcpu.0.time", UNSIGNED(1)), VM_GROUP_VCPU);
    assert_int_equal(apply(&vm, "net.count", UNSIGNED(0)), VM_GROUP_INTERFACE);
    assert_int_equal(apply(&vm, "block.count", UNSIGNED(0)), VM_GROUP_BLOCK);
    assert_int_equal(apply(&vm, "perf.cmt", UNSIGNED(1)), 0);
    assert_int_equal(apply(&vm, "balloon.newer", UNSIGNED(1)), 0);
    assert_int_equal(apply(&vm, "cpu.user", UNSIGNED(1)), 0);
    assert_int_equal(apply(&vm, "", UNSIGNED(1)), 0);
    assert_int_equal(apply(&vm, "block", UNSIGNED(1)), 0);
}

static void types_that_do_not_fit_are_passed_over(void **state)
{
    CLEANUP(vm_sample_release) struct vm_sample vm = {.name = ""};

    (void)state;
    vm_sample_clear(&vm);
    apply(&vm, "state.state", UNSIGNED(1));
    assert_int_equal(vm.state, VM_STATE_UNKNOWN);
    assert_int_equal(apply(&vm, "cpu.time", DOUBLE(1)), 0);
    assert_int_equal(apply(&vm, "cpu.time", BOOLEAN(true)), 0);
    assert_int_equal(apply(&vm, "cpu.time", SIGNED(-1)), 0);
    assert_int_equal(apply(&vm, "cpu.time", STRING("1")), 0);
    assert_true(vm.cpu_ns == UNKNOWN_U64);
    assert_int_equal(apply(&vm, "cpu.time", SIGNED(7)), VM_GROUP_CPU);
    assert_true(vm.cpu_ns == 7);
    apply(&vm, "block.0.name", UNSIGNED(5));
    apply(&vm, "block.0.path", STRING(NULL));
    apply(&vm, "block.0.rd.bytes", STRING("5"));
    apply(&vm, "block.0.wr.bytes", DOUBLE(NAN));
    assert_int_equal(vm.disk_count, 1);
    assert_string_equal(vm.disks[0].path, "");
    assert_true(vm.disks[0].read_bytes == UNKNOWN_U64 && vm.disks[0].write_bytes == UNKNOWN_U64);
    vm_sample_finish(&vm);
    assert_int_equal(vm.disk_count, 0);
}

static void kib_that_overflow_are_unknown(void **state)
{
    CLEANUP(vm_sample_release) struct vm_sample vm = {.name = ""};

    (void)state;
    vm_sample_clear(&vm);
    assert_int_equal(apply(&vm, "balloon.current", UNSIGNED(UINT64_MAX / 1024 + 1)), 0);
    assert_true(vm.memory.current == UNKNOWN_U64);
    apply(&vm, "balloon.current", UNSIGNED(UINT64_MAX / 1024));
    assert_true(vm.memory.current == UINT64_MAX / 1024 * 1024);
    apply(&vm, "balloon.major_fault", UNSIGNED(UINT64_MAX - 1)); /* no KiB */
    assert_true(vm.memory.major_fault == UINT64_MAX - 1);
}

static void sparse_lists_keep_their_order(void **state)
{
    CLEANUP(vm_sample_release) struct vm_sample vm = {.name = ""};

    (void)state;
    vm_sample_clear(&vm);
    apply(&vm, "net.5.name", STRING("vnet5"));
    apply(&vm, "net.2.rx.bytes", UNSIGNED(1));
    apply(&vm, "net.1.name", STRING("vnet1"));
    apply(&vm, "vcpu.3.time", UNSIGNED(3));
    apply(&vm, "vcpu.1.wait", UNSIGNED(1));
    apply(&vm, "vcpu.0.time", UNSIGNED(0));
    vm_sample_finish(&vm);
    assert_int_equal(vm.interface_count, 2);
    assert_string_equal(vm.interfaces[0].name, "vnet1");
    assert_string_equal(vm.interfaces[1].name, "vnet5");
    assert_true(vm.interfaces[1].rx_bytes == UNKNOWN_U64);
    assert_int_equal(vm.vcpu_count, 2);
    assert_int_equal(vm.vcpus[1].number, 3);
    assert_true(vm.vcpus[1].wait_ns == UNKNOWN_U64);
}

/* The same sample takes an answer after the other: nothing of the first may be left. */
static void a_cleared_sample_remembers_nothing(void **state)
{
    CLEANUP(vm_sample_release) struct vm_sample vm = {.name = ""};

    (void)state;
    vm_sample_clear(&vm);
    apply(&vm, "state.state", SIGNED(1));
    apply(&vm, "block.0.name", STRING("vda"));
    apply(&vm, "block.0.path", STRING("/image"));
    apply(&vm, "block.0.rd.bytes", UNSIGNED(5));
    apply(&vm, "vcpu.0.delay", UNSIGNED(5));
    apply(&vm, "balloon.rss", UNSIGNED(5));
    vm_sample_finish(&vm);
    assert_true(vm.active && vm_sample_has_disk_counters(&vm));
    vm_sample_clear(&vm);
    apply(&vm, "block.0.name", STRING("vdb"));
    apply(&vm, "vcpu.0.time", UNSIGNED(1));
    vm_sample_finish(&vm);
    assert_false(vm.active || vm_sample_has_disk_counters(&vm));
    assert_string_equal(vm.disks[0].path, "");
    assert_true(vm.vcpus[0].delay_ns == UNKNOWN_U64 && vm.memory.rss == UNKNOWN_U64);
    assert_true(vm.memory.stale && isnan(vm.memory.time_s));
}

static void states_have_words(void **state)
{
    (void)state;
    for (int i = -3; i < 12; i++)
        assert_true(vm_state_text((enum vm_state)i)[0] != '\0');
    assert_string_equal(vm_state_text(VM_STATE_SHUTOFF), "shut off");
    assert_string_equal(vm_state_text((enum vm_state)8), "unknown");
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_LENGTH(recorded) + 8] = {
        cmocka_unit_test(text_cut_short_anywhere_is_sound),
        cmocka_unit_test(groups_are_told),
        cmocka_unit_test(types_that_do_not_fit_are_passed_over),
        cmocka_unit_test(kib_that_overflow_are_unknown),
        cmocka_unit_test(sparse_lists_keep_their_order),
        cmocka_unit_test(a_cleared_sample_remembers_nothing),
        cmocka_unit_test(states_have_words),
    };

    for (size_t i = 0; i < ARRAY_LENGTH(recorded); i++)
        tests[7 + i] = (struct CMUnitTest){
            .name = recorded[i],
            .test_func = recorded_answer_gives_what_is_expected,
            .initial_state = (void *)(uintptr_t)recorded[i],
        };
    return _cmocka_run_group_tests("vm_stats", tests, 7 + ARRAY_LENGTH(recorded), NULL, NULL);
}
