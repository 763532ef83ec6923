/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of a directory, opened and decompressed as they are asked for, and kept
 * while there is room. A part is read by one thread; others that want it wait.
 */
#include "transfer/part.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_DEFAULT ((uint64_t)256 << 20)

enum state {
    PART_UNREAD,
    PART_LOADING,
    PART_LOADED,
    PART_BAD, /* for good */
};

struct loaded {
    enum state state;
    int rc;           /* of a bad one */
    char *why;        /* of a bad one; NULL where there was no memory for it */
    uint8_t *raw;     /* of a loaded one */
    unsigned readers; /* that copy from it just now */
    uint64_t used;    /* when it was used last, by the reader's clock */
};

struct transfer_part_reader {
    int directory;
    struct transfer_part *parts;
    struct loaded *loaded; /* of each part */
    size_t count;
    uint64_t memory_bytes;
    pthread_mutex_t lock; /* of all in `loaded`, and what follows */
    pthread_cond_t changed;
    uint64_t held; /* bytes of parts that are loaded, or loading */
    uint64_t left; /* bytes that may still be decompressed */
    uint64_t clock;
};

/* ---- one file ---------------------------------------------------------------------------- */

static int open_part(int directory, const char *name, const struct transfer_part *part,
                     struct error *err)
{
    struct stat status;
    /* Not through a link, and not waiting for the writer of a FIFO. */
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && errno == ENOENT)
        return error_set(err, -ENOENT, "%s is not there", name);
    if (fd < 0 && errno == ELOOP)
        return error_set(err, -EBADMSG, "%s is a symbolic link", name);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", name, strerror(errno));
    if (fstat(fd, &status) < 0) {
        int code = errno;

        close(fd);
        return error_set(err, -code, "%s: %s", name, strerror(code));
    }
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != part->length) {
        close(fd);
        if (!S_ISREG(status.st_mode))
            return error_set(err, -EBADMSG, "%s is not a regular file", name);
        return error_set(err, -EBADMSG, "%s has %lld bytes, not %" PRIu64, name,
                         (long long)status.st_size, part->length);
    }
    return fd;
}

static int read_all(int fd, const char *name, uint8_t *bytes, size_t length, struct error *err)
{
    for (size_t at = 0; at < length;) {
        ssize_t got = pread(fd, bytes + at, length - at, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, -errno, "%s: %s", name, strerror(errno));
        if (got == 0)
            return error_set(err, -EBADMSG, "%s was cut short while it was read", name);
        at += (size_t)got;
    }
    return 0;
}

/* The whole file, which is as long as the part says; the caller frees. */
static int read_part(int directory, const char *name, const struct transfer_part *part,
                     uint8_t **ret_bytes, struct error *err)
{
    CLEANUP(cleanup_close) int fd = open_part(directory, name, part, err);
    uint8_t *bytes;
    int rc;

    if (fd < 0)
        return fd;
    bytes = malloc((size_t)part->length);
    if (bytes == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", name);
    rc = read_all(fd, name, bytes, (size_t)part->length, err);
    if (rc < 0)
        free(bytes);
    else
        *ret_bytes = bytes;
    return rc;
}

static int decode(const struct transfer_part *part, const uint8_t *bytes, uint8_t *ret_raw,
                  struct error *err)
{
    struct part_decompressor *decompressor;
    int rc = part_decompressor_new(&decompressor, err);

    if (rc == 0) {
        rc = part_decode(decompressor, part, bytes, (size_t)part->length, ret_raw, err);
        part_decompressor_free(decompressor);
    }
    return rc;
}

/* Checked and decompressed is the copy in memory, whatever happens to the file meanwhile. */
static int load(int directory, const struct transfer_part *part, uint8_t **ret_raw,
                struct error *err)
{
    char name[TRANSFER_PART_NAME_BYTES];
    CLEANUP(cleanup_free) uint8_t *bytes = NULL;
    uint8_t *raw;
    int rc;

    transfer_part_name(part->sha256, name);
    rc = part_check_sizes(part, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", name);
    rc = read_part(directory, name, part, &bytes, err);
    if (rc < 0)
        return rc;
    raw = malloc((size_t)part->raw_length);
    if (raw == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", name);
    rc = decode(part, bytes, raw, err);
    if (rc < 0) {
        free(raw);
        return error_prefix(err, rc, "%s", name);
    }
    *ret_raw = raw;
    return 0;
}

/* ---- what is kept -------------------------------------------------------------------------- */

/* The one that was not used for longest and that nobody reads; count: none. */
static size_t oldest(const struct transfer_part_reader *reader)
{
    size_t found = reader->count;

    for (size_t i = 0; i < reader->count; i++) {
        const struct loaded *loaded = &reader->loaded[i];

        if (loaded->state == PART_LOADED && loaded->readers == 0 &&
            (found == reader->count || loaded->used < reader->loaded[found].used))
            found = i;
    }
    return found;
}

/* Room for so many bytes, which count as held from here on. With the lock. */
static void make_room(struct transfer_part_reader *reader, uint64_t bytes)
{
    while (reader->held > 0 && reader->held + bytes > reader->memory_bytes) {
        size_t victim = oldest(reader);

        if (victim == reader->count) {
            pthread_cond_wait(&reader->changed, &reader->lock);
            continue;
        }
        free(reader->loaded[victim].raw);
        reader->loaded[victim].raw = NULL;
        reader->loaded[victim].state = PART_UNREAD;
        reader->held -= reader->parts[victim].raw_length;
    }
    reader->held += bytes;
}

/* With the lock. */
static int spend(struct transfer_part_reader *reader, const struct transfer_part *part,
                 struct error *err)
{
    char name[TRANSFER_PART_NAME_BYTES];

    if (part->raw_length <= reader->left) {
        reader->left -= part->raw_length;
        return 0;
    }
    reader->left = 0;
    transfer_part_name(part->sha256, name);
    return error_set(err, -EFBIG,
                     "the plan changes between its parts so often that they would be decompressed "
                     "over and over: given up at %s",
                     name);
}

/* By the thread that set it to PART_LOADING; with the lock, which it gives away meanwhile. */
static int fill(struct transfer_part_reader *reader, uint32_t number, struct error *err)
{
    const struct transfer_part *part = &reader->parts[number];
    struct loaded *loaded = &reader->loaded[number];
    struct error why = {""};
    uint8_t *raw = NULL;
    int rc;

    make_room(reader, part->raw_length);
    pthread_mutex_unlock(&reader->lock);
    rc = load(reader->directory, part, &raw, &why);
    pthread_mutex_lock(&reader->lock);
    if (rc == 0) {
        loaded->raw = raw;
        loaded->state = PART_LOADED;
    } else {
        reader->held -= part->raw_length;
        loaded->state = PART_UNREAD; /* no memory, say: perhaps later */
        if (rc == -ENOENT || rc == -EBADMSG) {
            loaded->state = PART_BAD;
            loaded->rc = rc;
            loaded->why = strdup(why.text);
        }
        if (err != NULL)
            *err = why;
    }
    pthread_cond_broadcast(&reader->changed);
    return rc;
}

/* Loads it where that is needed, and holds it for the caller. With the lock. */
static int hold(struct transfer_part_reader *reader, uint32_t number, struct error *err)
{
    struct loaded *loaded = &reader->loaded[number];

    while (loaded->state == PART_LOADING)
        pthread_cond_wait(&reader->changed, &reader->lock);
    if (loaded->state == PART_BAD)
        return error_set(err, loaded->rc, "%s", loaded->why != NULL ? loaded->why : "a bad part");
    if (loaded->state == PART_UNREAD) {
        int rc;

        rc = spend(reader, &reader->parts[number], err);
        if (rc < 0)
            return rc;
        loaded->state = PART_LOADING;
        rc = fill(reader, number, err);
        if (rc < 0)
            return rc;
    }
    loaded->readers++;
    loaded->used = ++reader->clock;
    return 0;
}

int transfer_part_read(struct transfer_part_reader *reader, uint32_t part, uint64_t from,
                       void *ret_bytes, size_t length, struct error *err)
{
    const uint8_t *raw;
    int rc;

    if (part >= reader->count)
        return error_set(err, -EINVAL, "there is no part %" PRIu32 " of %zu", part, reader->count);
    if (from > reader->parts[part].raw_length || length > reader->parts[part].raw_length - from)
        return error_set(err, -EINVAL, "part %" PRIu32 " has no bytes at %" PRIu64, part, from);
    pthread_mutex_lock(&reader->lock);
    rc = hold(reader, part, err);
    raw = reader->loaded[part].raw;
    pthread_mutex_unlock(&reader->lock);
    if (rc < 0)
        return rc;
    memcpy(ret_bytes, raw + from, length);
    pthread_mutex_lock(&reader->lock);
    if (--reader->loaded[part].readers == 0)
        pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->lock);
    return 0;
}

/* ---- as a whole -------------------------------------------------------------------------------- */

int transfer_part_reader_new(int directory, const struct transfer_part *parts, size_t count,
                             uint64_t memory_bytes, struct transfer_part_reader **ret_reader,
                             struct error *err)
{
    struct transfer_part_reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    reader->directory = -1;
    reader->parts = calloc(count + 1, sizeof(*parts));
    reader->loaded = calloc(count + 1, sizeof(*reader->loaded));
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->changed, NULL);
    if (reader->parts == NULL || reader->loaded == NULL || count > TRANSFER_PLAN_MAX_PARTS) {
        transfer_part_reader_free(reader);
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (count > 0)
        memcpy(reader->parts, parts, count * sizeof(*parts));
    reader->count = count;
    reader->left = UINT64_MAX;
    reader->memory_bytes = memory_bytes > 0 ? memory_bytes : MEMORY_DEFAULT;
    reader->directory = fcntl(directory, F_DUPFD_CLOEXEC, 0);
    if (reader->directory < 0) {
        int code = errno;

        transfer_part_reader_free(reader);
        return error_set(err, -code, "the directory of the parts: %s", strerror(code));
    }
    *ret_reader = reader;
    return 0;
}

void transfer_part_reader_limit(struct transfer_part_reader *reader, uint64_t bytes)
{
    reader->left = bytes;
}

void transfer_part_reader_free(struct transfer_part_reader *reader)
{
    if (reader == NULL)
        return;
    for (size_t i = 0; reader->loaded != NULL && i < reader->count; i++) {
        free(reader->loaded[i].raw);
        free(reader->loaded[i].why);
    }
    cleanup_close(&reader->directory);
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->lock);
    free(reader->parts);
    free(reader->loaded);
    free(reader);
}
