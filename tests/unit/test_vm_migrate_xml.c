/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The XML of a domain that migrates: its disks as they are there, its plan, and nothing else changed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/vm_incoming.h"

#include "vm/migrate_xml.h"

#include <errno.h>

#define NAME_UUID "<name>x</name><uuid>6a0bbf4c-3a2e-4b35-9d4b-61b0c8c8c001</uuid>"
#define HEAD      "<domain type='qemu'>" NAME_UUID "<memory>1024</memory>"
#define PLAN_NS   "xmlns:setmov=\"" VM_INCOMING_NAMESPACE "\""
#define SHA       "ab01000000000000000000000000000000000000000000000000000000000000"

static const uint8_t sha256[32] = {0xab, 1};

static struct text text(const char *string)
{
    return text_of(string, strlen(string));
}

static struct vm_layer top_and_base[] = {{(char *)"/i/a.qcow2", (char *)"qcow2"},
                                         {(char *)"/i/gold & b.raw", (char *)"raw"}};
static struct vm_layer flat[] = {{(char *)"/i/a.raw", (char *)"raw"}};
static const struct vm_migrate_disk vda_flat = {.target = "vda", .layers = flat, .count = 1};
static const struct vm_migrate_disk vda_chain = {
    .target = "vda", .layers = top_and_base, .count = 2};

static void check_edit(const char *xml, const struct vm_migrate_disk *disk, const char *plan,
                       const char *expected)
{
    CLEANUP(cleanup_free) char *found = NULL;
    struct error err = {""};

    if (vm_migrate_xml(text(xml), disk, disk != NULL, plan, sha256, &found, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(found, expected);
}

/* ---- disks ---------------------------------------------------------------------------------- */

static void a_frozen_disk_becomes_a_flat_one(void **state)
{
    (void)state;
    check_edit(HEAD "<devices><emulator>/q</emulator><disk type='file' device='disk'>"
                    "<driver name='qemu' type='qcow2' cache='none'/>"
                    "<source file='/i/a.raw.setmov-1' startupPolicy='optional' index='2'>"
                    "<seclabel model='dac' relabel='no'/></source>"
                    "<backingStore type='file' index='1'><format type='raw'/>"
                    "<source file='/i/a.raw'/><backingStore/></backingStore>"
                    "<target dev='vda' bus='virtio'/><serial>s</serial></disk>"
                    "<disk type='file'><source file='/i/b'/><target dev='vdb'/></disk>"
                    "</devices></domain>",
               &vda_flat, NULL,
               "<domain type=\"qemu\">" NAME_UUID "<memory>1024</memory>"
               "<devices><emulator>/q</emulator><disk type=\"file\" device=\"disk\">"
               "<driver name=\"qemu\" type=\"raw\" cache=\"none\"/>"
               "<source file=\"/i/a.raw\" startupPolicy=\"optional\">"
               "<seclabel model=\"dac\" relabel=\"no\"/></source>"
               "<target dev=\"vda\" bus=\"virtio\"/><serial>s</serial><backingStore/></disk>"
               "<disk type=\"file\"><source file=\"/i/b\"/><target dev=\"vdb\"/></disk>"
               "</devices></domain>");
}

static void a_chain_is_written_down_to_its_end(void **state)
{
    (void)state;
    check_edit("<domain><devices><disk type='block'><source dev='/dev/x'/><target dev='vda'/>"
               "<mirror type='file'/></disk></devices></domain>",
               &vda_chain, NULL,
               "<domain><devices><disk type=\"file\"><source file=\"/i/a.qcow2\"/>"
               "<target dev=\"vda\"/><driver name=\"qemu\" type=\"qcow2\"/>"
               "<backingStore type=\"file\"><format type=\"raw\"/>"
               "<source file=\"/i/gold &amp; b.raw\"/><backingStore/></backingStore></disk>"
               "</devices></domain>");
}

/* A definition: layers that libvirt added for a snapshot have no end, those of its author have. */
static void a_definition_says_no_more_of_layers_than_before(void **state)
{
    static const char *const tails[][2] = {
        {"", ""},
        {"<backingStore type='file'><format type='raw'/><source file='/i/a'/></backingStore>", ""},
        {"<backingStore type='file'><format type='raw'/><source file='/i/a'/><backingStore/>"
         "</backingStore>",
         "<backingStore/>"},
        {"<backingStore/>", "<backingStore/>"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(tails); i++) {
        CLEANUP(cleanup_free) char *found = NULL;
        char xml[512], expected[512];

        string_format(xml, sizeof(xml),
                      "<domain><devices><disk><driver/><source file='/o'/><target dev='vda'/>%s"
                      "</disk></devices></domain>",
                      tails[i][0]);
        string_format(expected, sizeof(expected),
                      "<domain><devices><disk type=\"file\"><driver type=\"raw\"/>"
                      "<source file=\"/i/a.raw\"/><target dev=\"vda\"/>%s</disk></devices>"
                      "</domain>",
                      tails[i][1]);
        assert_int_equal(migrate_xml_define(text(xml), &vda_flat, 1, NULL, NULL, &found, NULL), 0);
        assert_string_equal(found, expected);
    }
}

/* Of a VM that runs: a disk was plugged in, and is no part of its definition. */
static void a_definition_may_lack_a_disk_that_was_plugged_in(void **state)
{
    static const char xml[] = "<domain><devices/></domain>";
    CLEANUP(cleanup_free) char *found = NULL, *other = NULL;
    const uint8_t none[32] = {0};

    (void)state;
    assert_int_equal(migrate_xml_define(text(xml), &vda_flat, 1, NULL, NULL, &found, NULL), 0);
    assert_non_null(strstr(found, "<devices/>"));
    assert_int_equal(migrate_xml_define(text(xml), &vda_flat, 1, "p", none, &other, NULL), -ENOENT);
    assert_int_equal(vm_migrate_xml(text(xml), &vda_flat, 1, "p", none, &other, NULL), -ENOENT);
}

/* ---- the plan --------------------------------------------------------------------------------- */

static void the_plan_goes_into_the_metadata(void **state)
{
    static const char plan[] =
        "<setmov:plan " PLAN_NS " name=\"a&amp;b.plan\" sha256=\"" SHA "\"/>";
    /* before, after with a plan, after without one */
    static const char *const cases[][3] = {
        {"", "<metadata>@</metadata>", ""},
        {"<metadata/>", "<metadata>@</metadata>", "<metadata/>"},
        {"<metadata><o:a xmlns:o=\"urn:o\">t</o:a></metadata>",
         "<metadata><o:a xmlns:o=\"urn:o\">t</o:a>@</metadata>",
         "<metadata><o:a xmlns:o=\"urn:o\">t</o:a></metadata>"},
        {"<metadata><s:plan xmlns:s=\"" VM_INCOMING_NAMESPACE "\" name=\"old\"/></metadata>",
         "<metadata>@</metadata>", "<metadata/>"},
        /* libvirt keeps only the first element of a namespace */
        {"<metadata><s:override xmlns:s=\"" VM_INCOMING_NAMESPACE "\"/></metadata>",
         "<metadata>@</metadata>",
         "<metadata><s:override xmlns:s=\"" VM_INCOMING_NAMESPACE "\"/></metadata>"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const char *at = strchr(cases[i][1], '@');
        char xml[512], with[1024], without[512];

        string_format(xml, sizeof(xml), "<domain>%s</domain>", cases[i][0]);
        string_format(with, sizeof(with), "<domain>%.*s%s%s</domain>", (int)(at - cases[i][1]),
                      cases[i][1], plan, at + 1);
        string_format(without, sizeof(without),
                      cases[i][2][0] != '\0' ? "<domain>%s</domain>" : "<domain%s/>", cases[i][2]);
        check_edit(xml, NULL, "a&b.plan", with);
        check_edit(xml, NULL, NULL, without);
    }
}

static void the_hook_finds_the_plan_that_was_written(void **state)
{
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
    CLEANUP(cleanup_free) char *xml = NULL;
    struct error err = {""};

    (void)state;
    assert_int_equal(vm_migrate_xml(text(HEAD "<devices><disk><target dev='vda'/></disk></devices>"
                                              "</domain>"),
                                    &vda_flat, 1, "x.plan", sha256, &xml, &err),
                     0);
    assert_int_equal(vm_incoming_parse(text(xml), &vm, &err), 0);
    assert_string_equal(vm.plan_name, "x.plan");
    assert_memory_equal(vm.plan_sha256, sha256, sizeof(sha256));
    assert_string_equal(vm.disks[0].path, "/i/a.raw");
    assert_string_equal(vm.disks[0].format, "raw");
}

/* ---- refused ------------------------------------------------------------------------------------ */

static void what_cannot_be_is_refused(void **state)
{
    static struct vm_layer control[] = {{(char *)"/i/a\n", (char *)"raw"}};
    const struct {
        const char *xml;
        struct vm_migrate_disk disk;
        const char *plan;
        int result;
        const char *message;
    } cases[] = {
        {"<domain/>", vda_flat, NULL, -ENOENT, "domain XML: no disk 'vda'"},
        {"<domain/>", {"vda", NULL, 0}, NULL, -EINVAL, "domain XML: disk 'vda' without a layer"},
        {"<domain/>",
         {"vda", control, 1},
         NULL,
         -EINVAL,
         "disk 'vda': XML cannot say its path or format"},
        {"<domain/>", vda_flat, "a\x01", -EINVAL, "XML cannot say the name of the plan"},
        {"<domain", vda_flat, NULL, -EBADMSG, "domain XML: ends within a tag"},
        {"<network/>", vda_flat, NULL, -EBADMSG, "domain XML: the root is not <domain>"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct error err = {""};
        char *xml = NULL;

        assert_int_equal(vm_migrate_xml(text(cases[i].xml), &cases[i].disk, 1, cases[i].plan,
                                        sha256, &xml, &err),
                         cases[i].result);
        assert_null(xml);
        assert_string_equal(err.text, cases[i].message);
    }
}

/* ---- chains and snapshots ------------------------------------------------------------------------- */

static void chains_are_read_of_what_goes_along(void **state)
{
    CLEANUP(vm_chains_release) struct vm_chains chains = {NULL, 0, 0};
    struct error err = {""};
    int r = migrate_chains_parse(
        text("<domain><devices>"
             "<disk device='cdrom'><source file='/i/cd'/><target dev='hdc'/></disk>"
             "<disk><driver type='qcow2'/><source file='/i/top'/><target dev='vda'/>"
             "<backingStore type='file'><format type='qcow2'/><source file='/i/mid'/>"
             "<backingStore type='block'><source dev='/dev/b'/><backingStore/></backingStore>"
             "</backingStore></disk>"
             "<disk><source file='/i/ro'/><target dev='vdb'/><readonly/></disk>"
             "<disk type='volume'><source pool='p' volume='v'/><target dev='vdc'/></disk>"
             "</devices></domain>"),
        &chains, &err);

    (void)state;
    assert_int_equal(r, 0);
    assert_int_equal(chains.count, 2);
    assert_string_equal(chains.chains[0].target, "vda");
    assert_int_equal(chains.chains[0].count, 3);
    assert_string_equal(chains.chains[0].layers[0].path, "/i/top");
    assert_string_equal(chains.chains[0].layers[1].path, "/i/mid");
    assert_string_equal(chains.chains[0].layers[1].format, "qcow2");
    assert_string_equal(chains.chains[0].layers[2].path, "/dev/b");
    assert_string_equal(chains.chains[0].layers[2].format, "raw");
    assert_int_equal(chains.chains[1].count, 0);
    vm_chains_release(&chains);
    assert_int_equal(
        migrate_chains_parse(text("<domain><devices><disk><source file='/i/a'/><target dev='vda'/>"
                                  "<backingStore type='network'><source name='x'/></backingStore>"
                                  "</disk></devices></domain>"),
                             &chains, &err),
        -ENOTSUP);
    assert_string_equal(err.text, "disk 'vda': a layer of type 'network' without an absolute path");
}

static void a_snapshot_names_every_disk(void **state)
{
    static const char xml[] = "<domain><devices><disk><target dev='vda'/></disk>"
                              "<disk device='cdrom'><target dev='hdc'/></disk>"
                              "<disk><target dev='vdb'/></disk></devices></domain>";
    const struct vm_freeze_disk disks[] = {{"vda", "/i/a & b"}, {"vdz", "/i/z"}};
    CLEANUP(cleanup_free) char *found = NULL, *none = NULL;
    struct error err = {""};

    (void)state;
    assert_int_equal(migrate_snapshot_xml(text(xml), disks, 1, &found, &err), 0);
    assert_string_equal(found, "<domainsnapshot><disks><disk name=\"vda\" snapshot=\"external\">"
                               "<driver type=\"qcow2\"/><source file=\"/i/a &amp; b\"/></disk>"
                               "<disk name=\"hdc\" snapshot=\"no\"/><disk name=\"vdb\" "
                               "snapshot=\"no\"/></disks></domainsnapshot>");
    assert_int_equal(migrate_snapshot_xml(text(xml), disks, 2, &none, &err), -ENOENT);
    assert_string_equal(err.text, "it lacks a disk that was to be frozen");
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frozen_disk_becomes_a_flat_one),
        cmocka_unit_test(a_chain_is_written_down_to_its_end),
        cmocka_unit_test(a_definition_says_no_more_of_layers_than_before),
        cmocka_unit_test(a_definition_may_lack_a_disk_that_was_plugged_in),
        cmocka_unit_test(the_plan_goes_into_the_metadata),
        cmocka_unit_test(the_hook_finds_the_plan_that_was_written),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(chains_are_read_of_what_goes_along),
        cmocka_unit_test(a_snapshot_names_every_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
