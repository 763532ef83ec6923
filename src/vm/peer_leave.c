/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends the programs that libvirt has started for connections which were given
 * up. Who called this program by exec may have children of its own, which are
 * this process's then: those are left alone.
 */
#include "vm/peer.h"
#include "vm/workers.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>

/* Children that were there before us. */
static struct {
    pid_t *list;
    size_t count, capacity;
    bool unknown; /* no memory: better nobody is ended */
} inherited;

typedef void child_visit(pid_t child);

static void visit_of_thread(int task_directory, const char *thread, child_visit *visit)
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
                visit((pid_t)child);
    }
    file_buffer_release(&buffer);
}

static void visit_children(child_visit *visit)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;

    if (!tasks)
        return;
    while ((entry = readdir(tasks)))
        if (entry->d_name[0] != '.')
            visit_of_thread(dirfd(tasks), entry->d_name, visit);
    closedir(tasks);
}

static void remember(pid_t child)
{
    if (array_reserve(&inherited.list, &inherited.capacity, inherited.count + 1,
                      sizeof(*inherited.list)) < 0)
        inherited.unknown = true;
    else
        inherited.list[inherited.count++] = child;
}

static void end(pid_t child)
{
    for (size_t i = 0; i < inherited.count; i++)
        if (inherited.list[i] == child)
            return;
    kill(child, SIGTERM);
}

void peer_remember_children(void)
{
    inherited.count = 0;
    visit_children(remember);
}

bool vm_peer_leave(void)
{
    if (!inherited.unknown)
        visit_children(end);
    free(inherited.list);
    inherited.list = NULL;
    inherited.count = inherited.capacity = 0;
    return workers_left_behind() > 0;
}
