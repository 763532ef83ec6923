/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One image becomes one fingerprint or several: threads, their end, and what the files say. */
#include "fingerprint/build.h"
#include "fingerprint/writer_crew.h"
#include "setmov/base_new_file.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define MEMORY_DEFAULT        ((size_t)512 << 20)
#define MEMORY_LEAST          ((size_t)16 << 20)
#define THREADS_BY_PROCESSORS 8U
#define THREADS_MOST          FINGERPRINT_MAX_THREADS
#define PROGRESS_NS           100000000L
/* What is read stays in the processor's own cache until it is digested. */
#define CHUNK_DIRECT ((size_t)256 << 10)
/* Enough for qemu-nbd, which several ask; larger ones would fall out of the cache as well. */
#define CHUNK_OTHER ((size_t)512 << 10)
/* Blocks in a chunk, so that few groups of blocks are filled only in part. */
#define CHUNK_BLOCKS ((size_t)64)

struct job {
    struct image *image;
    const struct fingerprint_wish *wishes;
    struct fingerprint_build_options options;
    unsigned threads; /* places to digest at, and threads that finish */
    unsigned workers; /* that read and digest */
    const char *path; /* of the image */
    bool in_use;      /* seen at one time at least */
    time_t began_s;   /* what changes from here on may not be in the fingerprint */
    size_t finished;  /* fingerprints */
    double told_s;    /* when progress was told last */
    struct build build;
};

/* ---- what is wanted ------------------------------------------------------------- */

static unsigned processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    if (count > (int)THREADS_BY_PROCESSORS)
        return THREADS_BY_PROCESSORS;
    return count > 0 ? (unsigned)count : 1;
}

/* The threads' buffers, two each, together. */
static size_t buffer_memory(const struct job *job)
{
    return job->options.memory_bytes / 2;
}

static void complete_options(struct job *job, const struct fingerprint_build_options *options)
{
    if (options != NULL)
        job->options = *options;
    if (job->options.memory_bytes == 0)
        job->options.memory_bytes = MEMORY_DEFAULT;
    if (job->options.memory_bytes < MEMORY_LEAST)
        job->options.memory_bytes = MEMORY_LEAST;
    job->options.temporary = new_file_directory(job->options.temporary);
    job->threads = job->options.threads == 0 ? processors() : job->options.threads;
    if (job->threads > THREADS_MOST)
        job->threads = THREADS_MOST;
    job->workers = job->threads;
    if (!image_is_direct(job->image))
        job->workers += BUILD_READERS;
    if (job->workers > THREADS_MOST)
        job->workers = THREADS_MOST;
    if (job->workers > buffer_memory(job) / (2 * CHUNK_DIRECT))
        job->workers = (unsigned)(buffer_memory(job) / (2 * CHUNK_DIRECT));
    if (job->threads > job->workers)
        job->threads = job->workers;
}

static int check_wish(const struct job *job, const struct fingerprint_wish *wish,
                      struct build_wish *ret_wish, struct error *err)
{
    uint64_t size = image_size(job->image), block_size = wish->block_size;
    int rc = digest_plan_init(&ret_wish->plan, wish->kind, wish->block_size, wish->key, err);

    if (rc < 0)
        return rc;
    if ((size + (block_size - 1)) / block_size > FINGERPRINT_MAX_BLOCKS)
        return error_set(err, -EFBIG,
                         "%s: its size, %" PRIu64 " bytes, is more than 2^40 blocks of %" PRIu64,
                         job->path, size, block_size);
    return 0;
}

static int check_wishes(struct job *job, struct error *err)
{
    size_t layers;

    (void)image_layers(job->image, &layers);
    if (layers > FINGERPRINT_MAX_LAYERS)
        return error_set(err, -EINVAL, "%s consists of %zu files, a fingerprint has room for %d",
                         job->path, layers, FINGERPRINT_MAX_LAYERS);
    if (job->build.count == 0)
        return error_set(err, -EINVAL, "%s: no fingerprint is wished for", job->path);
    for (size_t i = 0; i < job->build.count; i++) {
        int rc = check_wish(job, &job->wishes[i], &job->build.wishes[i], err);

        if (rc < 0)
            return rc;
        for (size_t j = 0; j < i && job->wishes[i].path != NULL; j++) {
            if (job->wishes[j].path != NULL &&
                strcmp(job->wishes[i].path, job->wishes[j].path) == 0)
                return error_set(err, -EINVAL, "%s: two fingerprints cannot have one name",
                                 job->wishes[i].path);
        }
    }
    return 0;
}

/* ---- the caller ------------------------------------------------------------------- */

static void tell_progress(struct job *job, double finishing)
{
    struct scan *scan = &job->build.scan;
    struct fingerprint_progress progress;

    if (job->options.progress == NULL)
        return;
    /* In this order nothing is done that is not known. */
    progress.bytes_done = scan->bytes_done;
    progress.bytes_known = scan->bytes_known;
    progress.offset = scan->position;
    progress.virtual_size = scan->size;
    progress.finishing = finishing;
    job->options.progress(job->options.context, &progress);
}

static bool is_stopped(void *context)
{
    const struct job *job = context;

    return job->options.stopped != NULL && job->options.stopped(job->options.context);
}

/* A writer's share of what follows the reading. */
static void finishing(void *context, double share)
{
    struct job *job = context;
    double now_s = clock_monotonic_s();

    if (share < 1 && now_s - job->told_s < PROGRESS_NS / 1e9)
        return;
    job->told_s = now_s;
    tell_progress(job, ((double)job->finished + share) / (double)job->build.count);
}

/* ---- writers ----------------------------------------------------------------------- */

static int new_writer(struct job *job, size_t which, size_t memory_bytes, struct error *err)
{
    static const uint8_t zeroes[DIGEST_BLOCK_MAX];
    const struct fingerprint_wish *wish = &job->wishes[which];
    struct build_wish *made = &job->build.wishes[which];
    uint64_t size = image_size(job->image);
    struct fingerprint_writer_settings settings = {
        .kind = wish->kind,
        .block_size = wish->block_size,
        .path = wish->path,
        .temporary = job->options.temporary,
        .workers = job->threads,
        .memory_bytes = memory_bytes,
        .blocks_expected = (size + (wish->block_size - 1)) / wish->block_size,
        .sync = job->options.sync,
        .caller = {is_stopped, finishing, job},
    };

    if (wish->kind == DIGEST_KEYED_SHA256)
        fingerprint_key_id(wish->key, settings.key_id);
    digest_blocks(&made->plan, zeroes, 1, &settings.zero_digest);
    return fingerprint_writer_new(&settings, &made->writer, err);
}

/* Memory is shared out as entries are expected. */
static int new_writers(struct job *job, size_t memory_bytes, struct error *err)
{
    double sum = 0;

    for (size_t i = 0; i < job->build.count; i++)
        sum += 1.0 / job->wishes[i].block_size;
    for (size_t i = 0; i < job->build.count; i++) {
        double share = 1.0 / job->wishes[i].block_size / sum;
        int rc = new_writer(job, i, (size_t)((double)memory_bytes * share), err);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static int prepare(struct job *job, struct error *err)
{
    size_t grain = DIGEST_BLOCK_MIN,
           chunk = image_is_direct(job->image) ? CHUNK_DIRECT : CHUNK_OTHER;
    size_t most = buffer_memory(job) / 2 / job->workers;
    int rc = check_wishes(job, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < job->build.count; i++) {
        if (job->wishes[i].block_size > grain)
            grain = job->wishes[i].block_size;
    }
    if (chunk < CHUNK_BLOCKS * grain)
        chunk = CHUNK_BLOCKS * grain;
    while (chunk > most && chunk > CHUNK_DIRECT)
        chunk /= 2;
    scan_init(&job->build.scan, job->image, grain, chunk);
    return new_writers(job, job->options.memory_bytes - 2 * chunk * job->workers, err);
}

/* ---- reading ------------------------------------------------------------------------ */

static int stopped_error(const struct job *job, struct error *err)
{
    return error_set(err, -ECANCELED, "%s: stopped", job->path);
}

/* One tick, or until the last thread has ended. */
static bool wait_a_tick(struct scan *scan)
{
    struct timespec until;
    bool running;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PROGRESS_NS;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    pthread_mutex_lock(&scan->lock);
    while (scan->running > 0 &&
           pthread_cond_timedwait(&scan->ended, &scan->lock, &until) != ETIMEDOUT)
        ;
    running = scan->running > 0;
    pthread_mutex_unlock(&scan->lock);
    return running;
}

/* Returns how many there are. */
static unsigned start_workers(struct job *job, struct build_worker *workers)
{
    struct scan *scan = &job->build.scan;
    sigset_t before;
    unsigned started = 0;
    struct error err;
    int rc = 0;

    crew_block_signals(&before);
    for (; started < job->workers && rc == 0; started += rc == 0) {
        workers[started] = (struct build_worker){.build = &job->build};
        pthread_mutex_lock(&scan->lock);
        scan->running++;
        pthread_mutex_unlock(&scan->lock);
        rc = pthread_create(&workers[started].thread, NULL, build_work, &workers[started]);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        scan_fail(scan, error_set(&err, -rc, "a thread to read: %s", strerror(rc)), &err);
        pthread_mutex_lock(&scan->lock);
        scan->running--;
        pthread_mutex_unlock(&scan->lock);
    }
    return started;
}

static int read_image(struct job *job, struct error *err)
{
    struct build_worker workers[THREADS_MOST];
    struct scan *scan = &job->build.scan;
    unsigned started = start_workers(job, workers);

    while (wait_a_tick(scan)) {
        tell_progress(job, 0);
        if (is_stopped(job)) {
            struct error stop;

            scan_fail(scan, stopped_error(job, &stop), &stop);
        }
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    tell_progress(job, 0);
    if (scan->failed < 0)
        return error_set(err, scan->failed, "%s", scan->failure.text);
    return 0;
}

/* ---- the end --------------------------------------------------------------------------- */

static void copy_layer(const struct image_layer *from, struct fingerprint_layer *to)
{
    *to = (struct fingerprint_layer){
        .path = from->path,
        .format = from->format,
        .device = from->device,
        .inode = from->inode,
        .size = from->size,
        .modified_s = from->modified.tv_sec,
        .changed_s = from->changed.tv_sec,
        .modified_ns = (uint32_t)from->modified.tv_nsec,
        .changed_ns = (uint32_t)from->changed.tv_nsec,
        .is_block_device = from->is_block_device,
    };
}

static int finish_writers(struct job *job, const struct fingerprint_identity *identity,
                          struct error *err)
{
    for (size_t i = 0; i < job->build.count; i++) {
        struct build_wish *wish = &job->build.wishes[i];
        struct fingerprint_writer_end end = {*identity, wish->zeroes.count, wish->zeroes.first};
        int rc;

        job->finished = i;
        rc = fingerprint_writer_finish(wish->writer, &end, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* What was read becomes files that have no names yet. */
static int finish(struct job *job, struct error *err)
{
    CLEANUP(cleanup_free) struct fingerprint_layer *layers = NULL;
    struct fingerprint_identity identity = {
        .virtual_size = image_size(job->image),
        .has_content_sha256 = job->build.whole,
        .made_s = job->began_s,
    };
    const struct image_layer *files = image_layers(job->image, &identity.layer_count);
    int rc = image_check_unchanged(job->image, err);

    /* Who holds it now may have begun after the reading: then nothing has changed. */
    job->in_use |= image_is_in_use(job->image);
    if (rc < 0 && !(rc == -ESTALE && job->in_use))
        return rc;
    identity.provisional = job->in_use;
    if (job->build.whole)
        digest_content_value(&job->build.content, identity.content_sha256);
    layers = calloc(identity.layer_count, sizeof(*layers));
    if (layers == NULL)
        return error_set(err, -ENOMEM, "%s: out of memory", job->path);
    for (size_t i = 0; i < identity.layer_count; i++)
        copy_layer(&files[i], &layers[i]);
    identity.layers = layers;
    return finish_writers(job, &identity, err);
}

static int publish(struct job *job, struct fingerprint_file **files, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < job->build.count && files != NULL && rc == 0; i++)
        rc = fingerprint_writer_open(job->build.wishes[i].writer, &files[i], err);
    /* What can be known before is no reason to leave a part of them. */
    for (size_t i = 0; i < job->build.count && rc == 0; i++)
        rc = fingerprint_writer_check_name(job->build.wishes[i].writer, err);
    for (size_t i = 0; i < job->build.count && rc == 0; i++)
        rc = fingerprint_writer_publish(job->build.wishes[i].writer, err);
    return rc;
}

static int run(struct job *job, struct fingerprint_file **files, struct error *err)
{
    int rc = prepare(job, err);

    if (rc == 0)
        rc = read_image(job, err);
    if (rc == 0)
        rc = finish(job, err);
    if (rc == 0)
        rc = publish(job, files, err);
    return rc;
}

static void release(struct job *job)
{
    for (size_t i = 0; i < job->build.count; i++)
        fingerprint_writer_free(job->build.wishes[i].writer);
    free(job->build.wishes);
    scan_destroy(&job->build.scan);
    build_places_destroy(&job->build.places);
}

int fingerprint_build(struct image *image, const struct fingerprint_wish *wishes, size_t count,
                      const struct fingerprint_build_options *options,
                      struct fingerprint_file **ret_files, struct error *err)
{
    CLEANUP(cleanup_free) struct fingerprint_file **files = NULL;
    struct job job = {.image = image, .wishes = wishes, .began_s = time(NULL)};
    size_t layers;
    int rc;

    job.path = image_layers(image, &layers)[0].path;
    job.build.wishes = calloc(count + 1, sizeof(*job.build.wishes));
    files = calloc(count + 1, sizeof(struct fingerprint_file *));
    if (job.build.wishes == NULL || files == NULL) {
        free(job.build.wishes);
        return error_set(err, -ENOMEM, "%s: out of memory", job.path);
    }
    job.build.count = count;
    complete_options(&job, options);
    build_places_init(&job.build.places, job.threads);
    job.build.whole = job.options.content_sha256;
    digest_content_init(&job.build.content);
    job.in_use = image_is_in_use(image);
    rc = run(&job, ret_files != NULL ? files : NULL, err);
    release(&job);
    for (size_t i = 0; i < count; i++) {
        if (rc == 0 && ret_files != NULL)
            ret_files[i] = files[i];
        else
            fingerprint_file_close(files[i]);
    }
    return rc;
}
