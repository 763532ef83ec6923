/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The XML of a domain that is about to arrive: as libvirt sent it, and as an attacker would. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_data.h"

#include "setmov/vm_incoming.h"

#include <errno.h>

#define UUID "<uuid>6a0bbf4c-3a2e-4b35-9d4b-61b0c8c8c001</uuid>"
#define HEAD "<domain><name>x</name>" UUID "<memory unit='KiB'>1024</memory>"

static int parse(const char *text, size_t length, struct vm_incoming *vm, struct error *err)
{
    char *copy = malloc(length + !length); /* of just its size, for the sanitizer */
    int r;

    memcpy(copy, text, length);
    r = vm_incoming_parse(text_of(copy, length), vm, err);
    free(copy);
    return r;
}

static void check_refused_bytes(const char *text, size_t length, const char *message)
{
    struct vm_incoming vm = {.name = NULL};
    struct error err = {""};
    int r = parse(text, length, &vm, &err);

    if (r != -EBADMSG || strcmp(err.text, message) != 0)
        fail_msg("%d '%s', expected '%s'", r, err.text, message);
    assert_true(!vm.name && !vm.disks); /* untouched */
}

static void check_refused(const char *text, const char *message)
{
    check_refused_bytes(text, strlen(text), message);
}

/* ---- recorded ---------------------------------------------------------------------------- */

static const char *const recorded[] = {"incoming-vm1.xml", "incoming-many.xml", "test-driver.xml"};

static void what_libvirt_sends_is_understood(void **state)
{
    const char *leaf = *state;
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
    CLEANUP(file_buffer_release) struct file_buffer xml = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *found = NULL;
    struct error err = {""};
    char name[64], uuid[UUID_TEXT_BYTES];
    size_t length;
    FILE *out;

    vm_data_read(leaf, &xml);
    if (parse(xml.bytes, xml.length, &vm, &err) < 0)
        fail_msg("%s: %s", leaf, err.text);
    out = open_memstream(&found, &length);
    assert_non_null(out);
    uuid_format(&vm.uuid, uuid);
    fprintf(out, "name \"%s\" uuid %s memory %llu vcpus %u other disks %zu%s\n", vm.name, uuid,
            (unsigned long long)vm.memory_bytes, vm.vcpus, vm.other_disks,
            vm.has_override ? " override" : "");
    for (size_t i = 0; i < vm.disk_count; i++)
        fprintf(out, "disk \"%s\" path=\"%s\" format=%s%s%s\n", vm.disks[i].target,
                vm.disks[i].path, vm.disks[i].format, vm.disks[i].is_block ? " block" : "",
                vm.disks[i].read_only ? " read-only" : "");
    assert_int_equal(fclose(out), 0);
    string_format(name, sizeof(name), "%s.incoming", leaf);
    vm_data_expect(name, found);
}

/* ---- what it says -------------------------------------------------------------------------- */

static void disks_of_each_kind(void **state)
{
    static const char xml[] =
        "<domain type='kvm'><name>x</name>" UUID "<memory>1</memory><vcpu>3</vcpu><devices>"
        "<disk type='block' device='lun'><source dev='/dev/vg/lv'/><target dev='sda'/></disk>"
        "<disk><source file='/i/untyped'/><target dev='vda'/></disk>"
        "<disk type='file' device='floppy'><source file='/i/f'/><target dev='fda'/></disk>"
        "<disk type='file' device='floppy'><target dev='fdb'/></disk>"
        "<disk type='network'><source protocol='rbd' name='../p'/><target dev='vdb'/></disk>"
        "<disk type='volume'><source pool='p' volume='v'/><target dev='vdc'/></disk>"
        "<disk type='dir'><source dir='/i'/><target dev='vdd'/></disk>"
        "<disk type='of a kind that is not known yet'><source file='a'/></disk>"
        "<disk type=''><source file='a'/></disk></devices></domain>";
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};

    (void)state;
    assert_int_equal(parse(xml, strlen(xml), &vm, NULL), 0);
    assert_int_equal(vm.memory_bytes, 1024);
    assert_int_equal(vm.vcpus, 3);
    assert_int_equal(vm.other_disks, 5);
    assert_int_equal(vm.disk_count, 3);
    assert_string_equal(vm.disks[0].path, "/dev/vg/lv");
    assert_true(vm.disks[0].is_block && !vm.disks[0].read_only);
    assert_string_equal(vm.disks[1].path, "/i/untyped");
    assert_string_equal(vm.disks[1].format, "raw");
    assert_false(vm.disks[1].is_block || vm.disks[1].read_only);
    assert_true(vm.disks[2].read_only);
    assert_false(vm.has_override);
}

static void the_override_is_of_its_namespace_and_place(void **state)
{
    static const struct {
        const char *xml;
        bool has;
    } cases[] = {
        {HEAD "<metadata><o:override xmlns:o='" VM_INCOMING_NAMESPACE "'/></metadata></domain>",
         true},
        {HEAD "<metadata><override xmlns='" VM_INCOMING_NAMESPACE "'/></metadata></domain>", true},
        {HEAD "<metadata><override/></metadata></domain>", false},
        {HEAD "<metadata><o:override xmlns:o='urn:other'/></metadata></domain>", false},
        {HEAD "<metadata><o:others xmlns:o='" VM_INCOMING_NAMESPACE "'/></metadata></domain>",
         false},
        {HEAD "<o:override xmlns:o='" VM_INCOMING_NAMESPACE "'/></domain>", false},
        {HEAD "<metadata><a:a xmlns:a='urn:a'><o:override xmlns:o='" VM_INCOMING_NAMESPACE
              "'/></a:a></metadata></domain>",
         false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};

        assert_int_equal(parse(cases[i].xml, strlen(cases[i].xml), &vm, NULL), 0);
        assert_int_equal(vm.has_override, cases[i].has);
    }
}

#define SHA256 "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100"
#define PLAN   "<s:plan xmlns:s='" VM_INCOMING_NAMESPACE "' name='n-1' sha256='" SHA256 "'/>"
#define PLAN_OF(attributes)                                                                        \
    HEAD "<metadata><s:plan xmlns:s='" VM_INCOMING_NAMESPACE "' " attributes                       \
         "/></metadata></domain>"

static void a_plan_is_of_its_namespace_and_place(void **state)
{
    static const struct {
        const char *xml;
        const char *name;
    } cases[] = {
        {HEAD "<metadata>" PLAN "</metadata></domain>", "n-1"},
        {HEAD "<metadata><s:override xmlns:s='" VM_INCOMING_NAMESPACE "'/>" PLAN
              "</metadata></domain>",
         "n-1"},
        {HEAD "<metadata/><metadata>" PLAN "</metadata></domain>", "n-1"},
        {PLAN_OF("name='../x y' sha256='" SHA256 "' more='1'"), "../x y"},
        {HEAD PLAN "</domain>", NULL},
        {HEAD "<metadata><a>" PLAN "</a></metadata></domain>", NULL},
        {HEAD "<metadata><plan name='n' sha256='" SHA256 "'/></metadata></domain>", NULL},
        {HEAD "<metadata><s:plan xmlns:s='urn:s' name='n'/></metadata></domain>", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};

        assert_int_equal(parse(cases[i].xml, strlen(cases[i].xml), &vm, NULL), 0);
        if (!cases[i].name) {
            assert_null(vm.plan_name);
            continue;
        }
        assert_string_equal(vm.plan_name, cases[i].name);
        for (unsigned byte = 0; byte < 16; byte++) {
            assert_int_equal(vm.plan_sha256[byte], byte * 0x11);
            assert_int_equal(vm.plan_sha256[31 - byte], byte * 0x11);
        }
    }
}

static void a_plan_that_is_none_is_refused(void **state)
{
    (void)state;
    check_refused(HEAD "<metadata>" PLAN PLAN "</metadata></domain>",
                  "domain XML: more than one plan");
    check_refused(HEAD "<metadata>" PLAN "</metadata><metadata>" PLAN "</metadata></domain>",
                  "domain XML: more than one plan");
    check_refused(PLAN_OF("sha256='" SHA256 "'"), "domain XML: a plan without a name");
    check_refused(PLAN_OF("name='' sha256='" SHA256 "'"), "domain XML: a plan without a name");
    check_refused(PLAN_OF("s:name='n' sha256='" SHA256 "'"), "domain XML: a plan without a name");
    check_refused(PLAN_OF("name='a&#10;b' sha256='" SHA256 "'"),
                  "domain XML: the plan's name has control characters");
    check_refused(PLAN_OF("name='n'"), "domain XML: the plan 'n' has no sha256");
    check_refused(PLAN_OF("name='n' sha256='12'"),
                  "domain XML: the plan 'n': sha256 '12' is not 64 hexadecimal digits");
    check_refused(PLAN_OF("name='n' sha256='" SHA256 "0'"),
                  "domain XML: the plan 'n': sha256 '" SHA256 "0' is not 64 hexadecimal digits");
    check_refused(PLAN_OF("name='n' sha256=' 0112233445566778899aabbccddeeff"
                          "ffeeddccbbaa99887766554433221100'"),
                  "domain XML: the plan 'n': sha256 ' 0112233445566778899aabbccddeeff"
                  "ffeeddccbbaa99887766554433221100' is not 64 hexadecimal digits");
}

static void elements_of_other_namespaces_are_none_of_libvirts(void **state)
{
    static const char xml[] =
        HEAD "<x:name xmlns:x='urn:x'>y</x:name><x:devices xmlns:x='urn:x'><disk><source "
             "file='relative'/></disk></x:devices><devices><x:disk xmlns:x='urn:x'/>"
             "<hostdev><disk/></hostdev></devices><metadata><disk/></metadata></domain>";
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};

    (void)state;
    assert_int_equal(parse(xml, strlen(xml), &vm, NULL), 0);
    assert_string_equal(vm.name, "x");
    assert_int_equal(vm.disk_count, 0);
    check_refused("<domain xmlns='urn:x'><name>x</name>" UUID "<memory>1</memory></domain>",
                  "domain XML: the root is not <domain>");
}

static void sizes_have_units(void **state)
{
    static const struct {
        const char *memory;
        uint64_t bytes; /* 0: refused */
    } cases[] = {
        {"<memory>2</memory>", 2048},
        {"<memory unit='b'>2</memory>", 2},
        {"<memory unit='KB'>2</memory>", 2000},
        {"<memory unit='GiB'>2</memory>", 2ULL << 30},
        {"<memory unit='KiB'>18014398509481983</memory>", 18014398509481983ULL << 10},
        {"<memory unit='KiB'>18014398509481984</memory>", 0},
        {"<memory unit='bytes'>18446744073709551615</memory>", 0},
        {"<memory unit='parsec'>2</memory>", 0},
        {"<memory unit='longer than any unit'>2</memory>", 0},
        {"<memory>-1</memory>", 0},
        {"<memory> 1</memory>", 0},
        {"<memory/>", 0},
        {"", 0},
        {"<memory>1</memory><memory>2</memory>", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
        char xml[512];
        int r;

        string_format(xml, sizeof(xml), "<domain><name>x</name>" UUID "%s</domain>",
                      cases[i].memory);
        r = parse(xml, strlen(xml), &vm, NULL);
        assert_int_equal(r, cases[i].bytes > 0 ? 0 : -EBADMSG);
        if (r == 0)
            assert_int_equal(vm.memory_bytes, cases[i].bytes);
    }
}

/* ---- what is wrong is named ------------------------------------------------------------------ */

static void broken_domains_are_refused_by_name(void **state)
{
    static const struct {
        const char *xml, *message;
    } cases[] = {
        {"", "domain XML: is empty"},
        {" \n", "domain XML: does not parse, line 2: Start tag expected, '<' not found"},
        {"no XML", "domain XML: line 1: text outside of the root element"},
        {"<domain>",
         "domain XML: does not parse, line 1: Premature end of data in tag domain line 1"},
        {"<domain a='1' a='2'/>", "domain XML: does not parse, line 1: Attribute a redefined"},
        {"<domain/>\n<domain/>", "domain XML: line 2: a second root element"},
        {"<network/>", "domain XML: the root is not <domain>"},
        {"<domain/>", "domain XML: no <name>"},
        {"<domain><name/></domain>", "domain XML: no <name>"},
        {"<domain><name>x</name><name>y</name>" UUID "</domain>",
         "domain XML: more than one <name>"},
        {"<domain><name>../x</name>" UUID "</domain>",
         "domain XML: the name '../x' has a slash or control characters"},
        {"<domain><name>x\ny</name>" UUID "</domain>",
         "domain XML: the name 'x y' has a slash or control characters"},
        {"<domain><name>x</name></domain>", "domain XML: no <uuid>"},
        {"<domain><name>x</name><uuid>1</uuid></domain>", "domain XML: the UUID '1' is none"},
        {"<domain><name>x</name>" UUID UUID "</domain>", "domain XML: more than one <uuid>"},
        {"<domain><name>x</name>" UUID "</domain>", "domain XML: no <memory>"},
        {HEAD "<vcpu>0</vcpu></domain>", "domain XML: <vcpu> '0' is no number of CPUs"},
        {HEAD "<vcpu>65536</vcpu></domain>", "domain XML: <vcpu> '65536' is no number of CPUs"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        check_refused(cases[i].xml, cases[i].message);
}

static void broken_disks_are_refused_by_name(void **state)
{
    static const struct {
        const char *disk, *message;
    } cases[] = {
        {"<source file='/a'/>", "a disk without a target"},
        {"<source file='/a'/><target bus='ide'/>", "a disk without a target"},
        {"<source file='/a'/><target dev=''/>", "a disk with the target ''"},
        {"<source file='/a'/><target dev='../vda'/>", "a disk with the target '../vda'"},
        {"<source file='/a'/><target dev='vdz'/>", "two disks 'vdz'"},
        {"<source file='/a'/><target dev='vda'/><driver type='a b'/>", "disk 'vda': format 'a b'"},
        {"<source file=''/><target dev='vda'/>", "disk 'vda': path '' is not absolute"},
        {"<source file='a/b'/><target dev='vda'/>", "disk 'vda': path 'a/b' is not absolute"},
        {"<source file='/a/../../etc/shadow'/><target dev='vda'/>",
         "disk 'vda': path '/a/../../etc/shadow' leads upwards (..)"},
        {"<source file='/..'/><target dev='vda'/>", "disk 'vda': path '/..' leads upwards (..)"},
        {"<source file='/a/&#x2e;&#46;/b'/><target dev='vda'/>",
         "disk 'vda': path '/a/../b' leads upwards (..)"},
        {"<source file='/a/./b'/><target dev='vda'/>",
         "disk 'vda': path '/a/./b' has a part that is '.'"},
        {"<source file='/a/'/><target dev='vda'/>", "disk 'vda': path '/a/' names a directory"},
        {"<source file='/a&#10;b'/><target dev='vda'/>",
         "disk 'vda': path '/a b' has control characters"},
        {"<source file='/a&#x7f;b'/><target dev='vda'/>",
         "disk 'vda': path '/a b' has control characters"},
        {"<source file='/a&#x85;b'/><target dev='vda'/>",
         "disk 'vda': path '/a b' has control characters"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char xml[1024], message[256];

        string_format(xml, sizeof(xml),
                      HEAD "<devices><disk><source file='/z'/><target dev='vdz'/></disk>"
                           "<disk type='file'>%s</disk></devices></domain>",
                      cases[i].disk);
        string_format(message, sizeof(message), "domain XML: %s", cases[i].message);
        check_refused(xml, message);
    }
}

/* Dots that are no parts of their own lead nowhere. */
static void paths_with_dots_and_odd_letters_are_taken(void **state)
{
    static const char *const paths[] = {"/a/..b", "/a/b..", "/.a/...", "/a//b", "/a b/\xc3\xa4"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
        struct error err = {""};
        char xml[1024];

        string_format(xml, sizeof(xml),
                      HEAD "<devices><disk><source file='%s'/><target dev='vda'/></disk>"
                           "</devices></domain>",
                      paths[i]);
        if (parse(xml, strlen(xml), &vm, &err) < 0)
            fail_msg("%s: %s", paths[i], err.text);
        assert_string_equal(vm.disks[0].path, paths[i]);
    }
}

/* ---- attacks --------------------------------------------------------------------------------- */

static void document_types_entities_and_encodings_are_refused(void **state)
{
    static const struct {
        const char *xml, *message;
    } cases[] = {
        {"<!DOCTYPE domain><domain/>", "domain XML: line 1: declares a document type"},
        {"<?xml version='1.0'?>\n<!DOCTYPE d [<!ENTITY a 'aa'><!ENTITY b "
         "'&a;&a;'>]><domain>&b;</domain>",
         "domain XML: line 2: declares a document type"},
        {"<!doctype domain><domain/>", "domain XML: line 1: a declaration"},
        {"<domain>\n&lol;</domain>", "domain XML: line 2: an entity of its own: &lol"},
        {"<domain a='&x;'/>", "domain XML: line 1: an entity of its own: &x"},
        {"<domain>&</domain>", "domain XML: line 1: an entity of its own: &"},
        {"<domain>\xff\xfe</domain>",
         "domain XML: does not parse, line 1: Input is not proper UTF-8, indicate encoding !"},
        {"<?xml version='1.0' encoding='ISO-8859-1'?><domain>\xe4</domain>",
         "domain XML: does not parse, line 1: Input is not proper UTF-8, indicate encoding !"},
        {"\x4c\x84\x96\x94\x81\x89\x95\x61\x6e",
         "domain XML: line 1: text outside of the root element"},                      /* EBCDIC */
        {"+ADw-domain/+AD4-", "domain XML: line 1: text outside of the root element"}, /* UTF-7 */
        {"<domain>\x01</domain>",
         "domain XML: does not parse, line 1: PCDATA invalid Char value 1"},
        {"<domain>&#0;</domain>",
         "domain XML: does not parse, line 1: xmlParseCharRef: invalid xmlChar value 0"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        check_refused(cases[i].xml, cases[i].message);
    check_refused_bytes("<domain>\0</domain>", 18, "domain XML: has a NUL byte");
    check_refused_bytes("\xff\xfe<\0d\0", 6, "domain XML: has a NUL byte"); /* UTF-16 */
}

/* What stands in comments, CDATA and values is no markup. */
static void markup_within_text_is_text(void **state)
{
    static const char xml[] =
        "<?xml version='1.0'?><!-- <!DOCTYPE x> '\" &x; <a> -->" HEAD
        "<title>a > b</title><description><![CDATA[<a><a><a> &y; ' ]] ]]></description>"
        "<x y=\"it's > '\" z='\"'/><?p ' < & ?><!--></a></a></a>--></domain> \n<!-- ' -->\n";
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
    struct error err = {""};

    (void)state;
    if (parse(xml, strlen(xml), &vm, &err) < 0)
        fail_msg("%s", err.text);
}

/* HEAD, `count` times `unit`, then the rest; length in `ret_length`. */
static char *repeated(const char *head, const char *unit, size_t count, const char *rest,
                      size_t *ret_length)
{
    size_t length = strlen(unit);
    char *text = malloc(strlen(head) + length * count + strlen(rest) + 1), *at = text;

    at = mempcpy(at, head, strlen(head));
    for (size_t i = 0; i < count; i++)
        at = mempcpy(at, unit, length);
    at = mempcpy(at, rest, strlen(rest));
    *ret_length = (size_t)(at - text);
    return text;
}

static void check_refused_repeated(const char *head, const char *unit, size_t count,
                                   const char *rest, const char *message)
{
    size_t length;
    char *text = repeated(head, unit, count, rest, &length);

    check_refused_bytes(text, length, message);
    free(text);
}

static void depth_and_numbers_are_bounded(void **state)
{
    (void)state;
    check_refused_repeated("<domain>", "<a>", 100000, "",
                           "domain XML: line 1: elements nested deeper than 64");
    check_refused_repeated("<domain>", "<a>", 64, "",
                           "domain XML: line 1: elements nested deeper than 64");
    check_refused_repeated("<domain>", "<a/>", 60000, "</domain>",
                           "domain XML: line 1: more elements than 50000");
    check_refused_repeated("<domain ", "a='' ", 100000, "/>",
                           "domain XML: line 1: an element with more attributes than 64");
    check_refused_repeated("<domain>", "<a b='' c='' d=''/>", 40000, "</domain>",
                           "domain XML: line 1: more attributes than 100000");
    check_refused_repeated(HEAD "<devices>", "<disk type='dir'/>", VM_INCOMING_MAX_DISKS + 1,
                           "</devices></domain>", "domain XML: more than 256 disks");
    check_refused_repeated("<domain/>", " ", VM_INCOMING_MAX_BYTES, "", "domain XML: above 4 MiB");
}

static void as_much_as_is_allowed_is_taken(void **state)
{
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
    struct error err = {""};
    size_t length;
    char *text = repeated(HEAD "<devices>", "<disk type='dir'/>", VM_INCOMING_MAX_DISKS,
                          "</devices></domain>", &length);

    (void)state;
    if (parse(text, length, &vm, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(vm.other_disks, VM_INCOMING_MAX_DISKS);
    free(text);
    vm_incoming_release(&vm);
    text = repeated(HEAD, "<a b='>'>", VM_INCOMING_MAX_DEPTH - 1, "", &length);
    check_refused_bytes(text, length,
                        "domain XML: does not parse, line 1: Premature end of data "
                        "in tag a line 1"); /* and not of its depth */
    free(text);
}

static void long_text_is_refused_and_cut_in_the_message(void **state)
{
    char *name;
    struct vm_incoming vm = {.name = NULL};
    struct error err = {""};
    size_t length;

    (void)state;
    check_refused_repeated("<domain><name>", "n", 1024, "</name></domain>",
                           "domain XML: the name 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...' "
                           "is above 1023 bytes");
    name = repeated(HEAD "<devices><disk><target dev='vda'/><source file='/", "y/", 3 << 19,
                    "'/></disk></devices></domain>", &length);
    assert_int_equal(parse(name, length, &vm, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "domain XML: disk 'vda': path '/y/y/"));
    assert_non_null(strstr(err.text, "...' is too long"));
    assert_true(strlen(err.text) < 200);
    free(name);
}

static void text_cut_short_anywhere_is_refused(void **state)
{
    CLEANUP(file_buffer_release) struct file_buffer xml = {NULL, 0, 0};
    size_t end;

    (void)state;
    vm_data_read("incoming-many.xml", &xml);
    for (end = xml.length; end > 0 && xml.bytes[end - 1] == '\n'; end--)
        ;
    for (size_t length = 0; length < end; length++) {
        struct vm_incoming vm = {.name = NULL};
        struct error err = {""};

        assert_int_equal(parse(xml.bytes, length, &vm, &err), -EBADMSG);
        assert_true(err.text[0] != '\0' && !strchr(err.text, '\n'));
    }
}

int main(void)
{
    struct CMUnitTest tests[13 + ARRAY_LENGTH(recorded)] = {
        cmocka_unit_test(disks_of_each_kind),
        cmocka_unit_test(the_override_is_of_its_namespace_and_place),
        cmocka_unit_test(a_plan_is_of_its_namespace_and_place),
        cmocka_unit_test(a_plan_that_is_none_is_refused),
        cmocka_unit_test(elements_of_other_namespaces_are_none_of_libvirts),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(broken_domains_are_refused_by_name),
        cmocka_unit_test(broken_disks_are_refused_by_name),
        cmocka_unit_test(paths_with_dots_and_odd_letters_are_taken),
        cmocka_unit_test(document_types_entities_and_encodings_are_refused),
        cmocka_unit_test(markup_within_text_is_text),
        cmocka_unit_test(depth_and_numbers_are_bounded),
        cmocka_unit_test(as_much_as_is_allowed_is_taken),
        cmocka_unit_test(long_text_is_refused_and_cut_in_the_message),
        cmocka_unit_test(text_cut_short_anywhere_is_refused),
    };

    for (size_t i = 0; i < ARRAY_LENGTH(recorded); i++)
        tests[13 + i] = (struct CMUnitTest){
            .name = recorded[i],
            .test_func = what_libvirt_sends_is_understood,
            .initial_state = (void *)recorded[i],
        };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
