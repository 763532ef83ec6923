/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the disks of a domain's XML. Pure. */
#include "vm/disk_xml.h"

#include "vm/xml.h"

#include <errno.h>

#define MAX_DISKS  4096
#define MAX_LAYERS 256

static void disk_release(struct disk_facts *disk)
{
    free(disk->target);
    free(disk->type);
    free(disk->path);
    free(disk->pool);
    free(disk->volume);
    free(disk->format);
    vm_lines_release(&disk->layers);
}

/* Absolute paths only: others lie nowhere that anybody could name. */
static int read_path(xmlNode *source, const char *type, char **ret_path, bool *ret_named)
{
    CLEANUP(cleanup_free) char *path = NULL;
    const char *name = strcmp(type, "file") == 0    ? "file"
                       : strcmp(type, "block") == 0 ? "dev"
                                                    : NULL;

    *ret_path = NULL;
    *ret_named = false;
    if (!name)
        return 0;
    if (xml_attribute_dup(source, name, &path) < 0)
        return -ENOMEM;
    *ret_named = path != NULL;
    if (path && path[0] == '/') {
        *ret_path = path;
        path = NULL;
    }
    return 0;
}

static int read_layers(xmlNode *node, struct disk_facts *disk)
{
    xmlNode *below = xml_child(node, "backingStore");

    disk->has_chain = below != NULL;
    for (; below && disk->layers.count < MAX_LAYERS; below = xml_child(below, "backingStore")) {
        CLEANUP(cleanup_free) char *type = NULL, *path = NULL;
        bool named;

        if (xml_attribute_dup(below, "type", &type) < 0)
            return -ENOMEM;
        if (!type)
            break; /* the end of the chain */
        if (read_path(xml_child(below, "source"), type, &path, &named) < 0)
            return -ENOMEM;
        if (path && lines_add_exactly(&disk->layers, path) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int read_source(xmlNode *node, struct disk_facts *disk)
{
    xmlNode *source = xml_child(node, "source");
    bool named;

    if (xml_attribute_dup(node, "type", &disk->type) < 0)
        return -ENOMEM;
    if (!disk->type)
        disk->type = strdup("file");
    if (!disk->type || read_path(source, disk->type, &disk->path, &named) < 0)
        return -ENOMEM;
    if (strcmp(disk->type, "volume") == 0 &&
        (xml_attribute_dup(source, "pool", &disk->pool) < 0 ||
         xml_attribute_dup(source, "volume", &disk->volume) < 0))
        return -ENOMEM;
    disk->is_empty = !source || (strcmp(disk->type, "file") == 0 && !named);
    return 0;
}

static int fill_disk(xmlNode *node, struct disk_facts *disk)
{
    char device[16];

    if (xml_attribute_dup(xml_child(node, "target"), "dev", &disk->target) < 0)
        return -ENOMEM;
    if (!disk->target)
        disk->target = strdup("?");
    if (xml_attribute_dup(xml_child(node, "driver"), "type", &disk->format) < 0)
        return -ENOMEM;
    if (!disk->format)
        disk->format = strdup("raw");
    if (!disk->target || !disk->format || read_source(node, disk) < 0)
        return -ENOMEM;
    xml_attribute(node, "device", device, sizeof(device));
    disk->is_medium = strcmp(device, "cdrom") == 0 || strcmp(device, "floppy") == 0;
    disk->read_only = xml_child(node, "readonly") != NULL;
    disk->shareable = xml_child(node, "shareable") != NULL;
    disk->transient = xml_child(node, "transient") != NULL;
    disk->has_job = xml_child(node, "mirror") != NULL;
    return read_layers(node, disk);
}

static int take_disk(xmlNode *node, struct disk_list *list)
{
    struct disk_facts disk = {.target = NULL};
    int r = fill_disk(node, &disk);

    if (r == 0)
        r = array_reserve(&list->disks, &list->capacity, list->count + 1, sizeof(disk));
    if (r == 0)
        list->disks[list->count++] = disk;
    else
        disk_release(&disk);
    return r < 0 ? -ENOMEM : 0;
}

int disk_list_read(const xmlNode *devices, struct disk_list *list)
{
    int r = 0;

    for (xmlNode *node = devices ? devices->children : NULL; node && r == 0; node = node->next)
        if (xml_is_element(node, "disk") && list->count < MAX_DISKS)
            r = take_disk(node, list);
    return r;
}

int disk_list_parse(struct text xml, struct disk_list *ret_list, struct error *err)
{
    CLEANUP(disk_list_release) struct disk_list list = {NULL, 0, 0};
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    int r = xml_parse(xml, "domain XML", "domain", &tree, err);

    if (r < 0)
        return r;
    if (disk_list_read(xml_child(xmlDocGetRootElement(tree), "devices"), &list) < 0)
        return error_set(err, -ENOMEM, "domain XML: out of memory");
    *ret_list = list;
    list = (struct disk_list){NULL, 0, 0};
    return 0;
}

void disk_list_release(struct disk_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++)
        disk_release(&list->disks[i]);
    free(list->disks);
    *list = (struct disk_list){NULL, 0, 0};
}

bool disk_goes_along(const struct disk_facts *disk)
{
    return !disk->is_empty && !disk->is_medium && !disk->read_only && !disk->shareable;
}
