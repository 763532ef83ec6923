/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions for the CLEANUP attribute. */

#include "setmov/base.h"

#include <errno.h>
#include <unistd.h>

void cleanup_free(void *pointer_to_pointer)
{
    void *memory;

    /* The variable may be a pointer to any type: copied, not cast, to keep to aliasing rules. */
    memcpy(&memory, pointer_to_pointer, sizeof(memory));
    free(memory);
}

void cleanup_close(const int *fd)
{
    int saved_errno = errno;

    if (*fd >= 0)
        close(*fd);
    errno = saved_errno;
}
