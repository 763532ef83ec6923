/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate_run(): the phases of a migration, one after the other, and the way back. */
#include "migrate/run.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define TELL_EVERY_S 0.25
#define LOOK_EVERY_S 1.0
/* Of the space that was free when the overlays were made, so much (one of ...) is left alone. */
#define SPACE_LEFT_ONE_OF 10

/* ---- for all phases -------------------------------------------------------------------- */

static void end_phase(struct migration *migration)
{
    double now_s = clock_monotonic_s();

    migration->summary->phase_s[migration->phase] += now_s - migration->phase_start_s;
    migration->summary->total_s = now_s - migration->start_s;
    migration->phase_start_s = now_s;
}

int migration_enter(struct migration *migration, enum migrate_phase phase, struct error *err)
{
    end_phase(migration);
    migration->phase = phase;
    migration->told_s = 0;
    migration_tell(migration, 0, 0);
    if (!migration->has_journal)
        return 0;
    migration->journal.phase = phase;
    return migration_save(migration, err);
}

int migration_save(struct migration *migration, struct error *err)
{
    return journal_save(migration->config->setmov.state, &migration->journal, err);
}

void migration_tell(struct migration *migration, uint64_t done, uint64_t total)
{
    double now_s = clock_monotonic_s();
    struct migrate_progress progress = {
        .phase = migration->phase,
        .done = done,
        .total = total,
        .phase_s = now_s - migration->phase_start_s,
        .all_s = now_s - migration->start_s,
        .bytes_on_line = migration->bytes_on_line,
    };

    if (migration->options->progress == NULL || now_s - migration->told_s < TELL_EVERY_S)
        return;
    migration->told_s = now_s;
    migration->options->progress(migration->options->context, &progress);
}

void migration_note(struct migration *migration, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    if (vsnprintf(line, sizeof(line), format, arguments) < 0)
        line[0] = '\0';
    va_end(arguments);
    if (migration->options->note != NULL)
        migration->options->note(migration->options->context, line);
}

/* How far the overlays grew; and whether what is left beside them is enough. */
static void look_at_overlays(struct migration *migration)
{
    uint64_t limit = migration->options->overlay_bytes, bytes = 0;

    for (size_t i = 0; i < migration->journal.disk_count; i++) {
        const char *overlay = migration->journal.disks[i].overlay;
        struct statvfs space;
        struct stat status;

        if (overlay == NULL || stat(overlay, &status) < 0)
            continue;
        bytes += (uint64_t)status.st_blocks * 512;
        if (limit == 0 && statvfs(overlay, &space) == 0 &&
            (uint64_t)space.f_bavail * space.f_frsize < migration->free_bytes / SPACE_LEFT_ONE_OF) {
            migration->stop_code = error_set(
                &migration->stop_error, -EDQUOT,
                "the guest wrote so much meanwhile that %s fills its file system", overlay);
            return;
        }
    }
    if (limit > 0 && bytes > limit)
        migration->stop_code = error_set(&migration->stop_error, -EDQUOT,
                                         "the guest wrote %llu bytes meanwhile, more than the "
                                         "overlays may grow to (%llu)",
                                         (unsigned long long)bytes, (unsigned long long)limit);
}

bool migration_stopped(void *context)
{
    struct migration *migration = context;
    double now_s = clock_monotonic_s();

    if (migration->stop_code != 0)
        return true;
    if (migration->options->stopped != NULL &&
        migration->options->stopped(migration->options->context)) {
        migration->stop_code = error_set(&migration->stop_error, -ECANCELED, "stopped");
    } else if (migration->has_journal && migration->journal.was_active &&
               now_s - migration->looked_s >= LOOK_EVERY_S) {
        migration->looked_s = now_s;
        look_at_overlays(migration);
    }
    return migration->stop_code != 0;
}

int migration_why(const struct migration *migration, int rc, struct error *err)
{
    if (rc < 0 && migration->stop_code != 0)
        return error_set(err, migration->stop_code, "%s", migration->stop_error.text);
    return rc;
}

struct catalog_kind migration_kind(const struct migration *migration, size_t i)
{
    struct catalog_kind kind = {.kind = migration->kind, .block_size = migration->block_sizes[i]};

    memcpy(kind.key_id, migration->key_id, sizeof(kind.key_id));
    return kind;
}

/* ---- connections -------------------------------------------------------------------------- */

#define REVIVE_S 30.0

void migration_reopen(struct migration *migration)
{
    vm_peer_close(migration->here);
    vm_peer_close(migration->there);
    migration->here = migration->there = NULL;
    (void)migration_open(migration, migration->config->setmov.connect, &migration->here, NULL);
    (void)migration_open(migration, migration->uri, &migration->there, &migration->there_why);
}

static bool answers(struct vm_peer *peer, const struct uuid *vm)
{
    struct vm_where where;

    return peer != NULL && vm_where(peer, vm, &where, NULL) == 0;
}

/* Before something is undone or ended: a libvirtd that was started anew meanwhile is asked again. */
static void revive(struct migration *migration)
{
    double begun_s = clock_monotonic_s();

    while ((!answers(migration->here, &migration->vm.uuid) ||
            !answers(migration->there, &migration->vm.uuid)) &&
           clock_monotonic_s() - begun_s < REVIVE_S) {
        nanosleep(&(struct timespec){1, 0}, NULL);
        migration_reopen(migration);
    }
}

/* ---- the phases ------------------------------------------------------------------------- */

static int dry_run(struct migration *migration, struct error *err)
{
    int rc = migration_take_indexed(migration, true, err);

    if (rc == 0)
        rc = migration_enter(migration, MIGRATE_READING, err);
    if (rc == 0)
        rc = migration_read(migration, err);
    if (rc == 0)
        rc = migration_know(migration, err);
    if (rc == 0)
        rc = migration_enter(migration, MIGRATE_PLANNING, err);
    return rc == 0 ? migration_foresee(migration, err) : rc;
}

/* Until all is ready to be sent. */
static int prepare(struct migration *migration, struct error *err)
{
    int rc = migration_enter(migration, MIGRATE_FREEZING, err);

    if (rc == 0)
        rc = migration_freeze(migration, err);
    if (rc == 0)
        rc = migration_enter(migration, MIGRATE_READING, err);
    if (rc == 0)
        rc = migration_take_indexed(migration, false, err);
    if (rc == 0)
        rc = migration_read(migration, err);
    if (rc == 0)
        rc = migration_know(migration, err);
    if (rc == 0)
        rc = migration_enter(migration, MIGRATE_PLANNING, err);
    return rc == 0 && migration->image_count > 0 ? migration_plan(migration, err) : rc;
}

static int send_and_move(struct migration *migration, struct error *err)
{
    uint64_t attempts = migration->config->migrate.attempts;
    int rc;

    for (migration->summary->attempts = 1;; migration->summary->attempts++) {
        rc = migration_enter(migration, MIGRATE_SENDING, err);
        /* A VM without disks needs no plan. */
        if (rc == 0 && migration->image_count > 0)
            rc = migration_send(migration, err);
        if (rc == 0)
            rc = migration_check_unchanged(migration, err);
        if (rc == 0)
            rc = migration_enter(migration, MIGRATE_BUILDING, err);
        if (rc == 0)
            rc = migration_move(migration, err);
        if (rc == 0 || !migration->is_stale || migration->summary->attempts >= attempts)
            return rc;
        migration->is_stale = false;
        rc = migration_amend(migration, err);
        if (rc < 0)
            return rc;
    }
}

static struct migrate_end end_of(const struct migration *migration)
{
    return (struct migrate_end){
        .config = migration->config,
        .here = migration->here,
        .there = migration->there,
        .there_why = migration->there_why.text,
        .left = &migration->summary->left,
        .note = migration->options->note,
        .stopped = migration->options->stopped,
        .context = migration->options->context,
    };
}

/* What failed is told; that it could not be undone as well is told beside it. */
static void roll_back(struct migration *migration, bool was_built)
{
    struct error why = {""};
    struct migrate_end end;

    migration_close_images(migration);
    (void)migration_enter(migration, MIGRATE_ROLLING_BACK, NULL);
    revive(migration);
    end = end_of(migration);
    if (migrate_undo(&end, &migration->journal, was_built, &why) < 0)
        migrate_left(&end, "%s is not as it was before, run setmov recover: %s", migration->vm.name,
                     why.text);
    migration->has_journal = false;
}

/* Nothing is undone before it is known where it is. */
static void leave(struct migration *migration)
{
    const struct migrate_end end = end_of(migration);

    migrate_left(&end, "the migration of %s as it stands, for setmov recover", migration->vm.name);
    migration->has_journal = false;
}

static void finish(struct migration *migration)
{
    struct error why = {""};
    struct migrate_end end;
    bool changed = false;

    migration->summary->moved = true;
    /* Of one that is off: the hook takes its time, and nobody keeps it from being started meanwhile. */
    if (!migration->journal.was_active && migration_check_unchanged(migration, &why) < 0) {
        for (size_t i = 0; i < migration->journal.disk_count; i++)
            migration->journal.disks[i].layers[0].is_shared = true;
        changed = true;
    }
    migration_close_images(migration);
    (void)migration_enter(migration, MIGRATE_FINISHING, NULL);
    revive(migration);
    end = end_of(migration);
    if (changed)
        migrate_left(&end,
                     "what was written here while %s moved is not at the destination, only in its "
                     "old disks here, which stay as they are: %s",
                     migration->vm.name, why.text);
    if (migrate_finish(&end, &migration->journal, &migration->plan, &why) < 0)
        migrate_left(&end, "what is left of %s here is not cleared away, run setmov recover: %s",
                     migration->vm.name, why.text);
    migration->has_journal = false;
}

static int run(struct migration *migration, struct error *err)
{
    int rc = migration_check(migration, err);

    if (rc == 0)
        rc = migration_enter(migration, MIGRATE_KNOWING, err);
    if (rc == 0)
        rc = migration_list_images(migration, err);
    if (rc == 0)
        rc = migration_sync(migration, err);
    if (rc < 0 || migration->options->dry_run)
        return rc < 0 ? rc : dry_run(migration, err);
    rc = prepare(migration, err);
    if (rc == 0)
        rc = send_and_move(migration, err);
    if (rc == 0)
        finish(migration);
    else if (migration->has_journal && migration->is_lost)
        leave(migration);
    else if (migration->has_journal)
        roll_back(migration, migration->was_built);
    return rc;
}

/* ---- the contract ------------------------------------------------------------------------- */

static void sum_up(struct migration *migration)
{
    struct migrate_summary *summary = migration->summary;
    uint64_t mirror = summary->mirror_bytes != UNKNOWN_U64 ? summary->mirror_bytes : 0;

    end_phase(migration);
    summary->wire_bytes =
        summary->packed_bytes + summary->plan_bytes + summary->catalog_bytes + mirror;
}

static void migration_release(struct migration *migration)
{
    migration_close_images(migration);
    for (size_t i = 0; i < migration->image_count; i++)
        migration_image_release(&migration->images[i]);
    free(migration->images);
    for (size_t i = 0; i < ARRAY_LENGTH(migration->donors); i++)
        migrate_donors_release(&migration->donors[i]);
    transfer_known_parts_release(&migration->parts);
    vm_volumes_release(&migration->volumes);
    transfer_plan_release(&migration->plan);
    free(migration->plan_name);
    free(migration->parts_directory);
    journal_release(&migration->journal);
    journal_unlock(&migration->lock);
    vm_chains_release(&migration->chains);
    vm_move_release(&migration->vm);
    vm_peer_close(migration->there);
    vm_peer_close(migration->here);
    free(migration->uri);
    explicit_bzero(migration->key, sizeof(migration->key));
}

int migrate_run(const struct config *config, const struct migrate_options *options,
                struct migrate_summary *ret_summary, struct error *err)
{
    struct migration migration = {
        .config = config,
        .options = options,
        .summary = ret_summary,
        .lock = JOURNAL_LOCK_NONE,
        .start_s = clock_monotonic_s(),
    };
    int rc;

    *ret_summary = (struct migrate_summary){
        .memory_bytes = UNKNOWN_U64, .mirror_bytes = UNKNOWN_U64, .downtime_ms = UNKNOWN_U64};
    migration.phase_start_s = migration.start_s;
    rc = migration_find_host(&migration, err);
    if (rc == 0)
        rc = run(&migration, err);
    sum_up(&migration);
    migration_release(&migration);
    return rc;
}

void migrate_summary_release(struct migrate_summary *summary)
{
    vm_lines_release(&summary->left);
}
