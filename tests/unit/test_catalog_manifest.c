/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Manifests: the text is what docs/catalog-format.md says, and what is refused says why. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sealed_text.h"
#include "setmov/catalog_manifest.h"

#include <errno.h>

#define HASH_A "0cd9d99d1b4f3c3fd0b0c4b0b5a0c3a1"
#define HASH_B "ffd9d99d1b4f3c3fd0b0c4b0b5a0c3ff"
#define UUID_1 "01000000-0000-0000-0000-000000000000"
#define UUID_2 "01000000-0000-0000-0000-000000000001"
#define HEAD   "setmov-manifest 1\nhost alpha\nmade 1700000000\n"
#define NAME_A HASH_A ".sha256-4096.fingerprint"

#define WHOLE                                                                                      \
    HEAD "fingerprint " NAME_A " 1234 00000000000000ff\n"                                          \
         "fingerprint " HASH_B ".md5-512.fingerprint 18446744073709551614 fedcba9876543210\n"      \
         "vm " UUID_1 " web%201 active 1073741824 2\n"                                             \
         "disk vda /images/a%0A%25%C3%BC.raw " HASH_A " 10737418240\n"                             \
         "disk sdb /dev/vg/b - -\n"                                                                \
         "vm " UUID_2 " %2D inactive - 0\n"

static struct catalog_manifest taken(const char *text, size_t length)
{
    struct catalog_manifest manifest;
    struct error err = {""};

    if (catalog_manifest_parse(text_of(text, length), "m", &manifest, &err) < 0)
        fail_msg("refused: %s", err.text);
    return manifest;
}

static struct catalog_manifest taken_lines(const char *lines)
{
    char *text = sealed_text(lines);
    struct catalog_manifest manifest = taken(text, strlen(text));

    free(text);
    return manifest;
}

static int parse(const char *text, size_t length, struct error *err)
{
    struct catalog_manifest manifest = {.host = NULL}, untouched = {.host = NULL};
    int rc = catalog_manifest_parse(text_of(text, length), "m", &manifest, err);

    if (rc == 0)
        catalog_manifest_release(&manifest);
    assert_memory_equal(&manifest, &untouched, sizeof(manifest));
    return rc;
}

static void refused(const char *lines, int code, const char *message)
{
    char *text = sealed_text(lines);
    struct error err = {""};

    if (parse(text, strlen(text), &err) != code)
        fail_msg("another result for '%s': %s", lines, err.text);
    assert_string_equal(err.text, message);
    free(text);
}

/* ---- what is written and read --------------------------------------------------------- */

static void a_manifest_is_read(void **state)
{
    struct catalog_manifest manifest = taken_lines(WHOLE);
    const struct catalog_manifest_vm *vm = manifest.vms;

    (void)state;
    assert_string_equal(manifest.host, "alpha");
    assert_int_equal(manifest.made_s, 1700000000);
    assert_int_equal(manifest.fingerprint_count, 2);
    assert_string_equal(manifest.fingerprints[0].name, NAME_A);
    assert_int_equal(manifest.fingerprints[0].length, 1234);
    assert_int_equal(manifest.fingerprints[0].checksum, 255);
    assert_int_equal(manifest.fingerprints[1].length, UINT64_MAX - 1);
    assert_int_equal(manifest.fingerprints[1].checksum, UINT64_C(0xfedcba9876543210));
    assert_int_equal(manifest.vm_count, 2);
    assert_string_equal(vm->name, "web 1");
    assert_true(vm->active);
    assert_int_equal(vm->memory_bytes, 1 << 30);
    assert_int_equal(vm->vcpus, 2);
    assert_int_equal(vm->disk_count, 2);
    assert_string_equal(vm->disks[0].target, "vda");
    assert_string_equal(vm->disks[0].path, "/images/a\n%\xc3\xbc.raw");
    assert_string_equal(vm->disks[0].image, HASH_A);
    assert_int_equal(vm->disks[0].capacity_bytes, UINT64_C(10737418240));
    assert_string_equal(vm->disks[1].image, "");
    assert_true(vm->disks[1].capacity_bytes == UNKNOWN_U64);
    assert_string_equal(vm[1].name, "-");
    assert_false(vm[1].active);
    assert_true(vm[1].memory_bytes == UNKNOWN_U64);
    assert_int_equal(vm[1].disk_count, 0);
    catalog_manifest_release(&manifest);
    catalog_manifest_release(&manifest);
    catalog_manifest_release(NULL);
}

/* Whatever the order it was given in, it is written as above. */
static void the_same_text_comes_out(void **state)
{
    struct catalog_manifest manifest = taken_lines(WHOLE);
    char *expected = sealed_text(WHOLE), *text;
    struct error err = {""};
    size_t length;

    (void)state;
    for (size_t turn = 0; turn < 2; turn++) {
        struct catalog_manifest_fingerprint fingerprint = manifest.fingerprints[0];
        struct catalog_manifest_vm vm = manifest.vms[0];

        assert_int_equal(catalog_manifest_encode(&manifest, &text, &length, &err), 0);
        assert_int_equal(length, strlen(expected));
        assert_string_equal(text, expected);
        free(text);
        manifest.fingerprints[0] = manifest.fingerprints[1];
        manifest.fingerprints[1] = fingerprint;
        manifest.vms[0] = manifest.vms[1];
        manifest.vms[1] = vm;
    }
    free(expected);
    catalog_manifest_release(&manifest);
}

static void names_may_have_any_byte(void **state)
{
    char name[] = "x.", path[257] = "/";
    struct catalog_manifest_disk disk = {.target = name, .path = path};
    struct catalog_manifest_vm vm = {
        .name = path, .disks = &disk, .disk_count = 1, .memory_bytes = 5};
    struct catalog_manifest manifest = {.vms = &vm, .vm_count = 1}, read;
    struct error err = {""};
    char *text;
    size_t length;

    (void)state;
    manifest.host = name;
    for (unsigned byte = 1; byte < 256; byte++)
        path[byte - 1] = (char)byte;
    assert_int_equal(catalog_manifest_encode(&manifest, &text, &length, &err), 0);
    for (size_t i = 0; i < length; i++)
        assert_true(text[i] == '\n' || (text[i] >= ' ' && text[i] < 0x7f));
    read = taken(text, length);
    assert_string_equal(read.vms[0].name, path);
    assert_string_equal(read.vms[0].disks[0].path, path);
    catalog_manifest_release(&read);
    free(text);
}

static void fingerprints_are_found(void **state)
{
    (void)state;
    for (unsigned count = 0; count < 20; count++) {
        char lines[2048] = HEAD, name[32];
        struct catalog_manifest manifest;

        for (unsigned i = 0; i < count; i++) {
            size_t at = strlen(lines);

            string_format(lines + at, sizeof(lines) - at,
                          "fingerprint %02u.fingerprint %u 0000000000000000\n", 2 * i, i);
        }
        manifest = taken_lines(lines);
        for (unsigned i = 0; i < 2 * count; i++) {
            string_format(name, sizeof(name), "%02u.fingerprint", i);
            assert_ptr_equal(catalog_manifest_find(&manifest, name),
                             i % 2 == 0 ? &manifest.fingerprints[i / 2] : NULL);
        }
        assert_null(catalog_manifest_find(&manifest, ""));
        assert_null(catalog_manifest_find(&manifest, "x"));
        catalog_manifest_release(&manifest);
    }
}

/* ---- what is refused ------------------------------------------------------------------ */

static bool is_taken(struct text text)
{
    struct error err = {""};
    int rc = parse(text.at, text_length(text), &err);

    if (rc < 0)
        assert_true(strncmp(err.text, "m: ", 3) == 0);
    return rc == 0;
}

static void cut_or_changed_it_is_refused(void **state)
{
    char *text = sealed_text(WHOLE), *longer;
    struct error err = {""};

    (void)state;
    sealed_text_must_be_whole(text, strlen(text), is_taken);
    longer = malloc(strlen(text) + 8);
    assert_non_null(longer);
    assert_true(string_format(longer, strlen(text) + 8, "%s\n", text));
    assert_int_equal(parse(longer, strlen(longer), &err), -EINVAL);
    assert_string_equal(err.text, "m: cut short: the last line is no checksum");
    text[strlen(HEAD)]++;
    assert_int_equal(parse(text, strlen(text), &err), -EINVAL);
    assert_string_equal(err.text, "m: damaged: the checksum in the last line is another");
    free(longer);
    free(text);
}

static void other_kinds_and_versions(void **state)
{
    (void)state;
    refused("setmov-manifest 2\nwhatever\n", -ENOTSUP,
            "m: a manifest of version 2; this program knows 1");
    refused("setmov-load 1\n", -EINVAL,
            "m: this is no manifest: its first line is not 'setmov-manifest 1'");
    refused("", -EINVAL, "m: this is no manifest: its first line is not 'setmov-manifest 1'");
    refused("setmov-manifest 1 1\n", -EINVAL,
            "m: this is no manifest: its first line is not 'setmov-manifest 1'");
    refused("setmov-manifest 1\n", -EINVAL, "m: line 2: 'host' is missing");
    refused("setmov-manifest 1\nhost alpha\n", -EINVAL, "m: line 3: 'made' is missing");
    refused("setmov-manifest 1\nmade 1\nhost alpha\n", -EINVAL,
            "m: line 2: 'made' where 'host' should be");
    refused("setmov-manifest 1\nhost ../x\nmade 1\n", -EINVAL,
            "m: line 2: the host '../x' cannot be a host's name");
    refused("setmov-manifest 1\nhost a\nmade 253402300800\n", -EINVAL,
            "m: line 3: when it was made lies behind the year 9999");
}

#define VM_LINE "vm " UUID_1 " a active 1 1\n"

static void lines_that_are_wrong(void **state)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"\n", "an empty line"},
        {"host alpha\n", "neither a fingerprint, a VM nor a disk"},
        {"fingerprint\n", "the fingerprint's name is missing"},
        {"fingerprint - 1 0000000000000000\n", "the fingerprint's name is empty"},
        {"fingerprint a%2 1 0000000000000000\n",
         "the fingerprint's name has bytes that are not escaped as they should"},
        {"fingerprint a%00.fingerprint 1 0000000000000000\n",
         "the fingerprint's name has bytes that are not escaped as they should"},
        {"fingerprint a%gg.fingerprint 1 0000000000000000\n",
         "the fingerprint's name has bytes that are not escaped as they should"},
        {"fingerprint \xc3\xbc.fingerprint 1 0000000000000000\n",
         "the fingerprint's name has bytes that are not escaped as they should"},
        {"fingerprint " NAME_A " - 0000000000000000\n", "the fingerprint's length is no number"},
        {"fingerprint " NAME_A " 18446744073709551616 0000000000000000\n",
         "the fingerprint's length is no number"},
        {"fingerprint " NAME_A " 1 000000000000000\n",
         "the fingerprint's checksum is not 16 hexadecimal digits"},
        {"fingerprint " NAME_A " 1 000000000000000F\n",
         "the fingerprint's checksum is not 16 hexadecimal digits"},
        {"fingerprint " NAME_A " 1 0000000000000000 x\n", "more words than there should be"},
        {"fingerprint %2E%2E/x.fingerprint 1 0000000000000000\n",
         "'../x.fingerprint' cannot be the name of a fingerprint"},
        {"fingerprint a/x.fingerprint 1 0000000000000000\n",
         "'a/x.fingerprint' cannot be the name of a fingerprint"},
        {"fingerprint .x.fingerprint 1 0000000000000000\n",
         "'.x.fingerprint' cannot be the name of a fingerprint"},
        {"fingerprint .fingerprint 1 0000000000000000\n",
         "'.fingerprint' cannot be the name of a fingerprint"},
        {"fingerprint lock 1 0000000000000000\n", "'lock' cannot be the name of a fingerprint"},
        {"vm x a active 1 1\n", "'x' is no UUID"},
        {"vm " UUID_1 "0 a active 1 1\n", "'" UUID_1 "0' is no UUID"},
        {"vm " UUID_1 " - active 1 1\n", "the VM's name is empty"},
        {"vm " UUID_1 " a running 1 1\n", "the VM's state is neither 'active' nor 'inactive'"},
        {"vm " UUID_1 " a active x 1\n", "the VM's memory is no number"},
        {"vm " UUID_1 " a active 1 -\n", "the VM's number of vCPUs is no number"},
        {"vm " UUID_1 " a active 1 4294967296\n", "so many vCPUs there are not"},
        {"disk vda /a - -\n", "a disk without a VM"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char lines[512], message[512];

        string_format(lines, sizeof(lines), HEAD "%s", cases[i].line);
        string_format(message, sizeof(message), "m: line 4: %s", cases[i].message);
        refused(lines, -EINVAL, message);
    }
    refused(HEAD VM_LINE "disk - /a - -\n", -EINVAL, "m: line 5: the disk's target is empty");
    refused(HEAD VM_LINE "disk vda - - -\n", -EINVAL, "m: line 5: the disk's path is empty");
    refused(HEAD VM_LINE "disk vda /a " HASH_A "0 -\n", -EINVAL,
            "m: line 5: the disk's image is not 32 hexadecimal digits");
    refused(HEAD VM_LINE "disk vda /a 0CD9d99d1b4f3c3fd0b0c4b0b5a0c3a1 -\n", -EINVAL,
            "m: line 5: the disk's image is not 32 hexadecimal digits");
    refused(HEAD VM_LINE "disk vda /a - x\n", -EINVAL, "m: line 5: the disk's size is no number");
}

static void twice_or_out_of_place(void **state)
{
    (void)state;
    refused(HEAD "fingerprint " NAME_A " 1 0000000000000000\nfingerprint " NAME_A
                 " 2 0000000000000000\n",
            -EINVAL, "m: line 5: '" NAME_A "' is there twice, or not in its place");
    refused(HEAD VM_LINE VM_LINE, -EINVAL, "m: line 5: VM 'a' is there twice, or not in its place");
    refused(HEAD "vm " UUID_2 " b active 1 1\n" VM_LINE, -EINVAL,
            "m: line 5: VM 'a' is there twice, or not in its place");
    refused(HEAD VM_LINE "fingerprint " NAME_A " 1 0000000000000000\n", -EINVAL,
            "m: line 5: a fingerprint behind the first VM");
}

/* ---- limits ------------------------------------------------------------------------------ */

/* HEAD, `before`, then `count` lines that the format makes of a number. */
static char *many_lines(const char *before, const char *format, size_t count)
{
    size_t room = strlen(HEAD) + strlen(before) + count * (strlen(format) + 16) + 1, at;
    char *lines = malloc(room);

    assert_non_null(lines);
    string_format(lines, room, HEAD "%s", before);
    at = strlen(lines);
    for (size_t i = 0; i < count; i++) {
        string_format(lines + at, room - at, format, (unsigned)i);
        at += strlen(lines + at);
    }
    return lines;
}

static void at_most(const char *before, const char *format, size_t count, const char *message)
{
    char *lines = many_lines(before, format, count);
    struct catalog_manifest manifest = taken_lines(lines);

    catalog_manifest_release(&manifest);
    free(lines);
    lines = many_lines(before, format, count + 1);
    refused(lines, -EINVAL, message);
    free(lines);
}

#define TWO_DISKS "disk d /x - -\ndisk d /x - -\n"
#define TEN_DISKS TWO_DISKS TWO_DISKS TWO_DISKS TWO_DISKS TWO_DISKS

static void the_limits(void **state)
{
    char *large = calloc(1, CATALOG_MANIFEST_MAX_BYTES + 1);
    struct error err = {""};

    (void)state;
    at_most(VM_LINE, "disk d%u /x - -\n", CATALOG_MANIFEST_MAX_DISKS,
            "m: line 261: more than 256 disks of one VM");
    at_most("", "vm 00000000-0000-0000-0000-0000%08x x active 1 1\n", CATALOG_MANIFEST_MAX_VMS,
            "m: line 100004: more than 100000 VMs");
    at_most("", "fingerprint %08x.fingerprint 1 0000000000000000\n",
            CATALOG_MANIFEST_MAX_FINGERPRINTS, "m: line 1000004: more than 1000000 fingerprints");
    at_most("", "vm 00000000-0000-0000-0000-0000%08x x active 1 1\n" TEN_DISKS TEN_DISKS,
            CATALOG_MANIFEST_MAX_ALL_DISKS / 20, "m: line 1050005: more than 1000000 disks");
    assert_non_null(large);
    assert_int_equal(parse(large, CATALOG_MANIFEST_MAX_BYTES + 1, &err), -EINVAL);
    assert_string_equal(err.text,
                        "m: 67108865 bytes are too many for a manifest; at most 67108864");
    free(large);
}

static void names_that_are_too_long(void **state)
{
    char lines[16384], name[4200];

    (void)state;
    memset(name, 'a', sizeof(name));
    name[255] = '\0';
    string_format(lines, sizeof(lines), HEAD "vm " UUID_1 " %s active 1 1\n", name);
    struct catalog_manifest manifest = taken_lines(lines);
    catalog_manifest_release(&manifest);
    string_format(lines, sizeof(lines), HEAD "vm " UUID_1 " %sb active 1 1\n", name);
    refused(lines, -EINVAL, "m: line 4: the VM's name is longer than 255 bytes");
    name[255] = 'a';
    name[4096] = '\0';
    string_format(lines, sizeof(lines), HEAD "vm " UUID_1 " %s%s%s active 1 1\n", name, name, name);
    refused(lines, -EINVAL, "m: line 4: the VM's name is longer than 255 bytes");
    string_format(lines, sizeof(lines), HEAD VM_LINE "disk vda %s - -\n", name);
    refused(lines, -EINVAL, "m: line 5: the disk's path is longer than 4095 bytes");
    name[229] = '\0';
    string_format(lines, sizeof(lines), HEAD "fingerprint %s.fingerprint 1 0000000000000000\n",
                  name);
    name[100] = '\0';
    string_format(name + 200, sizeof(name) - 200,
                  "m: line 4: '%s' cannot be the name of a fingerprint", name);
    refused(lines, -EINVAL, name + 200);
}

/* ---- what is not written ---------------------------------------------------------------- */

static void not_written(const struct catalog_manifest *manifest, const char *message)
{
    struct error err = {""};
    char *text = NULL;
    size_t length = 7;

    assert_int_equal(catalog_manifest_encode(manifest, &text, &length, &err), -EINVAL);
    assert_string_equal(err.text, message);
    assert_null(text);
    assert_int_equal(length, 7);
}

static void nothing_is_written_that_is_not_read(void **state)
{
    struct catalog_manifest manifest = taken_lines(WHOLE);
    char bad[] = "a/b", none[] = "", *kept;

    (void)state;
    kept = manifest.host;
    manifest.host = bad;
    not_written(&manifest, "the host 'a/b' cannot be a host's name");
    manifest.host = kept;
    manifest.made_s = -1;
    not_written(&manifest, "when it was made is no time: -1");
    manifest.made_s = 1;
    kept = manifest.fingerprints[0].name;
    manifest.fingerprints[0].name = bad;
    not_written(&manifest, "'a/b' cannot be the name of a fingerprint");
    manifest.fingerprints[0].name = manifest.fingerprints[1].name;
    not_written(&manifest, "fingerprint '" HASH_B ".md5-512.fingerprint' is there twice");
    manifest.fingerprints[0].name = kept;
    manifest.fingerprints[0].length = UNKNOWN_U64;
    not_written(&manifest, "fingerprint '" NAME_A "' has no length");
    manifest.fingerprints[0].length = 1;
    kept = manifest.vms[1].name;
    manifest.vms[1].name = none;
    not_written(&manifest, "VM '': the VM's name is empty: 0 bytes, of 1 to 255");
    manifest.vms[1].name = kept;
    manifest.vms[0].disks[1].image[0] = 'x';
    not_written(&manifest, "VM 'web 1': the disk's image is not 32 hexadecimal digits");
    manifest.vms[0].disks[1].image[0] = '\0';
    manifest.vms[1].uuid = manifest.vms[0].uuid;
    manifest.vms[1].name[0] = 'q';
    manifest.vms[0].name[0] = 'q';
    manifest.vms[0].name[1] = '\0';
    not_written(&manifest, "two VMs, one of them 'q', have the same UUID");
    catalog_manifest_release(&manifest);
}

static void too_many_disks_are_not_written(void **state)
{
    struct catalog_manifest_disk disks[CATALOG_MANIFEST_MAX_DISKS + 1];
    char name[] = "x";
    struct catalog_manifest_vm vm = {
        .name = name, .disks = disks, .disk_count = ARRAY_LENGTH(disks)};
    struct catalog_manifest manifest = {.host = name, .vms = &vm, .vm_count = 1};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(disks); i++)
        disks[i] = (struct catalog_manifest_disk){.target = name, .path = name};
    not_written(&manifest, "VM 'x': 257 disks; a manifest takes at most 256 of one VM");
    vm.disk_count = CATALOG_MANIFEST_MAX_DISKS;
    manifest.vm_count = CATALOG_MANIFEST_MAX_ALL_DISKS / CATALOG_MANIFEST_MAX_DISKS + 1;
    manifest.vms = calloc(manifest.vm_count, sizeof(vm));
    assert_non_null(manifest.vms);
    for (size_t i = 0; i < manifest.vm_count; i++) {
        manifest.vms[i] = vm;
        memcpy(manifest.vms[i].uuid.bytes, &i, sizeof(i));
    }
    not_written(&manifest, "more disks than the 1000000 that a manifest takes");
    free(manifest.vms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_is_read),
        cmocka_unit_test(the_same_text_comes_out),
        cmocka_unit_test(names_may_have_any_byte),
        cmocka_unit_test(fingerprints_are_found),
        cmocka_unit_test(cut_or_changed_it_is_refused),
        cmocka_unit_test(other_kinds_and_versions),
        cmocka_unit_test(lines_that_are_wrong),
        cmocka_unit_test(twice_or_out_of_place),
        cmocka_unit_test(the_limits),
        cmocka_unit_test(names_that_are_too_long),
        cmocka_unit_test(nothing_is_written_that_is_not_read),
        cmocka_unit_test(too_many_disks_are_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
