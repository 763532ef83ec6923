/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `setmov choose --merged FILE`: all hosts from one file, so that a ranking of
 * a thousand of them costs one look at each one's directory. Each change of an
 * index is a rename in its directory, which the directory's times tell.
 *
 * The mark that the file keeps of a host, from the highest bit on: 40 bits of
 * a checksum over what was seen of its directory and the kind of fingerprints,
 * 16 bits the number of images (65535: so many or more), 8 bits enum seen.
 */
#include "choose.h"
#include "setmov/catalog_merged.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Directories that changed later than so long ago may change again within one tick of a clock. */
#define RACY_SECONDS 2
#define MOST_IMAGES  0xffff
#define SAVE_SUFFIX  ".tmp"

enum seen {
    SEEN_PROBLEMS = 1 << 0,
    SEEN_OTHER_KINDS = 1 << 1,
    SEEN_PROVISIONAL = 1 << 2,
    SEEN_ELSE = 1 << 3, /* no fingerprint, but other files: images, perhaps */
};

/* One host of the question that has a directory: a row of the merged index. */
struct row {
    struct choose_host *host;
    uint64_t checksum; /* 40 bits; 0: not to be relied on, so that the next run looks again */
    bool is_racy;
};

struct rows {
    struct row *rows;
    size_t count;
};

static void rows_release(struct rows *rows)
{
    free(rows->rows);
}

/* ---- directories ------------------------------------------------------------------- */

/* All that is compared, without holes between. */
struct glance {
    uint64_t device, inode, size, modified_s, modified_ns, changed_s, changed_ns;
    uint64_t kind, block_size, key_id;
};

static uint64_t checksum_of(const struct stat *status, const struct fingerprint_view *image)
{
    struct glance glance = {
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = (uint64_t)status->st_size,
        .modified_s = (uint64_t)status->st_mtim.tv_sec,
        .modified_ns = (uint64_t)status->st_mtim.tv_nsec,
        .changed_s = (uint64_t)status->st_ctim.tv_sec,
        .changed_ns = (uint64_t)status->st_ctim.tv_nsec,
        .kind = image->kind,
        .block_size = image->block_size,
    };
    uint64_t checksum;

    memcpy(&glance.key_id, image->key_id, sizeof(glance.key_id));
    checksum = fingerprint_checksum(&glance, sizeof(glance)) >> 24;
    return checksum > 0 ? checksum : 1;
}

/* Looks at the host's directory. 0; -ENOMEM; 1: it cannot be used, the host knows why. */
static int look(struct choose_host *host, const struct fingerprint_view *image, time_t now,
                struct row *row)
{
    CLEANUP(cleanup_close)
    int fd = open(host->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0) {
        struct error why;

        error_set(&why, -errno, "index directory %s: %s", host->directory, strerror(errno));
        return choose_host_set_unusable(host, why.text) < 0 ? -ENOMEM : 1;
    }
    *row = (struct row){
        .host = host,
        .checksum = checksum_of(&status, image),
        .is_racy = status.st_ctim.tv_sec > now - RACY_SECONDS,
    };
    return 0;
}

static int look_at_all(struct choose_hosts *hosts, const struct fingerprint_view *image,
                       struct rows *rows, struct error *err)
{
    time_t now = time(NULL);

    rows->rows = calloc(hosts->count + 1, sizeof(*rows->rows));
    if (rows->rows == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < hosts->count; i++) {
        int rc = look(&hosts->hosts[i], image, now, &rows->rows[rows->count]);

        if (rc < 0)
            return error_set(err, rc, "out of memory");
        rows->count += rc == 0;
    }
    return 0;
}

/* ---- the file, as it is --------------------------------------------------------------- */

/* A merged index: mapped from the file, or just made. */
struct index {
    void *mapped;
    struct file_guard *guard; /* of the mapping */
    uint8_t *made;
    size_t length;
    struct catalog_merged *merged;
    char magic[8]; /* of what the file was, also when it is no index; "": there was nothing */
};

static void index_unmap(struct index *index)
{
    catalog_merged_release(index->merged);
    index->merged = NULL;
    file_guard_remove(index->guard);
    index->guard = NULL;
    if (index->mapped != NULL)
        munmap(index->mapped, index->length);
    index->mapped = NULL;
}

static void index_release(struct index *index)
{
    index_unmap(index);
    free(index->made);
}

/* A file that is missing, damaged or of another version is no error: it is made anew. */
static int load(const char *path, struct index *index, struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    void *bytes;
    int rc;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EEXIST, "%s is not a regular file", path);
    if (status.st_size == 0)
        return 0;
    if (pread(fd, index->magic, sizeof(index->magic), 0) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    index->mapped = bytes;
    index->length = (size_t)status.st_size;
    index->guard = file_guard_add(bytes, index->length);
    rc = index->guard != NULL ? catalog_merged_decode(bytes, index->length, &index->merged, NULL)
                              : -ENOMEM;
    return rc == -ENOMEM ? error_set(err, rc, "%s: out of memory", path) : 0;
}

static bool is_of(const struct catalog_merged *merged, const struct rows *rows)
{
    if (merged == NULL || catalog_merged_host_count(merged) != rows->count)
        return false;
    for (size_t i = 0; i < rows->count; i++) {
        if (catalog_merged_host_mark(merged, i) >> 24 != rows->rows[i].checksum ||
            strcmp(catalog_merged_host_name(merged, i), rows->rows[i].host->name) != 0)
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
        found = entry->d_name[0] != '.' && strcmp(entry->d_name, "lock") != 0;
    closedir(entries);
    return found;
}

static int spool_file(struct choose_spool *spool, struct choose_host *host,
                      const struct fingerprint_file *file, bool *ret_added, struct error *err)
{
    struct error why = {""};
    int rc = fingerprint_file_check(file, &why);

    *ret_added = rc == 0;
    if (rc < 0)
        return choose_host_add_problem(host, file->path, &why);
    return choose_spool_add(spool, &file->view, err);
}

static int spool_host(struct choose_spool *spool, const struct row *row,
                      const struct catalog_kind *kind, struct error *err)
{
    struct choose_host *host = row->host;
    struct catalog *catalog = NULL;
    struct error why = {""};
    size_t images = 0;
    unsigned seen = 0;
    int rc = catalog_open(host->directory, kind, FINGERPRINT_PART_SKETCH, &catalog, &why);

    if (rc == -ENOMEM)
        return error_set(err, rc, "%s", why.text);
    if (rc < 0) { /* it was there a moment ago */
        seen = SEEN_PROBLEMS;
        rc = choose_host_add_problem(host, host->directory, &why);
    }
    for (size_t i = 0; catalog != NULL && rc == 0 && i < catalog->problem_count; i++)
        rc = choose_host_add_problem(host, catalog->problems[i].path, &catalog->problems[i].error);
    for (size_t i = 0; catalog != NULL && rc == 0 && i < catalog->count; i++) {
        bool added = false;

        rc = spool_file(spool, host, catalog->files[i], &added, err);
        images += added;
        if (catalog->files[i]->view.identity.provisional)
            seen |= SEEN_PROVISIONAL;
    }
    if (catalog != NULL && catalog->other_kinds > 0)
        seen |= SEEN_OTHER_KINDS;
    catalog_close(catalog);
    if (host->problem_count > 0)
        seen |= SEEN_PROBLEMS;
    if (images == 0 && seen == 0 && holds_else(host->directory))
        seen |= SEEN_ELSE;
    return rc == 0 ? choose_spool_end_host(spool, host->name, mark_make(row, images, seen), err)
                   : rc;
}

static int make(const struct rows *rows, const struct choose_query *query, struct index *index,
                struct error *err)
{
    struct catalog_kind kind = choose_kind_of(&query->image->view);
    struct choose_spool *spool = NULL;
    int rc = choose_spool_new(query->settings->build.temporary, &spool, err);

    for (size_t i = 0; rc == 0 && i < rows->count; i++) {
        rc = spool_host(spool, &rows->rows[i], &kind, err);
        if (rc == 0 && blocks_stopped(NULL))
            rc = -ECANCELED;
    }
    if (rc == 0)
        rc = choose_spool_encode(spool, &index->made, &index->length, err);
    choose_spool_free(spool);
    return rc;
}

static int write_all(int fd, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t wrote = write(fd, bytes, length);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -errno;
        bytes += wrote;
        length -= (size_t)wrote;
    }
    return 0;
}

/* Written beside its name, then renamed: who reads the old one goes on. */
static int save_as(const char *path, char *beside, const struct index *index, struct error *err)
{
    CLEANUP(cleanup_close) int fd = mkostemps(beside, (int)strlen(SAVE_SUFFIX), O_CLOEXEC);
    int rc;

    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    rc = write_all(fd, index->made, index->length);
    if (rc == 0 && fdatasync(fd) < 0) /* only its head is checked at each use */
        rc = -errno;
    if (rc == 0 && rename(beside, path) < 0)
        rc = -errno;
    if (rc < 0) {
        unlink(beside);
        return error_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    return 0;
}

static int save(const char *path, const struct index *index, struct error *err)
{
    const char *slash = strrchr(path, '/');
    size_t directory = slash != NULL ? (size_t)(slash - path) + 1 : 0, size = strlen(path) + 16;
    char *beside;
    int rc;

    if (index->magic[0] != '\0' && memcmp(index->magic, index->made, sizeof(index->magic)) != 0)
        return error_set(err, -EEXIST, "%s is there and is no merged index: not overwritten", path);
    beside = malloc(size);
    if (beside == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    string_format(beside, size, "%.*s.%s.XXXXXX" SAVE_SUFFIX, (int)directory, path,
                  path + directory);
    rc = save_as(path, beside, index, err);
    free(beside);
    return rc;
}

/* ---- the answer -------------------------------------------------------------------------- */

/* What a mark tells beside the figures. The index has no details. */
static int take_mark(struct choose_host *host, uint64_t mark, const struct fingerprint_view *image)
{
    unsigned seen = mark & 0xff;
    size_t images = mark >> 8 & MOST_IMAGES;
    char why[128];

    host->facts.images = images;
    if (images == 0 && (seen & SEEN_PROBLEMS))
        return choose_host_set_unusable(host, "nothing of what its index holds can be used");
    if (images == 0 && (seen & SEEN_OTHER_KINDS)) {
        string_format(why, sizeof(why), "its index has no %s digests of %u bytes%s",
                      blocks_digest_name(image->kind), image->block_size,
                      image->kind == DIGEST_KEYED_SHA256 ? " with this key" : "");
        return choose_host_set_unusable(host, why);
    }
    if (images == 0 && (seen & SEEN_ELSE))
        return choose_host_set_unusable(host, "its directory has no fingerprints; images are not "
                                              "read for a merged index");
    if ((seen & SEEN_PROBLEMS) &&
        choose_host_add_note(host, "some of what its index holds could not be used") < 0)
        return -ENOMEM;
    if (seen & SEEN_PROVISIONAL)
        return choose_host_add_note(host, "some of its images were written to while read");
    return 0;
}

static int ask(const struct rows *rows, const struct choose_query *query,
               const struct catalog_merged *merged, struct error *err)
{
    CLEANUP(cleanup_free)
    struct similarity_estimate *all = calloc(rows->count + 1, sizeof(*all));
    int rc;

    if (all == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = catalog_merged_query(merged, &query->image->view, all, err);
    for (size_t i = 0; rc == 0 && i < rows->count; i++) {
        rows->rows[i].host->facts.all = all[i];
        rc =
            take_mark(rows->rows[i].host, catalog_merged_host_mark(merged, i), &query->image->view);
    }
    return rc;
}

int choose_merged(struct choose_hosts *hosts, const char *path, const struct choose_query *query,
                  struct error *err)
{
    CLEANUP(rows_release) struct rows rows = {0};
    CLEANUP(index_release) struct index index = {0};
    int rc = look_at_all(hosts, &query->image->view, &rows, err);

    if (rc == 0)
        rc = load(path, &index, err);
    if (rc < 0 || rows.count == 0)
        return rc;
    if (!is_of(index.merged, &rows)) {
        index_unmap(&index);
        rc = make(&rows, query, &index, err);
        if (rc == 0)
            rc = save(path, &index, err);
        if (rc == 0)
            rc = catalog_merged_decode(index.made, index.length, &index.merged, err);
    }
    if (rc == 0)
        rc = ask(&rows, query, index.merged, err);
    if (index.guard != NULL && file_guard_lost(index.guard))
        rc = error_set(err, -EIO, "%s was cut short while it was read", path);
    return rc;
}
