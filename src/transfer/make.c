/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image's part of a plan: threads, their end, and how their results are joined. */
#include "transfer/make.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define THREADS_BY_PROCESSORS 8U
#define THREADS_MOST          64U
/* More of them wait where QEMU interprets the image. */
#define READERS 2U
#define TICK_NS 100000000L

struct job {
    struct image *image;
    const struct fingerprint_view *own;
    const struct transfer_sources *sources;
    const struct transfer_image *described;
    const struct transfer_make_options *options;
    struct transfer_plan *plan;
    struct assign assign;
    struct digest_plan digest;
    struct transfer_content content;
    struct make_work work;
    struct make_worker *workers;
    unsigned worker_count;
    struct transfer_image made;
    struct transfer_figures figures;
};

/* ---- before ---- */

static unsigned threads_of(const struct job *job)
{
    unsigned threads = job->options->threads;
    cpu_set_t set;

    if (threads == 0) {
        int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

        threads = count < 1 ? 1 : (unsigned)count;
        threads = threads < THREADS_BY_PROCESSORS ? threads : THREADS_BY_PROCESSORS;
        if (strcmp(image_format(job->image), "raw") != 0)
            threads += READERS;
    }
    return threads < THREADS_MOST ? threads : THREADS_MOST;
}

static int check(const struct job *job, struct error *err)
{
    const struct transfer_plan *plan = job->plan;

    if (job->own->kind != plan->kind || job->own->block_size != plan->block_size ||
        memcmp(job->own->key_id, plan->key_id, sizeof(plan->key_id)) != 0)
        return error_set(err, -EINVAL, "the fingerprint is not of the plan's kind");
    if (job->sources->earlier_count > plan->image_count)
        return error_set(err, -EINVAL, "the plan has not so many images yet");
    if (plan->image_count >= TRANSFER_PLAN_MAX_IMAGES)
        return error_set(err, -EFBIG, "a plan has %d images at most", TRANSFER_PLAN_MAX_IMAGES);
    if (job->own->identity.virtual_size != image_size(job->image))
        return error_set(err, -ESTALE, "its size is not what its fingerprint says");
    return 0;
}

/* NULL stays NULL. */
static bool copy_text(const char *from, char **ret_text)
{
    if (from == NULL)
        return true;
    *ret_text = strdup(from);
    return *ret_text != NULL;
}

static int describe(struct job *job, struct error *err)
{
    const struct transfer_image *from = job->described;
    struct transfer_image *made = &job->made;

    made->virtual_size = image_size(job->image);
    made->may_exist = from->may_exist;
    if (copy_text(from->path, &made->path) && copy_text(from->format, &made->format) &&
        copy_text(from->settings, &made->settings) && copy_text(from->backing, &made->backing) &&
        copy_text(from->backing_format, &made->backing_format))
        return 0;
    return error_set(err, -ENOMEM, "out of memory");
}

static void prepare_work(struct job *job)
{
    pthread_condattr_t monotonic;

    job->work = (struct make_work){
        .image = job->image,
        .facts = {.assign = &job->assign,
                  .digest = &job->digest,
                  .image = (uint32_t)job->plan->image_count,
                  .is_layer = job->described->backing != NULL},
        .content = &job->content,
        .size = image_size(job->image),
    };
    digest_content_init(&job->work.facts.empty);
    pthread_mutex_init(&job->work.walk, NULL);
    pthread_mutex_init(&job->work.lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&job->work.ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void release(struct job *job)
{
    for (unsigned i = 0; job->workers != NULL && i < job->worker_count; i++)
        make_draft_release(&job->workers[i].draft);
    free(job->workers);
    assign_release(&job->assign);
    transfer_content_release(&job->content);
    free(job->made.path);
    free(job->made.format);
    free(job->made.settings);
    free(job->made.backing);
    free(job->made.backing_format);
    free(job->made.extents);
    if (job->work.image == NULL)
        return;
    pthread_cond_destroy(&job->work.ended);
    pthread_mutex_destroy(&job->work.lock);
    pthread_mutex_destroy(&job->work.walk);
}

/* ---- meanwhile ---- */

/* One tick, or until the last thread has ended. */
static bool wait_a_tick(struct make_work *work)
{
    struct timespec until;
    bool running;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_NS;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    pthread_mutex_lock(&work->lock);
    while (work->running > 0 &&
           pthread_cond_timedwait(&work->ended, &work->lock, &until) != ETIMEDOUT)
        ;
    running = work->running > 0;
    pthread_mutex_unlock(&work->lock);
    return running;
}

static void tell_progress(const struct job *job)
{
    uint64_t total = job->own->totals.blocks * job->own->block_size, done = job->work.done;

    if (job->options->progress != NULL)
        job->options->progress(job->options->context, done < total ? done : total, total);
}

static void start_workers(struct job *job)
{
    struct make_work *work = &job->work;
    sigset_t all, before;
    struct error err;
    int rc = 0;

    /* Signals are for the caller's threads. */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0, most = threads_of(job); i < most && rc == 0; i++) {
        job->workers[i].work = work;
        pthread_mutex_lock(&work->lock);
        work->running++;
        pthread_mutex_unlock(&work->lock);
        rc = pthread_create(&job->workers[i].thread, NULL, make_run, &job->workers[i]);
        job->worker_count += rc == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        make_fail(work, error_set(&err, -rc, "a thread to read: %s", strerror(rc)), &err);
        pthread_mutex_lock(&work->lock);
        work->running--;
        pthread_mutex_unlock(&work->lock);
    }
}

static int read_image(struct job *job, struct error *err)
{
    const struct transfer_make_options *options = job->options;

    job->workers = calloc(THREADS_MOST, sizeof(*job->workers));
    if (job->workers == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    start_workers(job);
    while (wait_a_tick(&job->work)) {
        tell_progress(job);
        if (options->stopped != NULL && options->stopped(options->context)) {
            struct error stop;

            make_fail(&job->work, error_set(&stop, -ECANCELED, "stopped"), &stop);
        }
    }
    for (unsigned i = 0; i < job->worker_count; i++)
        pthread_join(job->workers[i].thread, NULL);
    tell_progress(job);
    if (job->work.failed < 0)
        return error_set(err, job->work.failed, "%s", job->work.failure.text);
    return 0;
}

/* ---- after: the plan's numbers of donors and parts ---- */

struct numbers {
    uint32_t *donors, *parts; /* number in the plan; UINT32_MAX: not used yet */
};

static void numbers_release(struct numbers *numbers)
{
    free(numbers->donors);
    free(numbers->parts);
}

static int numbers_init(struct numbers *numbers, const struct transfer_sources *sources)
{
    numbers->donors = malloc((sources->donor_count + 1) * sizeof(uint32_t));
    numbers->parts = malloc((sources->part_count + 1) * sizeof(uint32_t));
    if (numbers->donors == NULL || numbers->parts == NULL)
        return -ENOMEM;
    memset(numbers->donors, 0xff, sources->donor_count * sizeof(uint32_t));
    memset(numbers->parts, 0xff, sources->part_count * sizeof(uint32_t));
    return 0;
}

static int number_donor(struct transfer_plan *plan, const char id[33], uint32_t *number)
{
    int rc = 0;

    for (size_t i = 0; i < plan->donor_count && *number == UINT32_MAX; i++) {
        if (strcmp(plan->donors[i].id, id) == 0)
            *number = (uint32_t)i;
    }
    if (*number != UINT32_MAX)
        return 0;
    rc = array_reserve(&plan->donors, &plan->donor_capacity, plan->donor_count + 1,
                       sizeof(*plan->donors));
    if (rc < 0)
        return rc;
    *number = (uint32_t)plan->donor_count;
    plan->donors[plan->donor_count] = (struct transfer_donor){{0}};
    (void)string_copy(plan->donors[plan->donor_count++].id, sizeof(plan->donors->id), id);
    return 0;
}

static int number_part(struct transfer_plan *plan, const struct transfer_part *part,
                       uint32_t *number)
{
    int rc = 0;

    for (size_t i = 0; i < plan->part_count && *number == UINT32_MAX; i++) {
        if (memcmp(plan->parts[i].sha256, part->sha256, TRANSFER_HASH_BYTES) == 0)
            *number = (uint32_t)i;
    }
    if (*number != UINT32_MAX)
        return 0;
    rc = array_reserve(&plan->parts, &plan->part_capacity, plan->part_count + 1,
                       sizeof(*plan->parts));
    if (rc < 0)
        return rc;
    *number = (uint32_t)plan->part_count;
    plan->parts[plan->part_count++] = *part;
    return 0;
}

static int number_source(struct job *job, struct numbers *numbers, struct transfer_extent *extent)
{
    uint32_t source = extent->source, *number;
    int rc = 0;

    if (extent->kind == TRANSFER_COPY) {
        number = &numbers->donors[source];
        if (*number == UINT32_MAX)
            rc = number_donor(job->plan, job->sources->donor_ids[source], number);
    } else if (extent->kind == TRANSFER_SENT && source != UINT32_MAX) {
        number = &numbers->parts[source];
        if (*number == UINT32_MAX)
            rc = number_part(job->plan, &job->sources->parts[source].part, number);
    } else {
        return 0;
    }
    extent->source = *number;
    return rc;
}

/* ---- after: one behind the other ---- */

struct place {
    uint64_t piece;
    const struct make_draft *draft;
    const struct make_record *record;
};

static int by_piece(const void *left, const void *right)
{
    const struct place *l = left, *r = right;

    return (l->piece > r->piece) - (l->piece < r->piece);
}

static int append_record(struct job *job, struct numbers *numbers, const struct place *place)
{
    struct transfer_plan *plan = job->plan;

    for (size_t i = 0; i < place->record->count; i++) {
        struct transfer_extent extent = place->draft->extents[place->record->first + i];
        int rc;

        if (extent.kind == TRANSFER_COPY) {
            memcpy(plan->hashes[plan->hash_count], place->draft->hashes[extent.hash],
                   TRANSFER_HASH_BYTES);
            extent.hash = plan->hash_count++;
        }
        rc = number_source(job, numbers, &extent);
        if (rc < 0)
            return rc;
        job->made.extents[job->made.extent_count++] = extent;
    }
    return 0;
}

static int append_records(struct job *job, struct place *places, size_t count)
{
    CLEANUP(numbers_release) struct numbers numbers = {0};
    int rc = numbers_init(&numbers, job->sources);

    qsort(places, count, sizeof(*places), by_piece);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = append_record(job, &numbers, &places[i]);
    return rc;
}

/* Room for everything, so that nothing moves while it is filled. */
static int make_room(struct job *job, size_t *ret_records)
{
    struct transfer_plan *plan = job->plan;
    size_t extents = 0, hashes = plan->hash_count;
    int rc;

    *ret_records = 0;
    for (unsigned i = 0; i < job->worker_count; i++) {
        const struct make_draft *draft = &job->workers[i].draft;

        extents += draft->extent_count;
        hashes += draft->hash_count;
        *ret_records += draft->record_count;
    }
    rc = array_reserve(&job->made.extents, &job->made.extent_capacity, extents + 1,
                       sizeof(*job->made.extents));
    if (rc == 0)
        rc = array_reserve(&plan->hashes, &plan->hash_capacity, hashes + 1, TRANSFER_HASH_BYTES);
    if (rc == 0)
        rc = array_reserve(&plan->images, &plan->image_capacity, plan->image_count + 1,
                           sizeof(*plan->images));
    return rc;
}

static int join(struct job *job)
{
    CLEANUP(cleanup_free) struct place *places = NULL;
    size_t records, count = 0;
    int rc = make_room(job, &records);

    if (rc < 0)
        return rc;
    places = malloc((records + 1) * sizeof(*places));
    if (places == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < job->worker_count; i++) {
        const struct make_draft *draft = &job->workers[i].draft;

        for (size_t r = 0; r < draft->record_count; r++)
            places[count++] = (struct place){draft->records[r].piece, draft, &draft->records[r]};
    }
    return append_records(job, places, count);
}

static void add_figures(struct job *job)
{
    struct transfer_figures *sum = &job->figures;
    uint64_t extents = 0, copied = 0;

    for (unsigned i = 0; i < job->worker_count; i++) {
        const struct make_draft *draft = &job->workers[i].draft;
        const struct transfer_figures *figures = &draft->figures;

        extents += draft->extent_count;
        copied += draft->hash_count;
        sum->zero += figures->zero;
        sum->local += figures->local;
        sum->replicated += figures->replicated;
        sum->reused += figures->reused;
        sum->sent += figures->sent;
    }
    sum->plan_bytes = make_plan_bytes(extents, copied);
    sum->data = sum->zero + sum->local + sum->replicated + sum->reused + sum->sent;
}

/* The plan gets the image, or stays as it was. */
static int add_to_plan(struct job *job, struct error *err)
{
    struct transfer_plan *plan = job->plan;
    size_t donors = plan->donor_count, parts = plan->part_count, hashes = plan->hash_count;
    int rc = join(job);

    if (rc < 0) {
        plan->donor_count = donors;
        plan->part_count = parts;
        plan->hash_count = hashes;
        return error_set(err, -ENOMEM, "out of memory");
    }
    transfer_content_value(&job->content, job->made.content);
    plan->images[plan->image_count++] = job->made;
    job->made = (struct transfer_image){0};
    return 0;
}

/* ---- all of it ---- */

static int make(struct job *job, struct error *err)
{
    int rc = check(job, err);

    if (rc == 0)
        rc =
            digest_plan_init(&job->digest, job->own->kind, job->own->block_size,
                             job->own->kind == DIGEST_KEYED_SHA256 ? job->options->key : NULL, err);
    if (rc == 0)
        rc = describe(job, err);
    if (rc == 0)
        rc = make_assign(&job->assign, job->own, job->sources, err);
    if (rc == 0 && transfer_content_init(&job->content, image_size(job->image)) < 0)
        rc = error_set(err, -ENOMEM, "out of memory");
    if (rc < 0)
        return rc;
    prepare_work(job);
    rc = read_image(job, err);
    if (rc == 0)
        rc = add_to_plan(job, err);
    if (rc == 0)
        add_figures(job);
    return rc;
}

int transfer_make(struct image *image, const struct fingerprint_view *own,
                  const struct transfer_sources *sources, const struct transfer_image *described,
                  const struct transfer_make_options *options, struct transfer_plan *plan,
                  struct transfer_figures *ret_figures, struct error *err)
{
    static const struct transfer_make_options defaults;
    CLEANUP(release)
    struct job job = {
        .image = image,
        .own = own,
        .sources = sources,
        .described = described,
        .options = options != NULL ? options : &defaults,
        .plan = plan,
    };
    size_t layers;
    int rc = make(&job, err);

    if (rc < 0)
        return error_prefix(err, rc, "%s", image_layers(image, &layers)[0].path);
    *ret_figures = job.figures;
    return 0;
}
