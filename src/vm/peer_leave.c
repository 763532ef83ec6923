/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends the programs that libvirt has started for connections which were given up. */
#include "setmov/vm_peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>

static void end_children(int task_directory, const char *thread)
{
    struct file_buffer buffer = {NULL, 0, 0};
    char path[NAME_MAX + 16];
    struct text text;
    uint64_t child;

    if (string_format(path, sizeof(path), "%s/children", thread) &&
        file_read(task_directory, path, &buffer) == 0) {
        text = text_of(buffer.bytes, buffer.length);
        while (text_next_u64(&text, &child))
            if (child > 1 && child <= INT_MAX)
                kill((pid_t)child, SIGTERM);
    }
    file_buffer_release(&buffer);
}

void vm_peer_leave(void)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;

    if (!tasks)
        return;
    while ((entry = readdir(tasks)))
        if (entry->d_name[0] != '.')
            end_children(dirfd(tasks), entry->d_name);
    closedir(tasks);
}
