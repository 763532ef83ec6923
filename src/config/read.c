/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a configuration file (effects: reads a file, asks for the host's name). */
#include "setmov/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

static int parse(const char *text, size_t length, const char *path, struct config *ret_config,
                 struct error *err)
{
    char name[HOST_NAME_MAX + 1] = "";

    if (gethostname(name, sizeof(name)) < 0)
        name[0] = '\0';
    name[sizeof(name) - 1] = '\0';
    return config_parse(text, length, path, name, ret_config, err);
}

int config_read(const char *path, struct config *ret_config, struct error *err)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    int rc = file_read(AT_FDCWD, path, &buffer);

    if (rc == -EINVAL)
        return error_set(err, rc, "%s: is not a regular file", path);
    if (rc < 0)
        return error_set(err, rc, "%s: %s", path, strerror(-rc));
    return parse(buffer.bytes, buffer.length, path, ret_config, err);
}

int config_read_or_default(const char *path, struct config *ret_config, struct error *err)
{
    int rc = config_read(path != NULL ? path : CONFIG_PATH, ret_config, err);

    return rc == -ENOENT && path == NULL ? parse("", 0, CONFIG_PATH, ret_config, err) : rc;
}
