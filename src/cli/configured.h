/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a command gets at setmov.conf: the option --config and the rule for its default. */
#ifndef SETMOV_CLI_CONFIGURED_H
#define SETMOV_CLI_CONFIGURED_H

#include "command.h"
#include "setmov/config.h"

/* The row of --config for a command's table of options, with whatever key it likes. */
#define CONFIGURED_OPTION_ROW(key)                                                                 \
    {                                                                                              \
        key, "config", "FILE", "the configuration\n(default: " CONFIG_PATH ", if it is there)"     \
    }

/*
 * Reads the configuration: that of `path`, or with NULL the one at CONFIG_PATH,
 * which may be missing: then there are only defaults. STATUS_OK, and the
 * caller calls config_release(); or the status after the error was printed.
 */
int cli_config_read(const char *command, const char *path, struct config *ret_config);

/*
 * A command that works by the configuration alone and is stopped by signals
 * (blocks_stopped()): reads it, gets ready, and returns what `run` does.
 */
int cli_run_configured(const char *command, const char *path,
                       int (*run)(const struct config *config, const void *context),
                       const void *context);

#endif
