/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `setmov compare` found, and its two forms: tables and JSON. */
#ifndef SETMOV_CLI_COMPARE_H
#define SETMOV_CLI_COMPARE_H

#include "setmov/fingerprint_file.h"
#include "setmov/similarity.h"

struct json_object;

/* One image against all the others, and against their union. */
struct compare_row {
    size_t a;                         /* its index among the images */
    struct similarity_estimate *each; /* of the others, in their order: one less than images */
    struct similarity_estimate all;
};

struct compare_result {
    enum similarity_engine engine;
    const char *const *paths;              /* of the images, as the user gave them */
    struct fingerprint_file *const *files; /* alike */
    size_t count;
    struct compare_row *rows; /* of a matrix one for each image, else of the first only */
    size_t row_count;
};

/* How the image `a` stands to the image `b`, another one; `b` = count: to all others together. */
const struct similarity_estimate *compare_estimate(const struct compare_result *result,
                                                   const struct compare_row *row, size_t b);

/* ---- without zero blocks (compare_zero.c) --------------------------------------- */

/* In percent of A's blocks that are no zero blocks. */
struct compare_shares {
    double distinct, with_duplicates;
};

/* Has the image `b` zero blocks? `b` = count: any of the others. */
bool compare_has_zero(const struct compare_result *result, const struct compare_row *row, size_t b);

struct compare_shares compare_shares_nonzero(const struct similarity_figures *figures,
                                             bool zero_in_b);

/* ---- the two forms -------------------------------------------------------------- */

/* Table 1 of the paper where there is one B, tables 3 and 4 where there are more. */
int compare_print(const struct compare_result *result);
/* All against all: shares, then bytes to send. */
int compare_print_matrix(const struct compare_result *result);

struct json_object *compare_json(const struct compare_result *result);
struct json_object *compare_matrix_json(const struct compare_result *result);

#endif
