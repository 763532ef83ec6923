/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds images below directories. */
#include "catalog/internal.h"
#include "catalog/merged.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR_BYTES 512

/* A search below one directory. */
struct search {
    struct catalog_images *images;
    char **waiting; /* directories that are still to be read */
    size_t count, capacity;
    bool complete;
};

/* ---- single files ------------------------------------------------------------------ */

enum verdict { IS_IMAGE, IS_DIRECTORY, IS_SMALL, IS_FINGERPRINT, IS_MERGED, IS_TOLD, IS_OTHER };

/* With what the files begin that hosts write for each other. */
#define TOLD_MAGIC "setmov-"

static bool begins_with(const char *path, const char *magic, size_t length)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char bytes[16];

    return fd >= 0 && length <= sizeof(bytes) && pread(fd, bytes, length, 0) == (ssize_t)length &&
           memcmp(bytes, magic, length) == 0;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static enum verdict judge(const char *path, const struct stat *status)
{
    if (S_ISDIR(status->st_mode))
        return IS_DIRECTORY;
    if (S_ISBLK(status->st_mode))
        return IS_IMAGE;
    if (!S_ISREG(status->st_mode))
        return IS_OTHER;
    if (status->st_size < SECTOR_BYTES)
        return IS_SMALL;
    /* By the name too: a guest may write to its disk what it wants. */
    if (string_ends_with(path, CATALOG_SUFFIX) && fingerprint_file_is(path))
        return IS_FINGERPRINT;
    if (string_ends_with(path, CATALOG_MERGED_SUFFIX) &&
        begins_with(path, MERGED_MAGIC, MERGED_MAGIC_BYTES))
        return IS_MERGED;
    if (catalog_name_is_told(name_of(path)) && begins_with(path, TOLD_MAGIC, strlen(TOLD_MAGIC)))
        return IS_TOLD;
    return IS_IMAGE;
}

/* A damaged fingerprint is still none of the images. */
static bool has_fingerprint_name(const char *name)
{
    char hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;

    return catalog_name_parse(name, hash, &kind);
}

/* What was named by the user and is no image is worth a line. */
static int take_named(struct catalog_images *images, const char *path, const struct stat *status)
{
    struct error error;

    switch (judge(path, status)) {
    case IS_IMAGE:
        return catalog_images_add(images, path, NULL);
    case IS_SMALL:
        error_set(&error, -EINVAL, "%s is smaller than a sector, no disk image", path);
        break;
    case IS_FINGERPRINT:
        error_set(&error, -EINVAL, "%s is a fingerprint, not an image", path);
        break;
    case IS_MERGED:
        error_set(&error, -EINVAL, "%s is a merged index, not an image", path);
        break;
    case IS_TOLD:
        error_set(&error, -EINVAL, "%s is what an index tells other hosts, not an image", path);
        break;
    default:
        error_set(&error, -EINVAL, "%s is neither a file nor a block device nor a directory", path);
        break;
    }
    return catalog_images_add_problem(images, path, &error);
}

/* ---- directories ------------------------------------------------------------------------ */

static int push(struct search *search, char *path)
{
    int rc = array_reserve(&search->waiting, &search->capacity, search->count + 1, sizeof(char *));

    if (rc == 0)
        search->waiting[search->count++] = path;
    return rc;
}

static int note_problem(struct search *search, const char *path, int code)
{
    struct error error;

    search->complete = false;
    error_set(&error, code, "%s cannot be searched: %s", path, strerror(-code));
    return catalog_images_add_problem(search->images, path, &error);
}

/* One name in a directory. Takes over `path`. */
static int take_entry(struct search *search, int directory, const char *name, char *path)
{
    struct stat status;
    bool is_link;

    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : note_problem(search, path, -errno);
    is_link = S_ISLNK(status.st_mode);
    /* A link that leads nowhere, or where nobody may look, is no image. */
    if (is_link && fstatat(directory, name, &status, 0) < 0)
        return 0;
    switch (judge(path, &status)) {
    case IS_DIRECTORY:
        return is_link ? 0 : push(search, path);
    case IS_IMAGE:
        return catalog_images_add(search->images, path, NULL);
    default:
        return 0;
    }
}

static int take_entries(struct search *search, int fd, const char *directory)
{
    char **names = NULL;
    size_t count = 0;
    int rc = catalog_list(fd, &names, &count);

    if (rc < 0)
        return rc == -ENOMEM ? rc : note_problem(search, directory, rc);
    for (size_t i = 0; i < count && rc == 0; i++) {
        size_t waiting = search->count;
        char *path;

        if (names[i][0] == '.' || has_fingerprint_name(names[i]))
            continue;
        path = catalog_path_join(strcmp(directory, "/") == 0 ? "" : directory, names[i]);
        rc = path != NULL ? take_entry(search, fd, names[i], path) : -ENOMEM;
        if (search->count == waiting)
            free(path);
    }
    catalog_list_free(names, count);
    return rc;
}

static int search_directory(struct search *search, const char *path, int flags)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);

    if (fd < 0)
        return errno == ENOENT && flags != 0 ? 0 : note_problem(search, path, -errno);
    return image_is_made_up(fd) ? 0 : take_entries(search, fd, path);
}

/* The directory that was named may be reached by a symbolic link, those below may not. */
static int search_below(const char *path, struct catalog_images *images)
{
    struct search search = {.images = images, .complete = true};
    CLEANUP(cleanup_free) char *resolved = realpath(path, NULL);
    int rc = search_directory(&search, path, 0);

    while (rc == 0 && search.count > 0) {
        CLEANUP(cleanup_free) char *next = search.waiting[--search.count];

        rc = search_directory(&search, next, O_NOFOLLOW);
    }
    while (search.count > 0)
        free(search.waiting[--search.count]);
    free(search.waiting);
    if (rc == 0 && search.complete && resolved != NULL)
        rc = catalog_images_add_scope(images, resolved);
    return rc;
}

int catalog_images_find(const char *path, struct catalog_images *images, struct error *err)
{
    CLEANUP(cleanup_free) char *trimmed = strdup(path);
    size_t length = strlen(path);
    struct stat status;
    struct error error;
    int rc;

    while (trimmed != NULL && length > 1 && trimmed[length - 1] == '/')
        trimmed[--length] = '\0';
    if (trimmed == NULL) {
        rc = -ENOMEM;
    } else if (stat(path, &status) < 0) {
        error_set(&error, -errno, "%s: %s", path, strerror(errno));
        rc = catalog_images_add_problem(images, path, &error);
    } else if (S_ISDIR(status.st_mode)) {
        rc = search_below(trimmed, images);
    } else {
        rc = take_named(images, path, &status);
    }
    return rc < 0 ? error_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}
