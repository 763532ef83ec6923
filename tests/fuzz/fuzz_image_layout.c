/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: what qemu-img prints of an image's layout, and where that lies in the files. */
#include "image/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct image_layer files[] = {{.size = 1 << 20}, {.size = 1 << 30}};
static const struct image_chain chain = {
    .files = files,
    .count = ARRAY_LENGTH(files),
    .nodes = {{.format = "qcow2", .file = 0, .data_file = -1},
              {.format = "raw", .file = 1, .data_file = -1}},
    .node_count = 2,
    .top_size = UNKNOWN_U64,
};

static void check(const struct image_layout *layout)
{
    uint64_t at = 0, placed, others;

    image_layout_count(layout, &placed, &others);
    if (placed > layout->end || others > layout->end - placed)
        abort();
    for (size_t i = 0; i < layout->count; i++) {
        uint64_t end;
        const struct layout_part *part = image_layout_find(layout, at, &end);

        if (part != &layout->parts[i] || part->offset != at || end <= at)
            abort();
        if (part->is_placed &&
            (part->where >= chain.count || part->place >= files[part->where].size))
            abort();
        at = end;
    }
    if (at != layout->end)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image_layout layout = {.only_top = size > 0 && data[0] == 'T'};
    struct text text = text_of((const char *)data, size), line;
    int rc = 0;

    if (layout.only_top)
        text.at++;
    while (rc == 0 && text_next_line(&text, &line))
        rc = image_layout_add(&layout, line);
    if (rc == 0)
        rc = image_layout_settle(&layout, &chain);
    if (rc == 0)
        check(&layout);
    image_layout_release(&layout);
    return 0;
}
