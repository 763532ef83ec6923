/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers of image formats: a table with a magic and a parser for each. */
#include "image/header.h"

#include "image/bytes.h"
#include "image/vmdk.h"

#include <errno.h>

#define VMDK_SECTOR ((uint64_t)512)
/* QEMU reads this much of a descriptor that lies within a sparse file. */
#define VMDK_EMBEDDED_BYTES (20 * VMDK_SECTOR)

struct bytes {
    const uint8_t *at;
    size_t length;
};

static bool has(struct bytes bytes, size_t offset, size_t length)
{
    return offset <= bytes.length && length <= bytes.length - offset;
}

/* The caller has checked that they are there. */
static uint32_t big32(struct bytes bytes, size_t offset)
{
    return bytes_big32(bytes.at + offset);
}

static uint64_t big64(struct bytes bytes, size_t offset)
{
    return bytes_big64(bytes.at + offset);
}

static uint32_t little32(struct bytes bytes, size_t offset)
{
    return bytes_little32(bytes.at + offset);
}

static uint64_t little64(struct bytes bytes, size_t offset)
{
    return bytes_little64(bytes.at + offset);
}

static bool has_magic(struct bytes bytes, size_t offset, const char *magic, size_t length)
{
    return has(bytes, offset, length) && memcmp(bytes.at + offset, magic, length) == 0;
}

/* As a size, and never UNKNOWN_U64. */
static uint64_t told_size(uint64_t size)
{
    return size == UNKNOWN_U64 ? size - 1 : size;
}

/* ---- names ------------------------------------------------------------------ */

int image_name_check(const char *name, struct error *err)
{
    size_t plain = strcspn(name, ":/");

    if (name[0] == '\0')
        return error_set(err, -EBADMSG, "it names a file without a name");
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return error_set(err, -EBADMSG, "it names a file with control characters: %s", name);
    }
    if (name[plain] == ':')
        return error_set(err, -EPERM, "it refers to %s, which is not a local file", name);
    return 0;
}

/* A name of `length` bytes at `offset` of the header. */
static int take_name(struct bytes bytes, uint64_t offset, uint64_t length, char *name,
                     struct error *err)
{
    if (length >= IMAGE_NAME_ROOM || offset > IMAGE_HEADER_MOST)
        return error_set(err, -EBADMSG, "its header is damaged (place of a file name)");
    if (!has(bytes, (size_t)offset, (size_t)length))
        return bytes.length < IMAGE_HEADER_MOST
                   ? -ENODATA
                   : error_set(err, -EBADMSG, "its header is damaged (place of a file name)");
    if (memchr(bytes.at + offset, '\0', (size_t)length) != NULL)
        return error_set(err, -EBADMSG, "its header is damaged (file name)");
    text_copy(text_of((const char *)bytes.at + offset, (size_t)length), name, IMAGE_NAME_ROOM);
    return 0;
}

/* ---- qcow2 -------------------------------------------------------------------- */

#define QCOW2_HEADER_BYTES_2     72
#define QCOW2_HEADER_BYTES_3     104
#define QCOW2_FEATURE_DATA_FILE  ((uint64_t)1 << 2)
#define QCOW2_FEATURE_EXTENDED   ((uint64_t)1 << 4)
#define QCOW2_COMPATIBLE_LAZY    ((uint64_t)1 << 0)
#define QCOW2_REFCOUNT_ORDER     4 /* of version 2: 16 bits */
#define QCOW2_EXTENSION_FORMAT   0xE2792ACAu
#define QCOW2_EXTENSION_DATAFILE 0x44415441u
#define QCOW2_EXTENSION_LUKS     0x0537BE77u

/* Type, length and content padded to 8 bytes, up to type 0 or the backing file's name. */
static int parse_qcow2_extensions(struct bytes bytes, size_t at, size_t end,
                                  struct image_header *header, struct error *err)
{
    while (at < end && end - at >= 8) {
        uint32_t kind, length;

        if (!has(bytes, at, 8))
            return -ENODATA;
        kind = big32(bytes, at);
        length = big32(bytes, at + 4);
        if (kind == 0)
            return 0;
        at += 8;
        if (length > end - at)
            return error_set(err, -EBADMSG, "its header is damaged (extension too long)");
        if (!has(bytes, at, length))
            return -ENODATA;
        if (kind == QCOW2_EXTENSION_FORMAT) {
            if (!text_copy(text_of((const char *)bytes.at + at, length), header->backing_format,
                           sizeof(header->backing_format)))
                return error_set(err, -EBADMSG, "its header is damaged (backing format)");
        } else if (kind == QCOW2_EXTENSION_DATAFILE) {
            int rc = take_name(bytes, at, length, header->data_file, err);

            if (rc < 0)
                return rc;
        } else if (kind == QCOW2_EXTENSION_LUKS) {
            header->encrypted = true;
        }
        at += ((size_t)length + 7) & ~(size_t)7;
    }
    return 0;
}

/* What a new image like this one is made with. Whether it is sound QEMU says. */
static void tell_qcow2_settings(struct bytes bytes, struct image_header *header)
{
    bool is_version_2 = big32(bytes, 4) == 2;
    uint64_t features = is_version_2 ? 0 : big64(bytes, 72);
    uint64_t compatible = is_version_2 ? 0 : big64(bytes, 80);
    uint32_t order = is_version_2 ? QCOW2_REFCOUNT_ORDER : big32(bytes, 96);

    string_format(header->settings, sizeof(header->settings),
                  "compat=%s,cluster_size=%u,refcount_bits=%u%s%s", is_version_2 ? "0.10" : "1.1",
                  1u << big32(bytes, 20), order <= 6 ? 1u << order : 1u << QCOW2_REFCOUNT_ORDER,
                  (features & QCOW2_FEATURE_EXTENDED) != 0 ? ",extended_l2=on" : "",
                  (compatible & QCOW2_COMPATIBLE_LAZY) != 0 ? ",lazy_refcounts=on" : "");
}

static int parse_qcow2(struct bytes bytes, struct image_header *header, struct error *err)
{
    uint32_t version, header_bytes = QCOW2_HEADER_BYTES_2, cluster_bits, name_bytes;
    uint64_t name_at, features = 0, end;
    int rc;

    if (!has(bytes, 0, 8))
        return -ENODATA;
    version = big32(bytes, 4);
    if (version != 2 && version != 3)
        return error_set(err, -ENOTSUP, "qcow2 version %u is not known", version);
    if (!has(bytes, 0, QCOW2_HEADER_BYTES_3))
        return -ENODATA;
    name_at = big64(bytes, 8);
    name_bytes = big32(bytes, 16);
    cluster_bits = big32(bytes, 20);
    header->size = told_size(big64(bytes, 24));
    header->encrypted = big32(bytes, 32) != 0;
    if (cluster_bits < 9 || cluster_bits > 21)
        return error_set(err, -EBADMSG, "its header is damaged (cluster size)");
    if (version == 3) {
        features = big64(bytes, 72);
        header_bytes = big32(bytes, 100);
    }
    tell_qcow2_settings(bytes, header);
    end = (uint64_t)1 << cluster_bits;
    if (header_bytes < QCOW2_HEADER_BYTES_2 || header_bytes > end || name_at > end)
        return error_set(err, -EBADMSG, "its header is damaged (lengths)");
    if (name_at != 0) {
        rc = take_name(bytes, name_at, name_bytes, header->backing, err);
        if (rc < 0)
            return rc;
        end = name_at;
    }
    header->has_data_file = (features & QCOW2_FEATURE_DATA_FILE) != 0;
    rc = parse_qcow2_extensions(bytes, header_bytes, (size_t)end, header, err);
    if (rc < 0)
        return rc;
    if (header->has_data_file && header->data_file[0] == '\0')
        return error_set(err, -ENOTSUP, "its data lies in a file that it does not name");
    return 0;
}

/* ---- formats with few facts ------------------------------------------------------ */

static int parse_qcow(struct bytes bytes, struct image_header *header, struct error *err)
{
    uint64_t name_at;

    if (!has(bytes, 0, 48))
        return -ENODATA;
    name_at = big64(bytes, 8);
    header->size = told_size(big64(bytes, 24));
    header->encrypted = big32(bytes, 36) != 0;
    return name_at == 0 ? 0 : take_name(bytes, name_at, big32(bytes, 16), header->backing, err);
}

static int parse_qed(struct bytes bytes, struct image_header *header, struct error *err)
{
    enum { HAS_BACKING = 1, BACKING_IS_RAW = 4 };
    uint64_t features;

    if (!has(bytes, 0, 64))
        return -ENODATA;
    features = little64(bytes, 16);
    header->size = told_size(little64(bytes, 48));
    if ((features & HAS_BACKING) == 0)
        return 0;
    if ((features & BACKING_IS_RAW) != 0)
        string_copy(header->backing_format, sizeof(header->backing_format), "raw");
    return take_name(bytes, little32(bytes, 56), little32(bytes, 60), header->backing, err);
}

static int parse_luks(struct bytes bytes, struct image_header *header, struct error *err)
{
    (void)bytes;
    (void)err;
    header->encrypted = true;
    return 0;
}

static int parse_nothing(struct bytes bytes, struct image_header *header, struct error *err)
{
    (void)bytes;
    (void)header;
    (void)err;
    return 0;
}

/* ---- vmdk -------------------------------------------------------------------------- */

static bool is_vmdk_sparse(struct bytes bytes)
{
    return has_magic(bytes, 0, "KDMV", 4) || has_magic(bytes, 0, "COWD", 4);
}

static struct text text_until_nul(struct bytes bytes)
{
    const uint8_t *nul = memchr(bytes.at, '\0', bytes.length);

    return text_of((const char *)bytes.at, nul != NULL ? (size_t)(nul - bytes.at) : bytes.length);
}

static int parse_vmdk(struct bytes bytes, struct image_header *header, struct error *err)
{
    uint64_t capacity, at, length;
    struct text text;

    if (!is_vmdk_sparse(bytes)) {
        header->is_descriptor = true; /* or nothing at all, which its parser tells */
        return 0;
    }
    if (bytes.at[0] == 'C')
        return 0;
    if (!has(bytes, 0, 79))
        return -ENODATA;
    capacity = little64(bytes, 12);
    /* QEMU would then follow the file names of a descriptor within, unseen by us. */
    if (capacity == 0)
        return error_set(err, -ENOTSUP, "a vmdk whose header tells no size is not read");
    if (capacity > IMAGE_MAX_SIZE / VMDK_SECTOR)
        return error_set(err, -EFBIG, "its size is absurd");
    header->size = capacity * VMDK_SECTOR;
    at = little64(bytes, 28);
    if (at == 0)
        return 0;
    if (at > IMAGE_HEADER_MOST / VMDK_SECTOR)
        return error_set(err, -EBADMSG, "its header is damaged (place of the descriptor)");
    at *= VMDK_SECTOR;
    if (at >= bytes.length)
        return -ENODATA;
    length = bytes.length - at;
    if (length > VMDK_EMBEDDED_BYTES)
        length = VMDK_EMBEDDED_BYTES;
    text = text_until_nul((struct bytes){bytes.at + at, (size_t)length});
    vmdk_descriptor_value(text, "parentFileNameHint", header->backing, sizeof(header->backing));
    return 0;
}

/* ---- the table ------------------------------------------------------------------------ */

struct format {
    const char *name;
    size_t magic_at;
    const char *magic; /* NULL: never probed */
    size_t magic_length;
    int (*parse)(struct bytes bytes, struct image_header *header, struct error *err);
};

#define MAGIC(offset, text) offset, text, sizeof(text) - 1

static const struct format formats[] = {
    {"qcow", MAGIC(0, "QFI\xfb\0\0\0\1"), parse_qcow},
    {"qcow2", MAGIC(0, "QFI\xfb"), parse_qcow2}, /* of any version: it says which it knows */
    {"qed", MAGIC(0, "QED\0"), parse_qed},
    {"vmdk", MAGIC(0, "KDMV"), parse_vmdk},
    {"vmdk", MAGIC(0, "COWD"), parse_vmdk},
    {"vdi", MAGIC(64, "\x7f\x10\xda\xbe"), parse_nothing},
    {"vhdx", MAGIC(0, "vhdxfile"), parse_nothing},
    {"vpc", MAGIC(0, "conectix"), parse_nothing},
    {"parallels", MAGIC(0, "WithoutFreeSpace"), parse_nothing},
    {"parallels", MAGIC(0, "WithouFreSpacExt"), parse_nothing},
    {"bochs", MAGIC(0, "Bochs Virtual HD Image"), parse_nothing},
    {"cloop", MAGIC(0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"), parse_nothing},
    {"luks", MAGIC(0, "LUKS\xba\xbe"), parse_luks},
    {"dmg", 0, NULL, 0, parse_nothing},
    {"raw", 0, NULL, 0, parse_nothing},
};

static const struct format *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    }
    return NULL;
}

const char *image_format_find(const char *name)
{
    const struct format *format = find(name);

    return format != NULL ? format->name : NULL;
}

const char *image_header_probe(const uint8_t *bytes, size_t length)
{
    struct bytes all = {bytes, length};

    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        const struct format *format = &formats[i];

        if (format->magic != NULL &&
            has_magic(all, format->magic_at, format->magic, format->magic_length))
            return format->name;
    }
    if (length > 0 && vmdk_descriptor_probe(text_until_nul(all)))
        return image_format_find("vmdk");
    return image_format_find("raw");
}

int image_header_parse(const char *format, const uint8_t *bytes, size_t length,
                       struct image_header *ret_header, struct error *err)
{
    const struct format *row = find(format);
    struct image_header header = {.size = UNKNOWN_U64};
    int rc;

    if (row == NULL)
        return error_set(err, -EINVAL, "format %s is not known", format);
    header.format = row->name;
    rc = row->parse((struct bytes){bytes, length}, &header, err);
    if (rc < 0)
        return rc;
    if (header.size != UNKNOWN_U64 && header.size > IMAGE_MAX_SIZE)
        return error_set(err, -EFBIG, "its size is absurd: %llu bytes",
                         (unsigned long long)header.size);
    *ret_header = header;
    return 0;
}
