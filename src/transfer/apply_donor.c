/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Donors: images that this host's own index knows by their ids. They are opened
 * when they are first wanted, by the thread that called transfer_apply(), since
 * what serves an image lives as long as the thread that opened it.
 */
#include "transfer/apply.h"

#include "setmov/catalog.h"

#include <errno.h>
#include <string.h>

/* ---- for threads that build -------------------------------------------------------- */

int apply_donor_acquire(struct apply *apply, uint32_t number, struct image **ret_image)
{
    struct apply_donors *donors = &apply->donors;
    struct apply_donor *donor = &donors->all[number];
    int rc = -ECANCELED;

    pthread_mutex_lock(&apply->mutex);
    while (!atomic_load(&apply->halted) &&
           (donor->state == APPLY_DONOR_CLOSED || donor->state == APPLY_DONOR_WANTED)) {
        if (donor->state == APPLY_DONOR_CLOSED) {
            donor->state = APPLY_DONOR_WANTED;
            donors->wanted[donors->wanted_count++] = number;
            pthread_cond_signal(&apply->wanted);
        }
        pthread_cond_wait(&apply->changed, &apply->mutex);
    }
    if (donor->state == APPLY_DONOR_FAILED)
        rc = -ESTALE;
    if (donor->state == APPLY_DONOR_OPEN && !atomic_load(&apply->halted)) {
        donor->users++;
        donor->last_used = ++donors->uses;
        *ret_image = donor->image;
        rc = 0;
    }
    pthread_mutex_unlock(&apply->mutex);
    return rc;
}

void apply_donor_release(struct apply *apply, uint32_t number)
{
    pthread_mutex_lock(&apply->mutex);
    apply->donors.all[number].users--;
    pthread_mutex_unlock(&apply->mutex);
}

/* ---- opening ------------------------------------------------------------------------- */

static bool stop_opening(void *context)
{
    return !apply_tick(context);
}

/* What the index says of the donor: path and format of its top layer. */
static int open_indexed(struct apply *apply, const struct fingerprint_view *view, const char *id,
                        struct image **ret_image, struct error *err)
{
    struct image_options options = {
        .allowed = apply->donors.allowed, .stopped = stop_opening, .context = apply};
    const struct fingerprint_layer *layers = view->identity.layers;
    char hash[CATALOG_HASH_BYTES];

    if (view->identity.layer_count == 0)
        return error_set(err, -ESTALE, "the index does not say which image %s is", id);
    catalog_hash(layers[0].path, hash);
    if (strcmp(hash, id) != 0)
        return error_set(err, -ESTALE, "the index has %.300s for %s, which it is not",
                         layers[0].path, id);
    options.format = layers[0].format;
    return image_open(layers[0].path, &options, ret_image, err);
}

static int open_donor(struct apply *apply, uint32_t number, struct image **ret_image,
                      struct error *err)
{
    const struct transfer_plan *plan = apply->plan;
    const char *id = plan->donors[number].id;
    struct catalog_kind kind = {.kind = plan->kind, .block_size = plan->block_size}, parsed;
    char name[CATALOG_NAME_BYTES], hash[CATALOG_HASH_BYTES];
    CLEANUP(cleanup_free) char *path = NULL;
    struct fingerprint_file *file;
    int rc;

    if (plan->kind == DIGEST_KEYED_SHA256)
        memcpy(kind.key_id, plan->key_id, sizeof(kind.key_id));
    catalog_name_make(id, &kind, name);
    /* A name that the catalog makes leads nowhere else. */
    if (!catalog_name_parse(name, hash, &parsed))
        return error_set(err, -ESTALE, "'%.40s' is no image of the index", id);
    if (asprintf(&path, "%s/%s", apply->options->index, name) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    rc = fingerprint_file_open(path, FINGERPRINT_PART_HEAD, false, &file, err);
    if (rc < 0)
        return rc;
    rc = open_indexed(apply, &file->view, id, ret_image, err);
    fingerprint_file_close(file);
    return rc;
}

/* Closes the one that was not used for longest. With the mutex, which it gives up meanwhile. */
static void make_room(struct apply *apply)
{
    struct apply_donors *donors = &apply->donors;
    struct apply_donor *donor;
    size_t oldest = donors->open_count;
    struct image *image;

    for (size_t i = 0; i < donors->open_count; i++) {
        donor = &donors->all[donors->open[i]];
        if (donor->users == 0 && (oldest == donors->open_count ||
                                  donor->last_used < donors->all[donors->open[oldest]].last_used))
            oldest = i;
    }
    /* There are more places than threads, so one is not in use. */
    donor = &donors->all[donors->open[oldest]];
    image = donor->image;
    donor->image = NULL;
    donor->state = APPLY_DONOR_CLOSED;
    donors->open[oldest] = donors->open[--donors->open_count];
    pthread_mutex_unlock(&apply->mutex);
    image_close(image);
    pthread_mutex_lock(&apply->mutex);
}

bool apply_donor_serve(struct apply *apply)
{
    struct apply_donors *donors = &apply->donors;
    struct image *image = NULL;
    struct error why = {""};
    uint32_t number;
    int rc;

    if (donors->wanted_count == 0)
        return false;
    number = donors->wanted[0];
    donors->wanted_count--;
    memmove(donors->wanted, donors->wanted + 1, donors->wanted_count * sizeof(donors->wanted[0]));
    if (donors->open_count == APPLY_OPEN_DONORS)
        make_room(apply);
    pthread_mutex_unlock(&apply->mutex);
    rc = open_donor(apply, number, &image, &why);
    apply_moved(apply);
    pthread_mutex_lock(&apply->mutex);
    if (rc == 0) {
        donors->all[number].image = image;
        donors->all[number].state = APPLY_DONOR_OPEN;
        donors->open[donors->open_count++] = number;
    } else {
        donors->all[number].state = APPLY_DONOR_FAILED;
        if (rc != -ECANCELED && apply->refusal.text[0] == '\0')
            error_set(&apply->refusal, rc, "a donor cannot be read: %.300s", why.text);
    }
    pthread_cond_broadcast(&apply->changed);
    return true;
}

/* ---- the end --------------------------------------------------------------------------- */

void apply_donor_interrupt_all(struct apply *apply)
{
    for (size_t i = 0; i < apply->donors.open_count; i++)
        image_interrupt(apply->donors.all[apply->donors.open[i]].image);
}

void apply_donor_close_all(struct apply *apply)
{
    struct apply_donors *donors = &apply->donors;

    for (size_t i = 0; i < donors->open_count; i++)
        image_close(donors->all[donors->open[i]].image);
    donors->open_count = 0;
}
