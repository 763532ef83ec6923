/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A merged index in a file: is it of the hosts as they are now, and if not, a new one. */
#include "catalog/merged_file.h"
#include "catalog/internal.h"
#include "catalog/merged_spool.h"
#include "setmov/base_new_file.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- directories ------------------------------------------------------------------- */

static void look_at_all(struct catalog_merged_file *file, const struct catalog_merged_source *hosts,
                        const struct catalog_kind *kind)
{
    for (size_t i = 0; i < file->host_count; i++) {
        struct merged_row *row = &file->rows[file->row_count];

        row->host = i;
        row->source = &hosts[i];
        file->rows_of[i] = file->row_count;
        file->codes[i] = merged_glance(hosts[i].directory, kind, &row->checksum, &row->is_racy);
        file->row_count += file->codes[i] == 0;
    }
}

/* ---- the file, as it is --------------------------------------------------------------- */

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

/* A file that is missing, empty, damaged or of another version is no error: it is made anew. */
static int load_if_good(struct catalog_merged_file *file, struct error *err)
{
    int rc = merged_file_load(file, err);

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
        const struct merged_row *row = &file->rows[i];

        if (catalog_merged_host_mark(file->merged, i) >> 24 != row->checksum ||
            strcmp(catalog_merged_host_name(file->merged, i), row->source->name) != 0)
            return false;
    }
    return true;
}

/* ---- making it anew ---------------------------------------------------------------------- */

static uint64_t mark_make(const struct merged_row *row, size_t images, unsigned seen)
{
    uint64_t checksum = row->is_racy ? 0 : row->checksum;

    if (images > MERGED_MOST_IMAGES)
        images = MERGED_MOST_IMAGES;
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

static int tell(const struct catalog_merged_options *options, const struct merged_row *row,
                const char *path, const struct error *why, unsigned *seen)
{
    *seen |= SEEN_PROBLEMS;
    return options->problem != NULL ? options->problem(options->context, row->host, path, why) : 0;
}

static int spool_catalog(struct merged_spool *spool, const struct merged_row *row,
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

static int spool_host(struct merged_spool *spool, const struct merged_row *row,
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

/* ---- the contract ------------------------------------------------------------------------ */

static int make_anew(struct catalog_merged_file *file, const struct catalog_kind *kind,
                     const struct catalog_merged_options *options, struct error *err)
{
    int rc = check_replaceable(file, err);

    merged_file_unmap(file);
    if (rc == 0)
        rc = make(file, kind, options, err);
    if (rc == 0)
        rc = new_file_replace(file->path, file->made, file->length, true, err);
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
    rc = merged_file_make_room(file, count, err);
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

void catalog_merged_file_close(struct catalog_merged_file *file)
{
    if (file == NULL)
        return;
    merged_file_unmap(file);
    free(file->made);
    free(file->rows);
    free(file->codes);
    free(file->rows_of);
    free(file->path);
    free(file);
}
