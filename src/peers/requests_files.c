/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests in the index directory, and notes of those that were carried out. */
#include "peers/internal.h"
#include "peers/requests.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char *join(const char *directory, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), end = strlen(suffix);

    return length > end && strcmp(name + length - end, suffix) == 0;
}

/* ---- notes ------------------------------------------------------------------------ */

static int take_lock(const char *directory, int *ret_lock, struct error *err)
{
    CLEANUP(cleanup_free) char *path = join(directory, "lock");
    int fd, rc;

    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return error_set(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *ret_lock = fd;
        return 0;
    }
    rc = errno == EWOULDBLOCK
             ? error_set(err, -EBUSY, "another run is at work (%s is locked)", path)
             : error_set(err, -errno, "%s cannot be locked: %s", path, strerror(errno));
    close(fd);
    return rc;
}

int requests_state_open(const struct config *config, struct requests_state *ret_state,
                        struct error *err)
{
    struct requests_state state = {join(config->setmov.state, REQUESTS_DIRECTORY), -1};
    int rc;

    if (state.path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = peers_make_directory(state.path, err);
    if (rc == 0)
        rc = take_lock(state.path, &state.lock, err);
    if (rc < 0)
        requests_state_release(&state);
    else
        *ret_state = state;
    return rc;
}

void requests_state_release(struct requests_state *state)
{
    if (state->lock >= 0)
        close(state->lock);
    free(state->path);
    *state = (struct requests_state){NULL, -1};
}

static char *note_path(const struct requests_state *state, const struct uuid *uuid,
                       const char *suffix)
{
    char text[UUID_TEXT_BYTES];
    char *path = NULL;

    uuid_format(uuid, text);
    return asprintf(&path, "%s/%s%s", state->path, text, suffix) < 0 ? NULL : path;
}

/* A note from the future, where the clock was set back, is as good as none. */
static bool is_younger(const struct stat *status, uint64_t within_s)
{
    int64_t age_s = time(NULL) - status->st_mtim.tv_sec;

    return age_s >= -REQUESTS_CLOCK_S && (age_s < 0 || (uint64_t)age_s < within_s);
}

bool requests_was_noted(const struct requests_state *state, const struct catalog_request *request,
                        const char *suffix, uint64_t within_s)
{
    CLEANUP(cleanup_free) char *path = note_path(state, &request->vm, suffix);
    struct stat status;

    /* Not known whether: then rather not a second time. */
    if (path == NULL)
        return true;
    if (lstat(path, &status) < 0)
        return errno != ENOENT;
    if (is_younger(&status, within_s))
        return true;
    /* Else one of before: by the clock of its refuser, which may be ahead of this one. */
    return is_younger(&status, REQUESTS_LONGEST_S) &&
           request->made_s <= status.st_mtim.tv_sec + REQUESTS_CLOCK_S;
}

int requests_note(const struct requests_state *state, const struct uuid *uuid, const char *suffix,
                  const char *text, struct error *err)
{
    CLEANUP(cleanup_free) char *path = note_path(state, uuid, suffix), *line = NULL;

    if (path == NULL || asprintf(&line, "%s\n", text) < 0) {
        line = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return new_file_replace(path, line, strlen(line), false, err);
}

size_t requests_forget(const struct requests_state *state, bool dry_run)
{
    DIR *entries = opendir(state->path);
    const struct dirent *entry;
    size_t removed = 0;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        struct stat status;

        if (!ends_with(entry->d_name, REQUESTS_DONE_SUFFIX) &&
            !ends_with(entry->d_name, REQUESTS_FORWARDED_SUFFIX))
            continue;
        if (fstatat(dirfd(entries), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            is_younger(&status, REQUESTS_LONGEST_S))
            continue;
        if (dry_run || unlinkat(dirfd(entries), entry->d_name, 0) == 0)
            removed++;
    }
    if (entries != NULL)
        closedir(entries);
    return removed;
}

/* ---- requests ------------------------------------------------------------------------ */

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static int take_name(const char *name, struct requests_names *names)
{
    char *copy;

    if (name[0] == '.' || !ends_with(name, CATALOG_REQUEST_SUFFIX))
        return 0;
    if (array_reserve(&names->names, &names->capacity, names->count + 1, sizeof(*names->names)) < 0)
        return -ENOMEM;
    copy = strdup(name);
    if (copy == NULL)
        return -ENOMEM;
    names->names[names->count++] = copy;
    return 0;
}

int requests_list(const char *index, struct requests_names *ret_names, struct error *err)
{
    struct requests_names names = {NULL, 0, 0};
    DIR *entries = opendir(index);
    const struct dirent *entry;
    int rc = 0;

    if (entries == NULL && errno != ENOENT)
        return error_set(err, -errno, "%s: %s", index, strerror(errno));
    while (entries != NULL && rc == 0 && names.count < PEERS_REQUESTS_MAX &&
           (entry = readdir(entries)) != NULL)
        rc = take_name(entry->d_name, &names);
    if (entries != NULL)
        closedir(entries);
    if (rc < 0) {
        requests_names_release(&names);
        return error_set(err, rc, "out of memory");
    }
    if (names.count > 0)
        qsort(names.names, names.count, sizeof(*names.names), compare_names);
    *ret_names = names;
    return 0;
}

void requests_names_release(struct requests_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct requests_names){NULL, 0, 0};
}

int requests_read(const char *index, const char *name, struct catalog_request *ret_request,
                  int64_t *ret_age_s, struct error *err)
{
    CLEANUP(cleanup_free) char *path = join(index, name);
    CLEANUP(cleanup_free) char *bytes = NULL;
    CLEANUP(cleanup_close) int fd = -1;
    struct stat status;
    size_t length = 0;
    int rc;

    *ret_age_s = 0;
    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (lstat(path, &status) < 0)
        return error_set(err, -errno, "%s: %s", name, strerror(errno));
    *ret_age_s = time(NULL) - status.st_mtim.tv_sec;
    if (S_ISDIR(status.st_mode))
        return error_set(err, -EISDIR, "it is a directory");
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "it is no regular file");
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    bytes = malloc(CATALOG_SMALL_BYTES + 1);
    if (bytes == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = file_read_up_to(fd, bytes, CATALOG_SMALL_BYTES + 1, &length);
    if (rc < 0)
        return error_set(err, rc, "%s", strerror(-rc));
    return catalog_request_parse(text_of(bytes, length), name, ret_request, err);
}

int requests_remove(const char *index, const char *name, struct error *err)
{
    CLEANUP(cleanup_free) char *path = join(index, name);

    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (unlink(path) < 0 && errno != ENOENT)
        return error_set(err, -errno, "%s cannot be removed: %s", path, strerror(errno));
    return 0;
}
