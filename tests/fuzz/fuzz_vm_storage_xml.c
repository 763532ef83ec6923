/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: XML of domains, volumes and pools, as the list of a host's disks takes it. */

#include "vm/storage_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
    if (!truth)
        abort();
}

static bool ends(const char *buffer, size_t size)
{
    return memchr(buffer, '\0', size) != NULL;
}

static void check_error(int r, const struct error *err)
{
    check(r == 0 || (err->text[0] != '\0' && strchr(err->text, '\n') == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text xml = text_of((const char *)data, size);
    struct storage_disks disks = {NULL, 0, 0};
    struct storage_volume volume = {.path = ""};
    struct storage_pool pool = {.directory = ""};
    struct error err = {""};

    check_error(storage_domain_parse(xml, &disks, &err), &err);
    for (size_t i = 0; i < disks.count; i++) {
        const struct storage_disk *disk = &disks.disks[i];

        check(ends(disk->path, sizeof(disk->path)) && ends(disk->format, sizeof(disk->format)));
        check(disk->path[0] == '/' || (disk->pool[0] != '\0' && disk->volume[0] != '\0'));
        check(disk->format[0] != '\0');
    }
    storage_disks_release(&disks);
    check_error(storage_volume_parse(xml, &volume, &err), &err);
    check(ends(volume.path, sizeof(volume.path)) && volume.is_local == (volume.path[0] == '/'));
    check_error(storage_pool_parse(xml, &pool, &err), &err);
    check(ends(pool.directory, sizeof(pool.directory)));
    return 0;
}
