/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov migrate`: moves a VM to another host, and sends only the blocks that this one lacks. */
#include "migrate.h"

#include "blocks.h"
#include "configured.h"
#include "report_json.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    KEY_CONFIG = OPTION_KEY_LONG,
    KEY_TO,
    KEY_DRY_RUN,
    KEY_OFFLINE,
    KEY_QUIESCE,
    KEY_OLD_IMAGES,
    KEY_BANDWIDTH,
    KEY_PACK_BANDWIDTH,
    KEY_MIRROR_BANDWIDTH,
    KEY_LEVEL,
    KEY_BLOCK_SIZE,
    KEY_MIGRATEURI,
    KEY_DISKS_URI,
    KEY_DISKS_PORT,
    KEY_LISTEN_ADDRESS,
    KEY_TLS,
    KEY_AUTO_CONVERGE,
    KEY_TIMEOUT,
    KEY_ON_TIMEOUT,
    KEY_DOWNTIME,
    KEY_OVERLAY_LIMIT,
    KEY_PROGRESS,
};

static const struct command_option option_table[] = {
    CONFIGURED_OPTION_ROW(KEY_CONFIG),
    {KEY_TO, "to", "HOST",
     "a [host] of the configuration, or a libvirt URI\n(default: what setmov choose names)"},
    {KEY_DRY_RUN, "dry-run", NULL, "change nothing, print what would be sent as of now"},
    {KEY_OFFLINE, "offline", NULL, "move a VM that is off"},
    {KEY_QUIESCE, "quiesce", NULL, "have the guest's agent quiet its file systems at the freeze"},
    {KEY_OLD_IMAGES, "old-images", "WHAT",
     "keep or remove the disks here once it has moved\n(default: old-images of [migrate])"},
    {KEY_BANDWIDTH, "bandwidth", "RATE",
     "send at most so many bits a second: 100M, 1Gbit/s\n(default: bandwidth of [migrate])"},
    {KEY_PACK_BANDWIDTH, "pack-bandwidth", "RATE", "the same for missing blocks alone"},
    {KEY_MIRROR_BANDWIDTH, "mirror-bandwidth", "RATE",
     "the same for memory and what the guest writes meanwhile"},
    {KEY_LEVEL, "level", "N", "of zstd, 1 to 22 (default: as the line wants it)"},
    {KEY_BLOCK_SIZE, "block-size", "BYTES", "of the comparison (default: what sends least)"},
    {KEY_MIGRATEURI, "migrateuri", "URI", "where QEMU's stream goes, as for virsh migrate"},
    {KEY_DISKS_URI, "disks-uri", "URI", "where the disks' mirror goes, as for virsh migrate"},
    {KEY_DISKS_PORT, "disks-port", "PORT", "its port at the destination"},
    {KEY_LISTEN_ADDRESS, "listen-address", "ADDRESS", "where the destination's QEMU listens"},
    {KEY_TLS, "tls", NULL, "encrypt what QEMU sends"},
    {KEY_AUTO_CONVERGE, "auto-converge", NULL, "slow a guest down that is too busy for the line"},
    {KEY_TIMEOUT, "timeout", "SECONDS", "how long memory and mirror may take; see --on-timeout"},
    {KEY_ON_TIMEOUT, "on-timeout", "WHAT",
     "then: suspend the guest until it has moved, go on in\npostcopy, or abort (default: suspend)"},
    {KEY_DOWNTIME, "downtime", "MS", "how long the guest may stand still at the end"},
    {KEY_OVERLAY_LIMIT, "overlay-limit", "BYTES",
     "give up when the guest has written so much meanwhile\n(default: a tenth of the free space "
     "is left)"},
    {KEY_PROGRESS, "progress", "HOW",
     "bar, json (lines on stdout) or none\n(default: bar on a terminal)"},
    {'j', "json", NULL, "print the summary as a line of JSON"},
};

static const struct command_syntax syntax = {
    .name = MIGRATE_COMMAND,
    .synopsis = "[OPTION]... VM",
    .description = "Moves a VM to another host while it runs. Of its disks only those blocks\n"
                   "cross the line that the host there has in none of its images.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

/* It moved, or all is as before, but something is left to be done by hand. */
#define STATUS_LEFT 3

struct settings {
    const char *config;
    struct migrate_options migrate;
    enum migrate_show show;
    bool json, has_timeout, has_on_timeout;
    struct migrate_bar *bar;
};

/* ---- options ------------------------------------------------------------------------------ */

static const char *name_of(int key)
{
    for (size_t i = 0; i < ARRAY_LENGTH(option_table); i++) {
        if (option_table[i].key == key)
            return option_table[i].name;
    }
    return "";
}

static int take_bandwidth(int key, const char *argument, uint64_t *ret_bits_per_s)
{
    if (config_parse_bandwidth(argument, ret_bits_per_s) == 0 && *ret_bits_per_s >= 64000)
        return STATUS_OK;
    return command_usage_error(MIGRATE_COMMAND,
                               "--%s: '%s' is no bandwidth such as 100M, of 64k at least",
                               name_of(key), argument);
}

static int take_bytes(int key, const char *argument, uint64_t *ret_bytes)
{
    if (blocks_parse_bytes(argument, ret_bytes) == 0 && *ret_bytes > 0)
        return STATUS_OK;
    return command_usage_error(MIGRATE_COMMAND, "--%s: '%s' is no number of bytes such as 4G",
                               name_of(key), argument);
}

static int take_number(int key, const char *argument, double least, double most,
                       uint64_t *ret_number)
{
    double value;

    if (!options_number(&syntax, key, argument, least, most, &value))
        return STATUS_USAGE;
    *ret_number = (uint64_t)value;
    return STATUS_OK;
}

/* The index of the word among those of the list, which ends with NULL; -1 after the error was printed. */
static int take_word(int key, const char *argument, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], argument) == 0)
            return i;
    }
    command_usage_error(MIGRATE_COMMAND, "--%s: '%s' is not one of its words", name_of(key),
                        argument);
    return -1;
}

static int take_words(struct settings *settings, int key, const char *argument)
{
    static const char *const olds[] = {"keep", "remove", NULL};
    static const char *const timeouts[] = {"suspend", "postcopy", "abort", NULL};
    static const char *const shows[] = {"bar", "json", "none", NULL};
    static const enum migrate_busy busy[] = {MIGRATE_BUSY_SUSPEND, MIGRATE_BUSY_POST_COPY,
                                             MIGRATE_BUSY_ABORT};
    int word;

    switch (key) {
    case KEY_OLD_IMAGES:
        word = take_word(key, argument, olds);
        settings->migrate.old_images = word == 0 ? MIGRATE_OLD_KEEP : MIGRATE_OLD_REMOVE;
        break;
    case KEY_ON_TIMEOUT:
        word = take_word(key, argument, timeouts);
        settings->migrate.busy = word >= 0 ? busy[word] : MIGRATE_BUSY_WAIT;
        settings->has_on_timeout = true;
        break;
    default:
        word = take_word(key, argument, shows);
        settings->show = word == 1   ? MIGRATE_SHOW_JSON
                         : word == 2 ? MIGRATE_SHOW_NONE
                                     : MIGRATE_SHOW_BAR;
        break;
    }
    return word < 0 ? STATUS_USAGE : STATUS_OK;
}

static int take_figure(struct settings *settings, int key, const char *argument)
{
    struct migrate_options *migrate = &settings->migrate;
    uint64_t number = 0;
    int status;

    switch (key) {
    case KEY_BANDWIDTH:
        return take_bandwidth(key, argument, &migrate->bandwidth_bits_per_s);
    case KEY_PACK_BANDWIDTH:
        return take_bandwidth(key, argument, &migrate->pack_bandwidth_bits_per_s);
    case KEY_MIRROR_BANDWIDTH:
        return take_bandwidth(key, argument, &migrate->mirror_bandwidth_bits_per_s);
    case KEY_LEVEL:
        status = take_number(key, argument, 1, 22, &number);
        migrate->level = (int)number;
        return status;
    case KEY_BLOCK_SIZE:
        status = take_bytes(key, argument, &number);
        if (status == STATUS_OK && (number < 512 || number > 65536 || (number & (number - 1)) != 0))
            status = command_usage_error(
                MIGRATE_COMMAND, "--block-size: %s is no power of two from 512 to 64K", argument);
        migrate->block_size = (uint32_t)number;
        return status;
    case KEY_DISKS_PORT:
        status = take_number(key, argument, 1, 65535, &number);
        migrate->disks_port = (unsigned)number;
        return status;
    case KEY_TIMEOUT:
        settings->has_timeout = true;
        return take_number(key, argument, 1, 1e6, &migrate->busy_s);
    case KEY_DOWNTIME:
        return take_number(key, argument, 1, 1e6, &migrate->downtime_ms);
    case KEY_OVERLAY_LIMIT:
        return take_bytes(key, argument, &migrate->overlay_bytes);
    default:
        return take_words(settings, key, argument);
    }
}

static int take_option(void *context, int key, const char *argument)
{
    struct settings *settings = context;
    struct migrate_options *migrate = &settings->migrate;

    switch (key) {
    case KEY_CONFIG:
        settings->config = argument;
        break;
    case KEY_TO:
        migrate->to = argument;
        break;
    case KEY_DRY_RUN:
        migrate->dry_run = true;
        break;
    case KEY_OFFLINE:
        migrate->offline = true;
        break;
    case KEY_QUIESCE:
        migrate->quiesce = true;
        break;
    case KEY_MIGRATEURI:
        migrate->migrate_uri = argument;
        break;
    case KEY_DISKS_URI:
        migrate->disks_uri = argument;
        break;
    case KEY_LISTEN_ADDRESS:
        migrate->listen_address = argument;
        break;
    case KEY_TLS:
        migrate->tls = true;
        break;
    case KEY_AUTO_CONVERGE:
        migrate->auto_converge = true;
        break;
    case 'j':
        settings->json = true;
        break;
    default:
        return take_figure(settings, key, argument);
    }
    return STATUS_OK;
}

static int check_options(struct settings *settings)
{
    struct migrate_options *migrate = &settings->migrate;

    if (settings->has_on_timeout && !settings->has_timeout)
        return command_usage_error(MIGRATE_COMMAND, "--on-timeout goes with --timeout");
    if (settings->has_timeout && !settings->has_on_timeout)
        migrate->busy = MIGRATE_BUSY_SUSPEND;
    if (migrate->offline &&
        (migrate->quiesce || migrate->auto_converge || settings->has_timeout || migrate->tls))
        return command_usage_error(
            MIGRATE_COMMAND,
            "--quiesce, --tls, --auto-converge and --timeout are for VMs that run");
    return STATUS_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

static void take_progress(void *context, const struct migrate_progress *progress)
{
    const struct settings *settings = context;

    migrate_bar_update(settings->bar, progress);
}

static void take_note(void *context, const char *line)
{
    const struct settings *settings = context;

    migrate_bar_clear(settings->bar);
    fprintf(stderr, "setmov " MIGRATE_COMMAND ": note: %s\n", blocks_show(line).text);
}

static int report(const struct settings *settings, const struct migrate_outcome *outcome)
{
    int status = STATUS_OK;

    if (settings->json)
        status = report_json_print(MIGRATE_COMMAND, migrate_json(outcome));
    else
        migrate_print(outcome);
    if (outcome->code == -ECANCELED) {
        fflush(stdout);
        return blocks_stop_exit(MIGRATE_COMMAND);
    }
    if (outcome->code < 0)
        return command_error(MIGRATE_COMMAND, "%s", outcome->error);
    if (outcome->summary->left.count > 0)
        return STATUS_LEFT;
    /* It has moved, which no failure to say so may deny. */
    if (outcome->summary->moved && (fflush(stdout) != 0 || ferror(stdout))) {
        (void)command_error(MIGRATE_COMMAND, "it has moved, but that cannot be written to stdout");
        return STATUS_LEFT;
    }
    return status;
}

static int run(struct settings *settings, const struct config *config)
{
    CLEANUP(cleanup_free) char *chosen = NULL;
    struct migrate_summary summary;
    struct error err = {""};
    struct migrate_outcome outcome = {.options = &settings->migrate, .summary = &summary};
    int status;

    if (settings->migrate.to == NULL) {
        status = migrate_choose(config, settings->migrate.vm,
                                settings->json || settings->show == MIGRATE_SHOW_JSON, &chosen);
        if (status != STATUS_OK || chosen == NULL)
            return status;
        settings->migrate.to = chosen;
    }
    settings->bar = migrate_bar_new(settings->migrate.vm, settings->show);
    outcome.to = settings->migrate.to;
    outcome.code = migrate_run(config, &settings->migrate, &summary, &err);
    outcome.error = outcome.code < 0 ? err.text : NULL;
    migrate_bar_free(settings->bar);
    settings->bar = NULL;
    status = report(settings, &outcome);
    migrate_summary_release(&summary);
    return status;
}

static int configure_and_run(struct settings *settings)
{
    struct blocks_settings blocks;
    struct error err = {""};
    struct config config;
    int status = cli_config_read(MIGRATE_COMMAND, settings->config, &config);

    if (status != STATUS_OK)
        return status;
    blocks_settings_init(&blocks, BLOCKS_DEFAULT_KIND, BLOCKS_DEFAULT_BLOCK_SIZE);
    status = blocks_prepare(MIGRATE_COMMAND, &blocks);
    if (status < 0 && blocks_stop_watch(&err) < 0)
        status = command_error(MIGRATE_COMMAND, "%s", err.text);
    if (status < 0)
        status = run(settings, &config);
    blocks_settings_release(&blocks);
    config_release(&config);
    return status;
}

int command_migrate(int argc, char **argv)
{
    struct settings settings = {.config = NULL};
    int status;

    settings.migrate.progress = take_progress;
    settings.migrate.note = take_note;
    settings.migrate.stopped = blocks_stopped;
    settings.migrate.context = &settings;
    status = blocks_parse_options(&syntax, argc, argv, take_option, &settings);
    if (status >= 0)
        return status;
    if (optind + 1 != argc)
        return command_usage_error(MIGRATE_COMMAND,
                                   optind == argc ? "no VM given" : "more than one VM");
    settings.migrate.vm = argv[optind];
    status = check_options(&settings);
    return status == STATUS_OK ? configure_and_run(&settings) : status;
}
