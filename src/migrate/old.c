/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Old images become donors: renamed aside, recorded, indexed, offered. */
#include "migrate/old.h"
#include "setmov/base_new_file.h"
#include "setmov/catalog.h"
#include "setmov/catalog_lines.h"
#include "setmov/catalog_request.h"
#include "setmov/peers.h"
#include "setmov/peers_gc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Names of the same second get a number. */
#define MOST_TRIES 100

/* ---- the record -------------------------------------------------------------------------- */

static int make_record_path(const struct config *config, const char *image, char **ret_path,
                            struct error *err)
{
    CLEANUP(cleanup_free) char *directory = NULL;
    char hash[CATALOG_HASH_BYTES];
    char *path = NULL;
    int rc;

    catalog_hash(image, hash);
    if (asprintf(&directory, "%s/" PEERS_GC_OLD_DIRECTORY, config->setmov.state) < 0) {
        directory = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    rc = new_file_make_directory(directory, err);
    if (rc < 0)
        return rc;
    if (asprintf(&path, "%s/%s" CATALOG_LEASE_SUFFIX, directory, hash) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    *ret_path = path;
    return 0;
}

static int write_record(const struct config *config, const struct uuid *vm, const char *image,
                        const struct stat *status, const char *path, struct error *err)
{
    uint64_t expiry_s = config->migrate.old_images_expiry_s;
    char *name = (char *)image;
    struct catalog_lease lease = {
        .vm = *vm,
        .path = name,
        .device = status->st_dev,
        .inode = status->st_ino,
        .made_s = time(NULL),
    };
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length = 0;
    int rc;

    lease.expires_s = expiry_s == 0 || expiry_s > (uint64_t)(LINES_TIME_MAX - lease.made_s)
                          ? LINES_TIME_MAX
                          : lease.made_s + (int64_t)expiry_s;
    rc = catalog_lease_encode(&lease, &text, &length, err);
    return rc < 0 ? rc : new_file_replace(path, text, length, true, err);
}

/* ---- the name ------------------------------------------------------------------------------ */

static char *old_name(const char *path, const char *stamp, unsigned attempt)
{
    char number[16] = "";
    char *name = NULL;

    if (attempt > 0)
        string_format(number, sizeof(number), "-%u", attempt);
    return asprintf(&name, "%s" PEERS_GC_OLD_INFIX "%s%s", path, stamp, number) < 0 ? NULL : name;
}

static int rename_new(const char *path, const char *to)
{
    if (renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* A file system that does not know this; it may know links. */
    return link(path, to) == 0 && unlink(path) == 0 ? 0 : -errno;
}

/* Never over anything. -EEXIST. */
static int rename_aside(const struct config *config, const struct uuid *vm, const char *path,
                        const struct stat *status, const char *to, struct error *err)
{
    CLEANUP(cleanup_free) char *record = NULL;
    int rc;

    if (access(to, F_OK) == 0)
        return -EEXIST;
    rc = make_record_path(config, to, &record, err);
    if (rc == 0)
        rc = write_record(config, vm, to, status, record, err);
    if (rc < 0 || record == NULL)
        return rc;
    rc = rename_new(path, to);
    if (rc == 0)
        return new_file_sync_directory(to, err);
    unlink(record);
    return rc == -EEXIST
               ? rc
               : error_set(err, rc, "%s cannot be renamed to %s: %s", path, to, strerror(-rc));
}

int migrate_old_keep(const struct config *config, const struct uuid *vm, const char *path,
                     char **ret_path, struct error *err)
{
    time_t now = time(NULL);
    struct stat status;
    struct tm parts;
    char stamp[32] = "";

    *ret_path = NULL;
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "%s is no regular file", path);
    if (gmtime_r(&now, &parts) == NULL ||
        strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &parts) == 0)
        return error_set(err, -EINVAL, "the clock says no time");
    for (unsigned i = 0; i < MOST_TRIES; i++) {
        char *to = old_name(path, stamp, i);
        int rc = to != NULL ? rename_aside(config, vm, path, &status, to, err)
                            : error_set(err, -ENOMEM, "out of memory");

        if (rc == 0) {
            *ret_path = to;
            return 0;
        }
        free(to);
        if (rc != -EEXIST)
            return rc;
    }
    return error_set(err, -EEXIST, "%s has too many old images", path);
}

/* ---- the index -------------------------------------------------------------------------------- */

static void make_wishes(const struct config *config, const uint8_t *key,
                        struct fingerprint_wish ret_wishes[CONFIG_MAX_BLOCK_SIZES])
{
    static const enum digest_kind kinds[] = {
        [CONFIG_DIGEST_SHA256] = DIGEST_SHA256,
        [CONFIG_DIGEST_MD5] = DIGEST_MD5,
        [CONFIG_DIGEST_KEYED] = DIGEST_KEYED_SHA256,
    };

    for (size_t i = 0; i < config->setmov.block_sizes.count; i++)
        ret_wishes[i] = (struct fingerprint_wish){
            .kind = kinds[config->setmov.digest],
            .block_size = config->setmov.block_sizes.bytes[i],
            .key = config->setmov.digest == CONFIG_DIGEST_KEYED ? key : NULL,
        };
}

int migrate_old_index(const struct config *config, const struct catalog_images *images,
                      bool (*stopped)(void *context), void *context, struct error *err)
{
    struct fingerprint_wish wishes[CONFIG_MAX_BLOCK_SIZES];
    struct catalog_update_options options = {
        .image = {.follow_backing_outside = true},
        .build = {.sync = true, .stopped = stopped, .context = context},
    };
    struct peers_offering offering = {0};
    struct catalog_summary summary;
    uint8_t key[DIGEST_KEY_BYTES] = {0};
    int rc = 0;

    if (config->setmov.digest == CONFIG_DIGEST_KEYED)
        rc = fingerprint_key_read(config->setmov.key_file, key, err);
    make_wishes(config, key, wishes);
    if (rc == 0)
        rc = catalog_update(config->setmov.index, images, wishes, config->setmov.block_sizes.count,
                            &options, &summary, err);
    if (rc == 0 && summary.failed > 0)
        rc = error_set(err, -EIO, "they cannot be read");
    explicit_bzero(key, sizeof(key));
    /* What its pool has changed too; that it is not known there yet is no reason to fail. */
    (void)peers_refresh_own(config, stopped, context, NULL);
    if (rc == 0)
        rc = peers_offer(config, stopped, context, &offering, err);
    peers_offering_release(&offering);
    return rc;
}
