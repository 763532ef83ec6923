/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A migration with a plan: from the XML to disks that are there. (Effects: all of it.) */
#include "setmov/gate_apply.h"

#include <errno.h>

int gate_apply(struct text xml, const char *config, struct error *err)
{
    (void)xml, (void)config;
    return error_set(err, -ENOSYS, "setmov: no disks can be built here yet");
}
