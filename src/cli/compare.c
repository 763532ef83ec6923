/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov compare`: how much of an image is in others, and what a move would send. */
#include "compare.h"
#include "blocks.h"
#include "report_json.h"

#include <errno.h>
#include <unistd.h>

/* The 2010 paper's, but where a fingerprint says otherwise. */
#define COMPARE_KIND       DIGEST_MD5
#define COMPARE_BLOCK_SIZE 512

enum {
    KEY_MATRIX = OPTION_KEY_LONG,
    KEY_ENGINE,
};

static const struct command_option option_table[] = {
    {BLOCKS_OPTION_BLOCK_SIZE, "block-size", "N", "a power of two from 512 (default) to 65536"},
    {BLOCKS_OPTION_DIGEST, "digest", "NAME", "md5 (default), sha256 or keyed"},
    BLOCKS_OPTION_ROW_KEY_FILE,
    {KEY_ENGINE, "engine", "NAME",
     "exact (default); bloom or sketch: estimates that read\nless of fingerprints"},
    {KEY_MATRIX, "matrix", NULL, "each one against each other"},
    {'j', "json", NULL, "print one line of JSON"},
    BLOCKS_OPTION_ROW_FORMAT,
    BLOCKS_OPTION_ROWS_READING,
};

static const struct command_syntax syntax = {
    .name = "compare",
    .synopsis = "[OPTION]... A B [B]...",
    .description = "Tells how much of the disk image A is in each image B, and in all of them\n"
                   "together: identical blocks, with and without duplicates, and the bytes that a\n"
                   "move of A would send. Each may be an image or a fingerprint; fingerprints say\n"
                   "which digest and block size are taken.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

struct compare_options {
    struct blocks_settings blocks;
    enum similarity_engine engine;
    const char *const *paths;
    size_t count;
    bool matrix, json;
};

/* STATUS_OK, or the status after the error was printed. */
static int take_option(void *context, int key, const char *argument)
{
    struct compare_options *options = context;

    switch (key) {
    case 'j':
        options->json = true;
        return STATUS_OK;
    case KEY_MATRIX:
        options->matrix = true;
        return STATUS_OK;
    case KEY_ENGINE:
        if (similarity_engine_parse(argument, &options->engine) < 0)
            return command_usage_error(
                syntax.name, "--engine: '%s' is none of exact, bloom and sketch", argument);
        return STATUS_OK;
    default:
        return blocks_option(&syntax, key, argument, &options->blocks);
    }
}

/* Returns an exit status, or -1 to go on. */
static int parse_options(int argc, char **argv, struct compare_options *options)
{
    int status = blocks_parse_options(&syntax, argc, argv, take_option, options);

    if (status >= 0)
        return status;
    if (argc - optind < 2)
        return command_usage_error(syntax.name, "two images or fingerprints are needed");
    options->paths = (const char *const *)&argv[optind];
    options->count = (size_t)(argc - optind);
    status = blocks_check_single(syntax.name, &options->blocks);
    return status == STATUS_OK ? blocks_prepare(syntax.name, &options->blocks) : status;
}

/* ---- opening ------------------------------------------------------------------ */

/* What the engine reads of A, or of B (see similarity.h). */
static unsigned parts_needed(const struct compare_options *options, size_t i)
{
    switch (options->engine) {
    case SIMILARITY_EXACT:
        return FINGERPRINT_PART_DIGESTS;
    case SIMILARITY_BLOOM:
        if (options->matrix)
            return FINGERPRINT_PART_DIGESTS | FINGERPRINT_PART_BLOOM;
        return i == 0 ? FINGERPRINT_PART_DIGESTS : FINGERPRINT_PART_BLOOM;
    case SIMILARITY_SKETCH:
        break;
    }
    return FINGERPRINT_PART_SKETCH | FINGERPRINT_PART_BLOOM;
}

static void close_all(struct fingerprint_file **files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fingerprint_file_close(files[i]);
    free(files);
}

static int open_all(const struct compare_options *options, struct fingerprint_file **files,
                    struct error *err)
{
    for (size_t i = 0; i < options->count; i++) {
        int rc = blocks_open(options->paths[i], &options->blocks, parts_needed(options, i),
                             &files[i], err);

        if (rc < 0)
            return rc;
        blocks_note_provisional(syntax.name, options->paths[i], files[i]);
    }
    return 0;
}

/* Each with the first is each with each. */
static int check_comparable(const struct compare_options *options,
                            struct fingerprint_file *const *files, struct error *err)
{
    for (size_t i = 1; i < options->count; i++) {
        int rc = similarity_comparable(&files[0]->view, &files[i]->view, err);

        if (rc < 0)
            return error_prefix(err, rc, "%s and %s", options->paths[0], options->paths[i]);
    }
    return 0;
}

/* Were all files whole while they were read? */
static int check_all(const struct compare_options *options, struct fingerprint_file *const *files,
                     struct error *err)
{
    for (size_t i = 0; i < options->count; i++) {
        int rc = fingerprint_file_check(files[i], err);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- comparing ---------------------------------------------------------------- */

const struct similarity_estimate *compare_estimate(const struct compare_result *result,
                                                   const struct compare_row *row, size_t b)
{
    if (b == result->count)
        return &row->all;
    return &row->each[b < row->a ? b : b - 1];
}

static int compare_one(const struct compare_result *result, struct compare_row *row,
                       struct error *err)
{
    const struct fingerprint_view **others =
        calloc(result->count, sizeof(struct fingerprint_view *));
    size_t count = 0;
    int rc;

    row->each = calloc(result->count, sizeof(*row->each));
    if (!others || !row->each) {
        free(others);
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < result->count; i++) {
        if (i != row->a)
            others[count++] = &result->files[i]->view;
    }
    rc = similarity_compare(result->engine, &result->files[row->a]->view, others, count, row->each,
                            &row->all, err);
    free(others);
    return rc < 0 ? error_prefix(err, rc, "%s", result->paths[row->a]) : 0;
}

static int compare_all(struct compare_result *result, bool matrix, struct error *err)
{
    size_t wanted = matrix ? result->count : 1;

    result->rows = calloc(wanted, sizeof(*result->rows));
    if (!result->rows)
        return error_set(err, -ENOMEM, "out of memory");
    for (; result->row_count < wanted; result->row_count++) {
        struct compare_row *row = &result->rows[result->row_count];
        int rc;

        if (blocks_stopped(NULL))
            return error_set(err, -ECANCELED, "stopped");
        row->a = result->row_count;
        rc = compare_one(result, row, err);
        if (rc < 0) {
            free(row->each);
            return rc;
        }
    }
    return 0;
}

static void release_rows(struct compare_result *result)
{
    for (size_t i = 0; i < result->row_count; i++)
        free(result->rows[i].each);
    free(result->rows);
}

static int print_result(const struct compare_options *options, const struct compare_result *result)
{
    int rc;

    if (options->json)
        return report_json_print(syntax.name, options->matrix ? compare_matrix_json(result)
                                                              : compare_json(result));
    rc = options->matrix ? compare_print_matrix(result) : compare_print(result);
    return rc < 0 ? command_error(syntax.name, "out of memory") : STATUS_OK;
}

/* Opens, compares and prints; what it opened and allocated is released by the caller. */
static int work(struct compare_options *options, struct fingerprint_file **files,
                struct compare_result *result, int *ret_status, struct error *err)
{
    int rc = blocks_stop_watch(err);

    if (rc == 0)
        rc = blocks_adopt(options->paths, options->count, &options->blocks, err);
    if (rc == 0)
        rc = open_all(options, files, err);
    if (rc == 0)
        rc = check_comparable(options, files, err);
    if (rc == 0)
        rc = compare_all(result, options->matrix, err);
    if (rc == 0)
        rc = check_all(options, files, err);
    if (rc == 0)
        *ret_status = print_result(options, result);
    return rc;
}

/* All but the printing of errors. 0, with the status of printing, or negative errno. */
static int compare(struct compare_options *options, int *ret_status, struct error *err)
{
    struct fingerprint_file **files = calloc(options->count, sizeof(struct fingerprint_file *));
    struct compare_result result = {
        .engine = options->engine,
        .paths = options->paths,
        .files = files,
        .count = options->count,
    };
    int rc;

    if (!files)
        return error_set(err, -ENOMEM, "out of memory");
    rc = work(options, files, &result, ret_status, err);
    release_rows(&result);
    close_all(files, options->count);
    return rc;
}

int command_compare(int argc, char **argv)
{
    struct compare_options options = {.engine = SIMILARITY_EXACT};
    struct error err = {""};
    int status, rc = 0;

    blocks_settings_init(&options.blocks, COMPARE_KIND, COMPARE_BLOCK_SIZE);
    status = parse_options(argc, argv, &options);
    if (status < 0)
        rc = compare(&options, &status, &err);
    blocks_settings_release(&options.blocks);
    if (rc == -ECANCELED && blocks_stopped(NULL))
        return blocks_stop_exit(syntax.name);
    return rc < 0 ? command_error(syntax.name, "%s", err.text) : status;
}
