/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `setmov choose` prints: a table with the choice as its last line, or JSON. */
#include "choose.h"
#include "human.h"
#include "report_json.h"
#include "utf8.h"

#define NAME_COLUMNS_LEAST 4
#define NAME_COLUMNS_MOST  32

struct cell {
    char text[64];
};

static const struct choose_host *host_at(const struct choose_report *report, size_t rank)
{
    return &report->hosts->hosts[report->ranks[rank].host];
}

static const char *choice_of(const struct choose_report *report)
{
    return report->eligible > 0 ? host_at(report, 0)->name : NULL;
}

/* `text` is of any origin. */
static void print_line(const char *before, const char *text, const char *behind)
{
    printf("%s", before);
    printf("%s", blocks_show(text).text);
    printf("%s", behind);
}

/* ---- the table ----------------------------------------------------------------------- */

static unsigned name_columns(const struct choose_hosts *hosts)
{
    size_t columns = NAME_COLUMNS_LEAST;

    for (size_t i = 0; i < hosts->count; i++) {
        size_t length = strlen(hosts->hosts[i].name);

        if (length > columns)
            columns = length;
    }
    return columns < NAME_COLUMNS_MOST ? (unsigned)columns : NAME_COLUMNS_MOST;
}

static struct cell to_send_cell(const struct similarity_estimate *all)
{
    struct cell cell = {""};

    if (all->low.bytes_to_send == all->high.bytes_to_send)
        string_format(cell.text, sizeof(cell.text), "%s",
                      human_memory(all->likely.bytes_to_send).text);
    else
        string_format(cell.text, sizeof(cell.text), "%s (%s to %s)",
                      human_memory(all->likely.bytes_to_send).text,
                      human_memory(all->low.bytes_to_send).text,
                      human_memory(all->high.bytes_to_send).text);
    return cell;
}

static struct cell share_cell(const struct similarity_figures *figures)
{
    struct cell cell = {""};

    string_format(cell.text, sizeof(cell.text), "%.2f %% (%.2f %%)",
                  similarity_share_distinct(figures), similarity_share_with_duplicates(figures));
    return cell;
}

/* Intervals take room only where there are any. */
static int to_send_columns(const struct choose_report *report)
{
    int columns = (int)strlen("to send");

    for (size_t i = 0; i < report->hosts->count; i++) {
        int length = (int)strlen(to_send_cell(&report->hosts->hosts[i].facts.all).text);

        if (length > columns)
            columns = length;
    }
    return columns;
}

static void print_row(const struct choose_report *report, size_t rank, unsigned name_width,
                      int send_width)
{
    const struct choose_host *host = host_at(report, rank);
    const struct placement_host *facts = &host->facts;
    char name[4 * NAME_COLUMNS_MOST + 1];

    utf8_column(host->name, name_width, name, sizeof(name));
    if (!report->ranks[rank].eligible) {
        printf("%4s  %s", "-", name);
        print_line("  ", report->ranks[rank].reasons[0].text, "\n");
        return;
    }
    printf("%4zu  %s  %-*s  %-22s", rank + 1, name, send_width, to_send_cell(&facts->all).text,
           share_cell(&facts->all.likely).text);
    print_line("  ", facts->donor != NULL ? facts->donor : "-", "");
    if (facts->donor != NULL)
        printf(" (%.2f %%)", similarity_share_distinct(&facts->donor_figures));
    printf("\n");
}

static void print_table(const struct choose_report *report)
{
    unsigned name_width = name_columns(report->hosts);
    int send_width = to_send_columns(report);

    printf("%s  %-*s  %-*s  %-22s  %s\n", "rank", (int)name_width, "host", send_width, "to send",
           "share (w. duplicates)", "best single donor");
    for (size_t i = 0; i < report->hosts->count; i++)
        print_row(report, i, name_width, send_width);
}

static void print_reasons(const struct choose_report *report)
{
    for (size_t i = 0; i < report->hosts->count; i++) {
        const struct choose_host *host = host_at(report, i);

        print_line("\n", host->name, ":\n");
        for (size_t j = 0; j < report->ranks[i].reason_count; j++)
            print_line("  ", report->ranks[i].reasons[j].text, "\n");
        for (size_t j = 0; j < host->problem_count; j++)
            print_line("  problem: ", host->problems[j], "\n");
        if (host->problems_left_out > 0)
            printf("  and %zu problems more\n", host->problems_left_out);
    }
    printf("\n");
}

static void print_problems(const struct choose_report *report)
{
    for (size_t i = 0; i < report->eligible; i++) {
        const struct choose_host *host = host_at(report, i);

        if (host->problem_count > 0)
            print_line("note: some of what ", host->name,
                       " holds could not be used (--explain says what)\n");
    }
}

static void print_choice(const struct choose_report *report)
{
    const struct choose_host *best;

    if (report->eligible == 0) {
        printf("choice: none, no host can be used\n");
        return;
    }
    best = host_at(report, 0);
    print_line("choice: ", best->name, ", ");
    printf("%s to send", to_send_cell(&best->facts.all).text);
    if (best->facts.all.likely.bytes_to_send < report->image_bytes)
        printf(" instead of %s\n", human_memory(report->image_bytes).text);
    else
        printf("; no host saves anything\n");
}

void choose_report_print(const struct choose_report *report)
{
    print_table(report);
    if (report->explain)
        print_reasons(report);
    else
        print_problems(report);
    print_choice(report);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* Of a host of which nothing is known there are no figures. */
static struct json_object *bytes_json(bool known, uint64_t bytes)
{
    return known ? json_object_new_uint64(bytes) : NULL;
}

static struct json_object *donor_json(const struct placement_host *facts)
{
    struct json_object *donor;

    if (facts->donor == NULL)
        return NULL;
    donor = json_object_new_object();
    report_json_add(donor, "path", report_json_text(facts->donor));
    report_json_add(donor, "share_distinct",
                    report_json_share(similarity_share_distinct(&facts->donor_figures)));
    return donor;
}

static struct json_object *row_json(const struct choose_report *report, size_t rank)
{
    const struct choose_host *host = host_at(report, rank);
    const struct placement_host *facts = &host->facts;
    const struct placement_rank *ranked = &report->ranks[rank];
    const struct similarity_estimate *all = &facts->all;
    bool known = facts->unusable == NULL;
    struct json_object *row = json_object_new_object(), *reasons = json_object_new_array(),
                       *problems = json_object_new_array();

    for (size_t i = 0; i < ranked->reason_count; i++)
        report_json_append(reasons, report_json_text(ranked->reasons[i].text));
    for (size_t i = 0; i < host->problem_count; i++)
        report_json_append(problems, report_json_text(host->problems[i]));
    report_json_add(row, "host", report_json_text(facts->name));
    report_json_add(row, "bytes_to_send", bytes_json(known, all->likely.bytes_to_send));
    report_json_add(row, "bytes_to_send_low", bytes_json(known, all->low.bytes_to_send));
    report_json_add(row, "bytes_to_send_high", bytes_json(known, all->high.bytes_to_send));
    report_json_add(row, "share_distinct",
                    known ? report_json_share(similarity_share_distinct(&all->likely)) : NULL);
    report_json_add(row, "share_with_duplicates",
                    known ? report_json_share(similarity_share_with_duplicates(&all->likely))
                          : NULL);
    report_json_add(row, "best_donor", donor_json(facts));
    report_json_add(row, "reasons", reasons);
    report_json_add(row, "problems", problems);
    return row;
}

struct json_object *choose_report_json(const struct choose_report *report)
{
    struct json_object *root = json_object_new_object(), *ranking = json_object_new_array();

    for (size_t i = 0; i < report->hosts->count; i++)
        report_json_append(ranking, row_json(report, i));
    report_json_add(root, "image", report_json_text(report->path));
    report_json_add(root, "engine", json_object_new_string(similarity_engine_name(report->engine)));
    report_json_add_u64(root, "block_size", report->image->block_size);
    report_json_add(root, "digest",
                    json_object_new_string(blocks_digest_name(report->image->kind)));
    report_json_add(root, "provisional",
                    json_object_new_boolean(report->image->identity.provisional));
    report_json_add(root, "ranking", ranking);
    report_json_add(root, "choice", report_json_text(choice_of(report)));
    return root;
}
