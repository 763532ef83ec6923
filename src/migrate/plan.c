/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan is made, image by image, from what the destination has. */
#include "migrate/resend.h"
#include "migrate/run.h"
#include "setmov/migrate_estimate.h"

#include <errno.h>
#include <time.h>

/* Views of what blocks can come from; the arrays are this structure's. */
struct sources {
    const struct fingerprint_view **donors, **earlier;
    char (*ids)[33];
    struct transfer_sources all;
};

static void sources_release(struct sources *sources)
{
    free(sources->donors);
    free(sources->earlier);
    free(sources->ids);
}

static int sources_make(struct migration *migration, struct sources *sources, struct error *err)
{
    const struct migrate_donors *donors = &migration->donors[migration->chosen];
    size_t count = 0;

    sources->donors = calloc(donors->count + 1, sizeof(*sources->donors));
    sources->earlier = calloc(migration->image_count + 1, sizeof(*sources->earlier));
    sources->ids = calloc(donors->count + 1, sizeof(*sources->ids));
    if (sources->donors == NULL || sources->earlier == NULL || sources->ids == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < donors->count; i++) {
        if (donors->donors[i].print == NULL)
            continue;
        sources->donors[count] = &donors->donors[i].print->view;
        string_copy(sources->ids[count++], sizeof(sources->ids[0]), donors->donors[i].id);
    }
    sources->all = (struct transfer_sources){
        .donors = sources->donors,
        .donor_ids = (const char(*)[33])sources->ids,
        .donor_count = count,
        .parts = migration->parts.parts,
        .part_count = migration->parts.count,
        .earlier = sources->earlier,
    };
    return 0;
}

static void add_figures(struct transfer_figures *sum, const struct transfer_figures *figures)
{
    sum->data += figures->data;
    sum->zero += figures->zero;
    sum->local += figures->local;
    sum->replicated += figures->replicated;
    sum->reused += figures->reused;
    sum->sent += figures->sent;
}

/* ---- parts of earlier tries ----------------------------------------------------------------- */

static bool is_there(void *context, const struct transfer_part *part)
{
    const struct migration *migration = context;
    char name[TRANSFER_PART_NAME_BYTES];

    transfer_part_name(part->sha256, name);
    for (size_t i = 0; i < migration->volumes.count; i++) {
        if (strcmp(migration->volumes.volumes[i].name, name) == 0)
            return migration->volumes.volumes[i].bytes == part->length;
    }
    return false;
}

static int load_parts(struct migration *migration, struct error *err)
{
    struct error why = {""};
    int rc;

    /* No journal yet, where only figures are wanted. */
    const struct journal where = {.host = migration->host != NULL ? migration->host->name : NULL,
                                  .uri = migration->uri};

    migration->parts_directory = migrate_parts_directory(migration->config, &where);
    if (migration->parts_directory == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (migration->volumes.count == 0)
        return 0;
    rc = transfer_blocks_load(migration->parts_directory, migration->kind,
                              migration->block_sizes[migration->chosen], migration->key_id,
                              is_there, migration, &migration->parts, &why);
    if (rc == -ENOMEM)
        return error_set(err, rc, "out of memory");
    if (rc < 0 && rc != -ENOENT)
        migration_note(migration, "parts of an earlier try are sent again: %s", why.text);
    return 0;
}

/* ---- making it --------------------------------------------------------------------------------- */

struct making {
    struct migration *migration;
    uint64_t before, last, all;
};

static void take_progress(void *context, uint64_t done, uint64_t total)
{
    struct making *making = context;

    (void)total;
    making->last = done;
    migration_tell(making->migration, making->before + done, making->all);
}

static bool ask_stopped(void *context)
{
    const struct making *making = context;

    return migration_stopped(making->migration);
}

static const struct fingerprint_view *view_of(const struct migration *migration, size_t image)
{
    return &migration->images[image].prints[migration->chosen]->view;
}

static int make_image(struct making *making, size_t i, const struct transfer_sources *sources,
                      struct error *err)
{
    struct migration *migration = making->migration;
    const struct migrate_image *image = &migration->images[i];
    const struct transfer_image described = {
        .path = image->path,
        .format = image->format,
        .settings = image->settings,
        .virtual_size = image->virtual_size,
        .backing = image->backing,
        .backing_format = image->backing_format,
        .may_exist = image->is_shared,
    };
    const struct transfer_make_options options = {.key = migration->key_or_null,
                                                  .progress = take_progress,
                                                  .stopped = ask_stopped,
                                                  .context = making};
    struct transfer_figures figures = {0};
    int rc = transfer_make(image->image, view_of(migration, i), sources, &described, &options,
                           &migration->plan, &figures, err);

    if (rc == 0)
        add_figures(&migration->summary->blocks, &figures);
    making->before += making->last;
    making->last = 0;
    return rc;
}

static int begin_plan(struct migration *migration, struct error *err)
{
    migration->plan = (struct transfer_plan){
        .vm = migration->vm.uuid,
        .vm_name = strdup(migration->vm.name),
        .made_s = time(NULL),
        .kind = migration->kind,
        .block_size = migration->block_sizes[migration->chosen],
    };
    memcpy(migration->plan.key_id, migration->key_id, sizeof(migration->plan.key_id));
    return migration->plan.vm_name != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* As `virsh migrate --copy-storage-all` does it: whole disks, holes and all. */
static void count_copy_storage(struct migration *migration)
{
    for (size_t i = 0; i < migration->vm.disk_count; i++)
        migration->summary->copy_storage_all_bytes += migration->vm.disks[i].capacity_bytes;
}

int migration_plan(struct migration *migration, struct error *err)
{
    CLEANUP(sources_release) struct sources sources = {.donors = NULL};
    struct making making = {.migration = migration};
    int rc = load_parts(migration, err);

    count_copy_storage(migration);
    if (rc == 0)
        rc = begin_plan(migration, err);
    if (rc == 0)
        rc = sources_make(migration, &sources, err);
    for (size_t i = 0; i < migration->image_count; i++)
        making.all += view_of(migration, i)->totals.blocks * view_of(migration, i)->block_size;
    for (size_t i = 0; i < migration->image_count && rc == 0; i++) {
        rc = make_image(&making, i, &sources.all, err);
        sources.earlier[sources.all.earlier_count++] = view_of(migration, i);
    }
    return migration_why(migration, rc, err);
}

/* What is sent, compressed, and the plan: of what no donor has, and no part. */
static int estimate(struct migration *migration, const struct sources *sources, struct error *err)
{
    CLEANUP(cleanup_free)
    struct migrate_estimate_image *images = calloc(migration->image_count + 1, sizeof(*images));
    int level =
        migration->options->level != 0
            ? migration->options->level
            : transfer_level(migration->config->migrate.level, migration_line_bandwidth(migration));
    struct migrate_estimate found;
    int rc;

    if (images == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < migration->image_count; i++)
        images[i] =
            (struct migrate_estimate_image){view_of(migration, i), migration->images[i].image};
    rc = migrate_estimate(images, migration->image_count, sources->donors, sources->all.donor_count,
                          level, migration_stopped, migration, &found, err);
    if (rc < 0)
        return rc;
    migration->summary->plan_bytes = found.plan_bytes;
    migration->summary->packed_bytes = found.packed_bytes;
    /* The estimate does not know of parts that are there. */
    if (migration->summary->blocks.reused > 0)
        migration->summary->packed_bytes =
            (uint64_t)((double)found.packed_bytes * (double)migration->summary->blocks.sent /
                       (double)(migration->summary->blocks.sent +
                                migration->summary->blocks.reused));
    return 0;
}

int migration_foresee(struct migration *migration, struct error *err)
{
    CLEANUP(sources_release) struct sources sources = {.donors = NULL};
    int rc = load_parts(migration, err);

    count_copy_storage(migration);
    if (rc == 0)
        rc = sources_make(migration, &sources, err);
    for (size_t i = 0; i < migration->image_count && rc == 0; i++) {
        struct transfer_figures figures = {0};

        rc = transfer_foresee(view_of(migration, i), &sources.all, &figures, err);
        add_figures(&migration->summary->blocks, &figures);
        sources.earlier[sources.all.earlier_count++] = view_of(migration, i);
    }
    if (rc == 0)
        rc = estimate(migration, &sources, err);
    return migration_why(migration, rc, err);
}

/* ---- what did not hold -------------------------------------------------------------------------- */

/* The list that the hook left; libvirt sees it once it looks anew. */
static int read_failed(struct migration *migration, struct transfer_failed *ret_failed,
                       struct error *err)
{
    struct vm_volumes volumes = {NULL, 0, 0};
    CLEANUP(cleanup_free) uint8_t *bytes = NULL;
    char name[200];
    size_t length = 0, size = 0;
    int rc;

    string_format(name, sizeof(name), "%s" TRANSFER_FAILED_SUFFIX, migration->plan_name);
    rc = vm_volumes_list(migration->there, migration->incoming_pool, name, &volumes, err);
    for (size_t i = 0; i < volumes.count; i++) {
        if (strcmp(volumes.volumes[i].name, name) == 0)
            size = volumes.volumes[i].bytes;
    }
    vm_volumes_release(&volumes);
    if (rc < 0)
        return rc;
    if (size == 0 || size > TRANSFER_PLAN_MAX_BYTES)
        return error_set(err, -ENOENT, "%s left no list of what did not hold", migration->name);
    bytes = malloc(size);
    if (bytes == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = vm_peer_read(migration->there, migration->incoming_pool, name, 0, bytes, size, &length,
                      err);
    return rc == 0 ? transfer_failed_decode(bytes, length, &migration->plan, ret_failed, err) : rc;
}

/* A part that is not what its name says is made anew under that name, or another one. */
static void forget_parts(struct migration *migration, const struct transfer_failed *failed)
{
    for (size_t i = 0; i < failed->part_count; i++) {
        char name[TRANSFER_PART_NAME_BYTES];

        transfer_part_name(migration->plan.parts[failed->parts[i]].sha256, name);
        (void)vm_volume_delete(migration->there, migration->incoming_pool, name, NULL);
        for (size_t j = 0; j < migration->volumes.count; j++) {
            if (strcmp(migration->volumes.volumes[j].name, name) == 0)
                migration->volumes.volumes[j].bytes = UNKNOWN_U64;
        }
    }
}

static void take_off(uint64_t *figure, uint64_t bytes)
{
    *figure -= bytes < *figure ? bytes : *figure;
}

int migration_amend(struct migration *migration, struct error *err)
{
    struct migrate_end end = {.config = migration->config, .there = migration->there};
    struct transfer_failed failed = {.extents = NULL};
    struct transfer_figures *blocks = &migration->summary->blocks, again = {0};
    int rc = read_failed(migration, &failed, err);

    if (rc == 0) {
        forget_parts(migration, &failed);
        rc = migrate_resend(&migration->plan, migration->parts.parts, migration->parts.count,
                            &failed, &again, err);
    }
    transfer_failed_release(&failed);
    if (rc < 0)
        return error_prefix(err, rc, "what %s did not have cannot be sent", migration->name);
    migration_note(migration,
                   "%llu KiB that %s was thought to have do not hold there any more: they are sent",
                   (unsigned long long)(again.sent >> 10), migration->name);
    take_off(&blocks->local, again.local);
    take_off(&blocks->replicated, again.replicated);
    take_off(&blocks->reused, again.reused);
    blocks->sent += again.local + again.replicated + again.reused;
    /* Of the old name nothing is of use any more. */
    (void)migrate_remove_sent(&end, &migration->journal, NULL);
    return 0;
}
