/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the files that a domain's XML names. Pure. */
#include "vm/files_xml.h"

#include "vm/xml.h"

#include <errno.h>

/* The path that begins there: up to a quote or a comma, of which two are one that belongs to it. */
static char *argument_dup(const char *at)
{
    char *path = strdup(at), *to = path;

    for (; path && *at != '\0' && *at != '"'; at++) {
        if (at[0] == ',' && at[1] != ',')
            break;
        at += at[0] == ',';
        *to++ = *at;
    }
    if (path)
        *to = '\0';
    return path;
}

/* Arguments for QEMU: "file=/i/a.raw,format=raw", "{\"filename\":\"/i/a.raw\"}", "file:/i/a.raw". */
static int add_arguments(const char *text, struct vm_lines *paths)
{
    for (const char *at = strchr(text, '/'); at; at = strchr(at + 1, '/')) {
        CLEANUP(cleanup_free) char *path = NULL;

        if (at == text || !strchr("=\":", at[-1]))
            continue;
        path = argument_dup(at);
        if (!path || lines_add_once(paths, path) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_text(char *text, struct vm_lines *paths)
{
    if (!text)
        return 0;
    if (text[0] == '/' && lines_add_once(paths, text) < 0)
        return -ENOMEM;
    return add_arguments(text, paths);
}

static int add_attributes(xmlNode *node, struct vm_lines *paths)
{
    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
        CLEANUP(cleanup_free) char *value = NULL;

        if (xml_content_dup(attribute->children, &value) < 0 || add_text(value, paths) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* The next node in the order of the text that is not within <metadata>; NULL at the end. */
static xmlNode *next_node(xmlNode *node, const xmlNode *top)
{
    if (node->children && node->type == XML_ELEMENT_NODE && !xml_is_element(node, "metadata"))
        return node->children;
    while (node != top && !node->next)
        node = node->parent;
    return node == top ? NULL : node->next;
}

int files_xml_add(struct text xml, const char *what, const char *root, struct vm_lines *paths,
                  struct error *err)
{
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    xmlNode *top;
    int r = xml_parse(xml, what, root, &tree, err);

    if (r < 0)
        return r;
    top = xmlDocGetRootElement(tree);
    for (xmlNode *node = top; node && r == 0; node = next_node(node, top)) {
        CLEANUP(cleanup_free) char *text = NULL;

        if (node->type == XML_ELEMENT_NODE)
            r = xml_is_element(node, "metadata") ? 0 : add_attributes(node, paths);
        else if (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE)
            r = xml_content_dup(node, &text) < 0 ? -ENOMEM : add_text(text, paths);
    }
    return r < 0 ? error_set(err, r, "%s: out of memory", what) : 0;
}
