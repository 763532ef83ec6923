/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is said when libvirt fails in the middle: its words about the call that
 * failed, whatever was called since. On libvirt's own test driver, with
 * functions of this program in front of the library's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/vm_move.h"

#include <dlfcn.h>
#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdio.h>

#define STANDS_IN __attribute__((visibility("default")))

#define WORDS "Network not found: no network with matching name 'the failed call'"

#define REAL(function, name)                                                                       \
    do {                                                                                           \
        void *symbol = dlsym(RTLD_NEXT, name);                                                     \
        memcpy(&(function), &symbol, sizeof(function));                                            \
    } while (0)

static bool fails;  /* the connection is lost, or a volume's file */
static bool is_rpc; /* and libvirt says that it is the connection */

/* Leaves libvirt's last error as WORDS. */
static void fail_call(virConnectPtr connection)
{
    assert_null(virNetworkLookupByName(connection, "the failed call"));
}

STANDS_IN int virNodeGetInfo(virConnectPtr connection, virNodeInfoPtr info)
{
    int (*real)(virConnectPtr, virNodeInfoPtr);

    REAL(real, "virNodeGetInfo");
    if (!fails)
        return real(connection, info);
    fail_call(connection);
    return -1;
}

STANDS_IN char *virConnectGetCapabilities(virConnectPtr connection)
{
    char *(*real)(virConnectPtr);

    REAL(real, "virConnectGetCapabilities");
    if (!fails)
        return real(connection);
    fail_call(connection);
    return NULL;
}

/* As the library's, it forgets the last error. */
STANDS_IN int virConnectIsAlive(virConnectPtr connection)
{
    int (*real)(virConnectPtr), alive;

    REAL(real, "virConnectIsAlive");
    alive = real(connection);
    return fails ? 0 : alive;
}

STANDS_IN int virGetLastErrorCode(void)
{
    int (*real)(void), code;

    REAL(real, "virGetLastErrorCode");
    code = real();
    return is_rpc && code != VIR_ERR_OK ? VIR_ERR_RPC : code;
}

STANDS_IN int virStorageVolGetInfo(virStorageVolPtr volume, virStorageVolInfoPtr info)
{
    int (*real)(virStorageVolPtr, virStorageVolInfoPtr);

    REAL(real, "virStorageVolGetInfo");
    return fails ? -1 : real(volume, info);
}

STANDS_IN int virDomainGetBlockInfo(virDomainPtr domain, const char *disk,
                                    virDomainBlockInfoPtr info, unsigned flags)
{
    int (*real)(virDomainPtr, const char *, virDomainBlockInfoPtr, unsigned);

    REAL(real, "virDomainGetBlockInfo");
    if (!fails)
        return real(domain, disk, info, flags);
    fail_call(virDomainGetConnect(domain));
    return -1;
}

/* ---- a host with a VM that has a volume -------------------------------------------------- */

static const char host_xml[] =
    "<node><pool type='dir'><name>default</name><uuid>dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566</uuid>"
    "<target><path>/images</path></target>"
    "<volume type='file'><name>v</name><capacity>1048576</capacity>"
    "<target><path>/images/v</path></target></volume></pool>"
    "<domain type='test'><name>vm</name><uuid>2db7cae2-c8d0-48ea-b4f7-e72afac42b96</uuid>"
    "<memory>16384</memory><os><type>hvm</type></os><devices><disk type='volume' device='disk'>"
    "<source pool='default' volume='v'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    "</node>";

static int make_host(void **state)
{
    char path[] = "/tmp/setmov-lost-XXXXXX", uri[64];
    int fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    struct error err = {""};

    if (!file || fputs(host_xml, file) < 0 || fclose(file) != 0)
        return -1;
    string_format(uri, sizeof(uri), "test://%s", path);
    if (vm_peer_open(uri, (struct vm_peer **)state, &err) < 0)
        fprintf(stderr, "%s\n", err.text);
    remove(path);
    return *state ? 0 : -1;
}

static int drop_host(void **state)
{
    fails = is_rpc = false;
    vm_peer_close(*state);
    return 0;
}

/* ---- tests -------------------------------------------------------------------------------- */

static void facts(void **state)
{
    struct vm_peer_facts facts;
    struct error err = {""};

    assert_int_equal(vm_peer_facts(*state, "default", &facts, &err), 0);
    fails = is_rpc = true;
    assert_int_equal(vm_peer_facts(*state, "default", &facts, &err), -EIO);
    assert_string_equal(err.text, "facts about the host: " WORDS);
}

static void questions(void **state)
{
    struct vm_lines obstacles = {NULL, 0, 0}, unknown = {NULL, 0, 0};
    struct vm_move vm = {.name = NULL};
    struct error err = {""};

    assert_int_equal(vm_move_read(*state, "vm", &vm, &err), 0);
    fails = is_rpc = true;
    assert_int_equal(vm_move_ask(*state, &vm, "2db7cae2-c8d0-48ea-b4f7-e72afac42b96", &obstacles,
                                 &unknown, &err),
                     -EIO);
    assert_string_equal(err.text, "the connection is lost: whether it is this same host: " WORDS);
    vm_move_release(&vm);
}

static void sizes(void **state)
{
    struct vm_move vm = {.name = NULL};
    struct error err = {""};

    assert_int_equal(vm_move_read(*state, "vm", &vm, &err), 0);
    assert_int_equal(vm.disk_count, 1);
    assert_int_equal(vm.disks[0].capacity_bytes, 1048576);
    assert_int_equal(vm.obstacles.count, 0);
    vm_move_release(&vm);
    fails = true;
    assert_int_equal(vm_move_read(*state, "vm", &vm, &err), 0);
    assert_int_equal(vm.obstacles.count, 1);
    assert_string_equal(vm.obstacles.lines[0], "disk 'vda': " WORDS);
    vm_move_release(&vm);
}

#define HOST_TEST(function) cmocka_unit_test_setup_teardown(function, make_host, drop_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(facts),
        HOST_TEST(questions),
        HOST_TEST(sizes),
    };

    vm_peer_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
