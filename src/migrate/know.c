/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the destination has: its images' sketches, which this host keeps, say which
 * of them are worth to be known exactly. An exact fingerprint costs its own bytes
 * on the line, so one is fetched only where it promises to save more than that.
 */
#include "migrate/run.h"
#include "setmov/peers.h"

#include <errno.h>

/* What blocks that are sent come to, compressed, of their length: for choosing only. */
#define PACKED_OF_ONE 0.4

/* ---- kinds ------------------------------------------------------------------------------- */

static int take_key(struct migration *migration, struct error *err)
{
    static const enum digest_kind kinds[] = {
        [CONFIG_DIGEST_SHA256] = DIGEST_SHA256,
        [CONFIG_DIGEST_MD5] = DIGEST_MD5,
        [CONFIG_DIGEST_KEYED] = DIGEST_KEYED_SHA256,
    };
    int rc;

    migration->kind = kinds[migration->config->setmov.digest];
    if (migration->kind != DIGEST_KEYED_SHA256)
        return 0;
    rc = fingerprint_key_read(migration->config->setmov.key_file, migration->key, err);
    if (rc < 0)
        return rc;
    migration->key_or_null = migration->key;
    fingerprint_key_id(migration->key, migration->key_id);
    return 0;
}

static bool has_kind(const struct catalog_kind *kinds, size_t count,
                     const struct catalog_kind *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (catalog_kind_fits(wanted, &kinds[i]))
            return true;
    }
    return false;
}

/* Sizes of this host that the destination has as well; of none, the first one. */
static int choose_sizes(struct migration *migration, const char *directory, struct error *err)
{
    const struct config_block_sizes *sizes = &migration->config->setmov.block_sizes;
    struct catalog_kind *kinds = NULL;
    size_t count = 0;
    int rc = 0;

    if (migration->options->block_size != 0) {
        migration->block_sizes[migration->block_size_count++] = migration->options->block_size;
        return 0;
    }
    if (directory != NULL)
        rc = catalog_kinds(directory, &kinds, &count, err);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    for (size_t i = 0; i < sizes->count; i++) {
        struct catalog_kind kind = {.kind = migration->kind, .block_size = sizes->bytes[i]};

        memcpy(kind.key_id, migration->key_id, sizeof(kind.key_id));
        if (has_kind(kinds, count, &kind))
            migration->block_sizes[migration->block_size_count++] = sizes->bytes[i];
    }
    free(kinds);
    if (migration->block_size_count == 0)
        migration->block_sizes[migration->block_size_count++] = sizes->bytes[0];
    return 0;
}

/* ---- what the destination tells ------------------------------------------------------------ */

static int sync_host(struct migration *migration, struct error *err)
{
    const char *only[] = {migration->host->name, NULL};
    struct peers_options options = {
        .only = only, .stopped = migration_stopped, .context = migration};
    CLEANUP(cleanup_free)
    struct peers_result *results = calloc(migration->config->host_count + 1, sizeof(*results));
    size_t count = 0;
    struct error why = {""};
    int rc;

    if (results == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = peers_sync(migration->config, &options, results, &count, &why);
    if (rc == -ECANCELED || rc == -ENOMEM)
        return error_set(err, rc, "%s", why.text);
    if (rc < 0)
        migration_note(migration, "what is known of %s was not brought up to date: %s",
                       migration->name, why.text);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(results[i].name, migration->host->name) != 0)
            continue;
        migration->summary->catalog_bytes += results[i].bytes_read;
        migration->bytes_on_line += results[i].bytes_read;
        if (results[i].code < 0 && results[i].code != -EAGAIN)
            migration_note(migration, "what is known of %s was not brought up to date: %s",
                           migration->name, results[i].error.text);
    }
    return 0;
}

int migration_sync(struct migration *migration, struct error *err)
{
    CLEANUP(cleanup_free) char *directory = NULL;
    int rc = take_key(migration, err);

    if (rc == 0 && migration->host != NULL) {
        rc = sync_host(migration, err);
        directory = peers_directory(migration->config, migration->host->name);
        if (rc == 0 && directory == NULL)
            rc = error_set(err, -ENOMEM, "out of memory");
    } else if (rc == 0) {
        migration_note(migration,
                       "%s is no [host] of setmov.conf: what it has is not known, all is sent",
                       migration->name);
    }
    if (rc == 0)
        rc = choose_sizes(migration, directory, err);
    return migration_why(migration, rc, err);
}

/* ---- donors by their sketches ---------------------------------------------------------------- */

/* The sketches of all images of the VM as one: digests that have to be found, and which are. */
struct wanted {
    struct digest *digests; /* ascending, each once, not zero's */
    bool *found;
    size_t count, missing;
};

static void wanted_release(struct wanted *wanted)
{
    free(wanted->digests);
    free(wanted->found);
}

static int by_digest(const void *left, const void *right)
{
    return digest_compare(left, right);
}

static int wanted_make(const struct migration *migration, size_t kind, struct wanted *ret_wanted)
{
    size_t room = 1, count = 0;
    struct wanted wanted = {NULL, NULL, 0, 0};

    for (size_t i = 0; i < migration->image_count; i++)
        room += migration->images[i].prints[kind]->view.sketch_count;
    wanted.digests = calloc(room, sizeof(*wanted.digests));
    wanted.found = calloc(room, sizeof(*wanted.found));
    if (wanted.digests == NULL || wanted.found == NULL) {
        wanted_release(&wanted);
        return -ENOMEM;
    }
    for (size_t i = 0; i < migration->image_count; i++) {
        const struct fingerprint_view *view = &migration->images[i].prints[kind]->view;

        for (size_t j = 0; j < view->sketch_count; j++) {
            if (digest_compare(&view->digests[j], &view->zero_digest) != 0)
                wanted.digests[count++] = view->digests[j];
        }
    }
    if (count > 0)
        qsort(wanted.digests, count, sizeof(*wanted.digests), by_digest);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || digest_compare(&wanted.digests[i], &wanted.digests[wanted.count - 1]) != 0)
            wanted.digests[wanted.count++] = wanted.digests[i];
    }
    wanted.missing = wanted.count;
    *ret_wanted = wanted;
    return 0;
}

/* How many of those that are still missing the image has; with `take` they are found then. */
static size_t match(struct wanted *wanted, const struct fingerprint_view *view, bool take)
{
    size_t hits = 0;

    for (size_t i = 0, j = 0; i < wanted->count && j < view->sketch_count;) {
        int order = digest_compare(&wanted->digests[i], &view->digests[j]);

        if (order == 0 && !wanted->found[i]) {
            hits++;
            wanted->found[i] = take;
        }
        i += order <= 0;
        j += order >= 0;
    }
    if (take)
        wanted->missing -= hits;
    return hits;
}

/* ---- choosing among them ------------------------------------------------------------------------ */

struct candidate {
    const struct fingerprint_file *file;
    struct migrate_same same; /* what has its very blocks here */
    bool is_taken;
    uint64_t cost; /* of fetching the rest of it: 0 where all of it lies in the cache already */
};

struct choice {
    struct migration *migration;
    size_t kind;
    struct candidate *candidates;
    size_t count;
    uint64_t cost;   /* of what is to be fetched */
    double estimate; /* bytes on the line, for comparing kinds */
};

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static bool is_here(const char *path)
{
    struct fingerprint_file *file = NULL;
    bool is = fingerprint_file_open(path, FINGERPRINT_PART_DIGESTS, false, &file, NULL) == 0;

    fingerprint_file_close(file);
    return is;
}

static uint64_t fetch_cost(const struct fingerprint_file *file)
{
    return file->view.totals.distinct * FINGERPRINT_ENTRY_BYTES;
}

static void look_at_candidates(const struct catalog *catalog, const struct catalog *own,
                               struct choice *choice, struct wanted *wanted)
{
    for (size_t i = 0; i < catalog->count; i++) {
        struct candidate *candidate = &choice->candidates[choice->count];
        const struct fingerprint_file *file = catalog->files[i];

        *candidate = (struct candidate){.file = file};
        if (match(wanted, &file->view, false) == 0)
            continue;
        choice->count++;
        if (!is_here(file->path) &&
            !migration_find_same(choice->migration, choice->kind, own, file, &candidate->same))
            candidate->cost = fetch_cost(file);
    }
}

/* What the candidate has of its own, or borrows, is the donor's then. */
static int add_donor(struct migrate_donors *donors, struct candidate *candidate, uint64_t hits)
{
    const char *name = file_name(candidate->file->path);
    struct migrate_donor donor = {.is_provisional = candidate->file->view.identity.provisional,
                                  .hits = hits,
                                  .print = candidate->same.print,
                                  .is_borrowed = candidate->same.is_borrowed};
    struct catalog_kind kind;

    if (!catalog_name_parse(name, donor.id, &kind))
        return -EINVAL;
    if (array_reserve(&donors->donors, &donors->capacity, donors->count + 1,
                      sizeof(*donors->donors)) < 0)
        return -ENOMEM;
    donor.name = strdup(name);
    if (donor.name == NULL)
        return -ENOMEM;
    candidate->same = (struct migrate_same){.print = NULL};
    donors->donors[donors->count++] = donor;
    return 0;
}

void migrate_donors_release(struct migrate_donors *donors)
{
    for (size_t i = 0; i < donors->count; i++) {
        free(donors->donors[i].name);
        if (!donors->donors[i].is_borrowed)
            fingerprint_file_close(donors->donors[i].print);
    }
    free(donors->donors);
    *donors = (struct migrate_donors){.donors = NULL};
}

/* That which adds most, while it is worth what it costs; NULL: none is. */
static struct candidate *find_best(const struct choice *choice, struct wanted *wanted)
{
    double per_hit = (double)FINGERPRINT_SKETCH_ONE_OF *
                     choice->migration->block_sizes[choice->kind] * PACKED_OF_ONE;
    uint64_t budget = choice->migration->config->choose.confirm_bytes;
    struct candidate *best = NULL;
    double most = 0;

    for (size_t i = 0; i < choice->count; i++) {
        struct candidate *candidate = &choice->candidates[i];
        size_t hits;
        double gain;

        if (candidate->is_taken || choice->cost + candidate->cost > budget)
            continue;
        hits = match(wanted, &candidate->file->view, false);
        gain = (double)hits * per_hit - (double)candidate->cost;
        if (hits > 0 && gain > most) {
            most = gain;
            best = candidate;
        }
    }
    return best;
}

/* Greedily: always the best one. */
static int choose(struct choice *choice, struct wanted *wanted, struct migrate_donors *donors)
{
    struct candidate *best;

    while ((best = find_best(choice, wanted)) != NULL) {
        size_t hits;
        int rc;

        /* Of those that are alike, one is taken: only its fingerprint is opened. */
        if (migration_open_same(&best->same) < 0) {
            best->cost = fetch_cost(best->file);
            continue;
        }
        best->is_taken = true;
        choice->cost += best->cost;
        hits = match(wanted, &best->file->view, true);
        rc = add_donor(donors, best, hits);
        if (rc < 0 && rc != -EINVAL)
            return rc;
    }
    return 0;
}

static void choice_release(struct choice *choice)
{
    for (size_t i = 0; i < choice->count; i++)
        migration_close_same(&choice->candidates[i].same);
    free(choice->candidates);
}

static int rank(struct migration *migration, size_t kind, const struct catalog *catalog,
                const struct catalog *own, struct migrate_donors *donors, double *ret_estimate)
{
    CLEANUP(wanted_release) struct wanted wanted = {NULL, NULL, 0, 0};
    CLEANUP(choice_release) struct choice choice = {.migration = migration, .kind = kind};
    int rc = wanted_make(migration, kind, &wanted);

    if (rc < 0)
        return rc;
    if (catalog != NULL) {
        choice.candidates = calloc(catalog->count + 1, sizeof(*choice.candidates));
        if (choice.candidates == NULL)
            return -ENOMEM;
        look_at_candidates(catalog, own, &choice, &wanted);
        rc = choose(&choice, &wanted, donors);
    }
    *ret_estimate = (double)wanted.missing * FINGERPRINT_SKETCH_ONE_OF *
                        migration->block_sizes[kind] * PACKED_OF_ONE +
                    (double)choice.cost;
    return rc;
}

/* ---- exactly -------------------------------------------------------------------------------------- */

/* Those that can be relied on before those that a VM wrote to; then by what they add. */
static int by_use(const void *left, const void *right)
{
    const struct migrate_donor *l = left, *r = right;

    if (l->is_provisional != r->is_provisional)
        return l->is_provisional ? 1 : -1;
    if (l->hits != r->hits)
        return l->hits > r->hits ? -1 : 1;
    return strcmp(l->name, r->name);
}

static int open_donor(struct migration *migration, const char *directory,
                      struct migrate_donor *donor)
{
    CLEANUP(cleanup_free) char *path = NULL;
    struct error why = {""};
    int rc;

    if (asprintf(&path, "%s/%s", directory, donor->name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    rc = fingerprint_file_open(path, FINGERPRINT_PART_DIGESTS, false, &donor->print, &why);
    if (rc < 0 && rc != -ENOMEM)
        migration_note(migration, "an image of %s is not used: %s", migration->name, why.text);
    return rc == -ENOMEM ? rc : 0;
}

/* Those that are not here yet. */
static int fetch(struct migration *migration, struct migrate_donors *donors, const char *directory,
                 struct error *err)
{
    const struct peers_options options = {.stopped = migration_stopped, .context = migration};
    CLEANUP(cleanup_free)
    struct peers_want *wants = calloc(donors->count + 1, sizeof(*wants));
    CLEANUP(cleanup_free) size_t *of = calloc(donors->count + 1, sizeof(*of));
    struct error why = {""};
    size_t count = 0;
    int rc;

    if (wants == NULL || of == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < donors->count; i++) {
        if (donors->donors[i].print != NULL)
            continue;
        wants[count] = (struct peers_want){
            .host = migration->host->name, .name = donors->donors[i].name, .result = -EDQUOT};
        of[count++] = i;
    }
    if (count == 0)
        return 0;
    rc = peers_fetch(migration->config, wants, count, migration->config->choose.confirm_bytes,
                     &options, &why);
    if (rc == -ECANCELED || rc == -ENOMEM)
        return error_set(err, rc, "%s", why.text);
    if (rc < 0)
        migration_note(migration, "images of %s are not used: %s", migration->name, why.text);
    for (size_t i = 0; i < count; i++) {
        migration->summary->catalog_bytes += wants[i].bytes_read;
        migration->bytes_on_line += wants[i].bytes_read;
        if (rc == 0 && wants[i].result < 0)
            migration_note(migration, "an image of %s is not used: %s", migration->name,
                           wants[i].error.text);
        if (rc == 0 && wants[i].result == 0 &&
            open_donor(migration, directory, &donors->donors[of[i]]) < 0)
            return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

static int rank_kind(struct migration *migration, const char *directory, size_t kind,
                     double *ret_estimate, struct error *err)
{
    const struct catalog_kind what = migration_kind(migration, kind);
    struct catalog *catalog = NULL, *own = NULL;
    int rc = 0;

    migrate_donors_release(&migration->donors[kind]);
    if (directory != NULL)
        rc = catalog_open(directory, &what, FINGERPRINT_PART_SKETCH, &catalog, err);
    if (rc == -ENOENT)
        rc = 0;
    /* Without an index of its own, this host has what the migration has. */
    if (rc == 0 && catalog != NULL)
        (void)catalog_open(migration->config->setmov.index, &what, FINGERPRINT_PART_HEAD, &own,
                           NULL);
    if (rc == 0)
        rc = rank(migration, kind, catalog, own, &migration->donors[kind], ret_estimate);
    catalog_close(own);
    catalog_close(catalog);
    return rc == -ENOMEM ? error_set(err, rc, "out of memory") : rc;
}

int migration_know(struct migration *migration, struct error *err)
{
    CLEANUP(cleanup_free) char *directory = NULL;
    struct migrate_donors *donors;
    double least = 0;
    int rc = 0;

    if (migration->host != NULL) {
        directory = peers_directory(migration->config, migration->host->name);
        if (directory == NULL)
            return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < migration->block_size_count && rc == 0; i++) {
        double estimate = 0;

        rc = rank_kind(migration, directory, i, &estimate, err);
        if (i == 0 || estimate < least) {
            migration->chosen = i;
            least = estimate;
        }
    }
    donors = &migration->donors[migration->chosen];
    if (rc == 0 && migration->host != NULL && donors->count > 0)
        rc = fetch(migration, donors, directory, err);
    if (rc == 0 && donors->count > 1)
        qsort(donors->donors, donors->count, sizeof(*donors->donors), by_use);
    migration->summary->block_size = migration->block_sizes[migration->chosen];
    return migration_why(migration, rc, err);
}
