/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: tables of image files, entry by entry and as a file of them is
 * looked through. The first byte picks the format, the second makes the file
 * longer by a hole.
 */

#include "image/chain.h"
#include "image/map.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const formats[] = {"qcow2", "qcow", "vmdk", "vdi", "parallels"};

static void check_map(const char *format, const uint8_t *data, size_t size)
{
    struct image_map map;

    if (!image_map_parse(format, data, size, &map))
        return;
    if (map.directory_entry_bytes == 0 || map.directory_bytes % map.directory_entry_bytes != 0)
        abort();
    if (map.table != NULL && (map.table_bytes == 0 || map.table_entry_bytes == 0 ||
                              map.table_bytes % map.table_entry_bytes != 0))
        abort();
    for (size_t at = 0; map.table != NULL && at + map.directory_entry_bytes <= size; at += 4)
        (void)map.table(&map, data + at);
    (void)image_map_reach(&map, data, size);
}

static void check_file(const char *format, const uint8_t *data, size_t size, unsigned hole_bits)
{
    struct image_chain chain = {.count = 1};
    struct image_layer layer = {.size = size + ((uint64_t)1 << hole_bits)};
    struct error err = {0};
    int fd = memfd_create("image", MFD_CLOEXEC), rc;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || ftruncate(fd, (off_t)layer.size) < 0)
        abort();
    layer.path = strdup("image");
    layer.format = strdup(format);
    if (layer.path == NULL || layer.format == NULL)
        abort();
    chain.files = &layer;
    chain.fds = &fd;
    rc = image_chain_check_whole(&chain, &err);
    if (rc < 0 && err.text[0] == '\0')
        abort();
    free(layer.path);
    free(layer.format);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *format;

    if (size < 2)
        return 0;
    format = formats[data[0] % ARRAY_LENGTH(formats)];
    check_map(format, data + 2, size - 2);
    check_file(format, data + 2, size - 2, data[1] % 40);
    return 0;
}
