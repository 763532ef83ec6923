/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A chain as QEMU's block options. Every driver and every file is spelt out,
 * backing files too, so QEMU probes nothing and follows no name of an image;
 * its locks are off, so reading never keeps a VM from starting.
 */
#include "image/chain.h"

#include <errno.h>
#include <stdarg.h>

struct writer {
    char *text;
    size_t room, used;
};

static PRINTF_LIKE(2, 3) void put(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    int length;

    if (writer->used >= writer->room) /* the rooms below are too small: a defect, not an overrun */
        return;
    va_start(arguments, format);
    length = vsnprintf(writer->text + writer->used, writer->room - writer->used, format, arguments);
    va_end(arguments);
    if (length > 0)
        writer->used += (size_t)length;
}

static void put_file(struct writer *writer, const char *key, int fd, bool is_block_device)
{
    put(writer, "\"%s\":{\"driver\":\"%s\",\"filename\":\"/proc/self/fd/%d\",\"locking\":\"off\"}",
        key, is_block_device ? "host_device" : "file", fd);
}

static void put_node(struct writer *writer, const struct image_chain *chain,
                     const struct chain_node *node)
{
    const struct image_layer *file = &chain->files[node->file];

    put(writer, "\"driver\":\"%s\",", node->format);
    if (node->descriptor_fd >= 0)
        put_file(writer, "file", node->descriptor_fd, false);
    else
        put_file(writer, "file", chain->fds[node->file], file->is_block_device);
    if (node->data_file >= 0) {
        put(writer, ",");
        put_file(writer, "data-file", chain->fds[node->data_file],
                 chain->files[node->data_file].is_block_device);
    }
}

int image_chain_describe(const struct image_chain *chain, char **ret_text)
{
    enum { HEAD_ROOM = 128, NODE_ROOM = 384 };
    struct writer writer = {.room = HEAD_ROOM + chain->node_count * NODE_ROOM};

    writer.text = malloc(writer.room);
    if (writer.text == NULL)
        return -ENOMEM;
    put(&writer, "json:{\"read-only\":true,\"force-share\":true,");
    for (size_t i = 0; i < chain->node_count; i++) {
        if (i > 0)
            put(&writer, ",\"backing\":{");
        put_node(&writer, chain, &chain->nodes[i]);
    }
    if (chain->node_count > 0 && chain->nodes[chain->node_count - 1].can_have_backing)
        put(&writer, ",\"backing\":null");
    for (size_t i = 0; i < chain->node_count; i++)
        put(&writer, "}");
    *ret_text = writer.text;
    return 0;
}

bool image_written_describe(const char *format, int fd, char *text, size_t size)
{
    return string_format(
        text, size,
        "json:{\"driver\":\"%s\",\"discard\":\"unmap\",\"file\":{\"driver\":\"file\","
        "\"filename\":\"/proc/self/fd/%d\",\"locking\":\"off\"}%s}",
        format, fd, strcmp(format, "qcow2") == 0 ? ",\"backing\":null" : "");
}
