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

/* The options of commands that a timer starts. */
struct configured_options {
    const char *config; /* NULL: the default */
    bool look;          /* say what would be done, and do nothing */
    bool json;
};

/* `look`: name and help of the option that sets it. */
#define CONFIGURED_OPTION_ROWS(look_name, look_help)                                               \
    CONFIGURED_OPTION_ROW(OPTION_KEY_LONG), {OPTION_KEY_LONG + 1, look_name, NULL, look_help},     \
    {                                                                                              \
        'j', "json", NULL, "print what came of it as a line of JSON"                               \
    }

/* For blocks_parse_options() with these rows and no others; `context`: the options. */
int configured_take_option(void *context, int key, const char *argument);

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
