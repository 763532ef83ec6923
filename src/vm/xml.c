/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parses XML of libvirt with libxml2, and finds its way in it. Pure. */
#include "vm/xml.h"

#include <errno.h>

static void cleanup_parser(xmlParserCtxtPtr *parser)
{
    xmlFreeParserCtxt(*parser);
}

void xml_cleanup(xmlDocPtr *tree)
{
    xmlFreeDoc(*tree);
}

int xml_parse(struct text xml, const char *what, const char *root, xmlDocPtr *ret_tree,
              struct error *err)
{
    CLEANUP(cleanup_parser) xmlParserCtxtPtr parser = NULL;
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    const xmlNode *top;

    if (text_length(xml) > XML_MAX_BYTES)
        return error_set(err, -EBADMSG, "%s: above %d MiB", what, XML_MAX_BYTES >> 20);
    parser = xmlNewParserCtxt();
    if (!parser)
        return error_set(err, -ENOMEM, "%s: out of memory", what);
    tree = xmlCtxtReadMemory(parser, xml.at, (int)text_length(xml), NULL, NULL,
                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!tree)
        return error_set(err, -EBADMSG, "%s: does not parse, line %d", what,
                         parser->lastError.line);
    if (tree->intSubset || tree->extSubset)
        return error_set(err, -EBADMSG, "%s: declares a document type", what);
    top = xmlDocGetRootElement(tree);
    if (!top || !xml_is_element(top, root))
        return error_set(err, -EBADMSG, "%s: the root is not <%s>", what, root);
    *ret_tree = tree;
    tree = NULL;
    return 0;
}

bool xml_is_element(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

xmlNode *xml_child(const xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next)
        if (xml_is_element(node, name))
            return node;
    return NULL;
}

static bool take(xmlChar *value, char *buffer, size_t size)
{
    bool fitted = value && string_copy(buffer, size, (const char *)value);

    if (!fitted)
        buffer[0] = '\0';
    xmlFree(value);
    return fitted;
}

bool xml_attribute(xmlNode *node, const char *name, char *buffer, size_t size)
{
    return take(node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL, buffer, size);
}

bool xml_content(xmlNode *node, char *buffer, size_t size)
{
    return take(node ? xmlNodeGetContent(node) : NULL, buffer, size);
}
