/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the XML of a domain that migrates: its disks as they are there, and the
 * plan. Pure.
 *
 * The tree is changed and written again, so quotes may change, but nothing of
 * what it says beside disks and plan.
 */
#include "vm/migrate_xml.h"

#include "setmov/vm_incoming.h"

#include "vm/xml_escape.h"
#include "vm/xml_write.h"

#include <errno.h>

#define WHAT       "domain XML"
#define PLAN       "plan"
#define PREFIX     "setmov"
#define HEX_DIGITS 64

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, WHAT ": out of memory");
}

static void remove_node(xmlNode *node)
{
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

static int set(xmlNode *node, const char *name, const char *value)
{
    return xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)value) ? 0 : -ENOMEM;
}

static void unset(xmlNode *node, const char *name)
{
    xmlUnsetProp(node, (const xmlChar *)name);
}

static xmlNode *add_child(xmlNode *parent, const char *name)
{
    return xmlNewChild(parent, NULL, (const xmlChar *)name, NULL);
}

static xmlNode *child_or_new(xmlNode *parent, const char *name)
{
    xmlNode *found = xml_child(parent, name);

    return found ? found : add_child(parent, name);
}

/* ---- disks ------------------------------------------------------------------------------- */

/* NULL: there is none. -ENOMEM. */
static int find_disk(const xmlNode *domain, const char *target, xmlNode **ret_disk)
{
    const xmlNode *devices = xml_child(domain, "devices");

    *ret_disk = NULL;
    for (xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
        CLEANUP(cleanup_free) char *found = NULL;

        if (!xml_is_element(node, "disk"))
            continue;
        if (xml_attribute_dup(xml_child(node, "target"), "dev", &found) < 0)
            return -ENOMEM;
        if (found && strcmp(found, target) == 0) {
            *ret_disk = node;
            return 0;
        }
    }
    return 0;
}

/*
 * A file, whatever it was. What else the source has stays (startupPolicy, labels
 * below it); its number in the chain (index) is libvirt's own.
 */
static int set_source(xmlNode *disk, const char *path)
{
    static const char *const others[] = {"dev",      "dir",  "pool", "volume", "mode",
                                         "protocol", "name", "type", "index"};
    xmlNode *source = child_or_new(disk, "source");

    if (!source || set(disk, "type", "file") < 0 || set(source, "file", path) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        unset(source, others[i]);
    return 0;
}

static int set_format(xmlNode *disk, const char *format)
{
    xmlNode *driver = xml_child(disk, "driver");

    if (!driver) {
        driver = add_child(disk, "driver");
        if (!driver || set(driver, "name", "qemu") < 0)
            return -ENOMEM;
    }
    return set(driver, "type", format);
}

/* An empty element ends the chain: without it libvirt looks into the image. */
static int add_layers(xmlNode *disk, const struct vm_layer *layers, size_t count)
{
    xmlNode *below = add_child(disk, "backingStore");

    for (size_t i = 0; i < count && below; i++) {
        xmlNode *format = add_child(below, "format"), *source = add_child(below, "source");

        if (set(below, "type", "file") < 0 || !format ||
            set(format, "type", layers[i].format) < 0 || !source ||
            set(source, "file", layers[i].path) < 0)
            return -ENOMEM;
        below = add_child(below, "backingStore");
    }
    return below ? 0 : -ENOMEM;
}

/*
 * A definition names the top layer alone, and leaves the rest to the images, unless its
 * author says where the chain ends. libvirt itself, when it takes a snapshot, adds
 * a layer to it that has no end.
 */
static bool says_where_it_ends(const xmlNode *disk)
{
    const xmlNode *last = NULL;

    for (xmlNode *below = xml_child(disk, "backingStore"); below;
         below = xml_child(below, "backingStore"))
        last = below;
    return last && !last->children;
}

static int set_disk(xmlNode *disk, const struct vm_migrate_disk *as, bool always_with_layers)
{
    static const char *const gone[] = {"backingStore", "mirror"};
    bool with_layers = always_with_layers || says_where_it_ends(disk);

    for (size_t i = 0; i < ARRAY_LENGTH(gone); i++)
        for (xmlNode *node = xml_child(disk, gone[i]); node; node = xml_child(disk, gone[i]))
            remove_node(node);
    if (set_source(disk, as->layers[0].path) < 0 || set_format(disk, as->layers[0].format) < 0)
        return -ENOMEM;
    return with_layers ? add_layers(disk, as->layers + 1, as->count - 1) : 0;
}

static int set_disks(xmlNode *domain, const struct vm_migrate_disk *disks, size_t count,
                     bool always_with_layers, bool may_lack, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        xmlNode *disk;

        if (disks[i].count == 0)
            return error_set(err, -EINVAL, WHAT ": disk '%s' without a layer", disks[i].target);
        if (find_disk(domain, disks[i].target, &disk) < 0)
            return no_memory(err);
        if (!disk && may_lack)
            continue;
        if (!disk)
            return error_set(err, -ENOENT, WHAT ": no disk '%.64s'", disks[i].target);
        if (set_disk(disk, &disks[i], always_with_layers) < 0)
            return no_memory(err);
    }
    return 0;
}

/* ---- the plan ----------------------------------------------------------------------------- */

static bool is_ours(const xmlNode *node)
{
    return node->type == XML_ELEMENT_NODE && node->ns && node->ns->href &&
           strcmp((const char *)node->ns->href, VM_INCOMING_NAMESPACE) == 0;
}

/*
 * Of one namespace libvirt keeps but the first element in <metadata>: where a plan
 * goes in, all others of ours (an override, which a plan does not need) go.
 */
static void remove_ours(xmlNode *metadata, bool all)
{
    xmlNode *next;

    for (xmlNode *node = metadata ? metadata->children : NULL; node; node = next) {
        next = node->next;
        if (is_ours(node) && (all || xml_is_element_of(node, PLAN, VM_INCOMING_NAMESPACE)))
            remove_node(node);
    }
}

static int add_plan(xmlNode *metadata, const char *name, const uint8_t sha256[32])
{
    static const char digits[] = "0123456789abcdef";
    xmlNode *plan = add_child(metadata, PLAN);
    char hex[HEX_DIGITS + 1];
    xmlNs *namespace;

    if (!plan)
        return -ENOMEM;
    namespace = xmlNewNs(plan, (const xmlChar *)VM_INCOMING_NAMESPACE, (const xmlChar *)PREFIX);
    if (!namespace)
        return -ENOMEM;
    xmlSetNs(plan, namespace);
    for (size_t i = 0; i < HEX_DIGITS / 2; i++) {
        hex[2 * i] = digits[sha256[i] >> 4];
        hex[2 * i + 1] = digits[sha256[i] & 15];
    }
    hex[HEX_DIGITS] = '\0';
    return set(plan, "name", name) < 0 || set(plan, "sha256", hex) < 0 ? -ENOMEM : 0;
}

static int set_plan(xmlNode *domain, const char *name, const uint8_t *sha256)
{
    xmlNode *metadata = xml_child(domain, "metadata");

    remove_ours(metadata, name != NULL);
    if (!name)
        return 0;
    if (!metadata)
        metadata = add_child(domain, "metadata");
    return metadata ? add_plan(metadata, name, sha256) : -ENOMEM;
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* What XML cannot say must not get into it: libxml2 would write it all the same. */
static int check_texts(const struct vm_migrate_disk *disks, size_t count, const char *plan_name,
                       struct error *err)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < disks[i].count; j++) {
            CLEANUP(cleanup_free) char *path = NULL, *format = NULL;
            int r = xml_escape(disks[i].layers[j].path, &path);

            if (r == 0)
                r = xml_escape(disks[i].layers[j].format, &format);
            if (r < 0)
                return error_set(err, r, "disk '%s': XML cannot say its path or format",
                                 disks[i].target);
        }
    if (plan_name) {
        CLEANUP(cleanup_free) char *escaped = NULL;
        int r = xml_escape(plan_name, &escaped);

        if (r < 0)
            return error_set(err, r, "XML cannot say the name of the plan");
    }
    return 0;
}

static int edit(struct text xml, const struct vm_migrate_disk *disks, size_t count,
                bool always_with_layers, const char *plan_name, const uint8_t *plan_sha256,
                char **ret_xml, struct error *err)
{
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    int r = check_texts(disks, count, plan_name, err);

    if (r == 0)
        r = xml_parse(xml, WHAT, "domain", &tree, err);
    if (r == 0)
        /* A definition without a plan: of a VM that runs, which may have been plugged a disk. */
        r = set_disks(xmlDocGetRootElement(tree), disks, count, always_with_layers,
                      !always_with_layers && !plan_name, err);
    if (r < 0)
        return r;
    if (set_plan(xmlDocGetRootElement(tree), plan_name, plan_sha256) < 0 ||
        xml_write_element(xmlDocGetRootElement(tree), ret_xml) < 0)
        return no_memory(err);
    return 0;
}

int vm_migrate_xml(struct text xml, const struct vm_migrate_disk *disks, size_t count,
                   const char *plan_name, const uint8_t plan_sha256[32], char **ret_xml,
                   struct error *err)
{
    return edit(xml, disks, count, true, plan_name, plan_sha256, ret_xml, err);
}

int migrate_xml_define(struct text xml, const struct vm_migrate_disk *disks, size_t count,
                       const char *plan_name, const uint8_t *plan_sha256, char **ret_xml,
                       struct error *err)
{
    return edit(xml, disks, count, false, plan_name, plan_sha256, ret_xml, err);
}
