/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov fingerprint`: an image to a fingerprint file, or what such a file says. */
#include "blocks.h"
#include "fingerprint_report.h"
#include "report_json.h"

#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEY_CONTENT = OPTION_KEY_LONG,
    KEY_SHOW,
    KEY_VERIFY,
};

static const struct command_option option_table[] = {
    {'o', "output", "FILE",
     "the fingerprint's file (default: in the current directory,\n"
     "IMAGE.DIGEST-BLOCKSIZE.fingerprint)"},
    {BLOCKS_OPTION_BLOCK_SIZE, "block-size", "N",
     "a power of two from 512 to 65536 (default: 4096)"},
    {BLOCKS_OPTION_DIGEST, "digest", "NAME", "md5, sha256 (default) or keyed"},
    BLOCKS_OPTION_ROW_KEY_FILE,
    {KEY_CONTENT, "content-sha256", NULL,
     "keep the SHA-256 of the image's whole content too;\ntakes longer"},
    BLOCKS_OPTION_ROW_FORMAT,
    BLOCKS_OPTION_ROWS_READING,
    {'j', "json", NULL, "print what was made, or is shown, as a line of JSON"},
    {KEY_SHOW, "show", NULL, "print what the fingerprint FILE says of itself"},
    {KEY_VERIFY, "verify", NULL, "the same, and check all of it"},
};

static const struct command_syntax syntax = {
    .name = "fingerprint",
    .synopsis = "[OPTION]... IMAGE\n       setmov fingerprint --show | --verify [--json] FILE",
    .description =
        "Reads a disk image once and writes its fingerprint: the digests of its blocks,\n"
        "sorted, with where and how often each occurs. 'setmov compare' takes it in the\n"
        "image's place.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

struct fingerprint_options {
    struct blocks_settings blocks;
    const char *output, *operand;
    bool show, verify, json;
};

/* STATUS_OK, or the status after the error was printed. */
static int take_option(void *context, int key, const char *argument)
{
    struct fingerprint_options *options = context;

    switch (key) {
    case 'o':
        options->output = argument;
        return STATUS_OK;
    case 'j':
        options->json = true;
        return STATUS_OK;
    case KEY_CONTENT:
        options->blocks.build.content_sha256 = true;
        return STATUS_OK;
    case KEY_SHOW:
        options->show = true;
        return STATUS_OK;
    case KEY_VERIFY:
        options->verify = true;
        return STATUS_OK;
    default:
        return blocks_option(&syntax, key, argument, &options->blocks);
    }
}

/* Returns an exit status, or -1 to go on. */
static int parse_options(int argc, char **argv, struct fingerprint_options *options)
{
    int status = blocks_parse_options(&syntax, argc, argv, take_option, options);

    if (status >= 0)
        return status;
    if (optind == argc)
        return command_usage_error(syntax.name, "no %s given",
                                   options->show || options->verify ? "fingerprint" : "image");
    if (optind + 1 < argc)
        return command_usage_error(syntax.name, "unexpected word '%s'", argv[optind + 1]);
    options->operand = argv[optind];
    if ((options->show || options->verify) && options->output)
        return command_usage_error(syntax.name, "--output goes with an image to read");
    if (options->output && strcmp(options->output, "-") == 0)
        return command_usage_error(syntax.name, "a fingerprint is a file of its own and cannot go "
                                                "to stdout");
    status = blocks_check_single(syntax.name, &options->blocks);
    return status == STATUS_OK ? blocks_prepare(syntax.name, &options->blocks) : status;
}

static int print_report(const struct fingerprint_options *options,
                        const struct fingerprint_report *report)
{
    if (options->json)
        return report_json_print(syntax.name, fingerprint_report_json(report));
    fingerprint_report_print(report);
    return STATUS_OK;
}

/* ---- showing ------------------------------------------------------------------ */

static int show(const struct fingerprint_options *options)
{
    struct fingerprint_file *file = NULL;
    struct error err = {""};
    unsigned parts = options->verify ? FINGERPRINT_PART_ALL : FINGERPRINT_PART_HEAD;
    int status;

    if (fingerprint_file_open(options->operand, parts, options->verify, &file, &err) < 0)
        return command_error(syntax.name, "%s", err.text);
    struct fingerprint_report report = {
        .file = file,
        .path = options->operand,
        .seconds = NAN,
        .verified = options->verify,
        .layers = true,
    };
    if (fingerprint_file_check(file, &err) < 0)
        status = command_error(syntax.name, "%s", err.text);
    else
        status = print_report(options, &report);
    fingerprint_file_close(file);
    return status;
}

/* ---- making ------------------------------------------------------------------- */

/* The file's name where the user gave none; the caller frees. */
static int default_output(const struct fingerprint_options *options, char **ret_output)
{
    const char *slash = strrchr(options->operand, '/');
    const char *base = slash ? slash + 1 : options->operand;
    size_t size = strlen(base) + 64;
    char *output = malloc(size);

    if (!output)
        return -ENOMEM;
    string_format(output, size, "%s.%s-%u.fingerprint", base,
                  blocks_digest_name(options->blocks.kind), options->blocks.block_sizes[0]);
    *ret_output = output;
    return 0;
}

/* A fingerprint may be replaced by a newer one, and nothing else may. */
static int check_output(const char *output, struct error *err)
{
    struct fingerprint_file *there = NULL;
    struct stat status;

    if (lstat(output, &status) < 0)
        return errno == ENOENT ? 0 : error_set(err, -errno, "%s: %s", output, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return error_set(err, -EISDIR, "%s is a directory, no place for a fingerprint", output);
    /* All of its head must be right: the first bytes alone may be those of a guest's disk. */
    if (fingerprint_file_open(output, FINGERPRINT_PART_HEAD, false, &there, NULL) < 0)
        return error_set(err, -EEXIST, "%s is there and is no fingerprint: not overwritten",
                         output);
    fingerprint_file_close(there);
    return 0;
}

static int report_made(const struct fingerprint_options *options, const char *output,
                       struct fingerprint_file *file, double seconds)
{
    struct fingerprint_report report = {.file = file, .path = output, .seconds = seconds};

    blocks_note_provisional(syntax.name, options->operand, file);
    return print_report(options, &report);
}

static int make(const struct fingerprint_options *options)
{
    CLEANUP(cleanup_free) char *default_name = NULL;
    const char *output = options->output;
    struct fingerprint_file *file = NULL;
    struct error err = {""};
    double start_s = clock_monotonic_s();
    int rc, status;

    if (!output) {
        if (default_output(options, &default_name) < 0)
            return command_error(syntax.name, "out of memory");
        output = default_name;
    }
    if (!options->blocks.image.format && fingerprint_file_is(options->operand))
        return command_error(syntax.name,
                             "%s is a fingerprint already (see --show; --format raw reads a disk "
                             "that begins like one)",
                             options->operand);
    if (blocks_stop_watch(&err) < 0 || check_output(output, &err) < 0)
        return command_error(syntax.name, "%s", err.text);
    rc = blocks_read(options->operand, &options->blocks, output, &file, &err);
    if (rc == -ECANCELED)
        return blocks_stop_exit(syntax.name);
    if (rc < 0)
        return command_error(syntax.name, "%s", err.text);
    status = report_made(options, output, file, clock_monotonic_s() - start_s);
    fingerprint_file_close(file);
    return status;
}

int command_fingerprint(int argc, char **argv)
{
    struct fingerprint_options options = {0};
    int status;

    blocks_settings_init(&options.blocks, BLOCKS_DEFAULT_KIND, BLOCKS_DEFAULT_BLOCK_SIZE);
    status = parse_options(argc, argv, &options);
    if (status < 0)
        status = options.show || options.verify ? show(&options) : make(&options);
    blocks_settings_release(&options.blocks);
    return status;
}
