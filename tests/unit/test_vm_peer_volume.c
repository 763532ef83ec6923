/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Volumes of a peer that may lie. libvirt's test driver has pools and volumes
 * but no streams: those are functions of this program, which stand in front of
 * the library's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/vm_peer.h"

#include <dlfcn.h>
#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#define STANDS_IN __attribute__((visibility("default")))
#define REAL(function, name)                                                                       \
    do {                                                                                           \
        void *symbol = dlsym(RTLD_NEXT, name);                                                     \
        memcpy(&(function), &symbol, sizeof(function));                                            \
    } while (0)

/* ---- what stands in front of libvirt -------------------------------------------------- */

static struct {
    /* what the other side does */
    size_t sends;     /* bytes, of a pattern */
    size_t at_a_time; /* 0: as many as there is room for */
    bool breaks;      /* in the end, instead of ending */
    bool start_fails, finish_fails;
    size_t takes; /* bytes, then it breaks */
    /* what it was asked */
    uint64_t offset, length;
    size_t sent, taken;
    unsigned started, finished, aborted;
    char bytes[1 << 20]; /* taken */
} other;

static char pattern(size_t at)
{
    return (char)(at * 7 + at / 256);
}

STANDS_IN int virStorageVolDownload(virStorageVolPtr volume, virStreamPtr stream,
                                    unsigned long long offset, unsigned long long length,
                                    unsigned flags)
{
    assert_non_null(volume);
    assert_non_null(stream);
    assert_int_equal(flags, 0);
    other.started++;
    other.offset = offset;
    other.length = length;
    return other.start_fails ? -1 : 0;
}

STANDS_IN int virStorageVolUpload(virStorageVolPtr volume, virStreamPtr stream,
                                  unsigned long long offset, unsigned long long length,
                                  unsigned flags)
{
    return virStorageVolDownload(volume, stream, offset, length, flags);
}

STANDS_IN int virStreamRecv(virStreamPtr stream, char *data, size_t nbytes)
{
    size_t count = other.sends - other.sent;

    assert_non_null(stream);
    assert_true(nbytes > 0);
    if (count > nbytes)
        count = nbytes;
    if (other.at_a_time && count > other.at_a_time)
        count = other.at_a_time;
    for (size_t i = 0; i < count; i++)
        data[i] = pattern(other.sent + i);
    other.sent += count;
    return count == 0 && other.breaks ? -1 : (int)count;
}

STANDS_IN int virStreamSend(virStreamPtr stream, const char *data, size_t nbytes)
{
    size_t count = other.takes - other.taken;

    assert_non_null(stream);
    if (count > nbytes)
        count = nbytes;
    if (other.at_a_time && count > other.at_a_time)
        count = other.at_a_time;
    memcpy(other.bytes + other.taken, data, count);
    other.taken += count;
    return count == 0 ? -1 : (int)count;
}

STANDS_IN int virStreamFinish(virStreamPtr stream)
{
    assert_non_null(stream);
    other.finished++;
    return other.finish_fails ? -1 : 0;
}

STANDS_IN int virStreamAbort(virStreamPtr stream)
{
    assert_non_null(stream);
    other.aborted++;
    return 0;
}

static unsigned creations_that_fail; /* because of a file that the pool has not seen */

STANDS_IN virStorageVolPtr virStorageVolCreateXML(virStoragePoolPtr pool, const char *xml,
                                                  unsigned flags)
{
    virStorageVolPtr (*real)(virStoragePoolPtr, const char *, unsigned);

    REAL(real, "virStorageVolCreateXML");
    if (creations_that_fail == 0)
        return real(pool, xml, flags);
    creations_that_fail--;
    return real(pool, "<not XML", flags);
}

/* ---- a host with one volume --------------------------------------------------------------- */

static virConnectPtr connection; /* another one to the same host */

static void make_volume(const char *name, unsigned long long capacity)
{
    char xml[256];
    virStoragePoolPtr pool = virStoragePoolLookupByName(connection, "default-pool");
    virStorageVolPtr volume;

    string_format(xml, sizeof(xml), "<volume><name>%s</name><capacity>%llu</capacity></volume>",
                  name, capacity);
    volume = virStorageVolCreateXML(pool, xml, 0);
    assert_non_null(volume);
    virStorageVolFree(volume);
    virStoragePoolFree(pool);
}

/* UNKNOWN_U64: there is none. */
static uint64_t capacity_of(const char *name)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(connection, "default-pool");
    virStorageVolPtr volume = virStorageVolLookupByName(pool, name);
    uint64_t capacity = UNKNOWN_U64;
    virStorageVolInfo info;

    if (volume) {
        assert_int_equal(virStorageVolGetInfo(volume, &info), 0);
        capacity = info.capacity;
        virStorageVolFree(volume);
    }
    virStoragePoolFree(pool);
    return capacity;
}

static int make_host(void **state)
{
    memset(&other, 0, sizeof(other));
    creations_that_fail = 0;
    if (vm_peer_open("test:///default", (struct vm_peer **)state, NULL) < 0)
        return -1;
    connection = virConnectOpen("test:///default");
    make_volume("manifest", 5000);
    return connection ? 0 : -1;
}

static int drop_host(void **state)
{
    virConnectClose(connection);
    vm_peer_close(*state);
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

#define GUARD 64

/* Reads into memory of that size with a guard behind it; it must hold what was sent. */
static int read_bytes(void **state, uint64_t offset, size_t size, size_t *ret_length,
                      struct error *err)
{
    CLEANUP(cleanup_free) char *bytes = malloc(size + GUARD);
    size_t length = 12345;
    int r;

    assert_non_null(bytes);
    memset(bytes, 0x55, size + GUARD);
    other.sent = 0;
    other.started = other.finished = other.aborted = 0;
    r = vm_peer_read(*state, "default-pool", "manifest", offset, bytes, size, &length, err);
    for (size_t i = 0; i < GUARD; i++)
        assert_int_equal(bytes[size + i], 0x55);
    for (size_t i = 0; r == 0 && i < length; i++)
        assert_int_equal(bytes[i], pattern(i));
    if (r < 0)
        assert_int_equal(length, 12345); /* untouched */
    *ret_length = length;
    return r;
}

static void ranges(void **state)
{
    static const struct {
        size_t sends, size, at_a_time;
    } cases[] = {
        {4096, 4096, 0}, {4096, 4096, 1}, {4096, 4096, 4095},       {100, 4096, 0},
        {100, 4096, 33}, {0, 4096, 0},    {300000, 1 << 20, 65536}, {1, 1, 0},
    };
    struct error err = {""};
    size_t length;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        other.sends = cases[i].sends;
        other.at_a_time = cases[i].at_a_time;
        assert_int_equal(read_bytes(state, 77 + i, cases[i].size, &length, &err), 0);
        assert_int_equal(length, cases[i].sends);
        assert_int_equal(other.offset, 77 + i);
        assert_int_equal(other.length, cases[i].size);
        assert_int_equal(other.finished, 1);
        assert_int_equal(other.aborted, 0);
    }
    assert_int_equal(read_bytes(state, 0, 0, &length, &err), 0);
    assert_int_equal(length, 0);
    assert_int_equal(other.started, 0); /* for libvirt that would be all of it */
}

static void more_than_was_asked_for(void **state)
{
    static const size_t more[] = {1, 2, 4096, 1 << 24};
    struct error err = {""};
    size_t length;

    for (size_t i = 0; i < ARRAY_LENGTH(more); i++) {
        other.sends = 1000 + more[i];
        other.at_a_time = i % 2 ? 999 : 0;
        assert_int_equal(read_bytes(state, 0, 1000, &length, &err), -EIO);
        assert_string_equal(err.text,
                            "reading volume \"manifest\" of pool \"default-pool\": more came "
                            "than the 1000 bytes asked for");
        assert_int_equal(other.aborted, 1);
        assert_int_equal(other.finished, 0);
        assert_true(other.sent <= 1001);
    }
}

static void reading_that_breaks(void **state)
{
    struct error err = {""};
    size_t length;

    other.sends = 10;
    other.breaks = true;
    assert_int_equal(read_bytes(state, 0, 1000, &length, &err), -EIO);
    assert_int_equal(other.aborted, 1);
    other.breaks = false;
    other.finish_fails = true;
    assert_int_equal(read_bytes(state, 0, 1000, &length, &err), -EIO);
    other.start_fails = true;
    assert_int_equal(read_bytes(state, 0, 1000, &length, &err), -EIO);
    assert_ptr_equal(strstr(err.text, "reading volume \"manifest\" of pool \"default-pool\": "),
                     err.text);
}

static void what_is_not_there(void **state)
{
    struct error err = {""};
    size_t length = 5;
    char byte = 'x';

    assert_int_equal(vm_peer_read(*state, "none", "manifest", 0, &byte, 1, &length, &err), -ENOENT);
    assert_string_equal(err.text, "pool \"none\": Storage pool not found: no storage pool with "
                                  "matching name 'none'");
    assert_int_equal(vm_peer_read(*state, "default-pool", "a\nb", 0, &byte, 1, &length, &err),
                     -ENOENT);
    assert_string_equal(err.text,
                        "volume \"a b\" of pool \"default-pool\": Storage volume not found: "
                        "no storage vol with matching name 'a b'");
    assert_int_equal(length, 5);
    assert_int_equal(byte, 'x');
}

/* ---- writing -------------------------------------------------------------------------------- */

static char data[1 << 20];

static int write_bytes(void **state, const char *name, size_t length, struct error *err)
{
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = pattern(i);
    memset(other.bytes, 0, sizeof(other.bytes));
    other.taken = 0;
    other.started = other.finished = other.aborted = 0;
    return vm_peer_write(*state, "default-pool", name, data, length, err);
}

static void a_volume_is_made_or_replaced(void **state)
{
    static const size_t lengths[] = {1, 5000, 5001, 300000, sizeof(data)};
    struct error err = {""};

    other.takes = sizeof(data);
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++) {
        other.at_a_time = i % 2 ? 1000 : 0;
        assert_int_equal(write_bytes(state, "manifest", lengths[i], &err), 0);
        assert_int_equal(capacity_of("manifest"), lengths[i]);
        assert_int_equal(other.taken, lengths[i]);
        assert_int_equal(other.offset, 0);
        assert_int_equal(other.length, lengths[i]);
        assert_memory_equal(other.bytes, data, lengths[i]);
        assert_int_equal(other.finished, 1);
        assert_int_equal(other.aborted, 0);
    }
    assert_int_equal(write_bytes(state, "a<b>&'\"", 10, &err), 0);
    assert_int_equal(capacity_of("a<b>&'\""), 10);
    assert_int_equal(write_bytes(state, "empty", 0, &err), 0);
    assert_int_equal(capacity_of("empty"), 0);
    assert_int_equal(other.started, 0);
}

static void nothing_half_written_stays(void **state)
{
    struct error err = {""};

    other.takes = 999;
    assert_int_equal(write_bytes(state, "new", 1000, &err), -EIO);
    assert_int_equal(other.aborted, 1);
    assert_int_equal(capacity_of("new"), UNKNOWN_U64);
    other.takes = 1000;
    other.finish_fails = true;
    assert_int_equal(write_bytes(state, "new", 1000, &err), -EIO);
    assert_int_equal(capacity_of("new"), UNKNOWN_U64);
    other.finish_fails = false;
    other.start_fails = true;
    assert_int_equal(write_bytes(state, "new", 1000, &err), -EIO);
    assert_int_equal(capacity_of("new"), UNKNOWN_U64);
    assert_ptr_equal(strstr(err.text, "writing volume \"new\" of pool \"default-pool\": "),
                     err.text);
}

static void a_file_that_the_pool_has_not_seen(void **state)
{
    struct error err = {""};

    other.takes = 10;
    creations_that_fail = 1;
    assert_int_equal(write_bytes(state, "manifest", 10, &err), 0);
    assert_int_equal(capacity_of("manifest"), 10);
    creations_that_fail = 2;
    assert_int_equal(write_bytes(state, "manifest", 10, &err), -EIO);
    assert_int_equal(other.started, 0);
}

static void what_cannot_be_written(void **state)
{
    static const char *const names[] = {"", ".", "..", "a/b", "/a", "a/", "a\nb", "\xff"};
    struct error err = {""};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        assert_int_equal(write_bytes(state, names[i], 10, &err), -EINVAL);
        assert_non_null(strstr(err.text, "cannot be the name of a volume"));
    }
    assert_int_equal(vm_peer_write(*state, "none", "a", data, 10, &err), -ENOENT);
    /* More than there is room for: libvirt's word, and no volume. */
    assert_int_equal(vm_peer_write(*state, "default-pool", "big", data, (size_t)1 << 40, &err),
                     -EIO);
    assert_int_equal(capacity_of("big"), UNKNOWN_U64);
    assert_non_null(strstr(err.text, "making volume \"big\" of pool \"default-pool\": "));
    assert_null(strstr(err.text, "no error"));
}

#define HOST_TEST(function) cmocka_unit_test_setup_teardown(function, make_host, drop_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(ranges),
        HOST_TEST(more_than_was_asked_for),
        HOST_TEST(reading_that_breaks),
        HOST_TEST(what_is_not_there),
        HOST_TEST(a_volume_is_made_or_replaced),
        HOST_TEST(nothing_half_written_stays),
        HOST_TEST(a_file_that_the_pool_has_not_seen),
        HOST_TEST(what_cannot_be_written),
    };

    vm_peer_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
