/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the name of an image to all of its files, each opened and checked. */
#include "image/chain.h"

#include "image/cache.h"
#include "image/places.h"
#include "image/vmdk.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is needed while the chain is built. */
struct builder {
    const struct image_options *options;
    struct image_chain chain;
    struct image_places places;
    uint8_t *bytes; /* the first ones of the file at hand */
    size_t length;
};

/* ---- files ---------------------------------------------------------------------------- */

static int append_file(struct image_chain *chain, int fd, const struct image_layer *layer)
{
    int rc;

    rc = array_reserve(&chain->files, &chain->files_capacity, chain->count + 1, sizeof(*layer));
    if (rc == 0)
        rc = array_reserve(&chain->fds, &chain->fds_capacity, chain->count + 1, sizeof(fd));
    if (rc < 0)
        return rc;
    chain->files[chain->count] = *layer;
    chain->fds[chain->count++] = fd;
    return 0;
}

static int add_file(struct builder *builder, const char *name, size_t *ret_index, struct error *err)
{
    const struct image_permit permit = {image_places_allow, &builder->places};
    struct image_chain *chain = &builder->chain;
    CLEANUP(cleanup_close) int fd = -1;
    struct image_layer layer;
    int rc;

    if (chain->count >= CHAIN_MOST_FILES)
        return error_set(err, -E2BIG, "consists of more than %d files", CHAIN_MOST_FILES);
    /* The first is what the user named. */
    rc = image_file_open(name, chain->count > 0 ? &permit : NULL, &fd, &layer, err);
    if (rc < 0)
        return rc;
    rc = append_file(chain, fd, &layer);
    if (rc < 0) {
        free(layer.path);
        return error_set(err, rc, "out of memory");
    }
    fd = -1;
    *ret_index = chain->count - 1;
    return 0;
}

/* A file that an image names: a data file, a part. */
static int add_named(struct builder *builder, const char *image_name, const char *name,
                     const char *format, size_t *ret_index, struct error *err)
{
    CLEANUP(cleanup_free) char *resolved = NULL;
    int rc = image_name_check(name, err);

    if (rc < 0)
        return rc;
    rc = image_places_resolve(image_name, name, &resolved);
    if (rc < 0)
        return error_set(err, rc, "out of memory");
    rc = add_file(builder, resolved, ret_index, err);
    if (rc < 0)
        return error_prefix(err, rc, "its file %s", name);
    builder->chain.files[*ret_index].format = strdup(format);
    if (builder->chain.files[*ret_index].format == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

static int read_first(struct builder *builder, int fd, size_t most, struct error *err)
{
    builder->length = 0;
    while (builder->length < most) {
        ssize_t got = pread(fd, builder->bytes + builder->length, most - builder->length,
                            (off_t)builder->length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, -errno, "cannot be read: %s", strerror(errno));
        if (got == 0)
            break;
        builder->length += (size_t)got;
    }
    return 0;
}

static int parse_header(struct builder *builder, size_t file, const char *told,
                        struct image_header *header, struct error *err)
{
    const struct image_chain *chain = &builder->chain;
    const char *format;
    int rc = read_first(builder, chain->fds[file], IMAGE_HEADER_USUAL, err);

    if (rc < 0)
        return rc;
    if (told != NULL)
        format = image_format_find(told);
    else if (chain->files[file].is_block_device)
        format = "raw";
    else
        format = image_header_probe(builder->bytes, builder->length);
    if (format == NULL)
        return error_set(err, -EINVAL, "format %s is not known", told);
    rc = image_header_parse(format, builder->bytes, builder->length, header, err);
    if (rc == -ENODATA) {
        rc = read_first(builder, chain->fds[file], IMAGE_HEADER_MOST, err);
        if (rc < 0)
            return rc;
        rc = image_header_parse(format, builder->bytes, builder->length, header, err);
        if (rc == -ENODATA)
            rc = error_set(err, -EBADMSG, "is no %s image, or cut short", format);
    }
    if (rc == 0 && header->encrypted)
        rc = error_set(err, -ENOTSUP, "is encrypted, which is not supported");
    return rc;
}

/* The header's pages go from the page cache again, like all that is read. */
static int read_header(struct builder *builder, size_t file, const char *told,
                       struct image_header *header, struct error *err)
{
    const struct image_chain *chain = &builder->chain;
    struct cache_guard *guard = NULL;
    int rc;

    if (!builder->options->keep_cache)
        guard = cache_guard_new(chain->fds[file], chain->files[file].size);
    cache_guard_before(guard, 0, IMAGE_HEADER_MOST);
    rc = parse_header(builder, file, told, header, err);
    cache_guard_free(guard);
    return rc;
}

/* ---- vmdk in parts ----------------------------------------------------------------------- */

/* A part that is sparse has a header of its own, which must not lead on. */
static int check_part(struct builder *builder, size_t file, const char *kind, struct error *err)
{
    struct image_header header;
    int rc = read_header(builder, file, "vmdk", &header, err);

    if (rc == 0 && header.is_descriptor && strcmp(kind, "SESPARSE") != 0)
        rc = error_set(err, -EBADMSG, "is no part of a vmdk");
    return rc;
}

/* QEMU reads what a flat one lacks as zeroes. */
static int check_flat(const struct image_layer *file, const struct vmdk_extent *extent,
                      struct error *err)
{
    uint64_t end = (extent->offset + extent->sectors) * 512;

    if (end > file->size)
        return error_set(err, -EBADMSG, "cut short: it ends at %llu, and should at %llu",
                         (unsigned long long)file->size, (unsigned long long)end);
    return 0;
}

static int write_descriptor(const struct vmdk_descriptor *descriptor, const int *fds, int *ret_fd)
{
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    int fd, rc = vmdk_descriptor_write(descriptor, fds, &text);

    if (rc < 0)
        return rc;
    fd = memfd_create("setmov-vmdk", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    fd = image_fd_raise(fd);
    if (fd < 0)
        return fd;
    length = strlen(text);
    if (write(fd, text, length) != (ssize_t)length) {
        close(fd);
        return -EIO;
    }
    *ret_fd = fd;
    return 0;
}

static int add_parts(struct builder *builder, const char *name,
                     const struct vmdk_descriptor *descriptor, struct chain_node *node,
                     struct error *err)
{
    int fds[VMDK_MOST_EXTENTS];
    int rc;

    for (size_t i = 0; i < descriptor->count; i++) {
        const struct vmdk_extent *extent = &descriptor->extents[i];
        bool is_flat = strcmp(extent->kind, "FLAT") == 0 || strcmp(extent->kind, "VMFS") == 0;
        size_t file = 0;

        fds[i] = -1;
        if (extent->name[0] == '\0')
            continue;
        rc = add_named(builder, name, extent->name, is_flat ? "raw" : "vmdk", &file, err);
        if (rc < 0)
            return rc;
        rc = is_flat ? check_flat(&builder->chain.files[file], extent, err)
                     : check_part(builder, file, extent->kind, err);
        if (rc < 0)
            return error_prefix(err, rc, "its file %s", extent->name);
        fds[i] = builder->chain.fds[file];
    }
    rc = write_descriptor(descriptor, fds, &node->descriptor_fd);
    return rc < 0 ? error_set(err, rc, "its descriptor: %s", strerror(-rc)) : 0;
}

static int follow_descriptor(struct builder *builder, const char *name, struct chain_node *node,
                             struct image_header *header, struct error *err)
{
    CLEANUP(vmdk_descriptor_release) struct vmdk_descriptor descriptor = {0};
    const char *bytes = (const char *)builder->bytes;
    int rc;

    rc = vmdk_descriptor_parse(text_of(bytes, strnlen(bytes, builder->length)), &descriptor, err);
    if (rc < 0)
        return rc;
    string_copy(header->backing, sizeof(header->backing), descriptor.parent);
    return add_parts(builder, name, &descriptor, node, err);
}

/* ---- the chain ------------------------------------------------------------------------------ */

static int check_loop(const struct image_chain *chain, size_t file, struct error *err)
{
    const struct image_layer *it = &chain->files[file];

    for (size_t i = 0; i < file; i++) {
        const struct image_layer *other = &chain->files[i];

        if (other->is_block_device == it->is_block_device && other->device == it->device &&
            other->inode == it->inode)
            return error_set(err, -ELOOP, "occurs twice in the backing chain");
    }
    return 0;
}

static bool format_has_backing(const char *format)
{
    return strcmp(format, "qcow2") == 0 || strcmp(format, "qcow") == 0 ||
           strcmp(format, "qed") == 0 || strcmp(format, "vmdk") == 0;
}

static int add_node(struct builder *builder, const char *name, const char *format,
                    struct image_header *header, struct error *err)
{
    struct image_chain *chain = &builder->chain;
    struct chain_node *node = &chain->nodes[chain->node_count];
    size_t data_file = 0;
    int rc;

    *node = (struct chain_node){.data_file = -1, .descriptor_fd = -1};
    chain->node_count++;
    rc = add_file(builder, name, &node->file, err);
    if (rc < 0)
        return rc;
    rc = check_loop(chain, node->file, err);
    if (rc < 0)
        return rc;
    if (chain->node_count == 1 &&
        image_places_begin(&builder->places, name, chain->files[0].path) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    rc = read_header(builder, node->file, format, header, err);
    if (rc < 0)
        return rc;
    assert(header->format != NULL);
    node->format = header->format;
    node->can_have_backing = format_has_backing(header->format);
    chain->files[node->file].format = strdup(header->format);
    if (chain->files[node->file].format == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (header->has_data_file) {
        rc = add_named(builder, name, header->data_file, "raw", &data_file, err);
        if (rc < 0)
            return rc;
        node->data_file = (ssize_t)data_file;
    }
    if (header->is_descriptor)
        return follow_descriptor(builder, name, node, header, err);
    return 0;
}

/* The next name and format of the chain; the old name is freed. */
static int step_down(char **name, const struct image_header *header, struct error *err)
{
    char *below = NULL;
    int rc = image_name_check(header->backing, err);

    if (rc < 0)
        return rc;
    rc = image_places_resolve(*name, header->backing, &below);
    if (rc < 0)
        return error_set(err, rc, "out of memory");
    free(*name);
    *name = below;
    return 0;
}

static int build(struct builder *builder, const char *path, struct error *err)
{
    CLEANUP(cleanup_free) char *name = strdup(path);
    CLEANUP(cleanup_free) struct image_header *header = calloc(1, sizeof(*header));
    struct image_chain *chain = &builder->chain;
    char format[sizeof(header->backing_format)] = "";
    int rc;

    if (name == NULL || header == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", path);
    for (;;) {
        bool is_top = chain->node_count == 0;
        const char *told = is_top ? builder->options->format : (format[0] != '\0' ? format : NULL);

        if (chain->node_count == IMAGE_MAX_LAYERS)
            return error_set(err, -ELOOP, "%s: its backing chain has more than %d layers", path,
                             IMAGE_MAX_LAYERS);
        rc = add_node(builder, name, told, header, err);
        if (rc < 0 && is_top)
            return error_prefix(err, rc, "%s", path);
        if (rc < 0)
            return error_prefix(err, rc, "%s: its backing file %s", path, name);
        if (is_top) {
            chain->top_size = header->size;
            string_copy(chain->top_settings, sizeof(chain->top_settings), header->settings);
        }
        if (header->backing[0] == '\0')
            return 0;
        if (builder->options->only_top) {
            rc = image_name_check(header->backing, err);
            return rc < 0 ? error_prefix(err, rc, "%s", path) : 0;
        }
        string_copy(format, sizeof(format), header->backing_format);
        rc = step_down(&name, header, err);
        if (rc < 0)
            return error_prefix(err, rc, "%s", is_top ? path : name);
    }
}

int image_chain_open(const char *path, const struct image_options *options,
                     struct image_chain *ret_chain, struct error *err)
{
    struct builder builder = {.options = options, .places = {.options = options}};
    int rc;

    builder.bytes = malloc(IMAGE_HEADER_MOST);
    if (builder.bytes == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", path);
    rc = build(&builder, path, err);
    free(builder.bytes);
    image_places_release(&builder.places);
    if (rc < 0)
        image_chain_release(&builder.chain);
    else
        *ret_chain = builder.chain;
    return rc;
}

void image_chain_release(struct image_chain *chain)
{
    if (chain == NULL)
        return;
    for (size_t i = 0; i < chain->count; i++) {
        free(chain->files[i].path);
        free(chain->files[i].format);
        close(chain->fds[i]);
    }
    for (size_t i = 0; i < chain->node_count; i++)
        cleanup_close(&chain->nodes[i].descriptor_fd);
    free(chain->files);
    free(chain->fds);
    *chain = (struct image_chain){0};
}

int image_chain_check(const struct image_chain *chain, bool content_only, struct error *err)
{
    for (size_t i = 0; i < chain->count; i++) {
        int rc = image_file_check(&chain->files[i], content_only, err);

        if (rc < 0)
            return rc;
    }
    return 0;
}

int image_chain_check_sizes(const struct image_chain *chain, struct error *err)
{
    struct stat status;

    for (size_t i = 0; i < chain->count; i++) {
        const struct image_layer *file = &chain->files[i];

        if (!file->is_block_device && fstat(chain->fds[i], &status) == 0 &&
            (uint64_t)status.st_size < file->size)
            return error_set(err, -ESTALE, "%s was cut short while it was read", file->path);
    }
    return 0;
}

bool image_chain_is_locked(const struct image_chain *chain)
{
    for (size_t i = 0; i < chain->count; i++) {
        if (image_file_is_locked(chain->fds[i]))
            return true;
    }
    return false;
}
