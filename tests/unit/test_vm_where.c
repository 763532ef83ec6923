/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a VM is that goes while it is asked for: nowhere, and that is no error. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/vm_migrate.h"

#include <libvirt/libvirt.h>

#define UUID "01234567-89ab-cdef-0fed-cba987654321"

/* libvirt's test driver has no jobs; so this is called when the VM was found, and before the rest. */
static enum { STAYS, GOES_NOW, GOES_NEXT, HAS_JOB } happens;

int __wrap_virDomainGetJobStats(virDomainPtr domain, int *type, virTypedParameterPtr *parameters,
                                int *count, unsigned flags);

int __wrap_virDomainGetJobStats(virDomainPtr domain, int *type, virTypedParameterPtr *parameters,
                                int *count, unsigned flags)
{
    int state;

    (void)flags;
    *type = happens == HAS_JOB ? VIR_DOMAIN_JOB_UNBOUNDED : VIR_DOMAIN_JOB_NONE;
    *parameters = NULL;
    *count = 0;
    if (happens == GOES_NOW || happens == GOES_NEXT)
        assert_int_equal(virDomainDestroy(domain), 0);
    return happens == GOES_NOW ? virDomainGetState(domain, &state, NULL, 0) : 0;
}

static virConnectPtr connection;
static struct vm_peer *peer;
static struct uuid vm;

static int setup(void **state)
{
    (void)state;
    connection = virConnectOpen("test:///default");
    return connection != NULL && vm_peer_open("test:///default", &peer, NULL) == 0
               ? uuid_parse(UUID, &vm)
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    vm_peer_close(peer);
    return virConnectClose(connection) < 0;
}

/* Of a transient one, which is known as long as it runs. */
static struct vm_where found(void)
{
    static const char xml[] = "<domain type='test'><name>web1</name><uuid>" UUID "</uuid>"
                              "<memory>8192</memory><os><type>hvm</type></os></domain>";
    struct vm_where where = {.place = VM_OTHER};
    struct error err = {""};
    virDomainPtr domain = virDomainCreateXML(connection, xml, 0);

    assert_non_null(domain);
    if (vm_where(peer, &vm, &where, &err) < 0)
        fail_msg("%s", err.text);
    if (virDomainIsActive(domain) == 1)
        virDomainDestroy(domain);
    virDomainFree(domain);
    return where;
}

static void test_one_that_stays_is_there(void **state)
{
    struct vm_where where;

    (void)state;
    happens = STAYS;
    where = found();
    assert_int_equal(where.place, VM_RUNNING);
    assert_string_equal(where.state, "running");
    happens = HAS_JOB;
    assert_int_equal(found().place, VM_RUNNING);
}

static void test_one_that_goes_meanwhile_is_absent(void **state)
{
    (void)state;
    for (happens = GOES_NOW; happens <= GOES_NEXT; happens++) {
        struct vm_where where = found();

        assert_int_equal(where.place, VM_ABSENT);
        assert_string_equal(where.state, "not known there");
    }
}

static void test_one_that_was_never_there_is_absent(void **state)
{
    struct vm_where where = {.place = VM_OTHER};

    (void)state;
    happens = STAYS;
    assert_int_equal(vm_where(peer, &vm, &where, NULL), 0);
    assert_int_equal(where.place, VM_ABSENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_stays_is_there),
        cmocka_unit_test(test_one_that_goes_meanwhile_is_absent),
        cmocka_unit_test(test_one_that_was_never_there_is_absent),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
