/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A migration that came about: what is left of the VM here goes, or is kept for who comes back. */
#include "migrate/end.h"
#include "migrate/old.h"
#include "setmov/peers_gc.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Never one that runs: the caller has seen that it runs there, so two would write one disk's history. */
static int remove_rest(const struct migrate_end *end, const struct journal *journal,
                       struct error *err)
{
    struct vm_where where = {.place = VM_OTHER};
    int rc = vm_where(end->here, &journal->vm, &where, err);

    if (rc < 0 || where.place == VM_ABSENT)
        return rc;
    if (where.place != VM_OFF && where.place != VM_OUTGOING)
        return error_set(err, -EBUSY, "it is here as well: %s", where.state);
    return vm_discard(end->here, &journal->vm, true, err);
}

int migrate_let_go_here(const struct migrate_end *end, struct journal *journal, struct error *err)
{
    struct vm_where where = {.place = VM_OTHER};
    int rc = remove_rest(end, journal, err);

    if (rc < 0 || !journal->stands_still)
        return rc;
    rc = vm_where(end->there, &journal->vm, &where, err);
    if (rc == 0 && where.place == VM_PAUSED && !journal->was_paused)
        rc = vm_resume(end->there, &journal->vm, err);
    if (rc < 0)
        return error_prefix(err, rc, "it stands still there");
    /* Whoever pauses it from now on means it. */
    journal->stands_still = false;
    return journal_save(end->config->setmov.state, journal, err);
}

/* ---- old images ------------------------------------------------------------------------ */

/*
 * Has a domain of this host the image, or one that lies on it? What is only renamed
 * can be named back, so that what nobody can tell is no reason to keep it where it is.
 */
static int check_unused(const struct migrate_end *end, const struct journal *journal,
                        const char *path, struct error *err)
{
    /* Never stopped: nobody would look again, and the image would stay for good. */
    int rc = peers_gc_check_unused(end->config, path, NULL, NULL, err);

    if (rc == -ENOENT || (journal->keeps_old && rc != -EBUSY))
        return 0;
    return rc;
}

static int put_aside(const struct migrate_end *end, const struct journal *journal,
                     const struct journal_layer *layer, struct catalog_images *images,
                     struct error *err)
{
    CLEANUP(cleanup_free) char *path = NULL;
    struct stat status;
    int rc;

    /* The name would go, and the image stay. */
    if (lstat(layer->path, &status) == 0 && S_ISLNK(status.st_mode))
        return error_set(err, -EINVAL, "it is a symbolic link");
    if (!journal->keeps_old)
        return unlink(layer->path) == 0 || errno == ENOENT
                   ? 0
                   : error_set(err, -errno, "%s", strerror(errno));
    rc = migrate_old_keep(end->config, &journal->vm, layer->path, &path, err);
    if (rc == 0 && path != NULL && catalog_images_add(images, path, layer->format) < 0)
        rc = error_set(err, -ENOMEM, "out of memory");
    return rc;
}

/* Of one that was off: nothing keeps it from being started meanwhile. */
static bool was_written(const struct journal *journal, const char *path)
{
    struct stat status;

    return !journal->was_active && stat(path, &status) == 0 &&
           status.st_mtim.tv_sec > journal->made_s;
}

/* Of each disk the top layer: those below may have other VMs on them. */
static void put_all_aside(const struct migrate_end *end, const struct journal *journal,
                          struct catalog_images *images)
{
    struct error why = {""};

    for (size_t i = 0; i < journal->disk_count; i++) {
        const struct journal_layer *layer = &journal->disks[i].layers[0];
        int rc;

        if (layer->is_shared)
            continue;
        rc = was_written(journal, layer->path)
                 ? error_set(&why, -EBUSY, "it was written to while it moved, and has that alone")
                 : check_unused(end, journal, layer->path, &why);
        if (rc == 0)
            rc = put_aside(end, journal, layer, images, &why);
        if (rc < 0)
            migrate_left(end, "the old image %s stays as it is: %s", layer->path, why.text);
    }
}

static int remove_overlays(const struct journal *journal, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < journal->disk_count && rc == 0; i++) {
        if (journal->disks[i].overlay != NULL)
            rc = migrate_remove_overlay(journal->disks[i].overlay, err);
    }
    return rc;
}

/* ---- what was sent ----------------------------------------------------------------------- */

/* What this host remembers of a part that goes. */
static void forget_part(const char *directory, const char *name)
{
    CLEANUP(cleanup_free) char *path = NULL;

    if (asprintf(&path, "%s/%s.blocks", directory, name + strlen(TRANSFER_PART_PREFIX)) < 0)
        path = NULL;
    else
        unlink(path);
}

/* Another migration to there may count on parts of this one. Ours is gone by now. */
static bool has_other_plan(const struct migrate_end *end, const struct journal *journal)
{
    struct vm_volumes volumes = {NULL, 0, 0};
    bool has = vm_volumes_list(end->there, journal->incoming_pool, "", &volumes, NULL) < 0;

    for (size_t i = 0; i < volumes.count; i++)
        has |= string_ends_with(volumes.volumes[i].name, TRANSFER_PLAN_SUFFIX);
    vm_volumes_release(&volumes);
    return has;
}

static void remove_parts(const struct migrate_end *end, const struct journal *journal,
                         const struct transfer_plan *plan)
{
    CLEANUP(cleanup_free) char *directory = migrate_parts_directory(end->config, journal);
    struct error why = {""};

    /* They expire then. Who has not got so far as to a plan sends anew what goes now. */
    if (has_other_plan(end, journal))
        return;
    for (size_t i = 0; i < plan->part_count; i++) {
        char name[TRANSFER_PART_NAME_BYTES];

        transfer_part_name(plan->parts[i].sha256, name);
        if (directory != NULL)
            forget_part(directory, name);
        if (vm_volume_delete(end->there, journal->incoming_pool, name, &why) < 0) {
            migrate_left(end, "parts stay at the destination until they expire: %s", why.text);
            return;
        }
    }
}

/* Takes as long as they are large: last of all, and what is stopped `setmov index` does. */
static void index_old(const struct migrate_end *end, const struct catalog_images *images)
{
    struct error why = {""};

    if (images->count > 0 &&
        migrate_old_index(end->config, images, end->stopped, end->context, &why) < 0)
        migrate_left(end, "the old images are not indexed until setmov index runs: %s", why.text);
}

int migrate_finish(const struct migrate_end *end, struct journal *journal,
                   const struct transfer_plan *plan, struct error *err)
{
    struct catalog_images images = {.images = NULL};
    struct error why = {""};
    int rc;

    if (end->here == NULL || end->there == NULL)
        return error_set(err, -EHOSTUNREACH, "%s cannot be reached%s",
                         end->here == NULL ? "libvirt of this host" : "the destination",
                         journal->stands_still && !journal->was_paused
                             ? ", and it stands still there until then"
                             : "");
    rc = migrate_let_go_here(end, journal, err);
    if (rc == 0) {
        put_all_aside(end, journal, &images);
        rc = remove_overlays(journal, err);
    }
    if (rc < 0) {
        catalog_images_release(&images);
        return rc;
    }
    if (vm_forget_plan(end->there, &journal->vm, &why) < 0)
        migrate_left(end, "the name of the plan stays in the VM's metadata: %s", why.text);
    if (journal->was_autostart && vm_set_autostart(end->there, &journal->vm, &why) < 0)
        migrate_left(end, "it does not start with its host any more (virsh autostart): %s",
                     why.text);
    if (migrate_remove_sent(end, journal, &why) < 0)
        migrate_left(end, "plan and progress stay at the destination until they expire: %s",
                     why.text);
    if (plan != NULL)
        remove_parts(end, journal, plan);
    rc = journal_remove(end->config->setmov.state, &journal->vm, err);
    index_old(end, &images);
    catalog_images_release(&images);
    return rc;
}
