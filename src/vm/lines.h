/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of strings, beside what setmov/vm_move.h has. Pure. */
#ifndef SETMOV_VM_LINES_H
#define SETMOV_VM_LINES_H

#include "setmov/vm_move.h"

/* As it is, where vm_lines_add() makes one line of it; for paths and names. -ENOMEM. */
int lines_add_exactly(struct vm_lines *lines, const char *string);
/* The same where it is not there yet. */
int lines_add_once(struct vm_lines *lines, const char *string);
bool lines_have(const struct vm_lines *lines, const char *string);

#endif
