/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `setmov choose VM`: what each candidate holds of the VM's disks: of all of
 * them by sketches (of those that the merged index does not know, out of their
 * directories), of the best ones exactly, as far as the budget for reading from
 * them lasts.
 */
#include "choose_vm.h"
#include "setmov/peers.h"

#include <errno.h>

/* ---- one host's images ------------------------------------------------------------------------ */

/* The fingerprints that are kept of a host, with how much of the VM each may have. */
struct image {
    const struct fingerprint_file *file;
    const char *name; /* of its file */
    uint64_t hits;    /* distinct digests of the VM's, by its sketch; the most of a disk */
    struct peers_want *want;
    struct fingerprint_file *exact; /* all digests; NULL: not here */
};

struct images {
    struct choose_vm_host *host;
    char *directory;
    struct catalog *catalog;
    struct image *items; /* best donors first, then by name */
    size_t count;
};

static void images_release(struct images *images)
{
    for (size_t i = 0; i < images->count; i++)
        fingerprint_file_close(images->items[i].exact);
    free(images->items);
    catalog_close(images->catalog);
    free(images->directory);
    *images = (struct images){0};
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* -ENOMEM, or what is wrong with the directory; a missing one holds nothing. */
static int images_open(const struct choose_vm *vm, struct choose_vm_host *host,
                       struct images *ret_images, struct error *err)
{
    struct catalog_kind kind = choose_vm_kind(vm);
    struct images images = {.host = host,
                            .directory = peers_directory(vm->config, host->config->name)};
    int rc = -ENOMEM;

    if (images.directory != NULL)
        rc = catalog_open(images.directory, &kind, FINGERPRINT_PART_SKETCH, &images.catalog, err);
    if (rc == -ENOENT)
        rc = 0;
    if (rc == 0) {
        images.count = images.catalog != NULL ? images.catalog->count : 0;
        images.items = calloc(images.count + 1, sizeof(*images.items));
        rc = images.items != NULL ? 0 : -ENOMEM;
    }
    if (rc < 0) {
        images.count = 0;
        images_release(&images);
        return rc;
    }
    for (size_t i = 0; i < images.count; i++) {
        images.items[i].file = images.catalog->files[i];
        images.items[i].name = file_name(images.catalog->files[i]->path);
    }
    *ret_images = images;
    return 0;
}

/* One engine over some of the images, a disk against their union, and against each. */
static int compare(enum similarity_engine engine, const struct choose_vm_disk *disk,
                   const struct fingerprint_view *const *views, size_t count,
                   struct similarity_estimate *ret_each, struct similarity_estimate *ret_union,
                   struct error *err)
{
    return similarity_compare(engine, &disk->fingerprint->view, views, count, ret_each, ret_union,
                              err);
}

/* By sketches: the figures of each disk, and each image's hits. */
static int estimate(const struct choose_vm *vm, struct images *images,
                    struct similarity_estimate *ret_figures, struct error *err)
{
    CLEANUP(cleanup_free)
    const struct fingerprint_view **views = calloc(images->count + 1, sizeof(*views));
    CLEANUP(cleanup_free)
    struct similarity_estimate *each = calloc(images->count + 1, sizeof(*each));
    int rc = 0;

    if (views == NULL || each == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < images->count; i++)
        views[i] = &images->items[i].file->view;
    for (size_t d = 0; d < vm->disk_count && rc == 0; d++) {
        rc = compare(SIMILARITY_SKETCH, &vm->disks[d], views, images->count, each, &ret_figures[d],
                     err);
        for (size_t i = 0; i < images->count && rc == 0; i++) {
            uint64_t hits = each[i].likely.identical_distinct;

            if (hits > images->items[i].hits)
                images->items[i].hits = hits;
        }
    }
    return rc;
}

static int by_hits_then_name(const void *left, const void *right)
{
    const struct image *l = left, *r = right;

    if (l->hits != r->hits)
        return l->hits > r->hits ? -1 : 1;
    return strcmp(l->name, r->name);
}

/* ---- all hosts, by sketches ---------------------------------------------------------------------- */

int choose_vm_other_kinds(const struct choose_vm *vm, struct choose_vm_host *host)
{
    const struct catalog_kind kind = choose_vm_kind(vm);

    return choose_vm_host_unusable(
        host, "its index has no %s digests of %u bytes%s, only other fingerprints",
        blocks_digest_name(kind.kind), kind.block_size,
        kind.kind == DIGEST_KEYED_SHA256 ? " with this key" : "");
}

static int note_problems(struct choose_vm_host *host, const struct catalog *catalog)
{
    if (catalog == NULL || catalog->problem_count == 0)
        return 0;
    return vm_lines_add(&host->notes, "%zu of its %zu fingerprints could not be used: %s",
                        catalog->problem_count, catalog->problem_count + catalog->count,
                        catalog->problems[0].error.text);
}

/* The figures, or -EINVAL and why there are none, where that is not said of the host already. */
static int estimate_host(const struct choose_vm *vm, struct choose_vm_host *host,
                         struct similarity_estimate *ret_figures, struct error *ret_why)
{
    CLEANUP(images_release) struct images images = {0};
    const struct catalog *catalog;
    int rc = images_open(vm, host, &images, ret_why);

    if (rc < 0)
        return error_prefix(ret_why, rc, "what is known of its images cannot be read");
    catalog = images.catalog;
    if (catalog != NULL && catalog->count == 0 && catalog->problem_count > 0)
        return error_set(ret_why, -EINVAL, "nothing of its index can be used: %s",
                         catalog->problems[0].error.text);
    if (catalog != NULL && catalog->count == 0 && catalog->other_kinds > 0 && vm->disk_count > 0)
        return choose_vm_other_kinds(vm, host) < 0 ? -ENOMEM : -EINVAL;
    rc = estimate(vm, &images, ret_figures, ret_why);
    if (rc < 0)
        return error_prefix(ret_why, rc, "its images cannot be compared");
    return note_problems(host, catalog);
}

static int figures_of(const struct choose_vm *vm, struct choose_vm_host *host)
{
    CLEANUP(cleanup_free)
    struct similarity_estimate *figures = calloc(vm->disk_count + 1, sizeof(*figures));
    struct error why = {""};
    int rc = figures != NULL ? estimate_host(vm, host, figures, &why) : -ENOMEM;

    if (rc == 0) {
        host->figures = figures;
        figures = NULL;
    }
    return rc == 0 || rc == -ENOMEM ? rc : choose_vm_host_unusable(host, "%s", why.text);
}

int choose_vm_figures(struct choose_vm *vm, struct error *err)
{
    int rc = choose_vm_merged(vm, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < vm->host_count && rc == 0; i++) {
        struct choose_vm_host *host = &vm->hosts[i];

        /* Of one that does not answer too: what it has may be why it is worth a look. */
        if (host->is_known && !host->is_merged)
            rc = figures_of(vm, host);
        else if (host->is_self && !vm->shared->is_vm)
            rc = choose_vm_host_unusable(host, "the image is on this host");
        if (rc == 0 && blocks_stopped(NULL))
            return -ECANCELED;
    }
    return rc < 0 ? error_set(err, rc, "out of memory") : 0;
}

/* ---- the best ones, exactly ------------------------------------------------------------------------ */

static uint64_t less(uint64_t from, uint64_t by)
{
    return from > by ? from - by : 0;
}

static uint64_t more(uint64_t value, uint64_t by, uint64_t most)
{
    return value > most || by > most - value ? most : value + by;
}

static uint64_t largest(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

struct similarity_estimate choose_vm_join(const struct choose_vm_parts *parts)
{
    const struct similarity_figures *known = &parts->exact.best;
    const struct similarity_figures *rest = &parts->rest.high, *all = &parts->all.likely;
    struct similarity_estimate joined = {*known, *known, *known, *known};
    struct similarity_figures *high = &joined.high, *likely = &joined.likely;

    /* What others have at most, if none of it is what was seen already. */
    high->identical_distinct =
        more(known->identical_distinct, rest->identical_distinct, known->distinct);
    high->identical_with_duplicates =
        more(known->identical_with_duplicates, rest->identical_with_duplicates, known->total);
    joined.low.bytes_to_send =
        less(known->bytes_to_send, less(parts->image_bytes, parts->rest.low.bytes_to_send));
    joined.high.bytes_to_send = known->bytes_to_send;
    if (parts->rest.likely.identical_distinct > 0) {
        likely->identical_distinct = largest(known->identical_distinct, all->identical_distinct);
        likely->identical_with_duplicates =
            largest(known->identical_with_duplicates, all->identical_with_duplicates);
        if (all->bytes_to_send < known->bytes_to_send)
            likely->bytes_to_send = largest(all->bytes_to_send, joined.low.bytes_to_send);
    }
    joined.best = *likely;
    return joined;
}

/* The images that lie there whole now, and views of those and of the others. */
static int open_exact(struct images *images, const struct fingerprint_view **exact,
                      size_t *exact_count, const struct fingerprint_view **rest, size_t *rest_count)
{
    for (size_t i = 0; i < images->count; i++) {
        struct image *image = &images->items[i];

        if (image->want->result == 0 &&
            fingerprint_file_open(image->file->path, FINGERPRINT_PART_DIGESTS, false, &image->exact,
                                  NULL) == -ENOMEM)
            return -ENOMEM;
        if (image->exact != NULL)
            exact[(*exact_count)++] = &image->exact->view;
        else
            rest[(*rest_count)++] = &image->file->view;
    }
    return 0;
}

static int note_confirmed(const struct images *images, size_t exact)
{
    struct choose_vm_host *host = images->host;
    uint64_t bytes = 0;
    const struct peers_want *failed = NULL;

    for (size_t i = 0; i < images->count; i++) {
        bytes += images->items[i].want->bytes_read;
        if (failed == NULL && images->items[i].want->result < 0)
            failed = images->items[i].want;
    }
    host->catalog_bytes += bytes;
    host->is_exact = exact == images->count;
    if (host->is_exact)
        return vm_lines_add(&host->notes, "compared exactly with %zu image%s", exact,
                            exact == 1 ? "" : "s");
    if (failed != NULL && failed->result != -EDQUOT)
        return vm_lines_add(&host->notes, "compared exactly with %zu of %zu images: %s", exact,
                            images->count, failed->error.text);
    return vm_lines_add(&host->notes,
                        "compared exactly with %zu of %zu images: confirm-bytes is used up", exact,
                        images->count);
}

static int estimate_wire(const struct choose_vm *vm, struct choose_vm_host *host,
                         const struct fingerprint_view *const *views, size_t count,
                         struct error *err)
{
    struct error why = {""};
    int rc = choose_vm_wire(vm, host, views, count, &why);

    if (rc == -ENOMEM || rc == -ECANCELED)
        return error_set(err, rc, "%s", why.text);
    return rc < 0 ? vm_lines_add(&host->notes, "what would cross the line is not estimated: %s",
                                 why.text)
                  : 0;
}

static int confirm_host(const struct choose_vm *vm, struct images *images, struct error *err)
{
    CLEANUP(cleanup_free)
    const struct fingerprint_view **exact = calloc(images->count + 1, sizeof(*exact));
    CLEANUP(cleanup_free)
    const struct fingerprint_view **rest = calloc(images->count + 1, sizeof(*rest));
    size_t exact_count = 0, rest_count = 0;
    int rc = exact != NULL && rest != NULL ? 0 : -ENOMEM;

    if (rc == 0)
        rc = open_exact(images, exact, &exact_count, rest, &rest_count);
    for (size_t d = 0; d < vm->disk_count && rc == 0; d++) {
        struct choose_vm_parts parts = {
            .all = images->host->figures[d],
            .image_bytes = choose_image_bytes(&vm->disks[d].fingerprint->view),
        };

        rc = compare(SIMILARITY_EXACT, &vm->disks[d], exact, exact_count, NULL, &parts.exact, err);
        if (rc == 0)
            rc =
                compare(SIMILARITY_SKETCH, &vm->disks[d], rest, rest_count, NULL, &parts.rest, err);
        if (rc == 0)
            images->host->figures[d] = rest_count > 0 ? choose_vm_join(&parts) : parts.exact;
    }
    if (rc == 0)
        rc = note_confirmed(images, exact_count);
    if (rc == 0 && images->host->is_exact)
        rc = estimate_wire(vm, images->host, exact, exact_count, err);
    return rc == -ENOMEM ? error_set(err, rc, "out of memory") : rc;
}

/*
 * What to fetch, in this order: what has something of the VM, of the best host
 * first; then, as far as the budget goes, the others, which make exact what
 * their sketches cannot rule out.
 */
static int fetch(const struct choose_vm *vm, struct images *all, size_t count,
                 struct peers_want *wants, size_t want_count, struct error *err)
{
    struct peers_options options = {.stopped = blocks_stopped};
    size_t next = 0;

    for (int with_hits = 1; with_hits >= 0; with_hits--) {
        for (size_t h = 0; h < count; h++) {
            for (size_t i = 0; i < all[h].count; i++) {
                struct image *image = &all[h].items[i];

                if ((image->hits > 0) != (with_hits == 1))
                    continue;
                image->want = &wants[next++];
                *image->want = (struct peers_want){
                    .host = all[h].host->config->name, .name = image->name, .result = -EDQUOT};
            }
        }
    }
    return peers_fetch(vm->config, wants, want_count, vm->config->choose.confirm_bytes, &options,
                       err);
}

static int confirm_all(struct choose_vm *vm, struct images *all, size_t count, struct error *err)
{
    CLEANUP(cleanup_free) struct peers_want *wants = NULL;
    struct error why = {""};
    size_t want_count = 0;
    int rc = 0;

    for (size_t h = 0; h < count && rc == 0; h++) {
        struct choose_vm_host *host = &vm->hosts[vm->result.ranks[h].candidate];

        rc = images_open(vm, host, &all[h], &why);
        if (rc == 0)
            rc = estimate(vm, &all[h], host->figures, &why);
        if (rc == 0 && host->is_merged)
            rc = note_problems(host, all[h].catalog);
        if (rc == 0 && all[h].count > 1)
            qsort(all[h].items, all[h].count, sizeof(*all[h].items), by_hits_then_name);
        want_count += all[h].count;
    }
    wants = calloc(want_count + 1, sizeof(*wants));
    if (wants == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        rc = fetch(vm, all, count, wants, want_count, &why);
    for (size_t h = 0; h < count && rc == 0; h++)
        rc = confirm_host(vm, &all[h], &why);
    if (rc == -ENOMEM || rc == -ECANCELED)
        return error_set(err, rc, "%s", why.text);
    if (rc < 0 &&
        vm_lines_add(&vm->notes, "the best hosts were not compared exactly: %s", why.text) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return choose_vm_rank(vm, err);
}

int choose_vm_confirm(struct choose_vm *vm, struct error *err)
{
    size_t count = vm->result.eligible;
    struct images *all;
    int rc;

    if (count > vm->config->choose.confirm)
        count = (size_t)vm->config->choose.confirm;
    if (count == 0 || vm->disk_count == 0)
        return 0;
    all = calloc(count, sizeof(*all));
    if (all == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = confirm_all(vm, all, count, err);
    for (size_t i = 0; i < count; i++)
        images_release(&all[i]);
    free(all);
    return rc;
}
