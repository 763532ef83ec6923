/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong with a path or name that somebody else wrote. Pure. */
#ifndef SETMOV_VM_INCOMING_PATH_H
#define SETMOV_VM_INCOMING_PATH_H

#include "setmov/base.h"

bool incoming_has_control(const char *string);

/* "leads upwards (..)" and the like, to stand behind the path; NULL: nothing is. */
const char *incoming_path_wrong(const char *path);

#endif
