/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions that invite overruns or swallow errors do not compile here. Each
 * has a safe twin in setmov/base.h. Included by base.h; include system
 * headers that use these names in macros before it.
 */
#ifndef SETMOV_BANNED_H
#define SETMOV_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison sprintf vsprintf strcpy strcat strncpy strncat gets
#pragma GCC poison atoi atol atoll atof strtok gmtime localtime ctime asctime

#endif
