/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clock that nobody sets. */

#include "setmov/base.h"

double clock_monotonic_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
