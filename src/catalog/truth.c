/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which fingerprints of an index directory are still true, and an end to the others. */
#include "catalog/update.h"

#include <errno.h>

static int open_parts(const struct update *update, const char *name, unsigned parts,
                      struct fingerprint_file **ret_file)
{
    CLEANUP(cleanup_free) char *path = catalog_path_join(update->directory.path, name);

    if (path == NULL)
        return -ENOMEM;
    return fingerprint_file_open(path, parts, false, ret_file, NULL);
}

/* Does what is written in the fingerprint lead to its name? */
static bool is_called_rightly(const struct fingerprint_file *file, const char *name)
{
    struct catalog_kind kind = catalog_kind_of_view(&file->view);
    char hash[CATALOG_HASH_BYTES], right[CATALOG_NAME_BYTES];

    if (file->view.identity.layer_count == 0)
        return false;
    catalog_hash(file->view.identity.layers[0].path, hash);
    catalog_name_make(hash, &kind, right);
    return strcmp(name, right) == 0;
}

/* One that is damaged anywhere does not: nobody else would mend it. */
static bool holds(const struct update *update, const char *name, const struct image_layer *layers,
                  size_t count)
{
    struct fingerprint_file *file = NULL;
    bool result;

    if (open_parts(update, name, FINGERPRINT_PART_ALL, &file) < 0)
        return false;
    result = is_called_rightly(file, name) &&
             catalog_identity_holds(&file->view.identity, layers, count);
    fingerprint_file_close(file);
    return result;
}

bool update_all_hold(const struct update *update, const char *hash,
                     const struct image_layer *layers, size_t count)
{
    char name[CATALOG_NAME_BYTES];

    for (size_t i = 0; i < update->wish_count; i++) {
        catalog_name_make(hash, &update->kinds[i], name);
        if (!holds(update, name, layers, count))
            return false;
    }
    return true;
}

static bool is_wished(const struct update *update, const char *name)
{
    char hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;

    if (!catalog_name_parse(name, hash, &kind))
        return false;
    for (size_t i = 0; i < update->wish_count; i++) {
        if (catalog_kind_fits(&update->kinds[i], &kind))
            return true;
    }
    return false;
}

void update_drop_other_kinds(struct update *update, const char *hash)
{
    size_t first, end;

    catalog_directory_find(&update->directory, hash, &first, &end);
    for (size_t i = first; i < end; i++) {
        if (!is_wished(update, update->directory.names[i]))
            catalog_directory_remove(&update->directory, update->directory.names[i]);
    }
}

void update_drop_untrue(struct update *update, const char *hash, const struct image_layer *layers,
                        size_t count)
{
    size_t first, end;

    if (hash[0] == '\0')
        return;
    catalog_directory_find(&update->directory, hash, &first, &end);
    for (size_t i = first; i < end; i++) {
        if (!holds(update, update->directory.names[i], layers, count))
            catalog_directory_remove(&update->directory, update->directory.names[i]);
    }
}

/* ---- what vanished --------------------------------------------------------------------- */

static bool lies_in_a_scope(const struct catalog_images *images, const char *path)
{
    for (size_t i = 0; i < images->scope_count; i++) {
        CLEANUP(cleanup_free) char *resolved = realpath(images->scopes[i], NULL);

        if (resolved != NULL && catalog_lies_in(path, resolved))
            return true;
    }
    return false;
}

static int compare_hashes(const void *left, const void *right)
{
    const struct work *a = left, *b = right;
    int order = strcmp(a->hash, b->hash);

    return order != 0 ? order : (int)a->outcome - (int)b->outcome;
}

/* The first of those with that hash: works are sorted by compare_hashes(). */
static const struct work *find_work(const struct update *update, const char *hash)
{
    size_t low = 0, high = update->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(update->works[middle].hash, hash) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == update->count || strcmp(update->works[low].hash, hash) != 0)
        return NULL;
    return &update->works[low];
}

/*
 * Should this fingerprint, whose image was not dealt with, go? Sets `ret_path`
 * (malloc'ed) to the image's where it is that that vanished.
 */
static int judge(const struct update *update, const struct catalog_images *images, const char *name,
                 bool *ret_drop, char **ret_path)
{
    struct fingerprint_file *file = NULL;
    const struct fingerprint_layer *top;
    int rc = open_parts(update, name, FINGERPRINT_PART_HEAD, &file);

    *ret_drop = rc == -EINVAL; /* damaged: of no use to anybody, and nobody would mend it */
    if (rc < 0)
        return rc == -ENOMEM ? rc : 0;
    if (!is_called_rightly(file, name)) {
        *ret_drop = true;
    } else {
        top = &file->view.identity.layers[0];
        if (catalog_is_gone(top, lies_in_a_scope(images, top->path))) {
            *ret_drop = true;
            *ret_path = strdup(top->path);
            rc = *ret_path != NULL ? 0 : -ENOMEM;
        }
    }
    fingerprint_file_close(file);
    return rc;
}

int update_drop_vanished(struct update *update, const struct catalog_images *images,
                         struct error *err)
{
    char hash[CATALOG_HASH_BYTES], last[CATALOG_HASH_BYTES] = "";
    struct catalog_kind kind;
    int rc = 0;

    qsort(update->works, update->count, sizeof(*update->works), compare_hashes);
    for (size_t i = 0; i < update->directory.count && rc == 0; i++) {
        const char *name = update->directory.names[i];
        CLEANUP(cleanup_free) char *path = NULL;
        const struct work *work;
        bool drop;

        if (!catalog_name_parse(name, hash, &kind))
            continue;
        work = find_work(update, hash);
        drop = work != NULL && work->outcome == ANOTHER_NAME;
        if (work == NULL || work->outcome == VANISHED)
            rc = judge(update, images, name, &drop, &path);
        if (rc < 0)
            return error_set(err, rc, "out of memory");
        if (!drop)
            continue;
        if (catalog_directory_remove(&update->directory, name) && path != NULL &&
            strcmp(hash, last) != 0) {
            memcpy(last, hash, sizeof(last));
            update->summary.dropped++;
            update_report(update, &(struct catalog_report){.event = CATALOG_DROPPED, .path = path});
        }
    }
    return rc;
}
