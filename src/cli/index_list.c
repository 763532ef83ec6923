/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov index --list`: what an index directory holds. */
#include "fingerprint_report.h"
#include "human.h"
#include "index.h"
#include "report_json.h"

#include <math.h>
#include <time.h>

#define DIGEST_COLUMNS 12

static const char *name_of(const struct fingerprint_file *file)
{
    const char *slash = strrchr(file->path, '/');

    return slash ? slash + 1 : file->path;
}

static void print_header(void)
{
    printf("%-7s %6s %13s %13s %13s %-*s %-16s %-11s %s\n", "FORMAT", "SIZE", "BLOCKS", "DISTINCT",
           "ZERO", DIGEST_COLUMNS, "DIGEST", "MADE (UTC)", "STATE", "IMAGE, FINGERPRINT");
}

static void print_row(const struct fingerprint_file *file)
{
    const struct fingerprint_view *view = &file->view;
    const struct fingerprint_identity *identity = &view->identity;
    bool has_top = identity->layer_count > 0;
    time_t made = (time_t)identity->made_s;
    char when[32] = "?", digest[32];
    struct tm parts;

    if (gmtime_r(&made, &parts))
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &parts);
    string_format(digest, sizeof(digest), "%s-%u", blocks_digest_name(view->kind),
                  view->block_size);
    printf("%-7s %6s %13s %13s %13s %-*s %-16s %-11s %s\n",
           has_top ? blocks_show(identity->layers[0].format).text : "?",
           human_memory(identity->virtual_size).text, blocks_count(view->totals.blocks).text,
           blocks_count(view->totals.distinct).text, blocks_count(view->totals.zero).text,
           DIGEST_COLUMNS, digest, when, identity->provisional ? "provisional" : "-",
           has_top ? blocks_show(identity->layers[0].path).text : "?");
    printf("%*s%s\n", 8, "", blocks_show(name_of(file)).text);
}

static int print_json(const struct index_options *options, const struct catalog *catalog)
{
    struct json_object *root = json_object_new_object(), *array = json_object_new_array();

    for (size_t i = 0; i < catalog->count; i++) {
        struct fingerprint_report report = {
            .file = catalog->files[i],
            .path = name_of(catalog->files[i]),
            .seconds = NAN,
        };

        report_json_append(array, fingerprint_report_json(&report));
    }
    report_json_add(root, "index", report_json_text(options->directory));
    report_json_add(root, "fingerprints", array);
    return report_json_print(INDEX_COMMAND, root);
}

int index_list(const struct index_options *options)
{
    static const struct catalog_kind anything = {.any = true};
    struct catalog *catalog = NULL;
    struct error err = {""};
    int status = STATUS_OK;

    if (catalog_open(options->directory, &anything, FINGERPRINT_PART_HEAD, &catalog, &err) < 0)
        return command_error(INDEX_COMMAND, "%s", err.text);
    if (options->json) {
        status = print_json(options, catalog);
    } else {
        if (catalog->count > 0)
            print_header();
        for (size_t i = 0; i < catalog->count; i++)
            print_row(catalog->files[i]);
    }
    for (size_t i = 0; i < catalog->problem_count; i++)
        status = command_error(INDEX_COMMAND, "%s", catalog->problems[i].error.text);
    catalog_close(catalog);
    return status;
}
