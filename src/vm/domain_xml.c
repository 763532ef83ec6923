/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads devices out of domain XML with libxml2. Pure; the only file that knows libxml2. */
#include "vm/domain_xml.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#define MAX_XML_BYTES (16 << 20)
#define MAX_DEVICES   4096

static void cleanup_doc(xmlDocPtr *doc)
{
    xmlFreeDoc(*doc);
}

static void cleanup_parser(xmlParserCtxtPtr *parser)
{
    xmlFreeParserCtxt(*parser);
}

static bool is_element(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static xmlNode *child(const xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next)
        if (is_element(node, name))
            return node;
    return NULL;
}

/* The attribute's text where it is there and fits, else "". */
static bool attribute(xmlNode *node, const char *name, char *buffer, size_t size)
{
    xmlChar *value = node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;
    bool fitted = value && string_copy(buffer, size, (const char *)value);

    if (!fitted)
        buffer[0] = '\0';
    xmlFree(value);
    return fitted;
}

static int take_disk(xmlNode *node, struct domain_devices *devices)
{
    static const char *const sources[] = {"file", "dev", "volume", "name", "dir"};
    struct domain_disk disk = {.target = ""};
    xmlNode *source = child(node, "source");

    if (!attribute(child(node, "target"), "dev", disk.target, sizeof(disk.target)))
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(sources) && disk.source[0] == '\0'; i++)
        attribute(source, sources[i], disk.source, sizeof(disk.source));
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

    attribute(node, "type", interface.type, sizeof(interface.type));
    attribute(child(node, "target"), "dev", interface.target, sizeof(interface.target));
    attribute(child(node, "mac"), "address", interface.mac, sizeof(interface.mac));
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
        if (is_element(node, "disk"))
            r = take_disk(node, devices);
        else if (is_element(node, "interface"))
            r = take_interface(node, devices);
        else if (is_element(node, "memballoon"))
            devices->has_balloon =
                attribute(node, "model", model, sizeof(model)) && strcmp(model, "none") != 0;
    }
    return r;
}

int domain_devices_parse(struct text xml, struct domain_devices *devices, struct error *err)
{
    CLEANUP(cleanup_parser) xmlParserCtxtPtr parser = NULL;
    CLEANUP(cleanup_doc) xmlDocPtr doc = NULL;
    xmlNode *root, *list;

    devices->disk_count = devices->interface_count = 0;
    devices->has_balloon = false;
    if (text_length(xml) > MAX_XML_BYTES)
        return error_set(err, -EBADMSG, "domain XML: above %d MiB", MAX_XML_BYTES >> 20);
    parser = xmlNewParserCtxt();
    if (!parser)
        return error_set(err, -ENOMEM, "domain XML: out of memory");
    doc = xmlCtxtReadMemory(parser, xml.at, (int)text_length(xml), NULL, NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!doc)
        return error_set(err, -EBADMSG, "domain XML: does not parse, line %d",
                         parser->lastError.line);
    if (doc->intSubset || doc->extSubset)
        return error_set(err, -EBADMSG, "domain XML: declares a document type");
    root = xmlDocGetRootElement(doc);
    if (!root || !is_element(root, "domain"))
        return error_set(err, -EBADMSG, "domain XML: the root is not <domain>");
    list = child(root, "devices");
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
