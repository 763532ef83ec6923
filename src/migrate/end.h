/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a migration ends, or is undone, by its journal alone: for `setmov migrate`
 * and, after a crash, for `setmov recover`. All of it may be done again: what is
 * done already is passed over.
 */
#ifndef MIGRATE_END_H
#define MIGRATE_END_H

#include "migrate/journal.h"
#include "setmov/transfer_plan.h"

struct migrate_end {
    const struct config *config;
    struct vm_peer *here;
    struct vm_peer *there;                         /* NULL: it cannot be reached */
    const char *there_why;                         /* then: why not; NULL or "": not known */
    struct vm_lines *left;                         /* what is not done, a line each */
    void (*note)(void *context, const char *line); /* may be NULL */
    bool (*stopped)(void *context);                /* may be NULL */
    void *context;
};

/* Where the VM is, as far as both sides can tell. */
enum migrate_verdict {
    MIGRATE_IS_HERE,     /* and not there: undo */
    MIGRATE_IS_THERE,    /* and not here, or here only what is left of it: finish */
    MIGRATE_IS_UNDERWAY, /* libvirt is still at it */
    MIGRATE_IS_UNKNOWN,  /* a side cannot be asked, or they contradict one another */
};
struct migrate_places {
    bool has_here, has_there; /* could be asked */
    struct vm_where here, there;
};
/*
 * Pure. `was_active`, `was_persistent`: when the migration began. `stands_still`: nobody
 * but us lets it run there, and we do only once it is let go of here.
 */
enum migrate_verdict migrate_judge(const struct migrate_places *places, bool was_active,
                                   bool was_persistent, bool stands_still);
/* Pure. Two copies of it run, each on disks of its own, and no job of libvirt's is behind that. */
bool migrate_runs_twice(const struct migrate_places *places);
/*
 * Asks both sides. What cannot be asked is left out; `ret_text`: for people. One that runs
 * twice is unknown: which one stays, people decide; it is suspended at the destination, but
 * not where it was seen to have moved (MIGRATE_FINISHING). Who sees it run there notes in the
 * journal that it does not stand still any more.
 */
enum migrate_verdict migrate_ask_places(const struct migrate_end *end, struct journal *journal,
                                        char ret_text[400]);

/*
 * The verdict is that it is here: what libvirt left of it there, a guest that never ran
 * there or a definition, goes. Before it goes on here.
 */
int migrate_let_go_there(const struct migrate_end *end, const struct journal *journal,
                         struct error *err);
/*
 * libvirt says that it has moved: what is left of it here goes, and it goes on there, if
 * it stood still for that.
 */
int migrate_let_go_here(const struct migrate_end *end, struct journal *journal, struct error *err);

/*
 * The VM is there: it is let go of here, the plan goes out of its metadata, what is left of it here goes,
 * old images are renamed aside or removed, overlays and what was sent removed,
 * then the journal. 0, or negative: the journal stays, and `left` says why.
 * Last of all, old images that are kept are indexed: `stopped` ends that alone.
 * `plan`: whose parts are removed there; NULL: they expire.
 */
int migrate_finish(const struct migrate_end *end, struct journal *journal,
                   const struct transfer_plan *plan, struct error *err);

/*
 * The VM is here: overlays are merged back and removed, it goes on if it stood
 * still for the migration, what was built and sent there is removed (parts stay),
 * then the journal. 0, or negative: the journal stays.
 * `was_built`: the images there were made for this very migration.
 */
int migrate_undo(const struct migrate_end *end, struct journal *journal, bool was_built,
                 struct error *err);

/* "it cannot be reached", of a destination, with the reason where that is known. */
void migrate_say_unreached(const struct migrate_end *end, struct error *ret_text);

/* ---- parts of it, for both ----------------------------------------------------------------- */

/* Connects; given up after `timeout` of [sync], or when it is stopped (may be NULL). */
int migrate_open(const struct config *config, const char *uri, bool (*stopped)(void *context),
                 void *context, struct vm_peer **ret_peer, struct error *err);

/* The hook at the destination works on the plan, as far as its last record says. */
bool migrate_hook_is_building(const struct transfer_progress *progress);
/* Leaves the mark by which the hook ends; false: it could not be left. */
bool migrate_cancel_hook(struct vm_peer *there, const struct journal *journal);
/* Has the hook end, if it works on the journal's plan, and waits as long as it does something. */
void migrate_end_hook(const struct migrate_end *end, const struct journal *journal);

/*
 * Removes plan, progress and the rest of that name there; not the parts. Where the
 * hook still works on it, all stays (the cancel mark too), until it expires.
 */
int migrate_remove_sent(const struct migrate_end *end, const struct journal *journal,
                        struct error *err);
void migrate_left(const struct migrate_end *end, const char *format, ...) PRINTF_LIKE(2, 3);

/* A file that no disk has any more. -EBUSY: a process has it open all the same, and locked. */
int migrate_remove_overlay(const char *path, struct error *err);

/* Where this host remembers parts that it sent there; the caller frees; NULL: no memory. */
char *migrate_parts_directory(const struct config *config, const struct journal *journal);

/*
 * Record of the hook's progress on the journal's plan. -ENOENT: none. -EINVAL: it
 * was torn, though it was read again a few times.
 */
int migrate_read_progress(struct vm_peer *there, const struct journal *journal,
                          struct transfer_progress *ret_progress, struct error *err);

#endif
