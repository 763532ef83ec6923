/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A merged index in a file: is it of the hosts as they are now, and if not, a new one.
 *
 * The mark that the file keeps of a host, from the highest bit on: 40 bits of
 * a checksum over what was seen of its directory and the kind of fingerprints,
 * 16 bits the number of images (65535: so many or more), 8 bits enum seen.
 */
#include "catalog/internal.h"
#include "catalog/merged.h"
#include "catalog/merged_spool.h"
#include "setmov/base_new_file.h"
#include "setmov/catalog_merged_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Directories that changed later than so long ago may change again within one tick of a clock. */
#define RACY_SECONDS 2
#define MOST_IMAGES  0xffff

enum seen {
    SEEN_PROBLEMS = 1 << 0,
    SEEN_OTHER_KINDS = 1 << 1,
    SEEN_PROVISIONAL = 1 << 2,
    SEEN_ELSE = 1 << 3, /* no fingerprint, but other files: images, perhaps */
};

/* One host that has a directory: a row of the merged index. */
struct row {
    size_t host;
    const struct catalog_merged_source *source;
    uint64_t checksum; /* 40 bits; 0: not to be relied on, so that the next run looks again */
    bool is_racy;
};

struct catalog_merged_file {
    char *path; /* of the file itself, behind symbolic links */
    size_t host_count;
    int *codes;      /* of each host's directory */
    size_t *rows_of; /* the row of each host that has one */
    struct row *rows;
    size_t row_count;
    char magic[MERGED_MAGIC_BYTES]; /* of what was there */
    size_t magic_length;
    void *mapped;
    struct file_guard *guard; /* of the mapping */
    uint8_t *made;            /* or it was just made */
    size_t length;
    struct catalog_merged *merged;
};

/* ---- directories ------------------------------------------------------------------- */

/* All that is compared, without holes between. */
struct glance {
    uint64_t device, inode, size, modified_s, modified_ns, changed_s, changed_ns;
    uint64_t kind, block_size, key_id;
};

static uint64_t checksum_of(const struct stat *status, const struct catalog_kind *kind)
{
    struct glance glance = {
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = (uint64_t)status->st_size,
        .modified_s = (uint64_t)status->st_mtim.tv_sec,
        .modified_ns = (uint64_t)status->st_mtim.tv_nsec,
        .changed_s = (uint64_t)status->st_ctim.tv_sec,
        .changed_ns = (uint64_t)status->st_ctim.tv_nsec,
        .kind = kind->kind,
        .block_size = kind->block_size,
    };
    uint64_t checksum;

    memcpy(&glance.key_id, kind->key_id, sizeof(glance.key_id));
    checksum = fingerprint_checksum(&glance, sizeof(glance)) >> 24;
    return checksum > 0 ? checksum : 1;
}

/* 0, or a negative errno: the directory cannot be used. */
static int look(const struct catalog_merged_source *source, const struct catalog_kind *kind,
                time_t now, struct row *row)
{
    CLEANUP(cleanup_close)
    int fd = open(source->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    row->source = source;
    row->checksum = checksum_of(&status, kind);
    row->is_racy = status.st_ctim.tv_sec > now - RACY_SECONDS;
    return 0;
}

static int make_room(struct catalog_merged_file *file, size_t count, struct error *err)
{
    file->rows = calloc(count + 1, sizeof(*file->rows));
    file->codes = calloc(count + 1, sizeof(*file->codes));
    file->rows_of = calloc(count + 1, sizeof(*file->rows_of));
    if (file->rows == NULL || file->codes == NULL || file->rows_of == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    file->host_count = count;
    return 0;
}

static void look_at_all(struct catalog_merged_file *file, const struct catalog_merged_source *hosts,
                        const struct catalog_kind *kind)
{
    time_t now = time(NULL);

    for (size_t i = 0; i < file->host_count; i++) {
        struct row *row = &file->rows[file->row_count];

        row->host = i;
        file->rows_of[i] = file->row_count;
        file->codes[i] = look(&hosts[i], kind, now, row);
        file->row_count += file->codes[i] == 0;
    }
}

/* ---- the file, as it is --------------------------------------------------------------- */

static void unmap(struct catalog_merged_file *file)
{
    catalog_merged_release(file->merged);
    file->merged = NULL;
    file_guard_remove(file->guard);
    file->guard = NULL;
    if (file->mapped != NULL)
        munmap(file->mapped, file->length);
    file->mapped = NULL;
}

/* What a symbolic link leads to is the file that is kept; the link stays. */
static int follow(const char *path, struct catalog_merged_file *file, struct error *err)
{
    struct stat status;

    file->path = realpath(path, NULL);
    if (file->path == NULL && errno == ENOENT && lstat(path, &status) == 0 &&
        S_ISLNK(status.st_mode))
        return error_set(err, -EEXIST, "%s is a symbolic link that leads nowhere", path);
    if (file->path == NULL)
        file->path = strdup(path);
    return file->path != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int map(int fd, struct catalog_merged_file *file, struct error *err)
{
    void *bytes = mmap(NULL, file->length, PROT_READ, MAP_SHARED, fd, 0);

    if (bytes == MAP_FAILED)
        return error_set(err, -errno, "%s: %s", file->path, strerror(errno));
    file->mapped = bytes;
    file->guard = file_guard_add(bytes, file->length);
    return file->guard != NULL ? 0 : error_set(err, -ENOMEM, "%s: out of memory", file->path);
}

/* Maps what is there; an empty file is not mapped. -ENOENT; -EEXIST: something else than a file. */
static int load(struct catalog_merged_file *file, struct error *err)
{
    CLEANUP(cleanup_close)
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    ssize_t got;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, -errno, "%s: %s", file->path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EEXIST, "%s is not a regular file", file->path);
    got = pread(fd, file->magic, sizeof(file->magic), 0);
    if (got < 0)
        return error_set(err, -errno, "%s: %s", file->path, strerror(errno));
    file->magic_length = (size_t)got;
    file->length = (size_t)status.st_size;
    return file->length > 0 ? map(fd, file, err) : 0;
}

/* A file that is missing, empty, damaged or of another version is no error: it is made anew. */
static int load_if_good(struct catalog_merged_file *file, struct error *err)
{
    int rc = load(file, err);

    if (rc == -ENOENT)
        return 0;
    if (rc == 0 && file->mapped != NULL &&
        catalog_merged_decode(file->mapped, file->length, &file->merged, NULL) == -ENOMEM)
        rc = error_set(err, -ENOMEM, "%s: out of memory", file->path);
    return rc;
}

/* May what is there be replaced? Nothing, what is empty, and what begins as a merged index. */
static int check_replaceable(const struct catalog_merged_file *file, struct error *err)
{
    if (file->magic_length == 0 || (file->magic_length == MERGED_MAGIC_BYTES &&
                                    memcmp(file->magic, MERGED_MAGIC, MERGED_MAGIC_BYTES) == 0))
        return 0;
    return error_set(err, -EEXIST, "%s is there and is no merged index: not overwritten",
                     file->path);
}

static bool is_true(const struct catalog_merged_file *file)
{
    if (file->merged == NULL || catalog_merged_host_count(file->merged) != file->row_count)
        return false;
    for (size_t i = 0; i < file->row_count; i++) {
        const struct row *row = &file->rows[i];

        if (catalog_merged_host_mark(file->merged, i) >> 24 != row->checksum ||
            strcmp(catalog_merged_host_name(file->merged, i), row->source->name) != 0)
            return false;
    }
    return true;
}

/* ---- making it anew ---------------------------------------------------------------------- */

static uint64_t mark_make(const struct row *row, size_t images, unsigned seen)
{
    uint64_t checksum = row->is_racy ? 0 : row->checksum;

    if (images > MOST_IMAGES)
        images = MOST_IMAGES;
    return checksum << 24 | (uint64_t)images << 8 | seen;
}

/* Is there anything but what belongs to an index, which may be empty? */
static bool holds_else(const char *directory)
{
    DIR *entries = opendir(directory);
    const struct dirent *entry;
    bool found = false;

    if (entries == NULL)
        return false;
    while (!found && (entry = readdir(entries)) != NULL)
        found = entry->d_name[0] != '.' && strcmp(entry->d_name, "lock") != 0 &&
                !catalog_name_is_told(entry->d_name);
    closedir(entries);
    return found;
}

static int tell(const struct catalog_merged_options *options, const struct row *row,
                const char *path, const struct error *why, unsigned *seen)
{
    *seen |= SEEN_PROBLEMS;
    return options->problem != NULL ? options->problem(options->context, row->host, path, why) : 0;
}

static int spool_catalog(struct merged_spool *spool, const struct row *row,
                         const struct catalog *catalog,
                         const struct catalog_merged_options *options, size_t *ret_images,
                         unsigned *seen, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < catalog->problem_count; i++)
        rc = tell(options, row, catalog->problems[i].path, &catalog->problems[i].error, seen);
    for (size_t i = 0; rc == 0 && i < catalog->count; i++) {
        const struct fingerprint_file *file = catalog->files[i];
        struct error why = {""};

        rc = merged_spool_add(spool, file, &why, err);
        if (rc == 0 && why.text[0] != '\0') {
            rc = tell(options, row, file->path, &why, seen);
            continue;
        }
        ++*ret_images;
        if (file->view.identity.provisional)
            *seen |= SEEN_PROVISIONAL;
    }
    if (catalog->other_kinds > 0)
        *seen |= SEEN_OTHER_KINDS;
    return rc;
}

static int spool_host(struct merged_spool *spool, const struct row *row,
                      const struct catalog_kind *kind, const struct catalog_merged_options *options,
                      struct error *err)
{
    const char *directory = row->source->directory;
    struct catalog *catalog = NULL;
    struct error why = {""};
    size_t images = 0;
    unsigned seen = 0;
    int rc = catalog_open(directory, kind, FINGERPRINT_PART_SKETCH, &catalog, &why);

    if (rc == -ENOMEM)
        return error_set(err, rc, "%s", why.text);
    if (rc < 0) /* it was there a moment ago */
        rc = tell(options, row, directory, &why, &seen);
    if (rc == 0 && catalog != NULL)
        rc = spool_catalog(spool, row, catalog, options, &images, &seen, err);
    catalog_close(catalog);
    if (rc < 0)
        return rc;
    if (images == 0 && seen == 0 && holds_else(directory))
        seen |= SEEN_ELSE;
    return merged_spool_end_host(spool, row->source->name, mark_make(row, images, seen), err);
}

static int make(struct catalog_merged_file *file, const struct catalog_kind *kind,
                const struct catalog_merged_options *options, struct error *err)
{
    struct merged_spool *spool = NULL;
    int rc = merged_spool_new(options->temporary, &spool, err);

    for (size_t i = 0; rc == 0 && i < file->row_count; i++) {
        rc = spool_host(spool, &file->rows[i], kind, options, err);
        if (rc == 0 && options->stopped != NULL && options->stopped(options->context))
            rc = error_set(err, -ECANCELED, "stopped");
    }
    if (rc == 0)
        rc = merged_spool_encode(spool, &file->made, &file->length, err);
    merged_spool_free(spool);
    return rc;
}

/* Written beside its name, then renamed: who reads the old one goes on. */
static int save(const struct catalog_merged_file *file, struct error *err)
{
    struct new_file output = NEW_FILE_NONE;
    int rc = new_file_beside(file->path, &output, err);

    if (rc == 0)
        rc = new_file_write(&output, file->made, file->length, 0, err);
    if (rc == 0) /* only its head is checked at each use */
        rc = new_file_sync(&output, err);
    if (rc == 0)
        rc = new_file_publish(&output, err);
    new_file_release(&output);
    return rc;
}

/* ---- the contract ------------------------------------------------------------------------ */

static int make_anew(struct catalog_merged_file *file, const struct catalog_kind *kind,
                     const struct catalog_merged_options *options, struct error *err)
{
    int rc = check_replaceable(file, err);

    unmap(file);
    if (rc == 0)
        rc = make(file, kind, options, err);
    if (rc == 0)
        rc = save(file, err);
    if (rc == 0)
        rc = catalog_merged_decode(file->made, file->length, &file->merged, err);
    return rc;
}

int catalog_merged_file_open(const char *path, const struct catalog_merged_source *hosts,
                             size_t count, const struct catalog_kind *kind,
                             const struct catalog_merged_options *options,
                             struct catalog_merged_file **ret_file, struct error *err)
{
    struct catalog_merged_file *file = calloc(1, sizeof(*file));
    int rc;

    if (file == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = make_room(file, count, err);
    if (rc == 0) {
        look_at_all(file, hosts, kind);
        rc = follow(path, file, err);
    }
    if (rc == 0)
        rc = load_if_good(file, err);
    if (rc == 0 && file->row_count > 0 && !is_true(file))
        rc = make_anew(file, kind, options, err);
    if (rc < 0)
        catalog_merged_file_close(file);
    else
        *ret_file = file;
    return rc;
}

/* Each row is a host. */
static int map_as_it_is(struct catalog_merged_file *file, const char *path, struct error *err)
{
    int rc;

    file->path = strdup(path);
    if (file->path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = load(file, err);
    if (rc < 0)
        return rc == -EEXIST ? -EINVAL : rc;
    rc = catalog_merged_decode(file->mapped, file->length, &file->merged, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", path);
    rc = make_room(file, catalog_merged_host_count(file->merged), err);
    for (size_t i = 0; rc == 0 && i < file->host_count; i++)
        file->rows[i].host = file->rows_of[i] = i;
    file->row_count = file->host_count;
    if (rc == 0 && file_guard_lost(file->guard))
        rc = error_set(err, -EIO, "%s was cut short while it was read", path);
    return rc;
}

int catalog_merged_file_map(const char *path, struct catalog_merged_file **ret_file,
                            struct error *err)
{
    struct catalog_merged_file *file = calloc(1, sizeof(*file));
    int rc;

    if (file == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = map_as_it_is(file, path, err);
    if (rc < 0)
        catalog_merged_file_close(file);
    else
        *ret_file = file;
    return rc;
}

void catalog_merged_file_close(struct catalog_merged_file *file)
{
    if (file == NULL)
        return;
    unmap(file);
    free(file->made);
    free(file->rows);
    free(file->codes);
    free(file->rows_of);
    free(file->path);
    free(file);
}

size_t catalog_merged_file_host_count(const struct catalog_merged_file *file)
{
    return file->host_count;
}

const char *catalog_merged_file_host_name(const struct catalog_merged_file *file, size_t host)
{
    return file->codes[host] == 0 ? catalog_merged_host_name(file->merged, file->rows_of[host])
                                  : NULL;
}

bool catalog_merged_file_is_new(const struct catalog_merged_file *file)
{
    return file->made != NULL;
}

struct catalog_merged_state catalog_merged_file_state(const struct catalog_merged_file *file,
                                                      size_t host)
{
    struct catalog_merged_state state = {.code = file->codes[host]};
    uint64_t mark;

    if (state.code != 0)
        return state;
    mark = catalog_merged_host_mark(file->merged, file->rows_of[host]);
    state.images = mark >> 8 & MOST_IMAGES;
    state.problems = (mark & SEEN_PROBLEMS) != 0;
    state.other_kinds = (mark & SEEN_OTHER_KINDS) != 0;
    state.provisional = (mark & SEEN_PROVISIONAL) != 0;
    state.images_only = (mark & SEEN_ELSE) != 0;
    return state;
}

int catalog_merged_file_query(const struct catalog_merged_file *file,
                              const struct fingerprint_view *query,
                              struct similarity_estimate *ret_all, struct error *err)
{
    CLEANUP(cleanup_free)
    struct similarity_estimate *all = calloc(file->row_count + 1, sizeof(*all));
    int rc = 0;

    if (all == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (file->row_count > 0)
        rc = catalog_merged_query(file->merged, query, all, err);
    if (rc == 0 && file->guard != NULL && file_guard_lost(file->guard))
        rc = error_set(err, -EIO, "%s was cut short while it was read", file->path);
    if (rc < 0)
        return rc;
    memset(ret_all, 0, file->host_count * sizeof(*ret_all));
    for (size_t i = 0; i < file->row_count; i++)
        ret_all[file->rows[i].host] = all[i];
    return 0;
}
