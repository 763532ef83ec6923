/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads devices out of domain XML. Pure. */
#include "vm/domain_xml.h"

#include "vm/xml.h"

#include <errno.h>

#define MAX_DEVICES 4096

static int take_disk(xmlNode *node, struct domain_devices *devices)
{
    static const char *const sources[] = {"file", "dev", "volume", "name", "dir"};
    struct domain_disk disk = {.target = ""};
    xmlNode *source = xml_child(node, "source");

    if (!xml_attribute(xml_child(node, "target"), "dev", disk.target, sizeof(disk.target)))
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(sources) && disk.source[0] == '\0'; i++)
        xml_attribute(source, sources[i], disk.source, sizeof(disk.source));
    if (devices->disk_count >= MAX_DEVICES)
        return 0;
    if (array_reserve(&devices->disks, &devices->disk_capacity, devices->disk_count + 1,
                      sizeof(disk)) < 0)
        return -ENOMEM;
    devices->disks[devices->disk_count++] = disk;
    return 0;
}

static int take_interface(xmlNode *node, struct domain_devices *devices)
{
    struct domain_interface interface = {.target = ""};

    xml_attribute(node, "type", interface.type, sizeof(interface.type));
    xml_attribute(xml_child(node, "target"), "dev", interface.target, sizeof(interface.target));
    xml_attribute(xml_child(node, "mac"), "address", interface.mac, sizeof(interface.mac));
    if (devices->interface_count >= MAX_DEVICES)
        return 0;
    if (array_reserve(&devices->interfaces, &devices->interface_capacity,
                      devices->interface_count + 1, sizeof(interface)) < 0)
        return -ENOMEM;
    devices->interfaces[devices->interface_count++] = interface;
    return 0;
}

static int take_devices(const xmlNode *parent, struct domain_devices *devices)
{
    char model[32]; /* "virtio-non-transitional" */
    int r = 0;

    for (xmlNode *node = parent->children; node && r == 0; node = node->next) {
        if (xml_is_element(node, "disk"))
            r = take_disk(node, devices);
        else if (xml_is_element(node, "interface"))
            r = take_interface(node, devices);
        else if (xml_is_element(node, "memballoon"))
            devices->has_balloon =
                xml_attribute(node, "model", model, sizeof(model)) && strcmp(model, "none") != 0;
    }
    return r;
}

int domain_devices_parse(struct text xml, struct domain_devices *devices, struct error *err)
{
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    const xmlNode *list;
    int r;

    devices->disk_count = devices->interface_count = 0;
    devices->has_balloon = false;
    r = xml_parse(xml, "domain XML", "domain", &tree, err);
    if (r < 0)
        return r;
    list = xml_child(xmlDocGetRootElement(tree), "devices");
    if (list && take_devices(list, devices) < 0) {
        devices->disk_count = devices->interface_count = 0;
        return error_set(err, -ENOMEM, "domain XML: out of memory");
    }
    return 0;
}

void domain_devices_release(struct domain_devices *devices)
{
    if (!devices)
        return;
    free(devices->disks);
    free(devices->interfaces);
    memset(devices, 0, sizeof(*devices));
}
