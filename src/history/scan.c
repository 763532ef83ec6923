/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds setmov's RRD files in the tree of collectd's rrdtool or rrdcached plugin. */
#include "setmov/history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_directory(int parent, const char *name)
{
    struct stat status;

    return fstatat(parent, name, &status, 0) == 0 && S_ISDIR(status.st_mode);
}

/* Opens `name` in `parent` (a descriptor or AT_FDCWD) for reading entries. NULL: errno says why. */
static DIR *open_directory(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;

    if (fd >= 0 && !directory) {
        int code = errno;

        close(fd);
        errno = code;
    }
    return directory;
}

/* A line about a directory that is passed over; never a reason to stop. */
static void complain(struct history_strings *complaints, const char *path, int code)
{
    char shown[400];

    if (!complaints)
        return;
    history_show(path, sizeof(shown), shown, sizeof(shown));
    (void)history_strings_add(complaints, "%s: %s", shown, strerror(-code));
}

/* The names of the regular files *.rrd of a directory, without that ending. */
static int read_metrics(DIR *directory, struct history_strings *metrics)
{
    struct dirent *entry;

    errno = 0;
    while ((entry = readdir(directory))) {
        size_t length = strlen(entry->d_name);
        struct stat status;

        if (length <= 4 || strcmp(entry->d_name + length - 4, ".rrd") != 0)
            continue;
        /* A named pipe would hold up whoever opens it. */
        if (fstatat(dirfd(directory), entry->d_name, &status, 0) < 0 || !S_ISREG(status.st_mode))
            continue;
        if (history_strings_add(metrics, "%.*s", (int)(length - 4), entry->d_name) < 0)
            return -ENOMEM;
        errno = 0;
    }
    return 0;
}

/* Takes over nothing of its arguments. A directory without RRD files adds no subject. */
static int add_subject(struct history_list *list, enum history_kind kind, const char *name,
                       const char *host, const char *path, DIR *directory)
{
    struct history_subject *subject;
    int code;

    code = array_reserve(&list->subjects, &list->capacity, list->count + 1, sizeof(*subject));
    if (code < 0)
        return code;
    subject = &list->subjects[list->count++];
    *subject = (struct history_subject){.kind = kind};
    subject->name = strdup(name);
    subject->host = host ? strdup(host) : NULL;
    subject->directory = strdup(path);
    if (!subject->name || (host && !subject->host) || !subject->directory)
        return -ENOMEM;
    code = read_metrics(directory, &subject->metrics);
    if (code == 0 && subject->metrics.count == 0) {
        free(subject->name);
        free(subject->host);
        free(subject->directory);
        list->count--;
    }
    return code;
}

static int scan_host(const char *root, const char *host, DIR *directory, struct history_list *list,
                     struct history_strings *complaints)
{
    bool has_host_metrics = is_directory(dirfd(directory), "setmov-host");
    struct dirent *entry;
    int code = 0;

    while (code == 0 && (entry = readdir(directory))) {
        CLEANUP(cleanup_free) char *path = NULL;
        CLEANUP(close_directory) DIR *inner = NULL;
        enum history_kind kind;
        const char *name, *of_host;

        if (!history_classify(host, entry->d_name, has_host_metrics, &kind, &name, &of_host) ||
            !is_directory(dirfd(directory), entry->d_name))
            continue;
        if (asprintf(&path, "%s/%s/%s", root, host, entry->d_name) < 0) {
            path = NULL;
            return -ENOMEM;
        }
        inner = open_directory(dirfd(directory), entry->d_name);
        if (!inner) {
            complain(complaints, path, -errno);
            continue;
        }
        code = add_subject(list, kind, name, of_host, path, inner);
    }
    return code;
}

static int scan_root(const char *root, DIR *directory, struct history_list *list,
                     struct history_strings *complaints)
{
    struct dirent *entry;
    int code = 0;

    while (code == 0 && (entry = readdir(directory))) {
        CLEANUP(cleanup_free) char *path = NULL;
        CLEANUP(close_directory) DIR *inner = NULL;

        if (is_dots(entry->d_name) || !is_directory(dirfd(directory), entry->d_name))
            continue;
        inner = open_directory(dirfd(directory), entry->d_name);
        if (!inner) {
            int reason = -errno;

            if (asprintf(&path, "%s/%s", root, entry->d_name) < 0) {
                path = NULL;
                return -ENOMEM;
            }
            complain(complaints, path, reason);
            continue;
        }
        code = scan_host(root, entry->d_name, inner, list, complaints);
    }
    return code;
}

int history_scan(const char *directory, struct history_list *ret_list,
                 struct history_strings *complaints, struct error *err)
{
    CLEANUP(close_directory) DIR *root = NULL;
    CLEANUP(history_list_release) struct history_list list = {0};
    char shown[400];
    int code;

    history_show(directory, sizeof(shown), shown, sizeof(shown));
    root = open_directory(AT_FDCWD, directory);
    if (!root) {
        code = -errno;
        return error_set(err, code, "RRD directory %s: %s", shown, strerror(-code));
    }
    code = scan_root(directory, root, &list, complaints);
    if (code == 0)
        code = history_list_finish(&list);
    if (code < 0)
        return error_set(err, code, "reading %s: %s", shown, strerror(-code));
    if (list.count == 0)
        return error_set(err, -ENODATA,
                         "%s holds no RRD files of setmov (is it the DataDir of collectd's rrdtool "
                         "plugin?)",
                         shown);
    *ret_list = list;
    list = (struct history_list){0};
    return 0;
}
