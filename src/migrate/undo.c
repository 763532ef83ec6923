/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A migration that did not come about: all is as it was before, and the VM goes on here. */
#include "migrate/end.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

/* Its state here, with the guest going on where it stood still for the migration. */
static int find_and_wake(const struct migrate_end *end, const struct journal *journal,
                         struct vm_where *ret_where, struct error *err)
{
    int rc = vm_where(end->here, &journal->vm, ret_where, err);

    /* Before libvirt was told to migrate it, it stands still for somebody else's migration. */
    if (rc < 0 || ret_where->place != VM_OUTGOING || !journal->is_handed)
        return rc;
    rc = vm_resume(end->here, &journal->vm, err);
    if (rc < 0)
        return error_prefix(err, rc, "it stands still, and cannot be resumed");
    /* Its images are QEMU's again only once it has gone on. */
    if (journal->was_paused)
        rc = vm_migrate_suspend(end->here, &journal->vm, err);
    return rc < 0 ? rc : vm_where(end->here, &journal->vm, ret_where, err);
}

/*
 * What the guest wrote meanwhile is in the layer below by now, or the overlay was
 * never used: only then the disk lies on that layer alone. A disk that was taken
 * from the VM, say, has it in the overlay.
 */
static int check_merged(const struct migrate_end *end, const struct journal *journal,
                        const struct journal_disk *disk, struct error *err)
{
    struct vm_chains chains = {NULL, 0, 0};
    bool merged = false;
    int rc = vm_chains_read(end->here, &journal->vm, &chains, err);

    for (size_t i = 0; i < chains.count && rc == 0; i++) {
        const struct vm_chain *chain = &chains.chains[i];

        if (strcmp(chain->target, disk->target) == 0 && chain->count > 0 &&
            strcmp(chain->layers[0].path, disk->layers[0].path) == 0)
            merged = true;
    }
    vm_chains_release(&chains);
    if (rc < 0 || merged)
        return rc;
    return error_set(err, -EBUSY, "it does not lie on %s any more, so %s stays",
                     disk->layers[0].path, disk->overlay);
}

static int thaw(const struct migrate_end *end, const struct journal *journal,
                const struct journal_disk *disk, bool is_active, struct error *err)
{
    const struct vm_freeze_disk freeze = {.target = disk->target, .overlay = disk->overlay};
    int rc;

    if (disk->overlay == NULL)
        return 0;
    /* Nothing may be stopped here: who asks for an end gets it by this. */
    rc = is_active ? vm_thaw(end->here, &journal->vm, &freeze, NULL, NULL, err)
                   : vm_thaw_off(end->here, &journal->vm, &freeze, err);
    /* The disk went before it was frozen, or all was done already. */
    if ((rc == 0 || rc == -ENODEV) && access(disk->overlay, F_OK) < 0 && errno == ENOENT)
        return 0;
    if (rc < 0)
        return error_prefix(err, rc, "disk %s cannot be merged back", disk->target);
    rc = check_merged(end, journal, disk, err);
    return rc < 0 ? error_prefix(err, rc, "disk %s", disk->target)
                  : migrate_remove_overlay(disk->overlay, err);
}

/*
 * What the hook built, and gave its name; it has leases, so what fails here goes later.
 * Once the leases are over, the names may be those of somebody else's files.
 */
static void remove_built(const struct migrate_end *end, const struct journal *journal)
{
    struct error why = {""};

    if (time(NULL) - journal->changed_s >= TRANSFER_LEASE_S)
        return;
    for (size_t i = 0; i < journal->disk_count; i++) {
        for (size_t j = 0; j < journal->disks[i].layer_count; j++) {
            const struct journal_layer *layer = &journal->disks[i].layers[j];

            if (!layer->is_shared && vm_file_delete(end->there, layer->there, &why) < 0)
                migrate_left(end, "%s stays at the destination until setmov gc removes it: %s",
                             layer->there, why.text);
        }
    }
}

int migrate_undo(const struct migrate_end *end, struct journal *journal, bool was_built,
                 struct error *err)
{
    struct vm_where where = {.place = VM_OTHER};
    struct error why = {""};
    int rc = -EHOSTUNREACH, code;

    if (end->here == NULL)
        return error_set(err, rc, "libvirt of this host cannot be reached");
    rc = migrate_let_go_there(end, journal, err);
    if (rc == 0)
        rc = find_and_wake(end, journal, &where, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < journal->disk_count; i++) {
        bool is_active = where.place == VM_RUNNING || where.place == VM_PAUSED;

        /* One disk that cannot be merged leaves the others no reason to stay. */
        code = thaw(end, journal, &journal->disks[i], is_active, &why);
        if (code < 0 && rc == 0)
            rc = error_set(err, code, "%s", why.text);
    }
    if (journal->was_persistent && !where.persistent)
        migrate_left(end,
                     "%s is here, but libvirt has forgotten its definition: virsh dumpxml "
                     "--inactive, then virsh define",
                     journal->vm_name);
    if (end->there != NULL && was_built)
        remove_built(end, journal);
    code = migrate_remove_sent(end, journal, &why);
    if (end->there == NULL)
        migrate_say_unreached(end, &why);
    if (code < 0 || end->there == NULL)
        migrate_left(end, "what was sent stays at the destination until it expires: %s", why.text);
    return rc < 0 ? rc : journal_remove(end->config->setmov.state, &journal->vm, err);
}
