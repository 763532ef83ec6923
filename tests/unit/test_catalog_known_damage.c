/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known hosts in files that are damaged, hostile, no files, or cut short while they are read. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "known_park.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- damage --------------------------------------------------------------------------------- */

static int decode(const uint8_t *bytes, size_t length, struct error *err)
{
    struct catalog_known *known = NULL;
    int rc = catalog_known_decode(bytes, length, "k", &known, err);

    assert_int_equal(rc < 0, known == NULL);
    catalog_known_close(known);
    return rc;
}

static void cut_or_changed_it_is_refused(void **state)
{
    struct park *park = make_park(3);
    size_t length = 0;
    uint8_t *bytes = encoded(park, &length);
    struct error err = {""};

    (void)state;
    for (size_t cut = 0; cut < length; cut += cut < 100 ? 1 : 7) {
        uint8_t *part = malloc(cut + 1); /* of its size, for the sanitizer */

        assert_non_null(part);
        memcpy(part, bytes, cut);
        assert_int_equal(decode(part, cut, &err), -EINVAL);
        if (cut >= KNOWN_HEADER_BYTES) {
            mend(part, cut);
            assert_int_equal(decode(part, cut, &err), -EINVAL);
            assert_string_equal(err.text, "k is damaged: its length is not what its head tells");
        }
        free(part);
    }
    for (size_t bit = 0; bit < 8 * length; bit++) {
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1 << bit % 8);
        if (decode(bytes, length, &err) == 0)
            fail_msg("bit %zu of byte %zu is turned, and it is taken", bit % 8, bit / 8);
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1 << bit % 8);
    }
    assert_int_equal(decode(bytes, length, &err), 0);
    free(bytes);
    free(park);
}

/* Two hosts, the second with two VMs of one disk each: fields lie where they are put. */
struct small {
    uint8_t *bytes, *hosts, *vms, *disks, *strings;
    size_t length;
};

static struct small make_small(void)
{
    char name[] = "x", other[] = "y";
    struct catalog_manifest_disk disk = {.target = name, .path = name, .image = HASH};
    struct catalog_manifest_vm vms[2] = {{.name = name, .disks = &disk, .disk_count = 1},
                                         {.name = other, .disks = &disk, .disk_count = 1}};
    struct catalog_manifest manifest = {.vms = vms, .vm_count = 2};
    const struct catalog_known_source sources[] = {
        {.host = {.name = "a", .directory = "d"}},
        {.host = {.name = "b", .directory = "d", .problem = "p"}, .manifest = &manifest}};
    struct small small = {.bytes = NULL};

    vms[1].uuid.bytes[0] = 1;
    assert_int_equal(catalog_known_encode(sources, 2, 5, &small.bytes, &small.length, NULL), 0);
    small.hosts = small.bytes + KNOWN_HEADER_BYTES;
    small.vms = small.hosts + 2 * KNOWN_HOST_BYTES;
    small.disks = small.vms + 2 * KNOWN_VM_BYTES;
    small.strings = small.disks + 2 * KNOWN_DISK_BYTES;
    return small;
}

static void refused(uint8_t *field, uint64_t value, size_t size, struct small *small, int code,
                    const char *message)
{
    struct error err = {""};

    value = htole64(value);
    memcpy(field, &value, size);
    mend(small->bytes, small->length);
    assert_int_equal(decode(small->bytes, small->length, &err), code);
    assert_string_equal(err.text, message);
    free(small->bytes);
    *small = make_small();
}

static void damage_of_the_head_is_told(void **state)
{
    struct small small = make_small();

    (void)state;
    refused(small.bytes, 'X', 1, &small, -EINVAL, "k is no list of known hosts");
    refused(small.bytes + KNOWN_AT_VERSION, 2, 4, &small, -ENOTSUP,
            "k: a list of known hosts of version 2; this program knows 1");
    refused(small.bytes + KNOWN_AT_HOSTS, 65536, 4, &small, -EINVAL,
            "k is damaged: the number of hosts");
    refused(small.bytes + KNOWN_AT_HOSTS, 3, 4, &small, -EINVAL,
            "k is damaged: its length is not what its head tells");
    refused(small.bytes + KNOWN_AT_VMS, UINT32_MAX, 4, &small, -EINVAL,
            "k is damaged: its length is not what its head tells");
    refused(small.bytes + KNOWN_AT_DISKS, UINT32_MAX, 4, &small, -EINVAL,
            "k is damaged: its length is not what its head tells");
    refused(small.bytes + KNOWN_AT_STRINGS, UINT64_MAX, 8, &small, -EINVAL,
            "k is damaged: its length is not what its head tells");
    refused(small.bytes + KNOWN_AT_MADE, UINT64_MAX, 8, &small, -EINVAL,
            "k is damaged: when it was made");
    refused(small.bytes + small.length - 1, 'x', 1, &small, -EINVAL,
            "k is damaged: a string has no end");
    free(small.bytes);
}

static void damage_of_hosts_is_told(void **state)
{
    struct small small = make_small();
    size_t strings = small.length - (size_t)(small.strings - small.bytes);

    (void)state;
    refused(small.hosts + KNOWN_HOST_NAME, strings, 4, &small, -EINVAL,
            "k is damaged: a host's name");
    refused(small.strings, '/', 1, &small, -EINVAL, "k is damaged: a host's name");
    refused(small.strings, 'c', 1, &small, -EINVAL, "k is damaged: the order of hosts");
    refused(small.strings, 'b', 1, &small, -EINVAL, "k is damaged: the order of hosts");
    refused(small.hosts + KNOWN_HOST_DIRECTORY, strings, 4, &small, -EINVAL,
            "k is damaged: what it says of a host");
    refused(small.hosts + KNOWN_HOST_DIRECTORY, KNOWN_NO_STRING, 4, &small, -EINVAL,
            "k is damaged: what it says of a host");
    refused(small.hosts + KNOWN_HOST_PROBLEM, strings, 4, &small, -EINVAL,
            "k is damaged: what it says of a host");
    refused(small.hosts + KNOWN_HOST_FLAGS, 2, 4, &small, -EINVAL,
            "k is damaged: what it says of a host");
    refused(small.hosts + KNOWN_HOST_READ, UINT64_MAX, 8, &small, -EINVAL,
            "k is damaged: what it says of a host");
    refused(small.hosts + KNOWN_HOST_MADE, UINT64_MAX / 2, 8, &small, -EINVAL,
            "k is damaged: what it says of a host");
    free(small.bytes);
}

/* Noticed by who follows it, by UUID and by name. */
static void not_found(uint8_t *field, uint64_t value, size_t size, struct small *small,
                      const char *message)
{
    struct catalog_known_vm *vms = NULL;
    const struct uuid first = {{0}};
    struct catalog_known *known;
    struct error err = {""};
    size_t count = 7;

    value = htole64(value);
    memcpy(field, &value, size);
    mend(small->bytes, small->length);
    known = decoded(small->bytes, small->length);
    assert_int_equal(catalog_known_find(known, &first, &vms, &count, &err), -EINVAL);
    assert_string_equal(err.text, message);
    err.text[0] = '\0';
    if (catalog_known_find_text(known, "x", &vms, &count, &err) == 0) {
        assert_int_equal(count, 0);
        catalog_known_vms_free(vms, count);
    } else {
        assert_string_equal(err.text, message);
        assert_null(vms);
        assert_int_equal(count, 7);
    }
    catalog_known_close(known);
    free(small->bytes);
    *small = make_small();
}

static void damage_of_vms_is_told(void **state)
{
    struct small small = make_small();
    size_t strings = small.length - (size_t)(small.strings - small.bytes);

    (void)state;
    not_found(small.vms + KNOWN_VM_NAME, strings, 4, &small, "k is damaged: a VM");
    not_found(small.vms + KNOWN_VM_NAME, UINT32_MAX, 4, &small, "k is damaged: a VM");
    not_found(small.vms + KNOWN_VM_HOST, 2, 2, &small, "k is damaged: a VM");
    not_found(small.vms + KNOWN_VM_FLAGS, 2, 2, &small, "k is damaged: a VM");
    not_found(small.vms + KNOWN_VM_DISKS_END, 3, 4, &small, "k is damaged: the disks of a VM");
    not_found(small.vms + KNOWN_VM_DISKS_END, UINT32_MAX, 4, &small,
              "k is damaged: the disks of a VM");
    not_found(small.disks + KNOWN_DISK_TARGET, strings, 4, &small, "k is damaged: a disk");
    not_found(small.disks + KNOWN_DISK_PATH, UINT32_MAX, 4, &small, "k is damaged: a disk");
    free(small.bytes);
}

/* The second VM has the first one's UUID, on the same host. */
static void a_host_has_a_vm_once(void **state)
{
    struct small small = make_small();
    const struct uuid first = {{0}};
    struct catalog_known_vm *vms;
    struct catalog_known *known;
    struct error err = {""};
    size_t count;

    (void)state;
    small.vms[KNOWN_VM_BYTES + KNOWN_VM_UUID] = 0;
    mend(small.bytes, small.length);
    known = decoded(small.bytes, small.length);
    assert_int_equal(catalog_known_find(known, &first, &vms, &count, &err), -EINVAL);
    assert_string_equal(err.text, "k is damaged: the order of VMs");
    catalog_known_close(known);
    free(small.bytes);
}

/* Disks that end before they begin, seen from the VM behind. */
static void disks_do_not_go_backwards(void **state)
{
    struct small small = make_small();
    struct uuid second = {{1}};
    struct catalog_known_vm *vms;
    struct catalog_known *known;
    struct error err = {""};
    size_t count;

    (void)state;
    put_u32(small.vms + KNOWN_VM_DISKS_END, 2);
    put_u32(small.vms + KNOWN_VM_BYTES + KNOWN_VM_DISKS_END, 1);
    mend(small.bytes, small.length);
    known = decoded(small.bytes, small.length);
    assert_int_equal(catalog_known_find(known, &second, &vms, &count, &err), -EINVAL);
    assert_string_equal(err.text, "k is damaged: the disks of a VM");
    assert_int_equal(catalog_known_find_text(known, "q", &vms, &count, &err), -EINVAL);
    assert_string_equal(err.text, "k is damaged: the disks of a VM");
    catalog_known_close(known);
    free(small.bytes);
}

/* ---- the file ------------------------------------------------------------------------------- */

static char directory[64], file_path[96];

static void put_file(const uint8_t *bytes, size_t length)
{
    FILE *file = fopen(file_path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void not_opened(int code, const char *message)
{
    struct catalog_known *known = NULL;
    char expected[256];
    struct error err = {""};

    assert_int_equal(catalog_known_open(directory, &known, &err), code);
    string_format(expected, sizeof(expected), "%s%s", file_path, message);
    assert_string_equal(err.text, expected);
    assert_null(known);
}

static void what_is_no_file_is_not_opened(void **state)
{
    struct park *park = make_park(2);
    size_t length = 0;
    uint8_t *bytes = encoded(park, &length);

    (void)state;
    not_opened(-ENOENT, ": No such file or directory");
    put_file(bytes, 0);
    not_opened(-EINVAL, " is empty");
    put_file(bytes, length - 1);
    not_opened(-EINVAL, " is damaged: its length is not what its head tells");
    unlink(file_path);
    assert_int_equal(mkdir(file_path, 0700), 0);
    not_opened(-EISDIR, " is not a regular file");
    assert_int_equal(rmdir(file_path), 0);
    assert_int_equal(mkfifo(file_path, 0600), 0);
    not_opened(-EINVAL, " is not a regular file");
    unlink(file_path);
    free(bytes);
    free(park);
}

/* None of it is mapped, or a file of holes would fill the memory. */
static void a_file_that_is_too_long_is_not_read(void **state)
{
    struct rlimit before, little;
    struct park *park = make_park(2);
    size_t length = 0;
    uint8_t *bytes = encoded(park, &length);

    (void)state;
    put_file(bytes, length);
    assert_int_equal(truncate(file_path, (off_t)1 << 36), 0);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    little = (struct rlimit){(rlim_t)1 << 34, before.rlim_max};
#ifdef __SANITIZE_ADDRESS__
    little = before; /* it takes terabytes of addresses */
#endif
    assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
    not_opened(-EINVAL, " is damaged: its length is not what its head tells");
    put_file((const uint8_t *)"no list", 7);
    assert_int_equal(truncate(file_path, (off_t)1 << 36), 0);
    not_opened(-EINVAL, " is no list of known hosts");
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    unlink(file_path);
    free(bytes);
    free(park);
}

static void a_file_that_is_cut_short_is_told(void **state)
{
    struct park *park = make_park(MOST_HOSTS);
    size_t length = 0, count;
    uint8_t *bytes = encoded(park, &length);
    struct catalog_known *known = NULL;
    struct catalog_known_vm *vms;
    struct uuid uuid = {{0}};
    struct error err = {""};
    char expected[256];

    (void)state;
    assert_true(length > 8192);
    /* cmocka has a handler of its own, which is put back behind each test. */
    assert_int_equal(fingerprint_file_guard_install(&err), 0);
    put_file(bytes, length);
    assert_int_equal(catalog_known_open(directory, &known, &err), 0);
    assert_int_equal(catalog_known_find(known, &uuid, &vms, &count, &err), 0);
    catalog_known_vms_free(vms, count);
    assert_int_equal(truncate(file_path, 0), 0);
    assert_int_equal(catalog_known_find(known, &uuid, &vms, &count, &err), -EIO);
    string_format(expected, sizeof(expected), "%s was cut short while it was read", file_path);
    assert_string_equal(err.text, expected);
    assert_int_equal(catalog_known_find_text(known, "x", &vms, &count, &err), -EIO);
    assert_string_equal(catalog_known_host(known, 0)->name, "");
    catalog_known_close(known);
    unlink(file_path);
    free(bytes);
    free(park);
}

static int make_directory(void **state)
{
    (void)state;
    string_copy(directory, sizeof(directory), "/tmp/setmov-known.XXXXXX");
    if (mkdtemp(directory) == NULL)
        return 1;
    return !string_format(file_path, sizeof(file_path), "%s/%s", directory, CATALOG_KNOWN_NAME);
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_or_changed_it_is_refused),
        cmocka_unit_test(damage_of_the_head_is_told),
        cmocka_unit_test(damage_of_hosts_is_told),
        cmocka_unit_test(damage_of_vms_is_told),
        cmocka_unit_test(a_host_has_a_vm_once),
        cmocka_unit_test(disks_do_not_go_backwards),
        cmocka_unit_test(what_is_no_file_is_not_opened),
        cmocka_unit_test(a_file_that_is_too_long_is_not_read),
        cmocka_unit_test(a_file_that_is_cut_short_is_told),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
