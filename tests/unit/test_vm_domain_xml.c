/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices out of domain XML: recorded domains, and text that nobody should send. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_data.h"

#include "vm/domain_xml.h"

#include <errno.h>

static const char *const recorded[] = {"linux", "multi", "off", "test-driver", "network-live"};

static void recorded_domain_gives_what_is_expected(void **state)
{
    CLEANUP(domain_devices_release) struct domain_devices devices = {.disks = NULL};
    CLEANUP(file_buffer_release) struct file_buffer xml = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *found = NULL;
    struct error err = {""};
    char leaf[256];
    size_t length;
    FILE *out;

    string_format(leaf, sizeof(leaf), "%s.xml", (const char *)*state);
    vm_data_read(leaf, &xml);
    if (domain_devices_parse(text_of(xml.bytes, xml.length), &devices, &err) < 0)
        fail_msg("%s: %s", leaf, err.text);
    out = open_memstream(&found, &length);
    assert_non_null(out);
    for (size_t i = 0; i < devices.disk_count; i++)
        fprintf(out, "disk \"%s\" source=\"%s\"\n", devices.disks[i].target,
                devices.disks[i].source);
    for (size_t i = 0; i < devices.interface_count; i++)
        fprintf(out, "interface \"%s\" mac=%s type=%s\n", devices.interfaces[i].target,
                devices.interfaces[i].mac, devices.interfaces[i].type);
    fprintf(out, "balloon %s\n", devices.has_balloon ? "yes" : "no");
    assert_int_equal(fclose(out), 0);
    vm_data_expect(leaf, found);
}

/* The text in memory of just its size; the devices hold something beforehand. */
static int parse(const char *text, size_t length, struct domain_devices *devices, struct error *err)
{
    static const char full[] = "<domain><devices><disk><target dev='old'/></disk>"
                               "<interface/><memballoon model='virtio'/></devices></domain>";
    char *copy = malloc(length + !length);
    int r;

    assert_int_equal(domain_devices_parse(text_of(full, strlen(full)), devices, NULL), 0);
    assert_true(devices->disk_count == 1 && devices->interface_count == 1 && devices->has_balloon);
    memcpy(copy, text, length);
    r = domain_devices_parse(text_of(copy, length), devices, err);
    free(copy);
    return r;
}

static void check_refused(const char *text, size_t length)
{
    CLEANUP(domain_devices_release) struct domain_devices devices = {.disks = NULL};
    struct error err = {""};

    assert_int_equal(parse(text, length, &devices, &err), -EBADMSG);
    assert_true(err.text[0] != '\0' && !strchr(err.text, '\n'));
    assert_true(devices.disk_count == 0 && devices.interface_count == 0 && !devices.has_balloon);
}

static void what_is_no_domain_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "\n\n",
        "not XML",
        "<domain>",
        "<domain/><domain/>",
        "<domain></domains>",
        "<domstatus><domain/></domstatus>",
        "<network><name>default</name></network>",
        "<?xml version='1.0'?>",
        "<domain attribute='1' attribute='2'/>",
        "<domain>\xff\xfe</domain>",
        "<domain>&unknown;</domain>",
        "\x1f\x8b\x08",
        "{\"domain\": {}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        check_refused(texts[i], strlen(texts[i]));
    check_refused("<domain>\0</domain>", 18);
}

static void document_types_and_entities_are_refused(void **state)
{
    static const char *const texts[] = {
        "<!DOCTYPE domain><domain/>",
        "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>",
        "<!DOCTYPE domain PUBLIC 'x' 'http://127.0.0.1:1/x.dtd'><domain/>",
        "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
        "<domain><devices><disk><source file='/a'/><target "
        "dev='vda'/></disk>&x;</devices></domain>",
        "<!DOCTYPE d [<!ENTITY % x SYSTEM 'file:///etc/passwd'>%x;]><domain/>",
        "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
        "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY e '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'>"
        "<!ENTITY f '&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;'><!ENTITY g '&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;'>"
        "<!ENTITY h '&g;&g;&g;&g;&g;&g;&g;&g;&g;&g;'><!ENTITY i '&h;&h;&h;&h;&h;&h;&h;&h;&h;&h;'>]>"
        "<domain name='&i;'><devices><disk><target dev='&i;'/></disk></devices></domain>",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        check_refused(texts[i], strlen(texts[i]));
}

static void depth_is_bounded(void **state)
{
    enum { DEPTH = 100000 };
    char *text = malloc((size_t)DEPTH * 4 + 64), *at = text;

    (void)state;
    at = mempcpy(at, "<domain>", 8);
    for (size_t i = 0; i < DEPTH; i++)
        at = mempcpy(at, "<a>", 3);
    check_refused(text, (size_t)(at - text));
    free(text);
}

static char *blanks_behind(const char *head, size_t length)
{
    char *text = malloc(length);

    memset(text, ' ', length);
    memcpy(text, head, strlen(head));
    return text;
}

static void size_is_bounded(void **state)
{
    CLEANUP(domain_devices_release) struct domain_devices devices = {.disks = NULL};
    char *text = blanks_behind("<domain/>", (size_t)20 << 20);
    struct error err = {""};

    (void)state;
    assert_int_equal(parse(text, (size_t)1 << 20, &devices, NULL), 0);
    check_refused(text, (size_t)20 << 20);
    assert_int_equal(domain_devices_parse(text_of(text, (size_t)20 << 20), &devices, &err),
                     -EBADMSG);
    assert_string_equal(err.text, "domain XML: above 16 MiB"); /* before libxml2 sees any of it */
    check_refused(text, ((size_t)16 << 20) + 1);
    free(text);
}

static char *xml_with(const char *disk_source, const char *target, const char *mac)
{
    size_t size = strlen(disk_source) + 2 * strlen(target) + strlen(mac) + 512;
    char *xml = malloc(size);

    assert_true(string_format(xml, size,
                              "<domain><devices><disk><source file='%s'/><target dev='%s'/></disk>"
                              "<interface type='bridge'><mac address='%s'/><target dev='%s'/>"
                              "</interface></devices></domain>",
                              disk_source, target, mac, target));
    return xml;
}

static void values_longer_than_their_room_are_left_out(void **state)
{
    CLEANUP(domain_devices_release) struct domain_devices devices = {.disks = NULL};
    CLEANUP(cleanup_free) char *longest = blanks_behind("", 70000), *xml = NULL;
    char room[VM_PATH_BYTES];

    (void)state;
    memset(longest, 'x', 70000);
    longest[69999] = '\0';
    xml = xml_with(longest, "vda", longest);
    assert_int_equal(parse(xml, strlen(xml), &devices, NULL), 0);
    assert_int_equal(devices.disk_count, 1);
    assert_string_equal(devices.disks[0].source, "");
    assert_string_equal(devices.disks[0].target, "vda");
    assert_string_equal(devices.interfaces[0].mac, "");
    free(xml);
    xml = xml_with("/image", longest, "52:54:00:00:00:01"); /* a disk without a name is none */
    assert_int_equal(parse(xml, strlen(xml), &devices, NULL), 0);
    assert_int_equal(devices.disk_count, 0);
    assert_string_equal(devices.interfaces[0].target, "");
    assert_string_equal(devices.interfaces[0].mac, "52:54:00:00:00:01");
    free(xml);
    memset(room, 'y', sizeof(room) - 1); /* just fits */
    room[sizeof(room) - 1] = '\0';
    xml = xml_with(room, "vda", "");
    assert_int_equal(parse(xml, strlen(xml), &devices, NULL), 0);
    assert_string_equal(devices.disks[0].source, room);
}

static void only_the_domains_own_devices_count(void **state)
{
    static const char xml[] =
        "<domain xmlns:x='urn:x'><metadata><x:old><devices><disk><target dev='meta'/></disk>"
        "</devices></x:old></metadata><disk><target dev='stray'/></disk>"
        "<devices><disk><target dev='vda'/><mirror><source file='/m'/><target dev='no'/></mirror>"
        "</disk><disk/><hostdev><source/><target dev='no'/></hostdev>"
        "<!-- <disk><target dev='comment'/></disk> --><![CDATA[<disk/>]]>"
        "<memballoon/></devices></domain>";
    CLEANUP(domain_devices_release) struct domain_devices devices = {.disks = NULL};

    (void)state;
    assert_int_equal(parse(xml, strlen(xml), &devices, NULL), 0);
    assert_int_equal(devices.disk_count, 1);
    assert_string_equal(devices.disks[0].target, "vda");
    assert_string_equal(devices.disks[0].source, "");
    assert_int_equal(devices.interface_count, 0);
    assert_false(devices.has_balloon);
}

static void text_cut_short_anywhere_is_refused(void **state)
{
    CLEANUP(file_buffer_release) struct file_buffer xml = {NULL, 0, 0};
    size_t end;

    (void)state;
    vm_data_read("multi.xml", &xml);
    for (end = xml.length; end > 0 && xml.bytes[end - 1] == '\n'; end--)
        ;
    for (size_t length = 0; length < end; length += 7)
        check_refused(xml.bytes, length);
    check_refused(xml.bytes, end - 1);
}

static void many_devices_are_bounded(void **state)
{
    CLEANUP(domain_devices_release) struct domain_devices devices = {.disks = NULL};
    static const char disk[] = "<disk><target dev='vda'/></disk><interface/>";
    char *text = malloc(5000 * sizeof(disk) + 64), *at = text;

    (void)state;
    at = mempcpy(at, "<domain><devices>", 17);
    for (size_t i = 0; i < 5000; i++)
        at = mempcpy(at, disk, sizeof(disk) - 1);
    at = mempcpy(at, "</devices></domain>", 19);
    assert_int_equal(parse(text, (size_t)(at - text), &devices, NULL), 0);
    assert_int_equal(devices.disk_count, 4096);
    assert_int_equal(devices.interface_count, 4096);
    free(text);
}

int main(void)
{
    struct CMUnitTest tests[8 + ARRAY_LENGTH(recorded)] = {
        cmocka_unit_test(what_is_no_domain_is_refused),
        cmocka_unit_test(document_types_and_entities_are_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(values_longer_than_their_room_are_left_out),
        cmocka_unit_test(only_the_domains_own_devices_count),
        cmocka_unit_test(text_cut_short_anywhere_is_refused),
        cmocka_unit_test(many_devices_are_bounded),
    };

    for (size_t i = 0; i < ARRAY_LENGTH(recorded); i++)
        tests[8 + i] = (struct CMUnitTest){
            .name = recorded[i],
            .test_func = recorded_domain_gives_what_is_expected,
            .initial_state = (void *)(uintptr_t)recorded[i],
        };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
