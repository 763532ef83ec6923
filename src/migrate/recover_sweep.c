/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that a killed process leaves beside the journals. */
#include "migrate/recover.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

/* "UUID.lock", or ".UUID.journal.XXXXXX.tmp", of which `ret_is_part`. */
static bool is_left(const char *name, struct uuid *ret_vm, bool *ret_is_part)
{
    char text[UUID_TEXT_BYTES];
    const char *rest;

    *ret_is_part = name[0] == '.';
    name += *ret_is_part;
    if (strlen(name) < UUID_TEXT_BYTES)
        return false;
    string_copy(text, sizeof(text), name);
    rest = name + UUID_TEXT_BYTES - 1;
    if (uuid_parse(text, ret_vm) < 0)
        return false;
    return *ret_is_part ? strncmp(rest, JOURNAL_SUFFIX ".", strlen(JOURNAL_SUFFIX ".")) == 0 &&
                              string_ends_with(rest, ".tmp")
                        : strcmp(rest, JOURNAL_LOCK) == 0;
}

/* Who writes holds the lock. */
static void sweep(const char *state, int directory, const char *name)
{
    struct journal_lock lock = JOURNAL_LOCK_NONE;
    struct uuid vm;
    bool is_part;

    if (!is_left(name, &vm, &is_part) || journal_lock(state, &vm, &lock, NULL) < 0)
        return;
    if (is_part)
        (void)unlinkat(directory, name, 0);
    journal_unlock(&lock);
}

void migrate_recover_sweep(const char *state)
{
    CLEANUP(cleanup_free) char *path = NULL;
    const struct dirent *entry;
    DIR *entries;

    if (asprintf(&path, "%s/" JOURNAL_DIRECTORY, state) < 0) {
        path = NULL;
        return;
    }
    entries = opendir(path);
    while (entries != NULL && (entry = readdir(entries)) != NULL)
        sweep(state, dirfd(entries), entry->d_name);
    if (entries != NULL)
        closedir(entries);
}
