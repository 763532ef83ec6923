/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a command gets at setmov.conf: the option --config and the rule for its default. */
#include "configured.h"

#include "blocks.h"

int configured_take_option(void *context, int key, const char *argument)
{
    struct configured_options *options = context;

    if (key == OPTION_KEY_LONG)
        options->config = argument;
    else if (key == 'j')
        options->json = true;
    else
        options->look = true;
    return STATUS_OK;
}

int cli_config_read(const char *command, const char *path, struct config *ret_config)
{
    struct error err = {""};
    int rc = config_read_or_default(path, ret_config, &err);

    return rc < 0 ? command_error(command, "%s", err.text) : STATUS_OK;
}

int cli_run_configured(const char *command, const char *path,
                       int (*run)(const struct config *config, const void *context),
                       const void *context)
{
    struct blocks_settings settings;
    struct error err = {""};
    struct config config;
    int status = cli_config_read(command, path, &config);

    if (status != STATUS_OK)
        return status;
    blocks_settings_init(&settings, BLOCKS_DEFAULT_KIND, BLOCKS_DEFAULT_BLOCK_SIZE);
    status = blocks_prepare(command, &settings);
    if (status < 0 && blocks_stop_watch(&err) < 0)
        status = command_error(command, "%s", err.text);
    if (status < 0)
        status = run(&config, context);
    blocks_settings_release(&settings);
    config_release(&config);
    return status;
}
