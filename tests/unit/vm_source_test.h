/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of VM sources share: a temporary folder, a source, a cycle, a machine for the test driver. */
#ifndef SETMOV_TESTS_VM_SOURCE_TEST_H
#define SETMOV_TESTS_VM_SOURCE_TEST_H

#include "setmov/vm.h"

#include <ftw.h>
#include <unistd.h>

#define PATIENT_S 30.0
#define SHORT_S   0.05

static char directory[256];

static inline int remove_one(const char *path, const struct stat *status, int type,
                             struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline int make_directory(void **state)
{
    const char *base = getenv("TMPDIR");

    (void)state;
    string_format(directory, sizeof(directory), "%s/setmov-vm-XXXXXX", base ? base : "/tmp");
    return mkdtemp(directory) ? 0 : -1;
}

static inline int remove_directory(void **state)
{
    (void)state;
    return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct vm_source *new_source(const char *uri, double deadline_s)
{
    struct vm_source_options options = {.uri = uri, .kernel_path = true, .deadline_s = deadline_s};
    struct vm_source *source = NULL;
    struct error err;

    if (vm_source_new(&options, &source, &err) < 0)
        fail_msg("%s", err.text);
    return source;
}

static inline unsigned count_events(const struct vm_set *set, enum vm_event_kind kind)
{
    unsigned count = 0;

    for (size_t i = 0; i < set->event_count; i++)
        count += set->events[i].kind == kind;
    return count;
}

/* One cycle that must succeed. */
static inline void cycle(struct vm_source *source, struct vm_set *set)
{
    assert_int_equal(vm_source_sample(source, NULL, set), 0);
    if (!set->connected)
        fail_msg("not connected: %s", set->error.text);
    assert_true(set->complete);
    assert_true(set->finished_s >= set->started_s);
    assert_string_equal(set->error.text, "");
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

static inline void write_machine(char *uri, size_t size)
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

#define WITH_DIRECTORY(function)                                                                   \
    cmocka_unit_test_setup_teardown(function, make_directory, remove_directory)

#endif
