/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sketches of many hosts to the bytes of a merged index. */

#include "catalog/merged.h"

#include <errno.h>

struct parts {
    struct merged_sets sets;
    struct merged_table tables[MERGED_KINDS];
};

static void parts_release(struct parts *parts)
{
    merged_sets_release(&parts->sets);
    for (size_t kind = 0; kind < MERGED_KINDS; kind++)
        merged_table_release(&parts->tables[kind]);
}

/* ---- what may be merged ---- */

/* An image's name for a message. */
static const char *path_of(const struct fingerprint_view *view)
{
    return view->identity.layer_count > 0 ? view->identity.layers[0].path : "an image";
}

/* All views against the first; which may be NULL when no host has any. */
static int check_views(const struct catalog_merged_host *hosts, size_t count,
                       const struct fingerprint_view **ret_first, struct error *err)
{
    const struct fingerprint_view *first = NULL;
    size_t first_host = 0;

    for (size_t host = 0; host < count; host++) {
        for (size_t i = 0; i < hosts[host].count; i++) {
            const struct fingerprint_view *view = hosts[host].views[i];

            if (first == NULL) {
                first = view;
                first_host = host;
            }
            if (similarity_comparable(first, view, err) < 0)
                return error_prefix(err, -EINVAL, "%s of %s and %s of %s", path_of(first),
                                    hosts[first_host].name, path_of(view), hosts[host].name);
        }
    }
    *ret_first = first;
    return 0;
}

static int check_hosts(const struct catalog_merged_host *hosts, size_t count, struct error *err)
{
    if (count == 0)
        return error_set(err, -EINVAL, "there are no hosts to merge");
    if (count > CATALOG_MERGED_MAX_HOSTS)
        return error_set(err, -EINVAL, "%zu hosts are more than %d", count,
                         CATALOG_MERGED_MAX_HOSTS);
    for (size_t i = 0; i < count; i++) {
        if (strlen(hosts[i].name) > MERGED_NAME_MAX)
            return error_set(err, -EINVAL, "a host's name has more than %d bytes", MERGED_NAME_MAX);
    }
    return 0;
}

/* ---- bytes ---- */

static void put_hosts(const struct merged_layout *layout, const struct catalog_merged_host *hosts,
                      uint8_t *file)
{
    uint8_t *line = file + layout->offsets[MERGED_HOSTS];
    char *names = (char *)file + layout->offsets[MERGED_NAMES];
    size_t name = 0;

    for (size_t host = 0; host < layout->host_count; host++, line += MERGED_HOST_BYTES) {
        size_t length = strlen(hosts[host].name) + 1;
        uint32_t flags = MERGED_IS_EMPTY;

        for (size_t i = 0; i < hosts[host].count; i++) {
            const struct fingerprint_view *view = hosts[host].views[i];

            if (view->totals.distinct > 0)
                flags &= ~(uint32_t)MERGED_IS_EMPTY;
            if (view->totals.zero > 0)
                flags |= MERGED_HAS_ZERO;
        }
        put_u64(line + MERGED_HOST_MARK, hosts[host].mark);
        put_u64(line + MERGED_HOST_IMAGES, hosts[host].count);
        put_u32(line + MERGED_HOST_NAME, (uint32_t)name);
        put_u32(line + MERGED_HOST_FLAGS, flags);
        memcpy(names + name, hosts[host].name, length);
        name += length;
    }
}

static void put_array(uint8_t *bytes, const uint32_t *values, size_t count)
{
    for (size_t i = 0; values != NULL && i < count; i++)
        put_u32(bytes + i * sizeof(*values), values[i]);
}

static void put_codes(uint8_t *bytes, const uint32_t *codes, size_t count, uint32_t bits)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t at = (uint64_t)i * bits;
        uint8_t *word = bytes + at / 8;

        put_u64(word, get_u64(word) | (uint64_t)codes[i] << at % 8);
    }
}

/* Each array is given back when it is in the file, so that memory is not needed twice. */
static void put_body(const struct merged_layout *layout, struct parts *parts, uint8_t *file)
{
    uint8_t *offsets = file + layout->offsets[MERGED_SET_OFFSETS];

    for (size_t kind = 0; kind < MERGED_KINDS; kind++) {
        struct merged_table *table = &parts->tables[kind];

        put_array(file + layout->offsets[MERGED_STARTS + kind], table->starts,
                  ((size_t)1 << table->bits) + 1);
        put_array(file + layout->offsets[MERGED_REMAINDERS + kind], table->remainders,
                  table->count);
        free(table->remainders);
        table->remainders = NULL;
        put_codes(file + layout->offsets[MERGED_CODES + kind], table->codes, table->count,
                  layout->code_bits);
        merged_table_release(table);
    }
    put_u32(offsets, 0);
    put_array(offsets + sizeof(uint32_t), parts->sets.ends, parts->sets.count);
    if (parts->sets.unit_count > 0)
        memcpy(file + layout->offsets[MERGED_SET_HOSTS], parts->sets.units,
               parts->sets.unit_count * sizeof(*parts->sets.units));
}

static void put_header(const struct merged_layout *layout, uint8_t *file)
{
    memcpy(file + MERGED_AT_MAGIC, MERGED_MAGIC, MERGED_MAGIC_BYTES);
    put_u32(file + MERGED_AT_VERSION, MERGED_VERSION);
    put_u32(file + MERGED_AT_DIGEST_KIND, layout->kind);
    put_u32(file + MERGED_AT_BLOCK_SIZE, layout->block_size);
    put_u32(file + MERGED_AT_HOST_COUNT, layout->host_count);
    put_u64(file + MERGED_AT_FILE_LENGTH, layout->file_length);
    memcpy(file + MERGED_AT_KEY_ID, layout->key_id, sizeof(layout->key_id));
    put_u64(file + MERGED_AT_NAMES_LENGTH, layout->names_length);
    put_u64(file + MERGED_AT_SAMPLED_KEYS, layout->keys[MERGED_SAMPLED]);
    put_u64(file + MERGED_AT_FREQUENT_KEYS, layout->keys[MERGED_FREQUENT]);
    put_u32(file + MERGED_AT_SAMPLED_BITS, layout->bits[MERGED_SAMPLED]);
    put_u32(file + MERGED_AT_FREQUENT_BITS, layout->bits[MERGED_FREQUENT]);
    put_u32(file + MERGED_AT_SET_COUNT, layout->set_count);
    put_u32(file + MERGED_AT_CODE_BITS, layout->code_bits);
    put_u64(file + MERGED_AT_SET_UNITS, layout->set_units);
    put_u64(file + MERGED_AT_BODY_CHECKSUM, merged_body_checksum(layout, file));
    put_u64(file + MERGED_AT_CHECKSUM, merged_head_checksum(layout, file));
}

/* Without any image the index is of no kind: 0, which compares with everything. */
static struct merged_layout layout_of(const struct catalog_merged_host *hosts, size_t count,
                                      const struct fingerprint_view *view,
                                      const struct parts *parts)
{
    struct merged_layout layout = {
        .host_count = (uint32_t)count,
        .set_count = (uint32_t)parts->sets.count,
        .set_units = parts->sets.unit_count,
        .code_bits = merged_bits_for((uint64_t)count + parts->sets.count),
    };

    if (view != NULL) {
        layout.kind = view->kind;
        layout.block_size = view->block_size;
        memcpy(layout.key_id, view->key_id, sizeof(layout.key_id));
    }
    for (size_t kind = 0; kind < MERGED_KINDS; kind++) {
        layout.bits[kind] = parts->tables[kind].bits;
        layout.keys[kind] = parts->tables[kind].count;
    }
    for (size_t i = 0; i < count; i++)
        layout.names_length += strlen(hosts[i].name) + 1;
    return layout;
}

int catalog_merged_encode(const struct catalog_merged_host *hosts, size_t count,
                          uint8_t **ret_bytes, size_t *ret_length, struct error *err)
{
    CLEANUP(parts_release) struct parts parts = {.sets.host_count = count};
    const struct fingerprint_view *first = NULL;
    struct merged_layout layout;
    uint8_t *file;
    int rc = check_hosts(hosts, count, err);

    if (rc == 0)
        rc = check_views(hosts, count, &first, err);
    for (enum merged_kind kind = 0; rc == 0 && kind < MERGED_KINDS; kind++)
        rc = merged_table_make(kind, hosts, count, &parts.sets, &parts.tables[kind], err);
    if (rc < 0)
        return rc;
    layout = layout_of(hosts, count, first, &parts);
    rc = merged_layout_place(&layout);
    if (rc < 0)
        return error_set(err, rc, "the merged index is too large");
    file = calloc(1, layout.file_length);
    if (file == NULL)
        return error_set(err, -ENOMEM, "no memory for a merged index of %llu bytes",
                         (unsigned long long)layout.file_length);
    put_hosts(&layout, hosts, file);
    put_body(&layout, &parts, file);
    put_header(&layout, file);
    *ret_bytes = file;
    *ret_length = layout.file_length;
    return 0;
}
