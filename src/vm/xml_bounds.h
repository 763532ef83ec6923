/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What XML of doubtful origin may have at most, looked at before libxml2 sees
 * any of it (whose time for one element grows with the square of its
 * attributes). Pure; needs no library.
 */
#ifndef SETMOV_VM_XML_BOUNDS_H
#define SETMOV_VM_XML_BOUNDS_H

#include "setmov/base.h"

struct xml_bounds {
    size_t bytes;
    unsigned depth; /* of elements */
    unsigned elements;
    unsigned element_attributes; /* of one element */
    unsigned attributes;         /* of all together */
};

/*
 * -EBADMSG, with the line, for what is above a bound, and for what no XML of
 * libvirt has: a NUL, a document type, an entity other than the five that XML
 * knows, a second root. `what`: "domain XML", for messages. What passes is not
 * yet known to be well-formed.
 */
int xml_bounds_check(struct text xml, const char *what, const struct xml_bounds *bounds,
                     struct error *err);

#endif
