/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the chains of a domain's disks from its XML, and writes that of a snapshot. Pure. */
#include "vm/migrate_xml.h"

#include "vm/disk_xml.h"
#include "vm/xml_write.h"

#include <errno.h>

#define WHAT       "domain XML"
#define MAX_LAYERS 256

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, WHAT ": out of memory");
}

/* ---- chains ------------------------------------------------------------------------------- */

void migrate_layer_release(struct vm_layer *layer)
{
    free(layer->path);
    free(layer->format);
}

static void chain_release(struct vm_chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        migrate_layer_release(&chain->layers[i]);
    free(chain->layers);
    free(chain->target);
    *chain = (struct vm_chain){.target = NULL};
}

void vm_chains_release(struct vm_chains *chains)
{
    if (!chains)
        return;
    for (size_t i = 0; i < chains->count; i++)
        chain_release(&chains->chains[i]);
    free(chains->chains);
    *chains = (struct vm_chains){NULL, 0, 0};
}

/* Takes `path` and `format`, which are NULL afterwards. */
static int add_layer(struct vm_chain *chain, char **path, char **format)
{
    if (array_reserve(&chain->layers, &chain->capacity, chain->count + 1, sizeof(*chain->layers)) <
        0)
        return -ENOMEM;
    chain->layers[chain->count++] = (struct vm_layer){.path = *path, .format = *format};
    *path = *format = NULL;
    return 0;
}

/* What lies somewhere else than in a file or on a block device of the host cannot be named. */
static int read_layer(xmlNode *source, const char *type, char **ret_path, struct vm_chain *chain,
                      struct error *err)
{
    const char *name = strcmp(type, "block") == 0 ? "dev" : "file";

    if (xml_attribute_dup(source, name, ret_path) < 0)
        return no_memory(err);
    if (*ret_path && (*ret_path)[0] == '/')
        return 0;
    return error_set(err, -ENOTSUP, "disk '%s': a layer of type '%.32s' without an absolute path",
                     chain->target, type);
}

static int read_below(xmlNode *node, struct vm_chain *chain, struct error *err)
{
    xmlNode *below = xml_child(node, "backingStore");

    for (; below; below = xml_child(below, "backingStore")) {
        CLEANUP(cleanup_free) char *type = NULL, *path = NULL, *format = NULL;
        int r;

        if (xml_attribute_dup(below, "type", &type) < 0 ||
            xml_attribute_dup(xml_child(below, "format"), "type", &format) < 0)
            return no_memory(err);
        if (!type)
            break; /* the end of the chain */
        if (chain->count >= MAX_LAYERS)
            return error_set(err, -EBADMSG, "disk '%s': more than %d layers", chain->target,
                             MAX_LAYERS);
        r = read_layer(xml_child(below, "source"), type, &path, chain, err);
        if (r < 0)
            return r;
        if (!format)
            format = strdup("raw");
        if (!format || add_layer(chain, &path, &format) < 0)
            return no_memory(err);
    }
    return 0;
}

/* A volume, whose path only its pool knows, has no layers here. */
static int take_disk(xmlNode *node, struct disk_facts *disk, struct vm_chains *chains,
                     struct error *err)
{
    struct vm_chain *chain;

    if (array_reserve(&chains->chains, &chains->capacity, chains->count + 1,
                      sizeof(*chains->chains)) < 0)
        return no_memory(err);
    chain = &chains->chains[chains->count++];
    *chain = (struct vm_chain){.target = disk->target};
    disk->target = NULL;
    if (!disk->path)
        return 0;
    if (add_layer(chain, &disk->path, &disk->format) < 0)
        return no_memory(err);
    return read_below(node, chain, err);
}

int migrate_chains_parse(struct text xml, struct vm_chains *ret_chains, struct error *err)
{
    CLEANUP(vm_chains_release) struct vm_chains chains = {NULL, 0, 0};
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    const xmlNode *devices;
    size_t next = 0;
    int r = xml_parse(xml, WHAT, "domain", &tree, err);

    if (r < 0)
        return r;
    devices = xml_child(xmlDocGetRootElement(tree), "devices");
    if (disk_list_read(devices, &disks) < 0)
        return no_memory(err);
    for (xmlNode *node = devices ? devices->children : NULL; node && next < disks.count;
         node = node->next) {
        if (!xml_is_element(node, "disk"))
            continue;
        if (disk_goes_along(&disks.disks[next]))
            r = take_disk(node, &disks.disks[next], &chains, err);
        if (r < 0)
            return r;
        next++;
    }
    *ret_chains = chains;
    chains = (struct vm_chains){NULL, 0, 0};
    return 0;
}

/* ---- snapshot ------------------------------------------------------------------------------ */

static int set(xmlNode *node, const char *name, const char *value)
{
    return xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)value) ? 0 : -ENOMEM;
}

static xmlNode *add_child(xmlNode *parent, const char *name)
{
    return xmlNewChild(parent, NULL, (const xmlChar *)name, NULL);
}

static const struct vm_freeze_disk *find(const struct vm_freeze_disk *disks, size_t count,
                                         const char *target)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(disks[i].target, target) == 0)
            return &disks[i];
    return NULL;
}

static int add_snapshot_disk(xmlNode *list, const char *target, const char *overlay)
{
    xmlNode *disk = add_child(list, "disk"), *driver, *source;

    if (!disk || set(disk, "name", target) < 0 ||
        set(disk, "snapshot", overlay ? "external" : "no") < 0)
        return -ENOMEM;
    if (!overlay)
        return 0;
    driver = add_child(disk, "driver");
    source = add_child(disk, "source");
    return !driver || set(driver, "type", "qcow2") < 0 || !source ||
                   set(source, "file", overlay) < 0
               ? -ENOMEM
               : 0;
}

static int fill_snapshot(xmlNode *root, const struct disk_list *domain_disks,
                         const struct vm_freeze_disk *disks, size_t count, struct error *err)
{
    xmlNode *list = add_child(root, "disks");
    size_t found = 0;

    if (!list)
        return no_memory(err);
    for (size_t i = 0; i < domain_disks->count; i++) {
        const char *target = domain_disks->disks[i].target;
        const struct vm_freeze_disk *disk = find(disks, count, target);

        if (add_snapshot_disk(list, target, disk ? disk->overlay : NULL) < 0)
            return no_memory(err);
        found += disk != NULL;
    }
    return found == count ? 0 : error_set(err, -ENOENT, "it lacks a disk that was to be frozen");
}

int migrate_snapshot_xml(struct text xml, const struct vm_freeze_disk *disks, size_t count,
                         char **ret_xml, struct error *err)
{
    CLEANUP(disk_list_release) struct disk_list domain_disks = {NULL, 0, 0};
    CLEANUP(xml_cleanup) xmlDocPtr tree = xmlNewDoc((const xmlChar *)"1.0");
    xmlNode *root = tree ? xmlNewNode(NULL, (const xmlChar *)"domainsnapshot") : NULL;
    int r;

    if (!root)
        return no_memory(err);
    xmlDocSetRootElement(tree, root);
    r = disk_list_parse(xml, &domain_disks, err);
    if (r == 0)
        r = fill_snapshot(root, &domain_disks, disks, count, err);
    if (r < 0)
        return r;
    return xml_write_element(root, ret_xml) < 0 ? no_memory(err) : 0;
}
