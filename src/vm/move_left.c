/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Removes what a failed move leaves at the destination. */
#include "vm/move_left.h"

#include "vm/files_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>

int move_left_expect(struct vm_peer *to, const struct disk_list *disks,
                     struct vm_lines *ret_missing)
{
    for (size_t i = 0; i < disks->count; i++) {
        CLEANUP(cleanup_volume) virStorageVolPtr volume = NULL;
        const struct disk_facts *disk = &disks->disks[i];

        if (!disk_goes_along(disk) || !disk->path || strcmp(disk->type, "file") != 0)
            continue;
        if (volume_look(to, disk->path, &volume) && !volume &&
            lines_add_once(ret_missing, disk->path) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* True: nothing is there any more. */
static bool remove_one(struct vm_peer *to, const char *path, const struct vm_files *in_use)
{
    CLEANUP(cleanup_volume) virStorageVolPtr volume = NULL;

    if (!volume_look(to, path, &volume))
        return false;
    if (!volume)
        return true;
    return in_use && !files_have(in_use, path) && virStorageVolDelete(volume, 0) == 0;
}

void move_left_remove(struct vm_peer *to, const struct vm_lines *missing, struct error *err)
{
    CLEANUP(vm_files_release) struct vm_files in_use = {NULL, 0, 0};
    bool known = missing->count > 0 && vm_files_in_use(to, &in_use, NULL) == 0;

    for (size_t i = 0; i < missing->count; i++)
        if (!remove_one(to, missing->lines[i], known ? &in_use : NULL))
            error_set(err, 0, "%s; %s may be left over there", err->text, missing->lines[i]);
}
