/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of journals, and the lock of whoever works on a migration. */
#include "migrate/journal.h"
#include "setmov/base_new_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static char *path_of(const char *state, const struct uuid *vm, const char *suffix)
{
    char text[UUID_TEXT_BYTES];
    char *path = NULL;

    uuid_format(vm, text);
    return asprintf(&path, "%s/" JOURNAL_DIRECTORY "/%s%s", state, text, suffix) < 0 ? NULL : path;
}

static int make_directory(const char *state, struct error *err)
{
    CLEANUP(cleanup_free) char *path = NULL;

    if (asprintf(&path, "%s/" JOURNAL_DIRECTORY, state) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return new_file_make_directory(path, err);
}

/* ---- the lock -------------------------------------------------------------------------- */

/* Is the file that was locked still the one that has the name? */
static bool is_of_name(int fd, const char *path)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

/* -ESTALE: it was removed by who had it, meanwhile. */
static int try_lock(const char *path, int *ret_fd, struct error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600), rc = 0;

    if (fd < 0)
        return error_set(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        rc = errno == EWOULDBLOCK
                 ? error_set(err, -EBUSY, "another process is at work on it (%s is locked)", path)
                 : error_set(err, -errno, "%s cannot be locked: %s", path, strerror(errno));
    else if (!is_of_name(fd, path))
        rc = -ESTALE;
    if (rc < 0)
        close(fd);
    else
        *ret_fd = fd;
    return rc;
}

int journal_lock(const char *state, const struct uuid *vm, struct journal_lock *ret_lock,
                 struct error *err)
{
    struct journal_lock lock = {-1, path_of(state, vm, JOURNAL_LOCK)};
    int rc = -ESTALE;

    if (lock.path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (make_directory(state, err) < 0) {
        free(lock.path);
        return -EIO;
    }
    while (rc == -ESTALE)
        rc = try_lock(lock.path, &lock.fd, err);
    if (rc < 0)
        free(lock.path);
    else
        *ret_lock = lock;
    return rc;
}

void journal_unlock(struct journal_lock *lock)
{
    /* While it is held, so that nobody else's goes. */
    if (lock->fd >= 0) {
        unlink(lock->path);
        close(lock->fd);
    }
    free(lock->path);
    *lock = JOURNAL_LOCK_NONE;
}

/* ---- files ------------------------------------------------------------------------------- */

static void take_process(struct journal *journal)
{
    struct file_buffer buffer = {NULL, 0, 0};
    struct text text, word;
    char boot[UUID_TEXT_BYTES];

    journal->pid = (uint64_t)getpid();
    journal->changed_s = time(NULL);
    journal->boot = (struct uuid){{0}};
    if (file_read(AT_FDCWD, BOOT_ID, &buffer) == 0) {
        text = text_of(buffer.bytes, buffer.length);
        if (text_next_line(&text, &word) && text_copy(word, boot, sizeof(boot)))
            uuid_parse(boot, &journal->boot);
    }
    file_buffer_release(&buffer);
}

int journal_save(const char *state, struct journal *journal, struct error *err)
{
    CLEANUP(cleanup_free) char *path = path_of(state, &journal->vm, JOURNAL_SUFFIX), *text = NULL;
    size_t length = 0;
    int rc;

    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    take_process(journal);
    rc = journal_encode(journal, &text, &length, err);
    if (rc == 0)
        rc = make_directory(state, err);
    if (rc == 0)
        rc = new_file_replace(path, text, length, true, err);
    return rc < 0 ? error_prefix(err, rc, "the journal cannot be written") : 0;
}

int journal_load(const char *state, const struct uuid *vm, struct journal *ret_journal,
                 struct error *err)
{
    CLEANUP(cleanup_free) char *path = path_of(state, vm, JOURNAL_SUFFIX), *bytes = NULL;
    CLEANUP(cleanup_close) int fd = -1;
    struct journal journal = {.vm_name = NULL};
    struct stat status;
    size_t length = 0;
    int rc;

    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "%s: it is no regular file", path);
    bytes = malloc(JOURNAL_BYTES_MAX + 1);
    if (bytes == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = file_read_up_to(fd, bytes, JOURNAL_BYTES_MAX + 1, &length);
    if (rc < 0)
        return error_set(err, rc, "%s: %s", path, strerror(-rc));
    rc = journal_parse(text_of(bytes, length), path, &journal, err);
    if (rc == 0 && memcmp(journal.vm.bytes, vm->bytes, sizeof(vm->bytes)) != 0) {
        journal_release(&journal);
        return error_set(err, -EINVAL, "%s: it is of another VM", path);
    }
    if (rc == 0)
        *ret_journal = journal;
    return rc;
}

int journal_remove(const char *state, const struct uuid *vm, struct error *err)
{
    CLEANUP(cleanup_free) char *path = path_of(state, vm, JOURNAL_SUFFIX);

    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (unlink(path) < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(err, -errno, "%s cannot be removed: %s", path, strerror(errno));
    return new_file_sync_directory(path, err);
}

/* ---- all of them --------------------------------------------------------------------------- */

/* Small letters only, so that each VM has one name. */
static bool is_name(const char *name, struct uuid *ret_vm)
{
    char text[UUID_TEXT_BYTES];

    string_copy(text, sizeof(text), name);
    if (uuid_parse(text, ret_vm) < 0)
        return false;
    uuid_format(ret_vm, text);
    return strncmp(name, text, UUID_TEXT_BYTES - 1) == 0 &&
           strcmp(name + UUID_TEXT_BYTES - 1, JOURNAL_SUFFIX) == 0;
}

static int by_uuid(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct uuid));
}

int journal_list(const char *state, struct journal_list *ret_list, struct error *err)
{
    CLEANUP(cleanup_free) char *path = NULL;
    struct journal_list list = {NULL, 0, 0};
    const struct dirent *entry;
    struct uuid vm;
    DIR *entries;
    int rc = 0;

    if (asprintf(&path, "%s/" JOURNAL_DIRECTORY, state) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    entries = opendir(path);
    if (entries == NULL && errno != ENOENT)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    while (entries != NULL && rc == 0 && (entry = readdir(entries)) != NULL) {
        if (!is_name(entry->d_name, &vm))
            continue;
        rc = array_reserve(&list.vms, &list.capacity, list.count + 1, sizeof(*list.vms));
        if (rc == 0)
            list.vms[list.count++] = vm;
    }
    if (entries != NULL)
        closedir(entries);
    if (rc < 0) {
        journal_list_release(&list);
        return error_set(err, rc, "out of memory");
    }
    if (list.count > 0)
        qsort(list.vms, list.count, sizeof(*list.vms), by_uuid);
    *ret_list = list;
    return 0;
}

void journal_list_release(struct journal_list *list)
{
    free(list->vms);
    *list = (struct journal_list){NULL, 0, 0};
}
