/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What XML tells of a move: recorded domains, obstacles, layers taken away, files that are named. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_data.h"

#include "vm/files_xml.h"
#include "vm/hook_line.h"
#include "vm/move_xml.h"

#include <errno.h>

#define UUID "6a0bbf4c-3a2e-4b35-9d4b-61b0c8c8c001"
#define HEAD "<domain type='kvm'><memory>1024</memory>"

static struct text text(const char *string)
{
    return text_of(string, strlen(string));
}

static void start(struct vm_move *vm, const char *name, bool active)
{
    *vm = (struct vm_move){.name = strdup(name), .active = active};
    assert_int_equal(uuid_parse(UUID, &vm->uuid), 0);
}

/* ---- recorded ------------------------------------------------------------------------------ */

static const struct recorded {
    const char *leaf;
    bool active;
} recorded[] = {
    {"chain-live.xml", true}, {"chain-off.xml", false}, {"multi.xml", true},
    {"off.xml", false},       {"linux.xml", true},      {"incoming-vm1.xml", true},
};

static void print_lines(FILE *out, const char *head, const struct vm_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        fprintf(out, "%s %s\n", head, lines->lines[i]);
}

static void print_disk(FILE *out, const struct disk_facts *disk)
{
    fprintf(out, "disk %s type=%s format=%s path=%s volume=%s/%s%s%s%s%s%s%s%s%s\n", disk->target,
            disk->type, disk->format, disk->path ? disk->path : "-", disk->pool ? disk->pool : "-",
            disk->volume ? disk->volume : "-", disk->is_empty ? " empty" : "",
            disk->is_medium ? " medium" : "", disk->read_only ? " read-only" : "",
            disk->shareable ? " shareable" : "", disk->transient ? " transient" : "",
            disk->has_job ? " job" : "", disk->has_chain ? " chain" : "",
            disk_goes_along(disk) ? " goes-along" : "");
    print_lines(out, "  layer", &disk->layers);
}

static void recorded_domains_are_understood(void **state)
{
    const struct recorded *record = *state;
    CLEANUP(vm_move_release) struct vm_move vm;
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    CLEANUP(file_buffer_release) struct file_buffer xml = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *found = NULL;
    struct error err = {""};
    char name[64];
    size_t length;
    FILE *out;

    start(&vm, "recorded", record->active);
    vm_data_read(record->leaf, &xml);
    if (move_xml_read(text_of(xml.bytes, xml.length), &vm, &disks, &err) < 0)
        fail_msg("%s: %s", record->leaf, err.text);
    out = open_memstream(&found, &length);
    assert_non_null(out);
    fprintf(out, "memory %llu vcpus %u machine %s %s %s\n", (unsigned long long)vm.memory_bytes,
            vm.vcpus, vm.type, vm.arch, vm.machine);
    fprintf(out, "cpu %s\n", vm.cpu_is_of_host ? "of the host" : vm.cpu ? vm.cpu : "none");
    print_lines(out, "network", &vm.networks);
    print_lines(out, "bridge", &vm.bridges);
    print_lines(out, "file", &vm.files);
    print_lines(out, "obstacle", &vm.obstacles);
    for (size_t i = 0; i < disks.count; i++)
        print_disk(out, &disks.disks[i]);
    assert_int_equal(fclose(out), 0);
    string_format(name, sizeof(name), "%s.move", record->leaf);
    vm_data_expect(name, found);
}

/* ---- obstacles ------------------------------------------------------------------------------- */

static void obstacles_are_said_in_words(void **state)
{
    static const struct {
        bool active;
        const char *xml, *obstacle; /* NULL: none */
    } cases[] = {
        {false, "<os><nvram>/n/x.fd</nvram></os>",
         "it is off, and its firmware's variables (NVRAM) in /n/x.fd would stay here"},
        {false, "<os><nvram template='/t'/></os>",
         "it is off, and its firmware's variables (NVRAM) in a file of this host would stay here"},
        {true, "<os><nvram>/n/x.fd</nvram></os>", NULL},
        {false,
         "<devices><tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>",
         "it is off, and the state of its emulated TPM would stay here"},
        {true,
         "<devices><tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>",
         NULL},
        {true,
         "<devices><tpm><backend type='passthrough'><device "
         "path='/dev/tpm0'/></backend></tpm></devices>",
         "a TPM of this host is passed through (passthrough)"},
        {true, "<launchSecurity type='sev'/>",
         "its memory is sealed by this host's CPU (<launchSecurity>)"},
        {false, "<launchSecurity type='sev'/>", NULL},
        {true, "<devices><hostdev mode='subsystem' type='pci'/></devices>",
         "a device of this host is passed through (<hostdev> subsystem pci)"},
        {false, "<devices><hostdev mode='subsystem' type='usb'/></devices>",
         "a device of this host is passed through (<hostdev> subsystem usb)"},
        {true,
         "<devices><hostdev mode='subsystem' type='pci'><teaming type='transient' "
         "persistent='a'/></hostdev></devices>",
         NULL},
        {true,
         "<devices><interface type='hostdev'><mac "
         "address='52:54:00:00:00:01'/></interface></devices>",
         "interface 52:54:00:00:00:01 is a network card of this host, passed through"},
        {true,
         "<devices><interface type='hostdev'><teaming type='transient' "
         "persistent='a'/></interface></devices>",
         NULL},
        {true,
         "<devices><interface type='vhostuser'><mac "
         "address='52:54:00:00:00:01'/></interface></devices>",
         "interface 52:54:00:00:00:01 is served by a process of this host (vhost-user)"},
        {true, "<devices><interface type='vdpa'/></devices>",
         "interface is a vDPA device of this host"},
        {true,
         "<devices><filesystem type='mount'><driver type='virtiofs'/><source "
         "dir='/srv/a'/></filesystem></devices>",
         "a directory of this host is shared with it (<filesystem> /srv/a)"},
        {true, "<devices><shmem name='s'><model type='ivshmem-plain'/></shmem></devices>",
         "it shares memory with others on this host (<shmem> s)"},
        {true, "<devices><shmem name='s' role='master'/></devices>", NULL},
        {true,
         "<devices><memory model='nvdimm'><source><path>/p</path></source></memory></devices>",
         "its persistent memory (nvdimm) lies in a file of this host"},
        {true, "<devices><memory model='dimm'/></devices>", NULL},
        {true,
         "<devices><disk type='network'><source protocol='rbd' name='p/i'/><target "
         "dev='vda'/></disk></devices>",
         "disk 'vda' is no file or block device of this host (network)"},
        {true, "<devices><disk type='nvme'><source/><target dev='vda'/></disk></devices>",
         "disk 'vda' is no file or block device of this host (nvme)"},
        {true, "<devices><disk type='dir'><source dir='/d'/><target dev='vda'/></disk></devices>",
         "disk 'vda' is no file or block device of this host (dir)"},
        {false,
         "<devices><disk type='file'><source file='v.raw'/><target dev='vda'/></disk></devices>",
         "disk 'vda' has a path that is not absolute"},
        {false,
         "<devices><disk type='file' device='cdrom'><source startupPolicy='optional'/>"
         "<target dev='hdc'/></disk></devices>",
         NULL},
        {true,
         "<devices><disk type='dir' device='floppy'><source dir='/d'/><target "
         "dev='fda'/></disk></devices>",
         NULL},
        {true, "<devices><disk type='file' device='cdrom'><target dev='hda'/></disk></devices>",
         NULL},
        {true,
         "<devices><disk type='volume'><source pool='p' volume='v'/><target "
         "dev='vda'/></disk></devices>",
         NULL},
        {true,
         "<devices><disk type='file'><source file='/a'/><target "
         "dev='vda'/><transient/></disk></devices>",
         "disk 'vda' is transient: what was written to it would be lost"},
        {true, "<metadata><devices><hostdev/></devices></metadata><hostdev/>", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
        CLEANUP(vm_move_release) struct vm_move vm;
        char xml[1024];

        start(&vm, "vm1", cases[i].active);
        string_format(xml, sizeof(xml), HEAD "%s</domain>", cases[i].xml);
        assert_int_equal(move_xml_read(text(xml), &vm, &disks, NULL), 0);
        if (vm.obstacles.count != (cases[i].obstacle ? 1U : 0U))
            fail_msg("%s: %zu obstacles", cases[i].xml, vm.obstacles.count);
        if (cases[i].obstacle)
            assert_string_equal(vm.obstacles.lines[0], cases[i].obstacle);
    }
}

static void the_cpu_is_that_of_the_vm_or_of_its_host(void **state)
{
    static const struct {
        bool active;
        const char *type, *cpu;
        bool of_host;
    } cases[] = {
        {true, "kvm", "<cpu mode='host-passthrough'/>", true},
        {false, "kvm", "<cpu mode='host-passthrough'/>", false},
        {true, "kvm", "<cpu mode='maximum'/>", true},
        {true, "qemu", "<cpu mode='maximum'/>", false},
        {true, "kvm", "<cpu mode='custom'><model>EPYC</model></cpu>", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
        CLEANUP(vm_move_release) struct vm_move vm;
        char xml[512];

        start(&vm, "vm1", cases[i].active);
        string_format(xml, sizeof(xml), "<domain type='%s'><memory>1</memory>%s</domain>",
                      cases[i].type, cases[i].cpu);
        assert_int_equal(move_xml_read(text(xml), &vm, &disks, NULL), 0);
        assert_int_equal(vm.cpu_is_of_host, cases[i].of_host);
        assert_true(cases[i].of_host ? !vm.cpu : strstr(vm.cpu, "<cpu mode=") == vm.cpu);
    }
}

/* A network that hands out devices of the host is asked for by its name alone. */
static void interfaces_need_networks_or_bridges(void **state)
{
    static const char xml[] = HEAD
        "<devices><interface type='network'><source network='default' bridge='virbr0'/></interface>"
        "<interface type='network'><source network='default'/></interface>"
        "<interface type='direct'><source network='uplink' dev='eth0'/></interface>"
        "<interface type='direct'><source dev='eth1'/></interface>"
        "<interface type='bridge'><source bridge='br0'/></interface>"
        "<interface type='user'/><interface type='bridge'/></devices></domain>";
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    CLEANUP(vm_move_release) struct vm_move vm;

    (void)state;
    start(&vm, "vm1", true);
    assert_int_equal(move_xml_read(text(xml), &vm, &disks, NULL), 0);
    assert_int_equal(vm.networks.count, 2);
    assert_string_equal(vm.networks.lines[0], "default");
    assert_string_equal(vm.networks.lines[1], "uplink");
    assert_int_equal(vm.bridges.count, 2);
    assert_string_equal(vm.bridges.lines[0], "eth1");
    assert_string_equal(vm.bridges.lines[1], "br0");
}

static void broken_domains_are_refused(void **state)
{
    static const struct {
        const char *xml, *message;
    } cases[] = {
        {"<domain>",
         "domain XML: does not parse, line 1: Premature end of data in tag domain line 1"},
        {"<network/>", "domain XML: the root is not <domain>"},
        {"<domain/>", "domain XML: no <memory>, or not as a size"},
        {"<domain><memory>-1</memory></domain>", "domain XML: no <memory>, or not as a size"},
        {HEAD "<vcpu>0</vcpu></domain>", "domain XML: <vcpu> '0' is no number of CPUs"},
        {HEAD "<vcpu>65536</vcpu></domain>", "domain XML: <vcpu> '65536' is no number of CPUs"},
        {"<!DOCTYPE d><domain/>", "domain XML: line 1: declares a document type"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
        CLEANUP(vm_move_release) struct vm_move vm;
        struct error err = {""};

        start(&vm, "vm1", true);
        assert_int_equal(move_xml_read(text(cases[i].xml), &vm, &disks, &err), -EBADMSG);
        assert_string_equal(err.text, cases[i].message);
    }
}

static void a_vm_is_named_so_that_a_shell_takes_it(void **state)
{
    static const char *const plain[] = {"vm1", "a-b_c.d+e"};
    static const char *const odd[] = {"a b", "-a", "$(reboot)", "a'b", "\xc3\xa4", ""};
    char buffer[UUID_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(plain) + ARRAY_LENGTH(odd); i++) {
        bool is_plain = i < ARRAY_LENGTH(plain);
        const char *name = is_plain ? plain[i] : odd[i - ARRAY_LENGTH(plain)];
        CLEANUP(vm_move_release) struct vm_move vm;

        start(&vm, name, true);
        assert_string_equal(move_handle(&vm, buffer), is_plain ? name : UUID);
    }
}

/* ---- layers ---------------------------------------------------------------------------------- */

static void layers_are_taken_away_and_nothing_else(void **state)
{
    CLEANUP(file_buffer_release) struct file_buffer xml = {NULL, 0, 0};
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0}, before = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *flat = NULL, *again = NULL;
    bool changed = false;

    (void)state;
    vm_data_read("chain-live.xml", &xml);
    assert_int_equal(move_xml_flatten(text_of(xml.bytes, xml.length), &flat, &changed, NULL), 0);
    assert_true(changed);
    assert_int_equal(disk_list_parse(text_of(xml.bytes, xml.length), &before, NULL), 0);
    assert_int_equal(disk_list_parse(text(flat), &disks, NULL), 0);
    assert_int_equal(before.disks[0].layers.count, 2);
    assert_int_equal(disks.count, before.count);
    for (size_t i = 0; i < disks.count; i++) {
        assert_int_equal(disks.disks[i].layers.count, 0);
        assert_int_equal(disks.disks[i].has_chain, before.disks[i].has_chain);
        assert_string_equal(disks.disks[i].target, before.disks[i].target);
    }
    assert_non_null(strstr(flat, "<setmov:override xmlns:setmov=\""
                                 "https://setmov.org/xmlns/domain/1"
                                 "\"/>"));
    assert_non_null(strstr(flat, "<name>many &amp; more</name>"));
    assert_int_equal(move_xml_flatten(text(flat), &again, &changed, NULL), 0);
    assert_false(changed);
    assert_string_equal(again, flat);
}

static void a_chain_without_end_is_cut(void **state)
{
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *xml = NULL;
    struct error err = {""};
    size_t length;
    FILE *out = open_memstream(&xml, &length);

    (void)state;
    fputs("<domain><devices><disk type='file'><source file='/a'/><target dev='vda'/>", out);
    for (int i = 0; i < 100000; i++)
        fputs("<backingStore type='file'>", out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(disk_list_parse(text(xml), &disks, &err), -EBADMSG);
    assert_string_equal(err.text, "domain XML: line 1: elements nested deeper than 256");
}

/* ---- hosts ------------------------------------------------------------------------------------- */

static void hosts_tell_of_themselves(void **state)
{
    CLEANUP(file_buffer_release) struct file_buffer xml = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *cpu = NULL, *no_cpu = NULL;
    char uuid[UUID_TEXT_BYTES];
    uint32_t vcpus = 0;
    struct error err = {""};

    (void)state;
    vm_data_read("capabilities.xml", &xml);
    assert_int_equal(move_capabilities_read(text_of(xml.bytes, xml.length), uuid, &cpu, NULL), 0);
    assert_string_equal(uuid, "6e2fe098-9908-404a-b65e-9a450d07ca67");
    assert_ptr_equal(strstr(cpu, "<cpu>"), cpu);
    assert_non_null(strstr(cpu, "<vendor>AMD</vendor>"));
    assert_string_equal(cpu + strlen(cpu) - 6, "</cpu>");
    vm_data_read("domain-capabilities.xml", &xml);
    assert_int_equal(move_domain_capabilities_read(text_of(xml.bytes, xml.length), &vcpus, NULL),
                     0);
    assert_int_equal(vcpus, 255);
    assert_int_equal(
        move_capabilities_read(text("<capabilities><host><uuid>x</uuid></host></capabilities>"),
                               uuid, &no_cpu, NULL),
        0);
    assert_string_equal(uuid, "");
    assert_null(no_cpu);
    assert_int_equal(move_domain_capabilities_read(text("<domainCapabilities/>"), &vcpus, NULL), 0);
    assert_int_equal(vcpus, 0);
    assert_int_equal(move_capabilities_read(text("<host/>"), uuid, &no_cpu, &err), -EBADMSG);
    assert_string_equal(err.text, "capabilities: the root is not <capabilities>");
}

/* ---- files ---------------------------------------------------------------------------------------- */

static void every_file_that_is_named_is_found_once(void **state)
{
    static const char xml[] =
        "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><os><kernel>/k</kernel>"
        "<loader type='pflash'>/l.fd</loader><nvram template='/t.fd'>/n.fd</nvram></os>"
        "<metadata><a:plan xmlns:a='urn:a' file='/meta'>/meta2</a:plan></metadata>"
        "<devices><disk><source file='/d'/><backingStore><source file='/b'/></backingStore>"
        "<mirror><format type='raw'/><source file='/m'/></mirror></disk><disk><source "
        "file='/d'/></disk><disk><source file='relative'/>"
        "</disk><disk><driver type='qcow2'/><source file='/d'><reservations><source path='/s'/>"
        "</reservations></source></disk><serial><source path='/log'/></serial><disk><source "
        "dev='/dev/vg/a,b=c'/></disk></devices><description><![CDATA[/c]]>"
        "</description><q:commandline><q:arg value='file=/q.raw,if=none,other=/o'/>"
        "<q:arg value='file=/two,,parts,if=none'/><q:arg value='file=/open,'/>"
        "<q:arg value='{&quot;filename&quot;:&quot;/j s.raw&quot;,&quot;a&quot;:&quot;a/b&quot;}'/>"
        "<q:arg value='file:/u.raw'/></q:commandline></domain>";
    static const struct {
        const char *path;
        enum vm_file_kind kind;
        const char *format;
    } expected[] = {
        {"/k", VM_FILE_PLAIN, ""},        {"/l.fd", VM_FILE_PLAIN, ""},
        {"/t.fd", VM_FILE_PLAIN, ""},     {"/n.fd", VM_FILE_PLAIN, ""},
        {"/d", VM_FILE_IMAGE, "raw"},     {"/b", VM_FILE_IMAGE, ""},
        {"/m", VM_FILE_IMAGE, "raw"},     {"relative", VM_FILE_IMAGE, "raw"},
        {"/d", VM_FILE_IMAGE, "qcow2"},   {"/s", VM_FILE_PLAIN, ""},
        {"/log", VM_FILE_PLAIN, ""},      {"/dev/vg/a,b=c", VM_FILE_IMAGE, "raw"},
        {"/c", VM_FILE_PLAIN, ""},        {"/q.raw", VM_FILE_IMAGE, ""},
        {"/o", VM_FILE_ARGUMENT, ""},     {"/two,parts", VM_FILE_IMAGE, ""},
        {"/open", VM_FILE_IMAGE, ""},     {"/j s.raw", VM_FILE_IMAGE, ""},
        {"/u.raw", VM_FILE_ARGUMENT, ""},
    };
    CLEANUP(vm_files_release) struct vm_files files = {NULL, 0, 0};
    struct error err = {""};

    (void)state;
    assert_int_equal(files_xml_add(text(xml), "domain XML", "domain", &files, NULL), 0);
    assert_int_equal(files.count, ARRAY_LENGTH(expected));
    for (size_t i = 0; i < files.count; i++) {
        const struct vm_file *file = &files.files[i];

        assert_string_equal(file->path, expected[i].path);
        assert_int_equal(file->kind, expected[i].kind);
        assert_string_equal(file->format ? file->format : "", expected[i].format);
    }
    assert_int_equal(files_xml_add(text("<domain><a/></domain>"), "snapshot XML", "domainsnapshot",
                                   &files, &err),
                     -EBADMSG);
    assert_string_equal(err.text, "snapshot XML: the root is not <domainsnapshot>");
}

static void lines_are_one_line_but_paths_stay(void **state)
{
    CLEANUP(vm_lines_release) struct vm_lines lines = {NULL, 0, 0};

    (void)state;
    assert_int_equal(vm_lines_add(&lines, "a\nb %d\x1b", 7), 0);
    assert_int_equal(lines_add_exactly(&lines, "a\nb"), 0);
    assert_int_equal(lines_add_once(&lines, "a\nb"), 0);
    assert_int_equal(lines.count, 2);
    assert_string_equal(lines.lines[0], "a b 7 ");
    assert_string_equal(lines.lines[1], "a\nb");
}

static void what_a_hook_said_is_found(void **state)
{
    static const struct {
        const char *message, *line;
    } cases[] = {
        {"Hook script execution failed: internal error: Child process (LC_ALL=C PATH=/bin: "
         "/etc/libvirt/hooks/qemu.d/setmov vm1 migrate begin -) unexpected exit status 1: here "
         "10 %, gamma: 90 %",
         "here 10 %, gamma: 90 %"},
        {"Hook script execution failed: internal error: Child process (/h vm1 migrate begin -) "
         "unexpected fatal signal 11",
         ""},
        {"unable to stat: /x: No such file or directory", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const char *line = hook_line(cases[i].message);

        assert_int_equal(!line, !cases[i].line);
        if (line)
            assert_string_equal(line, cases[i].line);
    }
}

int main(void)
{
    struct CMUnitTest tests[11 + ARRAY_LENGTH(recorded)] = {
        cmocka_unit_test(obstacles_are_said_in_words),
        cmocka_unit_test(the_cpu_is_that_of_the_vm_or_of_its_host),
        cmocka_unit_test(interfaces_need_networks_or_bridges),
        cmocka_unit_test(broken_domains_are_refused),
        cmocka_unit_test(a_vm_is_named_so_that_a_shell_takes_it),
        cmocka_unit_test(layers_are_taken_away_and_nothing_else),
        cmocka_unit_test(a_chain_without_end_is_cut),
        cmocka_unit_test(hosts_tell_of_themselves),
        cmocka_unit_test(every_file_that_is_named_is_found_once),
        cmocka_unit_test(lines_are_one_line_but_paths_stay),
        cmocka_unit_test(what_a_hook_said_is_found),
    };

    for (size_t i = 0; i < ARRAY_LENGTH(recorded); i++)
        tests[11 + i] = (struct CMUnitTest){
            .name = recorded[i].leaf,
            .test_func = recorded_domains_are_understood,
            .initial_state = (void *)&recorded[i],
        };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
