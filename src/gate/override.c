/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Has this host's administrator said that the VM may come? (Effects: looks for a file.) */
#include "gate/gate.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

/* The file of that name, which must be no path, if it is there. The caller frees. */
static char *find_file(const char *directory, const char *name)
{
    char *path = NULL;

    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL || strlen(name) > NAME_MAX ||
        asprintf(&path, "%s/%s", directory, name) < 0)
        return NULL;
    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return path;
    free(path);
    return NULL;
}

char *gate_override_file(const struct config *config, const struct vm_incoming *vm)
{
    const char *directory = config->hook.override.directory;
    char uuid[UUID_TEXT_BYTES];
    char *path;

    if (directory == NULL)
        return NULL;
    uuid_format(&vm->uuid, uuid);
    path = find_file(directory, uuid);
    return path != NULL ? path : find_file(directory, vm->name);
}
