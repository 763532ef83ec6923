/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a configuration file (effects: reads a file, asks for the host's name). */
#include "setmov/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

int config_read(const char *path, struct config *ret_config, struct error *err)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    char name[HOST_NAME_MAX + 1] = "";
    int rc = file_read(AT_FDCWD, path, &buffer);

    if (rc == -EINVAL)
        return error_set(err, rc, "%s: is not a regular file", path);
    if (rc < 0)
        return error_set(err, rc, "%s: %s", path, strerror(-rc));
    if (gethostname(name, sizeof(name)) < 0)
        name[0] = '\0';
    name[sizeof(name) - 1] = '\0';
    return config_parse(buffer.bytes, buffer.length, path, name, ret_config, err);
}
