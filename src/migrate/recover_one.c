/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One migration that was left in the middle: undone, finished, or let alone. Until
 * libvirt was told to migrate, the VM is here, whatever the destination says. From
 * then on both sides are asked, and without two answers that fit nothing is done.
 */
#include "migrate/recover.h"

#include <errno.h>

/* ---- what is to be done -------------------------------------------------------------------- */

static const char *destination_of(const struct journal *journal)
{
    return journal->host != NULL ? journal->host : journal->uri;
}

/* Did the hook make the images there for this plan? Else what has their names is somebody's. */
static bool was_built(const struct migrate_end *end, const struct journal *journal)
{
    struct transfer_progress progress;

    return journal->is_handed && end->there != NULL &&
           migrate_read_progress(end->there, journal, &progress, NULL) == 0 &&
           progress.phase == TRANSFER_PUBLISHED;
}

static enum migrate_recovered undo(const struct migrate_end *end, struct journal *journal,
                                   char ret_text[512])
{
    const char *phase = migrate_phase_name(journal->phase);
    struct vm_where where = {.place = VM_OTHER};
    struct error why = {""};
    int rc = vm_where(end->here, &journal->vm, &where, &why);

    /* Its disks are whole only with their overlays, which nobody would merge then. */
    if (rc == 0 && where.place == VM_ABSENT)
        rc = error_set(&why, -ENOENT, "libvirt does not know it here");
    if (rc == 0 && journal->is_handed)
        migrate_end_hook(end, journal);
    if (rc == 0)
        rc = migrate_undo(end, journal, was_built(end, journal), &why);
    if (rc < 0) {
        string_format(ret_text, 512,
                      "its migration to %.100s (left while %s) cannot be undone: %.300s",
                      destination_of(journal), phase, why.text);
        return MIGRATE_RECOVERED_FAILED;
    }
    if (vm_where(end->here, &journal->vm, &where, NULL) < 0)
        where = (struct vm_where){.state = "here"};
    string_format(ret_text, 512,
                  "undone: it is here as before (%.80s), its migration to %.100s was left while %s",
                  where.state, destination_of(journal), phase);
    return MIGRATE_RECOVERED_UNDONE;
}

static enum migrate_recovered finish(const struct migrate_end *end, struct journal *journal,
                                     char ret_text[512])
{
    struct error why = {""};

    if (migrate_finish(end, journal, NULL, &why) < 0) {
        string_format(ret_text, 512, "it is at %.100s, but what is left of it here stays: %.300s",
                      destination_of(journal), why.text);
        return MIGRATE_RECOVERED_FAILED;
    }
    string_format(ret_text, 512, "finished: it is at %.100s, what was left of it here is put away",
                  destination_of(journal));
    return MIGRATE_RECOVERED_FINISHED;
}

static enum migrate_recovered judge_and_do(const struct migrate_end *end, struct journal *journal,
                                           char ret_text[512])
{
    char places[400] = "";

    if (!journal->is_handed)
        return undo(end, journal, ret_text);
    switch (migrate_ask_places(end, journal, places)) {
    case MIGRATE_IS_HERE:
        return undo(end, journal, ret_text);
    case MIGRATE_IS_THERE:
        return finish(end, journal, ret_text);
    case MIGRATE_IS_UNDERWAY:
        string_format(ret_text, 512, "libvirt is still moving it (%.400s)", places);
        return MIGRATE_RECOVERED_WAITS;
    default:
        string_format(ret_text, 512, "where it is cannot be known, nothing was undone (%.400s)",
                      places);
        return MIGRATE_RECOVERED_UNKNOWN;
    }
}

enum migrate_recovered migrate_recover_one(const struct config *config, struct journal *journal,
                                           bool (*stopped)(void *context), void *context,
                                           struct vm_lines *left, char ret_text[512])
{
    struct migrate_end end = {
        .config = config, .left = left, .stopped = stopped, .context = context};
    enum migrate_recovered result;
    struct error why = {""};

    end.there_why = why.text;
    if (migrate_open(config, config->setmov.connect, stopped, context, &end.here, &why) < 0) {
        string_format(ret_text, 512, "libvirt of this host cannot be asked: %.400s", why.text);
        return MIGRATE_RECOVERED_FAILED;
    }
    (void)migrate_open(config, journal->uri, stopped, context, &end.there, &why);
    result = judge_and_do(&end, journal, ret_text);
    vm_peer_close(end.there);
    vm_peer_close(end.here);
    return result;
}
