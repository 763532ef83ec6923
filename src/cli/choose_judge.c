/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `setmov choose`: one host at a time. What it holds is opened, compared as
 * one, and closed again before the next, so hosts may be many.
 */
#include "choose.h"

#include <errno.h>

/* All that a host holds of the image's kind. */
struct holdings {
    struct catalog *catalog;
    struct catalog_images found;
    struct fingerprint_file **made; /* of images that were read for this */
    size_t made_count, made_capacity;
    const struct fingerprint_file **files; /* of the catalog and made; those that are compared */
    const char **paths;                    /* of their images */
    size_t count, files_capacity, paths_capacity;
};

static void holdings_release(struct holdings *holdings)
{
    for (size_t i = 0; i < holdings->made_count; i++)
        fingerprint_file_close(holdings->made[i]);
    free(holdings->made);
    free(holdings->files);
    free(holdings->paths);
    catalog_images_release(&holdings->found);
    catalog_close(holdings->catalog);
}

unsigned choose_image_parts(enum similarity_engine engine)
{
    return engine == SIMILARITY_SKETCH ? FINGERPRINT_PART_SKETCH : FINGERPRINT_PART_DIGESTS;
}

/* Of what the image is compared with. */
static unsigned parts_of_others(enum similarity_engine engine)
{
    switch (engine) {
    case SIMILARITY_EXACT:
        return FINGERPRINT_PART_DIGESTS;
    case SIMILARITY_BLOOM:
        return FINGERPRINT_PART_BLOOM;
    case SIMILARITY_SKETCH:
        return FINGERPRINT_PART_SKETCH | FINGERPRINT_PART_BLOOM;
    }
    return FINGERPRINT_PART_ALL;
}

struct catalog_kind choose_kind_of(const struct fingerprint_view *image)
{
    struct catalog_kind kind = {.kind = image->kind, .block_size = image->block_size};

    memcpy(kind.key_id, image->key_id, sizeof(kind.key_id));
    return kind;
}

uint64_t choose_image_bytes(const struct fingerprint_view *image)
{
    return (image->totals.distinct - (image->totals.zero > 0)) * image->block_size;
}

/* ---- what there is --------------------------------------------------------------- */

static int add_file(struct holdings *holdings, const struct fingerprint_file *file,
                    const char *path)
{
    int rc = array_reserve(&holdings->files, &holdings->files_capacity, holdings->count + 1,
                           sizeof(*holdings->files));

    if (rc == 0)
        rc = array_reserve(&holdings->paths, &holdings->paths_capacity, holdings->count + 1,
                           sizeof(*holdings->paths));
    if (rc < 0)
        return rc;
    holdings->files[holdings->count] = file;
    holdings->paths[holdings->count++] = path;
    return 0;
}

static int add_problems(struct choose_host *host, const struct catalog_problem *problems,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (choose_host_add_problem(host, problems[i].path, &problems[i].error) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* A directory that cannot be opened is what makes the host unusable; ret_open says so. */
static int open_catalog(struct holdings *holdings, struct choose_host *host,
                        const struct choose_query *query, unsigned parts, bool *ret_open)
{
    struct catalog_kind kind = choose_kind_of(&query->image->view);
    int rc = catalog_open(host->directory, &kind, parts, &holdings->catalog, NULL);

    *ret_open = rc == 0;
    if (rc < 0)
        return rc == -ENOMEM ? rc : choose_host_set_unreadable(host, rc);
    for (size_t i = 0; i < holdings->catalog->count && rc == 0; i++) {
        const struct fingerprint_file *file = holdings->catalog->files[i];
        const struct fingerprint_identity *identity = &file->view.identity;

        rc = add_file(holdings, file,
                      identity->layer_count > 0 ? identity->layers[0].path : file->path);
    }
    return rc;
}

/* ---- images ------------------------------------------------------------------------ */

/* The fingerprint in the directory that is of this image; `count`: there is none. */
static size_t find_fingerprint(const struct holdings *holdings, const char *path)
{
    CLEANUP(cleanup_free) char *resolved = realpath(path, NULL);
    size_t i = 0;

    if (resolved == NULL)
        return holdings->count;
    while (i < holdings->count &&
           (holdings->files[i]->view.identity.layer_count == 0 ||
            strcmp(holdings->files[i]->view.identity.layers[0].path, resolved) != 0))
        i++;
    return i;
}

static bool is_true(const struct fingerprint_file *file, const char *path,
                    const struct blocks_settings *settings)
{
    struct image_layer *layers = NULL;
    size_t count = 0;
    bool result;

    if (image_look(path, &settings->image, &layers, &count, NULL) < 0)
        return false;
    result = catalog_identity_holds(&file->view.identity, layers, count);
    image_layers_free(layers, count);
    return result;
}

static void forget_file(struct holdings *holdings, size_t at)
{
    holdings->count--;
    memmove(&holdings->files[at], &holdings->files[at + 1],
            (holdings->count - at) * sizeof(holdings->files[0]));
    memmove(&holdings->paths[at], &holdings->paths[at + 1],
            (holdings->count - at) * sizeof(holdings->paths[0]));
}

/* In place of a fingerprint that lies there and is not true of it any more. */
static int read_image(struct holdings *holdings, struct choose_host *host,
                      const struct choose_query *query, const struct blocks_settings *settings,
                      const char *path)
{
    size_t old = find_fingerprint(holdings, path);
    struct fingerprint_file *file = NULL;
    struct error why = {""};
    int rc;

    if (old < holdings->count && is_true(holdings->files[old], path, settings))
        return 0;
    rc = array_reserve(&holdings->made, &holdings->made_capacity, holdings->made_count + 1,
                       sizeof(*holdings->made));
    if (rc < 0)
        return rc;
    rc = blocks_open(path, settings, parts_of_others(query->engine), &file, &why);
    if (rc < 0)
        return blocks_stopped(NULL) ? rc : choose_host_add_problem(host, path, &why);
    holdings->made[holdings->made_count++] = file;
    if (old < holdings->count)
        forget_file(holdings, old);
    return add_file(holdings, file, path);
}

/* Images that lie in the directory are read, one after the other. */
static int read_images(struct holdings *holdings, struct choose_host *host,
                       const struct choose_query *query, struct error *err)
{
    struct blocks_settings settings = *query->settings;
    const struct catalog *catalog = holdings->catalog;
    int rc = add_problems(host, catalog->problems, catalog->problem_count);

    if (rc == 0)
        rc = catalog_images_find(host->directory, &holdings->found, err);
    settings.image.format = NULL; /* --format is about the image that moves */
    for (size_t i = 0; i < holdings->found.count && rc == 0; i++)
        rc = read_image(holdings, host, query, &settings, holdings->found.images[i].path);
    if (rc == 0)
        rc = add_problems(host, holdings->found.problems, holdings->found.problem_count);
    return rc;
}

/* ---- comparing --------------------------------------------------------------------- */

/* Takes out what the engine cannot use, or what was cut short meanwhile. -ENOMEM. */
static int drop_bad(struct holdings *holdings, struct choose_host *host,
                    const struct choose_query *query, bool *ret_dropped)
{
    size_t kept = 0;

    *ret_dropped = false;
    for (size_t i = 0; i < holdings->count; i++) {
        const struct fingerprint_file *file = holdings->files[i];
        struct error why = {""};
        int rc = fingerprint_file_check(file, &why);

        if (rc == 0 && query->engine == SIMILARITY_BLOOM && file->view.bloom == NULL &&
            file->view.totals.distinct > 0)
            rc = error_set(&why, -ENODATA, "its fingerprint has no Bloom filter");
        if (rc == 0)
            rc = similarity_comparable(&query->image->view, &file->view, &why);
        if (rc == 0) {
            holdings->files[kept] = file;
            holdings->paths[kept++] = holdings->paths[i];
            continue;
        }
        *ret_dropped = true;
        if (choose_host_add_problem(host, holdings->paths[i], &why) < 0)
            return -ENOMEM;
    }
    holdings->count = kept;
    return 0;
}

/*
 * Figures of each (malloc'ed) and of all together (may be NULL); again where a
 * file was lost while it was read.
 */
static int compare(struct holdings *holdings, struct choose_host *host,
                   const struct choose_query *query, struct similarity_estimate **ret_each,
                   struct similarity_estimate *ret_all, struct error *err)
{
    CLEANUP(cleanup_free)
    const struct fingerprint_view **views = calloc(holdings->count + 1, sizeof(*views));
    bool dropped = false;
    int rc;

    *ret_each = calloc(holdings->count + 1, sizeof(**ret_each));
    if (views == NULL || *ret_each == NULL)
        return -ENOMEM;
    rc = drop_bad(holdings, host, query, &dropped);
    do {
        if (rc < 0)
            break;
        for (size_t i = 0; i < holdings->count; i++)
            views[i] = &holdings->files[i]->view;
        rc = similarity_compare(query->engine, &query->image->view, views, holdings->count,
                                *ret_each, ret_all, err);
        if (rc == 0)
            rc = drop_bad(holdings, host, query, &dropped);
    } while (rc == 0 && dropped);
    return rc;
}

static int set_donor(const struct holdings *holdings, struct choose_host *host,
                     const struct similarity_estimate *each)
{
    size_t best = placement_best_donor(each, holdings->count);

    if (best == holdings->count)
        return 0;
    return choose_host_set_donor(host, holdings->paths[best], &each[best].likely);
}

/* ---- what there is to say ----------------------------------------------------------- */

static int add_notes(const struct holdings *holdings, struct choose_host *host)
{
    size_t provisional = 0, failed = host->problem_count + host->problems_left_out, size;
    char words[256];

    for (size_t i = 0; i < holdings->count; i++)
        provisional += holdings->files[i]->view.identity.provisional;
    if (host->problem_count > 0) {
        CLEANUP(cleanup_free) char *note = NULL;

        size = strlen(host->problems[0]) + sizeof(words);
        note = malloc(size);
        if (note == NULL)
            return -ENOMEM;
        string_format(note, size, "%zu of %zu could not be used: %s", failed,
                      failed + holdings->count, host->problems[0]);
        if (choose_host_add_note(host, note) < 0)
            return -ENOMEM;
    }
    if (provisional == 0)
        return 0;
    string_format(words, sizeof(words), "%zu of its images %s", provisional,
                  provisional == 1 ? BLOCKS_PROVISIONAL : CHOOSE_PROVISIONAL);
    return choose_host_add_note(host, words);
}

/* Nothing is left to compare with: because there is nothing, or because of what there is. */
static int explain_nothing(const struct holdings *holdings, struct choose_host *host,
                           const struct choose_query *query)
{
    const struct fingerprint_view *image = &query->image->view;
    char why[128];

    if (host->problem_count > 0)
        return choose_host_unusable_by_problem(host);
    if (holdings->catalog->other_kinds == 0)
        return 0; /* a host that holds nothing is a host, too */
    string_format(why, sizeof(why),
                  "its index has no %s digests of %u bytes%s, only other fingerprints",
                  blocks_digest_name(image->kind), image->block_size,
                  image->kind == DIGEST_KEYED_SHA256 ? " with this key" : "");
    return choose_host_set_unusable(host, why);
}

int choose_judge(struct choose_host *host, const struct choose_query *query, struct error *err)
{
    CLEANUP(holdings_release) struct holdings holdings = {0};
    CLEANUP(cleanup_free) struct similarity_estimate *each = NULL;
    bool open = false;
    int rc = open_catalog(&holdings, host, query, parts_of_others(query->engine), &open);

    if (rc == 0 && open)
        rc = read_images(&holdings, host, query, err);
    if (rc == 0 && blocks_stopped(NULL))
        rc = -ECANCELED;
    if (rc < 0 || !open)
        return rc;
    rc = compare(&holdings, host, query, &each, &host->facts.all, err);
    if (rc == 0)
        rc = set_donor(&holdings, host, each);
    if (rc < 0)
        return rc;
    host->facts.images = holdings.count;
    return holdings.count > 0 ? add_notes(&holdings, host)
                              : explain_nothing(&holdings, host, query);
}

int choose_find_donor(struct choose_host *host, const struct choose_query *query, struct error *err)
{
    CLEANUP(holdings_release) struct holdings holdings = {0};
    CLEANUP(cleanup_free) struct similarity_estimate *each = NULL;
    bool open = false;
    int rc = open_catalog(&holdings, host, query, FINGERPRINT_PART_SKETCH, &open);

    if (rc < 0 || !open)
        return rc;
    rc = compare(&holdings, host, query, &each, NULL, err);
    return rc == 0 ? set_donor(&holdings, host, each) : rc;
}
