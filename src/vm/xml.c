/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parses XML of libvirt with libxml2, and finds its way in it. Pure. */
#include "vm/xml.h"

#include <errno.h>

/* Entities stay as they are (there are none), and what the text says of its encoding is not heard. */
#define OPTIONS                                                                                    \
    (XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_IGNORE_ENC |            \
     XML_PARSE_NOCDATA)
/* Of libxml2's message. */
#define MESSAGE_SHOWN 200

static void cleanup_parser(xmlParserCtxtPtr *parser)
{
    xmlFreeParserCtxt(*parser);
}

void xml_cleanup(xmlDocPtr *tree)
{
    xmlFreeDoc(*tree);
}

/* libxml2's own words, which may quote the text. */
static int refuse_broken(const xmlParserCtxt *parser, const char *what, struct error *err)
{
    const xmlError *last = &parser->lastError;
    size_t length = last->message ? strcspn(last->message, "\n") : 0;

    if (last->code == XML_ERR_NO_MEMORY)
        return error_set(err, -ENOMEM, "%s: out of memory", what);
    if (length == 0)
        return error_set(err, -EBADMSG, "%s: does not parse, line %d", what, last->line);
    return error_set(err, -EBADMSG, "%s: does not parse, line %d: %.*s", what, last->line,
                     length < MESSAGE_SHOWN ? (int)length : MESSAGE_SHOWN, last->message);
}

int xml_parse_bounded(struct text xml, const char *what, const char *root,
                      const struct xml_bounds *bounds, xmlDocPtr *ret_tree, struct error *err)
{
    static const struct xml_bounds wide = {
        .bytes = XML_MAX_BYTES,
        .depth = 256, /* as libxml2 */
        .elements = 200000,
        .element_attributes = 256,
        .attributes = 400000,
    };
    CLEANUP(cleanup_parser) xmlParserCtxtPtr parser = NULL;
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    const xmlNode *top;
    int r = xml_bounds_check(xml, what, bounds ? bounds : &wide, err);

    if (r < 0)
        return r;
    parser = xmlNewParserCtxt();
    if (!parser)
        return error_set(err, -ENOMEM, "%s: out of memory", what);
    tree = xmlCtxtReadMemory(parser, xml.at, (int)text_length(xml), NULL, NULL, OPTIONS);
    if (!tree)
        return refuse_broken(parser, what, err);
    if (tree->intSubset || tree->extSubset)
        return error_set(err, -EBADMSG, "%s: declares a document type", what);
    top = xmlDocGetRootElement(tree);
    if (!top || !xml_is_element(top, root))
        return error_set(err, -EBADMSG, "%s: the root is not <%s>", what, root);
    *ret_tree = tree;
    tree = NULL;
    return 0;
}

int xml_parse(struct text xml, const char *what, const char *root, xmlDocPtr *ret_tree,
              struct error *err)
{
    return xml_parse_bounded(xml, what, root, NULL, ret_tree, err);
}

static bool is_named(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

bool xml_is_element(const xmlNode *node, const char *name)
{
    return is_named(node, name) && !node->ns;
}

bool xml_is_element_of(const xmlNode *node, const char *name, const char *namespace)
{
    return is_named(node, name) && node->ns && node->ns->href &&
           strcmp((const char *)node->ns->href, namespace) == 0;
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

static int take_dup(xmlChar *value, char **ret_value)
{
    char *copy = strdup((const char *)value);

    xmlFree(value);
    if (!copy)
        return -ENOMEM;
    *ret_value = copy;
    return 0;
}

int xml_attribute_dup(xmlNode *node, const char *name, char **ret_value)
{
    xmlChar *value = node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;

    *ret_value = NULL;
    return value ? take_dup(value, ret_value) : 0;
}

int xml_content_dup(xmlNode *node, char **ret_value)
{
    xmlChar *value = node ? xmlNodeGetContent(node) : NULL;

    *ret_value = NULL;
    return value ? take_dup(value, ret_value) : 0;
}

bool xml_size(const char *number, const char *unit, uint64_t *ret_bytes)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {
        {"KiB", 1ULL << 10}, {"", 1ULL << 10},    {"k", 1ULL << 10},     {"b", 1},
        {"bytes", 1},        {"KB", 1000},        {"MB", 1000000},       {"M", 1ULL << 20},
        {"MiB", 1ULL << 20}, {"GB", 1000000000},  {"G", 1ULL << 30},     {"GiB", 1ULL << 30},
        {"T", 1ULL << 40},   {"TiB", 1ULL << 40}, {"TB", 1000000000000},
    };
    uint64_t value, bytes;

    if (parse_u64(number, &value) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
        if (strcmp(unit, units[i].name) != 0)
            continue;
        if (__builtin_mul_overflow(value, units[i].bytes, &bytes) || bytes == UNKNOWN_U64)
            return false;
        *ret_bytes = bytes;
        return true;
    }
    return false;
}
