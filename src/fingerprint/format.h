/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the fields of a fingerprint file lie, and little-endian bytes; the
 * words for it are in docs/fingerprint-format.md.
 */
#ifndef FINGERPRINT_FORMAT_H
#define FINGERPRINT_FORMAT_H

#include "setmov/base_bytes.h"
#include "setmov/fingerprint.h"

#define FORMAT_MAGIC "SETMOVFP"

enum format_header {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_HEAD_LENGTH = 12,
    AT_FILE_LENGTH = 16,
    AT_DIGEST_KIND = 24,
    AT_BLOCK_SIZE = 28,
    AT_KEY_ID = 32,
    AT_ZERO_DIGEST = 40,
    AT_VIRTUAL_SIZE = 56,
    AT_BLOCKS = 64,
    AT_ZERO_BLOCKS = 72,
    AT_DISTINCT = 80,
    AT_MADE = 88,
    AT_CONTENT_SHA256 = 96,
    AT_FLAGS = 128,
    AT_SECTION_COUNT = 132,
    AT_CHECKSUM = 136,
    HEADER_BYTES = 144,
};

enum format_flags { FLAG_PROVISIONAL = 1, FLAG_CONTENT_SHA256 = 2, FLAGS_KNOWN = 3 };

/* One line of the table of sections. */
enum format_section {
    SECTION_KIND = 0,
    SECTION_RESERVED = 4,
    SECTION_OFFSET = 8,
    SECTION_LENGTH = 16,
    SECTION_CHECKSUM = 24,
    SECTION_BYTES = 32,
};

/* One layer; path and format follow, each with a NUL behind it. */
enum format_layer {
    LAYER_DEVICE = 0,
    LAYER_INODE = 8,
    LAYER_SIZE = 16,
    LAYER_MODIFIED_S = 24,
    LAYER_CHANGED_S = 32,
    LAYER_MODIFIED_NS = 40,
    LAYER_CHANGED_NS = 44,
    LAYER_FLAGS = 48,
    LAYER_PATH_LENGTH = 52,
    LAYER_FORMAT_LENGTH = 56,
    LAYER_RESERVED = 60,
    LAYER_BYTES = 64,
};

enum format_layer_flags { LAYER_BLOCK_DEVICE = 1 };

#define LAYERS_HEADER_BYTES 8 /* the number of layers, and 4 bytes of 0 */
#define LAYER_PATH_MAX      65535
#define LAYER_FORMAT_MAX    255

/* Do kind, sizes and totals of a view go together? For who writes and who reads. */
int fingerprint_totals_check(const struct fingerprint_view *view, struct error *err);

/* The section FINGERPRINT_LAYERS; the caller frees `ret_layers`, whose strings lie in `bytes`. */
int fingerprint_layers_decode(const uint8_t *bytes, uint64_t length,
                              struct fingerprint_layer **ret_layers, size_t *ret_count,
                              struct error *err);

#endif
