/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A merged index over bytes in memory: what is checked once, and the hosts' list. */

#include "catalog/merged.h"

#include <errno.h>

static int damaged(struct error *err, const char *what)
{
    return error_set(err, -EINVAL, "the merged index is damaged: %s", what);
}

static struct merged_layout layout_from(const uint8_t *file)
{
    struct merged_layout layout = {
        .kind = (enum digest_kind)get_u32(file + MERGED_AT_DIGEST_KIND),
        .block_size = get_u32(file + MERGED_AT_BLOCK_SIZE),
        .host_count = get_u32(file + MERGED_AT_HOST_COUNT),
        .set_count = get_u32(file + MERGED_AT_SET_COUNT),
        .code_bits = get_u32(file + MERGED_AT_CODE_BITS),
        .names_length = get_u64(file + MERGED_AT_NAMES_LENGTH),
        .set_units = get_u64(file + MERGED_AT_SET_UNITS),
        .keys[MERGED_SAMPLED] = get_u64(file + MERGED_AT_SAMPLED_KEYS),
        .keys[MERGED_FREQUENT] = get_u64(file + MERGED_AT_FREQUENT_KEYS),
        .bits[MERGED_SAMPLED] = get_u32(file + MERGED_AT_SAMPLED_BITS),
        .bits[MERGED_FREQUENT] = get_u32(file + MERGED_AT_FREQUENT_BITS),
    };

    memcpy(layout.key_id, file + MERGED_AT_KEY_ID, sizeof(layout.key_id));
    return layout;
}

/* Kind 0 and block size 0: there were no images. */
static bool is_plan(const struct merged_layout *layout)
{
    if (layout->kind == 0)
        return layout->block_size == 0 && layout->keys[0] == 0 && layout->keys[1] == 0;
    return layout->kind <= DIGEST_KEYED_SHA256 && layout->block_size >= DIGEST_BLOCK_MIN &&
           layout->block_size <= DIGEST_BLOCK_MAX &&
           (layout->block_size & (layout->block_size - 1)) == 0;
}

static int check_head(const struct merged_layout *layout, struct error *err)
{
    if (!is_plan(layout))
        return damaged(err, "no such digest or block size");
    if (layout->host_count == 0 || layout->host_count > CATALOG_MERGED_MAX_HOSTS)
        return damaged(err, "the number of hosts");
    for (size_t kind = 0; kind < MERGED_KINDS; kind++) {
        if (layout->bits[kind] > MERGED_BITS_MAX || layout->keys[kind] > UINT32_MAX)
            return damaged(err, "the number of digests");
    }
    if (layout->set_count > UINT32_MAX / 2 || layout->set_units > UINT32_MAX ||
        layout->code_bits != merged_bits_for((uint64_t)layout->host_count + layout->set_count))
        return damaged(err, "the number of sets of hosts");
    return 0;
}

static int check_hosts(const struct merged_layout *layout, const uint8_t *file, struct error *err)
{
    const uint8_t *line = file + layout->offsets[MERGED_HOSTS];

    if (layout->names_length == 0 ||
        file[layout->offsets[MERGED_NAMES] + layout->names_length - 1] != '\0')
        return damaged(err, "a host's name has no end");
    for (size_t i = 0; i < layout->host_count; i++, line += MERGED_HOST_BYTES) {
        if (get_u32(line + MERGED_HOST_NAME) >= layout->names_length)
            return damaged(err, "a host's name");
        if ((get_u32(line + MERGED_HOST_FLAGS) & ~(uint32_t)MERGED_FLAGS_KNOWN) != 0)
            return damaged(err, "a host's flags");
    }
    return 0;
}

static int check(const uint8_t *file, size_t length, struct merged_layout *ret_layout,
                 struct error *err)
{
    int rc;

    if (length < MERGED_HEADER_BYTES ||
        memcmp(file + MERGED_AT_MAGIC, MERGED_MAGIC, MERGED_MAGIC_BYTES) != 0)
        return error_set(err, -EINVAL, "this is no merged index");
    if (get_u32(file + MERGED_AT_VERSION) != MERGED_VERSION)
        return error_set(err, -ENOTSUP, "a merged index of version %u; this program knows %d",
                         get_u32(file + MERGED_AT_VERSION), MERGED_VERSION);
    *ret_layout = layout_from(file);
    rc = check_head(ret_layout, err);
    if (rc < 0)
        return rc;
    if (merged_layout_place(ret_layout) < 0 || ret_layout->file_length != length ||
        get_u64(file + MERGED_AT_FILE_LENGTH) != length)
        return damaged(err, "its length is not what its head tells");
    if (get_u64(file + MERGED_AT_CHECKSUM) != merged_head_checksum(ret_layout, file))
        return damaged(err, "the checksum of its head");
    return check_hosts(ret_layout, file, err);
}

int catalog_merged_decode(const void *bytes, size_t length, struct catalog_merged **ret_merged,
                          struct error *err)
{
    struct merged_layout layout = {0};
    struct catalog_merged *merged;
    int rc = check(bytes, length, &layout, err);

    if (rc < 0)
        return rc;
    merged = calloc(1, sizeof(*merged));
    if (merged == NULL)
        return error_set(err, -ENOMEM, "no memory to open a merged index");
    merged->layout = layout;
    merged->file = bytes;
    for (size_t i = 0; i < MERGED_SECTIONS; i++)
        merged->sections[i] = merged->file + layout.offsets[i];
    *ret_merged = merged;
    return 0;
}

int catalog_merged_verify(const struct catalog_merged *merged, struct error *err)
{
    if (get_u64(merged->file + MERGED_AT_BODY_CHECKSUM) !=
        merged_body_checksum(&merged->layout, merged->file))
        return damaged(err, "the checksum of its body");
    return 0;
}

void catalog_merged_release(struct catalog_merged *merged)
{
    free(merged);
}

size_t catalog_merged_host_count(const struct catalog_merged *merged)
{
    return merged->layout.host_count;
}

const char *catalog_merged_host_name(const struct catalog_merged *merged, size_t host)
{
    const uint8_t *line = merged->sections[MERGED_HOSTS] + host * MERGED_HOST_BYTES;

    return (const char *)merged->sections[MERGED_NAMES] + get_u32(line + MERGED_HOST_NAME);
}

uint64_t catalog_merged_host_mark(const struct catalog_merged *merged, size_t host)
{
    return get_u64(merged->sections[MERGED_HOSTS] + host * MERGED_HOST_BYTES + MERGED_HOST_MARK);
}
