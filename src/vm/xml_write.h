/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XML changed and written again. Pure. Private to src/vm; not for the hook. */
#ifndef SETMOV_VM_XML_WRITE_H
#define SETMOV_VM_XML_WRITE_H

#include "vm/xml.h"

/* The element as text; the caller frees. -ENOMEM. */
int xml_write_element(xmlNode *node, char **ret_text);

/* Leaves nothing of the element but its name. */
void xml_empty_element(xmlNode *node);

#endif
