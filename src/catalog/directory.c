/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An index directory in the hands of who changes it: made, locked, tidied, listed. */
#include "catalog/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_NAME "lock"
/* How often a lock that somebody else holds is tried, and `stopped` asked. */
#define LOCK_RETRY_NS 100000000

char *catalog_path_join(const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = malloc(size);

    if (path != NULL)
        string_format(path, size, "%s/%s", directory, name);
    return path;
}

/* ---- lists of names ---------------------------------------------------------- */

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static int append_name(char ***names, size_t *capacity, size_t *count, const char *name)
{
    char *copy = strdup(name);
    int rc = array_reserve(names, capacity, *count + 1, sizeof(**names));

    if (copy == NULL || rc < 0) {
        free(copy);
        return rc < 0 ? rc : -ENOMEM;
    }
    (*names)[(*count)++] = copy;
    return 0;
}

void catalog_list_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static int list_open(DIR *list, char ***ret_names, size_t *ret_count)
{
    const struct dirent *entry;
    char **names = NULL;
    size_t count = 0, capacity = 0;
    int rc = 0;

    rewinddir(list);
    while (errno = 0, rc == 0 && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = append_name(&names, &capacity, &count, entry->d_name);
    }
    if (rc == 0)
        rc = -errno;
    if (rc < 0) {
        catalog_list_free(names, count);
        return rc;
    }
    if (count > 0)
        qsort(names, count, sizeof(*names), compare_names);
    *ret_names = names;
    *ret_count = count;
    return 0;
}

int catalog_list(int fd, char ***ret_names, size_t *ret_count)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *list = own >= 0 ? fdopendir(own) : NULL;
    int rc;

    if (list == NULL) {
        rc = -errno;
        cleanup_close(&own);
        return rc;
    }
    rc = list_open(list, ret_names, ret_count);
    closedir(list);
    return rc;
}

/* ---- making and locking ---------------------------------------------------------- */

/* Parents as anybody makes them; what is indexed concerns only its owner. */
static int make_directory(const char *path, struct error *err)
{
    CLEANUP(cleanup_free) char *part = strdup(path);

    if (part == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (char *slash = strchr(part + 1, '/'); part[0] != '\0' && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return error_set(err, -errno, "index directory %s: cannot make %s: %s", path, part,
                             strerror(errno));
        *slash = '/';
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(err, -errno, "index directory %s cannot be made: %s", path,
                         strerror(errno));
    return 0;
}

static bool is_stopped(const struct catalog_update_options *options)
{
    return options->build.stopped != NULL && options->build.stopped(options->build.context);
}

static int wait_for_lock(int lock, const char *path, const struct catalog_update_options *options,
                         struct error *err)
{
    const struct catalog_report waiting = {.event = CATALOG_WAITING, .path = path};
    bool told = false;

    while (flock(lock, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set(err, -errno, "index directory %s cannot be locked: %s", path,
                             strerror(errno));
        if (options->no_wait)
            return error_set(err, -EBUSY, "index directory %s is being changed by somebody else",
                             path);
        if (is_stopped(options))
            return error_set(err, -ECANCELED, "stopped while waiting for index directory %s", path);
        if (!told && options->event != NULL)
            options->event(options->build.context, &waiting);
        told = true;
        nanosleep(&(struct timespec){0, LOCK_RETRY_NS}, NULL);
    }
    return 0;
}

static int open_directory(const char *path, struct catalog_directory *directory, struct error *err)
{
    int rc = make_directory(path, err);

    if (rc < 0)
        return rc;
    directory->path = strdup(path);
    if (directory->path == NULL) {
        error_set(err, -ENOMEM, "out of memory");
        return -ENOMEM;
    }
    directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd < 0)
        return error_set(err, -errno, "index directory %s cannot be opened: %s", path,
                         strerror(errno));
    directory->lock = openat(directory->fd, LOCK_NAME,
                             O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (directory->lock < 0)
        return error_set(err, -errno, "index directory %s: its lock cannot be opened: %s", path,
                         strerror(errno));
    return 0;
}

/* Removes what is unfinished, keeps the names of fingerprints. */
static int take_names(struct catalog_directory *directory, struct error *err)
{
    char **names = NULL, hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;
    size_t count = 0;
    int rc = catalog_list(directory->fd, &names, &count);

    if (rc < 0)
        return error_set(err, rc, "index directory %s cannot be read: %s", directory->path,
                         strerror(-rc));
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (catalog_name_is_leftover(names[i]))
            catalog_directory_remove(directory, names[i]);
        else if (catalog_name_parse(names[i], hash, &kind))
            rc = append_name(&directory->names, &directory->capacity, &directory->count, names[i]);
    }
    catalog_list_free(names, count);
    return rc == -ENOMEM ? error_set(err, rc, "out of memory") : rc;
}

int catalog_directory_open(const char *path, const struct catalog_update_options *options,
                           struct catalog_directory *ret_directory, struct error *err)
{
    struct catalog_directory directory = {.options = options, .fd = -1, .lock = -1};
    int rc = open_directory(path, &directory, err);

    if (rc == 0)
        rc = wait_for_lock(directory.lock, path, options, err);
    if (rc == 0)
        rc = take_names(&directory, err);
    if (rc < 0) {
        catalog_directory_release(&directory);
        return rc;
    }
    *ret_directory = directory;
    return 0;
}

void catalog_directory_release(struct catalog_directory *directory)
{
    catalog_list_free(directory->names, directory->count);
    cleanup_close(&directory->lock);
    cleanup_close(&directory->fd);
    free(directory->path);
    *directory = (struct catalog_directory){.fd = -1, .lock = -1};
}

/* ---- what is in it ------------------------------------------------------------------- */

void catalog_directory_find(const struct catalog_directory *directory, const char *hash,
                            size_t *ret_first, size_t *ret_end)
{
    size_t low = 0, high = directory->count, length = strlen(hash);

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strncmp(directory->names[middle], hash, length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_first = low;
    while (high < directory->count && strncmp(directory->names[high], hash, length) == 0)
        high++;
    *ret_end = high;
}

bool catalog_directory_remove(struct catalog_directory *directory, const char *name)
{
    const struct catalog_update_options *options = directory->options;
    CLEANUP(cleanup_free) char *path = NULL;
    struct error error;

    if (unlinkat(directory->fd, name, 0) == 0 || errno == ENOENT)
        return true;
    error_set(&error, -errno, "%s/%s cannot be removed: %s", directory->path, name,
              strerror(errno));
    directory->problems++;
    path = catalog_path_join(directory->path, name);
    if (options->event != NULL)
        options->event(options->build.context,
                       &(struct catalog_report){.event = CATALOG_PROBLEM,
                                                .path = path != NULL ? path : name,
                                                .error = &error});
    return false;
}
