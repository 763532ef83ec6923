/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Brings an index directory up to date: reads what changed, drops what vanished. */
#include "catalog/update.h"

#include <errno.h>
#include <sys/stat.h>

void update_report(const struct update *update, const struct catalog_report *report)
{
    if (update->options->event != NULL)
        update->options->event(update->options->build.context, report);
}

bool update_is_stopped(const struct update *update)
{
    const struct fingerprint_build_options *build = &update->options->build;

    return build->stopped != NULL && build->stopped(build->context);
}

static void on_progress(void *context, const struct fingerprint_progress *progress)
{
    struct update *update = context;

    update->bytes = progress->bytes_done;
    if (update->options->build.progress != NULL)
        update->options->build.progress(update->options->build.context, progress);
}

static bool on_stopped(void *context)
{
    return update_is_stopped(context);
}

/* ---- one image --------------------------------------------------------------------------- */

static bool exists(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static struct image_options options_of(const struct update *update, const struct work *work)
{
    struct image_options options = update->options->image;

    if (work->image->format != NULL)
        options.format = work->image->format;
    return options;
}

/* What is to be made of one image. */
struct order {
    struct fingerprint_wish *wishes;
    struct fingerprint_file **files;
    char **paths;
    size_t count;
};

static void order_release(struct order *order)
{
    for (size_t i = 0; i < order->count; i++) {
        if (order->paths != NULL)
            free(order->paths[i]);
        if (order->files != NULL)
            fingerprint_file_close(order->files[i]);
    }
    free(order->wishes);
    free(order->files);
    free(order->paths);
}

/* The wishes, under their names in the index directory. */
static int order_init(struct order *order, const struct update *update, const char *hash)
{
    char name[CATALOG_NAME_BYTES];

    *order = (struct order){.count = update->wish_count};
    order->wishes = calloc(order->count, sizeof(*order->wishes));
    order->files = calloc(order->count, sizeof(struct fingerprint_file *));
    order->paths = calloc(order->count, sizeof(char *));
    if (order->wishes == NULL || order->files == NULL || order->paths == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < order->count; i++) {
        catalog_name_make(hash, &update->kinds[i], name);
        order->paths[i] = catalog_path_join(update->directory.path, name);
        if (order->paths[i] == NULL)
            return -ENOMEM;
        order->wishes[i] = update->wishes[i];
        order->wishes[i].path = order->paths[i];
    }
    return 0;
}

/*
 * Is it the index directory that cannot be written to, so that others need not
 * be tried? A temporary directory that is too small is so for large images.
 */
static bool is_of_directory(const struct order *order, int code, const struct error *error)
{
    if (code != -ENOSPC && code != -EDQUOT && code != -EROFS && code != -EIO)
        return false;
    /* Errors of writing name the path first. */
    for (size_t i = 0; i < order->count; i++) {
        if (strncmp(error->text, order->paths[i], strlen(order->paths[i])) == 0)
            return true;
    }
    return false;
}

/* The image's fingerprints under their names, or none of them. */
static int build(struct update *update, const char *hash, struct image *image,
                 bool *ret_provisional, struct error *err)
{
    struct fingerprint_build_options options = update->options->build;
    struct error why = {""};
    struct order order;
    int rc = order_init(&order, update, hash);

    options.progress = on_progress;
    options.stopped = on_stopped;
    options.context = update;
    if (rc < 0)
        error_set(&why, rc, "out of memory");
    else
        rc = fingerprint_build(image, order.wishes, order.count, &options, order.files, &why);
    if (rc == 0) {
        *ret_provisional = order.files[0]->view.identity.provisional;
    } else if (is_of_directory(&order, rc, &why)) {
        update->broken = rc;
        update->broken_why = why;
    } else {
        *err = why;
    }
    order_release(&order);
    return rc;
}

static int read_image(struct update *update, struct work *work, struct error *err)
{
    struct image_options options = options_of(update, work);
    struct image *image = NULL;
    bool provisional = false;
    size_t count;
    int rc;

    update->bytes = 0;
    update_report(update,
                  &(struct catalog_report){.event = CATALOG_BEGUN, .path = work->image->path});
    options.stopped = on_stopped;
    options.context = update;
    rc = image_open(work->image->path, &options, &image, err);
    if (rc < 0)
        return rc;
    catalog_hash(image_layers(image, &count)[0].path, work->hash);
    rc = build(update, work->hash, image, &provisional, err);
    image_close(image);
    if (rc < 0)
        return rc;
    update_drop_other_kinds(update, work->hash);
    update->summary.bytes_read += update->bytes;
    update->summary.read++;
    update_report(update, &(struct catalog_report){.event = CATALOG_READ,
                                                   .path = work->image->path,
                                                   .bytes = update->bytes,
                                                   .provisional = provisional});
    return 0;
}

/* `why` has no text where it is the directory's failure: that is said once, in the end. */
static void note_failure(struct update *update, struct work *work, const struct error *why)
{
    struct image_options options = options_of(update, work);
    struct image_layer *layers = NULL;
    size_t count = 0;

    if (work->hash[0] == '\0') {
        CLEANUP(cleanup_free) char *resolved = realpath(work->image->path, NULL);

        if (resolved != NULL)
            catalog_hash(resolved, work->hash);
    }
    /* It may have changed since it was looked at. */
    if (image_look(work->image->path, &options, &layers, &count, NULL) < 0)
        count = 0;
    update_drop_untrue(update, work->hash, layers, count);
    image_layers_free(layers, count);
    update->summary.failed++;
    if (why->text[0] != '\0')
        update_report(update, &(struct catalog_report){.event = CATALOG_FAILED,
                                                       .path = work->image->path,
                                                       .error = why});
}

/* Reads the image unless its fingerprints are true, or there is no place for new ones. */
static int bring_up_to_date(struct update *update, struct work *work, struct error *err)
{
    struct image_options options = options_of(update, work);
    struct image_layer *layers = NULL;
    size_t count = 0;
    int rc = image_look(work->image->path, &options, &layers, &count, err);
    bool unchanged;

    if (rc < 0)
        return rc;
    catalog_hash(layers[0].path, work->hash);
    unchanged = !update->options->reread && update_all_hold(update, work->hash, layers, count);
    image_layers_free(layers, count);
    if (!unchanged)
        return update->broken < 0 ? update->broken : read_image(update, work, err);
    update->summary.unchanged++;
    update_report(update,
                  &(struct catalog_report){.event = CATALOG_UNCHANGED, .path = work->image->path});
    return 0;
}

static int do_work(struct update *update, struct work *work, struct error *err)
{
    struct error why = {""};
    int rc;

    if (update_is_stopped(update))
        return error_set(err, -ECANCELED, "stopped");
    work->outcome = DEALT_WITH;
    rc = bring_up_to_date(update, work, &why);
    if (rc == 0) {
        update->summary.images++;
        return 0;
    }
    if (rc == -ECANCELED && update_is_stopped(update))
        return error_set(err, rc, "%s", why.text);
    if (!exists(work->image->path)) {
        work->outcome = VANISHED; /* what there was of it is dropped with the others */
        return 0;
    }
    update->summary.images++;
    note_failure(update, work, &why);
    return 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static int prepare(struct update *update, struct error *err)
{
    update->kinds = calloc(update->wish_count + 1, sizeof(*update->kinds));
    if (update->kinds == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (update->wish_count == 0)
        return error_set(err, -EINVAL, "no fingerprint is wished for");
    for (size_t i = 0; i < update->wish_count; i++)
        update->kinds[i] = catalog_kind_of_wish(&update->wishes[i]);
    return 0;
}

static int run(struct update *update, const char *directory, const struct catalog_images *images,
               struct error *err)
{
    int rc = prepare(update, err);

    if (rc == 0)
        rc = catalog_directory_open(directory, update->options, &update->directory, err);
    if (rc == 0)
        rc = update_gather(update, images, err);
    for (size_t i = 0; i < update->count && rc == 0; i++) {
        if (update->works[i].outcome != ANOTHER_NAME)
            rc = do_work(update, &update->works[i], err);
    }
    if (rc == 0)
        rc = update_drop_vanished(update, images, err);
    if (rc == 0 && update->broken < 0)
        rc = error_set(err, update->broken,
                       "index directory %s: %zu of %zu images were not read: %s", directory,
                       update->summary.failed, update->summary.images, update->broken_why.text);
    return rc;
}

int catalog_update(const char *directory, const struct catalog_images *images,
                   const struct fingerprint_wish *wishes, size_t wish_count,
                   const struct catalog_update_options *options,
                   struct catalog_summary *ret_summary, struct error *err)
{
    struct update update = {
        .options = options,
        .wishes = wishes,
        .wish_count = wish_count,
        .directory = {.fd = -1, .lock = -1},
    };
    int rc = run(&update, directory, images, err);

    update.summary.problems = update.directory.problems;
    catalog_directory_release(&update.directory);
    free(update.works);
    free(update.kinds);
    *ret_summary = update.summary;
    return rc;
}
