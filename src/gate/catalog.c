/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the catalog on this host's disk to a ranking: where the VM is, what its
 * disks were fingerprinted as, and what every host lacks of them. (Effects: maps
 * files of the cache and the index.)
 */
#include "gate/gate.h"

#include "setmov/catalog.h"
#include "setmov/catalog_merged_file.h"

#include <errno.h>
#include <inttypes.h>

/* A clock that was set back a little makes no catalog useless. */
#define FUTURE_S 600

/* Sketches of the VM's disks, of one kind. */
struct disks {
    struct fingerprint_file **files;
    size_t count;
};

static void disks_release(struct disks *disks)
{
    for (size_t i = 0; i < disks->count; i++)
        fingerprint_file_close(disks->files[i]);
    free(disks->files);
    *disks = (struct disks){NULL, 0};
}

static void cleanup_merged(struct catalog_merged_file **file)
{
    catalog_merged_file_close(*file);
}

/* ---- the VM ---------------------------------------------------------------------- */

/* It arrives here, so it is elsewhere, if anybody else says that he has it. */
static void find_holder(struct gate_ranking *ranking)
{
    size_t chosen = 0;

    for (size_t i = ranking->vm_count; i-- > 0;) {
        if (!catalog_known_host(ranking->known, ranking->vms[i].host)->is_self)
            chosen = i;
    }
    if (chosen > 0) {
        struct catalog_known_vm vm = ranking->vms[chosen];

        ranking->vms[chosen] = ranking->vms[0];
        ranking->vms[0] = vm;
    }
    ranking->holder = catalog_known_host(ranking->known, ranking->vms[0].host)->name;
}

static int open_known(const struct config *config, const struct vm_incoming *vm, int64_t now_s,
                      struct gate_ranking *ranking, struct error *err)
{
    int64_t made_s, limit_s = (int64_t)config->hook.max_age_s;
    const struct catalog_known_host *holder;
    int rc = catalog_known_open(config->sync.cache, &ranking->known, err);

    if (rc == -ENOENT)
        return error_set(err, rc, "there is none in %s ('setmov sync' makes it)",
                         config->sync.cache);
    if (rc < 0)
        return rc;
    made_s = catalog_known_made_s(ranking->known);
    ranking->age_s = now_s > made_s ? now_s - made_s : 0;
    if (ranking->age_s > limit_s || made_s - now_s > FUTURE_S)
        return error_set(err, -ESTALE,
                         "%s/%s was made %" PRId64 " s ago; more than %" PRId64 " s are too old",
                         config->sync.cache, CATALOG_KNOWN_NAME, now_s - made_s, limit_s);
    rc = catalog_known_find(ranking->known, &vm->uuid, &ranking->vms, &ranking->vm_count, err);
    if (rc < 0)
        return rc;
    if (ranking->vm_count == 0)
        return error_set(err, -ENODATA, "no host is known to have the VM");
    find_holder(ranking);
    holder = catalog_known_host(ranking->known, ranking->vms[0].host);
    if (!holder->is_self && now_s - holder->read_s > limit_s)
        return error_set(err, -ESTALE,
                         "nothing was read from %s, which has the VM, for %" PRId64 " s",
                         holder->name, now_s - holder->read_s);
    return 0;
}

/* ---- its disks -------------------------------------------------------------------- */

static const struct catalog_known_disk *find_disk(const struct catalog_known_vm *vm,
                                                  const struct vm_incoming_disk *disk)
{
    const struct catalog_known_disk *found = NULL;

    for (size_t i = 0; i < vm->disk_count; i++) {
        if (strcmp(vm->disks[i].path, disk->path) == 0)
            return &vm->disks[i];
        if (strcmp(vm->disks[i].target, disk->target) == 0)
            found = &vm->disks[i];
    }
    return found;
}

static int open_disk(const struct gate_ranking *ranking, const struct vm_incoming_disk *disk,
                     const struct catalog_kind *kind, struct fingerprint_file **ret_file,
                     struct error *err)
{
    const struct catalog_known_vm *vm = &ranking->vms[0];
    const struct catalog_known_disk *known = find_disk(vm, disk);
    CLEANUP(cleanup_free) char *path = NULL;
    char name[CATALOG_NAME_BYTES];

    if (known == NULL || known->image[0] == '\0')
        return error_set(err, -ENODATA, "%s has no fingerprint of disk %s", ranking->holder,
                         disk->target);
    catalog_name_make(known->image, kind, name);
    if (asprintf(&path, "%s/%s", catalog_known_host(ranking->known, vm->host)->directory, name) <
        0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return fingerprint_file_open(path, FINGERPRINT_PART_SKETCH, false, ret_file, err);
}

/* Those that there are. `err`: why there is none of the first one that is left out. */
static int open_disks(const struct vm_incoming *vm, const struct catalog_kind *kind,
                      struct gate_ranking *ranking, struct disks *disks, struct error *err)
{
    disks->files = calloc(vm->disk_count + 1, sizeof(*disks->files));
    if (disks->files == NULL)
        return -ENOMEM;
    ranking->disks = ranking->left_out = 0;
    for (size_t i = 0; i < vm->disk_count; i++) {
        int rc;

        if (vm->disks[i].read_only)
            continue;
        ranking->disks++;
        rc = open_disk(ranking, &vm->disks[i], kind, &disks->files[disks->count],
                       ranking->left_out == 0 ? err : NULL);
        if (rc == -ENOMEM)
            return rc;
        if (disks->files[disks->count] != NULL)
            disks->count++;
        else
            ranking->left_out++;
    }
    if (ranking->disks == 0)
        return error_set(err, -ENODATA, "the VM has no disk of its own that is a file or a device");
    return disks->count > 0 ? 0 : -ENODATA;
}

/* ---- the hosts' figures -------------------------------------------------------------- */

/*
 * Adds those of one disk to the candidates'. `name`: of the index, for messages;
 * `rows`: of it, for each candidate.
 */
static int add_disk(const struct catalog_merged_file *merged, const char *name, const size_t *rows,
                    const struct fingerprint_file *disk, struct gate_ranking *ranking,
                    struct error *err)
{
    size_t hosts = catalog_merged_file_host_count(merged);
    CLEANUP(cleanup_free) struct similarity_estimate *all = calloc(hosts + 1, sizeof(*all));
    const struct fingerprint_view *view = &disk->view;
    int rc = all != NULL ? 0 : -ENOMEM;

    if (rc == 0 && (rc = catalog_merged_file_query(merged, view, all, err)) < 0)
        error_prefix(err, rc, "%s", name);
    if (rc == 0)
        rc = fingerprint_file_check(disk, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < ranking->count; i++) {
        if (rows[i] < hosts)
            placement_add(&ranking->candidates[i].figures, &all[rows[i]]);
    }
    ranking->image_bytes += (view->totals.distinct - (view->totals.zero > 0)) * view->block_size;
    ranking->space_bytes += view->totals.blocks * view->block_size;
    return 0;
}

/* By this, and no copy of it, it is known who lacks figures of one kind alone. */
static const char not_merged[] = "its fingerprints are not in the merged index";

/* What a kind that came to nothing has left: the next one begins without it. */
static void forget_figures(struct gate_ranking *ranking)
{
    ranking->image_bytes = ranking->space_bytes = 0;
    for (size_t i = 0; i < ranking->count; i++) {
        struct placement_candidate *candidate = &ranking->candidates[i];

        memset(&candidate->figures, 0, sizeof(candidate->figures));
        if (candidate->unusable == not_merged)
            candidate->unusable = NULL;
    }
}

/* Which row of the merged index each candidate is; those that have none are unusable. */
static int find_rows(const struct catalog_merged_file *merged, struct gate_ranking *ranking,
                     size_t *rows)
{
    CLEANUP(cleanup_free) const char **names = calloc(ranking->count + 1, sizeof(*names));
    int rc = names != NULL ? 0 : -ENOMEM;

    for (size_t i = 0; i < ranking->count && rc == 0; i++)
        names[i] = ranking->candidates[i].name;
    if (rc == 0)
        rc = catalog_merged_file_find(merged, names, ranking->count, rows);
    for (size_t i = 0; i < ranking->count && rc == 0; i++) {
        if (rows[i] == catalog_merged_file_host_count(merged) &&
            ranking->candidates[i].unusable == NULL)
            ranking->candidates[i].unusable = not_merged;
    }
    return rc;
}

static int add_disks(const struct catalog_merged_file *merged, const char *name,
                     const struct disks *disks, struct gate_ranking *ranking, struct error *err)
{
    CLEANUP(cleanup_free) size_t *rows = calloc(ranking->count + 1, sizeof(*rows));
    int rc = rows != NULL ? find_rows(merged, ranking, rows) : -ENOMEM;

    if (rc == 0 && ranking->here == ranking->count)
        return error_set(err, -ENODATA, "it does not know this host");
    if (rc == 0 && ranking->candidates[ranking->here].unusable != NULL)
        return error_set(err, -ENODATA, "this host's own fingerprints are not in the merged index");
    for (size_t i = 0; i < disks->count && rc == 0; i++)
        rc = add_disk(merged, name, rows, disks->files[i], ranking, err);
    return rc;
}

static int rank_by_kind(const struct config *config, const struct vm_incoming *vm,
                        const struct catalog_kind *kind, struct gate_ranking *ranking,
                        struct error *err)
{
    CLEANUP(disks_release) struct disks disks = {NULL, 0};
    CLEANUP(cleanup_merged) struct catalog_merged_file *merged = NULL;
    char name[CATALOG_NAME_BYTES];
    int rc = open_disks(vm, kind, ranking, &disks, err);

    if (rc < 0)
        return rc;
    forget_figures(ranking);
    catalog_merged_name(kind, name);
    rc = catalog_merged_file_map_kind(config->sync.cache, kind, &merged, err);
    return rc == 0 ? add_disks(merged, name, &disks, ranking, err) : rc;
}

/* ---- kinds ------------------------------------------------------------------------- */

static bool is_configured(const struct config *config, const struct catalog_kind *kind)
{
    static const enum digest_kind kinds[] = {
        [CONFIG_DIGEST_SHA256] = DIGEST_SHA256,
        [CONFIG_DIGEST_MD5] = DIGEST_MD5,
        [CONFIG_DIGEST_KEYED] = DIGEST_KEYED_SHA256,
    };

    if (kind->kind != kinds[config->setmov.digest])
        return false;
    for (size_t i = 0; i < config->setmov.block_sizes.count; i++) {
        if (kind->block_size == config->setmov.block_sizes.bytes[i])
            return true;
    }
    return false;
}

static int by_block_size(const void *left, const void *right)
{
    const struct catalog_kind *l = left, *r = right;

    return (l->block_size > r->block_size) - (l->block_size < r->block_size);
}

/* By the smallest blocks by which it can be told: these find most. */
static int rank_by_kinds(const struct config *config, const struct vm_incoming *vm,
                         struct gate_ranking *ranking, struct error *err)
{
    const char *directory = catalog_known_host(ranking->known, ranking->vms[0].host)->directory;
    CLEANUP(cleanup_free) struct catalog_kind *kinds = NULL;
    size_t count = 0;
    struct error why = {""};
    int rc = catalog_kinds(directory, &kinds, &count, err);
    bool tried = false;

    if (rc < 0)
        return rc;
    qsort(kinds, count, sizeof(*kinds), by_block_size);
    for (size_t i = 0; i < count; i++) {
        if (!is_configured(config, &kinds[i]))
            continue;
        rc = rank_by_kind(config, vm, &kinds[i], ranking, &why);
        if (rc == 0 || rc == -ENOMEM)
            return rc;
        if (!tried)
            *err = why;
        tried = true;
    }
    if (tried)
        return rc;
    return error_set(err, -ENODATA,
                     "%s has no fingerprints of the digest and block sizes of setmov.conf",
                     ranking->holder);
}

/* ---- all of it ------------------------------------------------------------------------ */

static int order(const struct config *config, const struct vm_incoming *vm,
                 struct gate_ranking *ranking, struct error *err)
{
    const struct config_host *holder = config_host_find(config, ranking->holder);
    const struct placement_vm moving = {
        .name = vm->name,
        .host = ranking->vms[0].host != ranking->here ? ranking->holder : NULL,
        .trust_domain = holder != NULL ? holder->trust_domain : config->setmov.trust_domain,
        .memory_bytes = vm->memory_bytes,
        .vcpus = vm->vcpus,
        .space_bytes = ranking->space_bytes,
        .image_bytes = ranking->image_bytes,
    };
    const struct placement_rules rules = {
        .weight_bytes = config->choose.weight_bytes,
        .weight_cpu = config->choose.weight_cpu,
        .weight_memory = config->choose.weight_memory,
        .weight_space = config->choose.weight_space,
        .max_cpu_percent = config->choose.max_cpu_percent,
        .memory_reserve_bytes = config->choose.memory_reserve_bytes,
        .space_reserve_bytes = config->choose.space_reserve_bytes,
    };

    return placement_move(&moving, ranking->candidates, ranking->count, &rules, &ranking->move,
                          err);
}

int gate_rank(const struct config *config, const struct vm_incoming *vm, int64_t now_s,
              struct gate_ranking *ret_ranking, struct error *err)
{
    struct gate_ranking ranking = {.known = NULL};
    int rc = open_known(config, vm, now_s, &ranking, err);

    if (rc == 0)
        rc = gate_candidates(config, vm, now_s, &ranking);
    if (rc == 0)
        rc = rank_by_kinds(config, vm, &ranking, err);
    if (rc == 0)
        rc = order(config, vm, &ranking, err);
    if (rc < 0) {
        gate_ranking_release(&ranking);
        return rc == -ENOMEM ? error_set(err, rc, "out of memory") : rc;
    }
    *ret_ranking = ranking;
    return 0;
}

void gate_ranking_release(struct gate_ranking *ranking)
{
    placement_move_release(&ranking->move);
    free(ranking->candidates);
    free(ranking->obstacles);
    for (size_t i = 0; i < ranking->text_count; i++)
        free(ranking->texts[i]);
    free(ranking->texts);
    catalog_known_vms_free(ranking->vms, ranking->vm_count);
    catalog_known_close(ranking->known);
    *ranking = (struct gate_ranking){.known = NULL};
}
