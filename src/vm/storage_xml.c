/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads disk images out of the XML of domains, volumes and pools. Pure. */
#include "vm/storage_xml.h"

#include "vm/xml.h"

#include <errno.h>

#define MAX_DISKS 4096

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

/* libvirt's name of a format that QEMU calls otherwise. */
static void translate_format(char *format)
{
    if (strcmp(format, "iso") == 0)
        string_copy(format, STORAGE_FORMAT_BYTES, "raw");
    else if (strcmp(format, "vhd") == 0)
        string_copy(format, STORAGE_FORMAT_BYTES, "vpc");
}

/* ---- domains ------------------------------------------------------------------- */

/* False: no medium, or none that lies on this host. */
static bool read_source(xmlNode *source, const char *type, struct storage_disk *disk)
{
    if (strcmp(type, "file") == 0)
        xml_attribute(source, "file", disk->path, sizeof(disk->path));
    else if (strcmp(type, "block") == 0)
        xml_attribute(source, "dev", disk->path, sizeof(disk->path));
    else if (strcmp(type, "volume") == 0)
        return xml_attribute(source, "pool", disk->pool, sizeof(disk->pool)) &&
               xml_attribute(source, "volume", disk->volume, sizeof(disk->volume)) &&
               disk->pool[0] != '\0' && disk->volume[0] != '\0';
    return disk->path[0] == '/';
}

static int take_disk(xmlNode *node, struct storage_disks *disks)
{
    struct storage_disk disk = {.path = ""};
    char type[16];

    if (!xml_attribute(node, "type", type, sizeof(type)) ||
        !read_source(xml_child(node, "source"), type, &disk))
        return 0;
    if (!xml_attribute(xml_child(node, "driver"), "type", disk.format, sizeof(disk.format)) ||
        disk.format[0] == '\0')
        string_copy(disk.format, sizeof(disk.format), "raw");
    translate_format(disk.format);
    if (disks->count >= MAX_DISKS)
        return 0;
    if (array_reserve(&disks->disks, &disks->capacity, disks->count + 1, sizeof(disk)) < 0)
        return -ENOMEM;
    disks->disks[disks->count++] = disk;
    return 0;
}

int storage_domain_parse(struct text xml, struct storage_disks *disks, struct error *err)
{
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    const xmlNode *list;
    int r = xml_parse(xml, "domain XML", "domain", &tree, err);

    if (r < 0)
        return r;
    list = xml_child(xmlDocGetRootElement(tree), "devices");
    for (xmlNode *node = list ? list->children : NULL; node && r == 0; node = node->next)
        if (xml_is_element(node, "disk"))
            r = take_disk(node, disks);
    return r < 0 ? error_set(err, r, "domain XML: out of memory") : 0;
}

void storage_disks_release(struct storage_disks *disks)
{
    free(disks->disks);
    *disks = (struct storage_disks){NULL, 0, 0};
}

/* ---- volumes --------------------------------------------------------------------- */

int storage_volume_parse(struct text xml, struct storage_volume *ret_volume, struct error *err)
{
    /* Disk pools have types of partitions in their place. */
    static const char *const formats[] = {"raw", "qcow2", "qcow",  "qed", "vmdk", "vdi",  "vpc",
                                          "dmg", "bochs", "cloop", "iso", "vhd",  "luks", NULL};
    static const char *const local[] = {"file", "block", NULL};
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    struct storage_volume volume = {.path = ""};
    const xmlNode *target;
    xmlNode *root;
    char type[16];
    int r = xml_parse(xml, "volume XML", "volume", &tree, err);

    if (r < 0)
        return r;
    root = xmlDocGetRootElement(tree);
    target = xml_child(root, "target");
    xml_attribute(root, "type", type, sizeof(type));
    if (is_one_of(type, local))
        xml_content(xml_child(target, "path"), volume.path, sizeof(volume.path));
    volume.is_local = volume.path[0] == '/';
    if (!volume.is_local)
        volume.path[0] = '\0';
    xml_attribute(xml_child(target, "format"), "type", volume.format, sizeof(volume.format));
    if (!is_one_of(volume.format, formats))
        volume.format[0] = '\0';
    translate_format(volume.format);
    *ret_volume = volume;
    return 0;
}

/* ---- pools ----------------------------------------------------------------------- */

int storage_pool_parse(struct text xml, struct storage_pool *ret_pool, struct error *err)
{
    static const char *const remote[] = {"rbd",   "gluster",      "sheepdog",
                                         "iscsi", "iscsi-direct", NULL};
    static const char *const files[] = {"dir", "fs", "netfs", NULL};
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    struct storage_pool pool = {.directory = ""};
    xmlNode *root;
    int r = xml_parse(xml, "pool XML", "pool", &tree, err);

    if (r < 0)
        return r;
    root = xmlDocGetRootElement(tree);
    xml_attribute(root, "type", pool.type, sizeof(pool.type));
    pool.is_remote = is_one_of(pool.type, remote);
    if (is_one_of(pool.type, files) && (!xml_content(xml_child(xml_child(root, "target"), "path"),
                                                     pool.directory, sizeof(pool.directory)) ||
                                        pool.directory[0] != '/'))
        pool.directory[0] = '\0';
    *ret_pool = pool;
    return 0;
}
