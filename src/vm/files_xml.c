/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the files that a domain's XML names. Pure. */
#include "vm/files_xml.h"

#include "vm/xml.h"

#include <errno.h>

static bool is_same(const char *left, const char *right)
{
    return left && right ? strcmp(left, right) == 0 : left == right;
}

bool files_have(const struct vm_files *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->files[i].path, path) == 0)
            return true;
    return false;
}

int files_add(struct vm_files *files, const char *path, enum vm_file_kind kind, const char *format)
{
    struct vm_file *file;

    for (size_t i = 0; i < files->count; i++) {
        file = &files->files[i];
        if (file->kind == kind && strcmp(file->path, path) == 0 && is_same(file->format, format))
            return 0;
    }
    if (array_reserve(&files->files, &files->capacity, files->count + 1, sizeof(*file)) < 0)
        return -ENOMEM;
    file = &files->files[files->count++];
    *file = (struct vm_file){
        .path = strdup(path), .kind = kind, .format = format ? strdup(format) : NULL};
    return file->path && (!format || file->format) ? 0 : -ENOMEM;
}

void vm_files_release(struct vm_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->files[i].path);
        free(files->files[i].format);
    }
    free(files->files);
    *files = (struct vm_files){NULL, 0, 0};
}

/* The path that begins there: up to a quote or a comma, of which two are one that belongs to it. */
static char *argument_dup(const char *at)
{
    char *path = strdup(at), *to = path;

    for (; path && *at != '\0' && *at != '"'; at++) {
        if (at[0] == ',' && at[1] != ',')
            break;
        at += at[0] == ',';
        *to++ = *at;
    }
    if (path)
        *to = '\0';
    return path;
}

static bool ends_with(const char *text, const char *end, const char *suffix)
{
    size_t length = strlen(suffix);

    return (size_t)(end - text) >= length && memcmp(end - length, suffix, length) == 0;
}

/* A disk's, in the two ways in which QEMU takes it? */
static bool is_of_disk(const char *text, const char *at)
{
    return ends_with(text, at, "file=") || ends_with(text, at, "filename=") ||
           ends_with(text, at, "\"filename\":\"");
}

/* Arguments for QEMU: "file=/i/a.raw,format=raw", "{\"filename\":\"/i/a.raw\"}", "file:/i/a.raw". */
static int add_arguments(const char *text, bool for_qemu, struct vm_files *files)
{
    for (const char *at = strchr(text, '/'); at; at = strchr(at + 1, '/')) {
        CLEANUP(cleanup_free) char *path = NULL;
        enum vm_file_kind kind = VM_FILE_PLAIN;

        if (at == text || !strchr("=\":", at[-1]))
            continue;
        if (for_qemu)
            kind = is_of_disk(text, at) ? VM_FILE_IMAGE : VM_FILE_ARGUMENT;
        path = argument_dup(at);
        if (!path || files_add(files, path, kind, NULL) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Of an element, or of its attributes. */
static int add_text(const xmlNode *element, const char *text, struct vm_files *files)
{
    /* libvirt's own elements are of no namespace. */
    bool for_qemu = element->ns != NULL;

    if (!text)
        return 0;
    if (text[0] == '/' &&
        files_add(files, text, for_qemu ? VM_FILE_ARGUMENT : VM_FILE_PLAIN, NULL) < 0)
        return -ENOMEM;
    return add_arguments(text, for_qemu, files);
}

static bool is_within_disk(const xmlNode *node)
{
    for (; node && node->type == XML_ELEMENT_NODE; node = node->parent)
        if (xml_is_element(node, "disk") || xml_is_element(node, "filesystem"))
            return true;
    return false;
}

/* The format of the disk, the layer, or the mirror whose <source> it is; NULL: it is not said. */
static int source_format(const xmlNode *source, char **ret_format)
{
    const xmlNode *owner = source->parent;
    bool is_disk = xml_is_element(owner, "disk");
    int r;

    *ret_format = NULL;
    if (xml_is_element(owner, "filesystem"))
        return xml_attribute_dup(xml_child(owner, "driver"), "format", ret_format);
    r = xml_attribute_dup(xml_child(owner, is_disk ? "driver" : "format"), "type", ret_format);
    /* What libvirt takes it for; but the disks of a snapshot it makes as qcow2. */
    if (r == 0 && !*ret_format && is_disk && !xml_is_element(owner->parent, "disks")) {
        *ret_format = strdup("raw");
        r = *ret_format ? 0 : -ENOMEM;
    }
    return r;
}

/* The file, or block device, of an image. */
static int add_source(xmlNode *source, const char *path, struct vm_files *files)
{
    CLEANUP(cleanup_free) char *format = NULL;

    if (!path || path[0] == '\0')
        return 0;
    return source_format(source, &format) < 0 || files_add(files, path, VM_FILE_IMAGE, format) < 0
               ? -ENOMEM
               : 0;
}

static int add_attributes(xmlNode *node, struct vm_files *files)
{
    bool is_source = xml_is_element(node, "source") && is_within_disk(node);

    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
        CLEANUP(cleanup_free) char *value = NULL;
        const char *name = (const char *)attribute->name;
        bool is_image = is_source && (strcmp(name, "file") == 0 || strcmp(name, "dev") == 0);

        if (xml_content_dup(attribute->children, &value) < 0 ||
            (is_image ? add_source(node, value, files) : add_text(node, value, files)) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* The next node in the order of the text that is not within <metadata>; NULL at the end. */
static xmlNode *next_node(xmlNode *node, const xmlNode *top)
{
    if (node->children && node->type == XML_ELEMENT_NODE && !xml_is_element(node, "metadata"))
        return node->children;
    while (node != top && !node->next)
        node = node->parent;
    return node == top ? NULL : node->next;
}

int files_xml_add(struct text xml, const char *what, const char *root, struct vm_files *files,
                  struct error *err)
{
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    xmlNode *top;
    int r = xml_parse(xml, what, root, &tree, err);

    if (r < 0)
        return r;
    top = xmlDocGetRootElement(tree);
    for (xmlNode *node = top; node && r == 0; node = next_node(node, top)) {
        CLEANUP(cleanup_free) char *text = NULL;

        if (node->type == XML_ELEMENT_NODE)
            r = xml_is_element(node, "metadata") ? 0 : add_attributes(node, files);
        else if (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE)
            r = xml_content_dup(node, &text) < 0 ? -ENOMEM : add_text(node->parent, text, files);
    }
    return r < 0 ? error_set(err, r, "%s: out of memory", what) : 0;
}
