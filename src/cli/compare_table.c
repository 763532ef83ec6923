/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `setmov compare` found, in the form of the 2010 paper's tables (see compare.h). */
#include "blocks.h"
#include "compare.h"
#include "human.h"
#include "utf8.h"

#include <errno.h>

/* Names in tables take no more columns than this. */
#define NAME_COLUMNS_MAX 48
#define CELL_COLUMNS     17

struct cell {
    char text[96];
};

/* "22.85 (32.37)": by digest, and with repetition, in percent of all blocks. */
static struct cell shares(const struct compare_result *result, const struct compare_row *row,
                          size_t b)
{
    const struct similarity_figures *figures = &compare_estimate(result, row, b)->best;
    struct cell cell = {""};

    string_format(cell.text, sizeof(cell.text), "%.2f (%.2f)", similarity_share_distinct(figures),
                  similarity_share_with_duplicates(figures));
    return cell;
}

static struct cell shares_nonzero(const struct compare_result *result,
                                  const struct compare_row *row, size_t b)
{
    struct compare_shares of = compare_shares_nonzero(&compare_estimate(result, row, b)->best,
                                                      compare_has_zero(result, row, b));
    struct cell cell = {""};

    string_format(cell.text, sizeof(cell.text), "%.2f (%.2f)", of.distinct, of.with_duplicates);
    return cell;
}

static uint32_t block_size_of(const struct compare_result *result)
{
    return result->files[0]->view.block_size;
}

static void print_method(const struct compare_result *result)
{
    const struct fingerprint_view *view = &result->files[0]->view;

    printf("%s digests of %u-byte blocks, ", blocks_digest_name(view->kind), view->block_size);
    printf("%s%s\n\n", similarity_engine_name(result->engine),
           result->engine == SIMILARITY_EXACT ? "" : " engine: estimates, with 95 % intervals");
}

/* ---- one B: table 1 ----------------------------------------------------------- */

#define ROW_LABEL_COLUMNS  36
#define ROW_NUMBER_COLUMNS 16

struct counts {
    uint64_t best, low, high;
};

static void print_count_row(const char *label, struct counts counts, bool interval,
                            const char *remark)
{
    printf("%-*s%*s", ROW_LABEL_COLUMNS, label, ROW_NUMBER_COLUMNS, blocks_count(counts.best).text);
    if (interval)
        printf("   %s to %s", blocks_count(counts.low).text, blocks_count(counts.high).text);
    if (remark[0] != '\0')
        printf("   %s", remark);
    putchar('\n');
}

struct share {
    double best, low, high;
};

/* `of`: so many blocks it is a share of. Of none nothing is left to send. */
static void print_share_row(const char *label, struct share share, uint64_t of, bool interval)
{
    struct cell cell;

    string_format(cell.text, sizeof(cell.text), "%.2f %%", share.best);
    printf("%-*s%*s", ROW_LABEL_COLUMNS, label, ROW_NUMBER_COLUMNS, cell.text);
    if (interval)
        printf("   %.2f to %.2f", share.low, share.high);
    printf("   to send %.2f %%\n", of > 0 ? 100 - share.best : 0);
}

static void print_nonzero_rows(const struct compare_result *result,
                               const struct similarity_estimate *estimate, bool interval)
{
    bool zero = compare_has_zero(result, &result->rows[0], 1);
    struct compare_shares best = compare_shares_nonzero(&estimate->best, zero),
                          low = compare_shares_nonzero(&estimate->low, zero),
                          high = compare_shares_nonzero(&estimate->high, zero);
    uint64_t of = estimate->best.total - estimate->best.zero;

    print_share_row("Without zero blocks (with dup.)",
                    (struct share){best.with_duplicates, low.with_duplicates, high.with_duplicates},
                    of, interval);
    print_share_row("Without zero blocks (distinct)",
                    (struct share){best.distinct, low.distinct, high.distinct}, of, interval);
}

static void print_table_1(const struct compare_result *result)
{
    const struct similarity_estimate *estimate = compare_estimate(result, &result->rows[0], 1);
    const struct similarity_figures *best = &estimate->best, *low = &estimate->low,
                                    *high = &estimate->high;
    bool interval = result->engine != SIMILARITY_EXACT;
    struct cell sent;

    printf("A  %s\n", blocks_show(result->paths[0]).text);
    printf("B  %s\n", blocks_show(result->paths[1]).text);
    print_method(result);
    print_count_row("Total blocks", (struct counts){best->total, 0, 0}, false, "");
    print_count_row("Identical blocks (with duplicates)",
                    (struct counts){best->identical_with_duplicates, low->identical_with_duplicates,
                                    high->identical_with_duplicates},
                    interval, "");
    print_count_row("Identical blocks (distinct)",
                    (struct counts){best->identical_distinct, low->identical_distinct,
                                    high->identical_distinct},
                    interval, "");
    print_share_row("Similarity (with duplicates)",
                    (struct share){similarity_share_with_duplicates(best),
                                   similarity_share_with_duplicates(low),
                                   similarity_share_with_duplicates(high)},
                    best->total, interval);
    print_share_row("Similarity (distinct)",
                    (struct share){similarity_share_distinct(best), similarity_share_distinct(low),
                                   similarity_share_distinct(high)},
                    best->total, interval);
    print_count_row("Internal duplicates", (struct counts){best->internal_duplicates, 0, 0}, false,
                    "");
    print_count_row("Zero blocks", (struct counts){best->zero, 0, 0}, false, "");
    print_nonzero_rows(result, estimate, interval);
    string_format(sent.text, sizeof(sent.text), "%s blocks, %s",
                  blocks_count(best->bytes_to_send / block_size_of(result)).text,
                  human_memory(best->bytes_to_send).text);
    print_count_row("Bytes to send",
                    (struct counts){best->bytes_to_send, low->bytes_to_send, high->bytes_to_send},
                    interval, sent.text);
}

/* ---- several B: tables 3 and 4 ------------------------------------------------ */

/* What stands for a path in a table: its last part, unless another path has the same. */
static const char *short_name(const struct compare_result *result, size_t i)
{
    const char *slash = strrchr(result->paths[i], '/');
    const char *name = slash && slash[1] != '\0' ? slash + 1 : result->paths[i];

    for (size_t j = 0; j < result->count; j++) {
        const char *other = strrchr(result->paths[j], '/');

        other = other && other[1] != '\0' ? other + 1 : result->paths[j];
        if (j != i && strcmp(name, other) == 0)
            return result->paths[i];
    }
    return name;
}

/* "A-B", as the paper's rows are called; the caller frees. NULL: out of memory. */
static char *pair_name(const struct compare_result *result, size_t b)
{
    const char *first = short_name(result, 0);
    const char *second = b < result->count ? short_name(result, b) : "all of them";
    size_t size = strlen(first) + strlen(second) + 2;
    char *name = malloc(size);

    if (name)
        string_format(name, size, "%s-%s", first, second);
    return name;
}

static void print_pair(const struct compare_result *result, const char *name, unsigned columns,
                       size_t b)
{
    const struct compare_row *row = &result->rows[0];
    const struct similarity_estimate *estimate = compare_estimate(result, row, b);
    const struct similarity_figures *best = &estimate->best;
    char column[4 * NAME_COLUMNS_MAX + 1];

    utf8_column(name, columns, column, sizeof(column));
    printf("%s%*s%*s%*s", column, CELL_COLUMNS, blocks_count(best->total).text, CELL_COLUMNS + 3,
           blocks_count(best->identical_distinct).text, CELL_COLUMNS + 4,
           shares(result, row, b).text);
    printf("%*s%*s", CELL_COLUMNS + 3, shares_nonzero(result, row, b).text, CELL_COLUMNS,
           blocks_count(best->bytes_to_send).text);
    if (result->engine != SIMILARITY_EXACT)
        printf("   %s to %s", blocks_count(estimate->low.bytes_to_send).text,
               blocks_count(estimate->high.bytes_to_send).text);
    putchar('\n');
}

static int print_pairs(const struct compare_result *result, char *const *names)
{
    const struct fingerprint_totals *totals = &result->files[0]->view.totals;
    unsigned columns = 12;

    for (size_t b = 1; b <= result->count; b++) {
        if (!names[b])
            return -ENOMEM;
        size_t length = strlen(names[b]);
        if (length > columns)
            columns = length < NAME_COLUMNS_MAX ? (unsigned)length : NAME_COLUMNS_MAX;
    }
    printf("A  %s\n", blocks_show(result->paths[0]).text);
    printf("   %s blocks, ", blocks_count(totals->blocks).text);
    printf("%s zero blocks, ", blocks_count(totals->zero).text);
    printf("%s internal duplicates\n", blocks_count(totals->blocks - totals->distinct).text);
    print_method(result);
    printf("%-*s%*s%*s%*s", (int)columns, "Pair", CELL_COLUMNS, "Total blocks", CELL_COLUMNS + 3,
           "Identical distinct", CELL_COLUMNS + 4, "Share % (with dup.)");
    printf("%*s%*s%s\n", CELL_COLUMNS + 3, "No zero blocks", CELL_COLUMNS, "Bytes to send",
           result->engine == SIMILARITY_EXACT ? "" : "   95 % interval");
    for (size_t b = 1; b <= result->count; b++)
        print_pair(result, names[b], columns, b);
    return 0;
}

int compare_print(const struct compare_result *result)
{
    char **names;
    int rc;

    if (result->count == 2) {
        print_table_1(result);
        return 0;
    }
    names = calloc(result->count + 1, sizeof(*names));
    if (!names)
        return -ENOMEM;
    for (size_t b = 1; b <= result->count; b++)
        names[b] = pair_name(result, b);
    rc = print_pairs(result, names);
    for (size_t b = 1; b <= result->count; b++)
        free(names[b]);
    free(names);
    return rc;
}

/* ---- all against all ---------------------------------------------------------- */

static struct cell bytes_to_send(const struct compare_result *result, const struct compare_row *row,
                                 size_t b)
{
    struct cell cell = {""};

    string_copy(cell.text, sizeof(cell.text),
                human_memory(compare_estimate(result, row, b)->best.bytes_to_send).text);
    return cell;
}

static void print_grid(const struct compare_result *result, const char *title,
                       struct cell (*format)(const struct compare_result *result,
                                             const struct compare_row *row, size_t b))
{
    printf("\n%s\n%4s", title, "");
    for (size_t b = 0; b < result->count; b++)
        printf("%*zu", CELL_COLUMNS, b + 1);
    printf("%*s\n", CELL_COLUMNS, "all others");
    for (size_t i = 0; i < result->row_count; i++) {
        const struct compare_row *row = &result->rows[i];

        printf("%4zu", i + 1);
        for (size_t b = 0; b < result->count; b++)
            printf("%*s", CELL_COLUMNS, b == row->a ? "-" : format(result, row, b).text);
        printf("%*s\n", CELL_COLUMNS, format(result, row, result->count).text);
    }
}

int compare_print_matrix(const struct compare_result *result)
{
    print_method(result);
    printf("%4s%*s%*s%*s   %s\n", "", CELL_COLUMNS, "Total blocks", CELL_COLUMNS, "Zero blocks",
           CELL_COLUMNS, "Distinct", "Image");
    for (size_t i = 0; i < result->count; i++) {
        const struct fingerprint_totals *totals = &result->files[i]->view.totals;

        printf("%4zu%*s", i + 1, CELL_COLUMNS, blocks_count(totals->blocks).text);
        printf("%*s", CELL_COLUMNS, blocks_count(totals->zero).text);
        printf("%*s", CELL_COLUMNS, blocks_count(totals->distinct).text);
        printf("   %s\n", blocks_show(result->paths[i]).text);
    }
    print_grid(result, "Share of the row's image, distinct (with duplicates), in the column's, %",
               shares);
    print_grid(result, "The same without zero blocks, %", shares_nonzero);
    print_grid(result, "Bytes to send of the row's image where the column's is", bytes_to_send);
    return 0;
}
