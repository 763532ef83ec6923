/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds what a hook said in libvirt's message about it. Pure. */
#include "vm/hook_line.h"

#include "setmov/base.h"

/*
 * "...: Child process (LC_ALL=C ... /etc/libvirt/hooks/qemu.d/x NAME migrate
 * begin -) unexpected exit status 1: TEXT"; the words may be in the daemon's
 * language, the hook's arguments are not.
 */
const char *hook_line(const char *message)
{
    const char *arguments = strstr(message, " migrate begin -)");
    const char *text = arguments ? strstr(arguments, ": ") : NULL;

    if (!arguments)
        return NULL;
    return text ? text + 2 : "";
}
