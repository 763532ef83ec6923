/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal begins, and the disks of a VM that runs get overlays: what lies below stands still. */
#include "migrate/run.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define OVERLAY_INFIX ".setmov-"
#define MARK_LETTERS  6
#define MOST_TRIES    100

static int make_mark(char ret_mark[MARK_LETTERS + 1], struct error *err)
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32: no remainder */
    uint8_t bytes[MARK_LETTERS];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return error_set(err, -EIO, "the kernel gives no random bytes: %s", strerror(errno));
    for (size_t i = 0; i < MARK_LETTERS; i++)
        ret_mark[i] = letters[bytes[i] % (sizeof(letters) - 1)];
    ret_mark[MARK_LETTERS] = '\0';
    return 0;
}

/* A name that nothing has, beside the image. The caller frees. */
static int name_overlay(const char *base, char **ret_path, struct error *err)
{
    for (int i = 0; i < MOST_TRIES; i++) {
        char mark[MARK_LETTERS + 1];
        char *path = NULL;
        int rc = make_mark(mark, err);

        if (rc < 0)
            return rc;
        if (asprintf(&path, "%s" OVERLAY_INFIX "%s", base, mark) < 0)
            return error_set(err, -ENOMEM, "out of memory");
        if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
            *ret_path = path;
            return 0;
        }
        free(path);
    }
    return error_set(err, -EEXIST, "no name for an overlay beside %s is free", base);
}

/* ---- the journal --------------------------------------------------------------------------- */

static int note_disk(struct migration *migration, const struct vm_chain *chain, struct error *err)
{
    struct journal_disk *disk = journal_add_disk(&migration->journal);

    if (disk == NULL || (disk->target = strdup(chain->target)) == NULL)
        return error_set(err, -ENOMEM, "out of memory, or too many disks");
    for (size_t i = 0; i < chain->count; i++) {
        struct journal_layer *layer = journal_add_layer(disk);

        if (layer == NULL)
            return error_set(err, -ENOMEM, "out of memory");
        layer->path = strdup(chain->layers[i].path);
        layer->format = strdup(chain->layers[i].format);
        layer->there = strdup(chain->layers[i].path);
        layer->is_shared = i > 0;
        if (layer->path == NULL || layer->format == NULL || layer->there == NULL)
            return error_set(err, -ENOMEM, "out of memory");
    }
    return migration->vm.active ? name_overlay(chain->layers[0].path, &disk->overlay, err) : 0;
}

static bool keeps_old(const struct migration *migration)
{
    enum migrate_old_images wish = migration->options->old_images;

    return wish == MIGRATE_OLD_AS_CONFIGURED ? migration->config->migrate.old_images == CONFIG_KEEP
                                             : wish == MIGRATE_OLD_KEEP;
}

static int begin_journal(struct migration *migration, struct error *err)
{
    struct journal *journal = &migration->journal;
    struct vm_where where;
    int rc = vm_where(migration->here, &migration->vm.uuid, &where, err);

    if (rc == 0 && where.place != VM_RUNNING && where.place != VM_PAUSED && where.place != VM_OFF)
        rc = error_set(err, -EBUSY, "%s is %s", migration->vm.name, where.state);
    if (rc < 0)
        return rc;
    *journal = (struct journal){
        .vm = migration->vm.uuid,
        .vm_name = strdup(migration->vm.name),
        .phase = migration->phase,
        .was_active = migration->vm.active,
        .was_persistent = where.persistent,
        .was_paused = migration->vm.active && where.place == VM_PAUSED,
        .was_autostart = where.autostart,
        .keeps_old = keeps_old(migration),
        .host = migration->host != NULL ? strdup(migration->host->name) : NULL,
        .uri = strdup(migration->uri),
        .incoming_pool = strdup(migration->incoming_pool),
        .made_s = time(NULL),
    };
    if (journal->vm_name == NULL || journal->uri == NULL || journal->incoming_pool == NULL ||
        (migration->host != NULL && journal->host == NULL))
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < migration->chains.count && rc == 0; i++)
        rc = note_disk(migration, &migration->chains.chains[i], err);
    if (rc == 0)
        rc = migration_save(migration, err);
    migration->has_journal = rc == 0;
    return rc;
}

/* ---- the overlays ---------------------------------------------------------------------------- */

static void note_space(struct migration *migration)
{
    struct statvfs space;

    migration->free_bytes = UINT64_MAX;
    for (size_t i = 0; i < migration->chains.count; i++) {
        uint64_t bytes = 0;

        if (statvfs(migration->chains.chains[i].layers[0].path, &space) == 0)
            bytes = (uint64_t)space.f_bavail * space.f_frsize;
        if (bytes < migration->free_bytes)
            migration->free_bytes = bytes;
    }
}

static int freeze_all(struct migration *migration, struct error *err)
{
    CLEANUP(cleanup_free)
    struct vm_freeze_disk *disks = calloc(migration->journal.disk_count + 1, sizeof(*disks));
    const struct journal_disk *noted = migration->journal.disks;
    size_t count = noted != NULL ? migration->journal.disk_count : 0;

    if (disks == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        disks[i] = (struct vm_freeze_disk){.target = noted[i].target, .overlay = noted[i].overlay};
    return vm_freeze(migration->here, &migration->vm.uuid, disks, count,
                     migration->options->quiesce, err);
}

int migration_freeze(struct migration *migration, struct error *err)
{
    int rc = begin_journal(migration, err);

    if (rc < 0 || !migration->vm.active || migration->chains.count == 0)
        return rc;
    note_space(migration);
    return freeze_all(migration, err);
}
