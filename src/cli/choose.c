/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov choose`: to which host a VM, or an image, is moved with the fewest bytes. */
#include "choose.h"
#include "choose_vm.h"
#include "configured.h"
#include "report_json.h"

#include <errno.h>
#include <unistd.h>

enum {
    KEY_HOST = OPTION_KEY_LONG,
    KEY_HOSTS_FILE,
    KEY_ENGINE,
    KEY_MERGED,
    KEY_EXPLAIN,
    KEY_CONFIG,
};

static const struct command_option option_table[] = {
    CONFIGURED_OPTION_ROW(KEY_CONFIG),
    {KEY_HOST, "host", "NAME=DIR",
     "a host, and the directory of its index or of its\nimages, instead of those of the "
     "configuration; once\nfor each host"},
    {KEY_HOSTS_FILE, "hosts-file", "FILE", "more hosts: NAME=DIR in each line, # begins a comment"},
    {KEY_ENGINE, "engine", "NAME", "exact (default), bloom or sketch; goes with --host"},
    {KEY_MERGED, "merged", "FILE",
     "keep the sketches of all hosts' indexes in FILE, for\nmany hosts; goes with the engine "
     "sketch"},
    {KEY_EXPLAIN, "explain", NULL, "say why each host stands where it does"},
    {'j', "json", NULL, "print a JSON object"},
    {BLOCKS_OPTION_BLOCK_SIZE, "block-size", "N",
     "a power of two from 512 to 65536 (default: that of\na fingerprint, of the hosts' indexes, or "
     "4096)"},
    {BLOCKS_OPTION_DIGEST, "digest", "NAME",
     "md5, sha256 or keyed (default: in the same way, or\nsha256)"},
    BLOCKS_OPTION_ROW_KEY_FILE,
    {BLOCKS_OPTION_FORMAT, "format", "FORMAT",
     "of IMAGE: raw, qcow2, vmdk ... (default: raw for\nblock devices, else probed)"},
    BLOCKS_OPTION_ROWS_READING,
};

static const struct command_syntax syntax = {
    .name = CHOOSE_NAME,
    .synopsis = "VM [OPTION]... | IMAGE [--host NAME=DIR]... [OPTION]...",
    .description =
        "Ranks hosts by the bytes that are left to send when a VM moves there and what\n"
        "the host holds already is taken from there. VM is a domain of this host's\n"
        "libvirt, by name or UUID; the hosts are those of setmov.conf. IMAGE is a disk\n"
        "image or a fingerprint; with --host, DIR is an index that 'setmov index' keeps,\n"
        "or a directory of images.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

struct choose_options {
    struct blocks_settings blocks;
    struct choose_hosts hosts;
    const char *image, *hosts_file, *merged, *config; /* image: or a VM */
    enum similarity_engine engine;
    bool engine_given, explain, json;
};

/* ---- options --------------------------------------------------------------------------- */

/* STATUS_OK, or the status after the error was printed. */
static int take_option(void *context, int key, const char *argument)
{
    struct choose_options *options = context;
    struct error err = {""};

    switch (key) {
    case KEY_HOST:
        if (choose_hosts_add(&options->hosts, argument, 0, &err) < 0)
            return command_usage_error(syntax.name, "--host: %s", err.text);
        return STATUS_OK;
    case KEY_HOSTS_FILE:
        if (options->hosts_file != NULL)
            return command_usage_error(syntax.name, "more than one --hosts-file");
        options->hosts_file = argument;
        return STATUS_OK;
    case KEY_ENGINE:
        if (similarity_engine_parse(argument, &options->engine) < 0)
            return command_usage_error(
                syntax.name, "--engine: '%s' is none of exact, bloom and sketch", argument);
        options->engine_given = true;
        return STATUS_OK;
    case KEY_MERGED:
        options->merged = argument;
        return STATUS_OK;
    case KEY_CONFIG:
        options->config = argument;
        return STATUS_OK;
    case KEY_EXPLAIN:
        options->explain = true;
        return STATUS_OK;
    case 'j':
        options->json = true;
        return STATUS_OK;
    default:
        return blocks_option(&syntax, key, argument, &options->blocks);
    }
}

static int read_hosts(struct choose_options *options)
{
    struct error err = {""};
    int rc = 0;

    if (options->hosts_file != NULL)
        rc = choose_hosts_read(&options->hosts, options->hosts_file, &err);
    if (rc == 0)
        rc = choose_hosts_check(&options->hosts, options->hosts_file, &err);
    if (rc == -EINVAL)
        return command_usage_error(syntax.name, "%s", err.text);
    if (rc < 0)
        return command_error(syntax.name, "%s", err.text);
    if (options->hosts.count == 0)
        return command_usage_error(syntax.name, "no host given%s%s",
                                   options->hosts_file != NULL ? " in " : "",
                                   options->hosts_file != NULL ? options->hosts_file : "");
    return STATUS_OK;
}

static bool has_hosts(const struct choose_options *options)
{
    return options->hosts.count > 0 || options->hosts_file != NULL;
}

/* Options that mean something only where hosts are given, or only where they are not. */
static int check_options(const struct choose_options *options)
{
    if (has_hosts(options) && options->config != NULL)
        return command_usage_error(syntax.name, "--config does not go with --host or --hosts-file");
    if (!has_hosts(options) && (options->engine_given || options->merged != NULL))
        return command_usage_error(syntax.name, "%s goes with --host or --hosts-file",
                                   options->merged != NULL ? "--merged" : "--engine");
    if (options->merged != NULL && options->engine_given && options->engine != SIMILARITY_SKETCH)
        return command_usage_error(syntax.name, "--merged goes with --engine sketch");
    return STATUS_OK;
}

/* Returns an exit status, or -1 to go on. */
static int parse_options(int argc, char **argv, struct choose_options *options)
{
    int status = blocks_parse_options(&syntax, argc, argv, take_option, options);

    if (status >= 0)
        return status;
    if (optind == argc)
        return command_usage_error(syntax.name, "no VM and no image given");
    if (optind + 1 < argc)
        return command_usage_error(syntax.name, "unexpected word '%s'", argv[optind + 1]);
    options->image = argv[optind];
    status = check_options(options);
    if (options->merged != NULL)
        options->engine = SIMILARITY_SKETCH;
    if (status == STATUS_OK)
        status = blocks_check_single(syntax.name, &options->blocks);
    if (status != STATUS_OK || !has_hosts(options)) /* the configuration says more of blocks */
        return status == STATUS_OK ? -1 : status;
    status = read_hosts(options);
    return status == STATUS_OK ? blocks_prepare(syntax.name, &options->blocks) : status;
}

/* ---- the work ------------------------------------------------------------------------------ */

/* The image's fingerprint, of the kind that an option, it or the hosts say. */
static int open_image(struct choose_options *options, struct fingerprint_file **ret_image,
                      struct error *err)
{
    int rc = blocks_adopt(&options->image, 1, &options->blocks, err);

    if (rc == 0 && !blocks_is_fingerprint(options->image, &options->blocks))
        rc = choose_adopt_kind(&options->hosts, &options->blocks, err);
    if (rc < 0)
        return rc;
    return blocks_open(options->image, &options->blocks, choose_image_parts(options->engine),
                       ret_image, err);
}

static int judge(struct choose_options *options, const struct choose_query *query,
                 struct error *err)
{
    int rc = 0;

    if (options->merged != NULL)
        return choose_merged(&options->hosts, options->merged, query, err);
    for (size_t i = 0; i < options->hosts.count && rc == 0; i++) {
        rc = choose_judge(&options->hosts.hosts[i], query, err);
        if (rc == 0 && blocks_stopped(NULL))
            rc = -ECANCELED;
    }
    return rc;
}

static int rank(const struct choose_options *options, uint64_t image_bytes,
                struct placement_rank *ret_ranks, size_t *ret_eligible)
{
    size_t count = options->hosts.count;
    CLEANUP(cleanup_free) struct placement_host *facts = calloc(count, sizeof(*facts));

    if (facts == NULL)
        return -ENOMEM;
    placement_ranks_release(ret_ranks, count);
    for (size_t i = 0; i < count; i++)
        facts[i] = options->hosts.hosts[i].facts;
    return placement_rank(facts, count, image_bytes, ret_ranks, ret_eligible);
}

/* With a merged index: the donors of those that matter, who are then ranked again with them. */
static int find_donors(struct choose_options *options, const struct choose_query *query,
                       uint64_t image_bytes, struct placement_rank *ranks, size_t *eligible,
                       struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < CHOOSE_MERGED_DONORS && i < *eligible && rc == 0; i++) {
        struct choose_host *host = &options->hosts.hosts[ranks[i].host];

        if (host->facts.all.likely.identical_distinct > 0)
            rc = choose_find_donor(host, query, err);
    }
    return rc == 0 ? rank(options, image_bytes, ranks, eligible) : rc;
}

static int report(const struct choose_options *options, const struct choose_query *query,
                  const struct placement_rank *ranks, size_t eligible)
{
    struct choose_report report = {
        .path = options->image,
        .image = &query->image->view,
        .engine = query->engine,
        .hosts = &options->hosts,
        .ranks = ranks,
        .eligible = eligible,
        .image_bytes = choose_image_bytes(&query->image->view),
        .explain = options->explain,
    };
    int status = STATUS_OK;

    if (options->json)
        status = report_json_print(syntax.name, choose_report_json(&report));
    else
        choose_report_print(&report);
    if (status == STATUS_OK && eligible == 0)
        status = command_error(syntax.name, "no host can be used");
    return status;
}

static int choose(struct choose_options *options, const struct fingerprint_file *image,
                  struct error *err)
{
    struct choose_query query = {image, options->engine, &options->blocks};
    size_t count = options->hosts.count, eligible = 0;
    CLEANUP(cleanup_free) struct placement_rank *ranks = calloc(count, sizeof(*ranks));
    uint64_t image_bytes = choose_image_bytes(&image->view);
    int rc = ranks != NULL ? judge(options, &query, err) : -ENOMEM;

    if (rc == 0)
        rc = rank(options, image_bytes, ranks, &eligible);
    if (rc == 0 && options->merged != NULL)
        rc = find_donors(options, &query, image_bytes, ranks, &eligible, err);
    if (rc == 0)
        rc = fingerprint_file_check(image, err);
    if (rc == -ENOMEM)
        error_set(err, rc, "out of memory");
    if (rc == 0)
        rc = report(options, &query, ranks, eligible);
    if (ranks != NULL)
        placement_ranks_release(ranks, count);
    return rc;
}

static int run(struct choose_options *options)
{
    struct fingerprint_file *image = NULL;
    struct error err = {""};
    int rc = blocks_stop_watch(&err);

    if (rc == 0)
        rc = open_image(options, &image, &err);
    if (rc == 0) {
        blocks_note_provisional(syntax.name, options->image, image);
        rc = choose(options, image, &err);
    }
    fingerprint_file_close(image);
    if (rc == -ECANCELED)
        return blocks_stop_exit(syntax.name);
    return rc < 0 ? command_error(syntax.name, "%s", err.text) : rc;
}

int command_choose(int argc, char **argv)
{
    struct choose_options options = {.engine = SIMILARITY_EXACT};
    int status;

    blocks_settings_init(&options.blocks, BLOCKS_DEFAULT_KIND, BLOCKS_DEFAULT_BLOCK_SIZE);
    status = parse_options(argc, argv, &options);
    if (status < 0 && has_hosts(&options))
        status = run(&options);
    else if (status < 0)
        status = choose_vm_command(&syntax, options.image, options.config, &options.blocks,
                                   options.explain, options.json);
    choose_hosts_release(&options.hosts);
    blocks_settings_release(&options.blocks);
    return status;
}
