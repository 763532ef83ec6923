/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole cycles on libvirt's embedded test driver, whose bulk call tells only
 * states, and on servers that are not there or never answer. A cycle that
 * does not return is ended by the bound of the test runner.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/vm.h"
#include "vm/link.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENT_S 30.0
#define SHORT_S   0.05

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static char directory[256];

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int make_directory(void **state)
{
    const char *base = getenv("TMPDIR");

    (void)state;
    string_format(directory, sizeof(directory), "%s/setmov-vm-XXXXXX", base ? base : "/tmp");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct vm_source *new_source(const char *uri, double deadline_s)
{
    struct vm_source_options options = {.uri = uri, .kernel_path = true, .deadline_s = deadline_s};
    struct vm_source *source = NULL;
    struct error err;

    if (vm_source_new(&options, &source, &err) < 0)
        fail_msg("%s", err.text);
    return source;
}

static unsigned count_events(const struct vm_set *set, enum vm_event_kind kind)
{
    unsigned count = 0;

    for (size_t i = 0; i < set->event_count; i++)
        count += set->events[i].kind == kind;
    return count;
}

/* One cycle that must succeed. */
static void cycle(struct vm_source *source, struct vm_set *set)
{
    assert_int_equal(vm_source_sample(source, NULL, set), 0);
    if (!set->connected)
        fail_msg("not connected: %s", set->error.text);
    assert_true(set->complete);
    assert_true(set->finished_s >= set->started_s);
    assert_string_equal(set->error.text, "");
}

/* ---- figures -------------------------------------------------------------------------- */

static void check_times(const struct vm_set *set, const struct vm_sample *vm)
{
    const double times[] = {vm->cpu_time_s, vm->disk_time_s, vm->interface_time_s,
                            vm->memory.time_s};

    for (size_t i = 0; i < ARRAY_LENGTH(times); i++) {
        assert_false(isnan(times[i]));
        assert_true(times[i] >= set->started_s && times[i] <= set->finished_s);
    }
}

static void the_default_machine_is_filled_vm_by_vm(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source = new_source("test:///default", PATIENT_S);
    uint64_t cpu_ns = 0;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const struct vm_sample *vm;

        cycle(source, &set);
        assert_int_equal(set.event_count, 0);
        assert_int_equal(set.count, 1);
        assert_int_equal(set.silent_count, 0);
        assert_int_equal(set.host_cpus, 16);
        assert_true(set.rpc_count > 0);
        vm = &set.vms[0];
        assert_string_equal(vm->name, "test");
        assert_string_equal(vm->uuid, "6695eb01-f6a4-8304-79aa-97f2502e193f");
        assert_true(vm->active && vm->answering);
        assert_int_equal(vm->state, VM_STATE_RUNNING);
        check_times(&set, vm);
        assert_true(vm->cpu_ns != UNKNOWN_U64 && vm->cpu_ns >= cpu_ns);
        cpu_ns = vm->cpu_ns;
        assert_int_equal(vm->vcpu_current, 2);
        assert_true(vm->memory.maximum == (uint64_t)8 << 30);
        assert_true(vm->memory.current == (uint64_t)2 << 30);
        assert_int_equal(vm->disk_count, 1);
        assert_string_equal(vm->disks[0].name, "vda");
        assert_string_equal(vm->disks[0].path, "/guest/diskimage1");
        assert_true(vm->disks[0].read_bytes != UNKNOWN_U64 &&
                    vm->disks[0].write_ops != UNKNOWN_U64);
        assert_int_equal(vm->interface_count, 1);
        assert_string_equal(vm->interfaces[0].name, "testnet0");
        assert_string_equal(vm->interfaces[0].mac, "aa:bb:cc:dd:ee:ff");
        assert_true(vm->interfaces[0].rx_bytes != UNKNOWN_U64);
        assert_true(vm->interfaces[0].tx_dropped != UNKNOWN_U64);
    }
    vm_source_free(source, PATIENT_S);
}

static const char machine[] =
    "<node>\n"
    "<domain type='test'><name>beta</name><uuid>11111111-2222-3333-4444-555555555502</uuid>"
    "<memory>65536</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>"
    "<disk type='file' device='disk'><source file='/b'/><target dev='vda'/></disk></devices>"
    "</domain>\n"
    "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
    "<name>off</name><uuid>11111111-2222-3333-4444-555555555503</uuid><memory>65536</memory>"
    "<vcpu>1</vcpu><os><type>hvm</type></os><test:runstate>5</test:runstate></domain>\n"
    "<domain type='test'><name>alpha</name><uuid>11111111-2222-3333-4444-555555555501</uuid>"
    "<memory>65536</memory><currentMemory>32768</currentMemory><vcpu>4</vcpu>"
    "<os><type>hvm</type></os><devices>"
    "<disk type='file' device='disk'><source file='/guest/a0'/><target dev='vda'/></disk>"
    "<disk type='block' device='disk'><source dev='/dev/a1'/><target dev='vdb'/></disk>"
    "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>"
    "<interface type='network'><mac address='52:54:00:00:01:01'/><source network='default'/>"
    "<target dev='testnet7'/></interface>"
    "<interface type='bridge'><mac address='52:54:00:00:01:02'/><source bridge='br0'/>"
    "<target dev='testnet8'/></interface>"
    "</devices></domain>\n"
    "</node>\n";

static void write_machine(char *uri, size_t size)
{
    char path[512];
    FILE *out;

    string_format(path, sizeof(path), "%s/machine.xml", directory);
    out = fopen(path, "we");
    assert_non_null(out);
    fputs(machine, out);
    assert_int_equal(fclose(out), 0);
    string_format(uri, size, "test://%s", path);
}

static void a_machine_of_several_vms_is_filled(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source;
    const struct vm_sample *alpha, *beta, *off;
    char uri[600];

    (void)state;
    write_machine(uri, sizeof(uri));
    source = new_source(uri, PATIENT_S);
    for (unsigned i = 0; i < 2; i++)
        cycle(source, &set);
    assert_int_equal(set.count, 3);
    alpha = &set.vms[0];
    beta = &set.vms[1];
    off = &set.vms[2];
    assert_string_equal(alpha->name, "alpha"); /* in order of name */
    assert_string_equal(beta->name, "beta");
    assert_string_equal(off->name, "off");
    check_times(&set, alpha);
    assert_int_equal(alpha->disk_count, 3);
    assert_string_equal(alpha->disks[1].name, "vdb");
    assert_string_equal(alpha->disks[1].path, "/dev/a1");
    assert_string_equal(alpha->disks[2].path, "");
    assert_int_equal(alpha->interface_count, 2);
    assert_string_equal(alpha->interfaces[0].mac, "52:54:00:00:01:01");
    assert_string_equal(alpha->interfaces[1].name, "testnet8");
    assert_int_equal(alpha->vcpu_current, 4);
    assert_true(alpha->memory.current == (uint64_t)32 << 20);
    assert_int_equal(beta->disk_count, 1);
    assert_int_equal(beta->interface_count, 0);
    assert_true(isnan(beta->interface_time_s) && !isnan(beta->disk_time_s));
    assert_false(off->active);
    assert_true(off->answering);
    assert_int_equal(off->state, VM_STATE_SHUTOFF);
    assert_true(isnan(off->cpu_time_s) && isnan(off->disk_time_s) && isnan(off->memory.time_s));
    vm_source_free(source, PATIENT_S);
}

/* ---- drivers without bulk ------------------------------------------------------------- */

static struct link *open_link(struct lifecycle *lifecycle)
{
    struct connect_job *job = connect_job_new("test:///default", true, lifecycle);
    struct link *link;

    assert_non_null(job);
    job->job.run(&job->job);
    link = job->link;
    job->link = NULL;
    job->job.free(&job->job);
    assert_non_null(link);
    assert_string_equal(link->type, "TEST");
    assert_true(link->local && !link->session);
    return link;
}

#define EVERYTHING                                                                                 \
    (VM_GROUP_STATE | VM_GROUP_CPU | VM_GROUP_BALLOON | VM_GROUP_INTERFACE | VM_GROUP_BLOCK)

static void without_a_bulk_call_vms_are_listed(void **state)
{
    struct lifecycle *lifecycle;
    struct link *link;
    struct stats_job *job;

    (void)state;
    assert_int_equal(lifecycle_new(&lifecycle), 0);
    link = open_link(lifecycle);
    job = stats_job_new(link, EVERYTHING, false);
    job->no_bulk = true;
    job->job.run(&job->job);
    assert_int_equal(job->result, 0);
    assert_true(job->no_bulk);
    assert_int_equal(job->count, 1);
    assert_int_equal(job->answers[0].groups & EVERYTHING, EVERYTHING);
    assert_string_equal(job->answers[0].vm.name, "test");
    assert_true(job->answers[0].vm.active);
    assert_int_equal(job->answers[0].vm.state, VM_STATE_RUNNING);
    assert_int_equal(job->answers[0].vm.disk_count, 1);
    job->job.free(&job->job);
    link_unref(link);
    lifecycle_unref(lifecycle);
}

/* What a driver without memory statistics (Xen) tells of memory all the same. */
static void sizes_come_without_memory_statistics(void **state)
{
    struct lifecycle *lifecycle;
    struct link *link;
    struct stats_job *job;
    const struct vm_answer *answer;

    (void)state;
    assert_int_equal(lifecycle_new(&lifecycle), 0);
    link = open_link(lifecycle);
    job = stats_job_new(link, EVERYTHING, false);
    job->unsupported = VM_GROUP_BALLOON | VM_GROUP_BLOCK;
    job->job.run(&job->job);
    assert_int_equal(job->result, 0);
    answer = &job->answers[0];
    assert_int_equal(answer->groups & EVERYTHING, EVERYTHING & ~VM_GROUP_BLOCK);
    assert_false(isnan(answer->vm.memory.time_s));
    assert_true(answer->vm.memory.current == (uint64_t)2 << 30);
    assert_true(answer->vm.memory.unused == UNKNOWN_U64);
    assert_int_equal(answer->vm.disk_count, 0);
    job->job.free(&job->job);
    link_unref(link);
    lifecycle_unref(lifecycle);
}

/* ---- changes -------------------------------------------------------------------------- */

static void check_event(const struct vm_set *set, enum vm_event_kind kind, const char *text)
{
    if (set->event_count != 1)
        fail_msg("%zu events, not only \"%s\"", set->event_count, text);
    assert_int_equal(set->events[0].kind, kind);
    assert_string_equal(set->events[0].text, text);
    assert_string_equal(set->events[0].name, "test");
    assert_string_equal(set->events[0].uuid, "6695eb01-f6a4-8304-79aa-97f2502e193f");
}

/* All connections of a process to test:///default share one machine. */
static void what_happens_to_a_vm_is_told_once(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source = new_source("test:///default", PATIENT_S);
    virConnectPtr connection;
    virDomainPtr domain;
    uint64_t incarnation;

    (void)state;
    cycle(source, &set);
    assert_int_equal(set.event_count, 0);
    incarnation = set.vms[0].incarnation;
    connection = virConnectOpen("test:///default");
    assert_non_null(connection);
    domain = virDomainLookupByName(connection, "test");
    assert_non_null(domain);

    assert_int_equal(virDomainSuspend(domain), 0);
    cycle(source, &set);
    check_event(&set, VM_EVENT_PAUSED, "VM test paused");
    assert_false(isnan(set.vms[0].cpu_time_s)); /* paused VMs have figures too */
    cycle(source, &set);
    assert_int_equal(set.event_count, 0);
    assert_int_equal(virDomainResume(domain), 0);
    cycle(source, &set);
    check_event(&set, VM_EVENT_RESUMED, "VM test resumed");
    assert_int_equal(virDomainDestroy(domain), 0);
    cycle(source, &set);
    check_event(&set, VM_EVENT_STOPPED, "VM test stopped");
    assert_int_equal(set.count, 1);
    assert_false(set.vms[0].active);
    assert_true(isnan(set.vms[0].cpu_time_s));
    assert_int_equal(virDomainCreate(domain), 0);
    cycle(source, &set);
    check_event(&set, VM_EVENT_STARTED, "VM test started");
    assert_true(set.vms[0].incarnation != incarnation);
    virDomainFree(domain);
    virConnectClose(connection);
    vm_source_free(source, PATIENT_S);
}

/* ---- no server ------------------------------------------------------------------------ */

static void options_that_make_no_sense_are_refused(void **state)
{
    const double deadlines[] = {0, -1, NAN, INFINITY, -INFINITY};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(deadlines); i++) {
        struct vm_source_options options = {.deadline_s = deadlines[i]};
        struct vm_source *source = NULL;
        struct error err = {""};

        assert_int_equal(vm_source_new(&options, &source, &err), -EINVAL);
        assert_null(source);
        assert_true(err.text[0] != '\0');
    }
    vm_source_free(NULL, 1);
}

static void a_server_that_is_not_there_is_told_once(void **state)
{
    char missing[600], socket_path[600];
    const char *const uris[] = {missing, socket_path, "no-such-driver:///", "", "://", "%%%"};

    (void)state;
    string_format(missing, sizeof(missing), "test://%s/no-such-machine.xml", directory);
    string_format(socket_path, sizeof(socket_path), "qemu+unix:///system?socket=%s/none",
                  directory);
    for (size_t i = 0; i < ARRAY_LENGTH(uris); i++) {
        CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
        struct vm_source *source = new_source(uris[i], PATIENT_S);
        unsigned lost = 0;

        if (uris[i][0] ==
            '\0') { /* libvirt may probe this machine for a driver: not ours to rely on */
            vm_source_free(source, PATIENT_S);
            continue;
        }
        for (unsigned n = 0; n < 5; n++) {
            assert_int_equal(vm_source_sample(source, NULL, &set), 0);
            assert_false(set.connected || set.complete);
            assert_int_equal(set.count, 0);
            assert_true(set.error.text[0] != '\0' && !strchr(set.error.text, '\n'));
            assert_int_equal(set.event_count, n == 0);
            lost += count_events(&set, VM_EVENT_SOURCE_LOST);
        }
        assert_int_equal(lost, 1);
        vm_source_free(source, PATIENT_S);
    }
}

static void a_server_that_comes_is_told_once(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source;
    char uri[600];

    (void)state;
    string_format(uri, sizeof(uri), "test://%s/machine.xml", directory);
    source = new_source(uri, PATIENT_S);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(vm_source_sample(source, NULL, &set), 0);
        assert_int_equal(count_events(&set, VM_EVENT_SOURCE_LOST), i == 0);
    }
    write_machine(uri, sizeof(uri));
    cycle(source, &set); /* the next cycle has it all */
    assert_int_equal(set.count, 3);
    assert_int_equal(set.event_count, 1); /* and no VM "started" */
    assert_int_equal(set.events[0].kind, VM_EVENT_SOURCE_RETURNED);
    assert_string_equal(set.events[0].name, "");
    cycle(source, &set);
    assert_int_equal(set.event_count, 0);
    vm_source_free(source, PATIENT_S);
}

/* ---- a server that never answers -------------------------------------------------------- */

static unsigned thread_count(void)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    const char *line;
    unsigned count = 0;

    assert_int_equal(file_read(-100, "/proc/self/status", &buffer), 0);
    line = strstr(buffer.bytes, "\nThreads:");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "\nThreads: %u", &count), 1);
    return count;
}

/* A socket whose connections nobody ever accepts or serves. */
static int listen_deaf(char *uri, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_true(string_format(address.sun_path, sizeof(address.sun_path), "%s/deaf", directory));
    unlink(address.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    string_format(uri, size, "qemu+unix:///system?socket=%s", address.sun_path);
    return fd;
}

static void a_server_that_never_answers_holds_up_nobody(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source;
    unsigned lost = 0, threads;
    char uri[600];
    int fd = listen_deaf(uri, sizeof(uri));

    (void)state;
    source = new_source(uri, SHORT_S);
    threads = thread_count();
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(vm_source_sample(source, NULL, &set), 0);
        assert_false(set.connected || set.complete);
        assert_int_equal(set.count, 0);
        lost += count_events(&set, VM_EVENT_SOURCE_LOST);
        assert_int_equal(set.event_count, count_events(&set, VM_EVENT_SOURCE_LOST));
    }
    assert_int_equal(lost, 1);
    assert_in_range(thread_count(), threads, threads + 2); /* one hangs, not one a cycle */
    vm_source_free(source, SHORT_S);
    /* What still hangs cleans up after itself once it may. */
    close(fd);
    for (unsigned i = 0; i < 6000 && thread_count() > threads; i++)
        usleep(10000);
    assert_in_range(thread_count(), 1, threads);
}

/* It hangs up: that is a reason, told once, and every cycle tries again. */
static void a_server_that_hangs_up_is_lost(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source;
    char uri[600];
    int fd = listen_deaf(uri, sizeof(uri));

    (void)state;
    source = new_source(uri, SHORT_S);
    assert_int_equal(vm_source_sample(source, NULL, &set), 0);
    assert_int_equal(set.event_count, 0); /* late, not lost */
    close(fd);
    for (unsigned i = 0; i < 600 && set.event_count == 0; i++)
        assert_int_equal(vm_source_sample(source, NULL, &set), 0);
    assert_int_equal(count_events(&set, VM_EVENT_SOURCE_LOST), 1);
    vm_source_free(source, PATIENT_S);
}

static void a_source_is_freed_before_its_first_cycle(void **state)
{
    (void)state;
    vm_source_free(new_source("test:///default", 1), 0);
}

/* ---- memory ------------------------------------------------------------------------------ */

static uint64_t resident_kib(void)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    const char *line;
    unsigned long kib = 0;

    assert_int_equal(file_read(-100, "/proc/self/status", &buffer), 0);
    line = strstr(buffer.bytes, "\nVmRSS:");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "\nVmRSS: %lu", &kib), 1);
    return kib;
}

static void thousands_of_cycles_do_not_grow(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source = new_source("test:///default", PATIENT_S);
    uint64_t before;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        cycle(source, &set);
    before = resident_kib();
    for (unsigned i = 0; i < 2000; i++)
        cycle(source, &set);
    /* A domain object that is not let go of would be 300 bytes a cycle. */
    if (!SANITIZED)
        assert_in_range(resident_kib(), 0, before + 256);
    vm_source_free(source, PATIENT_S);
}

#define WITH_DIRECTORY(function)                                                                   \
    cmocka_unit_test_setup_teardown(function, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(a_source_is_freed_before_its_first_cycle),
        cmocka_unit_test(the_default_machine_is_filled_vm_by_vm),
        WITH_DIRECTORY(a_machine_of_several_vms_is_filled),
        cmocka_unit_test(without_a_bulk_call_vms_are_listed),
        cmocka_unit_test(sizes_come_without_memory_statistics),
        cmocka_unit_test(what_happens_to_a_vm_is_told_once),
        WITH_DIRECTORY(a_server_that_is_not_there_is_told_once),
        WITH_DIRECTORY(a_server_that_comes_is_told_once),
        WITH_DIRECTORY(a_server_that_never_answers_holds_up_nobody),
        WITH_DIRECTORY(a_server_that_hangs_up_is_lost),
        cmocka_unit_test(thousands_of_cycles_do_not_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
