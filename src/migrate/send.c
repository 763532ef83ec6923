/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts are packed and sent as they are finished, then the plan, and a record for progress. */
#include "migrate/run.h"
#include "setmov/base_new_file.h"

#include <errno.h>
#include <sys/random.h>

struct sending {
    struct migration *migration;
    uint64_t raw_done, raw_total;
    bool remembers; /* the directory for what was sent is there */
};

static uint64_t bandwidth(const struct migration *migration)
{
    const struct migrate_options *options = migration->options;

    return options->pack_bandwidth_bits_per_s != 0 ? options->pack_bandwidth_bits_per_s
           : options->bandwidth_bits_per_s != 0    ? options->bandwidth_bits_per_s
                                                : migration->config->migrate.bandwidth_bits_per_s;
}

uint64_t migration_line_bandwidth(const struct migration *migration)
{
    uint64_t limit = bandwidth(migration), line = migration->bandwidth_bits_per_s;

    return limit != 0 && (line == 0 || limit < line) ? limit : line;
}

/* On a thinner line, what the kernel holds back of what was sent delays all else for seconds. */
#define THIN_BITS_PER_S 20000000

/* 0: no limit. A line that is known to be thin is not filled faster than it empties. */
static uint64_t upload_bytes_a_second(const struct migration *migration)
{
    uint64_t limit = bandwidth(migration), line = migration_line_bandwidth(migration);

    if (line != 0 && line < THIN_BITS_PER_S && line != limit)
        limit = line - line / 20;
    return limit > 0 && limit < 8 ? 1 : limit / 8;
}

/* ---- one volume ---------------------------------------------------------------------------- */

struct upload {
    struct sending *sending;
    uint64_t told;
};

static int take_sent(void *context, uint64_t bytes)
{
    struct upload *upload = context;
    struct migration *migration = upload->sending->migration;

    if (bytes > upload->told) {
        migration->bytes_on_line += bytes - upload->told;
        upload->told = bytes;
    }
    migration_tell(migration, upload->sending->raw_done, upload->sending->raw_total);
    return migration_stopped(migration) ? -ECANCELED : 0;
}

static int upload(struct sending *sending, const char *name, const void *bytes, size_t length,
                  struct error *err)
{
    struct migration *migration = sending->migration;
    struct upload state = {.sending = sending};
    int rc = vm_volume_send(migration->there, migration->incoming_pool, name, bytes, length,
                            upload_bytes_a_second(migration), take_sent, &state, err);

    if (rc == 0)
        (void)take_sent(&state, length);
    return rc < 0 ? error_prefix(err, rc, "%s", migration->name) : 0;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static bool is_there(const struct migration *migration, const char *name, uint64_t bytes)
{
    for (size_t i = 0; i < migration->volumes.count; i++) {
        if (strcmp(migration->volumes.volumes[i].name, name) == 0 &&
            migration->volumes.volumes[i].bytes == bytes)
            return true;
    }
    return false;
}

static int take_part(void *context, const struct transfer_packed *packed, struct error *err)
{
    struct sending *sending = context;
    struct migration *migration = sending->migration;
    char name[TRANSFER_PART_NAME_BYTES];
    int rc = 0;

    transfer_part_name(packed->part.sha256, name);
    if (!is_there(migration, name, packed->part.length)) {
        rc = upload(sending, name, packed->bytes, packed->part.length, err);
        migration->summary->packed_bytes += rc == 0 ? packed->part.length : 0;
    }
    /* Who tries again without this only sends more. */
    if (rc == 0 && sending->remembers)
        (void)transfer_blocks_save(migration->parts_directory, &migration->plan, packed, NULL);
    return rc;
}

static void take_progress(void *context, uint64_t done, uint64_t total)
{
    struct sending *sending = context;

    sending->raw_done = done;
    sending->raw_total = total;
    migration_tell(sending->migration, done, total);
}

static bool ask_stopped(void *context)
{
    const struct sending *sending = context;

    return migration_stopped(sending->migration);
}

static int send_parts(struct sending *sending, struct error *err)
{
    struct migration *migration = sending->migration;
    const struct transfer_pack_options options = {
        .level = migration->options->level != 0 ? migration->options->level
                                                : (int)migration->config->migrate.level,
        .bandwidth_bits_per_s = migration_line_bandwidth(migration),
        .key = migration->key_or_null,
        .sink = take_part,
        .progress = take_progress,
        .stopped = ask_stopped,
        .context = sending,
    };
    CLEANUP(cleanup_free)
    struct image **images = calloc(migration->image_count + 1, sizeof(struct image *));
    struct transfer_pack_result result = {0};

    if (images == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < migration->image_count; i++)
        images[i] = migration->images[i].image;
    return transfer_pack(&migration->plan, images, &options, &result, err);
}

/* ---- the plan ---------------------------------------------------------------------------------- */

/* The VM's UUID, something that no other try has, and the number of this one. */
static int name_plan(struct migration *migration, struct error *err)
{
    char uuid[UUID_TEXT_BYTES];
    uint32_t mark = 0;

    if (getrandom(&mark, sizeof(mark), 0) != (ssize_t)sizeof(mark))
        return error_set(err, -EIO, "the kernel gives no random bytes: %s", strerror(errno));
    uuid_format(&migration->vm.uuid, uuid);
    free(migration->plan_name);
    if (asprintf(&migration->plan_name, "%s-%08x-%u", uuid, mark, migration->summary->attempts) <
        0) {
        migration->plan_name = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    free(migration->journal.plan);
    migration->journal.plan = strdup(migration->plan_name);
    if (migration->journal.plan == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    return migration_save(migration, err);
}

static int send_plan(struct sending *sending, struct error *err)
{
    struct migration *migration = sending->migration;
    const struct transfer_progress waiting = {.phase = TRANSFER_WAITING};
    CLEANUP(cleanup_free) uint8_t *bytes = NULL;
    uint8_t record[TRANSFER_PROGRESS_BYTES];
    char name[200];
    size_t length = 0;
    int rc = transfer_plan_encode(&migration->plan, &bytes, &length, err);

    if (rc < 0)
        return error_prefix(err, rc, "the plan cannot be written");
    transfer_sha256(bytes, length, migration->plan_sha256);
    rc = name_plan(migration, err);
    if (rc < 0)
        return rc;
    string_format(name, sizeof(name), "%s" TRANSFER_PLAN_SUFFIX, migration->plan_name);
    rc = upload(sending, name, bytes, length, err);
    if (rc < 0)
        return rc;
    migration->summary->plan_bytes += length;
    transfer_progress_encode(&waiting, record);
    string_format(name, sizeof(name), "%s" TRANSFER_PROGRESS_SUFFIX, migration->plan_name);
    return upload(sending, name, record, sizeof(record), err);
}

int migration_send(struct migration *migration, struct error *err)
{
    struct sending sending = {.migration = migration};
    int rc;

    sending.remembers = new_file_make_directory(migration->parts_directory, NULL) == 0;
    rc = send_parts(&sending, err);
    if (rc == 0)
        rc = send_plan(&sending, err);
    return migration_why(migration, rc, err);
}
