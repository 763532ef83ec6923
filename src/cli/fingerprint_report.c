/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fingerprint's totals and layers, for people and as JSON (see fingerprint_report.h). */
#include "fingerprint_report.h"
#include "blocks.h"
#include "human.h"
#include "report_json.h"

#include <math.h>
#include <time.h>

#define LABEL_COLUMNS 22

struct hex {
    char text[2 * 32 + 1];
};

static struct hex hex_of(const uint8_t *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    struct hex hex = {""};

    for (size_t i = 0; i < length && 2 * i + 1 < sizeof(hex.text) - 1; i++) {
        hex.text[2 * i] = digits[bytes[i] >> 4];
        hex.text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return hex;
}

static uint64_t allocated_bytes(const struct fingerprint_view *view)
{
    return view->totals.blocks * view->block_size;
}

static const struct fingerprint_layer *top_layer(const struct fingerprint_view *view)
{
    static const struct fingerprint_layer none = {.path = "", .format = ""};

    return view->identity.layer_count > 0 ? &view->identity.layers[0] : &none;
}

/* ---- for people --------------------------------------------------------------- */

static void print_label(const char *label)
{
    printf("%-*s", LABEL_COLUMNS, label);
}

static void print_text(const char *label, const char *text)
{
    print_label(label);
    printf("%s\n", blocks_show(text).text);
}

static void print_bytes(const char *label, uint64_t bytes)
{
    print_label(label);
    printf("%s (%s)\n", human_memory(bytes).text, blocks_count(bytes).text);
}

static void print_count(const char *label, uint64_t count, uint64_t of)
{
    print_label(label);
    printf("%s", blocks_count(count).text);
    if (of > 0)
        printf(" (%.2f %%)", 100.0 * (double)count / (double)of);
    putchar('\n');
}

static void print_time(const char *label, int64_t seconds)
{
    char text[64] = "?";
    time_t time = (time_t)seconds;
    struct tm parts;

    if (gmtime_r(&time, &parts))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts);
    print_text(label, text);
}

static void print_identity(const struct fingerprint_report *report)
{
    const struct fingerprint_view *view = &report->file->view;
    const struct fingerprint_identity *identity = &view->identity;

    print_text("Image", top_layer(view)->path);
    print_text("Format", top_layer(view)->format);
    for (size_t i = 1; report->layers && i < identity->layer_count; i++) {
        print_label(i == 1 ? "Layers below" : "");
        printf("%s", blocks_show(identity->layers[i].path).text);
        printf(" (%s)\n", blocks_show(identity->layers[i].format).text);
    }
    if (!report->layers && identity->layer_count > 1)
        print_count("Layers below", identity->layer_count - 1, 0);
    print_bytes("Virtual size", identity->virtual_size);
    print_bytes("Allocated", allocated_bytes(view));
    if (identity->has_content_sha256)
        print_text("SHA-256 of content", hex_of(identity->content_sha256, 32).text);
}

static void print_totals(const struct fingerprint_view *view)
{
    const struct fingerprint_totals *totals = &view->totals;

    print_label("Digest");
    printf("%s", blocks_digest_name(view->kind));
    if (view->kind == DIGEST_KEYED_SHA256)
        printf(", key %s", hex_of(view->key_id, sizeof(view->key_id)).text);
    printf(", blocks of %u bytes\n", view->block_size);
    print_count("Total blocks", totals->blocks, 0);
    print_count("Zero blocks", totals->zero, totals->blocks);
    print_count("Distinct blocks", totals->distinct, totals->blocks);
    print_count("Internal duplicates", totals->blocks - totals->distinct, totals->blocks);
}

void fingerprint_report_print(const struct fingerprint_report *report)
{
    const struct fingerprint_view *view = &report->file->view;

    print_text("Fingerprint", report->path);
    print_bytes("Size", report->file->file_length);
    print_identity(report);
    print_totals(view);
    if (isnan(report->seconds)) {
        print_time("Made", view->identity.made_s);
    } else {
        print_label("Time");
        printf("%s, %s/s\n", human_latency(report->seconds).text,
               human_memory((uint64_t)((double)allocated_bytes(view) / fmax(report->seconds, 1e-9)))
                   .text);
    }
    if (view->identity.provisional)
        print_text("Provisional", "yes: the image " BLOCKS_PROVISIONAL);
    if (report->verified)
        print_text("Verified", "all checksums, totals and the order of digests");
}

/* ---- JSON ---------------------------------------------------------------------- */

static struct json_object *layers_json(const struct fingerprint_identity *identity)
{
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < identity->layer_count; i++) {
        const struct fingerprint_layer *layer = &identity->layers[i];
        struct json_object *object = json_object_new_object();

        report_json_add(object, "path", report_json_text(layer->path));
        report_json_add(object, "format", report_json_text(layer->format));
        report_json_add_u64(object, "size", layer->size);
        report_json_add_u64(object, "device", layer->device);
        report_json_add_u64(object, "inode", layer->inode);
        report_json_add(object, "modified", json_object_new_int64(layer->modified_s));
        report_json_add(object, "changed", json_object_new_int64(layer->changed_s));
        report_json_add(object, "block_device", json_object_new_boolean(layer->is_block_device));
        report_json_append(array, object);
    }
    return array;
}

struct json_object *fingerprint_report_json(const struct fingerprint_report *report)
{
    const struct fingerprint_view *view = &report->file->view;
    const struct fingerprint_identity *identity = &view->identity;
    const struct fingerprint_totals *totals = &view->totals;
    struct json_object *root = json_object_new_object();

    report_json_add(root, "fingerprint", report_json_text(report->path));
    report_json_add_u64(root, "file_bytes", report->file->file_length);
    report_json_add(root, "image", report_json_text(top_layer(view)->path));
    report_json_add(root, "format", report_json_text(top_layer(view)->format));
    report_json_add_u64(root, "virtual_size", identity->virtual_size);
    report_json_add_u64(root, "allocated_bytes", allocated_bytes(view));
    report_json_add(root, "digest", report_json_text(blocks_digest_name(view->kind)));
    if (view->kind == DIGEST_KEYED_SHA256)
        report_json_add(root, "key_id",
                        report_json_text(hex_of(view->key_id, sizeof(view->key_id)).text));
    report_json_add_u64(root, "block_size", view->block_size);
    report_json_add_u64(root, "total_blocks", totals->blocks);
    report_json_add_u64(root, "zero_blocks", totals->zero);
    report_json_add_u64(root, "distinct_blocks", totals->distinct);
    report_json_add_u64(root, "internal_duplicates", totals->blocks - totals->distinct);
    report_json_add(root, "provisional", json_object_new_boolean(identity->provisional));
    report_json_add(root, "content_sha256",
                    identity->has_content_sha256
                        ? report_json_text(hex_of(identity->content_sha256, 32).text)
                        : NULL);
    report_json_add(root, "made", json_object_new_int64(identity->made_s));
    if (!isnan(report->seconds))
        report_json_add(root, "seconds", report_json_share(report->seconds));
    if (report->verified)
        report_json_add(root, "verified", json_object_new_boolean(true));
    report_json_add(root, "layers", layers_json(identity));
    return root;
}
