/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov index`: keeps fingerprints of all images of a host in a directory. */
#include "index.h"
#include "configured.h"

#include <errno.h>
#include <unistd.h>

#define DEFAULT_DIRECTORY "/var/lib/setmov/index"

enum {
    KEY_CONFIG = OPTION_KEY_LONG,
    KEY_INDEX,
    KEY_LIST,
    KEY_REREAD,
    KEY_NO_WAIT,
    KEY_EXCLUDE,
};

static const struct command_option option_table[] = {
    {KEY_CONFIG, "config", "FILE",
     "without --connect, directory or image: this host as the\nconfiguration has it, for its "
     "peers to read (default:\n" CONFIG_PATH ", if it is there)"},
    {'c', "connect", "URI",
     "all volumes and disks that libvirt knows on this host\n('': its default connection)"},
    {KEY_INDEX, "index", "DIR",
     "the index directory, made if missing\n(default: " DEFAULT_DIRECTORY ")"},
    {KEY_EXCLUDE, "exclude", "GLOB", "not images whose name or path matches; may be repeated"},
    {KEY_REREAD, "reread", NULL, "read unchanged images, too"},
    {KEY_NO_WAIT, "no-wait", NULL, "fail where another one is changing the index directory"},
    {BLOCKS_OPTION_BLOCK_SIZE, "block-size", "N",
     "a power of two from 512 to 65536, or several with\ncommas between them (default: 4096)"},
    {BLOCKS_OPTION_DIGEST, "digest", "NAME", "md5, sha256 (default) or keyed"},
    BLOCKS_OPTION_ROW_KEY_FILE,
    BLOCKS_OPTION_ROWS_READING,
    {'v', "verbose", NULL, "print a line for each image, also where stdout is no\nterminal"},
    {'j', "json", NULL, "print what came of each image, or the list, as a line\nof JSON"},
    {KEY_LIST, "list", NULL, "print what the index holds and change nothing"},
};

static const struct command_syntax syntax = {
    .name = INDEX_COMMAND,
    .synopsis = "[OPTION]... [DIR | IMAGE]...\n"
                "       setmov index [--config FILE] [OPTION]...\n"
                "       setmov index --list [--index DIR | --config FILE] [--json]",
    .description =
        "Keeps a fingerprint of each disk image below the directories, and of a libvirt\n"
        "host's pools and domains, in an index directory. Images that have not changed\n"
        "are not read again; fingerprints of those that vanished are dropped.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

/* ---- options -------------------------------------------------------------------------- */

/* "512,4096" is as --block-size 512 --block-size 4096. */
static int take_block_sizes(struct index_options *options, const char *argument)
{
    CLEANUP(cleanup_free) char *list = strdup(argument);
    char *size = list, *comma;

    if (!list)
        return command_error(syntax.name, "out of memory");
    do {
        int status;

        comma = strchr(size, ',');
        if (comma)
            *comma = '\0';
        status = blocks_option(&syntax, BLOCKS_OPTION_BLOCK_SIZE, size, &options->blocks);
        if (status != STATUS_OK)
            return status;
        size = comma ? comma + 1 : NULL;
    } while (size);
    return STATUS_OK;
}

static int take_exclude(struct index_options *options, const char *argument)
{
    if (array_reserve(&options->excludes, &options->exclude_capacity, options->exclude_count + 1,
                      sizeof(*options->excludes)) < 0)
        return command_error(syntax.name, "out of memory");
    options->excludes[options->exclude_count++] = argument;
    return STATUS_OK;
}

static int take_flag(struct index_options *options, int key)
{
    switch (key) {
    case 'j':
        options->json = true;
        break;
    case 'v':
        options->verbose = true;
        break;
    case KEY_LIST:
        options->list = true;
        break;
    case KEY_REREAD:
        options->reread = true;
        break;
    default:
        options->no_wait = true;
        break;
    }
    return STATUS_OK;
}

/* STATUS_OK, or the status after the error was printed. */
static int take_option(void *context, int key, const char *argument)
{
    struct index_options *options = context;

    switch (key) {
    case 'c':
        options->connect = true;
        options->uri = *argument ? argument : NULL;
        return STATUS_OK;
    case KEY_CONFIG:
        options->config = argument;
        return STATUS_OK;
    case KEY_INDEX:
        options->directory = argument;
        return STATUS_OK;
    case KEY_EXCLUDE:
        return take_exclude(options, argument);
    case BLOCKS_OPTION_BLOCK_SIZE:
        return take_block_sizes(options, argument);
    case 'j':
    case 'v':
    case KEY_LIST:
    case KEY_REREAD:
    case KEY_NO_WAIT:
        return take_flag(options, key);
    default:
        return blocks_option(&syntax, key, argument, &options->blocks);
    }
}

/* What setmov.conf says for all hosts alike is not said otherwise for one run. */
static int check_configured(const struct index_options *options)
{
    const struct blocks_settings *blocks = &options->blocks;

    if (options->directory)
        return command_usage_error(syntax.name,
                                   "--index goes with --connect, a directory, an image or --list");
    if (blocks->block_size_given || blocks->kind_given || blocks->has_key)
        return command_usage_error(syntax.name,
                                   "--block-size, --digest and --key-file go with --connect, a "
                                   "directory or an image; without, the configuration says them");
    return -1;
}

static int check_options(const struct index_options *options)
{
    if (options->directory && !*options->directory)
        return command_usage_error(syntax.name, "--index: a directory with an empty name");
    if (options->list && (options->operand_count > 0 || options->connect))
        return command_usage_error(syntax.name, "--list takes no images and no --connect");
    if (options->config && (options->operand_count > 0 || options->connect || options->directory))
        return command_usage_error(syntax.name,
                                   "--config takes no --connect, no --index and no images");
    if (!options->list && options->operand_count == 0 && !options->connect)
        return check_configured(options);
    if (options->blocks.kind == DIGEST_KEYED_SHA256 && !options->blocks.has_key)
        return command_usage_error(syntax.name, "--digest keyed needs --key-file");
    return -1;
}

/* Returns an exit status, or -1 to go on. */
static int parse_options(int argc, char **argv, struct index_options *options)
{
    int status = blocks_parse_options(&syntax, argc, argv, take_option, options);

    if (status >= 0)
        return status;
    options->operands = argv + optind;
    options->operand_count = argc - optind;
    return check_options(options);
}

/* ---- the work ---------------------------------------------------------------------------- */

static int update(const struct index_options *options, const struct catalog_images *images)
{
    const struct blocks_settings *blocks = &options->blocks;
    struct fingerprint_wish wishes[BLOCKS_MAX_WISHES];
    struct catalog_update_options how = {
        .image = blocks->image,
        .build = blocks->build,
        .reread = options->reread,
        .no_wait = options->no_wait,
        .event = index_report_event,
    };
    struct index_report *report = index_report_new(options);
    struct catalog_summary summary;
    struct error err = {""};
    int rc, status;

    if (!report)
        return command_error(syntax.name, "out of memory");
    for (size_t i = 0; i < blocks->block_size_count; i++)
        wishes[i] = (struct fingerprint_wish){
            .kind = blocks->kind,
            .block_size = blocks->block_sizes[i],
            .key = blocks->kind == DIGEST_KEYED_SHA256 ? blocks->key : NULL,
        };
    /* An index is believed by its heads: what lies behind them must not be lost. */
    how.build.sync = true;
    how.build.progress = index_report_progress;
    how.build.stopped = blocks_stopped;
    how.build.context = report;
    rc = catalog_update(options->directory, images, wishes, blocks->block_size_count, &how,
                        &summary, &err);
    index_report_pause(report);
    if (rc == 0 && options->offers)
        index_offer(options, report);
    if (rc == -ECANCELED || blocks_stopped(NULL))
        status = blocks_stop_exit(syntax.name);
    else if (rc < 0)
        status = command_error(syntax.name, "%s", err.text);
    else
        status = index_report_print(report, images, &summary);
    index_report_free(report);
    return status;
}

static int run(struct index_options *options)
{
    CLEANUP(catalog_images_release) struct catalog_images images = {0};
    struct error err = {""};
    int status;

    if (options->list)
        return index_list(options);
    /* Up to here there is nothing to clean up: a signal may simply kill. */
    if (options->offers)
        index_look_around(options);
    status = index_find(options, &images);
    if (status != STATUS_OK)
        return status;
    if (blocks_stop_watch(&err) < 0)
        return command_error(syntax.name, "%s", err.text);
    return update(options, &images);
}

static int prepare_and_run(struct index_options *options)
{
    int status = blocks_prepare(syntax.name, &options->blocks);

    return status < 0 ? run(options) : status;
}

static int configure_and_run(struct index_options *options)
{
    struct config config;
    int status = cli_config_read(syntax.name, options->config, &config);

    if (status != STATUS_OK)
        return status;
    status = index_configure(options, &config);
    if (status == STATUS_OK)
        status = prepare_and_run(options);
    config_release(&config);
    return status;
}

int command_index(int argc, char **argv)
{
    struct index_options options = {.directory = NULL};
    int status;

    blocks_settings_init(&options.blocks, BLOCKS_DEFAULT_KIND, BLOCKS_DEFAULT_BLOCK_SIZE);
    status = parse_options(argc, argv, &options);
    if (status < 0 && index_is_configured(&options)) {
        status = configure_and_run(&options);
    } else if (status < 0) {
        if (!options.directory)
            options.directory = DEFAULT_DIRECTORY;
        status = prepare_and_run(&options);
    }
    blocks_settings_release(&options.blocks);
    free(options.excludes);
    return status;
}
