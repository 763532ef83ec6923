/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that the kernel makes up when they are read: of those, none is an image. */
#include "setmov/image.h"

#include <linux/magic.h>
#include <sys/statfs.h>

bool image_is_made_up(int fd)
{
    static const unsigned long kinds[] = {PROC_SUPER_MAGIC,    SYSFS_MAGIC,    CGROUP_SUPER_MAGIC,
                                          CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,  TRACEFS_MAGIC,
                                          SECURITYFS_MAGIC,    BPF_FS_MAGIC,   DEVPTS_SUPER_MAGIC,
                                          EFIVARFS_MAGIC,      PSTOREFS_MAGIC, SELINUX_MAGIC,
                                          BINDERFS_SUPER_MAGIC};
    struct statfs status;

    if (fstatfs(fd, &status) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        if ((unsigned long)status.f_type == kinds[i])
            return true;
    }
    return false;
}
