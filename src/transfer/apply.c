/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan carried out: checks, locks, building, and at last the names. */
#include "transfer/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_S 0.1
/* Parts are decompressed as often as that needs: so many times what is sent, and so much more. */
#define PARTS_TIMES 16
#define PARTS_MORE  ((uint64_t)1 << 40)

void apply_moved(struct apply *apply)
{
    atomic_fetch_add(&apply->moves, 1);
}

static void tell_moves(struct apply *apply)
{
    uint64_t moves = atomic_load(&apply->moves);

    if (moves == apply->moves_told)
        return;
    apply->moves_told = moves;
    apply_lock_touch(apply);
    if (apply->options->moved != NULL)
        apply->options->moved(apply->options->context);
}

bool apply_tick(struct apply *apply)
{
    const struct transfer_apply_options *options = apply->options;
    double now_s = clock_monotonic_s();
    uint64_t done;

    if (now_s - apply->ticked_s < TICK_S)
        return !atomic_load(&apply->halted);
    apply->ticked_s = now_s;
    pthread_mutex_lock(&apply->mutex);
    done = apply->done;
    pthread_mutex_unlock(&apply->mutex);
    tell_moves(apply);
    if (options->progress != NULL)
        options->progress(options->context, done, apply->total);
    if (options->stopped != NULL && options->stopped(options->context))
        atomic_store(&apply->halted, true);
    return !atomic_load(&apply->halted);
}

int apply_wait(struct apply *apply, struct error *err)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    nanosleep(&pause, NULL);
    return apply_tick(apply) ? 0 : error_set(err, -ECANCELED, "stopped");
}

/* ---- building ------------------------------------------------------------------------ */

/* The next piece of images that are built in which an extent lies. */
static bool take(struct apply_worker *worker)
{
    struct apply *apply = worker->apply;

    for (; apply->next_image < apply->plan->image_count; apply->next_image++) {
        const struct transfer_image *image = &apply->plan->images[apply->next_image];
        size_t end = apply->next_extent;
        uint64_t piece;

        if (apply->images[apply->next_image].write == NULL || end == image->extent_count) {
            apply->next_extent = 0;
            continue;
        }
        piece = image->extents[end].offset / TRANSFER_PIECE_BYTES;
        worker->image = apply->next_image;
        worker->start = piece * TRANSFER_PIECE_BYTES;
        worker->length = image->virtual_size - worker->start < TRANSFER_PIECE_BYTES
                             ? (size_t)(image->virtual_size - worker->start)
                             : TRANSFER_PIECE_BYTES;
        worker->first = end;
        while (end < image->extent_count &&
               image->extents[end].offset / TRANSFER_PIECE_BYTES == piece)
            end++;
        worker->end = end;
        apply->next_extent = end;
        return true;
    }
    return false;
}

static int begin_images(struct apply *apply, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < apply->plan->image_count && rc == 0; i++) {
        struct apply_image *image = &apply->images[i];
        const struct image_write_options options = apply_write_options(image->plan);

        if (image->existing != NULL)
            continue;
        if (!apply_tick(apply))
            return error_set(err, -ECANCELED, "stopped");
        for (size_t j = 0; j < image->plan->extent_count; j++)
            apply->total += image->plan->extents[j].length;
        rc = image_write_new(image->plan->path, image->root, &options, &image->write, err);
        apply_moved(apply);
    }
    return rc;
}

static int compare_extents(const void *left, const void *right)
{
    const struct transfer_failed_extent *a = left, *b = right;

    if (a->image != b->image)
        return a->image < b->image ? -1 : 1;
    return a->extent < b->extent ? -1 : a->extent > b->extent;
}

static int compare_parts(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

static int say_failed(struct apply *apply, struct error *err)
{
    struct transfer_failed *failed = &apply->result->failed;
    uint64_t bytes = 0;

    apply->listed = true;
    if (failed->count > 0)
        qsort(failed->extents, failed->count, sizeof(*failed->extents), compare_extents);
    if (failed->part_count > 0)
        qsort(failed->parts, failed->part_count, sizeof(*failed->parts), compare_parts);
    for (size_t i = 0; i < failed->count; i++)
        bytes +=
            apply->plan->images[failed->extents[i].image].extents[failed->extents[i].extent].length;
    return error_set(err, -ESTALE,
                     "%zu extents (%" PRIu64 " bytes) and %zu parts do not hold; the first: %.400s",
                     failed->count, bytes, failed->part_count, apply->refusal.text);
}

static bool is_as_planned(const struct apply_image *image)
{
    uint8_t value[TRANSFER_HASH_BYTES];

    if (image->write == NULL)
        return true;
    transfer_content_value(&image->content, value);
    return memcmp(value, image->plan->content, sizeof(value)) == 0;
}

/* No hash says that the extent holds: it is where it is because of digests, which can be made alike. */
static bool is_in_doubt(const struct apply *apply, size_t image,
                        const struct transfer_extent *extent)
{
    if (extent->kind == TRANSFER_REPLICATE && apply->images[extent->source].is_wrong)
        return true;
    return apply->images[image].is_wrong &&
           (extent->kind == TRANSFER_REPLICATE || extent->kind == TRANSFER_SENT);
}

/* Of images that are not what the plan says though all that has a hash holds. */
static int list_doubtful(struct apply *apply, struct error *err)
{
    struct transfer_failed *failed = &apply->result->failed;

    for (size_t i = 0; i < apply->plan->image_count; i++) {
        const struct transfer_image *image = &apply->plan->images[i];

        for (size_t j = 0; j < image->extent_count && apply->images[i].write != NULL; j++) {
            if (!is_in_doubt(apply, i, &image->extents[j]))
                continue;
            if (array_reserve(&failed->extents, &failed->capacity, failed->count + 1,
                              sizeof(*failed->extents)) < 0)
                return error_set(err, -ENOMEM, "out of memory");
            failed->extents[failed->count++] =
                (struct transfer_failed_extent){(uint32_t)i, (uint32_t)j};
        }
    }
    apply->listed = failed->count > 0;
    return apply->listed ? -ESTALE : -EBADMSG;
}

static int check_content(struct apply *apply, struct error *err)
{
    const struct apply_image *wrong = NULL;
    int rc;

    for (size_t i = 0; i < apply->plan->image_count; i++) {
        apply->images[i].is_wrong = !is_as_planned(&apply->images[i]);
        if (apply->images[i].is_wrong && wrong == NULL)
            wrong = &apply->images[i];
    }
    if (wrong == NULL)
        return 0;
    rc = list_doubtful(apply, err);
    return rc == -ENOMEM ? rc
                         : error_set(err, rc, "%s: what was built is not what the plan says",
                                     wrong->plan->path);
}

static int build(struct apply *apply, struct error *err)
{
    int rc = begin_images(apply, err);

    apply->next_image = 0;
    apply->next_extent = 0;
    if (rc == 0)
        rc = apply_threads_run(apply, take, apply_piece_build, err);
    if (rc == 0 && atomic_load(&apply->broken))
        rc = say_failed(apply, err);
    return rc == 0 ? check_content(apply, err) : rc;
}

/* ---- begin and end -------------------------------------------------------------------- */

/*
 * Extents and parts come in the order of the images: each part is needed for a
 * while. Parts of an earlier try are wanted here and there. But what wants another
 * one with each extent would keep the hook for days.
 */
static uint64_t parts_most(const struct transfer_plan *plan)
{
    uint64_t sent = 0;

    for (size_t i = 0; i < plan->image_count; i++) {
        for (size_t j = 0; j < plan->images[i].extent_count; j++) {
            if (plan->images[i].extents[j].kind == TRANSFER_SENT)
                sent += plan->images[i].extents[j].length;
        }
    }
    return PARTS_TIMES * sent + PARTS_MORE;
}

static int begin_parts(struct apply *apply, struct error *err)
{
    int rc;

    apply->incoming = open(apply->options->incoming, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (apply->incoming < 0)
        return error_set(err, -errno, "%s: %s", apply->options->incoming, strerror(errno));
    rc = transfer_part_reader_new(apply->incoming, apply->plan->parts, apply->plan->part_count, 0,
                                  &apply->parts, err);
    if (rc == 0)
        transfer_part_reader_limit(apply->parts, parts_most(apply->plan));
    return rc;
}

uint64_t transfer_apply_memory(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;
}

/* A size may be anything that somebody wrote; memory that is only promised kills later. */
static int check_memory(const struct transfer_plan *plan, struct error *err)
{
    uint64_t most = transfer_apply_memory(), taken = transfer_plan_memory(plan);

    for (size_t i = 0; i < plan->image_count; i++) {
        uint64_t pieces = plan->images[i].virtual_size / TRANSFER_PIECE_BYTES + 1;

        if (taken > most || pieces > (most - taken) / TRANSFER_HASH_BYTES)
            return error_set(err, -ENOMEM,
                             "%.300s: its digests, with those of the images before it, would take "
                             "more than a quarter of this host's memory",
                             plan->images[i].path);
        taken += pieces * TRANSFER_HASH_BYTES;
    }
    return 0;
}

static int begin(struct apply *apply, struct error *err)
{
    const struct transfer_plan *plan = apply->plan;
    size_t directory_count = apply->options->directory_count;
    int rc;

    apply->images = calloc(plan->image_count + 1, sizeof(*apply->images));
    apply->part_seen = calloc(plan->part_count + 1, sizeof(*apply->part_seen));
    apply->part_failed = calloc(plan->part_count + 1, sizeof(*apply->part_failed));
    apply->donors.all = calloc(plan->donor_count + 1, sizeof(*apply->donors.all));
    apply->donors.allowed = calloc(directory_count + 1, sizeof(*apply->donors.allowed));
    for (size_t i = 0; apply->images != NULL && i < plan->image_count; i++) {
        struct apply_image *image = &apply->images[i];

        image->plan = &plan->images[i];
        image->directory = image->lock = image->file = -1;
    }
    if (apply->images == NULL || apply->part_seen == NULL || apply->part_failed == NULL ||
        apply->donors.all == NULL || apply->donors.allowed == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    memcpy(apply->donors.allowed, apply->options->directories,
           directory_count * sizeof(*apply->donors.allowed));
    rc = check_memory(plan, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < plan->image_count; i++) {
        if (transfer_content_init(&apply->images[i].content, plan->images[i].virtual_size) < 0)
            return error_set(err, -ENOMEM, "out of memory");
    }
    return begin_parts(apply, err);
}

static void end(struct apply *apply)
{
    for (size_t i = 0; apply->images != NULL && i < apply->plan->image_count; i++) {
        struct apply_image *image = &apply->images[i];

        image_write_close(image->write);
        image_close(image->existing);
        transfer_content_release(&image->content);
        cleanup_close(&image->file);
        cleanup_close(&image->directory);
    }
    if (apply->images != NULL)
        apply_unlock_all(apply);
    if (apply->donors.all != NULL)
        apply_donor_close_all(apply);
    transfer_part_reader_free(apply->parts);
    cleanup_close(&apply->incoming);
    free(apply->images);
    free(apply->part_seen);
    free(apply->part_failed);
    free(apply->donors.all);
    free(apply->donors.allowed);
}

static int carry_out(struct apply *apply, struct error *err)
{
    size_t count = apply->plan->image_count;
    int rc = begin(apply, err);

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = apply_place_find(apply, &apply->images[i], err);
    if (rc == 0)
        rc = apply_lock_all(apply, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = apply_place_look(apply, &apply->images[i], err);
        apply_moved(apply);
    }
    if (rc == 0)
        rc = apply_space_check(apply, err);
    if (rc == 0)
        rc = apply_existing_check(apply, err);
    if (rc == 0)
        rc = build(apply, err);
    return rc == 0 ? apply_publish(apply, err) : rc;
}

int transfer_apply(const struct transfer_plan *plan, const struct transfer_apply_options *options,
                   struct transfer_apply_result *ret_result, struct error *err)
{
    struct apply apply = {.plan = plan, .options = options, .result = ret_result, .incoming = -1};
    pthread_condattr_t attributes;
    int rc;

    *ret_result = (struct transfer_apply_result){.made = NULL};
    pthread_mutex_init(&apply.mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&apply.changed, &attributes);
    pthread_cond_init(&apply.wanted, &attributes);
    pthread_condattr_destroy(&attributes);
    rc = carry_out(&apply, err);
    /* A file system, too, may say so: of files that others took away. */
    if (rc == -ESTALE && !apply.listed)
        rc = -EIO;
    if (rc == 0 && options->progress != NULL)
        options->progress(options->context, apply.total, apply.total);
    end(&apply);
    pthread_cond_destroy(&apply.wanted);
    pthread_cond_destroy(&apply.changed);
    pthread_mutex_destroy(&apply.mutex);
    return rc;
}

void transfer_apply_result_release(struct transfer_apply_result *result)
{
    if (result == NULL)
        return;
    transfer_failed_release(&result->failed);
    free(result->made);
    *result = (struct transfer_apply_result){.made = NULL};
}
