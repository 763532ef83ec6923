/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt moves it, in a thread; this one watches: the hook's record while the
 * disks are built there, libvirt's job after that. However the call ends, only
 * what both sides say of the VM tells how the migration did.
 */
#include "migrate/run.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <time.h>

#define WATCH_EVERY_S 0.2
#define HURRY_AGAIN_S 5.0
#define REOPEN_S      5.0
/* While nothing is known, it is asked again for so long; while libvirt is at it, for longer. */
#define UNKNOWN_S   60.0
#define UNDERWAY_S  600.0
#define ASK_EVERY_S 1.0

/* ---- the call ------------------------------------------------------------------------------ */

struct call {
    struct migration *migration;
    struct vm_migrate_options options;
    struct vm_migrate_disk *disks;
    struct vm_layer *layers; /* of all disks, as they will be there */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    bool is_done; /* under the mutex, as are: */
    int result;
    struct error error;
};

/* Waits do not depend on what somebody sets the clock to. */
static void call_init(struct call *call)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&call->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&call->ended, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void call_release(struct call *call)
{
    free(call->disks);
    free(call->layers);
    pthread_cond_destroy(&call->ended);
    pthread_mutex_destroy(&call->mutex);
}

static uint64_t mirror_bandwidth(const struct migration *migration)
{
    const struct migrate_options *options = migration->options;

    return options->mirror_bandwidth_bits_per_s != 0 ? options->mirror_bandwidth_bits_per_s
           : options->bandwidth_bits_per_s != 0      ? options->bandwidth_bits_per_s
                                                : migration->config->migrate.bandwidth_bits_per_s;
}

static int call_disks(struct call *call, struct error *err)
{
    const struct journal *journal = &call->migration->journal;
    size_t layers = 0, at = 0;

    for (size_t i = 0; i < journal->disk_count; i++)
        layers += journal->disks[i].layer_count;
    call->disks = calloc(journal->disk_count + 1, sizeof(*call->disks));
    call->layers = calloc(layers + 1, sizeof(*call->layers));
    if (call->disks == NULL || call->layers == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < journal->disk_count; i++) {
        const struct journal_disk *disk = &journal->disks[i];

        call->disks[i] = (struct vm_migrate_disk){
            .target = disk->target, .layers = &call->layers[at], .count = disk->layer_count};
        for (size_t j = 0; j < disk->layer_count; j++)
            call->layers[at++] =
                (struct vm_layer){.path = disk->layers[j].there, .format = disk->layers[j].format};
    }
    return 0;
}

static int call_make(struct call *call, struct error *err)
{
    const struct migration *migration = call->migration;
    const struct migrate_options *options = migration->options;
    int rc = call_disks(call, err);

    if (rc < 0)
        return rc;
    call->options = (struct vm_migrate_options){
        .destination_uri = migration->uri,
        .migrate_uri = migration->migrate_uri,
        .disks_uri = options->disks_uri,
        .disks_port = options->disks_port,
        .listen_address = options->listen_address,
        .bandwidth_bits_per_s = mirror_bandwidth(migration),
        .downtime_ms = options->downtime_ms,
        .tls = options->tls,
        .auto_converge = options->auto_converge,
        .post_copy = options->busy == MIGRATE_BUSY_POST_COPY,
        .offline = !migration->journal.was_active,
        .paused = migration->journal.stands_still,
        .persistent = migration->journal.was_persistent,
        .disks = call->disks,
        .disk_count = migration->journal.disk_count,
        .plan_name = migration->plan_name,
        .plan_sha256 = migration->plan_sha256,
    };
    return 0;
}

static void *call_run(void *context)
{
    struct call *call = context;
    struct error why = {""};
    int rc = vm_migrate(call->migration->here, &call->migration->vm.uuid, &call->options, &why);

    pthread_mutex_lock(&call->mutex);
    call->result = rc;
    call->error = why;
    call->is_done = true;
    pthread_cond_signal(&call->ended);
    pthread_mutex_unlock(&call->mutex);
    return NULL;
}

/* Waits for a moment: the guest may stand still from its end on, until it is told to go on. */
static bool is_done(struct call *call)
{
    struct timespec until;
    bool is;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(WATCH_EVERY_S * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&call->mutex);
    if (!call->is_done)
        (void)pthread_cond_timedwait(&call->ended, &call->mutex, &until);
    is = call->is_done;
    pthread_mutex_unlock(&call->mutex);
    return is;
}

static void pause_s(double seconds)
{
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)}, NULL);
}

/* ---- watching ---------------------------------------------------------------------------------- */

struct watch {
    struct call *call;
    struct vm_peer *here; /* the call has the other connection */
    struct transfer_progress hook;
    struct vm_migrate_progress job; /* the last that was seen */
    bool cancelled, hurried, has_looked;
    bool is_fresh;   /* `hook` was just read */
    double moving_s; /* since when; 0: not yet */
    double hurry_s;  /* not before; 0: it was not tried yet */
    double reopen_s; /* the destination, not before */
};

static void begin_moving(struct watch *watch)
{
    watch->moving_s = clock_monotonic_s();
    (void)migration_enter(watch->call->migration, MIGRATE_MOVING, NULL);
}

/* libvirt's own connection may be well: ours is made anew. */
static void reopen_there(struct watch *watch)
{
    struct migration *migration = watch->call->migration;

    if (clock_monotonic_s() < watch->reopen_s)
        return;
    vm_peer_close(migration->there);
    migration->there = NULL;
    (void)migrate_open(migration->config, migration->uri, migration_stopped, migration,
                       &migration->there, &migration->there_why);
    watch->reopen_s = clock_monotonic_s() + REOPEN_S;
}

static void look_at_hook(struct watch *watch)
{
    struct migration *migration = watch->call->migration;
    struct transfer_progress progress;
    int rc = -ENOTCONN;

    if (migration->there != NULL)
        rc = migrate_read_progress(migration->there, &migration->journal, &progress, NULL);
    watch->is_fresh = rc == 0;
    if (rc < 0 && rc != -EINVAL && migration->plan_name != NULL)
        reopen_there(watch);
    if (rc < 0)
        return;
    watch->hook = progress;
    if (progress.phase == TRANSFER_PUBLISHED && watch->moving_s == 0) {
        migration->was_built = true;
        begin_moving(watch);
    } else if (progress.phase < TRANSFER_PUBLISHED) {
        migration_tell(migration, progress.bytes_done, progress.bytes_total);
    }
}

/* The one that does not end is hurried, once. */
static void hurry(struct watch *watch)
{
    struct migration *migration = watch->call->migration;
    const struct migrate_options *options = migration->options;
    const struct uuid *uuid = &migration->vm.uuid;
    struct error why = {""};
    int rc = 0;

    if (watch->hurried || options->busy_s == 0 || watch->moving_s == 0 ||
        clock_monotonic_s() < watch->hurry_s ||
        clock_monotonic_s() - watch->moving_s < (double)options->busy_s)
        return;
    if (options->busy == MIGRATE_BUSY_POST_COPY)
        rc = vm_migrate_post_copy(watch->here, uuid, &why);
    else if (options->busy == MIGRATE_BUSY_SUSPEND)
        rc = vm_migrate_suspend(watch->here, uuid, &why);
    else if (options->busy == MIGRATE_BUSY_ABORT && migration->stop_code == 0)
        migration->stop_code =
            error_set(&migration->stop_error, -ETIMEDOUT, "it did not end within %llu s",
                      (unsigned long long)options->busy_s);
    /* Before memory is sent, post-copy cannot begin: again then. */
    watch->hurried = rc == 0;
    if (rc < 0 && watch->hurry_s == 0)
        migration_note(migration, "the guest is too busy for the line: %s", why.text);
    watch->hurry_s = clock_monotonic_s() + HURRY_AGAIN_S;
}

static void look_at_job(struct watch *watch)
{
    struct migration *migration = watch->call->migration;
    struct vm_migrate_progress job;

    if (vm_migrate_progress(watch->here, &migration->vm.uuid, false, &job, NULL) < 0 || !job.active)
        return;
    watch->job = job;
    migration_tell(migration, job.memory_sent + job.disk_sent, job.memory_total + job.disk_total);
}

/*
 * Neither way hurts where it is too late. To abort libvirt's job does not end a
 * hook, and the hook's mark, which cannot be left on a line that is broken, does not
 * end libvirt's job.
 */
static void cancel(struct watch *watch)
{
    const struct migration *migration = watch->call->migration;

    if (!watch->cancelled && watch->moving_s == 0)
        watch->cancelled = migrate_cancel_hook(migration->there, &migration->journal);
    (void)vm_migrate_abort(watch->here, &migration->vm.uuid, NULL);
}

static void take_figures(struct watch *watch)
{
    struct migration *migration = watch->call->migration;
    struct migrate_summary *summary = migration->summary;
    struct vm_migrate_progress job = watch->job;

    if (vm_migrate_progress(migration->there, &migration->vm.uuid, true, &job, NULL) < 0 &&
        vm_migrate_progress(watch->here, &migration->vm.uuid, true, &job, NULL) < 0)
        job = watch->job;
    summary->memory_bytes = job.memory_sent;
    /*
     * What libvirt keeps of a job that has ended lacks the mirror. It ended well, so all
     * that was to be mirrored when it was last asked has been.
     */
    summary->mirror_bytes = job.disk_sent > 0 ? job.disk_sent : watch->job.disk_total;
    if (summary->mirror_bytes < watch->job.disk_sent)
        summary->mirror_bytes = watch->job.disk_sent;
    summary->downtime_ms = job.downtime_ms;
}

static bool is_as_frozen(const struct journal_disk *disk, const struct vm_chain *chain)
{
    const char *top = disk->overlay != NULL ? disk->overlay : disk->layers[0].path;
    size_t below = disk->overlay != NULL ? 1 : 0;

    return strcmp(chain->target, disk->target) == 0 && chain->count > below &&
           strcmp(chain->layers[0].path, top) == 0 &&
           strcmp(chain->layers[below].path, disk->layers[0].path) == 0;
}

/*
 * QEMU's mirror takes the top layer alone. What somebody else has laid on an overlay,
 * or merged, or plugged in meanwhile, would leave what the guest wrote before behind.
 */
static int check_frozen(const struct migration *migration, struct vm_peer *here, struct error *err)
{
    const struct journal *journal = &migration->journal;
    struct vm_chains chains = {NULL, 0, 0};
    int rc = vm_chains_read(here, &journal->vm, &chains, err);

    if (rc == 0 && chains.count != journal->disk_count)
        rc = error_set(err, -EBUSY, "%s has got or lost a disk meanwhile", journal->vm_name);
    for (size_t i = 0; i < chains.count && rc == 0; i++) {
        if (!is_as_frozen(&journal->disks[i], &chains.chains[i]))
            rc = error_set(err, -EBUSY,
                           "disk %s of %s was changed meanwhile: it lies on %s, as somebody made a "
                           "snapshot or merged one",
                           chains.chains[i].target, journal->vm_name,
                           chains.chains[i].layers[0].path);
    }
    vm_chains_release(&chains);
    return rc;
}

/* Once libvirt has its job, nobody can change the disks any more; until the hook is done, it is early. */
static void look_at_disks(struct watch *watch)
{
    struct migration *migration = watch->call->migration;

    if (watch->has_looked || watch->hook.phase == TRANSFER_WAITING || migration->stop_code != 0)
        return;
    watch->has_looked = true;
    migration->stop_code = check_frozen(migration, watch->here, &migration->stop_error);
}

/*
 * An operator who suspends the guest meanwhile means it there as well. Once it is on the
 * move that cannot be told from what libvirt does.
 */
static void look_at_guest(struct watch *watch)
{
    struct migration *migration = watch->call->migration;
    struct vm_where where = {.place = VM_OTHER};
    bool paused;

    if (watch->moving_s != 0 || !migration->journal.was_active ||
        vm_where(watch->here, &migration->vm.uuid, &where, NULL) < 0)
        return;
    /* Who does not see the hook work may see libvirt's last phase. */
    if (where.place == VM_OUTGOING && (!watch->is_fresh || !migrate_hook_is_building(&watch->hook)))
        return;
    paused = where.place == VM_PAUSED || where.place == VM_OUTGOING;
    if ((!paused && where.place != VM_RUNNING) || paused == migration->journal.was_paused)
        return;
    migration->journal.was_paused = paused;
    (void)migration_save(migration, NULL);
}

/* Returns what the call returned. */
static int watch_call(struct watch *watch, struct error *err)
{
    struct call *call = watch->call;
    struct migration *migration = call->migration;

    while (!is_done(call)) {
        if (watch->moving_s == 0)
            look_at_hook(watch);
        else if (watch->here != NULL)
            look_at_job(watch);
        if (watch->here != NULL) {
            look_at_disks(watch);
            look_at_guest(watch);
            hurry(watch);
        }
        if (migration_stopped(migration) && watch->here != NULL)
            cancel(watch);
    }
    pthread_join(call->thread, NULL);
    look_at_hook(watch);
    if (call->result < 0)
        return error_set(err, call->result, "%s", call->error.text);
    return 0;
}

/* ---- where it is ---------------------------------------------------------------------------------- */

static enum migrate_verdict find_vm(struct migration *migration, char ret_text[400])
{
    double begun_s = clock_monotonic_s();

    for (;;) {
        const struct migrate_end end = {.config = migration->config,
                                        .here = migration->here,
                                        .there = migration->there,
                                        .there_why = migration->there_why.text};
        enum migrate_verdict verdict = migrate_ask_places(&end, &migration->journal, ret_text);
        double limit_s = verdict == MIGRATE_IS_UNDERWAY ? UNDERWAY_S : UNKNOWN_S;

        if (verdict == MIGRATE_IS_HERE || verdict == MIGRATE_IS_THERE ||
            clock_monotonic_s() - begun_s > limit_s)
            return verdict;
        migration_tell(migration, 0, 0);
        pause_s(ASK_EVERY_S);
        migration_reopen(migration);
    }
}

static void end_hook(struct watch *watch)
{
    const struct migration *migration = watch->call->migration;
    const struct migrate_end end = {.there = migration->there};

    migrate_end_hook(&end, &migration->journal);
    look_at_hook(watch);
}

static void hint_at_hook(struct migration *migration)
{
    migration_note(migration,
                   "setmov's hook at %s did not begin: is it installed there, and did libvirtd "
                   "start after that?",
                   migration->name);
}

/* After a call that failed. `rc` and `err`: what it said. */
static int settle(struct watch *watch, int rc, struct error *err)
{
    struct migration *migration = watch->call->migration;
    char text[400];
    enum migrate_verdict verdict = find_vm(migration, text);

    if (verdict == MIGRATE_IS_THERE) {
        migration_note(migration, "libvirt said '%s', but it has moved: %s", err->text, text);
        return 0;
    }
    migration->is_lost = verdict != MIGRATE_IS_HERE;
    if (migration->is_lost)
        return error_set(err, -EIO,
                         "it is not known where %s is (%s): nothing was undone, setmov recover %s "
                         "does so, or finishes, when it is",
                         migration->vm.name, text, migration->vm.name);
    end_hook(watch);
    if (migration->stop_code != 0)
        return migration_why(migration, rc, err);
    if (watch->hook.phase == TRANSFER_REFUSED && watch->hook.failed > 0) {
        migration->journal.is_handed = false;
        migration->is_stale = true;
        return rc;
    }
    /* It may have said so itself, or the way there was refused here. */
    if (watch->hook.phase == TRANSFER_WAITING && migration->plan_name != NULL &&
        (rc == -EIO || rc == -ENOTSUP))
        hint_at_hook(migration);
    /* What libvirt says may be no more than that a file ended; a hook's line stands for itself. */
    return rc == -EIO ? error_prefix(err, rc, "libvirt did not move %s to %s", migration->vm.name,
                                     migration->name)
                      : rc;
}

/* As soon as can be. What fails here is tried again, and told, when all else is finished. */
static void go_on_there(struct migration *migration)
{
    const struct migrate_end end = {
        .config = migration->config, .here = migration->here, .there = migration->there};

    if (migration->here != NULL && migration->there != NULL)
        (void)migrate_let_go_here(&end, &migration->journal, NULL);
}

/* libvirt would move the definition of one that was started meanwhile, away from below it. */
static int check_off(struct migration *migration, struct error *err)
{
    struct vm_where where = {.place = VM_OTHER};
    int rc;

    if (migration->journal.was_active)
        return 0;
    rc = vm_where(migration->here, &migration->vm.uuid, &where, err);
    if (rc == 0 && where.place != VM_OFF)
        rc = error_set(err, -EBUSY, "%s is %s by now", migration->vm.name, where.state);
    return rc;
}

/* Of one that was off, libvirt moves the definition though it was started while the hook built. */
static int check_started(struct migration *migration, struct error *err)
{
    const struct migrate_end end = {
        .config = migration->config, .here = migration->here, .there = migration->there};
    char text[400];

    if (migration->journal.was_active ||
        migrate_ask_places(&end, &migration->journal, text) != MIGRATE_IS_HERE)
        return 0;
    return error_set(err, -EBUSY, "%s was started meanwhile (%s)", migration->vm.name, text);
}

int migration_move(struct migration *migration, struct error *err)
{
    CLEANUP(call_release)
    struct call call = {.migration = migration};
    struct watch watch = {.call = &call};
    int rc, code;

    call_init(&call);
    migration->journal.stands_still =
        migration->journal.was_active && migration->options->busy != MIGRATE_BUSY_POST_COPY;
    rc = check_off(migration, err);
    if (rc == 0)
        rc = call_make(&call, err);
    if (rc == 0)
        rc = migration_open(migration, migration->config->setmov.connect, &watch.here, err);
    if (rc == 0)
        rc = check_frozen(migration, watch.here, err);
    migration->journal.is_handed = rc == 0;
    if (rc == 0)
        rc = migration_save(migration, err);
    if (rc == 0) {
        code = pthread_create(&call.thread, NULL, call_run, &call);
        if (code != 0)
            rc = error_set(err, -code, "cannot start a thread: %s", strerror(code));
        if (rc < 0)
            migration->journal.is_handed = false;
    }
    if (rc < 0) {
        vm_peer_close(watch.here);
        return rc;
    }
    /* Without disks nothing is built. */
    if (migration->plan_name == NULL)
        begin_moving(&watch);
    rc = watch_call(&watch, err);
    if (rc < 0)
        rc = settle(&watch, rc, err);
    else
        rc = check_started(migration, err);
    if (rc == 0) {
        go_on_there(migration);
        take_figures(&watch);
    }
    vm_peer_close(watch.here);
    return rc;
}
