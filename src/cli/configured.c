/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a command gets at setmov.conf: the option --config and the rule for its default. */
#include "configured.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

/* As if an empty file were there. */
static int read_nothing(struct config *ret_config, struct error *err)
{
    char name[HOST_NAME_MAX + 1] = "";

    if (gethostname(name, sizeof(name)) < 0)
        name[0] = '\0';
    name[sizeof(name) - 1] = '\0';
    return config_parse("", 0, CONFIG_PATH, name, ret_config, err);
}

int cli_config_read(const char *command, const char *path, struct config *ret_config)
{
    struct error err = {""};
    int rc = config_read(path != NULL ? path : CONFIG_PATH, ret_config, &err);

    if (rc == -ENOENT && path == NULL)
        rc = read_nothing(ret_config, &err);
    return rc < 0 ? command_error(command, "%s", err.text) : STATUS_OK;
}
