/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a hook said, out of libvirt's message about it. Pure. */
#ifndef SETMOV_VM_HOOK_LINE_H
#define SETMOV_VM_HOOK_LINE_H

/*
 * Where in libvirt's message begins what a qemu hook wrote when it refused a
 * migration; libvirt puts the hook's whole environment and its arguments before
 * it. "" where it wrote nothing. NULL: the message is of something else.
 */
const char *hook_line(const char *message);

#endif
