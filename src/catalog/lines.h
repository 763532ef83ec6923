/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the stage's files look for the lines of small text files. */
#ifndef CATALOG_LINES_H
#define CATALOG_LINES_H

#include "setmov/catalog_lines.h"

#endif
