/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packing: threads read and compress parts, each one whole; the caller's thread
 * hands them to the sink in their order, while the next ones are made.
 */
#include "transfer/pack.h"
#include "transfer/pack_pace.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#define THREADS_MOST  64U
#define BY_PROCESSORS 8U /* as fingerprint_build() */
#define READ_BYTES    PACK_LOOK_BYTES
#define POLL_NS       100000000L
#define NOISE_LEVEL   1 /* of parts that no level makes smaller */
#define LOOK_ABOVE    3 /* up to that level what does not compress takes no time */

/* A part on its way: its number modulo the number of slots. */
struct slot {
    bool is_done;
    uint8_t *bytes;
    size_t length;
    struct digest *digests;
    size_t digest_count;
    uint8_t sha256[TRANSFER_HASH_BYTES];
    int level;
    double compress_s; /* that it took */
};

struct packing {
    const struct transfer_plan *plan;
    struct image *const *images;
    const struct transfer_pack_options *options;
    struct pack_layout layout;
    struct digest_plan digests;
    unsigned threads;
    struct slot *slots;
    size_t slot_count;
    atomic_bool halted;
    _Atomic uint64_t done; /* raw bytes */
    pthread_mutex_t lock;  /* of all below */
    pthread_cond_t changed;
    size_t next; /* part that is begun next */
    size_t sunk; /* parts that the sink has */
    struct pack_pace pace;
    int rc; /* the first failure of a thread */
    struct error err;
};

/* ---- one part ------------------------------------------------------------------------- */

/* What a thread keeps from part to part. */
struct bench {
    struct packing *packing;
    struct pack_compressor *compressor;
    uint8_t *buffer; /* READ_BYTES */
    size_t filled;
};

/* The buffer's bytes are digested and compressed. */
static int flush(struct bench *bench, const struct pack_part *part, struct slot *slot,
                 struct error *err)
{
    struct packing *packing = bench->packing;
    size_t block_size = packing->plan->block_size;
    int rc;

    if (part->whole_blocks) {
        digest_blocks(&packing->digests, bench->buffer, bench->filled / block_size,
                      slot->digests + slot->digest_count);
        slot->digest_count += bench->filled / block_size;
    }
    rc = pack_compressor_add(bench->compressor, bench->buffer, bench->filled, err);
    atomic_fetch_add_explicit(&packing->done, bench->filled, memory_order_relaxed);
    bench->filled = 0;
    return rc;
}

static int add_piece(struct bench *bench, const struct pack_part *part,
                     const struct pack_piece *piece, struct slot *slot, struct error *err)
{
    struct packing *packing = bench->packing;
    struct image *image = packing->images[piece->image];

    for (uint32_t at = 0; at < piece->length;) {
        size_t now = piece->length - at;
        int rc;

        if (atomic_load_explicit(&packing->halted, memory_order_relaxed))
            return error_set(err, -ECANCELED, "interrupted");
        if (now > READ_BYTES - bench->filled)
            now = READ_BYTES - bench->filled;
        rc = image_read(image, piece->offset + at, now, bench->buffer + bench->filled, err);
        if (rc < 0)
            return rc;
        at += (uint32_t)now;
        bench->filled += now;
        /* READ_BYTES is a multiple of every block size. */
        if (bench->filled == READ_BYTES)
            rc = flush(bench, part, slot, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int make_part(struct bench *bench, size_t number, int level, struct slot *slot,
                     struct error *err)
{
    const struct pack_layout *layout = &bench->packing->layout;
    const struct pack_part *part = &layout->parts[number];
    double began_s = clock_monotonic_s();
    bool is_noise = false;
    int rc = 0;

    if (level > LOOK_ABOVE)
        rc = pack_look(layout, part, bench->packing->images, bench->buffer, &is_noise, err);
    if (is_noise)
        level = NOISE_LEVEL;
    if (rc == 0)
        rc = pack_compressor_begin(bench->compressor, level, part->raw_length, err);
    if (rc < 0)
        return rc;
    bench->filled = 0;
    if (part->whole_blocks) {
        slot->digests = calloc((size_t)(part->raw_length / bench->packing->plan->block_size),
                               sizeof(*slot->digests));
        if (slot->digests == NULL)
            return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < part->count && rc == 0; i++)
        rc = add_piece(bench, part, &layout->pieces[part->first + i], slot, err);
    if (rc == 0 && bench->filled > 0)
        rc = flush(bench, part, slot, err);
    if (rc == 0)
        rc = pack_compressor_finish(bench->compressor, &slot->bytes, &slot->length, err);
    if (rc < 0)
        return rc;
    transfer_sha256(slot->bytes, slot->length, slot->sha256);
    slot->level = level;
    slot->compress_s = clock_monotonic_s() - began_s;
    return 0;
}

/* ---- the threads ------------------------------------------------------------------------ */

static void halt(struct packing *packing, int rc, const struct error *err)
{
    pthread_mutex_lock(&packing->lock);
    if (packing->rc == 0) {
        packing->rc = rc;
        packing->err = *err;
    }
    atomic_store(&packing->halted, true);
    pthread_cond_broadcast(&packing->changed);
    pthread_mutex_unlock(&packing->lock);
}

/* The number of the next part, as soon as it has a slot; false: there is nothing more to do. */
static bool take_part(struct packing *packing, size_t *ret_number, int *ret_level)
{
    bool taken = false;

    pthread_mutex_lock(&packing->lock);
    while (!atomic_load(&packing->halted) && packing->next < packing->layout.part_count &&
           packing->next >= packing->sunk + packing->slot_count)
        pthread_cond_wait(&packing->changed, &packing->lock);
    if (!atomic_load(&packing->halted) && packing->next < packing->layout.part_count) {
        *ret_number = packing->next++;
        *ret_level = packing->pace.level;
        taken = true;
    }
    pthread_mutex_unlock(&packing->lock);
    return taken;
}

static void *work(void *context)
{
    struct packing *packing = context;
    struct bench bench = {.packing = packing, .buffer = malloc(READ_BYTES)};
    struct error err = {""};
    size_t number = 0;
    int level = 0, rc;

    rc = bench.buffer != NULL ? pack_compressor_new(&bench.compressor, &err)
                              : error_set(&err, -ENOMEM, "out of memory");
    while (rc == 0 && take_part(packing, &number, &level)) {
        struct slot *slot = &packing->slots[number % packing->slot_count];

        rc = make_part(&bench, number, level, slot, &err);
        if (rc < 0)
            break;
        pthread_mutex_lock(&packing->lock);
        slot->is_done = true;
        pthread_cond_broadcast(&packing->changed);
        pthread_mutex_unlock(&packing->lock);
    }
    if (rc < 0)
        halt(packing, rc, &err);
    pack_compressor_free(bench.compressor);
    free(bench.buffer);
    return NULL;
}

/* ---- the caller's thread -------------------------------------------------------------------- */

static void tell_progress(const struct packing *packing)
{
    const struct transfer_pack_options *options = packing->options;

    if (options->progress != NULL)
        options->progress(options->context, packing->done, packing->layout.raw_bytes);
}

/* Until the part is done; tells and asks ten times a second. */
static int await_part(struct packing *packing, size_t number, struct error *err)
{
    const struct slot *slot = &packing->slots[number % packing->slot_count];
    const struct transfer_pack_options *options = packing->options;
    struct timespec until;
    bool done;
    int rc;

    for (;;) {
        if (options->stopped != NULL && options->stopped(options->context))
            return error_set(err, -ECANCELED, "interrupted");
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += POLL_NS;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&packing->lock);
        if (!slot->is_done && packing->rc == 0)
            pthread_cond_timedwait(&packing->changed, &packing->lock, &until);
        done = slot->is_done;
        rc = packing->rc;
        if (rc < 0 && err != NULL)
            *err = packing->err;
        pthread_mutex_unlock(&packing->lock);
        tell_progress(packing);
        if (rc < 0 || done)
            return rc;
    }
}

static void release_slot(struct slot *slot)
{
    free(slot->bytes);
    free(slot->digests);
    *slot = (struct slot){.is_done = false};
}

static void add_to_result(struct transfer_pack_result *result, const struct transfer_part *part,
                          int level)
{
    if (result->parts++ == 0)
        result->level_lowest = result->level_highest = level;
    if (level < result->level_lowest)
        result->level_lowest = level;
    if (level > result->level_highest)
        result->level_highest = level;
    result->raw_bytes += part->raw_length;
    result->packed_bytes += part->length;
}

static int sink_part(struct packing *packing, size_t number, struct transfer_part *ret_part,
                     struct transfer_pack_result *result, struct error *err)
{
    struct slot *slot = &packing->slots[number % packing->slot_count];
    struct transfer_packed packed = {
        .part = {.length = slot->length, .raw_length = packing->layout.parts[number].raw_length},
        .bytes = slot->bytes,
        .digests = slot->digests,
        .digest_count = slot->digest_count,
    };
    struct pack_timing timing = {
        .level = slot->level,
        .raw_bytes = packed.part.raw_length,
        .packed_bytes = packed.part.length,
        .compress_s = slot->compress_s,
    };
    double began_s = clock_monotonic_s();
    int rc;

    memcpy(packed.part.sha256, slot->sha256, sizeof(slot->sha256));
    rc = packing->options->sink(packing->options->context, &packed, err);
    if (rc < 0)
        return rc;
    timing.sink_s = clock_monotonic_s() - began_s;
    *ret_part = packed.part;
    add_to_result(result, &packed.part, slot->level);
    pthread_mutex_lock(&packing->lock);
    pack_pace_add(&packing->pace, &timing);
    release_slot(slot);
    packing->sunk++;
    pthread_cond_broadcast(&packing->changed);
    pthread_mutex_unlock(&packing->lock);
    return 0;
}

/* All parts, into `parts`; the threads run meanwhile. */
static int sink_all(struct packing *packing, struct transfer_part *parts,
                    struct transfer_pack_result *result, struct error *err)
{
    for (size_t i = 0; i < packing->layout.part_count; i++) {
        int rc = await_part(packing, i, err);

        if (rc == 0)
            rc = sink_part(packing, i, &parts[i], result, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int run(struct packing *packing, struct transfer_part *parts,
               struct transfer_pack_result *result, struct error *err)
{
    pthread_t threads[THREADS_MOST];
    unsigned running = 0;
    int rc = 0;

    while (running < packing->threads && rc == 0) {
        rc = -pthread_create(&threads[running], NULL, work, packing);
        running += rc == 0;
    }
    /* Fewer threads than wished for do as well. */
    if (running > 0)
        rc = sink_all(packing, parts, result, err);
    else
        error_set(err, rc, "cannot start a thread: %s", strerror(-rc));
    if (rc < 0)
        halt(packing, rc, &(struct error){"interrupted"});
    while (running > 0)
        pthread_join(threads[--running], NULL);
    return rc;
}

/* ---- into the plan ---------------------------------------------------------------------------- */

/* The part's number in the plan, which it gets where no other has its content. */
static uint32_t number_of(struct transfer_plan *plan, const struct transfer_part *part)
{
    for (size_t i = 0; i < plan->part_count; i++) {
        if (memcmp(plan->parts[i].sha256, part->sha256, sizeof(part->sha256)) == 0)
            return (uint32_t)i;
    }
    plan->parts[plan->part_count] = *part;
    return (uint32_t)plan->part_count++;
}

static int give_parts(struct packing *packing, const struct transfer_part *parts,
                      struct transfer_plan *plan, struct error *err)
{
    size_t count = packing->layout.part_count, before = plan->part_count;
    CLEANUP(cleanup_free) uint32_t *numbers = calloc(count + 1, sizeof(*numbers));
    int rc;

    if (numbers == NULL ||
        array_reserve(&plan->parts, &plan->part_capacity, before + count, sizeof(*plan->parts)) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        numbers[i] = number_of(plan, &parts[i]);
    rc = pack_layout_apply(&packing->layout, numbers, plan, err);
    if (rc < 0)
        plan->part_count = before;
    return rc;
}

/* ---- as a whole ---------------------------------------------------------------------------------- */

static unsigned processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    if (count > (int)BY_PROCESSORS)
        return BY_PROCESSORS;
    return count > 0 ? (unsigned)count : 1;
}

static int check(const struct packing *packing, struct error *err)
{
    const struct transfer_plan *plan = packing->plan;

    for (size_t i = 0; i < packing->layout.count; i++) {
        const struct pack_piece *piece = &packing->layout.pieces[i];
        struct image *image = packing->images[piece->image];

        if (image == NULL || piece->offset > image_size(image) ||
            piece->length > image_size(image) - piece->offset)
            return error_set(err, -EINVAL, "%s: the plan sends what the image does not have",
                             plan->images[piece->image].path);
    }
    if (plan->part_count + packing->layout.part_count > TRANSFER_PLAN_MAX_PARTS)
        return error_set(err, -EFBIG, "more parts than %d are needed", TRANSFER_PLAN_MAX_PARTS);
    return 0;
}

static int prepare(struct packing *packing, struct error *err)
{
    const struct transfer_pack_options *options = packing->options;
    int rc;

    packing->threads = options->threads > 0 ? options->threads : processors();
    rc = pack_layout_make(packing->plan, options->part_bytes, packing->threads, &packing->layout,
                          err);
    if (rc == 0)
        rc = check(packing, err);
    if (rc == 0)
        rc = digest_plan_init(&packing->digests, packing->plan->kind, packing->plan->block_size,
                              options->key, err);
    if (rc < 0)
        return rc;
    if (packing->threads > THREADS_MOST)
        packing->threads = THREADS_MOST;
    if (packing->threads > packing->layout.part_count)
        packing->threads = (unsigned)packing->layout.part_count;
    pack_pace_init(&packing->pace, options->level, options->bandwidth_bits_per_s, packing->threads);
    /* One is with the sink. */
    packing->slot_count = (size_t)packing->threads + 1;
    packing->slots = calloc(packing->slot_count, sizeof(*packing->slots));
    return packing->slots != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static void release(struct packing *packing)
{
    for (size_t i = 0; packing->slots != NULL && i < packing->slot_count; i++)
        release_slot(&packing->slots[i]);
    free(packing->slots);
    pack_layout_release(&packing->layout);
    pthread_cond_destroy(&packing->changed);
    pthread_mutex_destroy(&packing->lock);
    explicit_bzero(&packing->digests, sizeof(packing->digests));
}

int transfer_pack(struct transfer_plan *plan, struct image *const *images,
                  const struct transfer_pack_options *options,
                  struct transfer_pack_result *ret_result, struct error *err)
{
    CLEANUP(release) struct packing packing = {.plan = plan, .images = images, .options = options};
    CLEANUP(cleanup_free) struct transfer_part *parts = NULL;
    struct transfer_pack_result result = {0};
    pthread_condattr_t attributes;
    int rc;

    pthread_mutex_init(&packing.lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&packing.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    rc = prepare(&packing, err);
    if (rc < 0)
        return rc;
    parts = calloc(packing.layout.part_count + 1, sizeof(*parts));
    if (parts == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (packing.layout.part_count > 0)
        rc = run(&packing, parts, &result, err);
    if (rc == 0)
        rc = give_parts(&packing, parts, plan, err);
    if (rc == 0)
        *ret_result = result;
    return rc;
}
