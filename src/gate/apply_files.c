/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small files of a plan, in the directory where others put them: read without
 * being led astray, written in place or whole. (Effects: all of it.)
 */
#include "gate/apply.h"
#include "setmov/base_new_file.h"
#include "setmov/transfer_apply.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name that transfer_name_is_valid(), with an ending of ours, fits. */
static void file_name(const char *plan, const char *suffix, char ret_name[APPLY_NAME_BYTES])
{
    string_format(ret_name, APPLY_NAME_BYTES, "%s%s", plan, suffix);
}

static int open_plan(struct apply_files *files, struct error *err)
{
    char name[APPLY_NAME_BYTES];
    struct stat status;

    file_name(files->name, TRANSFER_PLAN_SUFFIX, name);
    files->plan =
        openat(files->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (files->plan < 0 && errno == ELOOP)
        return error_set(err, -ELOOP, "its plan, %s/%s, is a symbolic link", files->path, name);
    if (files->plan < 0 || fstat(files->plan, &status) < 0)
        return error_set(err, -errno, "its plan, %s/%s: %s", files->path, name, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "its plan, %s/%s, is no regular file", files->path, name);
    if (flock(files->plan, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK
               ? error_set(err, -EBUSY, "its disks are being built by the same plan already")
               : error_set(err, -errno, "its plan, %s/%s, cannot be locked: %s", files->path, name,
                           strerror(errno));
}

/* Whoever waits has made it. */
static void open_progress(struct apply_files *files)
{
    char name[APPLY_NAME_BYTES];
    struct stat status;

    file_name(files->name, TRANSFER_PROGRESS_SUFFIX, name);
    files->progress =
        openat(files->directory, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (files->progress < 0)
        return;
    if (fstat(files->progress, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_size == TRANSFER_PROGRESS_BYTES)
        return;
    close(files->progress);
    files->progress = -1;
}

int apply_files_open(const char *path, const char *name, struct apply_files *ret_files,
                     struct error *err)
{
    struct apply_files files = {
        .path = path, .name = name, .directory = -1, .plan = -1, .progress = -1};
    char failed[APPLY_NAME_BYTES];
    int rc;

    if (!transfer_name_is_valid(name))
        return error_set(err, -EINVAL, "'%.80s' cannot be the name of a plan", name);
    files.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files.directory < 0)
        return error_set(err, -errno, "%s cannot be opened: %s%s", path, strerror(errno),
                         errno == ENOENT ? " ('setmov index' makes it)" : "");
    rc = open_plan(&files, err);
    if (rc < 0) {
        apply_files_close(&files);
        return rc;
    }
    open_progress(&files);
    /* Of an earlier try. */
    file_name(name, TRANSFER_FAILED_SUFFIX, failed);
    (void)unlinkat(files.directory, failed, 0);
    *ret_files = files;
    return 0;
}

void apply_files_close(struct apply_files *files)
{
    cleanup_close(&files->progress);
    cleanup_close(&files->plan);
    cleanup_close(&files->directory);
    *files = APPLY_FILES_NONE;
}

/* ---- the plan ------------------------------------------------------------------------- */

static int read_all(const struct apply_files *files, uint8_t **ret_bytes, size_t *ret_length,
                    struct error *err)
{
    size_t length = 0, size;
    struct stat status;
    uint8_t *bytes;

    if (fstat(files->plan, &status) < 0)
        return error_set(err, -errno, "its plan cannot be read: %s", strerror(errno));
    if (status.st_size < 0 || (uint64_t)status.st_size > TRANSFER_PLAN_MAX_BYTES)
        return error_set(err, -EFBIG, "its plan is longer than %zu bytes", TRANSFER_PLAN_MAX_BYTES);
    size = (size_t)status.st_size;
    bytes = malloc(size + 1);
    if (bytes == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    while (length < size) {
        ssize_t got = pread(files->plan, bytes + length, size - length, (off_t)length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(bytes);
            return error_set(err, -errno, "its plan cannot be read: %s", strerror(errno));
        }
        if (got == 0)
            break; /* cut short meanwhile: its digest tells */
        length += (size_t)got;
    }
    *ret_bytes = bytes;
    *ret_length = length;
    return 0;
}

int apply_files_plan(const struct apply_files *files, const uint8_t sha256[TRANSFER_HASH_BYTES],
                     struct transfer_plan *ret_plan, struct error *err)
{
    CLEANUP(cleanup_free) uint8_t *bytes = NULL;
    uint8_t found[TRANSFER_HASH_BYTES];
    size_t length = 0;
    int rc = read_all(files, &bytes, &length, err);

    if (rc < 0)
        return rc;
    transfer_sha256(bytes, length, found);
    if (memcmp(found, sha256, sizeof(found)) != 0)
        return error_set(err, -EBADMSG,
                         "%s" TRANSFER_PLAN_SUFFIX
                         " is not the plan that it was sent with (its SHA-256 is another one)",
                         files->name);
    return transfer_plan_decode_within(bytes, length, "its plan", transfer_apply_memory(), ret_plan,
                                       err);
}

/* ---- what others read ------------------------------------------------------------------- */

void apply_files_tell(const struct apply_files *files, const struct transfer_progress *progress)
{
    uint8_t bytes[TRANSFER_PROGRESS_BYTES];

    if (files->progress < 0)
        return;
    transfer_progress_encode(progress, bytes);
    /* Nobody is helped by a refusal because this cannot be written. */
    if (pwrite(files->progress, bytes, sizeof(bytes), 0) < 0)
        return;
}

bool apply_files_cancelled(const struct apply_files *files)
{
    char name[APPLY_NAME_BYTES];

    file_name(files->name, TRANSFER_CANCEL_SUFFIX, name);
    return faccessat(files->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int apply_files_failed(const struct apply_files *files, const struct transfer_failed *failed,
                       struct error *err)
{
    CLEANUP(cleanup_free) char *path = NULL;
    CLEANUP(cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    int rc = transfer_failed_encode(failed, &bytes, &length, err);

    if (rc < 0)
        return rc;
    if (asprintf(&path, "%s/%s" TRANSFER_FAILED_SUFFIX, files->path, files->name) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return new_file_replace(path, bytes, length, false, err);
}
