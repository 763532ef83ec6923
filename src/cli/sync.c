/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov sync`: reads what the other hosts have, for who may not ask them later. */
#include "sync.h"
#include "blocks.h"
#include "configured.h"

#include <errno.h>
#include <unistd.h>

#define SYNC_COMMAND "sync"

enum { KEY_CONFIG = OPTION_KEY_LONG };

static const struct command_option option_table[] = {
    CONFIGURED_OPTION_ROW(KEY_CONFIG),
    {'j', "json", NULL, "print what came of it as a line of JSON"},
};

static const struct command_syntax syntax = {
    .name = SYNC_COMMAND,
    .synopsis = "[OPTION]... [HOST]...",
    .description = "Reads from the other hosts, through libvirt, which disk images and VMs they\n"
                   "have: manifests, and the sketches of fingerprints that changed. They are kept\n"
                   "on this host's disk, for setmov choose and for the libvirt hook.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

struct sync_options {
    const char *config;
    bool json;
    const char **hosts; /* NULL at the end */
    size_t host_count;
};

static int take_option(void *context, int key, const char *argument)
{
    struct sync_options *options = context;

    if (key == KEY_CONFIG)
        options->config = argument;
    else
        options->json = true;
    return STATUS_OK;
}

static int sync_hosts(const struct config *config, const struct sync_options *options,
                      struct peers_result *results)
{
    struct peers_options how = {
        .only = options->host_count > 0 ? options->hosts : NULL,
        .stopped = blocks_stopped,
    };
    struct error err = {""};
    size_t count = 0;
    int rc, status = STATUS_OK;

    rc = peers_sync(config, &how, results, &count, &err);
    if (rc == -ECANCELED || (rc < 0 && blocks_stopped(NULL)))
        return blocks_stop_exit(SYNC_COMMAND);
    if (count > 0)
        status = sync_print(config, results, count, how.only, options->json);
    return rc < 0 ? command_error(SYNC_COMMAND, "%s", err.text) : status;
}

static int run(const struct config *config, const struct sync_options *options)
{
    struct peers_result *results = calloc(config->host_count + 1, sizeof(*results));
    struct error err = {""};
    int status;

    if (!results)
        return command_error(SYNC_COMMAND, "out of memory");
    if (blocks_stop_watch(&err) < 0)
        status = command_error(SYNC_COMMAND, "%s", err.text);
    else
        status = sync_hosts(config, options, results);
    free(results);
    return status;
}

static int configure_and_run(const struct sync_options *options)
{
    struct blocks_settings settings;
    struct config config;
    int status = cli_config_read(SYNC_COMMAND, options->config, &config);

    if (status != STATUS_OK)
        return status;
    blocks_settings_init(&settings, BLOCKS_DEFAULT_KIND, BLOCKS_DEFAULT_BLOCK_SIZE);
    status = blocks_prepare(SYNC_COMMAND, &settings);
    if (status < 0)
        status = run(&config, options);
    blocks_settings_release(&settings);
    config_release(&config);
    return status;
}

int command_sync(int argc, char **argv)
{
    struct sync_options options = {.config = NULL};
    int status = blocks_parse_options(&syntax, argc, argv, take_option, &options);

    if (status >= 0)
        return status;
    options.host_count = (size_t)(argc - optind);
    options.hosts = calloc(options.host_count + 1, sizeof(*options.hosts));
    if (!options.hosts)
        return command_error(SYNC_COMMAND, "out of memory");
    for (size_t i = 0; i < options.host_count; i++)
        options.hosts[i] = argv[optind + (int)i];
    status = configure_and_run(&options);
    free(options.hosts);
    return status;
}
