/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads what a domain's XML says of moving it. Pure. */
#include "vm/move_xml.h"

#include "vm/move_obstacles.h"
#include "vm/xml_write.h"

#include <errno.h>

#define WHAT "domain XML"

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, WHAT ": out of memory");
}

void vm_move_release(struct vm_move *vm)
{
    if (!vm)
        return;
    for (size_t i = 0; i < vm->disk_count; i++) {
        free(vm->disks[i].target);
        free(vm->disks[i].path);
        free(vm->disks[i].format);
    }
    free(vm->disks);
    free(vm->name);
    free(vm->xml);
    free(vm->type);
    free(vm->arch);
    free(vm->machine);
    free(vm->cpu);
    vm_lines_release(&vm->networks);
    vm_lines_release(&vm->bridges);
    vm_lines_release(&vm->files);
    vm_lines_release(&vm->obstacles);
    memset(vm, 0, sizeof(*vm));
}

const char *move_handle(const struct vm_move *vm, char uuid_text[UUID_TEXT_BYTES])
{
    static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+";

    uuid_format(&vm->uuid, uuid_text);
    if (vm->name[0] != '-' && vm->name[0] != '\0' && strspn(vm->name, fit) == strlen(vm->name))
        return vm->name;
    return uuid_text;
}

/* ---- size, machine, CPU --------------------------------------------------------------- */

/* With hot-plugging the memory may grow up to <maxMemory>, but <memory> is what it has. */
static int read_size(const xmlNode *domain, struct vm_move *vm, struct error *err)
{
    CLEANUP(cleanup_free) char *memory = NULL, *unit = NULL, *vcpus = NULL;
    uint64_t count = 1;

    if (xml_content_dup(xml_child(domain, "memory"), &memory) < 0 ||
        xml_attribute_dup(xml_child(domain, "memory"), "unit", &unit) < 0 ||
        xml_content_dup(xml_child(domain, "vcpu"), &vcpus) < 0)
        return no_memory(err);
    if (!memory || !xml_size(memory, unit ? unit : "", &vm->memory_bytes))
        return error_set(err, -EBADMSG, WHAT ": no <memory>, or not as a size");
    if (vcpus && (parse_u64(vcpus, &count) < 0 || count == 0 || count > UINT16_MAX))
        return error_set(err, -EBADMSG, WHAT ": <vcpu> '%.40s' is no number of CPUs", vcpus);
    vm->vcpus = (uint32_t)count;
    return 0;
}

static int read_machine(xmlNode *domain, struct vm_move *vm, struct error *err)
{
    xmlNode *type = xml_child(xml_child(domain, "os"), "type");

    if (xml_attribute_dup(domain, "type", &vm->type) < 0 ||
        xml_attribute_dup(type, "arch", &vm->arch) < 0 ||
        xml_attribute_dup(type, "machine", &vm->machine) < 0)
        return no_memory(err);
    return 0;
}

static int read_files(const xmlNode *domain, struct vm_move *vm, struct error *err)
{
    static const char *const names[] = {"kernel", "initrd", "dtb", "loader"};
    const xmlNode *os = xml_child(domain, "os");

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        CLEANUP(cleanup_free) char *path = NULL;

        if (xml_content_dup(xml_child(os, names[i]), &path) < 0 ||
            (path && path[0] == '/' && lines_add_once(&vm->files, path) < 0))
            return no_memory(err);
    }
    return 0;
}

/* What runs on the host's own CPU is held against that of the other host; off, it takes any. */
static int read_cpu(const xmlNode *domain, struct vm_move *vm, struct error *err)
{
    xmlNode *cpu = xml_child(domain, "cpu");
    bool is_virtual = !vm->type || strcmp(vm->type, "qemu") == 0;
    char mode[32];

    xml_attribute(cpu, "mode", mode, sizeof(mode));
    vm->cpu_is_of_host = vm->active && !is_virtual &&
                         (strcmp(mode, "host-passthrough") == 0 || strcmp(mode, "maximum") == 0);
    if (!cpu || vm->cpu_is_of_host)
        return 0;
    return xml_write_element(cpu, &vm->cpu) < 0 ? no_memory(err) : 0;
}

/* ---- networks ------------------------------------------------------------------------- */

/*
 * Of a libvirt network the name counts, whatever it gives the interface here:
 * the same network may give another device elsewhere.
 */
static int read_interface(xmlNode *node, struct vm_move *vm)
{
    CLEANUP(cleanup_free) char *network = NULL, *name = NULL;
    xmlNode *source = xml_child(node, "source");
    char type[32];

    if (xml_attribute_dup(source, "network", &network) < 0)
        return -ENOMEM;
    if (network)
        return lines_add_once(&vm->networks, network);
    xml_attribute(node, "type", type, sizeof(type));
    if (strcmp(type, "bridge") != 0 && strcmp(type, "direct") != 0)
        return 0;
    if (xml_attribute_dup(source, strcmp(type, "bridge") == 0 ? "bridge" : "dev", &name) < 0)
        return -ENOMEM;
    return name ? lines_add_once(&vm->bridges, name) : 0;
}

static int read_interfaces(const xmlNode *devices, struct vm_move *vm)
{
    int r = 0;

    for (xmlNode *node = devices ? devices->children : NULL; node && r == 0; node = node->next)
        if (xml_is_element(node, "interface"))
            r = read_interface(node, vm);
    return r;
}

int move_xml_read(struct text xml, struct vm_move *vm, struct disk_list *ret_disks,
                  struct error *err)
{
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    const xmlNode *devices;
    xmlNode *domain;
    int r = xml_parse(xml, WHAT, "domain", &tree, err);

    if (r < 0)
        return r;
    domain = xmlDocGetRootElement(tree);
    devices = xml_child(domain, "devices");
    r = read_size(domain, vm, err);
    if (r == 0)
        r = read_machine(domain, vm, err);
    if (r == 0)
        r = read_cpu(domain, vm, err);
    if (r == 0)
        r = read_files(domain, vm, err);
    if (r < 0)
        return r;
    if (read_interfaces(devices, vm) < 0 || disk_list_read(devices, &disks) < 0 ||
        move_obstacles_of_xml(domain, vm) < 0 || move_obstacles_of_disks(&disks, vm) < 0)
        return no_memory(err);
    *ret_disks = disks;
    disks = (struct disk_list){NULL, 0, 0};
    return 0;
}

/* ---- layers taken away ---------------------------------------------------------------- */

int move_xml_flatten(struct text xml, char **ret_xml, bool *ret_changed, struct error *err)
{
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    const xmlNode *devices;
    bool changed = false;
    int r = xml_parse(xml, WHAT, "domain", &tree, err);

    if (r < 0)
        return r;
    devices = xml_child(xmlDocGetRootElement(tree), "devices");
    for (xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
        xmlNode *below = xml_is_element(node, "disk") ? xml_child(node, "backingStore") : NULL;

        if (below && below->children) {
            xml_empty_element(below);
            changed = true;
        }
    }
    if (xml_write_element(xmlDocGetRootElement(tree), ret_xml) < 0)
        return no_memory(err);
    *ret_changed = changed;
    return 0;
}

/* ---- hosts ------------------------------------------------------------------------------ */

int move_capabilities_read(struct text xml, char ret_uuid[UUID_TEXT_BYTES], char **ret_cpu,
                           struct error *err)
{
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    CLEANUP(cleanup_free) char *text = NULL, *cpu_text = NULL;
    const xmlNode *host;
    xmlNode *cpu;
    struct uuid uuid;
    int r = xml_parse(xml, "capabilities", "capabilities", &tree, err);

    if (r < 0)
        return r;
    host = xml_child(xmlDocGetRootElement(tree), "host");
    cpu = xml_child(host, "cpu");
    if (xml_content_dup(xml_child(host, "uuid"), &text) < 0 ||
        (cpu && xml_write_element(cpu, &cpu_text) < 0))
        return error_set(err, -ENOMEM, "capabilities: out of memory");
    ret_uuid[0] = '\0';
    if (text && uuid_parse(text, &uuid) == 0)
        uuid_format(&uuid, ret_uuid);
    *ret_cpu = cpu_text;
    cpu_text = NULL;
    return 0;
}

int move_domain_capabilities_read(struct text xml, uint32_t *ret_vcpus, struct error *err)
{
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    char text[24];
    uint64_t count;
    int r = xml_parse(xml, "domain capabilities", "domainCapabilities", &tree, err);

    if (r < 0)
        return r;
    *ret_vcpus = 0;
    if (xml_attribute(xml_child(xmlDocGetRootElement(tree), "vcpu"), "max", text, sizeof(text)) &&
        parse_u64(text, &count) == 0 && count <= UINT32_MAX)
        *ret_vcpus = (uint32_t)count;
    return 0;
}
