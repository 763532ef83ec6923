/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XML that libvirt hands out, as a tree: no network, no entities, no document
 * types, no files. Pure. The text is hostile (a peer or another administrator
 * wrote it). Private to the parsers of src/vm, which own libxml2.
 */
#ifndef SETMOV_VM_XML_H
#define SETMOV_VM_XML_H

#include "setmov/base.h"

#include <libxml/parser.h>
#include <libxml/tree.h>

#define XML_MAX_BYTES (16 << 20)

/*
 * The tree, for `CLEANUP(xml_cleanup)`, of a text whose root is <root>.
 * `what`: "domain XML", for messages. -EBADMSG: it does not parse, is above
 * XML_MAX_BYTES, or declares a document type.
 */
int xml_parse(struct text xml, const char *what, const char *root, xmlDocPtr *ret_tree,
              struct error *err);
void xml_cleanup(xmlDocPtr *tree);

bool xml_is_element(const xmlNode *node, const char *name);
/* The first child of that name; NULL also where `parent` is. */
xmlNode *xml_child(const xmlNode *parent, const char *name);
/* The attribute's text where it is there and fits, else "" and false. `node` may be NULL. */
bool xml_attribute(xmlNode *node, const char *name, char *buffer, size_t size);
/* The element's text, alike. */
bool xml_content(xmlNode *node, char *buffer, size_t size);

#endif
