/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `setmov choose VM` prints: a table with the decision as its last line, or JSON. */
#include "choose_vm.h"
#include "human.h"
#include "report_json.h"
#include "utf8.h"

#include <math.h>

#define NAME_COLUMNS_LEAST 4
#define NAME_COLUMNS_MOST  32

struct cell {
    char text[64];
};

static const struct choose_vm_host *host_at(const struct choose_vm *vm, size_t rank)
{
    return &vm->hosts[vm->result.ranks[rank].candidate];
}

static const struct placement_candidate *candidate_at(const struct choose_vm *vm, size_t rank)
{
    return &vm->candidates[vm->result.ranks[rank].candidate];
}

static const char *choice_of(const struct choose_vm *vm)
{
    return vm->result.stay ? NULL : host_at(vm, 0)->config->name;
}

/* `text` is of any origin. */
static void print_line(const char *before, const char *text, const char *behind)
{
    printf("%s", before);
    printf("%s", blocks_show(text).text);
    printf("%s", behind);
}

/* ---- cells -------------------------------------------------------------------------------- */

static struct cell to_send_cell(const struct choose_vm *vm, size_t rank)
{
    const struct similarity_estimate *all = &candidate_at(vm, rank)->figures;
    struct cell cell = {"-"};

    if (host_at(vm, rank)->figures == NULL)
        return cell;
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

static struct cell share_cell(const struct choose_vm *vm, size_t rank)
{
    const struct similarity_figures *likely = &candidate_at(vm, rank)->figures.likely;
    struct cell cell = {"-"};

    if (host_at(vm, rank)->figures != NULL)
        string_format(cell.text, sizeof(cell.text), "%.2f %% (%.2f %%)",
                      similarity_share_distinct(likely), similarity_share_with_duplicates(likely));
    return cell;
}

/* "12 s", "3 min 20 s", "5 h 02 min"; a part of a second is one. */
static struct cell time_cell(double seconds)
{
    struct cell cell = {"-"};
    unsigned long whole;

    if (!isfinite(seconds) || seconds > 1e9)
        return cell;
    whole = (unsigned long)ceil(seconds);
    if (whole < 60)
        string_format(cell.text, sizeof(cell.text), "%lu s", whole);
    else if (whole < 3600)
        string_format(cell.text, sizeof(cell.text), "%lu min %02lu s", whole / 60, whole % 60);
    else
        string_format(cell.text, sizeof(cell.text), "%lu h %02lu min", whole / 3600,
                      whole / 60 % 60);
    return cell;
}

static struct cell idle_cell(const struct choose_vm_host *host)
{
    struct cell cell = {"-"};

    if (!isnan(host->cpu_percent))
        string_format(cell.text, sizeof(cell.text), "%.0f %%", 100 - host->cpu_percent);
    return cell;
}

/* The first line of those that are out, which is why; of the others what sets them apart. */
static const char *verdict_of(const struct choose_vm *vm, size_t rank)
{
    const struct placement_move_rank *ranked = &vm->result.ranks[rank];

    if (!ranked->eligible)
        return ranked->reasons[0];
    if (rank == 0)
        return "the choice";
    return ranked->reason_count > 2 ? ranked->reasons[2] : "";
}

/* ---- the table ------------------------------------------------------------------------------ */

enum { HOST, TO_SEND, SHARE, WIRE, TIME, IDLE, MEMORY, POOL, SCORE, COLUMNS };

static const char *const titles[COLUMNS] = {"host",     "to send",      "share (w. duplicates)",
                                            "on wire",  "time",         "idle CPU",
                                            "free mem", "free in pool", "score"};

static struct cell cell_of(const struct choose_vm *vm, size_t rank, int column)
{
    const struct choose_vm_host *host = host_at(vm, rank);
    const struct placement_move_rank *ranked = &vm->result.ranks[rank];
    struct cell cell = {"-"};

    switch (column) {
    case TO_SEND:
        return to_send_cell(vm, rank);
    case SHARE:
        return share_cell(vm, rank);
    case WIRE:
        string_copy(cell.text, sizeof(cell.text), human_memory(host->wire_bytes).text);
        return cell;
    case TIME:
        return host->figures != NULL ? time_cell(ranked->seconds) : cell;
    case IDLE:
        return idle_cell(host);
    case MEMORY:
        string_copy(cell.text, sizeof(cell.text), human_memory(host->memory_free_bytes).text);
        return cell;
    case POOL:
        string_copy(cell.text, sizeof(cell.text), human_memory(host->pool_free_bytes).text);
        return cell;
    case SCORE:
        if (ranked->eligible)
            string_format(cell.text, sizeof(cell.text), "%.3f", ranked->score);
        return cell;
    default:
        return cell;
    }
}

static void measure(const struct choose_vm *vm, int *widths)
{
    for (int column = 0; column < COLUMNS; column++) {
        widths[column] = (int)strlen(titles[column]);
        for (size_t i = 0; i < vm->host_count; i++) {
            int length = column == HOST ? (int)strlen(host_at(vm, i)->config->name)
                                        : (int)strlen(cell_of(vm, i, column).text);

            if (length > widths[column])
                widths[column] = length;
        }
    }
    if (widths[HOST] > NAME_COLUMNS_MOST)
        widths[HOST] = NAME_COLUMNS_MOST;
}

static void print_table(const struct choose_vm *vm)
{
    int widths[COLUMNS];

    measure(vm, widths);
    printf("rank");
    for (int column = 0; column < COLUMNS; column++)
        printf("  %-*s", widths[column], titles[column]);
    printf("  verdict\n");
    for (size_t i = 0; i < vm->host_count; i++) {
        char name[4 * NAME_COLUMNS_MOST + 1];

        utf8_column(host_at(vm, i)->config->name, (unsigned)widths[HOST], name, sizeof(name));
        if (vm->result.ranks[i].eligible)
            printf("%4zu  %s", i + 1, name);
        else
            printf("%4s  %s", "-", name);
        for (int column = HOST + 1; column < COLUMNS; column++)
            printf("  %-*s", widths[column], cell_of(vm, i, column).text);
        print_line(vm->result.ranks[i].eligible ? "  " : "  out: ", verdict_of(vm, i), "\n");
    }
}

static void print_reasons(const struct choose_vm *vm)
{
    for (size_t i = 0; i < vm->host_count; i++) {
        const struct placement_move_rank *ranked = &vm->result.ranks[i];

        print_line("\n", host_at(vm, i)->config->name, ranked->eligible ? ":\n" : ", out:\n");
        for (size_t j = 0; j < ranked->reason_count; j++)
            print_line("  ", ranked->reasons[j], "\n");
    }
    printf("\n");
}

static void print_decision(const struct choose_vm *vm)
{
    const struct placement_move_rank *best = vm->result.ranks;

    if (vm->result.stay) {
        print_line("stay: ", vm->result.stay_reason, "\n");
        return;
    }
    print_line("choice: ", choice_of(vm), ", ");
    printf("%s to send", to_send_cell(vm, 0).text);
    if (candidate_at(vm, 0)->figures.likely.bytes_to_send < vm->image_bytes)
        printf(" instead of %s", human_memory(vm->image_bytes).text);
    if (isfinite(best->seconds))
        printf(", %s at %sbit/s", time_cell(best->seconds).text,
               human_rate((double)candidate_at(vm, 0)->bandwidth_bits_per_s).text);
    printf("\n");
}

void choose_vm_print(const struct choose_vm *vm, bool explain)
{
    print_table(vm);
    if (explain)
        print_reasons(vm);
    for (size_t i = 0; i < vm->notes.count; i++)
        print_line("note: ", vm->notes.lines[i], "\n");
    print_decision(vm);
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static struct json_object *lines_json(char *const *lines, size_t count)
{
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < count; i++)
        report_json_append(array, report_json_text(lines[i]));
    return array;
}

static struct json_object *headroom_json(const struct choose_vm_host *host)
{
    struct json_object *headroom = json_object_new_object();

    report_json_add(headroom, "cpu_percent", report_json_number(100 - host->cpu_percent, 3));
    report_json_add_u64(headroom, "memory_bytes", host->memory_free_bytes);
    report_json_add_u64(headroom, "pool_bytes", host->pool_free_bytes);
    return headroom;
}

static struct json_object *row_json(const struct choose_vm *vm, size_t rank)
{
    const struct choose_vm_host *host = host_at(vm, rank);
    const struct placement_move_rank *ranked = &vm->result.ranks[rank];
    const struct similarity_estimate *all = &candidate_at(vm, rank)->figures;
    bool known = host->figures != NULL;
    struct json_object *row = json_object_new_object();

    report_json_add(row, "host", report_json_text(host->config->name));
    report_json_add(row, "eligible", json_object_new_boolean(ranked->eligible));
    report_json_add_u64(row, "bytes_to_send", known ? all->likely.bytes_to_send : UNKNOWN_U64);
    report_json_add_u64(row, "bytes_to_send_low", known ? all->low.bytes_to_send : UNKNOWN_U64);
    report_json_add_u64(row, "bytes_to_send_high", known ? all->high.bytes_to_send : UNKNOWN_U64);
    report_json_add(row, "exact", json_object_new_boolean(host->is_exact));
    report_json_add_u64(row, "wire_bytes_estimate", host->wire_bytes);
    report_json_add(row, "seconds", known ? report_json_number(ranked->seconds, 3) : NULL);
    report_json_add(row, "share_distinct",
                    known ? report_json_share(similarity_share_distinct(&all->likely)) : NULL);
    report_json_add(row, "share_with_duplicates",
                    known ? report_json_share(similarity_share_with_duplicates(&all->likely))
                          : NULL);
    report_json_add(row, "headroom", headroom_json(host));
    report_json_add(row, "score", report_json_number(ranked->score, 6));
    report_json_add(row, "reasons", lines_json(ranked->reasons, ranked->reason_count));
    return row;
}

static struct json_object *disk_json(const struct choose_vm_disk *disk)
{
    const struct fingerprint_view *view = &disk->fingerprint->view;
    struct json_object *object = json_object_new_object();

    report_json_add(object, "target",
                    *disk->target != '\0' ? report_json_text(disk->target) : NULL);
    report_json_add(object, "path", report_json_text(disk->path));
    report_json_add(object, "bytes", json_object_new_uint64(choose_image_bytes(view)));
    report_json_add(object, "provisional", json_object_new_boolean(view->identity.provisional));
    return object;
}

struct json_object *choose_vm_json(const struct choose_vm *vm)
{
    struct json_object *root = json_object_new_object(), *ranking = json_object_new_array(),
                       *disks = json_object_new_array();
    const struct vm_move *move = &vm->shared->move;
    char uuid[UUID_TEXT_BYTES];

    for (size_t i = 0; i < vm->host_count; i++)
        report_json_append(ranking, row_json(vm, i));
    for (size_t i = 0; i < vm->disk_count; i++)
        report_json_append(disks, disk_json(&vm->disks[i]));
    uuid_format(&move->uuid, uuid);
    if (vm->shared->is_vm) {
        report_json_add(root, "vm", report_json_text(move->name));
        report_json_add(root, "uuid", report_json_text(uuid));
    } else {
        report_json_add(root, "vm", NULL);
        report_json_add(root, "image", report_json_text(vm->operand));
    }
    report_json_add(root, "disks", disks);
    report_json_add(root, "ranking", ranking);
    report_json_add(root, "choice", report_json_text(choice_of(vm)));
    report_json_add(root, "stay", json_object_new_boolean(vm->result.stay));
    report_json_add(root, "stay_reason", report_json_text(vm->result.stay_reason));
    report_json_add(root, "notes", lines_json(vm->notes.lines, vm->notes.count));
    return root;
}
