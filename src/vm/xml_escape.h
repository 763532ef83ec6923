/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that goes into XML which we make. Pure. */
#ifndef SETMOV_VM_XML_ESCAPE_H
#define SETMOV_VM_XML_ESCAPE_H

#include "setmov/base.h"

/*
 * The string as it may stand between tags and in quotes. -EINVAL where XML has
 * no way to say it, or no name should have it: controls, what is not UTF-8.
 * The caller frees.
 */
int xml_escape(const char *string, char **ret_escaped);

#endif
