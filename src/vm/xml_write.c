/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes XML and writes it with libxml2. Pure. */
#include "vm/xml_write.h"

#include <errno.h>

static void cleanup_buffer(xmlBufferPtr *buffer)
{
    xmlBufferFree(*buffer);
}

int xml_write_element(xmlNode *node, char **ret_text)
{
    CLEANUP(cleanup_buffer) xmlBufferPtr buffer = xmlBufferCreate();
    char *text;

    if (!buffer || xmlNodeDump(buffer, node->doc, node, 0, 0) < 0)
        return -ENOMEM;
    text = strdup((const char *)xmlBufferContent(buffer));
    if (!text)
        return -ENOMEM;
    *ret_text = text;
    return 0;
}

void xml_empty_element(xmlNode *node)
{
    xmlFreePropList(node->properties);
    node->properties = NULL;
    xmlFreeNodeList(node->children);
    node->children = node->last = NULL;
}
