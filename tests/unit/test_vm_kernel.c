/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel tells of a VM's process: recorded trees of /proc, /sys and
 * libvirt's PID files (tests/data/vm/kernel-*), as they are and, in a
 * temporary copy, after things have changed.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_data.h"

#include "remove_tree.h"
#include "vm/kernel.h"
#include "vm/kernel_text.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <unistd.h>

#define UUID "40d69c3c-b24c-435d-944a-84a08cace467"

/* The rest of a line of /proc/PID/stat, behind the state. */
#define STAT_REST                                                                                  \
    " 1 95 95 0 -1 138412416 18531 0 0 0 224 100 0 0 20 0 4 0 269219 1611767808 55951 1844674"

/* ---- trees ---------------------------------------------------------------------------- */

struct tree {
    char root[512], proc[600], sys[600], run[600];
    struct kernel_paths paths;
    struct kernel_vm kernel;
    struct vm_sample vm;
    char state;
};

static void tree_at(struct tree *tree, const char *root)
{
    memset(tree, 0, sizeof(*tree));
    string_copy(tree->root, sizeof(tree->root), root);
    string_format(tree->proc, sizeof(tree->proc), "%s/proc", root);
    string_format(tree->sys, sizeof(tree->sys), "%s/sys", root);
    string_format(tree->run, sizeof(tree->run), "%s/run", root);
    tree->paths = (struct kernel_paths){tree->proc, tree->sys, tree->run, false};
    vm_sample_clear(&tree->vm);
}

static void tree_release(struct tree *tree)
{
    kernel_vm_release(&tree->kernel);
    vm_sample_release(&tree->vm);
}

static int find(struct tree *tree)
{
    return kernel_vm_find(&tree->paths, "lin1", UUID, &tree->kernel);
}

static int read_again(struct tree *tree)
{
    vm_sample_clear(&tree->vm);
    return kernel_vm_read(&tree->paths, &tree->kernel, &tree->vm, &tree->state);
}

static void check_recorded(const char *name, uint64_t cpu_ns, bool has_wait)
{
    CLEANUP(tree_release) struct tree tree;
    char root[512];

    vm_data_path(root, sizeof(root), name);
    tree_at(&tree, root);
    assert_int_equal(find(&tree), 0);
    assert_int_equal(tree.kernel.pid, 96);
    assert_int_equal(read_again(&tree), 0);
    assert_int_not_equal(tree.state, 'T');
    assert_true(tree.vm.cpu_ns == cpu_ns);
    assert_false(isnan(tree.vm.cpu_time_s) || isnan(tree.vm.vcpu_time_s));
    assert_true(tree.vm.memory.rss == 55951 * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_int_equal(tree.vm.vcpu_current, 2);
    assert_int_equal(tree.vm.vcpu_count, 2);
    assert_int_equal(tree.vm.vcpus[0].number, 0);
    assert_true(tree.vm.vcpus[0].time_ns == 2801960519);
    assert_true(tree.vm.vcpus[0].delay_ns == 1352880902);
    assert_true(tree.vm.vcpus[0].wait_ns == (has_wait ? 100250001 : UNKNOWN_U64));
    assert_int_equal(tree.vm.vcpus[1].number, 1);
    assert_true(tree.vm.vcpus[1].time_ns == 1812076);
    /* What only libvirt tells is left alone. */
    assert_int_equal(tree.vm.disk_count + tree.vm.interface_count, 0);
    assert_true(isnan(tree.vm.disk_time_s) && isnan(tree.vm.memory.time_s));
}

static void recorded_trees_are_read(void **state)
{
    (void)state;
    check_recorded("kernel-cgroup1", 3243899828, false);
    check_recorded("kernel-cgroup2", 3243899000, true);
}

/* ---- trees that change ---------------------------------------------------------------- */

static char copy_from[512], copy_to[512];

static int copy_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    char to[1024];
    FILE *out;

    (void)status;
    (void)walk;
    string_format(to, sizeof(to), "%s%s", copy_to, path + strlen(copy_from));
    if (type == FTW_D)
        return mkdir(to, 0755) == 0 || errno == EEXIST ? 0 : -1;
    if (file_read(AT_FDCWD, path, &buffer) < 0 || !(out = fopen(to, "we")))
        return -1;
    fwrite(buffer.bytes, 1, buffer.length, out);
    return fclose(out);
}

static int set_up(void **state)
{
    struct tree *tree = malloc(sizeof(*tree));
    const char *base = getenv("TMPDIR");

    string_format(copy_to, sizeof(copy_to), "%s/setmov-kernel-XXXXXX", base ? base : "/tmp");
    vm_data_path(copy_from, sizeof(copy_from), "kernel-cgroup1");
    if (!tree || !mkdtemp(copy_to) || nftw(copy_from, copy_one, 16, FTW_PHYS) != 0)
        return -1;
    tree_at(tree, copy_to);
    *state = tree;
    return 0;
}

static int tear_down(void **state)
{
    struct tree *tree = *state;
    int r = remove_tree(tree->root);

    tree_release(tree);
    free(tree);
    return r;
}

static void tree_write(const struct tree *tree, const char *leaf, const char *bytes, size_t length)
{
    char path[1024];
    FILE *out;

    string_format(path, sizeof(path), "%s/%s", tree->root, leaf);
    out = fopen(path, "we");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

static void tree_put(const struct tree *tree, const char *leaf, const char *string)
{
    tree_write(tree, leaf, string, strlen(string));
}

static void tree_remove(const struct tree *tree, const char *leaf)
{
    char path[1024];

    string_format(path, sizeof(path), "%s/%s", tree->root, leaf);
    assert_int_equal(remove_tree(path), 0);
}

static void only_the_uuid_makes_a_pid_believed(void **state)
{
    struct tree *tree = *state;
    static const char other[] = "qemu\0-uuid\0"
                                "40d69c3c-b24c-435d-944a-84a08cace468";

    assert_int_equal(find(tree), 0);
    tree_write(tree, "proc/96/cmdline", other, sizeof(other));
    assert_int_equal(find(tree), -ESRCH);
    assert_int_equal(tree->kernel.pid, 0);
    assert_int_equal(read_again(tree), -ESRCH);
    tree_write(tree, "proc/96/cmdline", "", 0); /* a kernel thread, or a process that ended */
    assert_int_equal(find(tree), -ESRCH);
}

static void pid_files_that_are_none_are_refused(void **state)
{
    static const char *const texts[] = {
        "",          "\n", "x\n", "0\n", "-96\n", "96x\n", "4294967392\n", "99999999999999999999\n",
        "96/../96\n"};
    static const char *const names[] = {"", ".", "..", "../run/lin1", "no such", ".hidden", "a/b"};
    struct tree *tree = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        tree_put(tree, "run/lin1.pid", texts[i]);
        assert_int_equal(find(tree), -EBADMSG);
        assert_int_equal(tree->kernel.pid, 0);
    }
    tree_put(tree, "run/lin1.pid", "97\n");
    assert_int_equal(find(tree), -ENOENT);
    tree_put(tree, "run/lin1.pid", "96"); /* libvirt writes no newline */
    assert_int_equal(find(tree), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        assert_int_equal(kernel_vm_find(&tree->paths, names[i], UUID, &tree->kernel), -ENOENT);
    tree->paths.pid_directory = tree->root; /* where "run/lin1" would be found */
    assert_int_equal(kernel_vm_find(&tree->paths, "run/lin1", UUID, &tree->kernel), -ENOENT);
    tree->paths.pid_directory = NULL;
    assert_int_equal(find(tree), -ENOENT);
}

static void a_pid_used_again_is_another_process(void **state)
{
    struct tree *tree = *state;

    assert_int_equal(find(tree), 0);
    assert_int_equal(read_again(tree), 0);
    tree_put(tree, "proc/96/stat",
             "96 (qemu) S 1 95 95 0 -1 1 1 0 0 0 1 2 0 0 20 0 4 0 269220 3 4 5");
    assert_int_equal(read_again(tree), -ESRCH);
    assert_true(isnan(tree->vm.cpu_time_s));
    assert_int_equal(tree->kernel.pid, 0);
}

static void a_process_that_ended_is_told(void **state)
{
    struct tree *tree = *state;

    assert_int_equal(find(tree), 0);
    tree_put(tree, "proc/96/stat", "96 (qemu) Z" STAT_REST);
    assert_int_equal(read_again(tree), -ESRCH);
    tree_put(tree, "proc/96/stat", "96 (qemu) T" STAT_REST);
    assert_int_equal(find(tree), 0);
    assert_int_equal(read_again(tree), 0);
    assert_int_equal(tree->state, 'T');
    tree_remove(tree, "proc/96");
    assert_int_equal(read_again(tree), -ESRCH);
}

/* A VM whose group is gone is found anew, with what holds its time now. */
static void a_group_that_is_gone_is_looked_for_again(void **state)
{
    struct tree *tree = *state;

    assert_int_equal(find(tree), 0);
    tree_remove(tree, "sys/fs/cgroup/cpuacct/machine");
    assert_int_equal(read_again(tree), -ESRCH);
    assert_int_equal(find(tree), 0);
    assert_int_equal(read_again(tree), 0);
    /* Without a group the process's ticks are what there is. */
    assert_true(tree->vm.cpu_ns == 324 * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK)));
}

static void a_group_file_that_is_none_gives_no_figure(void **state)
{
    struct tree *tree = *state;

    assert_int_equal(find(tree), 0);
    tree_put(tree, "sys/fs/cgroup/cpuacct/machine/qemu-1-lin1.libvirt-qemu/cpuacct.usage", "?\n");
    assert_int_equal(read_again(tree), -ESRCH);
    assert_true(isnan(tree->vm.cpu_time_s) && tree->vm.cpu_ns == UNKNOWN_U64);
}

static void a_vcpu_that_is_gone_is_left_out(void **state)
{
    struct tree *tree = *state;

    assert_int_equal(find(tree), 0);
    tree_remove(tree, "proc/96/task/101");
    assert_int_equal(read_again(tree), 0);
    assert_int_equal(tree->vm.vcpu_count, 1);
    assert_int_equal(read_again(tree), 0); /* listed anew */
    assert_int_equal(tree->vm.vcpu_count, 1);
    assert_int_equal(tree->vm.vcpu_current, 1);
}

static void without_thread_names_libvirt_is_left_to_tell(void **state)
{
    struct tree *tree = *state;

    tree_put(tree, "proc/96/task/100/comm", "qemu-system-x86\n");
    tree_put(tree, "proc/96/task/101/comm", "qemu-system-x86\n");
    assert_int_equal(find(tree), 0);
    assert_int_equal(read_again(tree), 0);
    assert_true(isnan(tree->vm.vcpu_time_s));
    assert_false(isnan(tree->vm.cpu_time_s));
}

/* This very process, whose CPU clock is the source where there is no group. */
static void an_own_process_is_timed_by_its_clock(void **state)
{
    struct tree *tree = *state;
    uint64_t before;
    volatile unsigned work = 0;

    tree->paths.proc_root = "/proc";
    tree->paths.own_proc = true;
    tree->kernel.pid = getpid();
    assert_int_equal(read_again(tree), -ESRCH); /* started at another time than is remembered */
    {
        CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
        struct process_stat stat;

        assert_int_equal(file_read(AT_FDCWD, "/proc/self/stat", &buffer), 0);
        assert_int_equal(process_parse_stat(text_of(buffer.bytes, buffer.length), &stat), 0);
        tree->kernel.start_ticks = stat.start_ticks;
    }
    tree->kernel.pid = getpid();
    assert_int_equal(read_again(tree), 0);
    before = tree->vm.cpu_ns;
    for (unsigned i = 0; i < 100000; i++)
        work += i;
    assert_int_equal(read_again(tree), 0);
    assert_true(before > 0 && tree->vm.cpu_ns > before && work > 0);
    assert_true(tree->vm.memory.rss > 0);
}

#define TREE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_trees_are_read),
        TREE_TEST(only_the_uuid_makes_a_pid_believed),
        TREE_TEST(pid_files_that_are_none_are_refused),
        TREE_TEST(a_pid_used_again_is_another_process),
        TREE_TEST(a_process_that_ended_is_told),
        TREE_TEST(a_group_that_is_gone_is_looked_for_again),
        TREE_TEST(a_group_file_that_is_none_gives_no_figure),
        TREE_TEST(a_vcpu_that_is_gone_is_left_out),
        TREE_TEST(without_thread_names_libvirt_is_left_to_tell),
        TREE_TEST(an_own_process_is_timed_by_its_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
