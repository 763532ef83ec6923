/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XML that libvirt hands out, as a tree: no network, no entities, no document
 * types, no files. Pure. The text is hostile (a peer or another administrator
 * wrote it). Private to the parsers of src/vm, which own libxml2.
 */
#ifndef SETMOV_VM_XML_H
#define SETMOV_VM_XML_H

#include "vm/xml_bounds.h"

#include <libxml/parser.h>
#include <libxml/tree.h>

#define XML_MAX_BYTES (16 << 20)

/*
 * The tree, for `CLEANUP(xml_cleanup)`, of a text in UTF-8 whose root is
 * <root>. `what`: "domain XML", for messages. -EBADMSG: it does not parse, is
 * above a bound, declares a document type or an entity, ... `bounds` NULL: wide
 * ones, of XML_MAX_BYTES.
 */
int xml_parse_bounded(struct text xml, const char *what, const char *root,
                      const struct xml_bounds *bounds, xmlDocPtr *ret_tree, struct error *err);
int xml_parse(struct text xml, const char *what, const char *root, xmlDocPtr *ret_tree,
              struct error *err);
void xml_cleanup(xmlDocPtr *tree);

/* Of no namespace: libvirt's own elements are of none. */
bool xml_is_element(const xmlNode *node, const char *name);
bool xml_is_element_of(const xmlNode *node, const char *name, const char *namespace);
/* The first child of that name; NULL also where `parent` is. */
xmlNode *xml_child(const xmlNode *parent, const char *name);
/* The attribute's text where it is there and fits, else "" and false. `node` may be NULL. */
bool xml_attribute(xmlNode *node, const char *name, char *buffer, size_t size);
/* The element's text, alike. */
bool xml_content(xmlNode *node, char *buffer, size_t size);

/* The same as memory of the caller's; NULL where there is none (or no `node`). -ENOMEM. */
int xml_attribute_dup(xmlNode *node, const char *name, char **ret_value);
int xml_content_dup(xmlNode *node, char **ret_value);

/* A size as libvirt writes it: a number and a unit ("KiB", which is also meant by none). */
bool xml_size(const char *number, const char *unit, uint64_t *ret_bytes);

#endif
