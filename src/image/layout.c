/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text is an array of flat objects, one a line; values are numbers, true
 * and false. Keys that are not known are passed over. What looks otherwise is
 * given up: then the image is read through qemu-nbd.
 */
#include "image/layout.h"

#include "image/header.h"

#include <errno.h>

/* The last cluster of a file may be there in part only. */
#define CLUSTER_MOST ((uint64_t)2 << 20)

/* One line. */
struct row {
    uint64_t start, length, depth, offset;
    uint64_t present, zero, data, compressed; /* 0 or 1 */
};

#define NOT_TOLD UINT64_MAX

/* QEMU leaves out what an image has beyond its last whole one. */
#define SECTOR ((uint64_t)512)

/* ---- text --------------------------------------------------------------------------------- */

static void skip_blanks(struct text *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t'))
        text->at++;
}

static bool take(struct text *text, char byte)
{
    skip_blanks(text);
    if (text->at == text->end || *text->at != byte)
        return false;
    text->at++;
    return true;
}

static bool take_word(struct text *text, const char *word)
{
    if (!text_starts_with(*text, word))
        return false;
    text->at += strlen(word);
    return true;
}

static bool take_value(struct text *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *begin;

    skip_blanks(text);
    *ret_value = 0;
    if (take_word(text, "false"))
        return true;
    *ret_value = 1;
    if (take_word(text, "true"))
        return true;
    for (begin = text->at; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *text->at - '0', &value))
            return false;
    *ret_value = value;
    return text->at > begin;
}

static bool take_key(struct text *text, struct text *ret_key)
{
    const char *end;

    if (!take(text, '"'))
        return false;
    end = memchr(text->at, '"', text_length(*text));
    if (end == NULL)
        return false;
    *ret_key = (struct text){text->at, end};
    text->at = end + 1;
    return take(text, ':');
}

static bool take_pair(struct text *text, struct row *row)
{
    const struct {
        const char *name;
        uint64_t *value;
    } known[] = {
        {"start", &row->start},           {"length", &row->length},   {"depth", &row->depth},
        {"offset", &row->offset},         {"zero", &row->zero},       {"data", &row->data},
        {"compressed", &row->compressed}, {"present", &row->present},
    };
    struct text key;
    uint64_t value;

    if (!take_key(text, &key) || !take_value(text, &value))
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        if (text_equals(key, known[i].name))
            *known[i].value = value;
    }
    return true;
}

static bool take_row(struct text *text, struct row *row)
{
    *row = (struct row){.start = NOT_TOLD,
                        .length = NOT_TOLD,
                        .depth = NOT_TOLD,
                        .offset = NOT_TOLD,
                        .present = NOT_TOLD,
                        .zero = NOT_TOLD,
                        .data = NOT_TOLD};
    if (!take(text, '{'))
        return false;
    do {
        if (!take_pair(text, row))
            return false;
    } while (take(text, ','));
    return take(text, '}') && row->start != NOT_TOLD && row->length != NOT_TOLD &&
           row->depth < UINT32_MAX && row->zero <= 1 && row->data <= 1;
}

/* ---- parts -------------------------------------------------------------------------------- */

/* As qemu-nbd tells the same: what is not known to be zeroes has to be read. */
static enum image_extent_kind kind_of(const struct row *row, bool only_top)
{
    if (only_top && row->zero == 1)
        return row->present == 0 ? IMAGE_HOLE : IMAGE_ZERO;
    if (row->zero == 0)
        return IMAGE_DATA;
    return row->data == 0 ? IMAGE_HOLE : IMAGE_ZERO;
}

static int add_part(struct image_layout *layout, const struct row *row)
{
    struct layout_part *part;
    int rc;

    if (layout->only_top && row->present > 1) /* before QEMU 6.1 */
        return -EBADMSG;
    if (row->start != layout->end || row->length > IMAGE_MAX_SIZE - layout->end)
        return -EBADMSG;
    if (row->length == 0)
        return 0;
    if (layout->count >= IMAGE_LAYOUT_MOST_PARTS)
        return -E2BIG;
    rc = array_reserve(&layout->parts, &layout->capacity, layout->count + 1, sizeof(*part));
    if (rc < 0)
        return rc;
    part = &layout->parts[layout->count++];
    *part = (struct layout_part){.offset = row->start,
                                 .place = row->offset,
                                 .where = (uint32_t)row->depth,
                                 .kind = (uint8_t)kind_of(row, layout->only_top)};
    part->is_placed = part->kind == IMAGE_DATA && row->data == 1 && row->compressed == 0 &&
                      row->offset != NOT_TOLD;
    layout->end += row->length;
    return 0;
}

int image_layout_add(struct image_layout *layout, struct text line)
{
    struct row row;
    int rc;

    if (layout->complete || (layout->end == 0 && !take(&line, '[')))
        return -EBADMSG;
    if (!take_row(&line, &row))
        return -EBADMSG;
    rc = add_part(layout, &row);
    if (rc < 0)
        return rc;
    layout->complete = take(&line, ']');
    /* Only an empty image has an empty part. */
    if (!layout->complete && (row.length == 0 || !take(&line, ',')))
        return -EBADMSG;
    skip_blanks(&line);
    return line.at == line.end ? 0 : -EBADMSG;
}

static uint64_t end_of(const struct image_layout *layout, size_t index)
{
    return index + 1 < layout->count ? layout->parts[index + 1].offset : layout->end;
}

static int settle_part(struct layout_part *part, uint64_t length, const struct image_chain *chain)
{
    const struct chain_node *node;
    uint64_t size, rest;

    if (part->where >= chain->node_count)
        return -EBADMSG;
    node = &chain->nodes[part->where];
    if (strcmp(node->format, "qcow2") != 0 && strcmp(node->format, "raw") != 0) {
        part->is_placed = false;
        return 0;
    }
    part->where = (uint32_t)(node->data_file >= 0 ? (size_t)node->data_file : node->file);
    size = chain->files[part->where].size;
    if (part->place >= size)
        return -EBADMSG;
    rest = size - part->place;
    return length <= rest || length - rest < CLUSTER_MOST ? 0 : -EBADMSG;
}

int image_layout_settle(struct image_layout *layout, const struct image_chain *chain)
{
    if (chain->top_size != UNKNOWN_U64 && layout->end != chain->top_size / SECTOR * SECTOR)
        return -EBADMSG;
    for (size_t i = 0; i < layout->count; i++) {
        struct layout_part *part = &layout->parts[i];
        int rc = part->is_placed ? settle_part(part, end_of(layout, i) - part->offset, chain) : 0;

        if (rc < 0)
            return rc;
    }
    return 0;
}

void image_layout_count(const struct image_layout *layout, uint64_t *ret_placed,
                        uint64_t *ret_others)
{
    uint64_t sums[2] = {0};

    for (size_t i = 0; i < layout->count; i++) {
        const struct layout_part *part = &layout->parts[i];

        if (part->kind == IMAGE_DATA)
            sums[part->is_placed] += end_of(layout, i) - part->offset;
    }
    *ret_placed = sums[true];
    *ret_others = sums[false];
}

const struct layout_part *image_layout_find(const struct image_layout *layout, uint64_t offset,
                                            uint64_t *ret_end)
{
    size_t low = 0, high = layout->count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (layout->parts[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    *ret_end = end_of(layout, low);
    return &layout->parts[low];
}

void image_layout_release(struct image_layout *layout)
{
    free(layout->parts);
    *layout = (struct image_layout){0};
}
