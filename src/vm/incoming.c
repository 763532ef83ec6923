/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the XML of a domain that is about to arrive. Pure. */
#include "setmov/vm_incoming.h"

#include "vm/incoming_path.h"
#include "vm/xml.h"

#include <errno.h>

#define WHAT           "domain XML"
#define MAX_NAME_BYTES 1023
#define MAX_WORD_BYTES 63 /* a target, a format */

static const struct xml_bounds bounds = {
    .bytes = VM_INCOMING_MAX_BYTES,
    .depth = VM_INCOMING_MAX_DEPTH,
    .elements = 50000,
    .element_attributes = 64,
    .attributes = 100000,
};

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, WHAT ": out of memory");
}

/* ---- the domain itself --------------------------------------------------------------- */

/* The content of the only child of that name; NULL where there is none. */
static int read_only_child(const xmlNode *domain, const char *name, char **ret_text,
                           struct error *err)
{
    xmlNode *found = NULL;

    for (xmlNode *node = domain->children; node; node = node->next) {
        if (!xml_is_element(node, name))
            continue;
        if (found)
            return error_set(err, -EBADMSG, WHAT ": more than one <%s>", name);
        found = node;
    }
    return xml_content_dup(found, ret_text) < 0 ? no_memory(err) : 0;
}

static int read_name(const xmlNode *domain, struct vm_incoming *vm, struct error *err)
{
    int r = read_only_child(domain, "name", &vm->name, err);

    if (r < 0)
        return r;
    if (!vm->name || vm->name[0] == '\0')
        return error_set(err, -EBADMSG, WHAT ": no <name>");
    if (strlen(vm->name) > MAX_NAME_BYTES)
        return error_set(err, -EBADMSG, WHAT ": the name '%.40s...' is above %d bytes", vm->name,
                         MAX_NAME_BYTES);
    if (incoming_has_control(vm->name) || strchr(vm->name, '/'))
        return error_set(err, -EBADMSG, WHAT ": the name '%.80s' has a slash or control characters",
                         vm->name);
    return 0;
}

static int read_uuid(const xmlNode *domain, struct vm_incoming *vm, struct error *err)
{
    CLEANUP(cleanup_free) char *text = NULL;
    int r = read_only_child(domain, "uuid", &text, err);

    if (r < 0)
        return r;
    if (!text)
        return error_set(err, -EBADMSG, WHAT ": no <uuid>");
    if (uuid_parse(text, &vm->uuid) < 0)
        return error_set(err, -EBADMSG, WHAT ": the UUID '%.40s' is none", text);
    return 0;
}

static int read_memory(const xmlNode *domain, struct vm_incoming *vm, struct error *err)
{
    CLEANUP(cleanup_free) char *text = NULL, *unit = NULL;
    int r = read_only_child(domain, "memory", &text, err);

    if (r < 0)
        return r;
    if (!text)
        return error_set(err, -EBADMSG, WHAT ": no <memory>");
    if (xml_attribute_dup(xml_child(domain, "memory"), "unit", &unit) < 0)
        return no_memory(err);
    if (!xml_size(text, unit ? unit : "", &vm->memory_bytes))
        return error_set(err, -EBADMSG, WHAT ": <memory> '%.40s' is no size, or of no known unit",
                         text);
    return 0;
}

static int read_vcpus(const xmlNode *domain, struct vm_incoming *vm, struct error *err)
{
    CLEANUP(cleanup_free) char *text = NULL;
    uint64_t count = 1; /* where nothing is said */
    int r = read_only_child(domain, "vcpu", &text, err);

    if (r < 0)
        return r;
    if (text && (parse_u64(text, &count) < 0 || count == 0 || count > UINT16_MAX))
        return error_set(err, -EBADMSG, WHAT ": <vcpu> '%.40s' is no number of CPUs", text);
    vm->vcpus = (uint32_t)count;
    return 0;
}

static void read_override(const xmlNode *domain, struct vm_incoming *vm)
{
    const xmlNode *metadata = xml_child(domain, "metadata");

    for (xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next)
        if (xml_is_element_of(node, "override", VM_INCOMING_NAMESPACE))
            vm->has_override = true;
}

/* ---- the plan that it comes with ------------------------------------------------------------ */

static int read_sha256(const char *text, uint8_t ret_sha256[VM_INCOMING_SHA256_BYTES])
{
    if (strlen(text) != 2 * (size_t)VM_INCOMING_SHA256_BYTES)
        return -EBADMSG;
    for (size_t i = 0; i < VM_INCOMING_SHA256_BYTES; i++) {
        int high = hexadecimal_digit(text[2 * i]), low = hexadecimal_digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return -EBADMSG;
        ret_sha256[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static int fill_plan(xmlNode *node, struct vm_incoming *vm, struct error *err)
{
    CLEANUP(cleanup_free) char *sha256 = NULL;

    if (xml_attribute_dup(node, "name", &vm->plan_name) < 0 ||
        xml_attribute_dup(node, "sha256", &sha256) < 0)
        return no_memory(err);
    if (!vm->plan_name || vm->plan_name[0] == '\0')
        return error_set(err, -EBADMSG, WHAT ": a plan without a name");
    if (strlen(vm->plan_name) > MAX_NAME_BYTES)
        return error_set(err, -EBADMSG, WHAT ": the plan's name '%.40s...' is above %d bytes",
                         vm->plan_name, MAX_NAME_BYTES);
    if (incoming_has_control(vm->plan_name))
        return error_set(err, -EBADMSG, WHAT ": the plan's name has control characters");
    if (!sha256)
        return error_set(err, -EBADMSG, WHAT ": the plan '%.80s' has no sha256", vm->plan_name);
    if (read_sha256(sha256, vm->plan_sha256) < 0)
        return error_set(err, -EBADMSG,
                         WHAT ": the plan '%.80s': sha256 '%.80s' is not 64 hexadecimal digits",
                         vm->plan_name, sha256);
    return 0;
}

static int read_plan(const xmlNode *domain, struct vm_incoming *vm, struct error *err)
{
    xmlNode *found = NULL;

    for (const xmlNode *list = domain->children; list; list = list->next) {
        if (!xml_is_element(list, "metadata"))
            continue;
        for (xmlNode *node = list->children; node; node = node->next) {
            if (!xml_is_element_of(node, "plan", VM_INCOMING_NAMESPACE))
                continue;
            if (found)
                return error_set(err, -EBADMSG, WHAT ": more than one plan");
            found = node;
        }
    }
    return found ? fill_plan(found, vm, err) : 0;
}

/* ---- disks ------------------------------------------------------------------------------ */

static bool is_word(const char *string)
{
    static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t length = strlen(string);

    return length > 0 && length <= MAX_WORD_BYTES && strspn(string, fit) == length;
}

static int read_target(xmlNode *node, const struct vm_incoming *vm, struct vm_incoming_disk *disk,
                       struct error *err)
{
    if (xml_attribute_dup(xml_child(node, "target"), "dev", &disk->target) < 0)
        return no_memory(err);
    if (!disk->target)
        return error_set(err, -EBADMSG, WHAT ": a disk without a target");
    if (!is_word(disk->target))
        return error_set(err, -EBADMSG, WHAT ": a disk with the target '%.40s'", disk->target);
    for (size_t i = 0; i < vm->disk_count; i++)
        if (strcmp(vm->disks[i].target, disk->target) == 0)
            return error_set(err, -EBADMSG, WHAT ": two disks '%s'", disk->target);
    return 0;
}

static int read_format(xmlNode *node, struct vm_incoming_disk *disk, struct error *err)
{
    if (xml_attribute_dup(xml_child(node, "driver"), "type", &disk->format) < 0)
        return no_memory(err);
    if (!disk->format)
        disk->format = strdup("raw");
    if (!disk->format)
        return no_memory(err);
    if (!is_word(disk->format))
        return error_set(err, -EBADMSG, WHAT ": disk '%s': format '%.40s'", disk->target,
                         disk->format);
    return 0;
}

/* Nothing is made or moved for a medium that can be changed, or that others use too. */
static bool is_read_only(xmlNode *node)
{
    char device[16];

    if (xml_child(node, "readonly") || xml_child(node, "shareable"))
        return true;
    return xml_attribute(node, "device", device, sizeof(device)) &&
           (strcmp(device, "cdrom") == 0 || strcmp(device, "floppy") == 0);
}

static int fill_disk(xmlNode *node, const struct vm_incoming *vm, struct vm_incoming_disk *disk,
                     struct error *err)
{
    const char *wrong;
    int r = read_target(node, vm, disk, err);

    if (r == 0)
        r = read_format(node, disk, err);
    if (r < 0)
        return r;
    wrong = incoming_path_wrong(disk->path);
    if (wrong)
        return error_set(err, -EBADMSG, WHAT ": disk '%s': path '%.120s%s' %s", disk->target,
                         disk->path, strlen(disk->path) > 120 ? "..." : "", wrong);
    disk->read_only = is_read_only(node);
    return 0;
}

static void disk_release(struct vm_incoming_disk *disk)
{
    free(disk->target);
    free(disk->path);
    free(disk->format);
    *disk = (struct vm_incoming_disk){.target = NULL};
}

static int take_disk(xmlNode *node, struct vm_incoming *vm, struct error *err)
{
    struct vm_incoming_disk disk = {.target = NULL};
    CLEANUP(cleanup_free) char *type = NULL;
    xmlNode *source = xml_child(node, "source");
    int r;

    if (xml_attribute_dup(node, "type", &type) < 0)
        return no_memory(err);
    disk.is_block = type && strcmp(type, "block") == 0;
    if (!disk.is_block && type && strcmp(type, "file") != 0) { /* a file where nothing is said */
        vm->other_disks++;
        return 0;
    }
    if (xml_attribute_dup(source, disk.is_block ? "dev" : "file", &disk.path) < 0)
        return no_memory(err);
    if (!disk.path)
        return 0; /* a drive without a medium */
    r = fill_disk(node, vm, &disk, err);
    if (r == 0 &&
        array_reserve(&vm->disks, &vm->disk_capacity, vm->disk_count + 1, sizeof(*vm->disks)) < 0)
        r = no_memory(err);
    if (r == 0)
        vm->disks[vm->disk_count++] = disk;
    else
        disk_release(&disk);
    return r;
}

static int read_disks(const xmlNode *domain, struct vm_incoming *vm, struct error *err)
{
    size_t count = 0;
    int r = 0;

    for (const xmlNode *list = domain->children; list; list = list->next) {
        if (!xml_is_element(list, "devices"))
            continue;
        for (xmlNode *node = list->children; node && r == 0; node = node->next) {
            if (!xml_is_element(node, "disk"))
                continue;
            if (++count > VM_INCOMING_MAX_DISKS)
                return error_set(err, -EBADMSG, WHAT ": more than %d disks", VM_INCOMING_MAX_DISKS);
            r = take_disk(node, vm, err);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- all of it --------------------------------------------------------------------------- */

int vm_incoming_parse(struct text xml, struct vm_incoming *ret_vm, struct error *err)
{
    CLEANUP(vm_incoming_release) struct vm_incoming vm = {.name = NULL};
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    const xmlNode *domain;
    int r = xml_parse_bounded(xml, WHAT, "domain", &bounds, &tree, err);

    if (r < 0)
        return r;
    domain = xmlDocGetRootElement(tree);
    r = read_name(domain, &vm, err);
    if (r == 0)
        r = read_uuid(domain, &vm, err);
    if (r == 0)
        r = read_memory(domain, &vm, err);
    if (r == 0)
        r = read_vcpus(domain, &vm, err);
    if (r == 0)
        r = read_disks(domain, &vm, err);
    if (r == 0)
        r = read_plan(domain, &vm, err);
    if (r < 0)
        return r;
    read_override(domain, &vm);
    *ret_vm = vm;
    vm = (struct vm_incoming){.name = NULL};
    return 0;
}

void vm_incoming_release(struct vm_incoming *vm)
{
    if (!vm)
        return;
    free(vm->name);
    free(vm->plan_name);
    for (size_t i = 0; i < vm->disk_count; i++)
        disk_release(&vm->disks[i]);
    free(vm->disks);
    *vm = (struct vm_incoming){.name = NULL};
}
