/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The images are read: each becomes a fingerprint of every kind that comes into question. */
#include "migrate/run.h"

#include <errno.h>

static int open_image(struct migration *migration, struct migrate_image *image, struct error *err)
{
    const struct image_options options = {
        .format = image->format,
        .follow_backing_outside = true,
        .only_top = image->backing != NULL,
        .stopped = migration_stopped,
        .context = migration,
    };
    int rc = image_open(image->path, &options, &image->image, err);
    const char *settings;

    if (rc < 0)
        return rc;
    image->virtual_size = image_size(image->image);
    free(image->settings);
    image->settings = NULL;
    settings = image_settings(image->image);
    if (settings[0] != '\0' && (image->settings = strdup(settings)) == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

/* The bytes of the images before this one, which are read already. */
struct reading {
    struct migration *migration;
    uint64_t before, last;
};

static void take_progress(void *context, const struct fingerprint_progress *progress)
{
    struct reading *reading = context;

    reading->last = progress->bytes_done;
    migration_tell(reading->migration, reading->before + progress->bytes_done,
                   reading->before + progress->bytes_known);
}

static bool ask_stopped(void *context)
{
    const struct reading *reading = context;

    return migration_stopped(reading->migration);
}

static int build(struct migration *migration, struct migrate_image *image, struct reading *reading,
                 struct error *err)
{
    struct fingerprint_wish wishes[CONFIG_MAX_BLOCK_SIZES];
    const struct fingerprint_build_options options = {
        .progress = take_progress, .stopped = ask_stopped, .context = reading};

    if (image->prints[0] != NULL)
        return 0;
    for (size_t i = 0; i < migration->block_size_count; i++)
        wishes[i] = (struct fingerprint_wish){
            .kind = migration->kind,
            .block_size = migration->block_sizes[i],
            .key = migration->key_or_null,
        };
    return fingerprint_build(image->image, wishes, migration->block_size_count, &options,
                             image->prints, err);
}

int migration_read(struct migration *migration, struct error *err)
{
    struct reading reading = {.migration = migration};
    int rc = 0;

    for (size_t i = 0; i < migration->image_count && rc == 0; i++) {
        struct migrate_image *image = &migration->images[i];

        rc = open_image(migration, image, err);
        if (rc == 0)
            rc = build(migration, image, &reading, err);
        /* Nobody writes to it any more, unless somebody else does. */
        if (rc == 0 && !migration->options->dry_run && image->prints[0]->view.identity.provisional)
            rc = error_set(err, -EBUSY, "%s is held for writing by somebody else", image->path);
        reading.before += reading.last;
        reading.last = 0;
    }
    return migration_why(migration, rc, err);
}

void migration_close_images(struct migration *migration)
{
    for (size_t i = 0; i < migration->image_count; i++) {
        image_close(migration->images[i].image);
        migration->images[i].image = NULL;
    }
}

int migration_check_unchanged(struct migration *migration, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < migration->image_count && rc == 0; i++)
        rc = image_check_unchanged(migration->images[i].image, err);
    /* What the hook finds stale is another matter, and can be mended. */
    return rc == -ESTALE ? -EBUSY : rc;
}
