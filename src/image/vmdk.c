/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading and writing of VMDK descriptors. */
#include "image/vmdk.h"

#include <errno.h>

#define MOST_SECTORS (IMAGE_MAX_SIZE / 512)

static struct text trimmed(struct text line)
{
    while (line.at < line.end && (*line.at == ' ' || *line.at == '\t'))
        line.at++;
    while (line.end > line.at &&
           (line.end[-1] == ' ' || line.end[-1] == '\t' || line.end[-1] == '\r'))
        line.end--;
    return line;
}

bool vmdk_descriptor_probe(struct text text)
{
    struct text line;

    while (text_next_line(&text, &line)) {
        line = trimmed(line);
        if (text_length(line) == 0 || *line.at == '#')
            continue;
        return text_equals(line, "version=1") || text_equals(line, "version=2") ||
               text_equals(line, "version=3");
    }
    return false;
}

/* What stands in quotes behind the blanks, and moves on. */
static bool next_quoted(struct text *text, struct text *ret_value)
{
    struct text rest = trimmed(*text);
    const char *quote;

    if (rest.at >= rest.end || *rest.at != '"')
        return false;
    rest.at++;
    quote = memchr(rest.at, '"', text_length(rest));
    if (quote == NULL)
        return false;
    *ret_value = (struct text){rest.at, quote};
    text->at = quote + 1;
    return true;
}

bool vmdk_descriptor_value(struct text text, const char *key, char *value, size_t size)
{
    struct text line, inner;

    while (text_next_line(&text, &line)) {
        line = trimmed(line);
        if (!text_starts_with(line, key))
            continue;
        line.at += strlen(key);
        line = trimmed(line);
        if (line.at >= line.end || *line.at != '=')
            continue;
        line.at++;
        line = trimmed(line);
        if (next_quoted(&line, &inner))
            line = inner;
        if (text_length(line) >= size)
            return false;
        return text_copy(line, value, size);
    }
    return false;
}

static uint32_t hexadecimal(const char *string)
{
    char *end;
    unsigned long value = strtoul(string, &end, 16);

    return end != string && value <= UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static bool is_access(struct text word)
{
    return text_equals(word, "RW") || text_equals(word, "RDONLY") || text_equals(word, "NOACCESS");
}

static bool is_kind(const char *kind)
{
    static const char *const kinds[] = {"FLAT", "SPARSE", "ZERO", "VMFS", "VMFSSPARSE", "SESPARSE"};

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    }
    return false;
}

/* RW 4192256 FLAT "disk-f001.vmdk" 0 */
static int parse_extent(struct text line, struct vmdk_extent *extent)
{
    struct text word;

    if (!text_next_u64(&line, &extent->sectors) || extent->sectors > MOST_SECTORS ||
        !text_next_word(&line, &word) || !text_copy(word, extent->kind, sizeof(extent->kind)) ||
        !is_kind(extent->kind))
        return -EBADMSG;
    if (strcmp(extent->kind, "ZERO") == 0)
        return 0;
    if (!next_quoted(&line, &word) || text_length(word) == 0 ||
        !text_copy(word, extent->name, sizeof(extent->name)))
        return -EBADMSG;
    line = trimmed(line);
    if (text_length(line) > 0 &&
        (!text_next_u64(&line, &extent->offset) || extent->offset > MOST_SECTORS))
        return -EBADMSG;
    return 0;
}

static int parse_extents(struct text text, struct vmdk_descriptor *descriptor, struct error *err)
{
    struct text line, word;

    while (text_next_line(&text, &line)) {
        struct vmdk_extent extent = {0};
        int rc;

        line = trimmed(line);
        if (!text_next_word(&line, &word) || !is_access(word))
            continue;
        rc = parse_extent(line, &extent);
        if (rc < 0)
            return error_set(err, rc, "its descriptor is damaged (extent %zu)",
                             descriptor->count + 1);
        if (descriptor->count >= VMDK_MOST_EXTENTS)
            return error_set(err, -E2BIG, "it consists of more than %d files", VMDK_MOST_EXTENTS);
        rc = array_reserve(&descriptor->extents, &descriptor->capacity, descriptor->count + 1,
                           sizeof(extent));
        if (rc < 0)
            return error_set(err, rc, "out of memory");
        descriptor->extents[descriptor->count++] = extent;
    }
    if (descriptor->count == 0)
        return error_set(err, -EBADMSG, "it is no vmdk, or its descriptor is damaged");
    return 0;
}

int vmdk_descriptor_parse(struct text text, struct vmdk_descriptor *ret_descriptor,
                          struct error *err)
{
    struct vmdk_descriptor descriptor = {.id = UINT32_MAX, .parent_id = UINT32_MAX};
    char number[16];
    int rc;

    if (text_length(text) == 0 || memchr(text.at, '\0', text_length(text)) != NULL ||
        !vmdk_descriptor_probe(text))
        return error_set(err, -EBADMSG, "it is no vmdk, or its descriptor is damaged");
    if (!vmdk_descriptor_value(text, "createType", descriptor.create_type,
                               sizeof(descriptor.create_type)) ||
        strpbrk(descriptor.create_type, "\"\r") != NULL)
        return error_set(err, -EBADMSG, "its descriptor is damaged (createType)");
    vmdk_descriptor_value(text, "parentFileNameHint", descriptor.parent, sizeof(descriptor.parent));
    if (vmdk_descriptor_value(text, "CID", number, sizeof(number)))
        descriptor.id = hexadecimal(number);
    if (vmdk_descriptor_value(text, "parentCID", number, sizeof(number)))
        descriptor.parent_id = hexadecimal(number);
    rc = parse_extents(text, &descriptor, err);
    if (rc < 0) {
        vmdk_descriptor_release(&descriptor);
        return rc;
    }
    *ret_descriptor = descriptor;
    return 0;
}

void vmdk_descriptor_release(struct vmdk_descriptor *descriptor)
{
    if (descriptor == NULL)
        return;
    free(descriptor->extents);
    *descriptor = (struct vmdk_descriptor){0};
}

int vmdk_descriptor_write(const struct vmdk_descriptor *descriptor, const int *fds, char **ret_text)
{
    enum { HEAD_ROOM = 256, LINE_ROOM = 128 };
    size_t room = HEAD_ROOM + descriptor->count * LINE_ROOM, used;
    char *text = malloc(room);

    if (text == NULL)
        return -ENOMEM;
    string_format(text, room,
                  "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\n"
                  "createType=\"%s\"\n",
                  descriptor->id, descriptor->parent_id, descriptor->create_type);
    for (size_t i = 0; i < descriptor->count; i++) {
        const struct vmdk_extent *extent = &descriptor->extents[i];
        bool has_offset = strcmp(extent->kind, "FLAT") == 0;
        char name[48] = "";

        used = strlen(text);
        if (extent->name[0] != '\0')
            string_format(name, sizeof(name), " \"/proc/self/fd/%d\"%s", fds[i],
                          has_offset ? "" : "\n");
        string_format(text + used, room - used, "RW %llu %s%s", (unsigned long long)extent->sectors,
                      extent->kind, name);
        used = strlen(text);
        if (has_offset)
            string_format(text + used, room - used, " %llu\n", (unsigned long long)extent->offset);
        else if (extent->name[0] == '\0')
            string_format(text + used, room - used, "\n");
    }
    *ret_text = text;
    return 0;
}
