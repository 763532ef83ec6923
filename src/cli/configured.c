/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a command gets at setmov.conf: the option --config and the rule for its default. */
#include "configured.h"

int cli_config_read(const char *command, const char *path, struct config *ret_config)
{
    struct error err = {""};
    int rc = config_read_or_default(path, ret_config, &err);

    return rc < 0 ? command_error(command, "%s", err.text) : STATUS_OK;
}
