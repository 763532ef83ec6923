/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxml2 for the hook, loaded only when there is XML to read: linked, it (and
 * ICU, which it needs on Debian) would take twice as long to load as the hook
 * takes for an operation that is none of its own.
 */
#ifndef SETMOV_HOOKS_LIBXML2_H
#define SETMOV_HOOKS_LIBXML2_H

#include "setmov/base.h"

/*
 * Call it before anything that parses XML, which otherwise finds itself out of
 * memory. -ENOPKG with the linker's message. Once is enough.
 */
int libxml2_load(struct error *err);

#endif
