/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sees in a domain's XML what keeps it from moving. Pure. What libvirt would
 * refuse by itself is said here too, before anybody begins; and what it would
 * do without a word, but wrongly: state of a VM that is off which stays behind.
 */
#include "vm/move_obstacles.h"

#include <errno.h>

#define WORD_BYTES 64

/* ---- state that lies beside the disks ----------------------------------------------------- */

static int check_nvram(const xmlNode *domain, struct vm_move *vm)
{
    CLEANUP(cleanup_free) char *path = NULL;
    xmlNode *nvram = xml_child(xml_child(domain, "os"), "nvram");

    if (vm->active || !nvram)
        return 0;
    if (xml_content_dup(nvram, &path) < 0)
        return -ENOMEM;
    return vm_lines_add(&vm->obstacles,
                        "it is off, and its firmware's variables (NVRAM) in %.300s would stay here",
                        path && path[0] != '\0' ? path : "a file of this host");
}

static int check_tpm(xmlNode *node, struct vm_move *vm)
{
    char type[WORD_BYTES];

    xml_attribute(xml_child(node, "backend"), "type", type, sizeof(type));
    if (strcmp(type, "emulator") == 0)
        return vm->active ? 0
                          : vm_lines_add(&vm->obstacles, "it is off, and the state of its emulated "
                                                         "TPM would stay here");
    return vm_lines_add(&vm->obstacles, "a TPM of this host is passed through (%s)", type);
}

static int check_sealed(const xmlNode *domain, struct vm_move *vm)
{
    if (!vm->active || !xml_child(domain, "launchSecurity"))
        return 0;
    return vm_lines_add(&vm->obstacles,
                        "its memory is sealed by this host's CPU (<launchSecurity>)");
}

/* ---- devices that are of this host --------------------------------------------------------- */

/* libvirt unplugs it for the way: another card stands in for it. */
static bool is_left_behind(xmlNode *node)
{
    char type[WORD_BYTES];

    return xml_attribute(xml_child(node, "teaming"), "type", type, sizeof(type)) &&
           strcmp(type, "transient") == 0;
}

static int check_hostdev(xmlNode *node, struct vm_move *vm)
{
    char type[WORD_BYTES], mode[WORD_BYTES];

    if (is_left_behind(node))
        return 0;
    xml_attribute(node, "type", type, sizeof(type));
    xml_attribute(node, "mode", mode, sizeof(mode));
    return vm_lines_add(&vm->obstacles, "a device of this host is passed through (<hostdev> %s %s)",
                        mode, type);
}

static int check_interface(xmlNode *node, struct vm_move *vm)
{
    static const struct {
        const char *type, *what;
    } kinds[] = {
        {"hostdev", "is a network card of this host, passed through"},
        {"vdpa", "is a vDPA device of this host"},
        {"vhostuser", "is served by a process of this host (vhost-user)"},
    };
    char type[WORD_BYTES], mac[WORD_BYTES];

    if (is_left_behind(node))
        return 0;
    xml_attribute(node, "type", type, sizeof(type));
    xml_attribute(xml_child(node, "mac"), "address", mac, sizeof(mac));
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (strcmp(type, kinds[i].type) == 0)
            return vm_lines_add(&vm->obstacles, "interface%s%s %s", mac[0] != '\0' ? " " : "", mac,
                                kinds[i].what);
    return 0;
}

static int check_filesystem(xmlNode *node, struct vm_move *vm)
{
    CLEANUP(cleanup_free) char *directory = NULL;

    if (xml_attribute_dup(xml_child(node, "source"), "dir", &directory) < 0)
        return -ENOMEM;
    return vm_lines_add(&vm->obstacles,
                        "a directory of this host is shared with it (<filesystem>%s%.300s)",
                        directory ? " " : "", directory ? directory : "");
}

static int check_shmem(xmlNode *node, struct vm_move *vm)
{
    char role[WORD_BYTES], name[WORD_BYTES];

    xml_attribute(node, "role", role, sizeof(role));
    xml_attribute(node, "name", name, sizeof(name));
    if (strcmp(role, "master") == 0)
        return 0;
    return vm_lines_add(&vm->obstacles, "it shares memory with others on this host (<shmem> %s)",
                        name);
}

static int check_memory_device(xmlNode *node, struct vm_move *vm)
{
    char model[WORD_BYTES];

    xml_attribute(node, "model", model, sizeof(model));
    if (strcmp(model, "nvdimm") != 0 && strcmp(model, "virtio-pmem") != 0)
        return 0;
    return vm_lines_add(&vm->obstacles, "its persistent memory (%s) lies in a file of this host",
                        model);
}

int move_obstacles_of_xml(const xmlNode *domain, struct vm_move *vm)
{
    static const struct {
        const char *element;
        int (*check)(xmlNode *node, struct vm_move *vm);
    } checks[] = {
        {"hostdev", check_hostdev},       {"interface", check_interface},
        {"filesystem", check_filesystem}, {"shmem", check_shmem},
        {"memory", check_memory_device},  {"tpm", check_tpm},
    };
    const xmlNode *devices = xml_child(domain, "devices");
    int r = check_nvram(domain, vm);

    if (r == 0)
        r = check_sealed(domain, vm);
    for (xmlNode *node = devices ? devices->children : NULL; node; node = node->next)
        for (size_t i = 0; i < ARRAY_LENGTH(checks) && r == 0; i++)
            if (xml_is_element(node, checks[i].element))
                r = checks[i].check(node, vm);
    return r;
}

/* ---- disks ------------------------------------------------------------------------------- */

static int check_disk(const struct disk_facts *disk, struct vm_move *vm)
{
    int r = 0;

    if (disk->transient)
        r = vm_lines_add(&vm->obstacles,
                         "disk '%s' is transient: what was written to it would be lost",
                         disk->target);
    if (r < 0 || !disk_goes_along(disk) || disk->path || disk->volume)
        return r;
    if (strcmp(disk->type, "file") == 0)
        return vm_lines_add(&vm->obstacles, "disk '%s' has a path that is not absolute",
                            disk->target);
    return vm_lines_add(&vm->obstacles, "disk '%s' is no file or block device of this host (%.40s)",
                        disk->target, disk->type);
}

int move_obstacles_of_disks(const struct disk_list *disks, struct vm_move *vm)
{
    int r = 0;

    for (size_t i = 0; i < disks->count && r == 0; i++)
        r = check_disk(&disks->disks[i], vm);
    return r;
}
