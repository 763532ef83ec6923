/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection, the facts it tells and the pools it makes, on libvirt's own
 * test driver. Where that cannot be made to lie or to fail, a function of this
 * program stands in front of the library's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/vm_peer.h"
#include "vm/xml_escape.h"

#include <dlfcn.h>
#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdio.h>

#define STANDS_IN __attribute__((visibility("default")))

/* ---- what stands in front of libvirt -------------------------------------------------- */

static char opened_uri[4200];
static int error_code; /* 0: libvirt's own */
static bool autostart_fails;
static char *capabilities;               /* NULL: libvirt's own */
static const virNodeCPUStats *cpu;       /* NULL: libvirt's own */
static const virNodeMemoryStats *memory; /* NULL: libvirt's own */
static int counter_count, later_count;

#define REAL(function, name)                                                                       \
    do {                                                                                           \
        void *symbol = dlsym(RTLD_NEXT, name);                                                     \
        memcpy(&(function), &symbol, sizeof(function));                                            \
    } while (0)

STANDS_IN virConnectPtr virConnectOpenAuth(const char *name, virConnectAuthPtr auth, unsigned flags)
{
    virConnectPtr (*real)(const char *, virConnectAuthPtr, unsigned);

    REAL(real, "virConnectOpenAuth");
    assert_null(auth);          /* nobody is asked */
    assert_int_equal(flags, 0); /* read-only connections may not read volumes */
    string_copy(opened_uri, sizeof(opened_uri), name);
    return real(name, auth, flags);
}

STANDS_IN int virGetLastErrorCode(void)
{
    int (*real)(void);

    REAL(real, "virGetLastErrorCode");
    return error_code ? error_code : real();
}

STANDS_IN int virStoragePoolSetAutostart(virStoragePoolPtr pool, int autostart)
{
    int (*real)(virStoragePoolPtr, int);

    REAL(real, "virStoragePoolSetAutostart");
    return autostart_fails ? -1 : real(pool, autostart);
}

STANDS_IN char *virConnectGetCapabilities(virConnectPtr connection)
{
    char *(*real)(virConnectPtr);

    REAL(real, "virConnectGetCapabilities");
    return capabilities ? strdup(capabilities) : real(connection);
}

STANDS_IN int virNodeGetCPUStats(virConnectPtr conn, int cpuNum, virNodeCPUStatsPtr params,
                                 int *nparams, unsigned flags)
{
    int (*real)(virConnectPtr, int, virNodeCPUStatsPtr, int *, unsigned);

    REAL(real, "virNodeGetCPUStats");
    if (!cpu)
        return real(conn, cpuNum, params, nparams, flags);
    assert_int_equal(cpuNum, VIR_NODE_CPU_STATS_ALL_CPUS);
    if (params)
        memcpy(params, cpu, (size_t)*nparams * sizeof(*cpu));
    *nparams = params ? later_count : counter_count;
    return 0;
}

STANDS_IN int virNodeGetMemoryStats(virConnectPtr conn, int cellNum, virNodeMemoryStatsPtr params,
                                    int *nparams, unsigned flags)
{
    int (*real)(virConnectPtr, int, virNodeMemoryStatsPtr, int *, unsigned);

    REAL(real, "virNodeGetMemoryStats");
    if (!memory)
        return real(conn, cellNum, params, nparams, flags);
    assert_int_equal(cellNum, VIR_NODE_MEMORY_STATS_ALL_CELLS);
    if (params)
        memcpy(params, memory, (size_t)*nparams * sizeof(*memory));
    *nparams = params ? later_count : counter_count;
    return 0;
}

/* ---- each test has a host of its own ---------------------------------------------------- */

static const char host_xml[] =
    "<node><pool type='dir'><name>default</name><uuid>dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566</uuid>"
    "<target><path>/images</path></target></pool>"
    "<pool type='logical'><name>lvm</name><uuid>dfe224cb-28fb-8dd0-c4b2-64eb3f0f4567</uuid>"
    "<source><name>vg</name></source><target><path>/dev/vg</path></target></pool></node>";

static char host_uri[64];

static int make_host(void **state)
{
    struct vm_peer *peer;
    char path[32] = "/tmp/setmov-peer-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    struct error err = {""};

    if (!file || fputs(host_xml, file) < 0 || fclose(file) != 0)
        return -1;
    string_format(host_uri, sizeof(host_uri), "test://%s", path);
    if (vm_peer_open(host_uri, &peer, &err) < 0)
        fprintf(stderr, "%s\n", err.text);
    else
        *state = peer;
    remove(path);
    return *state ? 0 : -1;
}

static int drop_host(void **state)
{
    vm_peer_close(*state);
    capabilities = NULL;
    cpu = NULL;
    memory = NULL;
    error_code = 0;
    autostart_fails = false;
    return 0;
}

#define HOST_TEST(function) cmocka_unit_test_setup_teardown(function, make_host, drop_host)

/* ---- connections ------------------------------------------------------------------------ */

static void failing_to_connect(void **state)
{
    static const struct {
        const char *uri, *opened;
    } cases[] = {
        {"qemu+tcp://127.0.0.1:1/system", "qemu+tcp://127.0.0.1:1/system"},
        {"qemu+ssh://127.0.0.1:1/system", "qemu+ssh://127.0.0.1:1/system?no_tty=1"},
        {"qemu+ssh://127.0.0.1:1/system?command=/bin/false",
         "qemu+ssh://127.0.0.1:1/system?command=/bin/false&no_tty=1"},
        {"qemu+ssh://127.0.0.1:1/system?no_tty=0", "qemu+ssh://127.0.0.1:1/system?no_tty=0"},
        {"qemu:///nowhere/+ssh://", "qemu:///nowhere/+ssh://"},
        {"qemu+tcp://[::", "qemu+tcp://[::"},
    };
    char long_uri[5000];
    struct vm_peer *peer = (void *)&long_uri;
    struct error err = {""};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(vm_peer_open(cases[i].uri, &peer, &err), -EIO);
        assert_string_equal(opened_uri, cases[i].opened);
        assert_ptr_equal(strstr(err.text, cases[i].uri), err.text);
        assert_null(strchr(err.text, '\n'));
        assert_null(strstr(err.text, "no error"));
    }
    memset(long_uri, 'a', sizeof(long_uri) - 1);
    long_uri[sizeof(long_uri) - 1] = '\0';
    assert_int_equal(vm_peer_open(long_uri, &peer, &err), -EINVAL);
    assert_int_equal(vm_peer_open("", &peer, &err), -EINVAL);
    assert_ptr_equal(peer, &long_uri); /* untouched */
    vm_peer_close(NULL);
}

static void errors_tell_what_they_are(void **state)
{
    static const struct {
        int libvirt, ours;
    } cases[] = {
        {VIR_ERR_NO_STORAGE_VOL, -ENOENT},   {VIR_ERR_NO_STORAGE_POOL, -ENOENT},
        {VIR_ERR_ACCESS_DENIED, -EACCES},    {VIR_ERR_AUTH_FAILED, -EACCES},
        {VIR_ERR_AUTH_CANCELLED, -EACCES},   {VIR_ERR_AUTH_UNAVAILABLE, -EACCES},
        {VIR_ERR_OPERATION_DENIED, -EACCES}, {VIR_ERR_RPC, -EIO},
    };
    struct error err = {""};

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        error_code = cases[i].libvirt;
        assert_int_equal(vm_peer_refresh(*state, "none", &err), cases[i].ours);
        assert_string_equal(err.text,
                            "refreshing pool \"none\": Storage pool not found: no storage "
                            "pool with matching name 'none'");
    }
    error_code = 0;
    assert_int_equal(vm_peer_refresh(*state, "none", &err), -ENOENT);
    assert_int_equal(vm_peer_refresh(*state, "default", &err), 0);
}

/* ---- pools -------------------------------------------------------------------------------- */

/* What another connection to the same host sees of it. */
static virStoragePoolPtr find_pool(const char *name, virConnectPtr *ret_connection)
{
    *ret_connection = virConnectOpen("test:///default");
    assert_non_null(*ret_connection);
    return virStoragePoolLookupByName(*ret_connection, name);
}

static void check_pool(const char *name, bool active, bool autostart)
{
    virConnectPtr connection;
    virStoragePoolPtr pool = find_pool(name, &connection);
    int starts = -1;

    assert_non_null(pool);
    assert_int_equal(virStoragePoolIsActive(pool), active);
    assert_int_equal(virStoragePoolGetAutostart(pool, &starts), 0);
    assert_int_equal(starts, autostart);
    virStoragePoolFree(pool);
    virConnectClose(connection);
}

static int open_default(void **state)
{
    return vm_peer_open("test:///default", (struct vm_peer **)state, NULL);
}

#define DEFAULT_TEST(function) cmocka_unit_test_setup_teardown(function, open_default, drop_host)

static void a_pool_is_made_once(void **state)
{
    virConnectPtr connection;
    virStoragePoolPtr pool;
    struct error err = {""};

    assert_int_equal(vm_peer_pool_ensure(*state, "set<&>mov", "/var/<a>&'\"/index", &err), 0);
    check_pool("set<&>mov", true, true);
    assert_int_equal(vm_peer_pool_ensure(*state, "set<&>mov", "/var//<a>&'\"/index//", &err), 0);
    assert_int_equal(vm_peer_pool_ensure(*state, "set<&>mov", "/var/<a>&'\"/indexes", &err),
                     -EEXIST);
    assert_string_equal(err.text, "there is a pool \"set<&>mov\" already, on /var/<a>&'\"/index, "
                                  "not on /var/<a>&'\"/indexes");
    /* One that is there and active is left as it is, one that is not is started. */
    pool = find_pool("set<&>mov", &connection);
    assert_int_equal(virStoragePoolSetAutostart(pool, 0), 0);
    assert_int_equal(vm_peer_pool_ensure(*state, "set<&>mov", "/var/<a>&'\"/index", &err), 0);
    check_pool("set<&>mov", true, false);
    assert_int_equal(virStoragePoolDestroy(pool), 0);
    assert_int_equal(vm_peer_pool_ensure(*state, "set<&>mov", "/elsewhere", &err), -EEXIST);
    check_pool("set<&>mov", false, false);
    assert_int_equal(vm_peer_pool_ensure(*state, "set<&>mov", "/var/<a>&'\"/index", &err), 0);
    check_pool("set<&>mov", true, true);
    virStoragePoolFree(pool);
    virConnectClose(connection);
}

static void a_pool_that_is_not_a_directory(void **state)
{
    struct error err = {""};

    assert_int_equal(vm_peer_pool_ensure(*state, "lvm", "/dev/vg", &err), -EEXIST);
    assert_string_equal(err.text,
                        "there is a pool \"lvm\" already, of type \"logical\", not a directory");
}

static void nothing_half_made_stays(void **state)
{
    virConnectPtr connection;
    struct error err = {""};

    autostart_fails = true;
    assert_int_equal(vm_peer_pool_ensure(*state, "new", "/new", &err), -EIO);
    assert_non_null(strstr(err.text, "pool \"new\" cannot be made to start with libvirtd"));
    assert_null(find_pool("new", &connection));
    virConnectClose(connection);
    assert_int_equal(vm_peer_pool_ensure(*state, "new", "relative", &err), -EINVAL);
    assert_int_equal(vm_peer_pool_ensure(*state, "new", "", &err), -EINVAL);
    assert_int_equal(vm_peer_pool_ensure(*state, "n\new", "/new", &err), -EINVAL);
    assert_int_equal(vm_peer_pool_ensure(*state, "new", "/n\xff", &err), -EINVAL);
    assert_null(strchr(err.text, '\n'));
}

static void escaping(void **state)
{
    static const char *const bad[] = {"a\nb", "\t",           "\x7f",        "\xc2\x85",
                                      "\xff", "\xed\xa0\x80", "\xef\xbf\xbf"};
    char *escaped = NULL;

    (void)state;
    assert_int_equal(xml_escape("a<b>&\"'\xc3\xa9\xf0\x9f\x90\xa7", &escaped), 0);
    assert_string_equal(escaped, "a&lt;b&gt;&amp;&quot;&#39;\xc3\xa9\xf0\x9f\x90\xa7");
    free(escaped);
    assert_int_equal(xml_escape("\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"", &escaped), 0);
    assert_int_equal(strlen(escaped), 96);
    free(escaped);
    assert_int_equal(xml_escape("", &escaped), 0);
    assert_string_equal(escaped, "");
    free(escaped);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(xml_escape(bad[i], &escaped), -EINVAL);
}

/* ---- facts -------------------------------------------------------------------------------- */

static void facts_of(void **state, const char *pool, struct vm_peer_facts *facts)
{
    struct error err = {""};

    if (vm_peer_facts(*state, pool, facts, &err) < 0)
        fail_msg("%s", err.text);
}

static void facts_that_the_driver_tells(void **state)
{
    struct vm_peer_facts facts;

    facts_of(state, "default", &facts);
    assert_string_equal(facts.uuid, "");
    assert_int_equal(facts.cpus, 16);
    assert_true(facts.busy_ns > 0 && facts.busy_ns < facts.total_ns);
    assert_true(facts.total_ns != UNKNOWN_U64);
    assert_int_equal(facts.memory_bytes, 3ULL << 30);
    assert_int_equal(facts.memory_free_bytes, UNKNOWN_U64);
    assert_int_equal(facts.pool_free_bytes, 100ULL << 30);
    assert_string_equal(facts.pool_problem, "");
}

static void a_pool_that_cannot_be_used(void **state)
{
    virConnectPtr connection;
    virStoragePoolPtr pool = find_pool("default-pool", &connection);
    struct vm_peer_facts facts;

    facts_of(state, "none\n", &facts);
    assert_int_equal(facts.pool_free_bytes, UNKNOWN_U64);
    assert_string_equal(facts.pool_problem,
                        "Storage pool not found: no storage pool with matching name 'none '");
    assert_int_equal(virStoragePoolDestroy(pool), 0);
    facts_of(state, "default-pool", &facts);
    assert_int_equal(facts.pool_free_bytes, UNKNOWN_U64);
    assert_string_equal(facts.pool_problem, "pool \"default-pool\" is not active");
    virStoragePoolFree(pool);
    virConnectClose(connection);
}

static void identities(void **state)
{
    static const struct {
        const char *host, *uuid;
    } cases[] = {
        {"<uuid>DFE224CB-28fb-8dd0-c4b2-64eb3f0f4566</uuid>",
         "dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566"},
        {"", ""},
        {"<uuid/>", ""},
        {"<uuid>dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566x</uuid>", ""},
        {"<uuid>../../../../../../../../../../../../</uuid>", ""},
        {"<uuid>", ""},
    };
    struct vm_peer_facts facts;
    static char xml[256];

    capabilities = xml;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        string_format(xml, sizeof(xml), "<capabilities><host>%s</host></capabilities>",
                      cases[i].host);
        facts_of(state, "default", &facts);
        assert_string_equal(facts.uuid, cases[i].uuid);
        assert_int_equal(facts.cpus, 16);
    }
}

static void processors(void **state)
{
    static const virNodeCPUStats good[] = {
        {"kernel", 3},    {"user", 40},    {"idle", 500},
        {"iowait", 6000}, {"intr", 70000}, {"guest", 800000},
    };
    static const virNodeCPUStats over[] = {{"idle", 1ULL << 63}, {"user", 1ULL << 63}};
    static const virNodeCPUStats all[] = {{"idle", UINT64_MAX - 1}, {"user", 1}};
    struct vm_peer_facts facts;

    cpu = good;
    later_count = counter_count = 6;
    facts_of(state, "default", &facts);
    assert_int_equal(facts.busy_ns, 70043);
    assert_int_equal(facts.total_ns, 76543);
    cpu = over;
    later_count = counter_count = 2;
    facts_of(state, "default", &facts);
    assert_int_equal(facts.busy_ns, UNKNOWN_U64);
    assert_int_equal(facts.total_ns, UNKNOWN_U64);
    cpu = all;
    facts_of(state, "default", &facts);
    assert_int_equal(facts.busy_ns, UNKNOWN_U64);
    assert_int_equal(facts.total_ns, UNKNOWN_U64);
}

static void memory_of_a_host(void **state)
{
    static const virNodeMemoryStats good[] = {
        {"total", 10000}, {"free", 1000}, {"buffers", 200}, {"cached", 30}, {"other", 4}};
    static const virNodeMemoryStats more[] = {{"free", 1000}, {"cached", 9001}, {"total", 10000}};
    static const virNodeMemoryStats over[] = {{"free", 1ULL << 63}, {"cached", 1ULL << 63}};
    static const virNodeMemoryStats huge[] = {{"total", 1ULL << 54}, {"free", 1ULL << 54}};
    struct vm_peer_facts facts;

    memory = good;
    later_count = counter_count = 5;
    facts_of(state, "default", &facts);
    assert_int_equal(facts.memory_bytes, 10000 * 1024);
    assert_int_equal(facts.memory_free_bytes, 1230 * 1024);
    memory = more; /* more free than there is */
    later_count = counter_count = 3;
    facts_of(state, "default", &facts);
    assert_int_equal(facts.memory_free_bytes, 10000 * 1024);
    memory = over;
    later_count = counter_count = 2;
    facts_of(state, "default", &facts);
    assert_int_equal(facts.memory_bytes, 3ULL << 30); /* told by another call */
    assert_int_equal(facts.memory_free_bytes, UNKNOWN_U64);
    memory = huge;
    facts_of(state, "default", &facts);
    assert_int_equal(facts.memory_bytes, UNKNOWN_U64);
    assert_int_equal(facts.memory_free_bytes, UNKNOWN_U64);
}

/* How many counters there are is the other side's word as well. */
static void numbers_of_counters(void **state)
{
    static const virNodeCPUStats counters[64] = {{"idle", 5}, {"user", 5}};
    static const virNodeMemoryStats values[64] = {{"free", 5}};
    static const int counts[][2] = {{65, 65}, {INT32_MAX, 2},  {-1, 2},  {0, 2},
                                    {64, 65}, {64, INT32_MAX}, {64, -1}, {64, 0}};
    struct vm_peer_facts facts;

    cpu = counters;
    memory = values;
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++) {
        counter_count = counts[i][0];
        later_count = counts[i][1];
        facts_of(state, "default", &facts);
        assert_int_equal(facts.busy_ns, UNKNOWN_U64);
        assert_int_equal(facts.memory_free_bytes, UNKNOWN_U64);
    }
    counter_count = later_count = 64;
    facts_of(state, "default", &facts);
    assert_int_equal(facts.busy_ns, 5);
    assert_int_equal(facts.memory_free_bytes, 5 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failing_to_connect),
        HOST_TEST(errors_tell_what_they_are),
        DEFAULT_TEST(a_pool_is_made_once),
        HOST_TEST(a_pool_that_is_not_a_directory),
        DEFAULT_TEST(nothing_half_made_stays),
        cmocka_unit_test(escaping),
        HOST_TEST(facts_that_the_driver_tells),
        DEFAULT_TEST(a_pool_that_cannot_be_used),
        HOST_TEST(identities),
        HOST_TEST(processors),
        HOST_TEST(memory_of_a_host),
        HOST_TEST(numbers_of_counters),
    };

    vm_peer_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
