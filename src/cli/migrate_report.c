/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov migrate`: what became of it, as a table or as JSON. */
#include "blocks.h"
#include "human.h"
#include "migrate.h"
#include "report_json.h"

#include <stdio.h>

/* What crossed the line beside memory, or would. */
struct row {
    const char *what;
    uint64_t bytes;
};

static void print_bytes(const char *what, uint64_t bytes, const char *remark)
{
    printf("  %-12s%6s  %s\n", what, human_memory(bytes).text, remark);
}

static void print_disks(const struct migrate_summary *summary)
{
    const struct transfer_figures *blocks = &summary->blocks;

    printf("Disks, in blocks of %llu bytes:\n", (unsigned long long)summary->block_size);
    print_bytes("all", blocks->data, "what is allocated");
    print_bytes("zero", blocks->zero, "blocks of zeroes");
    print_bytes("local", blocks->local, "copied from images there");
    print_bytes("replicated", blocks->replicated, "copied from elsewhere in the same disks");
    print_bytes("reused", blocks->reused, "in parts that an earlier try had sent");
    print_bytes("sent", blocks->sent, "before they are compressed");
}

static void print_line_bytes(const struct migrate_outcome *outcome)
{
    const struct migrate_summary *summary = outcome->summary;
    char remark[120];

    if (outcome->options->dry_run) {
        printf("On the line, as an estimate:\n");
    } else {
        printf("On the line:\n");
    }
    print_bytes("parts", summary->packed_bytes, "blocks, compressed");
    print_bytes("plan", summary->plan_bytes, "");
    print_bytes("catalog", summary->catalog_bytes, "read to know what is there");
    if (!outcome->options->dry_run)
        print_bytes("mirror", summary->mirror_bytes, "what the guest wrote meanwhile");
    string_format(remark, sizeof(remark), "all but memory; --copy-storage-all sends %s%s",
                  human_memory(summary->copy_storage_all_bytes).text,
                  summary->wire_bytes > 0 ? "" : ":");
    if (summary->wire_bytes > 0 && summary->copy_storage_all_bytes > summary->wire_bytes)
        string_format(remark, sizeof(remark),
                      "all but memory; --copy-storage-all sends %s, %.4g times that",
                      human_memory(summary->copy_storage_all_bytes).text,
                      (double)summary->copy_storage_all_bytes / (double)summary->wire_bytes);
    print_bytes("together", summary->wire_bytes, remark);
    if (!outcome->options->dry_run)
        print_bytes("memory", summary->memory_bytes, "");
}

static void print_times(const struct migrate_summary *summary)
{
    printf("Time:\n");
    for (int phase = 0; phase < MIGRATE_PHASES; phase++) {
        if (summary->phase_s[phase] >= 0.001)
            printf("  %-12s%6s\n", migrate_phase_name((enum migrate_phase)phase),
                   human_latency(summary->phase_s[phase]).text);
    }
    printf("  %-12s%6s\n", "all", human_latency(summary->total_s).text);
    if (summary->downtime_ms != UNKNOWN_U64)
        printf("  %-12s%6s  of the guest\n", "downtime",
               human_latency((double)summary->downtime_ms / 1000).text);
}

void migrate_print(const struct migrate_outcome *outcome)
{
    const struct migrate_summary *summary = outcome->summary;

    if (outcome->code == 0) {
        if (outcome->options->dry_run)
            printf("%s could go to %s; nothing was changed.\n",
                   blocks_show(outcome->options->vm).text, blocks_show(outcome->to).text);
        else
            printf("%s is on %s now%s.\n", blocks_show(outcome->options->vm).text,
                   blocks_show(outcome->to).text,
                   summary->attempts > 1 ? ", at the second try or later" : "");
        print_disks(summary);
        print_line_bytes(outcome);
        print_times(summary);
    }
    for (size_t i = 0; i < summary->left.count; i++)
        printf("left: %s\n", blocks_show(summary->left.lines[i]).text);
}

/* ---- JSON ------------------------------------------------------------------------------- */

static struct json_object *blocks_json(const struct migrate_summary *summary)
{
    const struct transfer_figures *blocks = &summary->blocks;
    struct json_object *object = json_object_new_object();

    report_json_add_u64(object, "block_size", summary->block_size);
    report_json_add_u64(object, "data", blocks->data);
    report_json_add_u64(object, "zero", blocks->zero);
    report_json_add_u64(object, "local", blocks->local);
    report_json_add_u64(object, "replicated", blocks->replicated);
    report_json_add_u64(object, "reused", blocks->reused);
    report_json_add_u64(object, "sent", blocks->sent);
    return object;
}

static struct json_object *bytes_json(const struct migrate_summary *summary)
{
    struct json_object *object = json_object_new_object();

    report_json_add_u64(object, "parts", summary->packed_bytes);
    report_json_add_u64(object, "plan", summary->plan_bytes);
    report_json_add_u64(object, "catalog", summary->catalog_bytes);
    report_json_add_u64(object, "mirror", summary->mirror_bytes);
    report_json_add_u64(object, "wire", summary->wire_bytes);
    report_json_add_u64(object, "memory", summary->memory_bytes);
    report_json_add_u64(object, "copy_storage_all", summary->copy_storage_all_bytes);
    return object;
}

static struct json_object *times_json(const struct migrate_summary *summary)
{
    struct json_object *object = json_object_new_object();

    for (int phase = 0; phase < MIGRATE_PHASES; phase++)
        report_json_add(object, migrate_phase_name((enum migrate_phase)phase),
                        report_json_number(summary->phase_s[phase], 3));
    report_json_add(object, "all", report_json_number(summary->total_s, 3));
    return object;
}

struct json_object *migrate_json(const struct migrate_outcome *outcome)
{
    const struct migrate_summary *summary = outcome->summary;
    struct json_object *object = json_object_new_object(), *left = json_object_new_array();

    report_json_add(object, "vm", report_json_text(outcome->options->vm));
    report_json_add(object, "to", report_json_text(outcome->to));
    report_json_add(object, "dry_run", json_object_new_boolean(outcome->options->dry_run));
    report_json_add(object, "moved", json_object_new_boolean(summary->moved));
    report_json_add(object, "error", report_json_text(outcome->error));
    report_json_add_u64(object, "attempts", summary->attempts);
    report_json_add(object, "blocks", blocks_json(summary));
    report_json_add(object, "bytes", bytes_json(summary));
    report_json_add(object, "seconds", times_json(summary));
    report_json_add_u64(object, "downtime_ms", summary->downtime_ms);
    for (size_t i = 0; i < summary->left.count; i++)
        report_json_append(left, report_json_text(summary->left.lines[i]));
    report_json_add(object, "left", left);
    return object;
}
