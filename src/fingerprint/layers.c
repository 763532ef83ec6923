/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files below an image, from and to the section that keeps them. */

#include "fingerprint/format.h"

#include <errno.h>

static void encode_layer(const struct fingerprint_layer *layer, size_t path_length,
                         size_t format_length, uint8_t *bytes)
{
    put_u64(bytes + LAYER_DEVICE, layer->device);
    put_u64(bytes + LAYER_INODE, layer->inode);
    put_u64(bytes + LAYER_SIZE, layer->size);
    put_u64(bytes + LAYER_MODIFIED_S, (uint64_t)layer->modified_s);
    put_u64(bytes + LAYER_CHANGED_S, (uint64_t)layer->changed_s);
    put_u32(bytes + LAYER_MODIFIED_NS, layer->modified_ns);
    put_u32(bytes + LAYER_CHANGED_NS, layer->changed_ns);
    put_u32(bytes + LAYER_FLAGS, layer->is_block_device ? LAYER_BLOCK_DEVICE : 0);
    put_u32(bytes + LAYER_PATH_LENGTH, (uint32_t)path_length);
    put_u32(bytes + LAYER_FORMAT_LENGTH, (uint32_t)format_length);
    memcpy(bytes + LAYER_BYTES, layer->path, path_length);
    memcpy(bytes + LAYER_BYTES + path_length + 1, layer->format, format_length);
}

int fingerprint_layers_encode(const struct fingerprint_identity *identity, uint8_t **ret_bytes,
                              size_t *ret_length, struct error *err)
{
    size_t length = LAYERS_HEADER_BYTES, at = LAYERS_HEADER_BYTES;
    uint8_t *bytes;

    if (identity->layer_count > FINGERPRINT_MAX_LAYERS)
        return error_set(err, -EINVAL, "an image of %zu layers is too deep for a fingerprint",
                         identity->layer_count);
    for (size_t i = 0; i < identity->layer_count; i++) {
        const struct fingerprint_layer *layer = &identity->layers[i];
        size_t path_length = strlen(layer->path), format_length = strlen(layer->format);

        if (path_length > LAYER_PATH_MAX || format_length > LAYER_FORMAT_MAX)
            return error_set(err, -EINVAL, "the path of a layer is too long for a fingerprint");
        length += LAYER_BYTES + path_length + 1 + format_length + 1;
    }
    bytes = calloc(1, length);
    if (bytes == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu bytes", length);
    put_u32(bytes, (uint32_t)identity->layer_count);
    for (size_t i = 0; i < identity->layer_count; i++) {
        const struct fingerprint_layer *layer = &identity->layers[i];
        size_t path_length = strlen(layer->path), format_length = strlen(layer->format);

        encode_layer(layer, path_length, format_length, bytes + at);
        at += LAYER_BYTES + path_length + 1 + format_length + 1;
    }
    *ret_bytes = bytes;
    *ret_length = length;
    return 0;
}

/* A string of exactly `length` bytes and a NUL at `bytes`, of which `room` are there. NULL: none. */
static const char *take_string(const uint8_t *bytes, uint64_t room, uint32_t length)
{
    if (length >= room || memchr(bytes, '\0', (size_t)length + 1) != bytes + length)
        return NULL;
    return (const char *)bytes;
}

/* One layer at `bytes`; returns its length, or 0 where it is damaged. */
static uint64_t decode_layer(const uint8_t *bytes, uint64_t room, struct fingerprint_layer *layer)
{
    uint32_t path_length, format_length;

    if (room < LAYER_BYTES)
        return 0;
    path_length = get_u32(bytes + LAYER_PATH_LENGTH);
    format_length = get_u32(bytes + LAYER_FORMAT_LENGTH);
    if (path_length > LAYER_PATH_MAX || format_length > LAYER_FORMAT_MAX)
        return 0;
    *layer = (struct fingerprint_layer){
        .device = get_u64(bytes + LAYER_DEVICE),
        .inode = get_u64(bytes + LAYER_INODE),
        .size = get_u64(bytes + LAYER_SIZE),
        .modified_s = (int64_t)get_u64(bytes + LAYER_MODIFIED_S),
        .changed_s = (int64_t)get_u64(bytes + LAYER_CHANGED_S),
        .modified_ns = get_u32(bytes + LAYER_MODIFIED_NS),
        .changed_ns = get_u32(bytes + LAYER_CHANGED_NS),
        .is_block_device = (get_u32(bytes + LAYER_FLAGS) & LAYER_BLOCK_DEVICE) != 0,
    };
    bytes += LAYER_BYTES;
    room -= LAYER_BYTES;
    layer->path = take_string(bytes, room, path_length);
    if (layer->path == NULL)
        return 0;
    layer->format = take_string(bytes + path_length + 1, room - path_length - 1, format_length);
    if (layer->format == NULL)
        return 0;
    return (uint64_t)LAYER_BYTES + path_length + 1 + format_length + 1;
}

int fingerprint_layers_decode(const uint8_t *bytes, uint64_t length,
                              struct fingerprint_layer **ret_layers, size_t *ret_count,
                              struct error *err)
{
    CLEANUP(cleanup_free) struct fingerprint_layer *layers = NULL;
    uint64_t at = LAYERS_HEADER_BYTES;
    uint32_t count;

    if (length < LAYERS_HEADER_BYTES || get_u32(bytes) > FINGERPRINT_MAX_LAYERS)
        return error_set(err, -EINVAL, "the fingerprint's list of layers is damaged");
    count = get_u32(bytes);
    layers = calloc((size_t)count + 1, sizeof(*layers));
    if (layers == NULL)
        return error_set(err, -ENOMEM, "no memory for %u layers", count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t taken = decode_layer(bytes + at, length - at, &layers[i]);

        if (taken == 0)
            return error_set(err, -EINVAL, "the fingerprint's layer %u is damaged", i);
        at += taken;
    }
    if (at != length)
        return error_set(err, -EINVAL, "the fingerprint's list of layers is damaged");
    *ret_layers = layers;
    *ret_count = count;
    layers = NULL;
    return 0;
}
