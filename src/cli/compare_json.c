/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `setmov compare` found, as JSON (see compare.h). */
#include "blocks.h"
#include "compare.h"
#include "report_json.h"

/* `suffix` is "" or what stands behind each key. */
static void add_figures(struct json_object *object, const char *suffix,
                        const struct similarity_figures *figures, bool zero_in_b)
{
    struct compare_shares nonzero = compare_shares_nonzero(figures, zero_in_b);
    const struct {
        const char *name;
        struct json_object *value;
    } fields[] = {
        {"identical_distinct", json_object_new_uint64(figures->identical_distinct)},
        {"identical_with_duplicates", json_object_new_uint64(figures->identical_with_duplicates)},
        {"share_distinct", report_json_share(similarity_share_distinct(figures))},
        {"share_with_duplicates", report_json_share(similarity_share_with_duplicates(figures))},
        {"share_distinct_nonzero", report_json_share(nonzero.distinct)},
        {"share_with_duplicates_nonzero", report_json_share(nonzero.with_duplicates)},
        {"bytes_to_send", json_object_new_uint64(figures->bytes_to_send)},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
        char key[64];

        string_format(key, sizeof(key), "%s%s", fields[i].name, suffix);
        report_json_add(object, key, fields[i].value);
    }
}

/* `b` = count: all others together. */
static void add_estimate(struct json_object *object, const struct compare_result *result,
                         const struct compare_row *row, size_t b)
{
    const struct similarity_estimate *estimate = compare_estimate(result, row, b);
    bool zero = compare_has_zero(result, row, b);

    add_figures(object, "", &estimate->best, zero);
    if (result->engine == SIMILARITY_EXACT)
        return;
    add_figures(object, "_low", &estimate->low, zero);
    add_figures(object, "_high", &estimate->high, zero);
}

static struct json_object *estimate_json(const struct compare_result *result,
                                         const struct compare_row *row, size_t b)
{
    struct json_object *object = json_object_new_object();

    add_estimate(object, result, row, b);
    return object;
}

static struct json_object *image_json(const struct compare_result *result, size_t i)
{
    const struct fingerprint_view *view = &result->files[i]->view;
    struct json_object *object = json_object_new_object();

    report_json_add(object, "path", report_json_text(result->paths[i]));
    report_json_add_u64(object, "total_blocks", view->totals.blocks);
    report_json_add_u64(object, "zero_blocks", view->totals.zero);
    report_json_add_u64(object, "distinct_blocks", view->totals.distinct);
    report_json_add(object, "provisional", json_object_new_boolean(view->identity.provisional));
    return object;
}

static struct json_object *begin(const struct compare_result *result)
{
    const struct fingerprint_view *view = &result->files[0]->view;
    struct json_object *root = json_object_new_object();

    report_json_add_u64(root, "block_size", view->block_size);
    report_json_add(root, "digest", report_json_text(blocks_digest_name(view->kind)));
    report_json_add(root, "engine", report_json_text(similarity_engine_name(result->engine)));
    return root;
}

struct json_object *compare_json(const struct compare_result *result)
{
    const struct compare_row *row = &result->rows[0];
    struct json_object *root = begin(result), *others = json_object_new_array();

    for (size_t b = 1; b < result->count; b++) {
        struct json_object *object = json_object_new_object();

        report_json_add(object, "path", report_json_text(result->paths[b]));
        add_estimate(object, result, row, b);
        report_json_append(others, object);
    }
    report_json_add(root, "a", image_json(result, 0));
    report_json_add(root, "b", others);
    report_json_add(root, "union", estimate_json(result, row, result->count));
    return root;
}

static struct json_object *matrix_row_json(const struct compare_result *result,
                                           const struct compare_row *row)
{
    struct json_object *array = json_object_new_array();

    for (size_t b = 0; b < result->count; b++)
        report_json_append(array, b == row->a ? NULL : estimate_json(result, row, b));
    return array;
}

struct json_object *compare_matrix_json(const struct compare_result *result)
{
    struct json_object *root = begin(result), *images = json_object_new_array(),
                       *matrix = json_object_new_array(), *unions = json_object_new_array();

    for (size_t i = 0; i < result->row_count; i++) {
        report_json_append(images, image_json(result, i));
        report_json_append(matrix, matrix_row_json(result, &result->rows[i]));
        report_json_append(unions, estimate_json(result, &result->rows[i], result->count));
    }
    report_json_add(root, "images", images);
    report_json_add(root, "matrix", matrix);
    report_json_add(root, "unions", unions);
    return root;
}
