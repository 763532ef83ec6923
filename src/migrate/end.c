/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the end of a migration and its undoing share: who has the VM, and what was sent. */
#include "migrate/end.h"
#include "setmov/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* QEMU closes an overlay soon after it was merged. */
#define CLOSED_S 10.0
/* So often a record of the hook's is read that is torn. */
#define PROGRESS_READS 5

static const char *destination_of(const struct journal *journal)
{
    return journal->host != NULL ? journal->host : journal->uri;
}

void migrate_say_unreached(const struct migrate_end *end, struct error *ret_text)
{
    bool is_known = end->there_why != NULL && end->there_why[0] != '\0';

    error_set(ret_text, 0, "it cannot be reached%s%s", is_known ? ": " : "",
              is_known ? end->there_why : "");
}

static void ask(const struct migrate_end *end, const struct journal *journal,
                struct migrate_places *ret_places, char ret_text[400])
{
    struct error here = {"it cannot be reached"}, there;

    migrate_say_unreached(end, &there);
    *ret_places = (struct migrate_places){.has_here = false};
    if (end->here != NULL)
        ret_places->has_here = vm_where(end->here, &journal->vm, &ret_places->here, &here) == 0;
    if (end->there != NULL)
        ret_places->has_there = vm_where(end->there, &journal->vm, &ret_places->there, &there) == 0;
    string_format(ret_text, 400, "here: %.150s; at %.60s: %.170s",
                  ret_places->has_here ? ret_places->here.state : here.text,
                  destination_of(journal),
                  ret_places->has_there ? ret_places->there.state : there.text);
}

/*
 * After a last answer that was lost, libvirt lets it run on here though it may run there.
 * Asked twice: the two sides are not asked at one time.
 */
static void hold_second(const struct migrate_end *end, const struct journal *journal,
                        struct migrate_places *places, char ret_text[400])
{
    if (journal->phase == MIGRATE_FINISHING || !migrate_runs_twice(places))
        return;
    ask(end, journal, places, ret_text);
    if (migrate_runs_twice(places) && vm_migrate_suspend(end->there, &journal->vm, NULL) == 0)
        ask(end, journal, places, ret_text);
}

/* Whoever let it run there: what it has written since is there alone. */
static int note_that_it_runs(const struct migrate_end *end, struct journal *journal,
                             const struct migrate_places *places)
{
    if (!journal->stands_still || !places->has_there || places->there.place != VM_RUNNING)
        return 0;
    journal->stands_still = false;
    return journal_save(end->config->setmov.state, journal, NULL);
}

static enum migrate_verdict judge(const struct migrate_end *end, const struct journal *journal,
                                  const struct migrate_places *places)
{
    enum migrate_verdict verdict =
        migrate_judge(places, journal->was_active, journal->was_persistent, journal->stands_still);

    if (verdict != MIGRATE_IS_HERE)
        return verdict;
    /* It had moved: what is there now is the newer one, whatever became of it here. */
    if (journal->phase == MIGRATE_FINISHING && places->there.place != VM_ABSENT)
        return MIGRATE_IS_UNKNOWN;
    /* libvirt tells nothing of the migration of one that is off, but holds it fast. */
    if (!journal->was_active && vm_is_held(end->here, &journal->vm))
        return MIGRATE_IS_UNDERWAY;
    return verdict;
}

enum migrate_verdict migrate_ask_places(const struct migrate_end *end, struct journal *journal,
                                        char ret_text[400])
{
    struct migrate_places places;
    enum migrate_verdict verdict;

    ask(end, journal, &places, ret_text);
    if (note_that_it_runs(end, journal, &places) < 0)
        return MIGRATE_IS_UNKNOWN;
    hold_second(end, journal, &places, ret_text);
    verdict = judge(end, journal, &places);
    if (verdict == MIGRATE_IS_UNKNOWN && places.here.place == VM_RUNNING &&
        (places.there.place == VM_RUNNING || places.there.place == VM_PAUSED ||
         places.there.place == VM_OFF))
        string_format(ret_text + strlen(ret_text), 400 - strlen(ret_text),
                      "; it may have run on both sides: destroy it here and go on there, or "
                      "destroy and undefine it there");
    return verdict;
}

/* The hook writes it in place: who reads meanwhile gets a torn one, but not so often in a row. */
static int read_record(struct vm_peer *there, const char *pool, const char *name,
                       struct transfer_progress *ret_progress, struct error *err)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    uint8_t bytes[TRANSFER_PROGRESS_BYTES];
    size_t length = 0;

    for (unsigned i = 0; i < PROGRESS_READS; i++) {
        int rc;

        if (i > 0)
            nanosleep(&pause, NULL);
        rc = vm_peer_read(there, pool, name, 0, bytes, sizeof(bytes), &length, err);
        if (rc < 0 || transfer_progress_decode(bytes, length, ret_progress) == 0)
            return rc;
    }
    return error_set(err, -EINVAL, "%s cannot be read", name);
}

int migrate_read_progress(struct vm_peer *there, const struct journal *journal,
                          struct transfer_progress *ret_progress, struct error *err)
{
    char name[200];

    if (journal->plan == NULL)
        return error_set(err, -ENOENT, "there is no plan yet");
    string_format(name, sizeof(name), "%s" TRANSFER_PROGRESS_SUFFIX, journal->plan);
    return read_record(there, journal->incoming_pool, name, ret_progress, err);
}

char *migrate_parts_directory(const struct config *config, const struct journal *journal)
{
    char hash[CATALOG_HASH_BYTES];
    char *path = NULL;

    catalog_hash(journal->uri, hash);
    return asprintf(&path, "%s/parts/%s", config->setmov.state,
                    journal->host != NULL ? journal->host : hash) < 0
               ? NULL
               : path;
}

int migrate_let_go_there(const struct migrate_end *end, const struct journal *journal,
                         struct error *err)
{
    struct vm_where where = {.place = VM_OTHER};
    int rc;

    if (!journal->is_handed)
        return 0;
    if (end->there == NULL)
        return error_set(err, -EHOSTUNREACH, "%s cannot be reached", destination_of(journal));
    rc = vm_where(end->there, &journal->vm, &where, err);
    if (rc == 0 && (where.place == VM_OFF ||
                    (where.place == VM_PAUSED && journal->was_active && journal->stands_still)))
        rc = vm_discard(end->there, &journal->vm, true, err);
    return rc < 0 ? error_prefix(err, rc, "what is left of it at %s", destination_of(journal)) : 0;
}

/* ---- what was sent --------------------------------------------------------------------- */

int migrate_remove_sent(const struct migrate_end *end, const struct journal *journal,
                        struct error *err)
{
    struct vm_volumes volumes = {NULL, 0, 0};
    struct transfer_progress progress;
    char prefix[200];
    int rc;

    if (journal->plan == NULL || end->there == NULL)
        return 0;
    if (journal->is_handed && migrate_read_progress(end->there, journal, &progress, NULL) == 0 &&
        migrate_hook_is_building(&progress))
        return error_set(err, -EBUSY, "the hook there has not ended");
    /* With the dot: the names of others may begin alike. */
    string_format(prefix, sizeof(prefix), "%s.", journal->plan);
    rc = vm_volumes_list(end->there, journal->incoming_pool, prefix, &volumes, err);
    for (size_t i = 0; i < volumes.count && rc == 0; i++)
        rc = vm_volume_delete(end->there, journal->incoming_pool, volumes.volumes[i].name, err);
    vm_volumes_release(&volumes);
    return rc;
}

/* ---- overlays ---------------------------------------------------------------------------- */

/* As QEMU, which holds locks on single bytes of what it has open. */
static int wait_for_lock(int fd)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    double begun_s = clock_monotonic_s();

    for (;;) {
        const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
            return 0;
        if (errno != EAGAIN && errno != EACCES)
            return 0; /* a file system without locks: QEMU has none there either */
        if (clock_monotonic_s() - begun_s > CLOSED_S)
            return -EBUSY;
        nanosleep(&pause, NULL);
    }
}

/*
 * libvirt can be wrong: one that was killed while QEMU froze a disk does not know of
 * the overlay. QEMU's lock tells who needs it, and what the guest wrote with it.
 */
int migrate_remove_overlay(const char *path, struct error *err)
{
    CLEANUP(cleanup_close)
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int rc = fd >= 0 ? wait_for_lock(fd) : -errno;

    if (rc == -ENOENT)
        return 0;
    if (rc == -EBUSY)
        return error_set(err, rc,
                         "%s stays: no disk has it, says libvirt, but a process has it open and "
                         "locked",
                         path);
    if (rc == 0 && unlink(path) < 0)
        rc = -errno;
    return rc < 0 ? error_set(err, rc, "%s cannot be removed: %s", path, strerror(-rc)) : 0;
}

void migrate_left(const struct migrate_end *end, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    if (vsnprintf(line, sizeof(line), format, arguments) < 0)
        line[0] = '\0';
    va_end(arguments);
    if (end->left != NULL)
        (void)vm_lines_add(end->left, "%s", line);
}
